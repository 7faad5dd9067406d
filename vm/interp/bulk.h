// Conversions of whole carrier arrays (isa/dtypes.h: carrier_of), bit-identical to isa/numerics.h
// element by element, NaNs included; the *_naive ones are that loop, kept for comparison.
// Sizes count elements. Arrays do not overlap and need no alignment beyond their element's. All
// functions are thread-safe and none fails.
#pragma once
#include <cstddef>
#include <cstdint>

#include "isa/dtypes.h"
#include "isa/numerics.h"

namespace tess {

// Element i of a carrier array as a code of numerics.h, and back.
uint64_t carrier_code(DType t, const void* carriers, size_t i);
void set_carrier(DType t, void* carriers, size_t i, uint64_t code);

// cast_code on n elements.
void cast_bulk(DType to, DType from, const void* src, void* dst, size_t n, CastMode mode = {});
void cast_bulk_naive(DType to, DType from, const void* src, void* dst, size_t n,
                     CastMode mode = {});

// Casts from and to f32 in the default mode.
void to_f32_bulk(DType from, const void* src, float* dst, size_t n);
void from_f32_bulk(DType to, const float* src, void* dst, size_t n);

// Elements first_bit / bits.. of a dense little-endian bit stream to carriers; bool becomes 0 or 1.
// Reads no byte beyond the one that holds the last element's last bit.
void unpack_bulk(DType t, const uint8_t* bytes, uint64_t first_bit, size_t n, void* carriers);
void unpack_bulk_naive(DType t, const uint8_t* bytes, uint64_t first_bit, size_t n, void* carriers);

// Back. Changes no bit outside the n elements; a byte that is theirs only in part is merged by an
// atomic compare-and-swap, so packs to neighbouring bits may run at the same time (not the naive
// one).
void pack_bulk(DType t, const void* carriers, uint8_t* bytes, uint64_t first_bit, size_t n);
void pack_bulk_naive(DType t, const void* carriers, uint8_t* bytes, uint64_t first_bit, size_t n);

}  // namespace tess
