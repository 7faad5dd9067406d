// assert trap assume trace; barriers of one strand, fences, prefetch.
#include <fmt/format.h>

#include "jit/lower/access.h"
#include "jit/lower/guard.h"

namespace tess::jit {
namespace {

const char* scope_word(const Lowering& l) {
  if (l.has(AttrTag::cta)) return "cta";
  if (l.has(AttrTag::cluster) && l.has_arch(90)) return "cluster";
  return l.has(AttrTag::sys) ? "sys" : "gpu";
}

}  // namespace

LOWER(assert_) {
  Emit& e = l.emit();
  Tile c = l.arg(0);
  Operand holds = pred(true);
  for (Operand w : c.words) holds = e.and_(holds, w);
  if (c.layout) holds = e.or_(holds, e.not_(l.holds_elements(*c.layout)));
  if (holds.is_imm() && holds.bits) return;
  if (l.options().guard) return fault_if(l, e.not_(holds), diag::run_assert);
  e.begin_if(e.not_(holds));
  e.form("trap", {});
  e.end();
}
LOWER(trap) {
  if (l.options().guard) return fault_if(l, pred(true), diag::run_trap);
  l.emit().form("trap", {});
}
LOWER(assume) {
  Tile c = l.arg(0);
  std::vector<Operand> broken;
  for (Operand w : c.words) broken.push_back(l.emit().not_(w));
  fault_if_any(l, c.layout, broken, diag::run_assume);
}
// The interpreter records; it changes nothing.
LOWER(trace) {}

// Every thread has the same value already.
LOWER(barrier_reduce) {
  l.barrier();
  l.set(0, l.arg(0).words);
}

LOWER(fence) {
  // A fence that only acquires or only releases is the one that does both.
  l.emit().form(fmt::format("fence.acq_rel.{}", scope_word(l)), {});
}

LOWER(prefetch) {
  Emit& e = l.emit();
  Part part = l.part_of_arg(0);
  if (part.view.space != Space::global) return;
  std::string opcode =
      std::string("prefetch.global.L2") + (l.has(AttrTag::evict_last) ? "::evict_last" : "");
  const TileLayout* layout = part.shape.rank ? l.any_layout(part.shape) : l.intern(Layout{});
  if (!layout) return;
  AccessPlan plan = plan_access(l, part, *layout, false);
  Addresser where(l, part, *layout);
  if (!plan.unit) return;  // elements below a byte that are not known to begin with one
  where.at(plan.registers[0]);
  Operand holds = l.is_first_copy(*layout);
  for (size_t i = 0; i < plan.registers.size(); i += static_cast<size_t>(plan.run)) {
    Operand condition = e.and_(holds, where.inside(plan.registers[i]));
    if (!condition.is_imm()) e.begin_if(condition);
    Address at = where.at(plan.registers[i]);
    e.form(opcode, {at.base, b32(static_cast<uint32_t>(at.offset))});
    if (!condition.is_imm()) e.end();
  }
}

}  // namespace tess::jit
