// fma, + - * / and sqrt round once in every format.
#include <doctest/doctest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <random>

#include "isa/numerics.h"
#include "tests/unit/numerics_oracle.h"

using namespace tess;
using oracle::Mismatches;

namespace {

using Random = std::mt19937_64;

uint64_t random_finite(DType t, Random& random) {
  uint64_t sign = random() % 2 << (t.bits - 1);
  return sign | random() % (oracle::top_code(t) + 1) << oracle::shift_of(t);
}

template <class F>
void expect_fma(Mismatches& m, DType t, uint64_t a, uint64_t b, uint64_t c) {
  for (Round round : oracle::rounds()) {
    uint64_t want = oracle::fma<F>(t, a, b, c, round), got = fma_code(t, a, b, c, round);
    m.expect(got == want, [&] {
      return fmt::format("{} fma({:#x}, {:#x}, {:#x}) round {}: {:#x}, expected {:#x}",
                         dtype_name(t), a, b, c, static_cast<int>(round), got, want);
    });
  }
}

// Sums that stand a hair beside a tie: c, and a*b = half an ulp of c times (1 + p)(1 +- q), with p
// and q of one ulp or of none.
void expect_ties(Mismatches& m, DType t, Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    uint64_t c = random_finite(t, random);
    double unit = std::ldexp(1.0, -t.man);
    int exponent =
        static_cast<int>((c & ~(uint64_t{1} << (t.bits - 1))) >> oracle::shift_of(t) >> t.man) -
        t.bias();
    if (exponent + t.bias() == 0) exponent = 1 - t.bias();
    double p = static_cast<double>(random() % 3) * unit,
           q = static_cast<double>(random() % 3) * unit;
    int shift = static_cast<int>(random() % 8) - 4;
    double a = (1 + p) * std::ldexp(1.0, shift) * (random() % 2 ? 1 : -1);
    double b = std::ldexp(random() % 2 ? 1 + q : 1 - q / 2,
                          exponent - t.man - 1 - shift + static_cast<int>(random() % 3) - 1);
    expect_fma<oracle::WideFixed>(m, t, encode_float(t, a, Round::rz),
                                  encode_float(t, b, Round::rz), c);
  }
}

template <class T>
T random_number(Random& random);
template <>
float random_number<float>(Random& random) {
  uint32_t bits = static_cast<uint32_t>(random());
  if (random() % 4) bits = (bits & 0x80FFFFFF) | static_cast<uint32_t>(120 + random() % 14) << 23;
  return std::bit_cast<float>(bits);
}
template <>
double random_number<double>(Random& random) {
  uint64_t bits = random();
  if (random() % 4) bits = (bits & 0x800FFFFFFFFFFFFF) | (1010 + random() % 26) << 52;
  return std::bit_cast<double>(bits);
}

// Against the processor, whose default mode is nearest even.
template <class T, class Bits>
void expect_as_processor(Mismatches& m, DType t, int count) {
  Random random(t.bits);
  auto code = [t](T x) { return std::isnan(x) ? nan_code(t) : uint64_t{std::bit_cast<Bits>(x)}; };
  for (int i = 0; i < count; ++i) {
    T a = random_number<T>(random), b = random_number<T>(random), c = random_number<T>(random);
    if (i % 5 == 0) c = -(a * b);  // what is left is the product's own rounding error
    uint64_t x = std::bit_cast<Bits>(a), y = std::bit_cast<Bits>(b), z = std::bit_cast<Bits>(c);
    auto same = [&](const char* what, uint64_t got, T want) {
      m.expect(got == code(want), [&] {
        return fmt::format("{} {} of {:a}, {:a}, {:a}: {:#x}", dtype_name(t), what, a, b, c, got);
      });
    };
    same("fma", fma_code(t, x, y, z), std::fma(a, b, c));
    same("add", arith_code(t, '+', x, y), a + b);
    same("sub", arith_code(t, '-', x, y), a - b);
    same("mul", arith_code(t, '*', x, y), a * b);
    same("div", arith_code(t, '/', x, y), a / b);
    same("sqrt", sqrt_code(t, x), std::sqrt(a));
  }
}

}  // namespace

TEST_CASE("fma of every triple of every float up to 5 bits, all modes") {
  Mismatches m;
  for (DType t : all_dtypes()) {
    if (!t.is_float() || t.bits > 5) continue;
    uint64_t codes = uint64_t{1} << t.bits;
    for (uint64_t a = 0; a < codes; ++a)
      for (uint64_t b = 0; b < codes; ++b)
        for (uint64_t c = 0; c < codes; ++c) expect_fma<oracle::SmallFixed>(m, t, a, b, c);
  }
  CHECK_SWEEP(m);
}

TEST_CASE("long: fma of every triple of every 6-bit float, all modes") {
  Mismatches m;
  for (DType t : all_dtypes()) {
    if (!t.is_float() || t.bits != 6) continue;
    for (uint64_t i = 0; i < 1 << 18; ++i)
      expect_fma<oracle::SmallFixed>(m, t, i & 63, i >> 6 & 63, i >> 12);
  }
  CHECK_SWEEP(m);
}

TEST_CASE("fma rounds once in every format: random and next to ties") {
  Mismatches m;
  Random random(42);
  for (DType t : all_dtypes()) {
    if (!t.is_float()) continue;
    int count = t.bits >= 16 ? 4'000 : 1'000;
    for (int i = 0; i < count; ++i) {
      uint64_t a = random_finite(t, random), b = random_finite(t, random),
               c = random_finite(t, random);
      expect_fma<oracle::WideFixed>(m, t, a, b, c);
    }
    expect_ties(m, t, random, count);
  }
  CHECK_SWEEP(m);
}

TEST_CASE("fma by hand where a wider intermediate rounds twice") {
  // f16 through f32: 1 + 2^-11 + 2^-24 * 2^-10 is above the tie, f32 cannot see it.
  CHECK(fma_code(dt::f16_, 0x0001, 0x1400, 0x3C00) == 0x3C00);
  uint64_t half_ulp = 0x1000;                                     // 2^-11
  CHECK(fma_code(dt::f16_, half_ulp, 0x3C01, 0x3C00) == 0x3C01);  // 1 + 2^-11 (1 + 2^-10)
  CHECK(fma_code(dt::f16_, half_ulp, 0x3C00, 0x3C00) == 0x3C00);  // the tie itself
  CHECK(fma_code(dt::f16_, half_ulp, 0x3C00, 0x3C01) == 0x3C02);
  // f32 through f64: 2^-24 (1 + 2^-23)(1 - 2^-24) + (1 + 2^-23)...
  auto f32 = [](float x) { return std::bit_cast<uint32_t>(x); };
  CHECK(fma_code(dt::f32_, f32(0x1.000002p-24f), f32(0x1.fffffep-1f), f32(1.0f)) ==
        f32(0x1.000002p0f));
  // 1 + 2^-24 - 2^-72: below the tie by less than f64 can see.
  CHECK(fma_code(dt::f32_, f32(0x1.000001p0f * 0x1p-24f), f32(1), f32(1)) == f32(1));
  CHECK(fma_code(dt::bf16_, 0x0001, 0x0001, 0x3F80) == 0x3F80);
  CHECK(fma_code(dt::bf16_, 0x0001, 0x0001, 0x3F80, Round::ru) == 0x3F81);
}

TEST_CASE("fma of f64 sees a product's last bits 130 places below the sum") {
  // 0x10000002d413cd * 0x1ffffffa57d867 = 2^105 + 11792251: half an ulp of 1 and a little more.
  auto f64 = [](double x) { return std::bit_cast<uint64_t>(x); };
  uint64_t x = f64(0x1.0000002d413cdp0), y = f64(0x1.ffffffa57d867p-54);
  uint64_t minus_y = f64(-0x1.ffffffa57d867p-54);
  CHECK(fma_code(dt::f64_, x, y, f64(1)) == f64(0x1.0000000000001p0));
  CHECK(fma_code(dt::f64_, x, minus_y, f64(0x1.0000000000002p0)) == f64(0x1.0000000000001p0));
  Mismatches m;
  for (int exponent = -200; exponent <= 200; ++exponent)
    for (uint64_t factor : {y, minus_y}) {
      uint64_t c = f64(std::ldexp(0x1.0000000000002p0, exponent));
      expect_fma<oracle::WideFixed>(m, dt::f64_, x, factor, c);
    }
  CHECK_SWEEP(m);
}

TEST_CASE("zeros, infinities and NaNs of fma and arithmetic") {
  for (DType t : {dt::f16_, dt::bf16_, dt::f32_, dt::f64_}) {
    CAPTURE(dtype_name(t));
    uint64_t sign = uint64_t{1} << (t.bits - 1), one = one_code(t), inf = max_code(t) + 1;
    uint64_t nan = nan_code(t);
    CHECK(arith_code(t, '-', one, one) == 0);
    CHECK(arith_code(t, '-', one, one, Round::rd) == sign);
    CHECK(arith_code(t, '+', sign, sign) == sign);
    CHECK(arith_code(t, '+', sign, 0) == 0);
    CHECK(arith_code(t, '-', sign, 0) == sign);
    CHECK(arith_code(t, '*', sign, one) == sign);
    CHECK(arith_code(t, '/', one, sign) == (inf | sign));
    CHECK(arith_code(t, '/', 0, sign) == nan);
    CHECK(arith_code(t, '/', inf, inf) == nan);
    CHECK(arith_code(t, '/', one, inf | sign) == sign);
    CHECK(arith_code(t, '-', inf, inf) == nan);
    CHECK(arith_code(t, '+', inf, one) == inf);
    CHECK(arith_code(t, '*', inf, 0) == nan);
    CHECK(fma_code(t, inf, 0, one) == nan);
    CHECK(fma_code(t, inf, one, inf | sign) == nan);
    CHECK(fma_code(t, inf, one, inf) == inf);
    CHECK(fma_code(t, nan | sign, one, one) == nan);
    CHECK(fma_code(t, one, one, inf | sign) == (inf | sign));
    CHECK(fma_code(t, max_code(t), max_code(t), one) == inf);
    CHECK(fma_code(t, max_code(t), max_code(t), one, Round::rz) == max_code(t));
    CHECK(sqrt_code(t, sign) == sign);
    CHECK(sqrt_code(t, one | sign) == nan);
    CHECK(sqrt_code(t, inf) == inf);
    CHECK(sqrt_code(t, nan) == nan);
  }
  CHECK(fma_code(dt::e4m3_, 0x7E, 0x7E, 0) == 0x7E);
  CHECK(fma_code(dt::e5m2_, 0x7B, 0xFB, 0) == 0xFB);
  CHECK(fma_code(dt::e4m3_, 0x7F, 0, 0) == 0x7F);
}

TEST_CASE("f32 and f64 arithmetic agrees with the processor") {
  REQUIRE(std::fegetround() == FE_TONEAREST);
  Mismatches m;
  expect_as_processor<float, uint32_t>(m, dt::f32_, 400'000);
  expect_as_processor<double, uint64_t>(m, dt::f64_, 400'000);
  CHECK_SWEEP(m);
}

// + - * / and sqrt of two 11-bit numbers come out right when rounded from a double (53 >= 2*11 +
// 2).
TEST_CASE("f16 and bf16 arithmetic agrees with doubles rounded once") {
  Mismatches m;
  for (DType t : {dt::f16_, dt::bf16_}) {
    oracle::Nearest nearest(t);
    Random random(t.exp);
    for (int i = 0; i < 300'000; ++i) {
      uint64_t a = random() & 0xFFFF, b = random() & 0xFFFF;
      double x = oracle::value(t, a), y = oracle::value(t, b);
      // bf16 sums span more than 53 bits: those are left to the fma tests.
      bool sum_is_exact = (x + y) - x == y && (x + y) - y == x;
      for (Round round : oracle::rounds()) {
        auto same = [&](char op, uint64_t got, double exact) {
          uint64_t want = nearest(exact, round, Overflow::saturate);
          if (exact == 0 && round == Round::rd && (op == '+' || op == '-')) return;
          m.expect(got == want, [&] {
            return fmt::format("{} {:a} {} {:a} round {}: {:#x}, expected {:#x}", dtype_name(t), x,
                               op, y, static_cast<int>(round), got, want);
          });
        };
        if (sum_is_exact) same('+', arith_code(t, '+', a, b, round), x + y);
        same('*', arith_code(t, '*', a, b, round), x * y);
        if (round != Round::rne)
          continue;  // in the directed modes a quotient must not be rounded before
        same('/', arith_code(t, '/', a, b), x / y);
        same('s', sqrt_code(t, a), std::sqrt(x));
      }
    }
  }
  CHECK_SWEEP(m);
}

// The defining property, in integers: root^2 <= x < next^2 for rz, and so on for quotients.
TEST_CASE("directed quotients and roots enclose the exact value") {
  Mismatches m;
  Random random(9);
  for (DType t : {dt::f16_, dt::bf16_, dt::f32_}) {
    for (int i = 0; i < 100'000; ++i) {
      uint64_t a = random_finite(t, random) & ~(uint64_t{1} << (t.bits - 1));
      uint64_t b = random_finite(t, random) & ~(uint64_t{1} << (t.bits - 1));
      if (a == 0 || b == 0) continue;
      // Products of two 24-bit numbers are exact in long double, apart from its exponent range.
      long double x = decode_float(t, a), y = decode_float(t, b);
      long double root_down = decode_float(t, sqrt_code(t, a, Round::rd));
      long double root_up = decode_float(t, sqrt_code(t, a, Round::ru));
      bool encloses =
          root_down * root_down <= x && x <= root_up * root_up &&
          sqrt_code(t, a, Round::ru) - sqrt_code(t, a, Round::rd) == (root_down * root_down != x);
      m.expect(encloses, [&] { return fmt::format("{} sqrt {:#x}", dtype_name(t), a); });
      uint64_t down = arith_code(t, '/', a, b, Round::rd), up = arith_code(t, '/', a, b, Round::ru);
      if (up > max_code(t)) continue;
      long double low = decode_float(t, down), high = decode_float(t, up);
      m.expect(low * y <= x && x <= high * y && up - down == (low * y != x),
               [&] { return fmt::format("{} {:#x} / {:#x}", dtype_name(t), a, b); });
    }
  }
  CHECK_SWEEP(m);
}
