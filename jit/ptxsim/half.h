// Single f16 and bf16 operations, shared by the ALU, atomics and reducing copies.
#pragma once
#include "jit/ptxsim/softfloat.h"

namespace tess::ptxsim {

enum HalfKind : uint8_t { kHalfAdd, kHalfSub, kHalfMul, kHalfMin, kHalfMax };

inline double half_value(bool bf, uint32_t h) {
  return bf ? double(bf16_to_float(h)) : double(half_to_float(h));
}
uint32_t half_operation(int kind, bool bf, bool nan, bool xorsign, uint32_t a, uint32_t b);

}  // namespace tess::ptxsim
