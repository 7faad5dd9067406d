// Float atomics that wait for their block's turn (README.md, "The same result whatever the thread
// count").
#pragma once
#include "vm/interp/state.h"

namespace tess::interp {

// Applies what a block recorded. Called for one block after another, in block order.
void apply_deferred(const Deferred::Atomic& atomic);

}  // namespace tess::interp
