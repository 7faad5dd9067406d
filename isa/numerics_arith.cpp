// Arithmetic on float codes: exact in integers, then rounded once by encode_parts.
#include "isa/numerics.h"
#include "isa/numerics_parts.h"

namespace tess {
namespace {

using namespace numerics;
using u128 = unsigned __int128;

int count_leading_zeros(u128 x) {
  uint64_t high = static_cast<uint64_t>(x >> 64);
  return high ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<uint64_t>(x));
}

// A non-zero magnitude * 2^exponent with its top bit at kTop.
struct Wide {
  bool negative;
  u128 magnitude;
  int exponent;
};
constexpr int kTop = 125;  // leaves room for the carry of one addition and one bit to spare

Wide normalised(bool negative, u128 magnitude, int exponent) {
  int shift = count_leading_zeros(magnitude) - (127 - kTop);
  return {negative, magnitude << shift, exponent - shift};
}

uint64_t encode_wide(DType t, bool negative, u128 magnitude, int exponent, bool sticky,
                     Round round) {
  int excess = 64 - count_leading_zeros(magnitude);
  if (excess > 0) {
    sticky |= (magnitude & ((static_cast<u128>(1) << excess) - 1)) != 0;
    magnitude >>= excess;
    exponent += excess;
  }
  return encode_parts(t, negative, static_cast<uint64_t>(magnitude), exponent, sticky, round,
                      Overflow::saturate);
}

// Products have at most 106 bits, so a normalised one ends in at least 20 zeros: bits fall off the
// smaller operand only when it is at least 2^20 below the other, where a sticky bit at the far end
// of 125 stands for any tail, also after a subtraction.
uint64_t encode_sum(DType t, Wide a, Wide b, Round round) {
  if (a.exponent < b.exponent || (a.exponent == b.exponent && a.magnitude < b.magnitude))
    std::swap(a, b);
  int distance = a.exponent - b.exponent;
  bool sticky = distance > kTop;
  u128 shifted = 0;
  if (!sticky) {
    shifted = b.magnitude >> distance;
    sticky = shifted << distance != b.magnitude;
  }
  if (a.negative == b.negative)
    return encode_wide(t, a.negative, a.magnitude + shifted, a.exponent, sticky, round);
  u128 difference = a.magnitude - shifted - sticky;
  if (difference == 0 && !sticky) return zero_code(t, round == Round::rd);
  return encode_wide(t, a.negative, difference, a.exponent, sticky, round);
}

uint64_t signed_zero_sum(DType t, bool a_negative, bool b_negative, Round round) {
  return zero_code(t, a_negative == b_negative ? a_negative : round == Round::rd);
}

uint64_t multiply(DType t, const Parts& a, const Parts& b, Round round) {
  bool negative = a.negative != b.negative;
  if (a.is_inf() || b.is_inf()) {
    if (a.is_zero() || b.is_zero()) return nan_code(t);
    return inf_code(t, negative, Overflow::saturate);
  }
  if (a.is_zero() || b.is_zero()) return zero_code(t, negative);
  u128 product = static_cast<u128>(a.mantissa) * b.mantissa;
  return encode_wide(t, negative, product, a.exponent + b.exponent, false, round);
}

uint64_t divide(DType t, const Parts& a, const Parts& b, Round round) {
  bool negative = a.negative != b.negative;
  if (a.is_inf()) return b.is_inf() ? nan_code(t) : inf_code(t, negative, Overflow::saturate);
  if (b.is_inf()) return zero_code(t, negative);
  if (b.is_zero()) return a.is_zero() ? nan_code(t) : inf_code(t, negative, Overflow::saturate);
  if (a.is_zero()) return zero_code(t, negative);
  int shift_a = std::countl_zero(a.mantissa), shift_b = std::countl_zero(b.mantissa);
  u128 numerator = static_cast<u128>(a.mantissa << shift_a) << 63;
  uint64_t denominator = b.mantissa << shift_b;
  uint64_t quotient = static_cast<uint64_t>(numerator / denominator);  // 63 or 64 bits
  bool sticky = numerator % denominator != 0;
  int exponent = a.exponent - shift_a - 63 - (b.exponent - shift_b);
  return encode_parts(t, negative, quotient, exponent, sticky, round, Overflow::saturate);
}

uint64_t floor_sqrt(u128 x) {
  u128 root = 0;
  for (int bit = 63; bit >= 0; --bit) {
    u128 candidate = root | static_cast<u128>(1) << bit;
    if (candidate * candidate <= x) root = candidate;
  }
  return static_cast<uint64_t>(root);
}

Parts negated(Parts p) {
  p.negative = !p.negative;
  return p;
}

uint64_t fused(DType t, const Parts& a, const Parts& b, const Parts& c, Round round) {
  if (a.is_nan() || b.is_nan() || c.is_nan()) return nan_code(t);
  bool negative = a.negative != b.negative;
  if (a.is_inf() || b.is_inf()) {
    bool invalid = a.is_zero() || b.is_zero() || (c.is_inf() && c.negative != negative);
    return invalid ? nan_code(t) : inf_code(t, negative, Overflow::saturate);
  }
  if (c.is_inf()) return inf_code(t, c.negative, Overflow::saturate);
  if (a.is_zero() || b.is_zero()) {
    if (c.is_zero()) return signed_zero_sum(t, negative, c.negative, round);
    return join_float(t, c, round, Overflow::saturate);
  }
  u128 product = static_cast<u128>(a.mantissa) * b.mantissa;
  int exponent = a.exponent + b.exponent;
  if (c.is_zero()) return encode_wide(t, negative, product, exponent, false, round);
  return encode_sum(t, normalised(negative, product, exponent),
                    normalised(c.negative, c.mantissa, c.exponent), round);
}

}  // namespace

uint64_t fma_code(DType t, uint64_t a, uint64_t b, uint64_t c, Round round) {
  return fused(t, split_float(t, a), split_float(t, b), split_float(t, c), round);
}

uint64_t arith_code(DType t, char op, uint64_t a, uint64_t b, Round round) {
  Parts x = split_float(t, a), y = split_float(t, b);
  if (x.is_nan() || y.is_nan()) return nan_code(t);
  constexpr Parts kOne{.mantissa = 1};
  switch (op) {
    case '+':
      return fused(t, x, kOne, y, round);
    case '-':
      return fused(t, x, kOne, negated(y), round);
    case '*':
      return multiply(t, x, y, round);
    default:
      return divide(t, x, y, round);
  }
}

uint64_t sqrt_code(DType t, uint64_t a, Round round) {
  Parts p = split_float(t, a);
  if (p.is_nan()) return nan_code(t);
  if (p.is_zero()) return zero_code(t, p.negative);
  if (p.negative) return nan_code(t);
  if (p.is_inf()) return inf_code(t, false, Overflow::saturate);
  u128 radicand = static_cast<u128>(p.mantissa) << 64;
  int exponent = p.exponent - 64;
  int shift = count_leading_zeros(radicand) & ~1;
  radicand <<= shift;
  exponent -= shift;
  if (exponent & 1) {  // the mantissa has at most 53 bits, so nothing is lost on either side
    radicand >>= 1;
    exponent += 1;
  }
  uint64_t root = floor_sqrt(radicand);
  bool sticky = static_cast<u128>(root) * root != radicand;
  return encode_parts(t, false, root, exponent / 2, sticky, round, Overflow::saturate);
}

}  // namespace tess
