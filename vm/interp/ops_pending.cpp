// Rows that the interpreter cannot run yet: decoding a kernel that has one is refused.
#include <fmt/format.h>

#include "isa/diag/text.h"
#include "vm/interp/program.h"

namespace tess::interp {
namespace {

void refuse(Binder& b) {
  b.fail(make_diag(diag::unsupported_op, fmt::format("the interpreter does not run `{}` yet",
                                                     op_info(b.inst().op).name)));
}

}  // namespace

KERNEL(parallel) { refuse(b); }
KERNEL(warps) { refuse(b); }
KERNEL(wgmma) { refuse(b); }
KERNEL(wgmma_commit) { refuse(b); }
KERNEL(wgmma_wait) { refuse(b); }
KERNEL(wgmma_fence) { refuse(b); }
KERNEL(mma_scaled) { refuse(b); }
KERNEL(mbar) { refuse(b); }
KERNEL(copy_async) { refuse(b); }
KERNEL(copy_async_commit) { refuse(b); }
KERNEL(copy_async_wait) { refuse(b); }
KERNEL(copy_async_arrive) { refuse(b); }
KERNEL(copy_bulk) { refuse(b); }
KERNEL(mbar_arrive) { refuse(b); }
KERNEL(mbar_expect) { refuse(b); }
KERNEL(mbar_wait) { refuse(b); }
KERNEL(tma_load) { refuse(b); }
KERNEL(tma_store) { refuse(b); }
KERNEL(tma_reduce) { refuse(b); }
KERNEL(tma_commit) { refuse(b); }
KERNEL(tma_wait) { refuse(b); }
KERNEL(red_async) { refuse(b); }
KERNEL(barrier_named) { refuse(b); }
KERNEL(barrier_named_arrive) { refuse(b); }
KERNEL(fence_proxy) { refuse(b); }
KERNEL(cluster_sync) { refuse(b); }
KERNEL(cluster_map) { refuse(b); }

}  // namespace tess::interp
