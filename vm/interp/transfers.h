// Shared by the kernels of asynchronous copies.
#pragma once
#include "vm/interp/memory_ops.h"
#include "vm/interp/unit.h"

namespace tess::interp {

// The memory operand as one side of a transfer, its index tile copied.
Flow resolve_side(Strand& s, const AccessPlan& plan, Region& r, std::vector<int32_t>& gather);
// Traps: the shared side of a copy must be wholly in bounds; what is read must have been written.
Flow want_inside(Strand& s, const Region& r, uint32_t name);
Flow want_written(Strand& s, const Region& r, uint32_t name);

int64_t bytes_of(const Region& box);

// Groups: closes the open one; the clock of the last but n (0: there are not so many); forgets
// those up to a clock.
void close_group(Work& w);
uint32_t clock_before(const Work& w, int64_t n);
void forget_groups(Work& w, uint32_t clock);
void knows_done(Strand& s, Agent kind, uint32_t clock);

// A load that completes on an mbarrier: of the issuing block, or with a mask of every block in it.
struct SignalledLoad {
  AccessPlan to, from;
  MbarOperand mbar;
  Operand mask;
};
Flow issue_load(Strand& s, const SignalledLoad& x, Region to, Transfer t);

}  // namespace tess::interp
