#include "jit/tile/signs.h"

#include "isa/regions.h"

namespace tess::jit::tile {

bool Signs::holds(const std::vector<bool>& known, Ref r) const {
  if (auto c = constant_of(k_, r)) return *c >= 0;
  return r.is_value() && known[r.index()];
}

bool Signs::of_inst(const Inst& inst, const std::vector<bool>& known, bool wraps) const {
  auto args = k_.args(inst);
  auto is = [&](size_t i) { return holds(known, args[i]); };
  switch (inst.op) {
    case Op::block_x:
    case Op::block_y:
    case Op::block_z:
    case Op::grid_x:
    case Op::grid_y:
    case Op::grid_z:
    case Op::cluster_rank:
    case Op::device_sms:
    case Op::warps:  // the strand's number
    case Op::popc:
      return true;
    case Op::for_:
      return is(0) && (args[2].is_none() || is(2));
    case Op::move:
      return is(0);
    case Op::cast: {
      if (!args[0].is_value() || !inst.n_results) return is(0);
      DType from = k_.values[args[0].index()].type.dtype,
            to = k_.values[k_.results(inst)[0].index()].type.dtype;
      if (from.is_bool()) return true;
      return from.is_int() && is(0) && from.bits <= to.bits &&
             (from.is_signed() || from.bits < to.bits);
    }
    case Op::max:
    case Op::and_:
      return is(0) || is(1);
    case Op::min:
    case Op::or_:
    case Op::xor_:
    case Op::div:
      return is(0) && is(1);
    case Op::rem:  // it has the sign of the first
      return is(0);
    case Op::select:
      return is(1) && is(2);
    case Op::shr:
      return is(0);
    case Op::add:
    case Op::mul:
    case Op::shl:
      return !wraps && is(0) && is(1);
    default:
      return false;
  }
}

// From all values that may be, down to those whose definitions all agree.
void Signs::settle(std::vector<bool>& known, const Within& within, bool wraps) const {
  known.assign(k_.values.size(), false);
  std::vector<bool> certain = known;
  for (size_t v = 0; v < k_.values.size(); ++v) {
    const Type& t = k_.values[v].type;
    bool number = t.is_scalar() && t.dtype.is_int();
    certain[v] = number && (!t.dtype.is_signed() ||
                            within.never_negative(Ref::value(static_cast<uint32_t>(v))));
    known[v] = certain[v] || (number && v >= k_.params.size());
  }
  for (size_t v = 0; v < k_.params.size(); ++v) {
    const Param& p = k_.params[v];
    if (p.dir == Direction::scalar && k_.values[v].type.dtype.is_int() && p.lo && *p.lo >= 0)
      known[v] = true;
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (const Inst& inst : k_.code) {
      if (!inst.n_results) continue;
      bool agrees = of_inst(inst, known, wraps);
      for (Ref r : k_.results(inst))
        if (known[r.index()] && !certain[r.index()] && !agrees) {
          known[r.index()] = false;
          changed = true;
        }
    }
  }
}

Signs::Signs(const Kernel& k, const Within& within) : k_(k) {
  settle(never_, within, true);
  settle(counts_, within, false);
}

}  // namespace tess::jit::tile
