// `tess`: reads the command line, runs one command, and turns our own mistakes into a reproducer.
#include <fmt/format.h>

#include "isa/diag/tool.h"
#include "vm/cli/commands.h"
#include "vm/cli/reproducer.h"

namespace tess::cli {
namespace {

int tess_main(int argc, const char* const* argv) {
  ParsedCommandLine parsed = parse_command_line(argc, argv);
  if (!parsed.invocation) {
    Console console = Console::make({});
    if (parsed.exit_code != 0)
      return console.report(make_diag(diag::usage, parsed.text, {}, parsed.hint));
    Status written = console.write(parsed.text);
    return written ? kOk : console.report(written.error());
  }
  Console console = Console::make(parsed.invocation->common);
  return std::visit([&](const auto& options) { return run_command(options, console); },
                    parsed.invocation->command);
}

}  // namespace

int run_command(const NotBuilt& o, const Console& console) {
  return console.report(
      make_diag(diag::command_not_built, fmt::format("`tess {}` is not in this version", o.name)));
}

}  // namespace tess::cli

int main(int argc, char** argv) {
  using namespace tess::cli;
  install_interrupt_handler();
  install_reproducer(argc, argv);
  try {
    return tess_main(argc, argv);
  } catch (const std::bad_alloc&) {
    return Console::make({}).report(
        tess::make_diag(tess::diag::out_of_memory, "the machine has not enough memory"));
  } catch (const std::exception& e) {
    return report_our_bug(e.what());
  }
}
