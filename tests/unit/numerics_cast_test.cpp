// Casts between all types, and bit streams element by element.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <random>

#include "isa/numerics.h"
#include "tests/unit/numerics_oracle.h"

using namespace tess;
using oracle::Mismatches;

namespace {

using Wide = __int128;

bool is_integral(DType t) { return t.is_int() || t.is_bool(); }
Wide lowest(DType t) { return t.is_signed() ? -(Wide{1} << (t.bits - 1)) : 0; }
Wide highest(DType t) {
  if (t.is_bool()) return 1;
  return (Wide{1} << (t.bits - t.is_signed())) - 1;
}
uint64_t code_of(DType t, Wide value) {
  return static_cast<uint64_t>(value & ((Wide{1} << t.bits) - 1));
}
Wide int_value(DType t, uint64_t code) {
  if (t.is_bool()) return code != 0;
  return t.is_signed() && code >> (t.bits - 1) & 1 ? Wide{code} - (Wide{1} << t.bits) : Wide{code};
}
Wide clamped(DType t, Wide v) {
  return v < lowest(t) ? lowest(t) : v > highest(t) ? highest(t) : v;
}

std::string describe(DType to, DType from, uint64_t code, uint64_t got, uint64_t want) {
  return fmt::format("{} {:#x} to {}: {:#x}, expected {:#x}", dtype_name(from), code,
                     dtype_name(to), got, want);
}

// Codes of an integer type where casts go wrong: the ends, powers of two, and ties of every float.
std::vector<uint64_t> telling_codes(DType t) {
  std::vector<uint64_t> codes;
  auto add = [&](Wide v) { codes.push_back(code_of(t, v)); };
  for (int bit = 0; bit < t.bits; ++bit)
    for (int digits : {2, 3, 4, 8, 9, 11, 12, 24, 25, 53, 54})
      for (Wide tail = -1; tail <= 1; ++tail) {
        Wide power = Wide{1} << bit;
        Wide tie = bit >= digits ? (Wide{1} << (bit - digits)) : 0;
        for (Wide v :
             {power + tail, power + tie + tail, power + 3 * tie + tail, 2 * power - tie + tail})
          add(v), add(-v);
      }
  std::mt19937_64 random(t.bits);
  for (int i = 0; i < 2000; ++i) add(static_cast<Wide>(random() >> random() % 64));
  return codes;
}

std::vector<uint64_t> every_code(DType t) {
  if (t.is_bool()) return {0, 1};
  std::vector<uint64_t> codes(size_t{1} << t.bits);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = i;
  return codes;
}
std::vector<uint64_t> int_codes(DType t) { return t.bits <= 16 ? every_code(t) : telling_codes(t); }

}  // namespace

TEST_CASE("integer to integer wraps or clamps, for all pairs") {
  Mismatches m;
  for (DType from : all_dtypes()) {
    if (!is_integral(from)) continue;
    std::vector<uint64_t> codes = int_codes(from);
    for (DType to : all_dtypes()) {
      if (!is_integral(to)) continue;
      for (uint64_t code : codes) {
        Wide v = int_value(from, code);
        uint64_t wrapped = to.is_bool() ? v != 0 : code_of(to, v);
        uint64_t clamp = to.is_bool() ? v != 0 : code_of(to, clamped(to, v));
        uint64_t got = cast_code(to, from, code);
        uint64_t got_clamp = cast_code(to, from, code, {.saturate_int = true});
        m.expect(got == wrapped, [&] { return describe(to, from, code, got, wrapped); });
        m.expect(got_clamp == clamp,
                 [&] { return "sat " + describe(to, from, code, got_clamp, clamp); });
      }
    }
  }
  CHECK_SWEEP(m);
  CHECK(m.cases > 4'000'000);
}

TEST_CASE("integer to float rounds once, for all types and modes") {
  Mismatches m;
  for (DType from : all_dtypes()) {
    if (!is_integral(from)) continue;
    std::vector<uint64_t> codes = from.bits == 16 ? telling_codes(from) : int_codes(from);
    for (DType to : all_dtypes()) {
      if (!to.is_float()) continue;
      for (uint64_t code : codes) {
        Wide v = int_value(from, code);
        using F = oracle::Fixed<6, -192>;
        if (to == dt::f64_ || v == 0) {  // long double holds every 64-bit integer
          double near = static_cast<double>(static_cast<long double>(v));
          uint64_t got = cast_code(to, from, code);
          uint64_t want = v == 0 ? 0 : std::bit_cast<uint64_t>(near);
          m.expect(got == want, [&] { return describe(to, from, code, got, want); });
          continue;
        }
        F exact = F::of(v < 0, static_cast<unsigned __int128>(v < 0 ? -v : v), 0);
        for (Round round : oracle::rounds()) {
          uint64_t got = cast_code(to, from, code, {round, Overflow::nosat});
          uint64_t want = oracle::round_fixed(to, exact, round, Overflow::nosat);
          m.expect(got == want, [&] { return describe(to, from, code, got, want); });
        }
      }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("a 64-bit integer does not pass through a double on its way to f32") {
  // 2^53 + 2^29 + 1 is above the tie of f32; as a double it would be the tie itself.
  int64_t v = (1ll << 53) + (1ll << 29) + 1;
  CHECK(cast_code(dt::f32_, dt::i64_, static_cast<uint64_t>(v)) ==
        std::bit_cast<uint32_t>(0x1.000002p53f));
  CHECK(cast_code(dt::f16_, dt::i32_, 2049 * 8 + 0) == 0x7400 + 0);
  CHECK(cast_code(dt::f16_, dt::u64_, ~0ull) == 0x7C00);
  CHECK(cast_code(dt::e5m2_, dt::u64_, ~0ull) == 0x7B);
  CHECK(cast_code(dt::f64_, dt::u64_, ~0ull) == std::bit_cast<uint64_t>(0x1p64));
  CHECK(cast_code(dt::f64_, dt::i64_, 1ull << 63) == std::bit_cast<uint64_t>(-0x1p63));
}

TEST_CASE("float to integer truncates and clamps, for every code up to 16 bits") {
  Mismatches m;
  for (DType from : all_dtypes()) {
    if (from.bits > 16 || !(from.is_float() || from.kind == Kind::scale)) continue;
    for (uint64_t code = 0; code < oracle::code_count(from); ++code) {
      double x = oracle::value(from, code);
      for (DType to : all_dtypes()) {
        if (!is_integral(to)) continue;
        Wide v = std::isnan(x) ? 0
                 : x > 0x1p70  ? highest(to)
                 : x < -0x1p70 ? lowest(to)
                               : clamped(to, static_cast<Wide>(x));
        uint64_t want = to.is_bool() ? x != 0 : code_of(to, v);
        uint64_t got = cast_code(to, from, code);
        m.expect(got == want, [&] { return describe(to, from, code, got, want); });
      }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("f32 and f64 to integer at the ends of every type") {
  Mismatches m;
  for (DType to : all_dtypes()) {
    if (!to.is_int()) continue;
    std::vector<double> points = {0.0, -0.0,     0.5,       -0.5,  0.999, -0.999,
                                  NAN, INFINITY, -INFINITY, 1e300, -1e300};
    for (Wide end : {lowest(to), highest(to), highest(to) + 1, lowest(to) - 1})
      for (double offset : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
        double x = static_cast<double>(static_cast<long double>(end)) + offset;
        for (double y : {x, std::nextafter(x, -INFINITY), std::nextafter(x, INFINITY)}) {
          points.push_back(y);
          points.push_back(static_cast<float>(y));
        }
      }
    for (double x : points) {
      Wide v = std::isnan(x) ? 0
               : x > 0x1p70  ? highest(to)
               : x < -0x1p70 ? lowest(to)
                             : clamped(to, static_cast<Wide>(x));
      uint64_t got = cast_code(to, dt::f64_, std::bit_cast<uint64_t>(x));
      m.expect(got == code_of(to, v), [&] {
        return describe(to, dt::f64_, std::bit_cast<uint64_t>(x), got, code_of(to, v));
      });
      if (static_cast<float>(x) == x || std::isnan(x)) {
        uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(x));
        uint64_t narrow = cast_code(to, dt::f32_, bits);
        m.expect(narrow == code_of(to, v),
                 [&] { return describe(to, dt::f32_, bits, narrow, code_of(to, v)); });
      }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("float to float for every code up to 16 bits, all types and modes") {
  Mismatches m;
  for (DType to : all_dtypes()) {
    bool table = to.is_float() && (to.bits <= 16 || to.is_tf32());
    if (!table && to != dt::e8m0_) continue;
    std::optional<oracle::Nearest> nearest;
    if (table) nearest.emplace(to);
    for (DType from : all_dtypes()) {
      if (!(from.is_float() || from.kind == Kind::scale) || from.bits > 16) continue;
      for (uint64_t code = 0; code<oracle::code_count(from); code += from.bits> 8 ? 3 : 1)
        for (Round round : oracle::rounds())
          for (Overflow overflow : {Overflow::saturate, Overflow::nosat}) {
            double x = oracle::value(from, code);
            uint64_t want = table ? (*nearest)(x, round, overflow) : oracle::scale(x, round);
            uint64_t got = cast_code(to, from, code, {round, overflow});
            m.expect(got == want, [&] { return describe(to, from, code, got, want); });
          }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("f64 to f16, bf16 and small floats does not pass through f32") {
  // Just above a tie of the type, by less than f32 can tell.
  CHECK(cast_code(dt::f16_, dt::f64_, std::bit_cast<uint64_t>(1 + 0x1p-11 + 0x1p-50)) == 0x3C01);
  CHECK(cast_code(dt::bf16_, dt::f64_, std::bit_cast<uint64_t>(1 + 0x1p-8 + 0x1p-50)) == 0x3F81);
  CHECK(cast_code(dt::e4m3_, dt::f64_, std::bit_cast<uint64_t>(1 + 0x1p-4 + 0x1p-50)) == 0x39);
  CHECK(cast_code(dt::e4m3_, dt::f64_, std::bit_cast<uint64_t>(1 + 0x1p-4)) == 0x38);
}

TEST_CASE("bits of every width at every offset are read and written, and no others") {
  Mismatches m;
  std::mt19937_64 random(3);
  for (int width = 1; width <= 64; ++width)
    for (uint64_t offset = 0; offset < 128; ++offset) {
      std::vector<uint8_t> bytes((offset + width + 7) / 8);  // exact, for the address sanitizer
      for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
      auto bit = [](const std::vector<uint8_t>& v, uint64_t i) { return v[i / 8] >> (i % 8) & 1; };
      uint64_t want = 0;
      for (int i = 0; i < width; ++i) want |= static_cast<uint64_t>(bit(bytes, offset + i)) << i;
      uint64_t got = read_bits(bytes.data(), offset, width);
      m.expect(got == want, [&] { return fmt::format("read width {} at {}", width, offset); });

      uint64_t value = random();  // bits above the width are to be ignored
      std::vector<uint8_t> after = bytes;
      write_bits(after.data(), offset, width, value);
      bool right = true;
      for (uint64_t i = 0; i < bytes.size() * 8; ++i) {
        bool inside = i >= offset && i < offset + width;
        right &=
            bit(after, i) == (inside ? static_cast<int>(value >> (i - offset) & 1) : bit(bytes, i));
      }
      m.expect(right, [&] { return fmt::format("write width {} at {}", width, offset); });
    }
  CHECK_SWEEP(m);
}
