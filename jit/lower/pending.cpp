// Rows that have no lowering yet.
#include "jit/lower/lowering.h"

namespace tess::jit {

LOWER(copy_bulk) { l.unsupported("not compiled yet"); }
LOWER(red_async) { l.unsupported("not compiled yet"); }

}  // namespace tess::jit
