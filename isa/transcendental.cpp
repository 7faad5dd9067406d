#include "isa/transcendental.h"

#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "isa/numerics.h"

namespace tess {
namespace {

static_assert(std::numeric_limits<long double>::digits >= 64,
              "f32 hard cases and f64 need a long double wider than double");

constexpr double kErrorDouble = 0x1p-49;
constexpr long double kErrorLong = 0x1p-60L;

template <Fn f, class Real>
Real evaluate(Real x) {
  if constexpr (f == Fn::exp) return std::exp(x);
  if constexpr (f == Fn::exp2) return std::exp2(x);
  if constexpr (f == Fn::log) return std::log(x);
  if constexpr (f == Fn::log2) return std::log2(x);
  if constexpr (f == Fn::sin) return std::sin(x);
  if constexpr (f == Fn::cos) return std::cos(x);
  if constexpr (f == Fn::tanh) return std::tanh(x);
  if constexpr (f == Fn::erf) return std::erf(x);
  if constexpr (f == Fn::sigmoid) return Real(1) / (Real(1) + std::exp(-x));
  if constexpr (f == Fn::rsqrt) return Real(1) / std::sqrt(x);
  if constexpr (f == Fn::rcp) return Real(1) / x;
}

// How a type rounds: to_double keeps the value, round is to nearest even, from any wider type.
struct F32 {
  using Value = float;
  static Value round(double y) { return static_cast<float>(y); }
  static Value round(long double y) { return static_cast<float>(y); }
  static Value nan() { return std::numeric_limits<float>::quiet_NaN(); }
};

// 16-bit types as codes. From long double it goes through a double rounded to odd, which has enough
// bits below the type's for the second rounding to see the same.
template <const DType& kType>
struct Half {
  using Value = uint64_t;
  static Value round(double y) { return encode_float(kType, y); }
  static Value round(long double y) {
    double near = static_cast<double>(y);
    if (near != y && std::isfinite(near)) {
      uint64_t bits = std::bit_cast<uint64_t>(near);
      if (std::fabs(static_cast<long double>(near)) > std::fabs(y)) --bits;
      near = std::bit_cast<double>(bits | 1);
    }
    return encode_float(kType, near);
  }
  static Value nan() { return nan_code(kType); }
};
constexpr DType kF16 = dt::f16_, kBf16 = dt::bf16_;

// The rounding of the true value, if y within a relative error determines it.
template <class Type, class Real>
std::optional<typename Type::Value> settle(Real y, Real error) {
  auto low = Type::round(y * (1 - error)), high = Type::round(y * (1 + error));
  if (low != high) return {};
  return low;
}

// sigmoid(x) = 1/2 + x/4 - x^3/48 + ...; for 2^-26 < |x| < 2^-15 the first two terms are exact in a
// long double and may be a tie of f32, which the third one breaks.
std::optional<float> sigmoid_next_to_half(float x) {
  float magnitude = std::fabs(x);
  if (!(magnitude < 0x1p-15f && magnitude > 0x1p-26f)) return {};
  long double head = 0.5L + static_cast<long double>(x) / 4;
  return static_cast<float>(std::nextafter(head, x > 0 ? 0.0L : 1.0L));
}

template <class Type, Fn f>
typename Type::Value correctly_rounded(double x) {
  double y = evaluate<f, double>(x);
  if (std::isnan(y)) return Type::nan();
  if (auto v = settle<Type>(y, kErrorDouble)) return *v;
  if constexpr (f == Fn::sigmoid && std::is_same_v<Type, F32>)
    if (auto v = sigmoid_next_to_half(static_cast<float>(x))) return *v;
  long double wide = evaluate<f, long double>(x);
  if (auto v = settle<Type>(wide, kErrorLong)) return *v;
  return Type::round(wide);
}

// A finite non-zero |v| as odd * 2^exponent; digits of long double beyond 64 are not used here.
struct OddParts {
  uint64_t odd;
  int exponent;
};
OddParts odd_parts(long double v) {
  int exponent;
  long double fraction = std::frexp(std::fabs(v), &exponent);
  uint64_t odd = static_cast<uint64_t>(std::ldexp(fraction, 64));
  int zeros = std::countr_zero(odd);
  return {odd >> zeros, exponent - 64 + zeros};
}

bool odd_power_equals(uint64_t base, int n, uint64_t target) {
  unsigned __int128 power = 1;
  for (int i = 0; i < n && power <= target; ++i) power *= base;
  return power == target;
}

// |x|^y == m, for x and y of at most 24 bits and m of at most 25. With y = n 2^j, n odd: for j < 0
// x must be a 2^-j-th power, of which m is the n-th.
bool power_is_exactly(float x, float y, long double m) {
  OddParts base = odd_parts(x), exponent = odd_parts(y), target = odd_parts(m);
  if (static_cast<long double>(base.exponent) * y != target.exponent) return false;
  if (base.odd == 1 || target.odd == 1) return base.odd == target.odd;
  if (y < 0) return false;  // an odd denominator above 1 is no dyadic fraction
  for (int j = exponent.exponent; j < 0; ++j) {
    uint64_t root = static_cast<uint64_t>(std::sqrt(static_cast<double>(base.odd)) + 0.5);
    if (root * root != base.odd || root == 1) return false;
    base.odd = root;
  }
  if (exponent.exponent > 6 || exponent.odd > 64) return false;  // 3^64 is beyond every m
  uint64_t n = exponent.exponent > 0 ? exponent.odd << exponent.exponent : exponent.odd;
  return n <= 64 && odd_power_equals(base.odd, static_cast<int>(n), target.odd);
}

// v to `digits` bits, and to no finer a quantum than 2^(lowest).
long double keep_bits(long double v, int digits, int lowest) {
  int exponent;
  std::frexp(v, &exponent);
  int quantum = exponent - digits > lowest ? exponent - digits : lowest;
  return std::ldexp(std::nearbyint(std::ldexp(v, -quantum)), quantum);
}

template <class Type>
typename Type::Value power(float x, float y, DType t) {
  double near = std::pow(static_cast<double>(x), static_cast<double>(y));
  if (std::isnan(near)) return Type::nan();
  if (auto v = settle<Type>(near, kErrorDouble)) return *v;
  long double wide = std::pow(static_cast<long double>(x), static_cast<long double>(y));
  if (auto v = settle<Type>(wide, kErrorLong)) return *v;
  long double tie = keep_bits(wide, t.man + 2, 1 - t.bias() - t.man - 1);
  if (power_is_exactly(x, y, tie)) wide = tie;
  return Type::round(wide);
}

template <Fn f>
double in_f64(double x) {
  double y = f == Fn::rcp ? 1 / x : static_cast<double>(evaluate<f, long double>(x));
  return std::isnan(y) ? std::numeric_limits<double>::quiet_NaN() : y;
}

// Calls visit.template operator()<f>() with the function as a constant.
template <class Visit>
auto with_function(Fn f, Visit visit) {
  switch (f) {
    case Fn::exp:
      return visit.template operator()<Fn::exp>();
    case Fn::exp2:
      return visit.template operator()<Fn::exp2>();
    case Fn::log:
      return visit.template operator()<Fn::log>();
    case Fn::log2:
      return visit.template operator()<Fn::log2>();
    case Fn::sin:
      return visit.template operator()<Fn::sin>();
    case Fn::cos:
      return visit.template operator()<Fn::cos>();
    case Fn::tanh:
      return visit.template operator()<Fn::tanh>();
    case Fn::erf:
      return visit.template operator()<Fn::erf>();
    case Fn::sigmoid:
      return visit.template operator()<Fn::sigmoid>();
    case Fn::rsqrt:
      return visit.template operator()<Fn::rsqrt>();
    case Fn::rcp:
      break;
  }
  return visit.template operator()<Fn::rcp>();
}

template <class Type>
typename Type::Value unary(Fn f, double x) {
  return with_function(f, [x]<Fn kFn>() { return correctly_rounded<Type, kFn>(x); });
}

}  // namespace

float exp_f32(float x) { return correctly_rounded<F32, Fn::exp>(x); }
float exp2_f32(float x) { return correctly_rounded<F32, Fn::exp2>(x); }
float log_f32(float x) { return correctly_rounded<F32, Fn::log>(x); }
float log2_f32(float x) { return correctly_rounded<F32, Fn::log2>(x); }
float sin_f32(float x) { return correctly_rounded<F32, Fn::sin>(x); }
float cos_f32(float x) { return correctly_rounded<F32, Fn::cos>(x); }
float tanh_f32(float x) { return correctly_rounded<F32, Fn::tanh>(x); }
float erf_f32(float x) { return correctly_rounded<F32, Fn::erf>(x); }
float sigmoid_f32(float x) { return correctly_rounded<F32, Fn::sigmoid>(x); }
float rsqrt_f32(float x) { return correctly_rounded<F32, Fn::rsqrt>(x); }
float rcp_f32(float x) { return std::isnan(x) ? F32::nan() : 1 / x; }
float pow_f32(float x, float y) { return power<F32>(x, y, dt::f32_); }

double exp_f64(double x) { return in_f64<Fn::exp>(x); }
double exp2_f64(double x) { return in_f64<Fn::exp2>(x); }
double log_f64(double x) { return in_f64<Fn::log>(x); }
double log2_f64(double x) { return in_f64<Fn::log2>(x); }
double sin_f64(double x) { return in_f64<Fn::sin>(x); }
double cos_f64(double x) { return in_f64<Fn::cos>(x); }
double tanh_f64(double x) { return in_f64<Fn::tanh>(x); }
double erf_f64(double x) { return in_f64<Fn::erf>(x); }
double sigmoid_f64(double x) { return in_f64<Fn::sigmoid>(x); }
double rsqrt_f64(double x) { return in_f64<Fn::rsqrt>(x); }
double rcp_f64(double x) { return in_f64<Fn::rcp>(x); }
double pow_f64(double x, double y) {
  double z =
      static_cast<double>(std::pow(static_cast<long double>(x), static_cast<long double>(y)));
  return std::isnan(z) ? std::numeric_limits<double>::quiet_NaN() : z;
}

float unary_f32(Fn f, float x) { return f == Fn::rcp ? rcp_f32(x) : unary<F32>(f, x); }
double unary_f64(Fn f, double x) {
  return with_function(f, [x]<Fn kFn>() { return in_f64<kFn>(x); });
}

uint64_t unary_code(Fn f, DType t, uint64_t a) {
  if (t == dt::f64_) return std::bit_cast<uint64_t>(unary_f64(f, std::bit_cast<double>(a)));
  double x = decode_float(t, a);
  if (t == dt::f32_) return std::bit_cast<uint32_t>(unary_f32(f, static_cast<float>(x)));
  if (f == Fn::rcp) return arith_code(t, '/', one_code(t), a);
  return t == dt::f16_ ? unary<Half<kF16>>(f, x) : unary<Half<kBf16>>(f, x);
}

uint64_t pow_code(DType t, uint64_t a, uint64_t b) {
  if (t == dt::f64_)
    return std::bit_cast<uint64_t>(pow_f64(std::bit_cast<double>(a), std::bit_cast<double>(b)));
  float x = static_cast<float>(decode_float(t, a)), y = static_cast<float>(decode_float(t, b));
  if (t == dt::f32_) return std::bit_cast<uint32_t>(pow_f32(x, y));
  return t == dt::f16_ ? power<Half<kF16>>(x, y, t) : power<Half<kBf16>>(x, y, t);
}

bool is_decided(Fn f, float x) {
  if (f == Fn::rcp) return true;
  return with_function(f, [x]<Fn kFn>() {
    double y = evaluate<kFn, double>(x);
    if (std::isnan(y) || settle<F32>(y, kErrorDouble)) return true;
    return settle<F32>(evaluate<kFn, long double>(x), kErrorLong).has_value();
  });
}

}  // namespace tess
