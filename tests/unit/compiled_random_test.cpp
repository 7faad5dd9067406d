// Random programs through the whole compiler and the PTX simulator, against the interpreter: bit
// for bit, with races, bounds and initialisation checked.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "frontends/vmasm/print_module.h"
#include "isa/diag/jit.h"
#include "isa/launch.h"
#include "isa/numerics.h"
#include "jit/compile.h"
#include "jit/launch.h"
#include "tests/gen/random_module.h"
#include "vm/interp/interp.h"

using namespace tess;

namespace {

struct Ran {
  std::vector<std::vector<uint8_t>> tensors;
  std::optional<Diagnostic> error;
};

// A computed NaN has no defined sign or payload.
void canonicalise_nans(gen::RandomTensor& t) {
  if (!t.dtype.is_float()) return;
  size_t bits = t.dtype.bits;
  for (size_t at = 0; at + bits <= t.bytes.size() * 8; at += bits)
    if (std::isnan(decode_float(t.dtype, read_bits(t.bytes.data(), at, t.dtype.bits))))
      write_bits(t.bytes.data(), at, t.dtype.bits, encode_float(t.dtype, std::nan("")));
}

template <class Run>
Ran run_with(const Kernel& kernel, std::vector<gen::RandomArg> args, Run run) {
  std::vector<LaunchArg> launch = gen::launch_args(args);
  Ran r;
  Result<BoundLaunch> bound = bind_launch(kernel, launch, {});
  REQUIRE(bound);
  r.error = run(*bound);
  for (gen::RandomArg& a : args)
    for (gen::RandomTensor& t : a.tensors) {
      canonicalise_nans(t);
      r.tensors.push_back(t.bytes);
    }
  return r;
}

VerifiedModule random_program(uint64_t seed) {
  gen::GenOptions options;
  options.launchable = true;
  options.kernels = 1;
  Diagnostics found;
  std::optional<VerifiedModule> v = verify(gen::random_module(seed, options), found);
  REQUIRE(v);
  return std::move(*v);
}

// The first element of a tensor, in units of 64 bits, that came out differently.
std::string difference(const Kernel& kernel, const Ran& want, const Ran& got) {
  for (size_t t = 0; t < want.tensors.size(); ++t)
    for (size_t i = 0; i < want.tensors[t].size(); ++i) {
      if (want.tensors[t][i] == got.tensors[t][i]) continue;
      auto word = [&](const Ran& r) {
        uint64_t w = 0;
        size_t begin = i / 8 * 8;
        std::memcpy(&w, &r.tensors[t][begin], std::min<size_t>(8, r.tensors[t].size() - begin));
        return w;
      };
      return fmt::format("tensor {} of `{}`, word {}: {:016x} instead of {:016x}", t, kernel.name,
                         i / 8, word(got), word(want));
    }
  return "the same values";
}

// What was compiled, and what the compiler says it cannot do, by its words.
struct Tally {
  int same = 0, refused = 0;
  std::map<std::string, int> reasons;
};

void compare(uint64_t seed, jit::Backend backend, Tally& tally) {
  VerifiedModule m = random_program(seed);
  const Kernel& k = m.kernel(0);
  std::vector<gen::RandomArg> args = gen::random_args(k, seed);
  Ran want = run_with(k, args, [&](const BoundLaunch& launch) {
    interp::Options options;
    options.threads = 1;
    return interp::run(m, 0, launch, options).error;
  });
  constexpr int kArchs[] = {80, 89, 901};
  jit::RunOptions options;
  options.backend = backend;
  options.arch = kArchs[seed % 3];
  options.completion = static_cast<jit::Completion>(seed / 3 % 3);
  options.seed = seed;
  options.threads = 1;
  options.seconds = 60;
  std::shared_ptr<jit::Jit> jit = jit::make_jit();
  Ran got = run_with(k, args, [&](const BoundLaunch& launch) {
    return jit::launch_kernel(*jit, jit::module_key(m), m, 0, launch, options).error;
  });
  if (got.error && got.error->code == diag::not_lowered) {
    ++tally.refused;
    ++tally.reasons[got.error->message];
    return;
  }
  std::string what = fmt::format("seed {} for arch {}: {}", seed, *options.arch,
                                 got.error ? fmt::format("{}:{}: {}", got.error->span.line,
                                                         got.error->span.col, got.error->message)
                                           : difference(k, want, got));
  bool same = !want.error && !got.error && want.tensors == got.tensors;
  CHECK_MESSAGE(same, what << "\n" << vmasm::print_module(m.module()));
  tally.same += same;
}

void compare_all(uint64_t first, uint64_t count, jit::Backend backend) {
  Tally tally;
  for (uint64_t seed = first; seed < first + count; ++seed) compare(seed, backend, tally);
  for (const auto& [reason, n] : tally.reasons) MESSAGE(fmt::format("refused {}: {}", n, reason));
  CHECK(tally.refused * 50 <= static_cast<int>(count));
  CHECK(tally.same + tally.refused == static_cast<int>(count));
}

bool there(jit::Backend backend) {
  const jit::BackendRow* row = jit::find_row(jit::default_toolchain(), backend);
  return row && row->available();
}

}  // namespace

TEST_CASE("random programs compute the same in the simulator") {
  if (there(jit::Backend::nvptx)) compare_all(1, 30, jit::Backend::nvptx);
}

TEST_CASE("long: a thousand random programs compute the same in the simulator") {
  if (there(jit::Backend::nvptx)) compare_all(31, 970, jit::Backend::nvptx);
}

TEST_CASE("long: random programs by way of NVRTC too") {
  if (there(jit::Backend::nvrtc)) compare_all(1, 200, jit::Backend::nvrtc);
}
