// Strands, and whether blocks must run one at a time (README.md, "The same result whatever the
// thread count").
#include <algorithm>

#include "vm/interp/plan.h"

namespace tess::interp {

SectionShape section_of(const Kernel& k, uint32_t pc) {
  const Inst& inst = k.code[pc];
  auto number = [&](Ref r) { return static_cast<uint32_t>(k.constants[r.index()].code); };
  uint32_t warps = number(k.args(inst)[1]) - number(k.args(inst)[0]);
  uint32_t by = static_cast<uint32_t>(k.attr(inst, AttrTag::by).value_or(warps));
  return {by, warps / by};
}

void Plan::find_strands() {
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    const Inst& inst = k.code[pc];
    p.tracked |= is_concurrent(inst.op);
    if (inst.op == Op::parallel)
      p.strands_per_block = std::max(p.strands_per_block, 1 + strands_of(pc));
    if (inst.op != Op::mbar) continue;
    uint32_t v = k.results(inst)[0].index();
    uint32_t slots = static_cast<uint32_t>(k.values[v].type.shape[0]);
    uint32_t count = static_cast<uint32_t>(k.attr(inst, AttrTag::count).value_or(1));
    p.mbar_values.push_back({v, slots, count});
    p.mbar_slots += slots;
  }
}
uint32_t Plan::strands_of(uint32_t parallel) const {
  uint32_t n = 0;
  for (uint32_t pc = parallel + 1; k.code[pc].op == Op::warps; pc = info.match[pc] + 1)
    n += section_of(k, pc).strands;
  return n;
}

uint32_t Plan::root_of(uint32_t v) {
  while (root[v] != v) v = root[v] = root[root[v]];
  return v;
}

void Plan::find_order() {
  root.resize(k.values.size());
  for (uint32_t v = 0; v < k.values.size(); ++v) root[v] = v;
  auto base = [&](Ref r) -> uint32_t {
    return r.is_access() ? k.accesses[r.index()].base : r.is_value() ? r.index() : ~0u;
  };
  // A view may be reassigned: every base it ever has shares one root.
  for (const Inst& inst : k.code) {
    if (!inst.n_results || !inst.n_args) continue;
    uint32_t d = k.results(inst)[0].index();
    if (k.values[d].type.space != Space::global) continue;
    uint32_t b = base(k.args(inst)[0]);
    if (b == ~0u || k.values[b].type.space != Space::global) continue;
    root[root_of(b)] = root_of(d);
  }
  std::vector<uint8_t> accessed(k.values.size()), float_atomic(k.values.size());
  bool any_access = false, any_float_atomic = false, aliasing = false;
  for (const Param& param : k.params) aliasing |= param.may_alias;
  for (const Inst& inst : k.code) {
    const OpInfo& op = op_info(inst.op);
    switch (inst.op) {
      case Op::lock:
      case Op::unlock:
      case Op::wait:
      case Op::grid_sync:
      case Op::tma_reduce:
        p.ordered = true;
        break;
      default:
        break;
    }
    auto args = k.args(inst);
    if (op.effect == Effect::atomic) {
      uint32_t b = base(args[0]);
      if (k.values[b].type.space != Space::global) continue;
      bool commutes =
          inst.n_results == 0 && inst.op != Op::atomic_exch && inst.op != Op::atomic_cas;
      if (!commutes) p.ordered = true;
      else if (!k.values[b].type.dtype.is_int()) {
        float_atomic[root_of(b)] = 1;
        any_float_atomic = true;
      } else accessed[root_of(b)] |= 2;
    } else if (op.effect == Effect::read || op.effect == Effect::write) {
      if (inst.op == Op::prefetch) continue;
      for (Ref r : args) {
        uint32_t b = base(r);
        if (b == ~0u || k.values[b].type.space != Space::global) continue;
        accessed[root_of(b)] |= 1;
        any_access = true;
      }
    }
  }
  for (uint32_t v = 0; v < k.values.size(); ++v) p.ordered |= float_atomic[v] && accessed[v];
  p.ordered |= any_float_atomic && any_access && aliasing;
  p.cooperative = k.cooperative;
  for (const Inst& inst : k.code) p.has_alias |= inst.op == Op::alias;
}

}  // namespace tess::interp
