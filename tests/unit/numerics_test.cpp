// Encode, decode and the codes of special values, against the oracle and against values by hand.
#include "isa/numerics.h"

#include <doctest/doctest.h>

#include <bit>
#include <cfloat>
#include <cmath>
#include <random>

#include "tests/unit/numerics_oracle.h"

using namespace tess;
using oracle::Mismatches;

namespace {

uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
float f32_of(uint32_t bits) { return std::bit_cast<float>(bits); }
bool same_double(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}
DType named(const char* name) { return find_dtype(name).value(); }
bool is_table_float(DType t) { return t.is_float() && (t.bits <= 16 || t.is_tf32()); }

std::string describe(DType t, double x, Round round, Overflow overflow, uint64_t got,
                     uint64_t want) {
  return fmt::format("{} of {:a}, round {}, overflow {}: {:#x}, expected {:#x}", dtype_name(t), x,
                     static_cast<int>(round), static_cast<int>(overflow), got, want);
}

}  // namespace

TEST_CASE("values of the formats as their specifications print them") {
  struct Row {
    const char* type;
    uint64_t code;
    double value;
  };
  const Row rows[] = {
      {"e4m3", 0x7E, 448},
      {"e4m3", 0x08, 0x1p-6},
      {"e4m3", 0x07, 0.875 * 0x1p-6},
      {"e4m3", 0x01, 0x1p-9},
      {"e4m3", 0x80, -0.0},
      {"e5m2", 0x7B, 57344},
      {"e5m2", 0x04, 0x1p-14},
      {"e5m2", 0x03, 0x1.8p-15},
      {"e5m2", 0x01, 0x1p-16},
      {"e5m2", 0xFC, -INFINITY},
      {"e3m2", 0x1F, 28},
      {"e3m2", 0x04, 0.25},
      {"e3m2", 0x01, 0.0625},
      {"e2m3", 0x1F, 7.5},
      {"e2m3", 0x08, 1},
      {"e2m3", 0x01, 0.125},
      {"e2m1", 0x0, 0},
      {"e2m1", 0x1, 0.5},
      {"e2m1", 0x2, 1},
      {"e2m1", 0x3, 1.5},
      {"e2m1", 0x4, 2},
      {"e2m1", 0x5, 3},
      {"e2m1", 0x6, 4},
      {"e2m1", 0x7, 6},
      {"e2m1", 0xF, -6},
      {"e8m0", 0x00, 0x1p-127},
      {"e8m0", 0x7F, 1},
      {"e8m0", 0xFE, 0x1p127},
      {"f16", 0x7BFF, 65504},
      {"f16", 0x0001, 0x1p-24},
      {"bf16", 0x7F7F, 0x1.FEp127},
      {"bf16", 1, 0x1p-133},
      {"tf32", 0x3F802000, 1 + 0x1p-10},
      {"e1m1", 1, 1},
      {"e1m1", 3, 3},
      {"e1m2", 1, 0.5},
      {"e1m2", 7, 3.5},
      {"e2m0", 1, 1},
      {"e2m0", 3, 4},
      {"e3m0", 1, 0.25},
      {"e3m0", 7, 16},
      {"e5m0", 31, 65536},
      {"e3m4", 0x7F, 31},
      {"e4m2", 0x3F, 448},
      {"e7m0", 0x7F, 0x1p64},
      {"f32", 1, 0x1p-149},
      {"f64", 1, 0x1p-1074},
  };
  for (const Row& r : rows) {
    CAPTURE(r.type);
    CAPTURE(r.code);
    CHECK(same_double(decode_float(named(r.type), r.code), r.value));
    CHECK(encode_float(named(r.type), r.value, Round::rne, Overflow::nosat) == r.code);
  }
  CHECK(std::isnan(decode_float(dt::e4m3_, 0x7F)));
  CHECK(std::isnan(decode_float(dt::e4m3_, 0xFF)));
  CHECK(std::isnan(decode_float(dt::e5m2_, 0x7D)));
  CHECK(std::isnan(decode_float(dt::e8m0_, 0xFF)));
}

TEST_CASE("overflow, infinity and NaN by hand") {
  struct Row {
    const char* type;
    double x;
    uint64_t saturated, unsaturated;
  };
  const Row rows[] = {
      {"e4m3", 464, 0x7E, 0x7E},
      {"e4m3", 464.001, 0x7E, 0x7F},
      {"e4m3", -465, 0xFE, 0x7F},
      {"e4m3", INFINITY, 0x7E, 0x7F},
      {"e4m3", NAN, 0x7F, 0x7F},
      {"e5m2", 61439, 0x7B, 0x7B},
      {"e5m2", 61440, 0x7B, 0x7C},
      {"e5m2", -1e9, 0xFB, 0xFC},
      {"e5m2", -INFINITY, 0xFB, 0xFC},
      {"e5m2", NAN, 0x7E, 0x7E},
      {"e2m1", 100, 0x7, 0x7},
      {"e2m1", -INFINITY, 0xF, 0xF},
      {"e2m1", NAN, 0x7, 0x7},
      {"e2m3", NAN, 0x1F, 0x1F},
      {"f16", 65519, 0x7BFF, 0x7BFF},
      {"f16", 65520, 0x7C00, 0x7C00},
      {"f16", NAN, 0x7E00, 0x7E00},
      {"bf16", NAN, 0x7FC0, 0x7FC0},
      {"tf32", NAN, 0x7FC00000, 0x7FC00000},
      {"e8m0", INFINITY, 0xFE, 0xFE},
      {"e8m0", -INFINITY, 0xFE, 0xFE},
      {"e8m0", NAN, 0xFF, 0xFF},
      {"e8m0", 0, 0, 0},
      {"e8m0", -3, 0x80, 0x80},
      {"e8m0", 0x1p-140, 0, 0},
      {"e8m0", 0x1p200, 0xFE, 0xFE},
  };
  for (const Row& r : rows) {
    CAPTURE(r.type);
    CAPTURE(r.x);
    CHECK(encode_float(named(r.type), r.x, Round::rne, Overflow::saturate) == r.saturated);
    CHECK(encode_float(named(r.type), r.x, Round::rne, Overflow::nosat) == r.unsaturated);
  }
  // Directed towards zero a finite value never overflows, under either rule.
  CHECK(encode_float(dt::e5m2_, 1e9, Round::rz, Overflow::nosat) == 0x7B);
  CHECK(encode_float(dt::e5m2_, 1e9, Round::rd, Overflow::nosat) == 0x7B);
  CHECK(encode_float(dt::e5m2_, 1e9, Round::ru, Overflow::nosat) == 0x7C);
  CHECK(encode_float(dt::e4m3_, -1e9, Round::ru, Overflow::nosat) == 0xFE);
  CHECK(encode_float(dt::f16_, -1e9, Round::ru) == 0xFBFF);
  CHECK(encode_float(dt::f16_, -1e9, Round::rd) == 0xFC00);
  // Without mantissa bits a tie goes to the even code.
  CHECK(encode_float(named("e2m0"), 0.5) == 0);
  CHECK(encode_float(named("e2m0"), 1.5) == 2);
  CHECK(encode_float(named("e2m0"), 3) == 2);
}

TEST_CASE("e8m0 takes the power of two below or above |x|") {
  for (int e = -126; e <= 127; ++e) {
    uint64_t code = static_cast<uint64_t>(e + 127);
    double power = std::ldexp(1.0, e), above = std::nextafter(power, INFINITY);
    for (double sign : {1.0, -1.0}) {
      CHECK(encode_float(dt::e8m0_, sign * power, Round::ru) == code);
      CHECK(encode_float(dt::e8m0_, sign * power, Round::rz) == code);
      CHECK(encode_float(dt::e8m0_, sign * above, Round::ru) == std::min<uint64_t>(code + 1, 0xFE));
      CHECK(encode_float(dt::e8m0_, sign * above, Round::rne) == code);
      CHECK(encode_float(dt::e8m0_, sign * above, Round::rd) == code);
    }
  }
  CHECK(encode_float(dt::e8m0_, 0x1p-127, Round::ru) == 0);
  CHECK(encode_float(dt::e8m0_, 0x1.8p-127, Round::ru) == 1);
  CHECK(encode_float(dt::e8m0_, 0x1.8p-127, Round::rz) == 0);
  CHECK(encode_float(dt::e8m0_, 1e-300, Round::ru) == 0);
}

TEST_CASE("every code of every type up to 16 bits, and of tf32, decodes and encodes back") {
  Mismatches m;
  for (DType t : all_dtypes()) {
    if (!is_table_float(t) && t != dt::e8m0_) continue;
    for (uint64_t i = 0; i < oracle::code_count(t); ++i) {
      uint64_t code = i << oracle::shift_of(t);
      double want = oracle::value(t, code), got = decode_float(t, code);
      m.expect(same_double(got, want), [&] {
        return fmt::format("{} {:#x}: {:a}, expected {:a}", dtype_name(t), code, got, want);
      });
      uint64_t back = encode_float(t, got, Round::rne, Overflow::nosat);
      uint64_t canonical = std::isnan(want) ? oracle::nan(t) : code;
      m.expect(back == canonical,
               [&] { return describe(t, got, Round::rne, Overflow::nosat, back, canonical); });
      m.expect(is_nan_code(t, code) == static_cast<bool>(std::isnan(want)),
               [&] { return fmt::format("is_nan_code {} {:#x}", dtype_name(t), code); });
      if (t.bits <= 16 || t.is_tf32()) {
        uint64_t wide = cast_code(dt::f32_, t, code);
        uint64_t expected = std::isnan(want) ? 0x7FC00000 : bits_of(static_cast<float>(want));
        m.expect(wide == expected,
                 [&] { return fmt::format("{} {:#x} to f32: {:#x}", dtype_name(t), code, wide); });
      }
    }
  }
  CHECK_SWEEP(m);
  CHECK(m.cases > 2'500'000);
}

TEST_CASE("the named codes are what they say") {
  for (DType t : all_dtypes()) {
    CAPTURE(dtype_name(t));
    if (t.is_float()) {
      CHECK(decode_float(t, one_code(t)) == 1.0);
      CHECK(max_code(t) == oracle::top_code(t) << oracle::shift_of(t));
      CHECK(nan_code(t) == oracle::nan(t));
    } else if (t.kind == Kind::scale) {
      CHECK(decode_float(t, one_code(t)) == 1.0);
    } else if (t.is_int()) {
      uint64_t bound = uint64_t{1} << (t.bits - 1);
      CHECK(max_code(t) == (t.is_signed() ? bound - 1 : bound - 1 + bound));
    }
  }
}

// Every value of the type, every midpoint, and the f32 neighbours of each: where rounding can go
// wrong.
TEST_CASE("from f32: values, midpoints and their neighbours in all modes") {
  Mismatches m;
  for (DType t : all_dtypes()) {
    if (!is_table_float(t)) continue;
    oracle::Nearest nearest(t);
    auto check = [&](float x, Round round, Overflow overflow) {
      uint64_t want = nearest(x, round, overflow);
      uint64_t got = encode_float(t, x, round, overflow);
      m.expect(got == want, [&] { return describe(t, x, round, overflow, got, want); });
      uint64_t cast = cast_code(t, dt::f32_, bits_of(x), {round, overflow});
      m.expect(cast == want, [&] { return "cast " + describe(t, x, round, overflow, cast, want); });
    };
    auto around = [&](float x) {
      for (float y : {x, std::nextafter(x, -INFINITY), std::nextafter(x, INFINITY)})
        for (float z : {y, -y})
          for (Round round : oracle::rounds()) {
            check(z, round, Overflow::saturate);
            if (t.bits <= 8) check(z, round, Overflow::nosat);
          }
    };
    for (size_t i = 0; i + 1 < nearest.table.size(); ++i) {
      around(static_cast<float>(nearest.table[i]));
      around(static_cast<float>(nearest.table[i] / 2 + nearest.table[i + 1] / 2));
    }
    for (float x : {INFINITY, FLT_MAX, FLT_MIN, 0x1p-149f, 0x1.8p-140f, 1e30f}) around(x);
    for (float x : {NAN, f32_of(0xFFFFFFFF), f32_of(0x7F800001)})
      for (Round round : oracle::rounds()) check(x, round, Overflow::saturate);
  }
  CHECK_SWEEP(m);
}

TEST_CASE("from f64: midpoints and their f64 neighbours are rounded once") {
  Mismatches m;
  for (DType t : all_dtypes()) {
    if (!is_table_float(t)) continue;
    oracle::Nearest nearest(t);
    size_t step = t.is_tf32() ? 7 : 1;
    for (size_t i = 0; i + 1 < nearest.table.size(); i += step) {
      double middle = (nearest.table[i] + nearest.table[i + 1]) / 2;
      for (double x : {middle, std::nextafter(middle, 0.0), std::nextafter(middle, INFINITY)})
        for (Round round : oracle::rounds()) {
          uint64_t want = nearest(-x, round, Overflow::nosat);
          uint64_t got = encode_float(t, -x, round, Overflow::nosat);
          m.expect(got == want, [&] { return describe(t, -x, round, Overflow::nosat, got, want); });
        }
    }
    for (double x : {1e-320, 5e-324, 1e300, -1e300, -1e-320})
      for (Round round : oracle::rounds()) {
        uint64_t want = nearest(x, round, Overflow::nosat);
        uint64_t got = encode_float(t, x, round, Overflow::nosat);
        m.expect(got == want, [&] { return describe(t, x, round, Overflow::nosat, got, want); });
      }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("f64 to f32 agrees with exact neighbours in every mode") {
  Mismatches m;
  std::mt19937_64 random(11);
  for (int i = 0; i < 400'000; ++i) {
    float near = f32_of(static_cast<uint32_t>(random()));
    double x = near;
    double next = std::nextafter(near, INFINITY);
    if (std::isfinite(x) && std::isfinite(next)) {
      if (i % 4 == 1) x = x / 2 + next / 2;
      if (i % 4 == 2) x = std::nextafter(x / 2 + next / 2, INFINITY);
      if (i % 4 == 3) x = x + (next - x) * 0.3;
    }
    if (std::isnan(x)) continue;
    auto scaled_fixed = [](double v) {
      int e = 0;
      double f = std::frexp(std::fabs(v), &e);
      return oracle::Fixed<12, -400>::of(std::signbit(v), static_cast<uint64_t>(std::ldexp(f, 53)),
                                         e - 53);
    };
    for (Round round : oracle::rounds()) {
      uint64_t got = encode_float(dt::f32_, x, round);
      uint64_t want;
      if (x == 0 || std::isinf(x)) want = bits_of(static_cast<float>(x));
      else want = oracle::round_fixed(dt::f32_, scaled_fixed(x), round, Overflow::saturate);
      m.expect(got == want,
               [&] { return describe(dt::f32_, x, round, Overflow::saturate, got, want); });
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("sticky parts round as the longer number they stand for") {
  Mismatches m;
  std::mt19937_64 random(5);
  for (DType t : all_dtypes()) {
    if (!t.is_float()) continue;
    for (int i = 0; i < 4'000; ++i) {
      uint64_t mantissa = random() | 1ull << 63;
      if (i % 2) mantissa = (mantissa >> (62 - t.man)) << (62 - t.man);  // a value or a midpoint
      int exponent = static_cast<int>(random() % (1 << t.exp)) - t.bias() - 63 -
                     static_cast<int>(random() % 3);
      bool sticky = random() % 2, negative = random() % 2;
      auto exact = oracle::WideFixed::of(
          negative, static_cast<unsigned __int128>(mantissa) << 8 | (sticky ? 1 : 0), exponent - 8);
      for (Round round : oracle::rounds()) {
        uint64_t want = oracle::round_fixed(t, exact, round, Overflow::nosat);
        uint64_t got =
            encode_parts(t, negative, mantissa, exponent, sticky, round, Overflow::nosat);
        m.expect(got == want, [&] {
          return fmt::format("{} {:#x}*2^{} {}: {:#x}, expected {:#x}", dtype_name(t), mantissa,
                             exponent, sticky, got, want);
        });
      }
    }
    CHECK(encode_parts(t, false, 0, 0, true, Round::ru, Overflow::saturate) ==
          1u << oracle::shift_of(t));
    CHECK(encode_parts(t, false, 0, 0, true, Round::rne, Overflow::saturate) == 0);
  }
  CHECK_SWEEP(m);
}
