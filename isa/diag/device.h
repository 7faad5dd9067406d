// Constants of the diagnostic codes in isa/diag/device.def.
#pragma once
#include "isa/diag.h"

namespace tess::diag {
#define DIAG TESS_DIAG_CONSTANT
#include "isa/diag/device.def"
#undef DIAG
}  // namespace tess::diag
