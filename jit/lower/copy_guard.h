// What guard mode asks of a copy before it starts. A check records the fault and answers where it
// holds; there the copy is left out. Without guard mode the answer is a constant false.
#pragma once
#include "jit/lower/mbar.h"

namespace tess::jit {

// Some element of the part is out of bounds; nothing is recorded.
Operand partly_outside(Lowering& l, const Part& part);
// The shared side is partly out of bounds, or no slot of its ring.
Operand outside_of_shared(Lowering& l, const Part& part);
// What `body` emits does not happen where `bad` holds.
template <class Body>
void unless(Lowering& l, Operand bad, Body body) {
  if (bad.is_imm() && bad.bits) return;
  if (!bad.is_imm()) l.emit().begin_if(l.emit().not_(bad));
  body();
  if (!bad.is_imm()) l.emit().end();
}

// Who receives what is copied to this block, or to the blocks of a multicast mask. Only the issuing
// block's own barrier expects the bytes by itself, if it is among them.
struct Receivers {
  Operand own;  // b32: 1 or 0
  Operand bad;  // as above: the mask is empty or names a block beyond the cluster
};
Receivers receivers(Lowering& l, const std::optional<Operand>& mask);

// By one thread: `copy` emits what brings so many bytes to the barrier of each receiver.
template <class Body>
void start_load(Lowering& l, const BarrierUse& b, const std::optional<Operand>& mask, Operand bytes,
                Operand bad, Body copy) {
  Emit& e = l.emit();
  Receivers to = receivers(l, mask);
  if (l.options().guard)
    bad = e.or_(e.or_(bad, to.bad), in_another_phase(l, b, e.ne(to.own, b32(0))));
  unless(l, bad, [&] {
    expect_bytes(l, b, e.mul(to.own, bytes));
    copy();
  });
}

}  // namespace tess::jit
