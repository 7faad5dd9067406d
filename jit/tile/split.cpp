#include "jit/tile/split.h"

#include <algorithm>

#include "isa/regions.h"
#include "jit/tile/pipeline.h"
#include "jit/tile/shapes.h"
#include "jit/tile/webs.h"
#include "jit/tile/within.h"

namespace tess::jit {
namespace {

// One step of a product keeps at most so many bytes of both operands in shared memory; more stages
// hide more latency than deeper ones.
constexpr int64_t kMostBytes = int64_t{48} * 1024;

struct Operands {
  uint32_t loop = 0, load_a = 0, load_b = 0, mma = 0;  // pc
  int64_t step = 0, stages = 1;
};

bool plain_load(const Kernel& k, const Inst& inst, uint32_t counter, int dim, int64_t step) {
  auto args = k.args(inst);
  if (inst.op != Op::load || !args[0].is_access() || (args.size() > 1 && !args[1].is_none()))
    return false;
  if (k.has(inst, AttrTag::layout) || k.has(inst, AttrTag::pad)) return false;
  const Access& a = k.accesses[args[0].index()];
  const Type& from = k.values[a.base].type;
  if (!a.item.is_none()) return false;
  if (from.space != Space::global || from.shape.rank != 2 || a.n_indices != 2) return false;
  auto indices = k.indices_of(a);
  for (int d = 0; d < 2; ++d) {
    const Index& i = indices[static_cast<size_t>(d)];
    bool counts = i.start == Ref::value(counter);
    if (i.kind != IndexKind::range || counts != (d == dim)) return false;
    if (counts && i.extent != step) return false;
  }
  return true;
}

std::optional<HostExpr> host_expression(const Kernel& k, Ref end) {
  if (auto n = constant_of(k, end)) return HostExpr::of(*n);
  if (!end.is_value() || end.index() >= k.params.size()) return {};
  return HostExpr{{{HostOp::param, end.index()}}};
}
int64_t divisor_of(const Kernel& k, Ref end) {
  auto e = host_expression(k, end);
  return e ? tile::host_divisor(k, *e) : 1;
}
// Whether the loop's end is the extent of what is loaded, so that the rest of a step is zero.
bool ends_with(const Kernel& k, Ref end, const Inst& load, size_t dim) {
  auto e = host_expression(k, end);
  uint32_t base = k.accesses[k.args(load)[0].index()].base;
  return e && base < k.params.size() && k.params[base].shape[dim] == *e;
}

// The loop at `pc`, if it is of that kind and nothing else.
std::optional<Operands> product_loop(const Kernel& k, const KernelInfo& info, uint32_t pc) {
  const Inst& loop = k.code[pc];
  if (loop.op != Op::for_ || info.match[pc] != pc + 4) return {};
  auto args = k.args(loop);
  auto begin = constant_of(k, args[0]);
  auto step = args[2].is_none() ? std::nullopt : constant_of(k, args[2]);
  if (begin != 0 || !step || *step <= 1) return {};
  const Inst& mma = k.code[pc + 3];
  if (mma.op != Op::mma || k.has(mma, AttrTag::layout) || k.has(mma, AttrTag::promote)) return {};
  if (!(k.results(mma)[0] == k.args(mma)[2])) return {};  // a sum over all steps
  uint32_t counter = k.results(loop)[0].index();
  Operands o{pc, 0, 0, pc + 3, *step, k.attr(loop, AttrTag::pipeline).value_or(1)};
  for (uint32_t at : {pc + 1, pc + 2}) {
    if (k.code[at].n_results != 1) return {};
    Ref made = k.results(k.code[at])[0];
    if (made == k.args(mma)[0] && plain_load(k, k.code[at], counter, 1, *step)) o.load_a = at;
    if (made == k.args(mma)[1] && plain_load(k, k.code[at], counter, 0, *step)) o.load_b = at;
  }
  if (!o.load_a || !o.load_b) return {};
  bool whole_steps = divisor_of(k, args[1]) % *step == 0;
  if (!whole_steps &&
      !(ends_with(k, args[1], k.code[o.load_a], 1) && ends_with(k, args[1], k.code[o.load_b], 0)))
    return {};
  // The tiles have no other definition or reader.
  for (uint32_t load : {o.load_a, o.load_b}) {
    uint32_t tile = k.results(k.code[load])[0].index(), readers = 0, writers = 0;
    std::vector<tile::Use> uses;
    for (const Inst& inst : k.code) {
      uses.clear();
      tile::uses_of(k, inst, uses);
      for (const tile::Use& u : uses) readers += u.value == tile;
      for (Ref r : k.results(inst)) writers += r.index() == tile;
    }
    if (readers != 1 || writers != 1) return {};
  }
  return o;
}

int64_t bytes_of(const Type& t) { return (t.shape.elements() * t.dtype.bits + 7) / 8; }

int64_t smaller_step(const Kernel& k, const Operands& o, Sm sm) {
  const Type &a = k.values[k.results(k.code[o.load_a])[0].index()].type,
             &b = k.values[k.results(k.code[o.load_b])[0].index()].type;
  DType acc = k.values[k.results(k.code[o.mma])[0].index()].type.dtype;
  auto form = tile::mma_form(a.dtype, b.dtype, acc, sm);
  int64_t unit = form ? form->k : 1, step = o.step, bytes = bytes_of(a) + bytes_of(b);
  auto fits = [&] {
    int64_t now = bytes / o.step * step;
    return now <= kMostBytes && now * std::max<int64_t>(1, o.stages) <= shared_memory_of(sm);
  };
  while (!fits() && step % 2 == 0 && step / 2 % unit == 0) step /= 2;
  return step;
}

}  // namespace

Module split_loops(const VerifiedModule& module, size_t kernel, Sm sm) {
  Module out = module.module();
  Kernel k = module.kernel(kernel);
  const KernelInfo& info = module.info(kernel);
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    auto o = product_loop(k, info, pc);
    if (!o) continue;
    int64_t step = smaller_step(k, *o, sm);
    if (step == o->step) continue;
    const Inst& loop = k.code[pc];
    Constant c = k.constants[k.args(loop)[2].index()];
    c.code = static_cast<uint64_t>(step);
    k.constants.push_back(c);
    k.refs[loop.first_ref + loop.n_results + 2] =
        Ref::constant(static_cast<uint32_t>(k.constants.size() - 1));
    for (uint32_t load : {o->load_a, o->load_b}) {
      int dim = load == o->load_a ? 1 : 0;
      const Access& a = k.accesses[k.args(k.code[load])[0].index()];
      k.indices[a.first_index + static_cast<uint32_t>(dim)].extent = step;
      k.values[k.results(k.code[load])[0].index()].type.shape[dim] = step;
    }
  }
  out.kernels = {std::move(k)};
  return out;
}

}  // namespace tess::jit
