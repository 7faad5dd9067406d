#include "vm/interp/bulk.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>

#include "vm/interp/bulk_simd.h"

namespace tess {
namespace {

static_assert(std::endian::native == std::endian::little,
              "carriers are read as little-endian codes");

constexpr size_t kChunk = 512;  // elements staged on the stack

bool is_number_type(DType t) { return t.kind == Kind::flt || t.kind == Kind::scale; }
bool is_f64(DType t) { return t == dt::f64_; }
bool fits_f32(DType t) { return is_number_type(t) ? !is_f64(t) : t.bits <= 16; }
bool fits_f64(DType t) { return t.bits <= 32 || is_f64(t); }

template <class T>
T canonical(T x) {
  return x != x ? std::numeric_limits<T>::quiet_NaN() : x;
}

// Calls visit with a value of the C++ type of t's carrier.
template <class Visit>
void with_carrier(DType t, Visit visit) {
  switch (carrier_of(t)) {
    case Carrier::u8:
      return visit(uint8_t{});
    case Carrier::i8:
      return visit(int8_t{});
    case Carrier::u16:
      return visit(uint16_t{});
    case Carrier::i16:
      return visit(int16_t{});
    case Carrier::u32:
      return visit(uint32_t{});
    case Carrier::i32:
      return visit(int32_t{});
    case Carrier::u64:
      return visit(uint64_t{});
    case Carrier::i64:
      return visit(int64_t{});
    case Carrier::f32:
      return visit(float{});
    case Carrier::f64:
      return visit(double{});
  }
}

// The same for integers and bool only, which saves the instances for floats.
template <class Visit>
void with_integer(DType t, Visit visit) {
  with_carrier(t, [&]<class T>(T v) {
    if constexpr (std::is_integral_v<T>) visit(v);
  });
}

// --- sources of at most 8 bits: tables to f32
// -------------------------------------------------------

constexpr int kSmallTypes = 18 + 6 * 8;
int small_index(DType t) {
  switch (t.kind) {
    case Kind::sint:
      return t.bits;
    case Kind::uint:
      return 8 + t.bits;
    case Kind::scale:
      return 17;
    case Kind::flt:
      return 18 + (t.bits - 3) * 8 + t.exp;
    default:
      return 0;
  }
}

using F32Table = std::array<float, 256>;
const F32Table& f32_table(DType t) {
  static const auto tables = [] {
    auto all = std::make_unique<std::array<F32Table, kSmallTypes>>();
    for (DType small : all_dtypes()) {
      if (small.bits > 8) continue;
      for (int code = 0; code < 256; ++code)
        (*all)[small_index(small)][code] = std::bit_cast<float>(
            static_cast<uint32_t>(cast_code(dt::f32_, small, static_cast<uint64_t>(code))));
    }
    return all;
  }();
  return (*tables)[small_index(t)];
}

// Exact: every type that fits_f32.
void widen_to_f32(DType from, const void* src, float* dst, size_t n) {
  if (from.bits <= 8) {
    const F32Table& table = f32_table(from);
    auto codes = static_cast<const uint8_t*>(src);
    for (size_t i = 0; i < n; ++i) dst[i] = table[codes[i]];
  } else if (from == dt::f16_) {
    bulk::decode_f16(static_cast<const uint16_t*>(src), dst, n);
  } else if (from == dt::bf16_) {
    bulk::decode_bf16(static_cast<const uint16_t*>(src), dst, n);
  } else if (from.is_tf32()) {
    auto values = static_cast<const float*>(src);
    for (size_t i = 0; i < n; ++i) {
      float cut = std::bit_cast<float>(std::bit_cast<uint32_t>(values[i]) & ~0x1FFFu);
      dst[i] = values[i] != values[i] ? std::numeric_limits<float>::quiet_NaN() : cut;
    }
  } else {
    with_carrier(from, [&]<class T>(T) {
      auto values = static_cast<const T*>(src);
      for (size_t i = 0; i < n; ++i) dst[i] = canonical(static_cast<float>(values[i]));
    });
  }
}

// --- to floats
// --------------------------------------------------------------------------------------

bulk::FloatFormat format_of(DType t, Overflow overflow) {
  int min_exponent = 1 - t.bias();
  bool same_range = t.exp == 8;
  auto magnitude = [&t](uint64_t code) {
    return static_cast<uint32_t>(code) >> (t.is_tf32() ? 13 : 0);
  };
  uint32_t over = magnitude(encode_float(t, INFINITY, Round::rne, overflow));
  bool over_is_nan = t.specials() == Specials::nan_only && overflow == Overflow::nosat;
  return {.man = t.man,
          .bits = t.bits,
          .rebias = static_cast<uint32_t>(127 - t.bias()) << t.man,
          .normal = same_range ? 0 : std::bit_cast<uint32_t>(std::ldexp(1.0f, min_exponent)),
          .magic = std::ldexp(1.0f, 23 + min_exponent - t.man),
          .max = magnitude(max_code(t)),
          .over = over,
          .over_unsigned = over_is_nan,
          .nan = static_cast<uint32_t>(nan_code(t)),
          .padding = t.is_tf32() ? 13 : 0};
}

// e8m0 of |x|: the exponent field is the code, except that a field of 0 lies below 2^-126.
void f32_to_scale(const float* src, uint8_t* dst, size_t n, bool up) {
  for (size_t i = 0; i < n; ++i) {
    uint32_t abs = std::bit_cast<uint32_t>(src[i]) & 0x7FFFFFFF;
    uint32_t field = abs >> 23, fraction = abs & 0x7FFFFF;
    uint32_t carry = up && (field ? fraction != 0 : fraction > 0x400000);
    uint32_t code = std::min(field + carry, 0xFEu);
    dst[i] = static_cast<uint8_t>(abs > 0x7F800000 ? 0xFF : code);
  }
}

template <class Wide>
void encode_each(DType to, const Wide* src, void* dst, size_t n, CastMode mode) {
  for (size_t i = 0; i < n; ++i)
    set_carrier(to, dst, i, encode_float(to, src[i], mode.round, mode.overflow));
}

void f32_to_float(DType to, const float* src, void* dst, size_t n, CastMode mode) {
  if (is_f64(to)) {
    auto out = static_cast<double*>(dst);
    for (size_t i = 0; i < n; ++i) out[i] = canonical(static_cast<double>(src[i]));
  } else if (to == dt::f32_) {
    auto out = static_cast<float*>(dst);
    for (size_t i = 0; i < n; ++i) out[i] = canonical(src[i]);
  } else if (to.kind == Kind::scale) {
    f32_to_scale(src, static_cast<uint8_t*>(dst), n, mode.round == Round::ru);
  } else if (mode.round != Round::rne) {
    encode_each(to, src, dst, n, mode);
  } else {
    bulk::FloatFormat f = format_of(to, mode.overflow);
    if (to.bits <= 8) return bulk::encode_u8(src, static_cast<uint8_t*>(dst), n, f);
    if (to.bits == 16) return bulk::encode_u16(src, static_cast<uint16_t*>(dst), n, f);
    bulk::encode_u32(src, static_cast<uint32_t*>(dst), n, f);
  }
}

// f64 to f32, an inexact result to the neighbour whose last bit is 1: so that rounding it again to
// a type at least two bits narrower gives what rounding once would (Boldo and Melquiond, 2008).
float rounded_to_odd(double x) {
  float near = static_cast<float>(x);
  double back = near;
  uint32_t inexact = back != x, outward = std::fabs(back) > std::fabs(x);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(near) - outward) | inexact);
}

void f64_to_float(DType to, const double* src, void* dst, size_t n, CastMode mode) {
  if (is_f64(to)) {
    auto out = static_cast<double*>(dst);
    for (size_t i = 0; i < n; ++i) out[i] = canonical(src[i]);
  } else if (mode.round != Round::rne || to.kind == Kind::scale) {
    encode_each(to, src, dst, n, mode);
  } else if (to == dt::f32_) {
    auto out = static_cast<float*>(dst);
    for (size_t i = 0; i < n; ++i) out[i] = canonical(static_cast<float>(src[i]));
  } else {
    float odd[kChunk];
    for (size_t i = 0; i < n; ++i) odd[i] = rounded_to_odd(src[i]);
    f32_to_float(to, odd, dst, n, mode);
  }
}

// --- to integers and bool
// ---------------------------------------------------------------------------

// The values of an integer type within its carrier.
template <class T>
struct Limits {
  T low, high;
  explicit Limits(DType t)
      : low(t.is_signed() ? static_cast<T>(-static_cast<int64_t>(max_code(t)) - 1) : T{0}),
        high(static_cast<T>(max_code(t))) {}
};

template <class Wide>
void float_to_int(DType to, const Wide* src, void* dst, size_t n) {
  with_integer(to, [&]<class T>(T) {
    Limits<T> limits(to);
    auto out = static_cast<T*>(dst);
    if (to.bits < std::numeric_limits<Wide>::digits) {  // the limits are Wide values
      using Int = std::conditional_t<sizeof(T) < 4, int32_t, int64_t>;
      Wide low = static_cast<Wide>(limits.low), high = static_cast<Wide>(limits.high);
      for (size_t i = 0; i < n; ++i) {
        Wide x = src[i] != src[i] ? Wide{0} : src[i];
        x = x < low ? low : x;
        out[i] = static_cast<T>(static_cast<Int>(x > high ? high : x));
      }
      return;
    }
    Wide low = static_cast<Wide>(limits.low),
         beyond = std::ldexp(Wide{1}, to.bits - to.is_signed());
    for (size_t i = 0; i < n; ++i) {
      Wide x = src[i] != src[i] ? Wide{0} : src[i];
      out[i] = x >= beyond ? limits.high : x <= low ? limits.low : static_cast<T>(x);
    }
  });
}

template <class Wide>
void finish(DType to, const Wide* src, void* dst, size_t n, CastMode mode) {
  if (to.is_bool()) {
    auto out = static_cast<uint8_t*>(dst);
    for (size_t i = 0; i < n; ++i) out[i] = src[i] != 0;
  } else if (to.is_int()) {
    float_to_int(to, src, dst, n);
  } else if constexpr (std::is_same_v<Wide, float>) {
    f32_to_float(to, src, dst, n, mode);
  } else {
    f64_to_float(to, src, dst, n, mode);
  }
}

template <class From, class To>
void int_to_int(DType to, const From* src, To* dst, size_t n, bool saturate) {
  if (saturate) {
    Limits<To> limits(to);
    for (size_t i = 0; i < n; ++i)
      dst[i] = std::cmp_greater(src[i], limits.high) ? limits.high
               : std::cmp_less(src[i], limits.low)   ? limits.low
                                                     : static_cast<To>(src[i]);
    return;
  }
  int unused = static_cast<int>(sizeof(To)) * 8 - to.bits;
  using Unsigned = std::make_unsigned_t<To>;
  for (size_t i = 0; i < n; ++i) {
    auto shifted = static_cast<Unsigned>(static_cast<Unsigned>(src[i]) << unused);
    dst[i] = static_cast<To>(static_cast<To>(shifted) >> unused);
  }
}

void cast_integers(DType to, DType from, const void* src, void* dst, size_t n, bool saturate) {
  with_integer(from, [&]<class From>(From) {
    auto in = static_cast<const From*>(src);
    if (to.is_bool()) {
      auto out = static_cast<uint8_t*>(dst);
      for (size_t i = 0; i < n; ++i) out[i] = in[i] != 0;
      return;
    }
    with_integer(to, [&]<class To>(To) {
      auto out = static_cast<To*>(dst);
      if (!from.is_bool()) return int_to_int(to, in, out, n, saturate);
      To one =
          static_cast<To>(decode_int(to, cast_code(to, dt::bool_, 1, {.saturate_int = saturate})));
      for (size_t i = 0; i < n; ++i) out[i] = in[i] ? one : To{0};
    });
  });
}

const void* advance(DType t, const void* p, size_t n) {
  return static_cast<const uint8_t*>(p) + n * carrier_bytes(carrier_of(t));
}
void* advance(DType t, void* p, size_t n) {
  return static_cast<uint8_t*>(p) + n * carrier_bytes(carrier_of(t));
}

}  // namespace

uint64_t carrier_code(DType t, const void* carriers, size_t i) {
  size_t size = carrier_bytes(carrier_of(t));
  uint64_t code = 0;
  std::memcpy(&code, static_cast<const uint8_t*>(carriers) + i * size, size);
  return t.bits < 8 ? code & ((1u << t.bits) - 1) : code;
}

void set_carrier(DType t, void* carriers, size_t i, uint64_t code) {
  size_t size = carrier_bytes(carrier_of(t));
  if (t.is_int()) code = static_cast<uint64_t>(decode_int(t, code));
  std::memcpy(static_cast<uint8_t*>(carriers) + i * size, &code, size);
}

void cast_bulk_naive(DType to, DType from, const void* src, void* dst, size_t n, CastMode mode) {
  for (size_t i = 0; i < n; ++i)
    set_carrier(to, dst, i, cast_code(to, from, carrier_code(from, src, i), mode));
}

void cast_bulk(DType to, DType from, const void* src, void* dst, size_t n, CastMode mode) {
  if (!is_number_type(from) && !is_number_type(to))
    return cast_integers(to, from, src, dst, n, mode.saturate_int);
  if (from == dt::f32_) {
    return finish(to, static_cast<const float*>(src), dst, n, mode);
  }
  if (fits_f32(from)) {
    if (to == dt::f32_) return widen_to_f32(from, src, static_cast<float*>(dst), n);
    float wide[kChunk];
    for (size_t i = 0; i < n; i += kChunk) {
      size_t count = std::min(kChunk, n - i);
      widen_to_f32(from, advance(from, src, i), wide, count);
      finish(to, wide, advance(to, dst, i), count, mode);
    }
    return;
  }
  if (fits_f64(from)) {
    double wide[kChunk];
    for (size_t i = 0; i < n; i += kChunk) {
      size_t count = std::min(kChunk, n - i);
      with_carrier(from, [&]<class T>(T) {
        auto in = static_cast<const T*>(advance(from, src, i));
        for (size_t k = 0; k < count; ++k) wide[k] = static_cast<double>(in[k]);
      });
      finish(to, wide, advance(to, dst, i), count, mode);
    }
    return;
  }
  bool hardware = mode.round == Round::rne && (to == dt::f32_ || is_f64(to));
  if (!hardware) return cast_bulk_naive(to, from, src, dst, n, mode);
  with_integer(from, [&]<class T>(T) {  // 64-bit integers: the processor rounds once
    auto in = static_cast<const T*>(src);
    for (size_t i = 0; i < n; ++i) {
      if (is_f64(to)) static_cast<double*>(dst)[i] = static_cast<double>(in[i]);
      else static_cast<float*>(dst)[i] = static_cast<float>(in[i]);
    }
  });
}

void to_f32_bulk(DType from, const void* src, float* dst, size_t n) {
  cast_bulk(dt::f32_, from, src, dst, n);
}

void from_f32_bulk(DType to, const float* src, void* dst, size_t n) {
  cast_bulk(to, dt::f32_, src, dst, n);
}

}  // namespace tess
