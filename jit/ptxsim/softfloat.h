// Rounding to any small float format, and the fast paths for f16 and bf16. Pure functions.
// The general path is round_parts: (-1)^neg * mantissa * 2^exponent (plus a tail if sticky),
// rounded once.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace tess::ptxsim {

enum class Rnd : uint8_t { rn, rz, rm, rp, rna };

struct Format {
  uint8_t exp, man;
  int16_t bias;
  uint64_t max_code;  // largest finite
  uint64_t inf_code;  // 0: none
  uint64_t
      nan_code;  // 0: none (then NaN becomes the largest finite, as PTX has it for fp6 and fp4)
  int bits() const { return 1 + exp + man; }
};
inline constexpr Format kF64{
    11, 52, 1023, 0x7fefffffffffffffull, 0x7ff0000000000000ull, 0x7fffffffffffffffull};
inline constexpr Format kF32{8, 23, 127, 0x7f7fffff, 0x7f800000, 0x7fffffff};
inline constexpr Format kTF32{8, 10, 127, 0x3fbff, 0x3fc00, 0x3ffff};
inline constexpr Format kF16{5, 10, 15, 0x7bff, 0x7c00, 0x7fff};
inline constexpr Format kBF16{8, 7, 127, 0x7f7f, 0x7f80, 0x7fff};
inline constexpr Format kE4M3{4, 3, 7, 0x7e, 0, 0x7f};
inline constexpr Format kE5M2{5, 2, 15, 0x7b, 0x7c, 0x7f};
inline constexpr Format kE2M3{2, 3, 1, 0x1f, 0, 0};
inline constexpr Format kE3M2{3, 2, 3, 0x1f, 0, 0};
inline constexpr Format kE2M1{2, 1, 1, 0x7, 0, 0};

inline uint64_t round_parts(const Format& f, bool neg, uint64_t m, int e, bool sticky, Rnd r,
                            bool saturate) {
  uint64_t sign = neg ? 1ull << (f.exp + f.man) : 0;
  if (m == 0 && !sticky) return sign;
  int q, top = m ? 63 - std::countl_zero(m) : -1;
  int lowest = 1 - f.bias - f.man;
  q = m ? std::max(top + e - f.man, lowest) : lowest;
  int shift = q - e;
  uint64_t kept, rest_half = 0;  // rest: 0 exact, 1 below half, 2 half, 3 above half
  if (shift <= 0) {
    kept = m << -shift;
    rest_half = sticky ? 1 : 0;
  } else if (shift > 64 || m == 0) {
    kept = 0;
    rest_half = 1;
  } else {
    kept = shift == 64 ? 0 : m >> shift;
    uint64_t rest = shift == 64 ? m : m & ((1ull << shift) - 1), half = 1ull << (shift - 1);
    rest_half = rest < half ? (rest || sticky ? 1 : 0) : rest == half ? (sticky ? 3 : 2) : 3;
  }
  bool up = false;
  switch (r) {
    case Rnd::rn:
      up = rest_half == 3 || (rest_half == 2 && (kept & 1));
      break;
    case Rnd::rna:
      up = rest_half >= 2;
      break;
    case Rnd::rz:
      break;
    case Rnd::rm:
      up = neg && rest_half;
      break;
    case Rnd::rp:
      up = !neg && rest_half;
      break;
  }
  kept += up;
  uint64_t biased = uint64_t(q + f.man + f.bias);
  uint64_t code = ((biased - 1) << f.man) + kept;
  if (biased - 1 > (1u << f.exp) || code > f.max_code) {
    bool to_max = saturate || r == Rnd::rz || (r == Rnd::rm && !neg) || (r == Rnd::rp && neg);
    code = to_max ? f.max_code : f.inf_code ? f.inf_code : f.nan_code ? f.nan_code : f.max_code;
  }
  return sign | code;
}

inline void split_double(double x, bool& neg, uint64_t& m, int& e) {
  uint64_t b = std::bit_cast<uint64_t>(x);
  neg = b >> 63;
  int be = int(b >> 52) & 0x7ff;
  m = b & 0xfffffffffffffull;
  if (be) m |= 1ull << 52;
  e = (be ? be : 1) - 1075;
}

// NaN gives the format's NaN (positive), or its largest finite value.
inline uint64_t round_double(const Format& f, double x, Rnd r, bool saturate) {
  if (x != x) return f.nan_code ? f.nan_code : f.max_code;
  bool neg;
  uint64_t m;
  int e;
  split_double(x, neg, m, e);
  uint64_t sign = neg ? 1ull << (f.exp + f.man) : 0;
  if (std::isinf(x)) {
    if (saturate) return sign | f.max_code;
    return sign | (f.inf_code ? f.inf_code : f.nan_code ? f.nan_code : f.max_code);
  }
  return round_parts(f, neg, m, e, false, r, saturate);
}

inline double decode_code(const Format& f, uint64_t code) {
  uint64_t mag = code & ((1ull << (f.exp + f.man)) - 1);
  bool neg = (code >> (f.exp + f.man)) & 1;
  double v;
  if (f.inf_code && mag == f.inf_code) v = INFINITY;
  else if (f.nan_code && mag > f.max_code) v = NAN;
  else {
    int be = int(mag >> f.man);
    uint64_t m = mag & ((1ull << f.man) - 1);
    v = be ? std::ldexp(double(m | (1ull << f.man)), be - f.bias - f.man)
           : std::ldexp(double(m), 1 - f.bias - f.man);
  }
  return neg ? -v : v;
}

inline float half_to_float(uint32_t h) {
  uint32_t b = (h & 0x7fff) << 13;
  float f = std::bit_cast<float>(b) * 0x1p112f;
  uint32_t r = std::bit_cast<uint32_t>(f) | ((h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u);
  return std::bit_cast<float>(r | (h & 0x8000) << 16);
}
inline uint32_t float_to_half(float v) {  // nearest even; NaN is 0x7fff
  uint32_t x = std::bit_cast<uint32_t>(v), sign = (x >> 16) & 0x8000, r;
  x &= 0x7fffffff;
  uint32_t small = std::bit_cast<uint32_t>(std::bit_cast<float>(x) + 0.5f) - 0x3f000000u;
  uint32_t normal = (x - 0x38000000u + 0xfff + ((x >> 13) & 1)) >> 13;
  r = x < 0x38800000u ? small : normal;
  r = x >= 0x47800000u ? 0x7c00u : r;
  return x > 0x7f800000u ? 0x7fffu : r | sign;
}
inline float bf16_to_float(uint32_t h) { return std::bit_cast<float>(h << 16); }
inline uint32_t float_to_bf16(float v) {
  uint32_t x = std::bit_cast<uint32_t>(v);
  return (x & 0x7fffffff) > 0x7f800000u ? 0x7fffu : ((x + 0x7fff + ((x >> 16) & 1)) >> 16) & 0xffff;
}

inline float canonical(float v) { return v == v ? v : std::bit_cast<float>(0x7fffffffu); }
inline double canonical(double v) {
  return v == v ? v : std::bit_cast<double>(0x7fffffffffffffffull);
}
inline float flush(float v) {
  uint32_t b = std::bit_cast<uint32_t>(v);
  return (b & 0x7f800000) == 0 ? std::bit_cast<float>(b & 0x80000000u) : v;
}
inline double flush(double v) { return v; }

// a + b rounded to odd, so that one more rounding to a shorter format is right.
inline double add_to_odd(double a, double b) {
  double s = a + b;
  if (!std::isfinite(s)) return s;
  double bb = s - a, err = (a - (s - bb)) + (b - bb);
  uint64_t u = std::bit_cast<uint64_t>(s);
  if (err != 0 && (u & 1) == 0) {
    bool away = (err > 0) == (s > 0);
    if (s == 0) return err;
    u = away ? u + 1 : u - 1;
    s = std::bit_cast<double>(u);
  }
  return s;
}

}  // namespace tess::ptxsim
