// A program from bytes: text or bytecode, told apart by the magic; compiled, verified, with every
// diagnostic and the sources they point into. The one way in, for the C interface and the tools.
// Pure apart from reading what `use` names; thread-safe.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/diag.h"
#include "isa/result.h"
#include "isa/verify.h"

namespace tess {

struct LoadBinding {
  std::string name, value;
};
// "BM=32"; an error (diag::bad_binding) without a name and a '='.
Result<LoadBinding> parse_binding(std::string_view text);

struct LoadOptions {
  std::vector<LoadBinding> bindings;
  std::vector<std::vector<LoadBinding>> specs;  // further specialisations, each on top of `bindings`
  std::vector<std::string> search_paths;        // of `use`, after the folder of the file that says it
  bool keep_source = false;
  bool allow_no_kernels = false;  // a library of functions
};
struct Loaded {
  std::optional<VerifiedModule> module;  // if nothing in `diagnostics` is an error
  Diagnostics diagnostics;               // warnings too
  Sources sources;                       // of the diagnostics' spans
};
// `name` stands in diagnostics; its folder is searched first.
Loaded load_program(std::string name, std::string bytes, const LoadOptions& options);

// The files that places in the module speak of, in its numbering; without text where there is none.
Sources module_sources(const Module& module, const Sources& sources);

// A whole file; at most limits::max_source_bytes.
Result<std::string> read_program_file(const std::string& path);

}  // namespace tess
