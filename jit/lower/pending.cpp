// Rows that have no lowering yet.
#include "jit/lower/lowering.h"

namespace tess::jit {

LOWER(copy_bulk) { l.unsupported("not compiled yet"); }
LOWER(red_async) { l.unsupported("not compiled yet"); }
LOWER(grid_sync) { l.unsupported("not compiled yet"); }
LOWER(inputs_wait) { l.unsupported("not compiled yet"); }
LOWER(outputs_ready) { l.unsupported("not compiled yet"); }
LOWER(fence_proxy) { l.unsupported("not compiled yet"); }
LOWER(cluster_sync) { l.unsupported("not compiled yet"); }
LOWER(cluster_map) { l.unsupported("not compiled yet"); }

}  // namespace tess::jit
