#include "vm/data/generate.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "isa/diag/data.h"
#include "isa/numerics.h"
#include "vm/data/number.h"

namespace tess {
namespace {

uint64_t bits_of(double x) {
  uint64_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

// a[0] + a[1] x + a[2] x^2 + ..., by Horner's rule.
template <size_t N>
double polynomial(const std::array<double, N>& a, double x) {
  double sum = a[N - 1];
  for (size_t i = N - 1; i-- > 0;) sum = sum * x + a[i];
  return sum;
}

// atanh(s)/s in s^2: 1, 1/3, 1/5, ...
constexpr std::array<double, 13> kAtanh = [] {
  std::array<double, 13> a{};
  for (int i = 0; i < 13; ++i) a[i] = 1.0 / (2 * i + 1);
  return a;
}();
// cos(r) and sin(r)/r in r^2: 1/0!, -1/2!, 1/4!, ... and 1/1!, -1/3!, 1/5!, ...
constexpr std::array<double, 10> alternating_factorials(int first) {
  std::array<double, 10> a{};
  double factorial = 1;  // exact up to 22!
  for (int i = 0, n = first; i < 10; ++i, n += 2) {
    a[i] = (i % 2 ? -1.0 : 1.0) / factorial;
    factorial *= (n + 1) * (n + 2);
  }
  return a;
}
constexpr auto kCos = alternating_factorials(0), kSin = alternating_factorials(1);

// ln x for x in (0, 1]: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m-1)/(m+1)).
double natural_log(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654757) {
    m *= 2;
    --exponent;
  }
  double s = (m - 1) / (m + 1);
  return 2 * s * polynomial(kAtanh, s * s) + exponent * 0.69314718055994531;
}

// cos(2 pi u) for u in [0, 1): the nearest multiple of a quarter turn is split off exactly, which
// leaves r in [-pi/4, pi/4].
double cos_turns(double u) {
  double quarters = 4 * u;
  double whole = std::floor(quarters + 0.5);
  double r = (quarters - whole) * 1.5707963267948966;
  switch (static_cast<int>(whole) & 3) {
    case 0:
      return polynomial(kCos, r * r);
    case 1:
      return -r * polynomial(kSin, r * r);
    case 2:
      return -polynomial(kCos, r * r);
    default:
      return r * polynomial(kSin, r * r);
  }
}

std::array<uint32_t, 4> random_words(uint64_t seed, uint64_t element) {
  return philox4x32({static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32), 0, 0},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}
uint64_t word_pair(uint32_t high, uint32_t low) { return uint64_t{high} << 32 | low; }
double below_one(uint64_t random) { return static_cast<double>(random >> 11) * 0x1p-53; }

Diagnostic bad_value(std::string message) {
  return make_diag(diag::generator_value, std::move(message));
}

uint64_t mask(int bits) { return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

// An integer argument: any value of i64 or u64, as its two's complement in 64 bits and its sign.
struct WideInt {
  bool negative;
  uint64_t bits;
  __int128 value() const {
    return negative ? static_cast<__int128>(static_cast<int64_t>(bits))
                    : static_cast<__int128>(bits);
  }
};

Result<WideInt> integer_argument(const std::string& text, DType dtype) {
  auto number = parse_integer(text);
  if (!number)
    return bad_value(fmt::format("'{}' is not a whole number of at most 64 bits, as {} needs", text,
                                 dtype_name(dtype)));
  return WideInt{number->negative, number->bits};
}

__int128 least(DType t) { return t.is_signed() ? -(static_cast<__int128>(1) << (t.bits - 1)) : 0; }
__int128 greatest(DType t) {
  if (t.is_bool()) return 1;
  return (static_cast<__int128>(1) << (t.bits - (t.is_signed() ? 1 : 0))) - 1;
}

Result<uint64_t> fitting_integer(const std::string& text, DType dtype) {
  TESS_TRY(WideInt n, integer_argument(text, dtype));
  if (n.value() < least(dtype) || n.value() > greatest(dtype))
    return bad_value(fmt::format("{} does not fit {}", text, dtype_name(dtype)));
  return n.bits;
}

Result<double> real_argument(const std::string& text) {
  auto number = parse_real(text);
  if (!number) return bad_value(fmt::format("'{}' is not a number", text));
  return *number;
}

// Writes element codes in row-major order. (Hosts are little-endian.)
template <class Word, class Code>
void fill_words(uint8_t* to, uint64_t count, const Code& code) {
  static_assert(std::endian::native == std::endian::little);
  for (uint64_t n = 0; n < count; ++n) {
    auto word = static_cast<Word>(code(n));
    std::memcpy(to + n * sizeof word, &word, sizeof word);
  }
}
template <class Code>
void fill(HostTensor& t, uint64_t count, const Code& code) {
  uint8_t* to = t.mutable_bytes();
  int w = t.dtype.bits;
  switch (w) {
    case 8:
      return fill_words<uint8_t>(to, count, code);
    case 16:
      return fill_words<uint16_t>(to, count, code);
    case 32:
      return fill_words<uint32_t>(to, count, code);
    case 64:
      return fill_words<uint64_t>(to, count, code);
    default:
      for (uint64_t n = 0; n < count; ++n) write_bits(to, n * w, w, code(n));
  }
}

bool is_whole(DType t) { return t.is_int() || t.is_bool(); }
// As `cast` from f64. A conversion to float rounds to nearest even in hardware, as f32 asks.
uint64_t round_to(DType t, double x) {
  if (t == dt::f32_ && !std::isnan(x)) return std::bit_cast<uint32_t>(static_cast<float>(x));
  return cast_code(t, dt::f64_, bits_of(x));
}

Status fill_constant(HostTensor& t, uint64_t count, const std::string& text) {
  uint64_t code;
  if (t.dtype.is_bool() && (text == "true" || text == "false")) {
    code = text == "true";
  } else if (is_whole(t.dtype)) {
    TESS_TRY(uint64_t bits, fitting_integer(text, t.dtype));
    code = bits & mask(t.dtype.bits);
  } else {
    TESS_TRY(double value, real_argument(text));
    code = round_to(t.dtype, value);
  }
  if (code != 0) fill(t, count, [&](uint64_t) { return code; });
  return ok();
}

Status fill_iota(HostTensor& t, uint64_t count, const std::vector<std::string>& arguments) {
  std::string start = arguments.empty() ? "0" : arguments[0],
              step = arguments.size() < 2 ? "1" : arguments[1];
  DType dtype = t.dtype;
  if (is_whole(dtype)) {
    TESS_TRY(WideInt first, integer_argument(start, dtype));
    TESS_TRY(WideInt by, integer_argument(step, dtype));
    uint64_t m = dtype.is_bool() ? 1 : mask(dtype.bits);
    fill(t, count, [&](uint64_t n) { return (first.bits + n * by.bits) & m; });
  } else {
    TESS_TRY(double first, real_argument(start));
    TESS_TRY(double by, real_argument(step));
    fill(t, count,
         [&](uint64_t n) { return round_to(dtype, first + static_cast<double>(n) * by); });
  }
  return ok();
}

Result<uint64_t> seed_argument(const std::vector<std::string>& arguments, uint64_t default_seed) {
  if (arguments.empty()) return default_seed;
  auto seed = parse_integer(arguments[0]);
  if (!seed || seed->negative)
    return bad_value(
        fmt::format("the seed '{}' is not a whole number of 0 to 2^64-1", arguments[0]));
  return seed->bits;
}

Status fill_uniform(HostTensor& t, uint64_t count, const std::vector<std::string>& arguments,
                    uint64_t default_seed) {
  TESS_TRY(uint64_t seed, seed_argument(arguments, default_seed));
  DType dtype = t.dtype;
  bool ranged = arguments.size() == 3;
  if (is_whole(dtype)) {
    uint64_t low = 0, values = 0;  // 0 values stands for 2^64
    int width = dtype.is_bool() ? 1 : dtype.bits;
    if (!ranged && width < 64) values = uint64_t{1} << width;
    if (ranged) {
      TESS_TRY(low, fitting_integer(arguments[1], dtype));
      TESS_TRY(WideInt from, integer_argument(arguments[1], dtype));
      TESS_TRY(WideInt to, integer_argument(arguments[2], dtype));
      if (to.value() <= from.value() || to.value() > greatest(dtype) + 1)
        return bad_value(
            fmt::format("no {} lies in [{}, {})", dtype_name(dtype), arguments[1], arguments[2]));
      values = static_cast<uint64_t>(to.value() - from.value());
    }
    fill(t, count, [&](uint64_t n) {
      auto w = random_words(seed, n);
      uint64_t random = word_pair(w[0], w[1]);
      uint64_t scaled =
          values == 0
              ? random
              : static_cast<uint64_t>((static_cast<unsigned __int128>(random) * values) >> 64);
      return (low + scaled) & mask(dtype.bits);
    });
    return ok();
  }
  double low = 0, high = 1;
  if (ranged) {
    TESS_TRY(low, real_argument(arguments[1]));
    TESS_TRY(high, real_argument(arguments[2]));
    if (!(low < high) || !std::isfinite(high - low))
      return bad_value(fmt::format("[{}, {}) is no range", arguments[1], arguments[2]));
  }
  double extent = high - low;
  fill(t, count, [&](uint64_t n) {
    auto w = random_words(seed, n);
    return round_to(dtype, low + extent * below_one(word_pair(w[0], w[1])));
  });
  return ok();
}

Status fill_normal(HostTensor& t, uint64_t count, const std::vector<std::string>& arguments,
                   uint64_t default_seed) {
  TESS_TRY(uint64_t seed, seed_argument(arguments, default_seed));
  DType dtype = t.dtype;
  double mean = 0, deviation = 1;
  if (arguments.size() == 3) {
    TESS_TRY(mean, real_argument(arguments[1]));
    TESS_TRY(deviation, real_argument(arguments[2]));
    if (!std::isfinite(mean) || !std::isfinite(deviation) || deviation < 0)
      return bad_value(
          fmt::format("mean {} and deviation {} are not those of a normal distribution",
                      arguments[1], arguments[2]));
  }
  fill(t, count, [&](uint64_t n) {
    auto w = random_words(seed, n);
    double radius = static_cast<double>((word_pair(w[0], w[1]) >> 11) + 1) * 0x1p-53;
    double x = mean + deviation * box_muller(radius, below_one(word_pair(w[2], w[3])));
    if (is_whole(dtype)) x = std::nearbyint(x);
    return round_to(dtype, x);
  });
  return ok();
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

double box_muller(double u, double v) { return std::sqrt(-2 * natural_log(u)) * cos_turns(v); }

Result<HostTensor> generate(const GeneratorCall& call, DType dtype, std::vector<int64_t> shape,
                            uint64_t default_seed) {
  TESS_TRY(uint64_t count, element_count(shape));
  TESS_TRY(HostTensor t, make_tensor(dtype, std::move(shape)));
  switch (call.generator) {
    case Generator::zeros:
      // e8m0 has no zero: its least value stands for it, and its code is 0 too.
      break;
    case Generator::ones:
      fill(t, count, [one = dtype.bits == 1 ? 1 : one_code(dtype)](uint64_t) { return one; });
      break;
    case Generator::iota:
      TESS_CHECK(fill_iota(t, count, call.arguments));
      break;
    case Generator::uniform:
      TESS_CHECK(fill_uniform(t, count, call.arguments, default_seed));
      break;
    case Generator::normal:
      TESS_CHECK(fill_normal(t, count, call.arguments, default_seed));
      break;
    case Generator::constant:
      TESS_CHECK(fill_constant(t, count, call.arguments.empty() ? "0" : call.arguments[0]));
      break;
  }
  return t;
}

}  // namespace tess
