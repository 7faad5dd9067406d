#include "vm/interp/bulk_simd.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vm/interp/bulk_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tess::bulk::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<uint32_t> kU32;
const hn::ScalableTag<int32_t> kI32;
const hn::ScalableTag<float> kF32;
using VU32 = hn::Vec<decltype(kU32)>;

// Rounds f32 bits: a normal by adding half a quantum less one, plus the last kept bit; a subnormal
// of the format by a float addition at whose magnitude one ulp is the format's quantum.
HWY_INLINE VU32 encode(VU32 v, const FloatFormat& f) {
  auto set = [](uint32_t x) { return hn::Set(kU32, x); };
  int drop = 23 - f.man;
  VU32 abs = hn::And(v, set(0x7FFFFFFF));
  VU32 sign = hn::ShiftRightSame(hn::Xor(v, abs), 32 - f.bits);

  VU32 code = abs;
  if (drop > 0) {
    VU32 odd = hn::And(hn::ShiftRightSame(abs, drop), set(1));
    VU32 bumped = hn::Add(hn::Add(abs, set((1u << (drop - 1)) - 1)), odd);
    code = hn::ShiftRightSame(bumped, drop);
  }
  code = hn::Sub(code, set(f.rebias));
  if (f.normal) {
    VU32 small = hn::BitCast(kU32, hn::Add(hn::BitCast(kF32, abs), hn::Set(kF32, f.magic)));
    small = hn::Sub(small, hn::BitCast(kU32, hn::Set(kF32, f.magic)));
    code = hn::IfThenElse(hn::Lt(abs, set(f.normal)), small, code);
  }
  auto over = hn::Gt(code, set(f.max));
  code = hn::IfThenElse(over, set(f.over), code);
  if (f.over_unsigned) sign = hn::IfThenZeroElse(over, sign);
  if (f.padding) code = hn::ShiftLeftSame(code, f.padding);
  code = hn::Or(code, sign);
  return hn::IfThenElse(hn::Gt(abs, set(0x7F800000)), set(f.nan), code);
}

HWY_INLINE void store(VU32 v, uint8_t* p) {
  hn::Rebind<uint8_t, decltype(kU32)> d8;
  hn::StoreU(hn::DemoteTo(d8, hn::BitCast(kI32, v)), d8, p);
}
HWY_INLINE void store(VU32 v, uint16_t* p) {
  hn::Rebind<uint16_t, decltype(kU32)> d16;
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(kI32, v)), d16, p);
}
HWY_INLINE void store(VU32 v, uint32_t* p) { hn::StoreU(v, kU32, p); }

// Applies `step(src, dst)`, which handles `lanes` elements, to n; the rest goes through a buffer.
template <class In, class Out, class Step>
HWY_INLINE void for_lanes(const In* src, Out* dst, size_t n, size_t lanes, Step step) {
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) step(src + i, dst + i);
  if (i == n) return;
  In in[HWY_MAX_BYTES / 4] = {};
  Out out[HWY_MAX_BYTES / 4];
  std::memcpy(in, src + i, (n - i) * sizeof(In));
  step(in, out);
  std::memcpy(dst + i, out, (n - i) * sizeof(Out));
}

template <class Out>
HWY_INLINE void encode_all(const float* src, Out* dst, size_t n, FloatFormat f) {
  for_lanes(src, dst, n, hn::Lanes(kU32), [&f](const float* s, Out* d) HWY_ATTR {
    store(encode(hn::BitCast(kU32, hn::LoadU(kF32, s)), f), d);
  });
}
void encode_u8(const float* src, uint8_t* dst, size_t n, const FloatFormat& f) {
  encode_all(src, dst, n, f);
}
void encode_u16(const float* src, uint16_t* dst, size_t n, const FloatFormat& f) {
  encode_all(src, dst, n, f);
}
void encode_u32(const float* src, uint32_t* dst, size_t n, const FloatFormat& f) {
  encode_all(src, dst, n, f);
}

HWY_INLINE VU32 canonical_nan(VU32 v) {
  auto is_nan = hn::Gt(hn::And(v, hn::Set(kU32, 0x7FFFFFFFu)), hn::Set(kU32, 0x7F800000u));
  return hn::IfThenElse(is_nan, hn::Set(kU32, 0x7FC00000u), v);
}

HWY_INLINE VU32 widened(const uint16_t* p) {
  hn::Rebind<uint16_t, decltype(kU32)> d16;
  return hn::PromoteTo(kU32, hn::LoadU(d16, p));
}

// Moving the fields leaves the exponent 112 too small, and 224 for infinities. A subnormal gets its
// exponent by subtracting the hidden bit that it does not have, which is exact.
void decode_f16(const uint16_t* src, float* dst, size_t n) {
  for_lanes(src, dst, n, hn::Lanes(kU32), [](const uint16_t* s, float* d) HWY_ATTR {
    auto set = [](uint32_t x) HWY_ATTR { return hn::Set(kU32, x); };
    VU32 code = widened(s);
    VU32 abs = hn::And(code, set(0x7FFF)), sign = hn::ShiftLeft<16>(hn::Xor(code, abs));
    VU32 fields = hn::ShiftLeft<13>(abs);
    VU32 normal = hn::Add(fields, set(112u << 23));
    VU32 special = hn::Add(fields, set(224u << 23));
    auto hidden = hn::BitCast(kF32, set(113u << 23));
    VU32 small =
        hn::BitCast(kU32, hn::Sub(hn::BitCast(kF32, hn::Add(fields, set(113u << 23))), hidden));
    VU32 v = hn::IfThenElse(hn::Lt(abs, set(0x0400)), small, normal);
    v = hn::IfThenElse(hn::Gt(abs, set(0x7BFF)), special, v);
    hn::StoreU(hn::BitCast(kF32, canonical_nan(hn::Or(v, sign))), kF32, d);
  });
}

void decode_bf16(const uint16_t* src, float* dst, size_t n) {
  for_lanes(src, dst, n, hn::Lanes(kU32), [](const uint16_t* s, float* d) HWY_ATTR {
    hn::StoreU(hn::BitCast(kF32, canonical_nan(hn::ShiftLeft<16>(widened(s)))), kF32, d);
  });
}

#if HWY_TARGET == HWY_SCALAR

void unpack_narrow(const uint8_t* bytes, int offset, int width, bool is_signed, uint8_t* dst,
                   size_t n) {
  const unsigned mask = (1u << width) - 1, sign = is_signed ? 1u << (width - 1) : 0;
  for (size_t i = 0, bit = offset; i < n; ++i, bit += width) {
    unsigned shift = bit % 8, pair = bytes[bit / 8];
    if (shift + width > 8) pair |= static_cast<unsigned>(bytes[bit / 8 + 1]) << 8;
    dst[i] = static_cast<uint8_t>(((pair >> shift & mask) ^ sign) - sign);
  }
}

#else

// Sixteen values from sixteen bytes. Each value lies in two neighbouring bytes; these are brought
// into a 16-bit lane, one vector for the even values and one for the odd, and a multiplication
// moves the value to the lane's upper byte:
//
//   lane 2j    hhhhhhhh llllllll  * 2^(8-s)  ->  vvvvvvvv ........  >> 8
//   lane 2j+1  hhhhhhhh llllllll  * 2^(8-s)  ->  vvvvvvvv ........
void unpack_narrow(const uint8_t* bytes, int offset, int width, bool is_signed, uint8_t* dst,
                   size_t n) {
  constexpr size_t kBlock = 16;
  const hn::FixedTag<uint8_t, kBlock> d8;
  const hn::FixedTag<uint16_t, kBlock / 2> d16;
  HWY_ALIGN uint8_t index[2][kBlock];
  HWY_ALIGN uint16_t factor[2][kBlock / 2];
  for (int k = 0; k < static_cast<int>(kBlock); ++k) {
    int bit = offset + k * width;
    index[k % 2][k / 2 * 2] = static_cast<uint8_t>(bit / 8);
    index[k % 2][k / 2 * 2 + 1] = static_cast<uint8_t>(bit / 8 + 1);
    factor[k % 2][k / 2] = static_cast<uint16_t>(1 << (8 - bit % 8));
  }
  const auto even_index = hn::Load(d8, index[0]), odd_index = hn::Load(d8, index[1]);
  const auto even_factor = hn::Load(d16, factor[0]), odd_factor = hn::Load(d16, factor[1]);
  const auto upper = hn::Set(d16, 0xFF00);
  const auto mask = hn::Set(d8, static_cast<uint8_t>((1 << width) - 1));
  const auto sign = hn::Set(d8, static_cast<uint8_t>(is_signed ? 1 << (width - 1) : 0));

  auto block = [&](const uint8_t* s, uint8_t* d) HWY_ATTR {
    auto raw = hn::LoadU(d8, s);
    auto even = hn::Mul(hn::BitCast(d16, hn::TableLookupBytes(raw, even_index)), even_factor);
    auto odd = hn::Mul(hn::BitCast(d16, hn::TableLookupBytes(raw, odd_index)), odd_factor);
    auto both = hn::Or(hn::ShiftRight<8>(even), hn::And(odd, upper));
    auto value = hn::And(hn::BitCast(d8, both), mask);
    hn::StoreU(hn::Sub(hn::Xor(value, sign), sign), d8, d);
  };

  const size_t step = 2 * static_cast<size_t>(width);  // bytes per block
  size_t left = (offset + n * width + 7) / 8;          // bytes that may be read
  size_t i = 0;
  for (; i + kBlock <= n && left >= kBlock; i += kBlock, bytes += step, left -= step)
    block(bytes, dst + i);
  if (i == n) return;

  uint8_t rest[2 * kBlock + kBlock] = {}, out[kBlock];
  if (left > 2 * kBlock) left = 2 * kBlock;
  std::memcpy(rest, bytes, left);
  for (size_t at = 0; i < n; i += kBlock, at += step) {
    size_t count = n - i < kBlock ? n - i : kBlock;
    block(rest + at, out);
    std::memcpy(dst + i, out, count);
  }
}

#endif

}  // namespace tess::bulk::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tess::bulk {

HWY_EXPORT(encode_u8);
HWY_EXPORT(encode_u16);
HWY_EXPORT(encode_u32);
HWY_EXPORT(decode_f16);
HWY_EXPORT(decode_bf16);
HWY_EXPORT(unpack_narrow);

void encode_u8(const float* src, uint8_t* dst, size_t n, const FloatFormat& f) {
  HWY_DYNAMIC_DISPATCH(encode_u8)(src, dst, n, f);
}
void encode_u16(const float* src, uint16_t* dst, size_t n, const FloatFormat& f) {
  HWY_DYNAMIC_DISPATCH(encode_u16)(src, dst, n, f);
}
void encode_u32(const float* src, uint32_t* dst, size_t n, const FloatFormat& f) {
  HWY_DYNAMIC_DISPATCH(encode_u32)(src, dst, n, f);
}
void decode_f16(const uint16_t* src, float* dst, size_t n) {
  HWY_DYNAMIC_DISPATCH(decode_f16)(src, dst, n);
}
void decode_bf16(const uint16_t* src, float* dst, size_t n) {
  HWY_DYNAMIC_DISPATCH(decode_bf16)(src, dst, n);
}
void unpack_narrow(const uint8_t* bytes, int offset, int width, bool is_signed, uint8_t* dst,
                   size_t n) {
  HWY_DYNAMIC_DISPATCH(unpack_narrow)(bytes, offset, width, is_signed, dst, n);
}

}  // namespace tess::bulk
#endif
