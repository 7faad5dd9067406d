#include "isa/diag/tool.h"
#include "vm/cli/commands.h"

namespace tess::cli {

int run_command(const SimOptions&, const Console& console) {
  return console.report(make_diag(diag::command_not_built, "`tess sim` is not in this version"));
}

}  // namespace tess::cli
