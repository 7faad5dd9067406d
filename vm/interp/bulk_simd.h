// The SIMD kernels under bulk.h, dispatched at run time to the best target of the machine.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tess::bulk {

// A float type of <= 32 bits and an overflow rule as numbers, for rounding f32 to nearest even.
struct FloatFormat {
  int man;
  int bits;         // the sign stands at bits - 1
  uint32_t rebias;  // (127 - bias) << man
  uint32_t normal;  // bits of the smallest normal as f32; 0 if the exponent range is that of f32
  float magic;      // 2^(23 + quantum exponent of the subnormals): adding it rounds to that quantum
  uint32_t max;     // largest finite magnitude
  uint32_t over;    // magnitude beyond it
  bool over_unsigned;  // beyond it the sign is dropped (e4m3 nosat: NaN)
  uint32_t nan;        // code
  int padding;         // zero bits below the mantissa (tf32)
};

void encode_u8(const float* src, uint8_t* dst, size_t n, const FloatFormat& f);
void encode_u16(const float* src, uint16_t* dst, size_t n, const FloatFormat& f);
void encode_u32(const float* src, uint32_t* dst, size_t n, const FloatFormat& f);

// f16 and bf16 codes to f32; NaNs become 0x7FC00000.
void decode_f16(const uint16_t* src, float* dst, size_t n);
void decode_bf16(const uint16_t* src, float* dst, size_t n);

// n values of 1..7 bits, the first at bit `offset` (0..7) of bytes[0], each to a byte,
// sign-extended if `is_signed`. Reads only bytes that hold bits of them.
void unpack_narrow(const uint8_t* bytes, int offset, int width, bool is_signed, uint8_t* dst,
                   size_t n);

}  // namespace tess::bulk
