// Combining elements of a tile along dimensions: within a thread, then over lanes, then over warps.
#pragma once
#include <functional>

#include "jit/lower/lowering.h"

namespace tess::jit {

// What is carried for one element: one operand, or several (key and index of argmin).
using Item = std::vector<Operand>;
using CombineItems = std::function<Item(const Item&, const Item&)>;

struct Combining {
  uint32_t dims = 0;  // mask of those that go
  CombineItems combine;
  // The instruction that combines a word over the whole warp, if there is one.
  std::string warp_form;
};

// Items by register of `from`; the result by register of `collapsed`, which is `from` without those
// dimensions (extent 1), in every thread that `from` knows. None if the layout mixes what goes and
// what stays in one digit.
std::optional<std::vector<Item>> combine_registers(Lowering& l, const TileLayout& from,
                                                   const TileLayout& collapsed,
                                                   std::vector<Item> items, const Combining& how);
// `from` with the dimensions of `dims` of extent 1.
const TileLayout* collapsed_layout(Lowering& l, const TileLayout& from, uint32_t dims);

// The tile under another shape and layout: the same elements in row-major order. As a scalar, in
// every thread.
Words reshaped_words(Lowering& l, const Tile& t, const Shape& to, const TileLayout* layout);

}  // namespace tess::jit
