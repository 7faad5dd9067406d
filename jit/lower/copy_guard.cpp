#include "jit/lower/copy_guard.h"

#include "jit/lower/guard.h"

namespace tess::jit {

Operand partly_outside(Lowering& l, const Part& part) {
  Emit& e = l.emit();
  Operand bad = e.not_(l.has_slot(part.view));
  for (const Bound& b : part.bounds) {
    int64_t n = b.dim < 0 ? 1 : part.shape[b.dim];
    Operand last = e.add(b.origin, Operand::imm(static_cast<uint64_t>(n - 1), b.origin.type));
    for (Operand at : {b.origin, last}) bad = e.or_(bad, e.not_(e.ult(at, b.extent)));
  }
  return bad;
}

Operand outside_of_shared(Lowering& l, const Part& part) {
  if (!l.options().guard) return pred(false);
  Operand bad = partly_outside(l, part);
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
