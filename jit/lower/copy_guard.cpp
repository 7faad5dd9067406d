#include "jit/lower/copy_guard.h"

#include "jit/lower/guard.h"

namespace tess::jit {

Operand partly_outside(Lowering& l, const Part& part) {
  Emit& e = l.emit();
  Operand bad = pred(false);
  for (const Bound& b : part.bounds) {
    int64_t n = b.dim < 0 ? 1 : part.shape[b.dim];
    Operand last = e.add(b.origin, Operand::imm(static_cast<uint64_t>(n - 1), b.origin.type));
    for (Operand at : {b.origin, last}) bad = e.or_(bad, e.not_(e.ult(at, b.extent)));
  }
  return bad;
}

Operand outside_of_shared(Lowering& l, size_t arg, const Part& part) {
  if (!l.options().guard) return pred(false);
  Emit& e = l.emit();
  Operand bad = partly_outside(l, part);
  if (Ref r = l.arg_ref(arg); r.is_access()) {
    const Access& a = l.kernel().accesses[r.index()];
    const Index& slot = l.kernel().indices_of(a)[0];
    if (l.kernel().values[a.base].type.ring && slot.kind != IndexKind::all) {
      Operand use = l.index_of(slot.start);
      bad = e.or_(bad, e.slt(use, Operand::imm(0, use.type)));
    }
  }
  fault_if(l, bad, diag::run_copy_bounds);
  return bad;
}

Receivers receivers(Lowering& l, const std::optional<Operand>& mask) {
  Receivers to{b32(1), pred(false)};
  if (!mask) return to;
  Emit& e = l.emit();
  uint64_t blocks = std::max<uint64_t>(l.kernel().cluster, 1);
  Operand rank = blocks > 1 ? e.op(BlockOp::cluster_rank, {}) : b32(0);
  to.own = e.and_(e.form1("shr.u32", {*mask, rank}), b32(1));
  if (!l.options().guard) return to;
  to.bad = e.not_(e.ult(e.sub(*mask, b32(1)), b32((uint64_t{1} << blocks) - 1)));
  fault_if(l, to.bad, diag::run_cluster_rank);
  return to;
}

}  // namespace tess::jit
