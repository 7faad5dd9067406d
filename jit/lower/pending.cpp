// Rows that have no lowering yet. (pack unpack lookup gather scatter atomic.* lock unlock wait mma.scaled: being
// written now, in files of their own.)
#include "jit/lower/lowering.h"

namespace tess::jit {

LOWER(lookup) { l.unsupported("not compiled yet"); }
LOWER(pack) { l.unsupported("not compiled yet"); }
LOWER(unpack) { l.unsupported("not compiled yet"); }
LOWER(mma_scaled) { l.unsupported("not compiled yet"); }
LOWER(gather) { l.unsupported("not compiled yet"); }
LOWER(scatter) { l.unsupported("not compiled yet"); }
LOWER(atomic_add) { l.unsupported("not compiled yet"); }
LOWER(atomic_min) { l.unsupported("not compiled yet"); }
LOWER(atomic_max) { l.unsupported("not compiled yet"); }
LOWER(atomic_and) { l.unsupported("not compiled yet"); }
LOWER(atomic_or) { l.unsupported("not compiled yet"); }
LOWER(atomic_xor) { l.unsupported("not compiled yet"); }
LOWER(atomic_exch) { l.unsupported("not compiled yet"); }
LOWER(atomic_cas) { l.unsupported("not compiled yet"); }
LOWER(copy_async) { l.unsupported("not compiled yet"); }
LOWER(copy_async_commit) { l.unsupported("not compiled yet"); }
LOWER(copy_async_wait) { l.unsupported("not compiled yet"); }
LOWER(copy_bulk) { l.unsupported("not compiled yet"); }
LOWER(red_async) { l.unsupported("not compiled yet"); }
LOWER(lock) { l.unsupported("not compiled yet"); }
LOWER(unlock) { l.unsupported("not compiled yet"); }
LOWER(wait) { l.unsupported("not compiled yet"); }
LOWER(grid_sync) { l.unsupported("not compiled yet"); }
LOWER(inputs_wait) { l.unsupported("not compiled yet"); }
LOWER(outputs_ready) { l.unsupported("not compiled yet"); }
LOWER(fence_proxy) { l.unsupported("not compiled yet"); }
LOWER(cluster_sync) { l.unsupported("not compiled yet"); }
LOWER(cluster_map) { l.unsupported("not compiled yet"); }

}  // namespace tess::jit
