// Pictures of layouts: for registers, the tensor as a grid of lane and register; for memory, the
// tensor as a grid of offsets with their shared-memory banks. The last two dimensions are drawn,
// the others at 0.
#pragma once
#include <string>

#include "isa/layout.h"

namespace tess {

struct DrawOptions {
  int elem_bits = 16;                    // for banks
  int64_t max_rows = 64, max_cols = 64;  // more is cut, and said
};
// A grid of characters; `color` paints lanes (registers) or banks (memory) with ANSI 256-colour
// codes.
Result<std::string> draw_layout(const Layout& l, bool color, const DrawOptions& options = {});
// The same picture as a self-contained SVG document.
Result<std::string> svg_layout(const Layout& l, const DrawOptions& options = {});

}  // namespace tess
