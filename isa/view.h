// `view`: each thread's bits as another type. Thread t's bits are its registers in order, tightly
// packed, little-endian, whatever the word size; so the meaning is a map from the bits of the result
// to the bits of the source, found by walking both layouts. Whether it is legal is check_view's
// question (layout_query.h). Pure; thread-safe.
#pragma once
#include <vector>

#include "isa/layout.h"
#include "isa/type.h"

namespace tess {

struct ViewSide {
  Type type;             // a register tile
  const Layout* layout;  // its register layout
};

// bit[e*w + b]: where bit b of the result's element e (row-major, w bits each) stands in the
// source, counted the same way.
struct ViewMap {
  std::vector<uint32_t> bit;
};
// The layouts fit their tiles (check_layout_fits). The error is check_view's, or a limit's.
Result<ViewMap> view_map(const ViewSide& source, const ViewSide& result);

// Whether a written layout fits a tile: a register layout of the tile's shape on at most `threads`
// threads that reaches every element; a memory layout of its dimensions, no two elements at one
// place. A ring's layout may leave the first dimension out.
Status check_layout_fits(const Type& type, const Layout& layout, int64_t threads);

}  // namespace tess
