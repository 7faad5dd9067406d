// The launch interface on a GPU: CUDA's driver, opened by dlopen when it is first asked for. The
// primary context of one device. After a fault on the GPU every handle is dead and each call fails;
// close the driver and open it again.
#pragma once
#include "jit/driver.h"

namespace tess::jit {

// diag::cuda_missing without a driver, a device of compute capability 8.0, or cuda.h at build time.
Result<Driver> open_cuda_driver(int device = 0);

}  // namespace tess::jit
