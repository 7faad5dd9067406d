// Accuracy of the compiled transcendental functions, against the interpreter's correctly rounded
// values: every f16 and bf16, samples and edge cases of f32 and f64.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "tests/unit/lowered_harness.h"

using namespace tess;
using namespace tess::test;

namespace {

const char* kFunctions[] = {"exp",  "exp2", "log",     "log2",  "sin", "cos",
                            "tanh", "erf",  "sigmoid", "rsqrt", "rcp"};

// Runs every function on all of `x` in one launch; the worst distance by function.
void check(DType t, HostTensor& x, HostTensor& y, double ulp, const std::string& fast = "") {
  std::string n = dtype_name(t), params = fmt::format("n: i32, x: in {0}[n], y: in {0}[n]", n),
              body;
  std::vector<HostTensor> want, got;
  std::vector<Arg> a{static_cast<int>(x.elements()), x, y}, b = a;
  size_t count = std::size(kFunctions) + 1;
  want.reserve(count), got.reserve(count);
  body = "    %i = block.x * 256; %x = load x[%i:+256]; %y = load y[%i:+256]\n";
  for (size_t f = 0; f < count; ++f) {
    want.emplace_back(t, x.shape), got.emplace_back(t, x.shape);
    params += fmt::format(", o{}: out {}[n]", f, n);
    body += fmt::format("    store ({}), o{}[%i:+256]\n",
                        f + 1 == count ? "pow %x, %y" : fmt::format("{} %x", kFunctions[f]), f);
    a.emplace_back(want.back()), b.emplace_back(got.back());
  }
  std::string text = fmt::format("kernel k({})\n    grid(cdiv(n, 256)) warps(4) {}\n{{\n{}}}\n",
                                 params, fast, body);
  VerifiedModule m = assemble(text);
  interp::Outcome out = run(m, a);
  REQUIRE(error_of(out) == "");
  std::string problem = run_lowered(m, b, {});
  REQUIRE(problem == "");
  for (size_t f = 0; f < count; ++f) {
    double worst = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < x.elements(); ++i) {
      double d = ulp_distance(t, got[f].at(i), want[f].at(i));
      double smallest = std::ldexp(1.0, 1 - t.bias());
      bool flushed = got[f].value(i) == 0 && std::abs(want[f].value(i)) <= smallest;
      if (d > worst && !flushed) worst = d, at = i;
    }
    std::string name = f + 1 == count ? "pow" : kFunctions[f];
    CAPTURE(n + " " + name);
    CAPTURE(x.value(at));
    CAPTURE(y.value(at));
    CAPTURE(got[f].value(at));
    CAPTURE(want[f].value(at));
    CHECK(worst <= ulp);
  }
}

}  // namespace

TEST_CASE("every f16 and bf16 is within an ulp") {
  for (DType t : {dt::f16_, dt::bf16_}) {
    HostTensor x(t, {65536}), y(t, {65536});
    std::mt19937_64 random(1);
    for (int64_t i = 0; i < 65536; ++i)
      x.set(i, static_cast<uint64_t>(i)), y.set(i, random() & 0xffff);
    check(t, x, y, 1);
  }
}

TEST_CASE("f32 is within two ulp over the whole range, f64 within a few") {
  std::mt19937_64 random(2);
  for (DType t : {dt::f32_, dt::f64_}) {
    bool wide = t == dt::f64_;
    int64_t samples = wide ? 1 << 15 : 1 << 20;
    HostTensor x = random_tensor(t, {samples}, random), y = random_tensor(t, {samples}, random);
    auto real = [&](double v) {
      return wide ? std::bit_cast<uint64_t>(v) : std::bit_cast<uint32_t>(static_cast<float>(v));
    };
    auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
    constexpr double kScales[] = {1, 0.01, 4, 30, 100, 800, 1e5};
    for (int64_t i = 0; i < samples; ++i) {
      double s = kScales[random() % std::size(kScales)];
      if (i % 3 == 0) x.set(i, real((2 * uniform() - 1) * s));
      if (i % 7 == 0) x.set(i, real(1 + (2 * uniform() - 1) * 0.3));
      if (i % 2 == 0) y.set(i, real((2 * uniform() - 1) * s));
      if (i % 11 == 0) x.set(i, real(std::exp((2 * uniform() - 1) * 80)));
      if (i % 22 == 0) y.set(i, real((2 * uniform() - 1) * 88 / std::log(x.value(i))));
      if (i % 13 == 0) y.set(i, real(static_cast<double>(random() % 9) - 4));
    }
    // Edges: ends of the ranges, multiples of pi/2, the largest numbers.
    double edges[] = {0.0,
                      -0.0,
                      INFINITY,
                      -INFINITY,
                      NAN,
                      1,
                      -1,
                      88.72283,
                      88.7229,
                      -103.97,
                      -104,
                      709.782712893384,
                      -745.13,
                      128,
                      -149,
                      -150,
                      1e-45,
                      1.2e-38,
                      3.4e38,
                      1.5707963267948966,
                      3.141592653589793,
                      6.283185307179586,
                      71476.0625,
                      1e22,
                      0.55,
                      0.5625,
                      0.921875,
                      2,
                      0.5,
                      1e300,
                      5e-324};
    for (size_t i = 0; i < std::size(edges); ++i)
      for (size_t j = 0; j < std::size(edges); ++j) {
        x.set(static_cast<int64_t>(i * std::size(edges) + j), real(edges[i]));
        y.set(static_cast<int64_t>(i * std::size(edges) + j), real(edges[j]));
      }
    check(t, x, y, wide ? 6 : 2);
  }
}
