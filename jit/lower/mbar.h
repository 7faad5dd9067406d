// mbarriers by use number: which 8 bytes, which phase.
#pragma once
#include "jit/lower/lowering.h"

namespace tess::jit {

struct BarrierUse {
  Operand address;  // b32, of the slot
  Operand use;      // b32 or b64
  uint32_t slots = 1;
  bool remote = false;
};
BarrierUse barrier_use(Lowering& l, size_t arg);
Operand phase_parity(Lowering& l, const BarrierUse& b);  // b32: 0 or 1

// The first thread of the strand alone does what `body` emits.
template <class Body>
void in_first_thread(Lowering& l, Body body) {
  Operand first = l.emit().eq(l.thread(), b32(0));
  if (!first.is_imm()) l.emit().begin_if(first);
  body();
  if (!first.is_imm()) l.emit().end();
}
// Guard mode: the use is negative, or the slot in another phase as far as its parity tells (where
// `asked` holds; a peer's slot never is). Recorded; a constant false without guard mode.
Operand in_another_phase(Lowering& l, const BarrierUse& b, Operand asked = pred(true));
// By one thread: so many more bytes before the phase is complete.
void expect_bytes(Lowering& l, const BarrierUse& b, Operand bytes);

}  // namespace tess::jit
