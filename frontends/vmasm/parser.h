// Text to syntax tree: recursive descent with a depth limit, linear time, many errors in one run.
// Pure and thread-safe; every input is allowed, hostile ones too.
#pragma once
#include <string>
#include <string_view>

#include "frontends/vmasm/ast.h"

namespace tess::vmasm {

// Parses one file; spans get the number `file`. Errors (E0100..E0179) are appended to `out` in
// order of their place. The tree holds what could be read; do not lower it when errors were
// reported.
Ast parse(std::string text, uint32_t file, Diagnostics& out);

}  // namespace tess::vmasm
