// Float atomics that wait for their block's turn (README.md, "The same result whatever the thread
// count").
#pragma once
#include "isa/isa.h"
#include "vm/interp/state.h"

namespace tess::interp {

// What memory holds after an atomic operation on one element, as codes.
uint64_t atomic_combined(Op op, DType t, uint64_t old, uint64_t v, uint64_t expected);

// Applies what a block recorded. Called for one block after another, in block order.
void apply_deferred(const Deferred::Atomic& atomic);

}  // namespace tess::interp
