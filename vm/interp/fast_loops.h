// Elementwise loops over carrier arrays, compiled for several vector widths and chosen once at run
// time. Each does to n elements what numerics.h says for one; integers narrower than their carrier
// are given and returned by value. Destination and operands may be the same array, else they do not
// overlap.
#pragma once
#include <cstddef>
#include <cstdint>

#include "isa/dtypes.h"

namespace tess::interp {

enum class FastOp : uint8_t {
  add,
  sub,
  mul,
  mulhi,
  div,
  rem,
  fma,
  min,
  max,
  min_nan,
  max_nan,
  neg,
  abs,
  and_,
  or_,
  xor_,
  not_,
  shl,
  shr,
  popc,  // shift counts are u8, 255 standing for all above
  eq,
  ne,
  lt,
  le,
  gt,
  ge,  // to bool
  clamp,
  floor,
  ceil,
  round,
  trunc,
  sqrt,
  count,
};

// `bits`: the width of an integer type.
using FastLoop = void (*)(void* d, const void* a, const void* b, const void* c, size_t n, int bits);

// d[i] = a[2i] op a[2i + 1] for n pairs, for add, mul, min, max, and, or, xor; d may be a. b and c are
// not used. Null where there is none.
FastLoop pair_loop(FastOp op, Carrier carrier);
// shl and shr by one count below the width, for all elements; b and c are not used.
void shift_loop(FastOp op, Carrier carrier, void* d, const void* a, int count, size_t n, int bits);

// Null where the combination does not exist. Floats: f32 and f64 only.
FastLoop fast_loop(FastOp op, Carrier carrier);

// d = c ? a : b for elements of 1, 2, 4 or 8 bytes.
void select_loop(int bytes, void* d, const uint8_t* c, const void* a, const void* b, size_t n);

// even[i] = s[2i], odd[i] = s[2i + 1] for elements of 1, 2, 4 or 8 bytes; n pairs.
void deinterleave_loop(int bytes, const void* s, void* even, void* odd, size_t n);

// out[i] = s[(first + i) / run]: each element repeated `run` times, from place `first` on.
void repeat_loop(int bytes, const void* s, int64_t run, int64_t first, void* out, int64_t n);

// Shift counts as u8, 255 standing for all above; `mask` cuts a narrow type's sign extension.
void clamp_counts_loop(int bytes, const void* counts, uint64_t mask, uint8_t* out, size_t n);

// u8, i8, u16 and i16 values to f32, exactly; false for other carriers.
bool widen_int_loop(Carrier from, const void* s, float* d, size_t n);

// a * b + c to f16 or bf16, rounded once, on their exact f32 values; the result is an f32 that
// rounds to nearest even without a second error (round to odd).
void fma_to_odd(const float* a, const float* b, const float* c, float* d, size_t n);

}  // namespace tess::interp
