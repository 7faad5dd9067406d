#include "isa/numerics.h"

#include <bit>

#include "isa/numerics_parts.h"

namespace tess {
namespace numerics {

Parts split_int(DType t, uint64_t code) {
  if (t.is_bool()) return {.mantissa = (code & 0xFF) != 0};
  uint64_t value = static_cast<uint64_t>(decode_int(t, code));
  bool negative = t.is_signed() && value >> 63;
  return {.negative = negative, .mantissa = negative ? 0 - value : value};
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

bool is_nan_code(DType t, uint64_t code) { return is_nan(t, code); }
uint64_t nan_code(DType t) { return nan_of(t); }

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
  if (t == dt::f64_) return std::bit_cast<double>(code);
  Parts p = split_float(t, code);
  return std::bit_cast<double>(join_float(dt::f64_, p, Round::rne, Overflow::saturate));
}

int64_t decode_int(DType t, uint64_t code) {
  if (t.is_bool()) return (code & 0xFF) != 0;
  int unused = 64 - t.bits;
  if (t.is_signed()) return static_cast<int64_t>(code << unused) >> unused;
  return static_cast<int64_t>(code & low_mask(t.bits));
}

uint64_t encode_parts(DType t, bool negative, uint64_t mantissa, int exponent, bool sticky,
                      Round round, Overflow overflow) {
  return round_parts(t, negative, mantissa, exponent, sticky, round, overflow);
}

uint64_t encode_float(DType t, double x, Round round, Overflow overflow) {
  return join_float(t, split_float(dt::f64_, std::bit_cast<uint64_t>(x)), round, overflow);
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
