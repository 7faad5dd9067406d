// The inner loops of the sweep over all 2^32 f32 inputs, compiled for speed, with the scalar type a
// constant in each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "isa/numerics.h"

namespace tess::sweep {

// The types that the sweep covers: every float of at most 16 bits, tf32, and e8m0.
std::vector<DType> types();

struct Mode {
  Round round;
  Overflow overflow;
};
// Every pair that can make a difference to the type.
std::vector<Mode> modes(DType t);

// Whether the rounding of isa/numerics_parts.h gives wanted[k] in modes(t)[k] for each of the f32
// codes first..last, which lie in one binade.
bool rounds_to(DType t, uint32_t first, uint32_t last, std::span<const uint64_t> wanted);

// Whether each of these normal f32 codes of one binade, taken apart and normalised, is its fields:
// what lets rounds_to leave that step out of its loops.
bool f32_takes_apart(uint32_t first, uint32_t last);

// Whether the n carriers from `at` on are all this code.
bool all_equal(DType t, const void* carriers, size_t at, size_t n, uint64_t code);

}  // namespace tess::sweep
