#include "frontends/vmasm/print_module.h"
#include "vm/cli/commands.h"
#include "vm/cli/program.h"

namespace tess::cli {

int run_command(const DisOptions& o, const Console& console) {
  LoadOptions options;
  options.allow_no_kernels = true;
  OpenedProgram program = open_program(o.program, std::move(options), console);
  if (!program.module) return program.exit_code;
  std::string text = vmasm::print_module(program.module->module(), {.lines = !o.no_lines});
  Status written = write_output(o.output, text, console);
  return written ? program.exit_code : console.report(written.error());
}

}  // namespace tess::cli
