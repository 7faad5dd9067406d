#include "jit/lower/real_math.h"

#include <bit>
#include <cmath>

#include "isa/numerics.h"

namespace tess::jit {
namespace {

constexpr long double kLog2e = 1.442695040888963407359924681001892137L;
constexpr long double kLn2 = 0.693147180559945309417232121458176568L;
// ln 2 in two doubles, pi/2 in three.
constexpr double kLn2High = 0x1.62e42fefa39efp-1, kLn2Low = 0x1.abc9e3b39803fp-56;
constexpr double kInfinity = INFINITY;

}  // namespace

Operand RealMath::c(long double v) const {
  return wide_ ? Operand::imm(std::bit_cast<uint64_t>(static_cast<double>(v)), RegClass::f64)
               : f32(static_cast<float>(v));
}
Operand RealMath::arith(const char* op, Operand a, Operand b) {
  return e_.form1(std::string(op) + (wide_ ? ".rn.f64" : ".rn.f32"), {a, b});
}
Operand RealMath::fma(Operand a, Operand b, Operand c) {
  return e_.form1(wide_ ? "fma.rn.f64" : "fma.rn.f32", {a, b, c});
}
Operand RealMath::neg(Operand a) {
  return real(e_.xor_(bits(a), word(wide_ ? uint64_t{1} << 63 : 0x80000000)));
}
Operand RealMath::abs(Operand a) {
  return real(e_.and_(bits(a), word(wide_ ? ~(uint64_t{1} << 63) : 0x7fffffff)));
}
Operand RealMath::with_sign(Operand magnitude, Operand sign_of) {
  uint64_t top = wide_ ? uint64_t{1} << 63 : 0x80000000;
  Operand sign = e_.and_(bits(sign_of), word(top));
  return real(e_.or_(e_.and_(bits(magnitude), word(wide_ ? top - 1 : 0x7fffffff)), sign));
}
Operand RealMath::nearest(Operand x) {
  return e_.form1(wide_ ? "cvt.rni.f64.f64" : "cvt.rni.f32.f32", {x});
}
Operand RealMath::to_int(Operand x) {
  return e_.form1(wide_ ? "cvt.rni.s32.f64" : "cvt.rni.s32.f32", {x});
}
Operand RealMath::approx(const char* op, Operand x) {
  bool flush = l_.kernel().fast.ftz;
  return e_.form1(std::string(op) + (flush ? ".approx.ftz.f32" : ".approx.f32"), {x});
}

Operand RealMath::horner(Operand x, std::initializer_list<long double> from_highest) {
  Operand sum;
  bool first = true;
  for (long double v : from_highest) {
    sum = first ? c(v) : fma(sum, x, c(v));
    first = false;
  }
  return sum;
}

// The sum of (±1)^i x^i / (first + step·i)! up to `last`!.
Operand RealMath::taylor(Operand x, int first, int last, int step, bool alternate) {
  std::vector<long double> v;
  long double f = 1;
  for (int k = 1; k <= last; ++k) {
    f *= k;
    if (k >= first && (k - first) % step == 0) v.push_back(1 / f);
  }
  if (first == 0) v.insert(v.begin(), 1);
  Operand sum;
  for (size_t i = v.size(); i-- > 0;) {
    long double k = alternate && i % 2 ? -v[i] : v[i];
    sum = i + 1 == v.size() ? c(k) : fma(sum, x, c(k));
  }
  return sum;
}

Operand RealMath::scaled(Operand x, Operand exponent) {
  // Two steps, so that only the second can leave the range of normal numbers.
  Operand half = e_.ashr(exponent, 1), rest = e_.sub(exponent, half);
  auto power = [&](Operand n) {
    if (wide_) return real(e_.shl(e_.sext(e_.add(n, b32(1023))), 52));
    return real(e_.shl(e_.add(n, b32(127)), 23));
  };
  return mul(mul(x, power(half)), power(rest));
}

// e^r for |r| <= ln(2)/2.
Operand RealMath::exp_fraction(Operand r) {
  Operand tail = taylor(r, 2, wide_ ? 13 : 7, 1, false);
  return add(c(1), fma(mul(r, r), tail, r));
}

RealMath::Split RealMath::reduced_exp(Operand x) {
  Operand n = nearest(mul(x, c(kLog2e)));
  double high = wide_ ? kLn2High : static_cast<float>(kLn2High);
  double low = wide_ ? kLn2Low : kLn2High - static_cast<float>(kLn2High);
  Operand r = fma(n, c(-high), x);
  return {fma(n, c(-low), r), to_int(n)};
}

Operand RealMath::exp(Operand x) {
  if (coarse_ && !wide_) return approx("ex2", mul(x, c(kLog2e)));
  const char* type = wide_ ? "f64" : "f32";
  Operand low = c(wide_ ? -746 : -105), high = c(wide_ ? 711 : 90);
  Operand near = e_.form1(std::string("max.") + type, {x, low});
  near = e_.form1(std::string("min.") + type, {near, high});
  Split s = reduced_exp(near);
  return e_.sel(is_nan(x), x, scaled(exp_fraction(s.value), s.number));
}

Operand RealMath::exp2(Operand x) {
  if (coarse_ && !wide_) return approx("ex2", x);
  const char* type = wide_ ? "f64" : "f32";
  Operand near = e_.form1(std::string("max.") + type, {x, c(wide_ ? -1077 : -152)});
  near = e_.form1(std::string("min.") + type, {near, c(wide_ ? 1025 : 129)});
  Operand n = nearest(near), f = sub(near, n);
  // f·ln 2 with the error of the product.
  double high = wide_ ? kLn2High : static_cast<float>(kLn2High);
  double low = wide_ ? kLn2Low : kLn2High - static_cast<float>(kLn2High);
  Operand r = mul(f, c(high));
  Operand error = fma(f, c(low), fma(f, c(high), neg(r)));
  Operand tail = taylor(r, 2, wide_ ? 13 : 7, 1, false);
  Operand value = add(c(1), add(r, fma(mul(r, r), tail, error)));
  return e_.sel(is_nan(x), x, scaled(value, to_int(n)));
}

Operand RealMath::expm1_small(Operand x) {
  return fma(mul(x, x), taylor(x, 2, wide_ ? 22 : 12, 1, false), x);
}

Operand RealMath::sigmoid(Operand x) {
  if (coarse_ && !wide_) return approx("rcp", add(c(1), approx("ex2", mul(x, c(-kLog2e)))));
  Operand small = exp(neg(abs(x)));
  Operand positive = e_.not_(lt(x, c(0)));
  return div(e_.sel(positive, c(1), small), add(c(1), small));
}

Operand RealMath::tanh(Operand x) {
  if (l_.kernel().fast.approx && !wide_) return e_.form1("tanh.approx.f32", {x});
  Operand a = abs(x), twice = add(a, a);
  // Beyond 1.1 = 2|x| the difference from 1 is small; below, e^2x - 1 keeps its digits.
  Operand e = exp(twice);
  Operand large = sub(c(1), div(c(2), add(e, c(1))));
  Operand within = e_.form1(wide_ ? "min.f64" : "min.f32", {twice, c(1.125L)});
  Operand m = expm1_small(within);
  Operand small = div(m, add(m, c(2)));
  Operand value = e_.sel(lt(twice, c(1.125L)), small, large);
  value = e_.sel(lt(a, c(wide_ ? 0x1p-28 : 0x1p-13)), a, value);
  return e_.sel(is_nan(x), x, with_sign(value, x));
}

Operand RealMath::erf(Operand x) {
  Operand a = abs(x), s = mul(x, x);
  if (!wide_) {
    Operand near = e_.form1("min.f32", {a, c(4)});
    Operand t = horner(near, {-1.72853470e-5L, 3.83197126e-4L}), s4 = mul(near, near);
    Operand u = horner(near, {-3.88396438e-3L, 2.42546219e-2L});
    t = fma(t, s4, u);
    t = fma(t, near, c(-1.06777877e-1L));
    t = fma(t, near, c(-6.34846687e-1L));
    t = fma(t, near, c(-1.28717512e-1L));
    t = fma(t, near, neg(near));
    bool coarse = coarse_;
    coarse_ = false;
    Operand large = sub(c(1), exp(t));
    coarse_ = coarse;
    Operand r = horner(s, {-5.96761703e-4L, 4.99119423e-3L, -2.67681349e-2L, 1.12819925e-1L,
                           -3.76125336e-1L, 1.28379166e-1L});
    Operand small = fma(r, x, x);
    Operand value = e_.sel(lt(c(0.921875L), a), with_sign(large, x), small);
    return e_.sel(is_nan(x), x, value);
  }
  // Below 1 the series; above, 1 - e^(-x²)·g(x) with a polynomial for g.
  Operand sum;
  long double factorial = 1;
  std::vector<long double> series;
  for (int n = 0; n <= 20; ++n) {
    if (n) factorial *= n;
    series.push_back((n % 2 ? -1 : 1) / (factorial * (2 * n + 1)) *
                     1.128379167095512573896158903121545172L);
  }
  for (size_t i = series.size(); i-- > 0;)
    sum = i + 1 == series.size() ? c(series[i]) : fma(sum, s, c(series[i]));
  Operand small = mul(x, sum);
  Operand near = e_.form1("min.f64", {a, c(6)});
  near = e_.form1("max.f64", {near, c(1)});
  Operand u = div(sub(near, c(2)), add(near, c(2)));
  Operand t = fma(u, c(2.4L), c(-0.2L));  // [-1/3, 1/2] to [-1, 1]
  Operand g = horner(t, {0x1.8b3a17d565c90p-50,  0x1.94560a131c34ep-47,  0x1.c936688d70a14p-47,
                         -0x1.b8220d70039b8p-43, -0x1.1b022c3c0a4b0p-40, 0x1.0753665b835d6p-42,
                         0x1.87ac1bf864d98p-36,  0x1.434d9c2c546bap-34,  -0x1.27927f1d9bb09p-32,
                         -0x1.68a1e49a038ccp-29, -0x1.438d876a5f78ap-31, 0x1.2ce045419ca26p-24,
                         0x1.5f1cb8663b1eap-23,  -0x1.09b139d795fe2p-19, -0x1.ec9d234b47c7bp-18,
                         0x1.52ddf801445e1p-14,  0x1.9d6e4a4675732p-13,  -0x1.6e44c72762ecep-8,
                         0x1.3be3609c853acp-5,   -0x1.4b8edae15a041p-3,  0x1.c57cd9cd3f3a9p-3});
  Operand large = fma(neg(exp(neg(mul(near, near)))), g, c(1));
  Operand value = e_.sel(lt(c(1), a), with_sign(large, x), small);
  return e_.sel(is_nan(x), x, value);
}

RealMath::Split RealMath::mantissa(Operand x) {
  // Subnormal numbers first become normal.
  Operand tiny = lt(x, c(wide_ ? 0x1p-1022L : 0x1p-126L));
  Operand y = e_.sel(tiny, mul(x, c(wide_ ? 0x1p54L : 0x1p24L)), x);
  Operand start = e_.sel(tiny, b32(static_cast<uint32_t>(wide_ ? -54 : -24)), b32(0));
  if (!wide_) {
    Operand b = bits(y);
    Operand e = e_.and_(e_.sub(b, b32(0x3f2aaaab)), b32(0xff800000));
    return {real(e_.sub(b, e)), e_.add(start, e_.ashr(e, 23))};
  }
  Operand b = bits(y);
  Operand e = e_.and_(e_.sub(b, b64(0x3fe5555555555555)), b64(0xfff0000000000000));
  return {real(e_.sub(b, e)), e_.add(start, e_.trunc(e_.ashr(e, 52)))};
}

// f in [-1/3, 1/3].
Operand RealMath::log_near_one(Operand f) {
  if (!wide_) {
    Operand s = mul(f, f);
    Operand r = c(-0.130310059L), t = c(0.140869141L);
    r = fma(r, s, c(-0.121483512L));
    t = fma(t, s, c(0.139814854L));
    r = fma(r, s, c(-0.166846126L));
    t = fma(t, s, c(0.200120345L));
    r = fma(r, s, c(-0.249996200L));
    r = fma(t, f, r);
    r = fma(r, f, c(0.333331972L));
    r = fma(r, f, c(-0.5L));
    return fma(r, s, f);
  }
  // 2 atanh(q), q = f / (2 + f), written as f - (f²/2 - q·(f²/2 + R)).
  Operand q = div(f, add(c(2), f)), z = mul(q, q);
  Operand r;
  for (int k = 27; k >= 3; k -= 2) r = k == 27 ? c(2.0L / k) : fma(r, z, c(2.0L / k));
  r = mul(r, z);
  Operand half = mul(c(0.5L), mul(f, f));
  return sub(f, sub(half, mul(q, add(half, r))));
}

Operand RealMath::log_special(Operand x, Operand value) {
  Operand plain = e_.and_(lt(c(0), x), lt(x, c(kInfinity)));
  Operand nan =
      Operand::imm(nan_code(wide_ ? dt::f64_ : dt::f32_), wide_ ? RegClass::f64 : RegClass::f32);
  Operand odd = e_.sel(eq(x, c(0)), c(-kInfinity), e_.sel(lt(x, c(0)), nan, x));
  return e_.sel(plain, value, odd);
}

Operand RealMath::log(Operand x) {
  if (coarse_ && !wide_) return mul(approx("lg2", x), c(kLn2));
  Split m = mantissa(x);
  Operand f = sub(m.value, c(1)), near = log_near_one(f);
  Operand n = e_.form1(wide_ ? "cvt.rn.f64.s32" : "cvt.rn.f32.s32", {m.number});
  double high = wide_ ? kLn2High : static_cast<float>(kLn2High);
  double low = wide_ ? kLn2Low : kLn2High - static_cast<float>(kLn2High);
  return log_special(x, fma(n, c(high), fma(n, c(low), near)));
}

Operand RealMath::log2(Operand x) {
  if (coarse_ && !wide_) return approx("lg2", x);
  Split m = mantissa(x);
  Operand f = sub(m.value, c(1)), near = log_near_one(f);
  Operand n = e_.form1(wide_ ? "cvt.rn.f64.s32" : "cvt.rn.f32.s32", {m.number});
  long double high = wide_ ? static_cast<double>(kLog2e) : static_cast<float>(kLog2e);
  long double low = kLog2e - high;
  Operand scaled_near = fma(near, c(low), mul(near, c(high)));
  return log_special(x, add(n, scaled_near));
}

Operand RealMath::rcp(Operand x) {
  if (wide_) return e_.form1("rcp.rn.f64", {x});
  return coarse_ ? approx("rcp", x) : e_.form1("rcp.rn.f32", {x});
}
Operand RealMath::rsqrt(Operand x) {
  if (wide_) return e_.form1("rcp.rn.f64", {e_.form1("sqrt.rn.f64", {x})});
  Operand y = approx("rsqrt", x);
  if (coarse_) return y;
  // One step of Newton, where it is a number between 0 and infinity.
  Operand error = fma(neg(mul(x, y)), y, c(1));
  Operand better = fma(mul(c(0.5L), y), error, y);
  return e_.sel(e_.and_(lt(c(0), x), lt(x, c(kInfinity))), better, y);
}

}  // namespace tess::jit
