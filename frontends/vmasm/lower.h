// Syntax tree to Module: names, constants, specialisation, inlining of functions. Types come from
// the Builder, which asks the one set of type rules. Pure apart from the given loader; thread-safe.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "frontends/vmasm/ast.h"
#include "isa/module.h"
#include "isa/result.h"

namespace tess::vmasm {

// -D NAME=VALUE: replaces a file-level `const` or `type`.
struct Define {
  std::string name, value;
};

struct CompileOptions {
  std::vector<Define> defines;
  // Further specialisations (`as --spec`): the kernels once more for each, with these on top of
  // `defines`.
  std::vector<std::vector<Define>> specs;
  // Reads the file that `use "name"` in the file `from` means. None: `use` is an error.
  std::function<Result<SourceFile>(const std::string& name, const std::string& from)> load;
  bool keep_source = false;  // store the text in Module::source
  bool allow_no_kernels = false;
};

// Parses and lowers `file` and all it uses. `sources` receives every file, in the numbering of the
// diagnostics' spans. No Module if an error was reported; the Module is not yet verified.
std::optional<Module> compile(SourceFile file, const CompileOptions& options, Sources& sources,
                              Diagnostics& out);

}  // namespace tess::vmasm
