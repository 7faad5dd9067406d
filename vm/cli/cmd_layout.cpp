#include "isa/diag/tool.h"
#include "vm/cli/commands.h"

namespace tess::cli {

int run_command(const LayoutOptions&, const Console& console) {
  return console.report(make_diag(diag::command_not_built, "`tess layout` is not in this version"));
}

}  // namespace tess::cli
