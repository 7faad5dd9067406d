// Threads of a strand, and blocks, waiting for each other.
#include "jit/lower/lowering.h"

namespace tess::jit {

LOWER(barrier) { l.barrier(); }

}  // namespace tess::jit
