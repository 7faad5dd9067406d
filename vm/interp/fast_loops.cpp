// Plain loops that the compiler vectorises, once per target.
#include "vm/interp/fast_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vm/interp/fast_loops.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace tess::interp {
namespace HWY_NAMESPACE {
namespace {

template <class T>
using Work =
    std::conditional_t<(sizeof(T) < 4), uint32_t,
                       std::make_unsigned_t<std::conditional_t<std::is_integral_v<T>, T, int>>>;

// The low `bits` of x as the type's value.
template <class T>
HWY_INLINE T narrowed(T x, int bits) {
  if constexpr (sizeof(T) != 1) return x;
  else {
    uint8_t mask = static_cast<uint8_t>((1u << bits) - 1);
    if constexpr (std::is_signed_v<T>) {
      uint8_t sign = static_cast<uint8_t>(1u << (bits - 1));
      return static_cast<T>(static_cast<uint8_t>(((static_cast<uint8_t>(x) & mask) ^ sign) - sign));
    } else {
      return static_cast<T>(x & mask);
    }
  }
}

template <class T, class F>
HWY_INLINE void unary(void* d, const void* a, size_t n, F f) {
  const T* x = static_cast<const T*>(a);
  T* out = static_cast<T*>(d);
  for (size_t i = 0; i < n; ++i) out[i] = f(x[i]);
}
template <class R, class T, class F>
HWY_INLINE void binary(void* d, const void* a, const void* b, size_t n, F f) {
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  R* out = static_cast<R*>(d);
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
  for (size_t i = 0; i < n; ++i) out[i] = f(x[i], y[i]);
}

template <class T>
HWY_INLINE T float_min(T a, T b) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  T r = a < b ? a : b;
  T zero = std::bit_cast<T>(std::bit_cast<U>(a) | std::bit_cast<U>(b));
  r = a == b ? zero : r;
  return b != b ? a : r;
}
template <class T>
HWY_INLINE T float_max(T a, T b) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  T r = a > b ? a : b;
  T zero = std::bit_cast<T>(std::bit_cast<U>(a) & std::bit_cast<U>(b));
  r = a == b ? zero : r;
  return b != b ? a : r;
}
template <class T>
HWY_INLINE T with_nan(T a, T b, T r) {
  return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : r;
}

template <FastOp kOp, class T>
void int_loop(void* d, const void* a, const void* b, const void* c, size_t n, int bits) {
  using W = Work<T>;
  using S = std::make_signed_t<W>;
  if constexpr (kOp == FastOp::add)
    binary<T, T>(d, a, b, n,
                 [=](T x, T y) { return narrowed<T>(static_cast<T>(W(x) + W(y)), bits); });
  else if constexpr (kOp == FastOp::sub)
    binary<T, T>(d, a, b, n,
                 [=](T x, T y) { return narrowed<T>(static_cast<T>(W(x) - W(y)), bits); });
  else if constexpr (kOp == FastOp::mul)
    binary<T, T>(d, a, b, n,
                 [=](T x, T y) { return narrowed<T>(static_cast<T>(W(x) * W(y)), bits); });
  else if constexpr (kOp == FastOp::mulhi) {
    if constexpr (sizeof(T) == 8) {
      using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
      binary<T, T>(d, a, b, n,
                   [](T x, T y) { return static_cast<T>(static_cast<Wide>(x) * y >> 64); });
    } else {
      using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
      binary<T, T>(d, a, b, n, [=](T x, T y) {
        return narrowed<T>(static_cast<T>(static_cast<Wide>(x) * y >> bits), bits);
      });
    }
  } else if constexpr (kOp == FastOp::div) {
    binary<T, T>(d, a, b, n, [=](T x, T y) {
      if constexpr (std::is_signed_v<T>)
        if (y == T(-1)) return narrowed<T>(static_cast<T>(W(0) - W(x)), bits);
      return narrowed<T>(static_cast<T>(x / y), bits);
    });
  } else if constexpr (kOp == FastOp::rem) {
    binary<T, T>(d, a, b, n, [=](T x, T y) {
      if constexpr (std::is_signed_v<T>)
        if (y == T(-1)) return T(0);
      return static_cast<T>(x % y);
    });
  } else if constexpr (kOp == FastOp::fma) {
    const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b),
            *z = static_cast<const T*>(c);
    T* out = static_cast<T*>(d);
    for (size_t i = 0; i < n; ++i)
      out[i] = narrowed<T>(static_cast<T>(W(x[i]) * W(y[i]) + W(z[i])), bits);
  } else if constexpr (kOp == FastOp::clamp) {
    const T *x = static_cast<const T*>(a), *lo = static_cast<const T*>(b),
            *hi = static_cast<const T*>(c);
    T* out = static_cast<T*>(d);
    for (size_t i = 0; i < n; ++i) {
      T low = x[i] > lo[i] ? x[i] : lo[i];
      out[i] = low < hi[i] ? low : hi[i];
    }
  } else if constexpr (kOp == FastOp::min || kOp == FastOp::min_nan)
    binary<T, T>(d, a, b, n, [](T x, T y) { return x < y ? x : y; });
  else if constexpr (kOp == FastOp::max || kOp == FastOp::max_nan)
    binary<T, T>(d, a, b, n, [](T x, T y) { return x > y ? x : y; });
  else if constexpr (kOp == FastOp::neg)
    unary<T>(d, a, n, [=](T x) { return narrowed<T>(static_cast<T>(W(0) - W(x)), bits); });
  else if constexpr (kOp == FastOp::abs)
    unary<T>(d, a, n,
             [=](T x) { return x < T(0) ? narrowed<T>(static_cast<T>(W(0) - W(x)), bits) : x; });
  else if constexpr (kOp == FastOp::and_)
    binary<T, T>(d, a, b, n, [](T x, T y) { return static_cast<T>(x & y); });
  else if constexpr (kOp == FastOp::or_)
    binary<T, T>(d, a, b, n, [](T x, T y) { return static_cast<T>(x | y); });
  else if constexpr (kOp == FastOp::xor_)
    binary<T, T>(d, a, b, n, [](T x, T y) { return static_cast<T>(x ^ y); });
  else if constexpr (kOp == FastOp::not_)
    unary<T>(d, a, n, [=](T x) { return narrowed<T>(static_cast<T>(~x), bits); });
  else if constexpr (kOp == FastOp::shl) {
    const T* x = static_cast<const T*>(a);
    const uint8_t* count = static_cast<const uint8_t*>(b);
    T* out = static_cast<T*>(d);
    for (size_t i = 0; i < n; ++i) {
      W v = static_cast<W>(x[i]) << (count[i] & (sizeof(W) * 8 - 1));
      out[i] = narrowed<T>(static_cast<T>(count[i] < bits ? v : W(0)), bits);
    }
  } else if constexpr (kOp == FastOp::shr) {
    const T* x = static_cast<const T*>(a);
    const uint8_t* count = static_cast<const uint8_t*>(b);
    T* out = static_cast<T*>(d);
    using V = std::conditional_t<std::is_signed_v<T>, S, W>;
    for (size_t i = 0; i < n; ++i) {
      uint8_t most = static_cast<uint8_t>(bits - 1);
      uint8_t by = count[i] < most ? count[i] : most;
      V v = static_cast<V>(x[i]) >> by;
      out[i] = static_cast<T>(std::is_signed_v<T> || count[i] < bits ? v : V(0));
    }
  } else if constexpr (kOp == FastOp::popc) {
    std::make_unsigned_t<T> mask = sizeof(T) == 1
                                       ? static_cast<std::make_unsigned_t<T>>((1u << bits) - 1)
                                       : static_cast<std::make_unsigned_t<T>>(~0ull);
    unary<T>(d, a, n, [=](T x) {
      return narrowed<T>(static_cast<T>(std::popcount(static_cast<std::make_unsigned_t<T>>(
                             static_cast<std::make_unsigned_t<T>>(x) & mask))),
                         bits);
    });
  } else if constexpr (kOp == FastOp::eq)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x == y; });
  else if constexpr (kOp == FastOp::ne)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x != y; });
  else if constexpr (kOp == FastOp::lt)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x < y; });
  else if constexpr (kOp == FastOp::le)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x <= y; });
  else if constexpr (kOp == FastOp::gt)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x > y; });
  else if constexpr (kOp == FastOp::ge)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x >= y; });
}

template <FastOp kOp, class T>
void float_loop(void* d, const void* a, const void* b, const void* c, size_t n, int) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  [[maybe_unused]] constexpr U kSign = U{1} << (sizeof(T) * 8 - 1);
  if constexpr (kOp == FastOp::add) binary<T, T>(d, a, b, n, [](T x, T y) { return x + y; });
  else if constexpr (kOp == FastOp::sub) binary<T, T>(d, a, b, n, [](T x, T y) { return x - y; });
  else if constexpr (kOp == FastOp::mul) binary<T, T>(d, a, b, n, [](T x, T y) { return x * y; });
  else if constexpr (kOp == FastOp::div) binary<T, T>(d, a, b, n, [](T x, T y) { return x / y; });
  else if constexpr (kOp == FastOp::fma) {
    const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b),
            *z = static_cast<const T*>(c);
    T* out = static_cast<T*>(d);
    for (size_t i = 0; i < n; ++i) out[i] = std::fma(x[i], y[i], z[i]);
  } else if constexpr (kOp == FastOp::clamp) {
    const T *x = static_cast<const T*>(a), *lo = static_cast<const T*>(b),
            *hi = static_cast<const T*>(c);
    T* out = static_cast<T*>(d);
    for (size_t i = 0; i < n; ++i) out[i] = float_min<T>(float_max<T>(x[i], lo[i]), hi[i]);
  } else if constexpr (kOp == FastOp::min)
    binary<T, T>(d, a, b, n, [](T x, T y) { return float_min<T>(x, y); });
  else if constexpr (kOp == FastOp::max)
    binary<T, T>(d, a, b, n, [](T x, T y) { return float_max<T>(x, y); });
  else if constexpr (kOp == FastOp::min_nan)
    binary<T, T>(d, a, b, n, [](T x, T y) { return with_nan<T>(x, y, float_min<T>(x, y)); });
  else if constexpr (kOp == FastOp::max_nan)
    binary<T, T>(d, a, b, n, [](T x, T y) { return with_nan<T>(x, y, float_max<T>(x, y)); });
  else if constexpr (kOp == FastOp::neg) unary<U>(d, a, n, [](U x) { return x ^ kSign; });
  else if constexpr (kOp == FastOp::abs) unary<U>(d, a, n, [](U x) { return x & ~kSign; });
  else if constexpr (kOp == FastOp::floor) unary<T>(d, a, n, [](T x) { return std::floor(x); });
  else if constexpr (kOp == FastOp::ceil) unary<T>(d, a, n, [](T x) { return std::ceil(x); });
  else if constexpr (kOp == FastOp::round) unary<T>(d, a, n, [](T x) { return std::nearbyint(x); });
  else if constexpr (kOp == FastOp::trunc) unary<T>(d, a, n, [](T x) { return std::trunc(x); });
  else if constexpr (kOp == FastOp::sqrt) unary<T>(d, a, n, [](T x) { return std::sqrt(x); });
  else if constexpr (kOp == FastOp::eq)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x == y; });
  else if constexpr (kOp == FastOp::ne)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x != y; });
  else if constexpr (kOp == FastOp::lt)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x < y; });
  else if constexpr (kOp == FastOp::le)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x <= y; });
  else if constexpr (kOp == FastOp::gt)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x > y; });
  else if constexpr (kOp == FastOp::ge)
    binary<uint8_t, T>(d, a, b, n, [](T x, T y) { return x >= y; });
}

constexpr bool for_ints(FastOp op) {
  return op != FastOp::floor && op != FastOp::ceil && op != FastOp::round && op != FastOp::trunc &&
         op != FastOp::sqrt;
}
constexpr bool for_floats(FastOp op) {
  switch (op) {
    case FastOp::mulhi:
    case FastOp::rem:
    case FastOp::and_:
    case FastOp::or_:
    case FastOp::xor_:
    case FastOp::not_:
    case FastOp::shl:
    case FastOp::shr:
    case FastOp::popc:
      return false;
    default:
      return true;
  }
}

template <FastOp kOp>
FastLoop loop_of(Carrier c) {
  if constexpr (for_ints(kOp)) switch (c) {
      case Carrier::u8:
        return int_loop<kOp, uint8_t>;
      case Carrier::i8:
        return int_loop<kOp, int8_t>;
      case Carrier::u16:
        return int_loop<kOp, uint16_t>;
      case Carrier::i16:
        return int_loop<kOp, int16_t>;
      case Carrier::u32:
        return int_loop<kOp, uint32_t>;
      case Carrier::i32:
        return int_loop<kOp, int32_t>;
      case Carrier::u64:
        return int_loop<kOp, uint64_t>;
      case Carrier::i64:
        return int_loop<kOp, int64_t>;
      default:
        break;
    }
  if constexpr (for_floats(kOp)) switch (c) {
      case Carrier::f32:
        return float_loop<kOp, float>;
      case Carrier::f64:
        return float_loop<kOp, double>;
      default:
        break;
    }
  return nullptr;
}

template <size_t... kIndex>
FastLoop find(FastOp op, Carrier c, std::index_sequence<kIndex...>) {
  using Finder = FastLoop (*)(Carrier);
  constexpr Finder kFinders[] = {&loop_of<static_cast<FastOp>(kIndex)>...};
  return kFinders[static_cast<size_t>(op)](c);
}

FastLoop find_loop(FastOp op, Carrier c) {
  return find(op, c, std::make_index_sequence<static_cast<size_t>(FastOp::count)>{});
}

template <class T>
void select_typed(void* d, const uint8_t* c, const void* a, const void* b, size_t n) {
  const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
  T* out = static_cast<T*>(d);
  for (size_t i = 0; i < n; ++i) {
    T mask = static_cast<T>(-static_cast<T>(c[i] != 0));
    out[i] = static_cast<T>((x[i] & mask) | (y[i] & static_cast<T>(~mask)));
  }
}
void select_any(int bytes, void* d, const uint8_t* c, const void* a, const void* b, size_t n) {
  switch (bytes) {
    case 1:
      return select_typed<uint8_t>(d, c, a, b, n);
    case 2:
      return select_typed<uint16_t>(d, c, a, b, n);
    case 4:
      return select_typed<uint32_t>(d, c, a, b, n);
    default:
      return select_typed<uint64_t>(d, c, a, b, n);
  }
}

template <class T>
void deinterleave_typed(const void* s, void* even, void* odd, size_t n) {
  const T* x = static_cast<const T*>(s);
  T *e = static_cast<T*>(even), *o = static_cast<T*>(odd);
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
  for (size_t i = 0; i < n; ++i) {
    e[i] = x[2 * i];
    o[i] = x[2 * i + 1];
  }
}
void deinterleave_any(int bytes, const void* s, void* even, void* odd, size_t n) {
  switch (bytes) {
    case 1:
      return deinterleave_typed<uint8_t>(s, even, odd, n);
    case 2:
      return deinterleave_typed<uint16_t>(s, even, odd, n);
    case 4:
      return deinterleave_typed<uint32_t>(s, even, odd, n);
    default:
      return deinterleave_typed<uint64_t>(s, even, odd, n);
  }
}

// Eight results at a time through locals, so that d may be a.
template <class T, class F>
HWY_INLINE void pairs(void* d, const void* a, size_t n, F f) {
  constexpr size_t kBlock = 64 / sizeof(T);
  const T* x = static_cast<const T*>(a);
  T* out = static_cast<T*>(d);
  size_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    T even[kBlock], odd[kBlock];
    for (size_t k = 0; k < kBlock; ++k) {
      even[k] = x[2 * (i + k)];
      odd[k] = x[2 * (i + k) + 1];
    }
    for (size_t k = 0; k < kBlock; ++k) out[i + k] = f(even[k], odd[k]);
  }
  for (; i < n; ++i) out[i] = f(x[2 * i], x[2 * i + 1]);
}

template <FastOp kOp, class T>
void pair_typed(void* d, const void* a, const void*, const void*, size_t n, int bits) {
  if constexpr (std::is_integral_v<T>) {
    using W = Work<T>;
    pairs<T>(d, a, n, [=](T x, T y) {
      if constexpr (kOp == FastOp::add) return narrowed<T>(static_cast<T>(W(x) + W(y)), bits);
      else if constexpr (kOp == FastOp::mul) return narrowed<T>(static_cast<T>(W(x) * W(y)), bits);
      else if constexpr (kOp == FastOp::min) return x < y ? x : y;
      else if constexpr (kOp == FastOp::max) return x > y ? x : y;
      else if constexpr (kOp == FastOp::and_) return static_cast<T>(x & y);
      else if constexpr (kOp == FastOp::or_) return static_cast<T>(x | y);
      else return static_cast<T>(x ^ y);
    });
  } else {
    pairs<T>(d, a, n, [](T x, T y) {
      if constexpr (kOp == FastOp::add) return x + y;
      else if constexpr (kOp == FastOp::mul) return x * y;
      else if constexpr (kOp == FastOp::min) return float_min<T>(x, y);
      else return float_max<T>(x, y);
    });
  }
}
template <FastOp kOp>
FastLoop pair_of(Carrier c) {
  constexpr bool kBits = kOp == FastOp::and_ || kOp == FastOp::or_ || kOp == FastOp::xor_;
  switch (c) {
    case Carrier::u8: return pair_typed<kOp, uint8_t>;
    case Carrier::i8: return pair_typed<kOp, int8_t>;
    case Carrier::u16: return pair_typed<kOp, uint16_t>;
    case Carrier::i16: return pair_typed<kOp, int16_t>;
    case Carrier::u32: return pair_typed<kOp, uint32_t>;
    case Carrier::i32: return pair_typed<kOp, int32_t>;
    case Carrier::u64: return pair_typed<kOp, uint64_t>;
    case Carrier::i64: return pair_typed<kOp, int64_t>;
    default: break;
  }
  if constexpr (!kBits) return c == Carrier::f32 ? pair_typed<kOp, float> : pair_typed<kOp, double>;
  return nullptr;
}
FastLoop find_pair(FastOp op, Carrier c) {
  switch (op) {
    case FastOp::add: return pair_of<FastOp::add>(c);
    case FastOp::mul: return pair_of<FastOp::mul>(c);
    case FastOp::min: return pair_of<FastOp::min>(c);
    case FastOp::max: return pair_of<FastOp::max>(c);
    case FastOp::and_: return pair_of<FastOp::and_>(c);
    case FastOp::or_: return pair_of<FastOp::or_>(c);
    case FastOp::xor_: return pair_of<FastOp::xor_>(c);
    default: return nullptr;
  }
}

template <class T>
void shift_typed(FastOp op, void* d, const void* a, int count, size_t n, int bits) {
  using W = Work<T>;
  if (op == FastOp::shl) unary<T>(d, a, n, [=](T x) { return narrowed<T>(static_cast<T>(static_cast<W>(x) << count), bits); });
  else unary<T>(d, a, n, [=](T x) { return static_cast<T>(x >> count); });
}
void shift_any(FastOp op, Carrier c, void* d, const void* a, int count, size_t n, int bits) {
  switch (c) {
    case Carrier::u8: return shift_typed<uint8_t>(op, d, a, count, n, bits);
    case Carrier::i8: return shift_typed<int8_t>(op, d, a, count, n, bits);
    case Carrier::u16: return shift_typed<uint16_t>(op, d, a, count, n, bits);
    case Carrier::i16: return shift_typed<int16_t>(op, d, a, count, n, bits);
    case Carrier::u32: return shift_typed<uint32_t>(op, d, a, count, n, bits);
    case Carrier::i32: return shift_typed<int32_t>(op, d, a, count, n, bits);
    case Carrier::u64: return shift_typed<uint64_t>(op, d, a, count, n, bits);
    default: return shift_typed<int64_t>(op, d, a, count, n, bits);
  }
}

template <class T>
void repeat_typed(const void* s, int64_t run, int64_t first, void* out, int64_t n) {
  const T* x = static_cast<const T*>(s) + first / run;
  T* d = static_cast<T*>(out);
  constexpr int64_t kBlock = 16;
  int64_t done = first % run;
  while (n > 0) {
    int64_t take = n < run - done ? n : run - done;
    T v = *x++;
    int64_t i = 0;
    for (; i + kBlock <= take; i += kBlock)
      for (int64_t k = 0; k < kBlock; ++k) d[i + k] = v;
    for (; i < take; ++i) d[i] = v;
    d += take;
    n -= take;
    done = 0;
  }
}
void repeat_any(int bytes, const void* s, int64_t run, int64_t first, void* out, int64_t n) {
  switch (bytes) {
    case 1:
      return repeat_typed<uint8_t>(s, run, first, out, n);
    case 2:
      return repeat_typed<uint16_t>(s, run, first, out, n);
    case 4:
      return repeat_typed<uint32_t>(s, run, first, out, n);
    default:
      return repeat_typed<uint64_t>(s, run, first, out, n);
  }
}

template <class T>
void clamp_counts_typed(const void* counts, uint64_t mask, uint8_t* out, size_t n) {
  const T* c = static_cast<const T*>(counts);
  T m = static_cast<T>(mask);
  for (size_t i = 0; i < n; ++i) {
    T v = c[i] & m;
    out[i] = static_cast<uint8_t>(v < 255 ? v : T(255));
  }
}
void clamp_counts_any(int bytes, const void* counts, uint64_t mask, uint8_t* out, size_t n) {
  switch (bytes) {
    case 1:
      return clamp_counts_typed<uint8_t>(counts, mask, out, n);
    case 2:
      return clamp_counts_typed<uint16_t>(counts, mask, out, n);
    case 4:
      return clamp_counts_typed<uint32_t>(counts, mask, out, n);
    default:
      return clamp_counts_typed<uint64_t>(counts, mask, out, n);
  }
}

template <class T>
void widen_typed(const void* s, float* d, size_t n) {
  const T* x = static_cast<const T*>(s);
  for (size_t i = 0; i < n; ++i) d[i] = static_cast<float>(static_cast<int32_t>(x[i]));
}
bool widen_int_any(Carrier from, const void* s, float* d, size_t n) {
  switch (from) {
    case Carrier::u8:
      widen_typed<uint8_t>(s, d, n);
      return true;
    case Carrier::i8:
      widen_typed<int8_t>(s, d, n);
      return true;
    case Carrier::u16:
      widen_typed<uint16_t>(s, d, n);
      return true;
    case Carrier::i16:
      widen_typed<int16_t>(s, d, n);
      return true;
    default:
      return false;
  }
}

void fma_odd(const float* a, const float* b, const float* c, float* d, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    double p = static_cast<double>(a[i]) * b[i];  // exact: at most 22 bits
    double z = c[i], s = p + z;
    double t = s - p, lost = (p - (s - t)) + (z - t);  // s + lost = p + z exactly
    // To odd in f64: step toward the lost part's side and set the last bit.
    int64_t bits = std::bit_cast<int64_t>(s);
    bool inexact = lost != 0 && std::isfinite(s);
    bool below = (lost < 0) != (s < 0);  // the exact value is nearer to zero than s
    int64_t odd = (bits - (inexact && below ? 1 : 0)) | (inexact ? 1 : 0);
    double exact = std::bit_cast<double>(odd);
    float f = static_cast<float>(exact);
    double back = f;
    bool cut = back != exact && exact == exact && std::isfinite(exact);
    uint32_t code = std::bit_cast<uint32_t>(f);
    bool away = std::fabs(back) > std::fabs(exact);
    code = cut ? ((code - (away ? 1 : 0)) | 1) : code;
    d[i] = std::bit_cast<float>(code);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tess::interp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tess::interp {
HWY_EXPORT(find_loop);
HWY_EXPORT(select_any);
HWY_EXPORT(fma_odd);
HWY_EXPORT(deinterleave_any);
HWY_EXPORT(repeat_any);
HWY_EXPORT(find_pair);
HWY_EXPORT(shift_any);
HWY_EXPORT(clamp_counts_any);
HWY_EXPORT(widen_int_any);

FastLoop fast_loop(FastOp op, Carrier carrier) {
  return HWY_DYNAMIC_DISPATCH(find_loop)(op, carrier);
}
void select_loop(int bytes, void* d, const uint8_t* c, const void* a, const void* b, size_t n) {
  HWY_DYNAMIC_DISPATCH(select_any)(bytes, d, c, a, b, n);
}
void deinterleave_loop(int bytes, const void* s, void* even, void* odd, size_t n) {
  HWY_DYNAMIC_DISPATCH(deinterleave_any)(bytes, s, even, odd, n);
}
FastLoop pair_loop(FastOp op, Carrier carrier) { return HWY_DYNAMIC_DISPATCH(find_pair)(op, carrier); }
void shift_loop(FastOp op, Carrier carrier, void* d, const void* a, int count, size_t n, int bits) {
  HWY_DYNAMIC_DISPATCH(shift_any)(op, carrier, d, a, count, n, bits);
}
void repeat_loop(int bytes, const void* s, int64_t run, int64_t first, void* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(repeat_any)(bytes, s, run, first, out, n);
}
void clamp_counts_loop(int bytes, const void* counts, uint64_t mask, uint8_t* out, size_t n) {
  HWY_DYNAMIC_DISPATCH(clamp_counts_any)(bytes, counts, mask, out, n);
}
bool widen_int_loop(Carrier from, const void* s, float* d, size_t n) {
  return HWY_DYNAMIC_DISPATCH(widen_int_any)(from, s, d, n);
}
void fma_to_odd(const float* a, const float* b, const float* c, float* d, size_t n) {
  HWY_DYNAMIC_DISPATCH(fma_odd)(a, b, c, d, n);
}
}  // namespace tess::interp
#endif
