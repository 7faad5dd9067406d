// The syntax tree as text, for `tess emit --target ast`: one node a line, children indented.
#pragma once
#include <string>

#include "frontends/vmasm/ast.h"

namespace tess::vmasm {

std::string dump(const Ast& tree);

}  // namespace tess::vmasm
