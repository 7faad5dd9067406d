// Order and scope of the atomics, locks and waits, as PTX says them.
#pragma once
#include "jit/lower/lowering.h"

namespace tess::jit {

const char* order_word(const Lowering& l);
// The smallest scope that means the same.
const char* scope_word(const Lowering& l, const MemoryView& v);

}  // namespace tess::jit
