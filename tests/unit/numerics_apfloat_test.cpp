// The numerics against LLVM's APFloat, for the formats it knows. Where the two disagree by
// definition the difference is stated in `expected`: small floats saturate here, and NaNs are
// canonical.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <llvm/ADT/APFloat.h>

#include <bit>
#include <cmath>
#include <random>

#include "isa/numerics.h"
#include "tests/unit/numerics_oracle.h"

using namespace tess;
using llvm::APFloat;
using llvm::APFloatBase;
using llvm::APInt;
using oracle::Mismatches;

namespace {

struct Format {
  const char* name;
  const llvm::fltSemantics& semantics;
};
const std::vector<Format>& formats() {
  static const std::vector<Format> all = {
      {"f64", APFloatBase::IEEEdouble()},    {"f32", APFloatBase::IEEEsingle()},
      {"f16", APFloatBase::IEEEhalf()},      {"bf16", APFloatBase::BFloat()},
      {"tf32", APFloatBase::FloatTF32()},    {"e5m2", APFloatBase::Float8E5M2()},
      {"e4m3", APFloatBase::Float8E4M3FN()}, {"e3m2", APFloatBase::Float6E3M2FN()},
      {"e2m3", APFloatBase::Float6E2M3FN()}, {"e2m1", APFloatBase::Float4E2M1FN()},
  };
  return all;
}

llvm::RoundingMode mode_of(Round round) {
  switch (round) {
    case Round::rz:
      return llvm::RoundingMode::TowardZero;
    case Round::ru:
      return llvm::RoundingMode::TowardPositive;
    case Round::rd:
      return llvm::RoundingMode::TowardNegative;
    case Round::rne:
      break;
  }
  return llvm::RoundingMode::NearestTiesToEven;
}

APFloat ap(const Format& f, DType t, uint64_t code) {
  return APFloat(f.semantics, APInt(t.bits - oracle::shift_of(t), code >> oracle::shift_of(t)));
}

// APFloat's result as a code of ours; `infinite` says that an operand was an infinity.
uint64_t expected(DType t, const APFloat& x, const llvm::APFloatBase::opStatus status,
                  Overflow overflow) {
  bool overflowed = status & APFloatBase::opOverflow;
  bool saturates = t.bits <= 8 && overflow == Overflow::saturate;
  if (x.isInfinity() && saturates) return oracle::beyond(t, x.isNegative(), overflow);
  if (x.isNaN())
    return overflowed && saturates ? oracle::beyond(t, x.isNegative(), overflow) : oracle::nan(t);
  return x.bitcastToAPInt().getZExtValue() << oracle::shift_of(t);
}

uint64_t converted(const Format& f, DType t, double x, Round round, Overflow overflow) {
  if (std::isnan(x)) return oracle::nan(t);
  if (std::isinf(x)) return oracle::beyond(t, x < 0, overflow);  // APFloat has no such rule
  APFloat v(x);
  bool loses = false;
  auto status = v.convert(f.semantics, mode_of(round), &loses);
  return expected(t, v, status, overflow);
}

uint64_t random_finite(DType t, std::mt19937_64& random) {
  uint64_t sign = random() % 2 << (t.bits - 1);
  return sign | random() % (oracle::top_code(t) + 1) << oracle::shift_of(t);
}

}  // namespace

TEST_CASE("APFloat decodes every code of every format up to 19 bits alike") {
  Mismatches m;
  for (const Format& f : formats()) {
    DType t = *find_dtype(f.name);
    if (t.bits > 16 && !t.is_tf32()) continue;
    for (uint64_t i = 0; i < oracle::code_count(t); ++i) {
      uint64_t code = i << oracle::shift_of(t);
      APFloat x = ap(f, t, code);
      double got = decode_float(t, code);
      bool loses = false;
      if (!x.isNaN())
        x.convert(APFloatBase::IEEEdouble(), llvm::RoundingMode::NearestTiesToEven, &loses);
      bool same =
          x.isNaN() ? std::isnan(got)
                    : std::bit_cast<uint64_t>(x.convertToDouble()) == std::bit_cast<uint64_t>(got);
      m.expect(same, [&] { return fmt::format("{} {:#x}: {:a}", f.name, code, got); });
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("APFloat converts values, midpoints and neighbours alike, in all modes") {
  Mismatches m;
  std::mt19937_64 random(1);
  for (const Format& f : formats()) {
    DType t = *find_dtype(f.name);
    if (t == dt::f64_) continue;
    uint64_t count = oracle::top_code(t) + 1;
    uint64_t points = t.bits <= 16 ? count : 20'000;
    for (uint64_t k = 0; k < points; ++k) {
      uint64_t i = t.bits <= 16 ? k
                   : k < 100    ? k
                   : k < 200    ? count - 1 - (k - 100)
                                : random() % count;
      double value = oracle::magnitude_value(t, i), next = oracle::magnitude_value(t, i + 1);
      for (double x : {value, value / 2 + next / 2})
        for (double y : {x, std::nextafter(x, -INFINITY), std::nextafter(x, INFINITY)})
          for (double z : {y, -y})
            for (Round round : oracle::rounds()) {
              Overflow overflow = t.bits <= 8 && k % 2 ? Overflow::nosat : Overflow::saturate;
              uint64_t want = converted(f, t, z, round, overflow),
                       got = encode_float(t, z, round, overflow);
              m.expect(got == want, [&] {
                return fmt::format("{} of {:a} round {} overflow {}: {:#x}, APFloat {:#x}", f.name,
                                   z, static_cast<int>(round), static_cast<int>(overflow), got,
                                   want);
              });
            }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("APFloat converts random doubles alike, in all modes") {
  Mismatches m;
  std::mt19937_64 random(2);
  for (const Format& f : formats()) {
    DType t = *find_dtype(f.name);
    for (int i = 0; i < 50'000; ++i) {
      double x = std::bit_cast<double>(random());
      if (i % 2)
        x = std::ldexp(static_cast<double>(static_cast<int64_t>(random())),
                       -63 - static_cast<int>(random() % 40) + 20);
      for (Round round : oracle::rounds())
        for (Overflow overflow : {Overflow::saturate, Overflow::nosat}) {
          uint64_t want = converted(f, t, x, round, overflow),
                   got = encode_float(t, x, round, overflow);
          m.expect(got == want, [&] {
            return fmt::format("{} of {:a} round {} overflow {}: {:#x}, APFloat {:#x}", f.name, x,
                               static_cast<int>(round), static_cast<int>(overflow), got, want);
          });
        }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("APFloat fuses and operates alike, in all modes") {
  Mismatches m;
  std::mt19937_64 random(3);
  for (const Format& f : formats()) {
    DType t = *find_dtype(f.name);
    for (int i = 0; i < 60'000; ++i) {
      uint64_t a = random_finite(t, random), b = random_finite(t, random),
               c = random_finite(t, random);
      if (i % 3 == 0) {  // a product near half an ulp of c
        int exponent =
            static_cast<int>((c & ~(1ull << (t.bits - 1))) >> oracle::shift_of(t) >> t.man) -
            t.bias();
        b = encode_float(
            t, std::ldexp(1.0 + static_cast<double>(random() % 3) * std::ldexp(1.0, -t.man),
                          exponent - t.man - 1));
        a = one_code(t) + (random() % 2 << oracle::shift_of(t));
      }
      for (Round round : oracle::rounds()) {
        APFloat x = ap(f, t, a);
        auto status = x.fusedMultiplyAdd(ap(f, t, b), ap(f, t, c), mode_of(round));
        uint64_t want = expected(t, x, status, Overflow::saturate),
                 got = fma_code(t, a, b, c, round);
        m.expect(got == want, [&] {
          return fmt::format("{} fma({:#x}, {:#x}, {:#x}) round {}: {:#x}, APFloat {:#x}", f.name,
                             a, b, c, static_cast<int>(round), got, want);
        });
        if (!t.is_arith_float()) continue;
        for (char op : {'+', '-', '*', '/'}) {
          APFloat y = ap(f, t, a), z = ap(f, t, b);
          auto how = mode_of(round);
          auto done = op == '+'   ? y.add(z, how)
                      : op == '-' ? y.subtract(z, how)
                      : op == '*' ? y.multiply(z, how)
                                  : y.divide(z, how);
          uint64_t right = expected(t, y, done, Overflow::saturate),
                   ours = arith_code(t, op, a, b, round);
          m.expect(ours == right, [&] {
            return fmt::format("{} {:#x} {} {:#x} round {}: {:#x}, APFloat {:#x}", f.name, a, op, b,
                               static_cast<int>(round), ours, right);
          });
        }
      }
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("APFloat rounds 64-bit integers alike") {
  Mismatches m;
  std::mt19937_64 random(4);
  for (const Format& f : formats()) {
    DType t = *find_dtype(f.name);
    for (int i = 0; i < 50'000; ++i) {
      uint64_t v = random() >> random() % 64;
      if (i % 2) v = (v & ~0ull << random() % 64) + random() % 3 - 1;
      for (DType from : {dt::i64_, dt::u64_})
        for (Round round : oracle::rounds()) {
          APFloat x(f.semantics);
          auto status = x.convertFromAPInt(APInt(64, v), from.is_signed(), mode_of(round));
          uint64_t want = expected(t, x, status, Overflow::saturate),
                   got = cast_code(t, from, v, {round});
          m.expect(got == want, [&] {
            return fmt::format("{} of {:#x} as {} round {}: {:#x}, APFloat {:#x}", f.name, v,
                               dtype_name(from), static_cast<int>(round), got, want);
          });
        }
    }
  }
  CHECK_SWEEP(m);
}
