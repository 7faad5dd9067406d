#include "vm/cli/program.h"

namespace tess::cli {

OpenedProgram open_program(const Program& program, LoadOptions options, const Console& console) {
  OpenedProgram out;
  for (const std::string& text : program.bindings) {
    Result<LoadBinding> binding = parse_binding(text);
    if (!binding) {
      out.exit_code = console.report(binding.error());
      return out;
    }
    options.bindings.push_back(std::move(*binding));
  }
  options.search_paths = program.search_paths;
  Result<std::string> bytes = read_input(program.file);
  if (!bytes) {
    out.exit_code = console.report(bytes.error());
    return out;
  }
  Loaded loaded = load_program(program.file == "-" ? "standard input" : program.file,
                               std::move(*bytes), options);
  out.exit_code = console.report(std::move(loaded.diagnostics), loaded.sources);
  out.sources = std::move(loaded.sources);
  out.module = std::move(loaded.module);
  return out;
}

}  // namespace tess::cli
