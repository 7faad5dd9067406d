#include "isa/numerics.h"

#include <bit>

#include "isa/numerics_parts.h"

namespace tess {
namespace numerics {

using Class = Parts::Class;

namespace {

constexpr DType kF64 = dt::f64_;

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

uint64_t place(DType t, bool negative, uint64_t magnitude) {
  return (magnitude << padding_bits(t)) | (negative ? sign_bit(t) : 0);
}

bool rounds_away(Round round, bool negative, bool odd, bool half, bool rest) {
  switch (round) {
    case Round::rne:
      return half && (rest || odd);
    case Round::rz:
      return false;
    case Round::ru:
      return !negative && (half || rest);
    case Round::rd:
      return negative && (half || rest);
  }
  return false;
}

// A finite value beyond the largest one after rounding with an unbounded exponent.
uint64_t overflow_code(DType t, bool negative, Round round, Overflow overflow) {
  bool toward_zero =
      round == Round::rz || (round == Round::ru && negative) || (round == Round::rd && !negative);
  if (toward_zero) return place(t, negative, max_magnitude(t));
  return inf_code(t, negative, overflow);
}

// e8m0 rounds |x|: up for ru, else down.
uint64_t encode_scale(uint64_t mantissa, int exponent, bool sticky, Round round) {
  if (mantissa == 0) return 0;
  int top = exponent + 63 - std::countl_zero(mantissa);
  bool inexact = sticky || !std::has_single_bit(mantissa);
  if (round == Round::ru && inexact) ++top;
  if (top <= -127) return 0;
  return top >= 127 ? 0xFE : static_cast<uint64_t>(top + 127);
}

}  // namespace

uint64_t zero_code(DType t, bool negative) {
  return t.kind == Kind::scale ? 0 : place(t, negative, 0);
}

uint64_t inf_code(DType t, bool negative, Overflow overflow) {
  if (t.kind == Kind::scale) return 0xFE;
  bool saturates = t.is_small_float() && overflow == Overflow::saturate;
  if (saturates || t.specials() == Specials::none) return place(t, negative, max_magnitude(t));
  if (t.specials() == Specials::nan_only) return nan_code(t);
  return place(t, negative, infinity_magnitude(t));
}

Parts split_float(DType t, uint64_t code) {
  if (t.kind == Kind::scale) {
    code &= 0xFF;
    if (code == 0xFF) return {.cls = Class::nan};
    return {.mantissa = 1, .exponent = static_cast<int>(code) - 127};
  }
  bool negative = code & sign_bit(t);
  if (is_nan_code(t, code)) return {.cls = Class::nan};
  uint64_t magnitude = (code & low_mask(t.bits - 1)) >> padding_bits(t);
  if (magnitude > max_magnitude(t)) return {.cls = Class::infinite, .negative = negative};
  uint64_t field = magnitude >> t.man, fraction = magnitude & low_mask(t.man);
  int quantum = min_exponent(t) - t.man;
  if (field == 0) return {.negative = negative, .mantissa = fraction, .exponent = quantum};
  return {.negative = negative,
          .mantissa = fraction | 1ull << t.man,
          .exponent = quantum + static_cast<int>(field) - 1};
}

Parts split_int(DType t, uint64_t code) {
  if (t.is_bool()) return {.mantissa = (code & 0xFF) != 0};
  uint64_t value = static_cast<uint64_t>(decode_int(t, code));
  bool negative = t.is_signed() && value >> 63;
  return {.negative = negative, .mantissa = negative ? 0 - value : value};
}

uint64_t join_float(DType t, const Parts& p, Round round, Overflow overflow) {
  switch (p.cls) {
    case Class::nan:
      return nan_code(t);
    case Class::infinite:
      return inf_code(t, p.negative, overflow);
    case Class::finite:
      break;
  }
  return encode_parts(t, p.negative, p.mantissa, p.exponent, false, round, overflow);
}

namespace {

// Toward zero, clamped to the integer type.
uint64_t to_int(DType to, const Parts& p) {
  if (p.is_nan()) return 0;
  uint64_t largest = max_code(to);
  uint64_t limit = !p.negative ? largest : to.is_signed() ? largest + 1 : 0;  // of the magnitude
  uint64_t magnitude = limit;
  if (p.is_zero()) {
    magnitude = 0;
  } else if (!p.is_inf() && p.exponent <= 0) {
    magnitude = p.exponent > -64 ? p.mantissa >> -p.exponent : 0;
  } else if (!p.is_inf() && p.exponent <= std::countl_zero(p.mantissa)) {
    magnitude = p.mantissa << p.exponent;
  }
  if (magnitude > limit) magnitude = limit;
  return (p.negative ? 0 - magnitude : magnitude) & low_mask(to.bits);
}

}  // namespace
}  // namespace numerics

using namespace numerics;

bool is_nan_code(DType t, uint64_t code) {
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

uint64_t nan_code(DType t) {
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
  return max_code(t);
}

uint64_t max_code(DType t) {
  switch (t.kind) {
    case Kind::boolean:
      return 1;
    case Kind::sint:
      return low_mask(t.bits - 1);
    case Kind::uint:
      return low_mask(t.bits);
    case Kind::scale:
      return 0xFE;
    case Kind::flt:
      return place(t, false, max_magnitude(t));
    case Kind::none:
      break;
  }
  return 0;
}

uint64_t one_code(DType t) {
  bool is_float = t.kind == Kind::flt || t.kind == Kind::scale;
  return is_float ? encode_parts(t, false, 1, 0, false, Round::rne, Overflow::saturate) : 1;
}

double decode_float(DType t, uint64_t code) {
  if (t == kF64) return std::bit_cast<double>(code);
  Parts p = split_float(t, code);
  return std::bit_cast<double>(join_float(kF64, p, Round::rne, Overflow::saturate));
}

int64_t decode_int(DType t, uint64_t code) {
  if (t.is_bool()) return (code & 0xFF) != 0;
  int unused = 64 - t.bits;
  if (t.is_signed()) return static_cast<int64_t>(code << unused) >> unused;
  return static_cast<int64_t>(code & low_mask(t.bits));
}

uint64_t encode_parts(DType t, bool negative, uint64_t mantissa, int exponent, bool sticky,
                      Round round, Overflow overflow) {
  // A tail alone is a value in (0, 2^exponent); callers let that mean below every half quantum.
  if (mantissa == 0 && sticky) mantissa = 1, exponent = -100'000;
  if (t.kind == Kind::scale) return encode_scale(mantissa, exponent, sticky, round);
  if (mantissa == 0) return zero_code(t, negative);

  int leading = std::countl_zero(mantissa);
  mantissa <<= leading;
  exponent -= leading;
  int top = exponent + 63;  // 2^top <= value < 2^(top+1)
  if (top > t.bias() + 1) return overflow_code(t, negative, round, overflow);

  bool subnormal = top < min_exponent(t);
  int quantum = (subnormal ? min_exponent(t) : top) - t.man;
  int dropped = quantum - exponent;  // bits below the quantum; at least 63 - 52
  uint64_t kept = dropped < 64 ? mantissa >> dropped : 0;
  bool half = dropped <= 64 && (mantissa >> (dropped - 1) & 1);
  bool rest = sticky || dropped > 64 || (mantissa & low_mask(dropped - 1));

  // Adding the hidden bit to a field one too small makes a carry out of the mantissa right by
  // itself.
  uint64_t magnitude = kept;
  if (!subnormal) magnitude += static_cast<uint64_t>(top - min_exponent(t)) << t.man;
  if (rounds_away(round, negative, magnitude & 1, half, rest)) ++magnitude;
  if (magnitude > max_magnitude(t)) return overflow_code(t, negative, round, overflow);
  return place(t, negative, magnitude);
}

uint64_t encode_float(DType t, double x, Round round, Overflow overflow) {
  return join_float(t, split_float(kF64, std::bit_cast<uint64_t>(x)), round, overflow);
}

uint64_t cast_code(DType to, DType from, uint64_t code, CastMode mode) {
  bool from_float = from.kind == Kind::flt || from.kind == Kind::scale;
  bool to_float = to.kind == Kind::flt || to.kind == Kind::scale;
  Parts p = from_float ? split_float(from, code) : split_int(from, code);
  if (to_float) return join_float(to, p, mode.round, mode.overflow);
  if (to.is_bool()) return !p.is_zero();
  if (from_float || mode.saturate_int) return to_int(to, p);
  return (p.negative ? 0 - p.mantissa : p.mantissa) & low_mask(to.bits);
}

uint64_t read_bits(const uint8_t* bytes, uint64_t bit, int width) {
  uint64_t value = 0;
  for (int got = 0; got < width;) {
    int offset = bit % 8, take = 8 - offset < width - got ? 8 - offset : width - got;
    value |= (static_cast<uint64_t>(bytes[bit / 8]) >> offset & low_mask(take)) << got;
    got += take;
    bit += take;
  }
  return value;
}

void write_bits(uint8_t* bytes, uint64_t bit, int width, uint64_t value) {
  for (int put = 0; put < width;) {
    int offset = bit % 8, take = 8 - offset < width - put ? 8 - offset : width - put;
    uint64_t mask = low_mask(take) << offset;
    uint8_t& byte = bytes[bit / 8];
    byte = static_cast<uint8_t>((byte & ~mask) | ((value >> put) << offset & mask));
    put += take;
    bit += take;
  }
}

}  // namespace tess
