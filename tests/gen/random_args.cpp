#include "isa/numerics.h"
#include "tests/gen/random.h"
#include "tests/gen/random_module.h"

namespace tess::gen {
namespace {

// A small integer, as the element's code.
uint64_t small_code(Rng& rng, DType t) {
  if (t.is_bool()) return rng.below(2);
  if (t.kind == Kind::scale) return one_code(t);
  return cast_code(t, dt::i32_, static_cast<uint32_t>(rng.between(-3, 3)));
}

}  // namespace

std::vector<RandomArg> random_args(const Kernel& kernel, uint64_t seed) {
  Rng rng(seed);
  std::vector<RandomArg> args;
  std::vector<int64_t> scalars(kernel.params.size(), 0);
  HostEnv env;
  env.value_of = [&](uint32_t v) { return scalars[v]; };
  for (uint32_t i = 0; i < kernel.params.size(); ++i) {
    const Param& p = kernel.params[i];
    if (p.dir != Direction::scalar) continue;
    DType t = kernel.values[i].type.dtype;
    if (t.is_int()) scalars[i] = p.divisible * rng.between(1, (p.hi ? *p.hi - 1 : 12) / p.divisible);
  }
  for (uint32_t i = 0; i < kernel.params.size(); ++i) {
    const Param& p = kernel.params[i];
    DType t = kernel.values[i].type.dtype;
    if (p.dir == Direction::let || p.dir == Direction::workspace) continue;
    RandomArg arg;
    if (p.dir == Direction::scalar) {
      arg.scalar = t.is_int() ? static_cast<uint64_t>(scalars[i]) : small_code(rng, t);
      args.push_back(std::move(arg));
      continue;
    }
    int64_t count = p.list.tokens.empty() ? 1 : p.list.constant();
    for (int64_t c = 0; c < count; ++c) {
      RandomTensor x;
      x.dtype = t;
      int64_t elements = 1;
      for (const HostExpr& e : p.shape) {
        Result<int64_t> n = evaluate(e, env);
        x.shape.push_back(n ? *n : 1);
        elements *= x.shape.back();
      }
      x.bytes.assign(static_cast<size_t>((elements * t.bits + 7) / 8), 0);
      for (int64_t n = 0; n < elements; ++n)
        write_bits(x.bytes.data(), static_cast<uint64_t>(n * t.bits), t.bits, small_code(rng, t));
      arg.tensors.push_back(std::move(x));
    }
    args.push_back(std::move(arg));
  }
  return args;
}

std::vector<LaunchArg> launch_args(std::vector<RandomArg>& args) {
  std::vector<LaunchArg> launch;
  for (RandomArg& a : args) {
    LaunchArg l;
    l.scalar = a.scalar;
    for (RandomTensor& t : a.tensors)
      l.tensors.push_back({t.dtype, t.bytes.data(), t.bytes.size(), t.shape, {}, true});
    launch.push_back(std::move(l));
  }
  return launch;
}

}  // namespace tess::gen
