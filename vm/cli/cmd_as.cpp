#include <fmt/format.h>

#include "isa/bytecode.h"
#include "vm/cli/commands.h"
#include "vm/cli/program.h"

namespace tess::cli {

int run_command(const AsOptions& o, const Console& console) {
  LoadOptions options;
  options.keep_source = o.keep_source;
  for (const std::string& text : o.specs) {
    std::vector<LoadBinding> spec;
    for (size_t i = 0; i <= text.size();) {
      size_t comma = std::min(text.find(',', i), text.size());
      Result<LoadBinding> binding = parse_binding(std::string_view(text).substr(i, comma - i));
      if (!binding) return console.report(binding.error());
      spec.push_back(std::move(*binding));
      i = comma + 1;
    }
    options.specs.push_back(std::move(spec));
  }
  OpenedProgram program = open_program(o.program, std::move(options), console);
  if (!program.module) return program.exit_code;
  std::vector<uint8_t> bytes = write_bytecode(
      program.module->module(),
      {.strip_names = o.strip, .strip_lines = o.strip, .keep_source = o.keep_source});
  std::string output = o.output;
  if (output.empty() && o.program.file != "-") {
    std::string stem = o.program.file;
    if (stem.ends_with(".vmasm")) stem.resize(stem.size() - 6);
    output = stem + ".vmbc";
  }
  Status written =
      write_output(output, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, console);
  return written ? program.exit_code : console.report(written.error());
}

}  // namespace tess::cli
