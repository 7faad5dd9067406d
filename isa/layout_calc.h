// The layout calculator behind `tess layout`: text in, text out. Nothing here prints or reads
// files.
#pragma once
#include <string>
#include <string_view>

#include "isa/layout.h"

namespace tess {

// Everything about one layout expression: canonical form, every spelling (or why it has none),
// sizes, cosize, coverage, vector width and bank conflicts where they mean something, F2 or not.
Result<std::string> describe_layout(std::string_view expr, const LayoutEnv& env = {});
std::string describe_layout(const Layout& l);

struct CaseReport {
  std::string text;  // one block for each failure (got, expected), then "N passed, N failed"
  int passed = 0, failed = 0;
};
// Runs a file in the conformance notation.
CaseReport run_layout_cases(std::string_view text);

}  // namespace tess
