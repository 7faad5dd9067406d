// Guard mode: what would trap is recorded, the first of a launch in its fault record, and the
// program goes on with some value. So barriers still meet, no access is invalid, and the device is
// none the worse for it. Loops and waits give up when their fuel has run out. Without guard mode
// nothing here emits anything.
#pragma once
#include "isa/diag/run.h"
#include "jit/lower/lowering.h"

namespace tess::jit {

// Where `bad` holds in some thread, the present instruction is a fault.
void fault_if(Lowering& l, Operand bad, Diag code);
// The same of the elements in registers of a layout (null: of a scalar); threads that hold none
// have no say.
void fault_if_any(Lowering& l, const TileLayout* layout, const std::vector<Operand>& bad,
                  Diag code);

// Turns that loops of a strand may still take; every thread counts the same. False when it has run
// out, and then for good.
Operand has_fuel(Lowering& l);

// The patience of one wait: `give_up` is asked once a turn, by the threads that wait. It ends the
// wait after many turns, which is a fault, and soon after anybody's fault.
class Patience {
 public:
  explicit Patience(Lowering& l);
  void give_up_if_spent();  // inside the loop: a break

 private:
  Lowering& l_;
  Operand turns_;
};

}  // namespace tess::jit
