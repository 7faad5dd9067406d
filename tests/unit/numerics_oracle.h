// A second implementation of the scalar types for the numerics tests, written from ISA.md section 2
// and deliberately naive: values by the defining formula, rounding by searching the neighbours,
// exact arithmetic in long fixed-point numbers. It shares no code with isa/numerics*.
#pragma once
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "isa/numerics.h"

namespace tess::oracle {

// Collects failures of a sweep, so that a million cases are one assertion.
struct Mismatches {
  uint64_t count = 0, cases = 0;
  std::string first;
  template <class Describe>
  void expect(bool holds, Describe describe) {
    ++cases;
    if (holds) return;
    if (count++ < 5) first += describe() + "\n";
  }
};
#define CHECK_SWEEP(m) \
  CHECK_MESSAGE((m).count == 0, (m).count, " of ", (m).cases, " differ:\n", (m).first)

inline const std::vector<Round>& rounds() {
  static const std::vector<Round> all = {Round::rne, Round::rz, Round::ru, Round::rd};
  return all;
}

enum class Tail { none, nan_at_top, infinity_and_nans };
inline Tail tail_of(DType t) {
  std::string name = dtype_name(t);
  if (name == "e4m3" || name == "e8m0") return Tail::nan_at_top;
  for (const char* ieee : {"f64", "f32", "tf32", "f16", "bf16", "e5m2"})
    if (name == ieee) return Tail::infinity_and_nans;
  return Tail::none;
}
inline int shift_of(DType t) { return dtype_name(t) == "tf32" ? 13 : 0; }
inline uint64_t code_count(DType t) { return uint64_t{1} << (t.bits - shift_of(t)); }

// The finite magnitudes of a float type are those of its codes 0..top_code (without tf32's
// padding).
inline uint64_t top_code(DType t) {
  uint64_t all = (uint64_t{1} << (t.bits - 1 - shift_of(t))) - 1;
  switch (tail_of(t)) {
    case Tail::none:
      return all;
    case Tail::nan_at_top:
      return all - 1;
    case Tail::infinity_and_nans:
      return all - (uint64_t{1} << t.man);
  }
  return 0;
}

// mantissa * 2^exponent of a magnitude code; also of the one after top_code, were the type wider.
struct Scaled {
  uint64_t mantissa;
  int exponent;
};
inline Scaled scaled(DType t, uint64_t magnitude) {
  int bias = (1 << (t.exp - 1)) - 1;
  uint64_t field = magnitude >> t.man, fraction = magnitude % (uint64_t{1} << t.man);
  if (field == 0) return {fraction, 1 - bias - t.man};
  return {(uint64_t{1} << t.man) + fraction, static_cast<int>(field) - bias - t.man};
}
inline double magnitude_value(DType t, uint64_t magnitude) {
  Scaled s = scaled(t, magnitude);
  return std::ldexp(static_cast<double>(s.mantissa), s.exponent);
}

inline double value(DType t, uint64_t code) {
  if (dtype_name(t) == "e8m0")
    return code == 255 ? NAN : std::pow(2.0, static_cast<double>(code) - 127);
  bool negative = code >> (t.bits - 1) & 1;
  uint64_t magnitude = (code & ~(uint64_t{1} << (t.bits - 1))) >> shift_of(t);
  double v = magnitude_value(t, magnitude);
  if (magnitude > top_code(t)) {
    bool infinite = tail_of(t) == Tail::infinity_and_nans && magnitude == top_code(t) + 1;
    if (!infinite) return NAN;
    v = INFINITY;
  }
  return negative ? -v : v;
}

inline uint64_t nan(DType t) {
  uint64_t all = (uint64_t{1} << (t.bits - 1 - shift_of(t))) - 1;
  switch (tail_of(t)) {
    case Tail::none:
    case Tail::nan_at_top:
      return dtype_name(t) == "e8m0" ? 0xFF : all;
    case Tail::infinity_and_nans:
      break;
  }
  return (all - (uint64_t{1} << t.man) + 1 + (uint64_t{1} << (t.man - 1))) << shift_of(t);
}

inline uint64_t beyond(DType t, bool negative, Overflow overflow) {
  uint64_t sign = negative ? uint64_t{1} << (t.bits - 1) : 0;
  bool saturates = t.bits <= 8 && overflow == Overflow::saturate;
  if (tail_of(t) == Tail::none || saturates) return sign | top_code(t) << shift_of(t);
  if (tail_of(t) == Tail::nan_at_top) return nan(t);
  return sign | (top_code(t) + 1) << shift_of(t);
}

// Chooses between the neighbours `low` <= |x| < low + 1; `side` compares |x| with their midpoint,
// and `exact` says that |x| is low.
inline uint64_t choose(DType t, bool negative, uint64_t low, int side, bool exact, Round round,
                       Overflow overflow) {
  uint64_t sign = negative ? uint64_t{1} << (t.bits - 1) : 0;
  bool up = false;
  if (!exact) {
    switch (round) {
      case Round::rne:
        up = side > 0 || (side == 0 && low % 2 == 1);
        break;
      case Round::rz:
        break;
      case Round::ru:
        up = !negative;
        break;
      case Round::rd:
        up = negative;
        break;
    }
  }
  uint64_t magnitude = low + up;
  if (magnitude > top_code(t)) return beyond(t, negative, overflow);
  return sign | magnitude << shift_of(t);
}

// Rounds doubles to one type of at most 19 significant bits of code.
struct Nearest {
  DType t;
  std::vector<double> table;  // magnitudes, and one beyond
  explicit Nearest(DType type) : t(type) {
    for (uint64_t m = 0; m <= top_code(t) + 1; ++m) table.push_back(magnitude_value(t, m));
  }
  uint64_t operator()(double x, Round round, Overflow overflow) const {
    if (std::isnan(x)) return nan(t);
    bool negative = std::signbit(x);
    x = std::fabs(x);
    if (std::isinf(x)) return beyond(t, negative, overflow);
    uint64_t low = 0, high = table.size();
    while (high - low > 1) {
      uint64_t middle = (low + high) / 2;
      (table[middle] <= x ? low : high) = middle;
    }
    if (low > top_code(t)) {  // beyond even the next value
      bool inward = round == Round::rz || (round == Round::ru && negative) ||
                    (round == Round::rd && !negative);
      uint64_t sign = negative ? uint64_t{1} << (t.bits - 1) : 0;
      return inward ? sign | top_code(t) << shift_of(t) : beyond(t, negative, overflow);
    }
    double sum = table[low] + table[low + 1];  // exact, as is 2x
    int side = 2 * x > sum ? 1 : 2 * x < sum ? -1 : 0;
    return choose(t, negative, low, side, table[low] == x, round, overflow);
  }
};

// e8m0: the power of two below |x|, or above for ru.
inline uint64_t scale(double x, Round round) {
  if (std::isnan(x)) return 0xFF;
  x = std::fabs(x);
  uint64_t code = 0;
  while (code < 0xFE && std::ldexp(1.0, static_cast<int>(code) - 127) < x) ++code;  // the first >= x
  bool exact = std::ldexp(1.0, static_cast<int>(code) - 127) == x;
  bool beyond = x >= 0x1p127;
  return round == Round::ru || exact || beyond || code == 0 ? code : code - 1;
}

// A signed fixed-point number: kLimbs * 64 bits in two's complement, the last one 2^kLowest.
template <int kLimbs, int kLowest>
struct Fixed {
  std::array<uint64_t, kLimbs> limb{};

  static Fixed of(bool negative, unsigned __int128 mantissa, int exponent) {
    Fixed f;
    int at = exponent - kLowest;
    for (int half = 0; half < 2; ++half, at += 64, mantissa >>= 64) {
      uint64_t part = static_cast<uint64_t>(mantissa);
      if (part == 0) continue;  // its place may be above the number
      f.limb[at / 64] |= part << at % 64;
      if (at % 64) f.limb[at / 64 + 1] |= part >> (64 - at % 64);
    }
    return negative ? -f : f;
  }
  Fixed operator+(const Fixed& o) const {
    Fixed r;
    unsigned carry = 0;
    for (int i = 0; i < kLimbs; ++i) {
      unsigned __int128 sum = static_cast<unsigned __int128>(limb[i]) + o.limb[i] + carry;
      r.limb[i] = static_cast<uint64_t>(sum);
      carry = static_cast<unsigned>(sum >> 64);
    }
    return r;
  }
  Fixed operator-() const {
    Fixed r, one;
    for (int i = 0; i < kLimbs; ++i) r.limb[i] = ~limb[i];
    one.limb[0] = 1;
    return r + one;
  }
  bool negative() const { return limb[kLimbs - 1] >> 63; }
  bool zero() const {
    for (uint64_t x : limb)
      if (x) return false;
    return true;
  }
  // Of non-negative numbers: -1, 0 or 1.
  int compare(const Fixed& o) const {
    for (int i = kLimbs - 1; i >= 0; --i)
      if (limb[i] != o.limb[i]) return limb[i] < o.limb[i] ? -1 : 1;
    return 0;
  }
};

// Rounds an exact non-zero sum by bisecting the codes of the type.
template <class F>
uint64_t round_fixed(DType t, F exact, Round round, Overflow overflow) {
  bool negative = exact.negative();
  if (negative) exact = -exact;
  auto of_code = [t](uint64_t magnitude) {
    Scaled s = scaled(t, magnitude);
    return F::of(false, s.mantissa, s.exponent);
  };
  uint64_t low = 0, high = top_code(t) + 1;
  if (of_code(high).compare(exact) <= 0) {
    bool inward =
        round == Round::rz || (round == Round::ru && negative) || (round == Round::rd && !negative);
    uint64_t sign = negative ? uint64_t{1} << (t.bits - 1) : 0;
    return inward ? sign | top_code(t) << shift_of(t) : beyond(t, negative, overflow);
  }
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    (of_code(middle).compare(exact) <= 0 ? low : high) = middle;
  }
  F value = of_code(low);
  int side = (exact + exact).compare(value + of_code(low + 1));
  return choose(t, negative, low, side, value.compare(exact) == 0, round, overflow);
}

// a*b + c of finite codes, rounded once.
template <class F>
uint64_t fma(DType t, uint64_t a, uint64_t b, uint64_t c, Round round) {
  auto negative = [t](uint64_t code) { return (code >> (t.bits - 1) & 1) != 0; };
  auto part = [t](uint64_t code) {
    return scaled(t, (code & ~(uint64_t{1} << (t.bits - 1))) >> shift_of(t));
  };
  Scaled x = part(a), y = part(b), z = part(c);
  bool product_negative = negative(a) != negative(b);
  F exact = F::of(product_negative, static_cast<unsigned __int128>(x.mantissa) * y.mantissa,
                  x.exponent + y.exponent) +
            F::of(negative(c), z.mantissa, z.exponent);
  if (!exact.zero()) return round_fixed(t, exact, round, Overflow::saturate);
  bool both_zero = x.mantissa == 0 || y.mantissa == 0;
  bool minus = round == Round::rd;
  if (both_zero && z.mantissa == 0 && product_negative == negative(c)) minus = product_negative;
  return minus ? uint64_t{1} << (t.bits - 1) : 0;
}
using SmallFixed = Fixed<6, -160>;   // every product of types whose exponent has at most 6 bits
using WideFixed = Fixed<72, -2240>;  // every product of f64

}  // namespace tess::oracle
