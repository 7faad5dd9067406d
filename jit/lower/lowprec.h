// Casts of packed words as rules over (bits, place in the word, signedness, exponent, mantissa):
// straight-line packed code for pairs of f16 and bf16, and for f32, bytes and what goes to them.
#pragma once
#include <optional>

#include "jit/lower/lowering.h"

namespace tess::jit {

// The default cast (round to nearest even, saturating) of n elements; result element i is source
// element order[i]. None if no packed rule serves these types.
std::optional<Words> cast_packed(Lowering& l, DType to, DType from, const Words& words, int64_t n,
                                 const std::vector<int64_t>& order);

}  // namespace tess::jit
