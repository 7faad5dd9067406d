// What the command line asks of the compiler: the tile program it makes, and why. Text comes back
// ready to print. Pure and thread-safe; errors are values.
#pragma once
#include <string>
#include <string_view>

#include "isa/verify.h"

namespace tess::jit {

// The kernel, alone, after the tile passes: every layout, conversion and shared tile is in the
// program. `arch`: sm_80, sm_89 or sm_90a; E0800 for another.
Result<Module> tile_program(const VerifiedModule& module, size_t kernel, std::string_view arch);

// `tess check -v`: layouts, conversions, vector widths, bank conflicts, shared memory.
Result<std::string> compiler_report(const VerifiedModule& module, size_t kernel,
                                    std::string_view arch);

// `tess explain --why FILE:LINE[:COL]`: each decision taken for the instructions of that place (col
// 0: of the line), what forced it and what the alternative would have cost. Empty if there are
// none.
struct ProgramPlace {
  uint32_t file = 0;  // in Module::files
  uint32_t line = 0, col = 0;
};
Result<std::string> explain_why(const VerifiedModule& module, size_t kernel, std::string_view arch,
                                ProgramPlace place);

}  // namespace tess::jit
