// Taking floats apart, shared by the files that implement numerics.h. Not for callers outside isa.
#pragma once
#include <bit>
#include <cstdint>

#include "isa/dtypes.h"
#include "isa/numerics.h"

namespace tess::numerics {

// (-1)^negative * mantissa * 2^exponent if finite; a finite zero has mantissa 0.
struct Parts {
  enum class Class : uint8_t { finite, infinite, nan };
  Class cls = Class::finite;
  bool negative = false;
  uint64_t mantissa = 0;
  int exponent = 0;

  bool is_nan() const { return cls == Class::nan; }
  bool is_inf() const { return cls == Class::infinite; }
  bool is_zero() const { return cls == Class::finite && mantissa == 0; }
};

// Of a float or e8m0 code.
Parts split_float(DType t, uint64_t code);
// Of an integer or bool code; always finite, exponent 0.
Parts split_int(DType t, uint64_t code);

// The code of the parts in a float type or e8m0, rounded once.
uint64_t join_float(DType t, const Parts& p, Round round, Overflow overflow);
uint64_t zero_code(DType t, bool negative);
uint64_t inf_code(DType t, bool negative, Overflow overflow);

constexpr uint64_t low_mask(int width) { return width >= 64 ? ~0ull : (1ull << width) - 1; }

// How many zero bits tf32 keeps below its mantissa.
constexpr int padding_bits(DType t) { return t.is_tf32() ? 13 : 0; }
// Of a float code.
constexpr uint64_t sign_bit(DType t) { return 1ull << (t.bits - 1); }
// The exponent of the smallest normal number.
constexpr int min_exponent(DType t) { return 1 - t.bias(); }

}  // namespace tess::numerics
