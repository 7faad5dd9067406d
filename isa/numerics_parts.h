// Taking floats apart and rounding them, inline: the files that implement numerics.h share it, and
// the exhaustive test instantiates it with the type as a constant. Not for other callers.
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

// Of an integer or bool code; always finite, exponent 0.
Parts split_int(DType t, uint64_t code);

constexpr uint64_t low_mask(int width) { return width >= 64 ? ~0ull : (1ull << width) - 1; }

// How many zero bits tf32 keeps below its mantissa.
constexpr int padding_bits(DType t) { return t.is_tf32() ? 13 : 0; }
// Of a float code.
constexpr uint64_t sign_bit(DType t) { return 1ull << (t.bits - 1); }
// The exponent of the smallest normal number.
constexpr int min_exponent(DType t) { return 1 - t.bias(); }

// A float code without sign and padding: exponent field over mantissa field.
constexpr uint64_t infinity_magnitude(DType t) { return low_mask(t.exp) << t.man; }
constexpr uint64_t max_magnitude(DType t) {
  switch (t.specials()) {
    case Specials::ieee:
      return infinity_magnitude(t) - 1;
    case Specials::nan_only:
      return low_mask(t.bits - 1) - 1;
    case Specials::none:
      break;
  }
  return low_mask(t.bits - 1);
}

constexpr uint64_t place(DType t, bool negative, uint64_t magnitude) {
  return (magnitude << padding_bits(t)) | (negative ? sign_bit(t) : 0);
}

constexpr bool is_nan(DType t, uint64_t code) {
  if (t.kind == Kind::scale) return (code & 0xFF) == 0xFF;
  if (t.kind != Kind::flt) return false;
  uint64_t magnitude = code & low_mask(t.bits - 1);
  switch (t.specials()) {
    case Specials::ieee:
      return magnitude > infinity_magnitude(t) << padding_bits(t);
    case Specials::nan_only:
      return magnitude == low_mask(t.bits - 1);
    case Specials::none:
      break;
  }
  return false;
}

constexpr uint64_t nan_of(DType t) {
  if (t.kind == Kind::scale) return 0xFF;
  if (t.kind != Kind::flt) return 0;
  switch (t.specials()) {
    case Specials::ieee:
      return place(t, false, infinity_magnitude(t) | 1ull << (t.man - 1));
    case Specials::nan_only:
      return low_mask(t.bits - 1);
    case Specials::none:
      break;
  }
  return place(t, false, max_magnitude(t));
}

constexpr uint64_t zero_code(DType t, bool negative) {
  return t.kind == Kind::scale ? 0 : place(t, negative, 0);
}

constexpr uint64_t inf_code(DType t, bool negative, Overflow overflow) {
  if (t.kind == Kind::scale) return 0xFE;
  bool saturates = t.is_small_float() && overflow == Overflow::saturate;
  if (saturates || t.specials() == Specials::none) return place(t, negative, max_magnitude(t));
  if (t.specials() == Specials::nan_only) return nan_of(t);
  return place(t, negative, infinity_magnitude(t));
}

// Of a float or e8m0 code.
constexpr Parts split_float(DType t, uint64_t code) {
  if (t.kind == Kind::scale) {
    code &= 0xFF;
    if (code == 0xFF) return {.cls = Parts::Class::nan};
    return {.mantissa = 1, .exponent = static_cast<int>(code) - 127};
  }
  bool negative = code & sign_bit(t);
  if (is_nan(t, code)) return {.cls = Parts::Class::nan};
  uint64_t magnitude = (code & low_mask(t.bits - 1)) >> padding_bits(t);
  if (magnitude > max_magnitude(t)) return {.cls = Parts::Class::infinite, .negative = negative};
  uint64_t field = magnitude >> t.man, fraction = magnitude & low_mask(t.man);
  int quantum = min_exponent(t) - t.man;
  if (field == 0) return {.negative = negative, .mantissa = fraction, .exponent = quantum};
  return {.negative = negative,
          .mantissa = fraction | 1ull << t.man,
          .exponent = quantum + static_cast<int>(field) - 1};
}

// --- rounding

constexpr bool rounds_away(Round round, bool negative, bool odd, bool half, bool rest) {
  switch (round) {
    case Round::rne:
      return half & (rest | odd);
    case Round::rz:
      return false;
    case Round::ru:
      return (!negative) & (half | rest);
    case Round::rd:
      return negative & (half | rest);
  }
  return false;
}

// A finite value beyond the largest one after rounding with an unbounded exponent.
constexpr uint64_t overflow_code(DType t, bool negative, Round round, Overflow overflow) {
  bool toward_zero =
      round == Round::rz || (round == Round::ru && negative) || (round == Round::rd && !negative);
  if (toward_zero) return place(t, negative, max_magnitude(t));
  return inf_code(t, negative, overflow);
}

// e8m0 rounds |x|: up for ru, else down.
constexpr uint64_t encode_scale(uint64_t mantissa, int exponent, bool sticky, Round round) {
  if (mantissa == 0) return 0;
  int top = exponent + 63 - std::countl_zero(mantissa);
  bool inexact = sticky || !std::has_single_bit(mantissa);
  if (round == Round::ru && inexact) ++top;
  if (top <= -127) return 0;
  return top >= 127 ? 0xFE : static_cast<uint64_t>(top + 127);
}

// mantissa * 2^exponent, where the mantissa has its top bit, in a float type. After the cases that
// depend on the exponent alone nothing branches, so that loops over mantissas vectorise.
constexpr uint64_t round_normalised(DType t, bool negative, uint64_t mantissa, int exponent,
                                    bool sticky, Round round, Overflow overflow) {
  int top = exponent + 63;  // 2^top <= value < 2^(top+1)
  uint64_t over = overflow_code(t, negative, round, overflow);
  if (top > t.bias() + 1) return over;

  bool subnormal = top < min_exponent(t);
  int quantum = (subnormal ? min_exponent(t) : top) - t.man;
  int dropped = quantum - exponent;  // bits below the quantum; at least 63 - 52
  if (dropped > 64) return place(t, negative, rounds_away(round, negative, false, false, true));
  uint64_t halves = mantissa >> (dropped - 1);
  bool half = halves & 1, rest = sticky | ((mantissa & low_mask(dropped - 1)) != 0);

  // Adding the hidden bit to a field one too small makes a carry out of the mantissa right by
  // itself.
  uint64_t magnitude = halves >> 1;
  if (!subnormal) magnitude += static_cast<uint64_t>(top - min_exponent(t)) << t.man;
  magnitude += rounds_away(round, negative, magnitude & 1, half, rest);
  return magnitude > max_magnitude(t) ? over : place(t, negative, magnitude);
}

// encode_parts of numerics.h.
constexpr uint64_t round_parts(DType t, bool negative, uint64_t mantissa, int exponent, bool sticky,
                               Round round, Overflow overflow) {
  // A tail alone is a value in (0, 2^exponent); callers let that mean below every half quantum.
  if (mantissa == 0 && sticky) mantissa = 1, exponent = -100'000;
  if (t.kind == Kind::scale) return encode_scale(mantissa, exponent, sticky, round);
  if (mantissa == 0) return zero_code(t, negative);
  int leading = std::countl_zero(mantissa);
  return round_normalised(t, negative, mantissa << leading, exponent - leading, sticky, round,
                          overflow);
}

// The code of the parts in a float type or e8m0, rounded once.
constexpr uint64_t join_float(DType t, const Parts& p, Round round, Overflow overflow) {
  switch (p.cls) {
    case Parts::Class::nan:
      return nan_of(t);
    case Parts::Class::infinite:
      return inf_code(t, p.negative, overflow);
    case Parts::Class::finite:
      break;
  }
  return round_parts(t, p.negative, p.mantissa, p.exponent, false, round, overflow);
}

}  // namespace tess::numerics
