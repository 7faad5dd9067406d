// Loading for the commands that work on programs without running them.
#pragma once
#include "vm/api/load.h"
#include "vm/cli/console.h"

namespace tess::cli {

struct OpenedProgram {
  std::optional<VerifiedModule> module;
  Sources sources;
  int exit_code = kOk;
};
// Reads, compiles and verifies; everything found is reported. `options` gets the bindings and
// search paths of `program`.
OpenedProgram open_program(const Program& program, LoadOptions options, const Console& console);

}  // namespace tess::cli
