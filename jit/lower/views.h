// Views of tensors and shared tiles: parts, transposes, other shapes, other types.
#pragma once
#include "jit/lower/lowering.h"

namespace tess::jit {

// Whether an operand is a tensor or shared tile, or a part of one.
bool is_memory(Lowering& l, size_t arg);
// Dimension d of the result of `transpose` is dimension permutation[d] of its operand.
std::vector<int> permutation(Lowering& l, int rank);

void slice_view(Lowering& l);
void transpose_view(Lowering& l);
void reshape_view(Lowering& l);

}  // namespace tess::jit
