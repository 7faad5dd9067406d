// Modules built by hand, using every part that a module has. They are well-typed.
#pragma once
#include "isa/module.h"

namespace tess::tests {

Module saxpy_module();

}  // namespace tess::tests
