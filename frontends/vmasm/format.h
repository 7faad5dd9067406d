// `tess fmt`: the one canonical text of a tree.
//
//   one statement per line, four spaces per block, `{` of a kernel or func on its own line
//   %d = name operands where %m : type #layout count(2) {dim 1, keep}
//   spaces around operators, none inside `[]` and ranges; `, ` between operands, `,` between
//   extents comments stay where they are; those inside a statement move to the line above it blank
//   lines separate kernels and funcs; elsewhere one is kept where there were some lines above 100
//   columns are broken after commas
//
// format(parse(format(t))) == format(t), and both parse to the same tree.
#pragma once
#include <string>

#include "frontends/vmasm/ast.h"

namespace tess::vmasm {

// `ast` must have been parsed without errors. Pure; thread-safe.
std::string format(const Ast& ast);

}  // namespace tess::vmasm
