// Transcendental functions: against results of 400-bit arithmetic on the hardest inputs there are,
// against long double everywhere else, and at the special values.
#include "isa/transcendental.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <random>

#include "isa/numerics.h"
#include "tests/unit/numerics_oracle.h"
#include "tests/unit/sweep_threads.h"

using namespace tess;
using oracle::Mismatches;

namespace {

constexpr const char* kNames[] = {"exp",  "exp2", "log",     "log2",  "sin", "cos",
                                  "tanh", "erf",  "sigmoid", "rsqrt", "rcp"};
const char* name_of(Fn f) { return kNames[static_cast<int>(f)]; }
float f32_of(uint32_t code) { return std::bit_cast<float>(code); }
uint32_t code_of(float x) { return std::bit_cast<uint32_t>(x); }

struct Golden {
  Fn f;
  uint32_t x, result;
};
// Of each function the inputs whose results lie nearest to a tie, found by trying all 2^32, and
// some random ones; transcendental_golden.py computes the results.
const Golden kGolden[] = {
#include "tests/unit/transcendental_golden.inc"
};

long double reference(Fn f, long double x) {
  switch (f) {
    case Fn::exp:
      return std::exp(x);
    case Fn::exp2:
      return std::exp2(x);
    case Fn::log:
      return std::log(x);
    case Fn::log2:
      return std::log2(x);
    case Fn::sin:
      return std::sin(x);
    case Fn::cos:
      return std::cos(x);
    case Fn::tanh:
      return std::tanh(x);
    case Fn::erf:
      return std::erf(x);
    case Fn::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Fn::rsqrt:
      return 1 / std::sqrt(x);
    case Fn::rcp:
      return 1 / x;
  }
  return 0;
}

std::vector<Fn> functions() {
  std::vector<Fn> all;
  for (int i = 0; i < kFnCount; ++i) all.push_back(static_cast<Fn>(i));
  return all;
}

// Whether `got` is the element nearest to y, for a y that is not within 2^-50 of a tie.
bool is_nearest(DType t, uint64_t got, long double y) {
  if (std::isnan(y)) return got == oracle::nan(t);
  double low = static_cast<double>(y * (1 - 0x1p-50L)),
         high = static_cast<double>(y * (1 + 0x1p-50L));
  uint64_t first = encode_float(t, low), second = encode_float(t, high);
  return got == first || got == second;
}

}  // namespace

TEST_CASE("the f32 results nearest to ties are those of 400-bit arithmetic") {
  Mismatches m;
  int seen[kFnCount] = {};
  for (const Golden& g : kGolden) {
    uint32_t got = code_of(unary_f32(g.f, f32_of(g.x)));
    ++seen[static_cast<int>(g.f)];
    m.expect(got == g.result, [&] {
      return fmt::format("{}({:a}): {:#x}, expected {:#x}", name_of(g.f), f32_of(g.x), got,
                         g.result);
    });
  }
  CHECK_SWEEP(m);
  for (Fn f : functions()) {
    CAPTURE(name_of(f));
    CHECK(seen[static_cast<int>(f)] >= 20);
  }
}

TEST_CASE("every f16 and bf16 input of every unary function") {
  Mismatches m;
  for (DType t : {dt::f16_, dt::bf16_})
    for (uint64_t code = 0; code < 65536; ++code)
      for (Fn f : functions()) {
        uint64_t got = unary_code(f, t, code);
        long double y = reference(f, oracle::value(t, code));
        m.expect(is_nearest(t, got, y), [&] {
          return fmt::format("{} {}({:a}): {:#x}", dtype_name(t), name_of(f),
                             oracle::value(t, code), got);
        });
      }
  CHECK_SWEEP(m);
}

TEST_CASE("f32 at random is nearest, f64 within one ulp of long double") {
  Mismatches m;
  std::mt19937_64 random(8);
  for (int i = 0; i < 100'000; ++i)
    for (Fn f : functions()) {
      float x = f32_of(static_cast<uint32_t>(random()));
      if (i % 2) x = std::ldexp(static_cast<float>(static_cast<int32_t>(random())), -28);
      uint64_t got = unary_code(f, dt::f32_, code_of(x));
      m.expect(is_nearest(dt::f32_, got, reference(f, x)),
               [&] { return fmt::format("f32 {}({:a}): {:#x}", name_of(f), x, got); });
      double wide = std::isnan(x) ? 0.1 : x + 0x1p-40 * x;
      double y = unary_f64(f, wide);
      long double exact = reference(f, wide);
      bool near = std::isnan(exact) ? std::isnan(y)
                  : std::isinf(y)
                      ? std::fabs(exact) > 1.7e308L
                      : std::fabs(y - exact) <= std::fabs(std::nextafter(y, INFINITY) - y);
      m.expect(near, [&] { return fmt::format("f64 {}({:a}): {:a}", name_of(f), wide, y); });
    }
  CHECK_SWEEP(m);
}

TEST_CASE("special values") {
  const float inf = INFINITY;
  struct Row {
    Fn f;
    float x, y;
  };
  const Row rows[] = {
      {Fn::exp, 0, 1},           {Fn::exp, -inf, 0},
      {Fn::exp, inf, inf},       {Fn::exp, 89, inf},
      {Fn::exp, -104, 0},        {Fn::exp2, -149, 0x1p-149f},
      {Fn::exp2, -150, 0},       {Fn::exp2, 127, 0x1p127f},
      {Fn::exp2, 128, inf},      {Fn::log, 1, 0},
      {Fn::log, 0, -inf},        {Fn::log, -0.0f, -inf},
      {Fn::log, inf, inf},       {Fn::log, -1, NAN},
      {Fn::log2, 8, 3},          {Fn::log2, 0x1p-149f, -149},
      {Fn::sin, -0.0f, -0.0f},   {Fn::sin, inf, NAN},
      {Fn::sin, 1e-40f, 1e-40f}, {Fn::cos, 0, 1},
      {Fn::cos, -inf, NAN},      {Fn::tanh, inf, 1},
      {Fn::tanh, -inf, -1},      {Fn::tanh, -0.0f, -0.0f},
      {Fn::erf, inf, 1},         {Fn::erf, -0.0f, -0.0f},
      {Fn::sigmoid, 0, 0.5f},    {Fn::sigmoid, inf, 1},
      {Fn::sigmoid, -inf, 0},    {Fn::sigmoid, -1000, 0},
      {Fn::rsqrt, 4, 0.5f},      {Fn::rsqrt, 0, inf},
      {Fn::rsqrt, -0.0f, -inf},  {Fn::rsqrt, inf, 0},
      {Fn::rsqrt, -1, NAN},      {Fn::rcp, -0.0f, -inf},
      {Fn::rcp, inf, 0},         {Fn::rcp, 3, 0x1.555556p-2f},
  };
  for (const Row& r : rows) {
    CAPTURE(name_of(r.f));
    CAPTURE(r.x);
    uint32_t want = std::isnan(r.y) ? 0x7FC00000 : code_of(r.y);
    CHECK(code_of(unary_f32(r.f, r.x)) == want);
  }
  for (Fn f : functions())
    for (DType t : {dt::f16_, dt::bf16_, dt::f32_, dt::f64_}) {
      uint64_t negative_nan = nan_code(t) | uint64_t{1} << (t.bits - 1);
      CHECK(unary_code(f, t, negative_nan) == nan_code(t));
    }
}

TEST_CASE("sigmoid next to one half, where the tie is broken by the third term") {
  // 1/2 + x/4 is a tie of f32 for odd multiples of 2^-23; the result is the neighbour nearer to
  // 1/2.
  for (uint32_t k = 1; k < 12; k += 2) {
    float x = static_cast<float>(k) * 0x1p-23f;
    CHECK(sigmoid_f32(x) == 0.5f + static_cast<float>(k / 2) * 0x1p-24f);
    // Below one half the spacing is 2^-25.
    CHECK(sigmoid_f32(-x / 2) == 0.5f - static_cast<float>(k / 2) * 0x1p-25f);
  }
}

TEST_CASE("pow: exact cases, ties and special values") {
  struct Row {
    float x, y, z;
  };
  const float inf = INFINITY;
  const Row rows[] = {
      {2, 10, 1024},
      {-3, 3, -27},
      {9, 0.5f, 3},
      {16, 0.25f, 2},
      {2, -149, 0x1p-149f},
      {2, -150, 0},
      {0, -1, inf},
      {-0.0f, -1, -inf},
      {-0.0f, 3, -0.0f},
      {0, 0, 1},
      {NAN, 0, 1},
      {1, NAN, 1},
      {-1, inf, 1},
      {-2, 0.5f, NAN},
      {inf, -1, 0},
      {0.5f, inf, 0},
      {2, 128, inf},
      {-2, 127, -0x1p127f},
      {NAN, 1, NAN},
      {0x1p-50f, 3, 0},
      // 4099^2 = 16801801 is odd with 25 bits: a tie, to the even neighbour; so are the others.
      {4099, 2, 16801800.0f},
      {-4099, 2, 16801800.0f},
      {4101, 2, 16818200.0f},
      {293, 3, 25153756.0f},
      {0x1p-75f, 2, 0},
      {0x1.8p-75f, 2, 0x1p-149f},
  };
  for (const Row& r : rows) {
    CAPTURE(r.x);
    CAPTURE(r.y);
    uint32_t want = std::isnan(r.z) ? 0x7FC00000 : code_of(r.z);
    CHECK(code_of(pow_f32(r.x, r.y)) == want);
  }
  CHECK(pow_code(dt::f16_, 0x4200, 0x4000) == 0x4880);  // 3^2
  CHECK(pow_code(dt::bf16_, 0x4040, 0x4000) == 0x4110);
  CHECK(pow_code(dt::f64_, std::bit_cast<uint64_t>(3.0), std::bit_cast<uint64_t>(2.0)) ==
        std::bit_cast<uint64_t>(9.0));
}

TEST_CASE("integer powers of small integers are the product rounded once") {
  Mismatches m;
  for (int base = 2; base < 400; ++base)
    for (int n = 1; n < 16; ++n) {
      using F = oracle::Fixed<12, -160>;
      unsigned __int128 product = 1;
      bool fits = true;
      for (int i = 0; i < n; ++i) {
        fits &= product < (static_cast<unsigned __int128>(1) << 127) / static_cast<unsigned>(base);
        if (fits) product *= static_cast<unsigned>(base);
      }
      if (!fits) continue;
      for (DType t : {dt::f32_, dt::f16_, dt::bf16_}) {
        if (decode_float(t, encode_float(t, base)) != base) continue;
        uint64_t want =
            oracle::round_fixed(t, F::of(false, product, 0), Round::rne, Overflow::saturate);
        uint64_t got = pow_code(t, encode_float(t, base), encode_float(t, n));
        m.expect(got == want, [&] {
          return fmt::format("{} {}^{}: {:#x}, expected {:#x}", dtype_name(t), base, n, got, want);
        });
      }
    }
  CHECK_SWEEP(m);
}

// The argument for correct rounding in f32 rests on this.
TEST_CASE("long: the rounding test settles every f32 input but the known ones") {
  unsigned workers = sweep::worker_count();
  std::vector<Mismatches> found(workers);
  for (Fn f : functions()) {
    sweep::show_progress(fmt::format("{} of all f32", name_of(f)));
    sweep::each_block(workers, [&](uint32_t first, unsigned w) {
      for (uint32_t i = 0; i < sweep::kBlock; ++i) {
        float x = f32_of(first + i);
        bool exact_tie = f == Fn::exp2 && x == -150;
        bool by_series = f == Fn::sigmoid && std::fabs(x) < 0x1p-15f && std::fabs(x) > 0x1p-26f;
        found[w].expect(is_decided(f, x) || exact_tie || by_series,
                        [&] { return fmt::format("{}({:a})", name_of(f), x); });
      }
    });
  }
  sweep::show_progress("");
  for (const Mismatches& m : found) CHECK_SWEEP(m);
}
