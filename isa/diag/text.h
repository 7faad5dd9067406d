// Constants of the diagnostic codes in isa/diag/text.def.
#pragma once
#include "isa/diag.h"

namespace tess::diag {
#define DIAG TESS_DIAG_CONSTANT
#include "isa/diag/text.def"
#undef DIAG
}  // namespace tess::diag
