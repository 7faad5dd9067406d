// f32 and f64 arithmetic: every rounding mode, ftz, sat, and the approximations (computed in double
// and rounded once, which is closer than the hardware's).
#include <cfenv>
#include <cmath>

#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/softfloat.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define TESS_WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define TESS_WIDE
#endif

namespace tess::ptxsim {
namespace {

int fe_mode(int r) {
  return r == 1 ? FE_TOWARDZERO : r == 2 ? FE_DOWNWARD : r == 3 ? FE_UPWARD : FE_TONEAREST;
}

// One operation in a rounding mode: volatile keeps it between the two mode changes.
template <class T, class F>
T directed(int mode, F f) {
  std::fesetround(fe_mode(mode));
  volatile T r = f();
  std::fesetround(FE_TONEAREST);
  return r;
}

template <class T>
T saturate01(T v) {
  return v != v || v <= T(0) ? T(0) : v > T(1) ? T(1) : v;
}

// k[0] rounding, k[1] ftz, k[2] sat
template <class T>
T finish(const Op& op, T v) {
  if (op.k[1]) v = flush(v);
  if (op.k[2]) v = saturate01(v);
  return canonical(v);
}

enum BinaryKind : uint8_t { kAdd, kSub, kMul, kDiv, kDivApprox, kMin, kMax, kCopysign };

template <class T>
T fold(int kind, T a, T b) {
  switch (kind) {
    case kAdd:
      return a + b;
    case kSub:
      return a - b;
    case kMul:
      return a * b;
    default:
      return a / b;
  }
}

template <class T>
T min_max(bool max, bool nan, bool xorsign, T a, T b) {
  T sign = xorsign ? T(std::signbit(a) != std::signbit(b) ? -1 : 1) : T(1);
  if (xorsign) a = std::fabs(a), b = std::fabs(b);
  T r;
  if (a != a || b != b) {
    if (nan || (a != a && b != b)) return canonical(T(NAN));
    r = a != a ? b : a;
  } else if (a == b) {
    r = max ? (std::signbit(a) ? b : a) : (std::signbit(a) ? a : b);  // -0 < +0
  } else {
    r = (a < b) != max ? a : b;
  }
  return xorsign ? std::copysign(r, sign) : r;
}

template <class T>
Flow real_binary(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>*a = row_of<T>(w, op.a[1]), *b = row_of<T>(w, op.a[2]);
  Word<T>* d = row_of<T>(w, op.a[0]);
  int kind = op.k[3];
  each_lane(mask, [&](int l) {
    T x = lane_get<T>(a[l]), y = lane_get<T>(b[l]), r;
    if (kind == kCopysign) {
      d[l] = lane_put<T>(std::copysign(y, x));
      return;
    }
    if (op.k[1]) x = flush(x), y = flush(y);
    if (kind == kMin || kind == kMax) {
      d[l] = lane_put<T>(min_max<T>(kind == kMax, op.k[4], op.k[5], x, y));
      return;
    }
    if (kind == kDivApprox) {
      // div.approx: a * (1/b); for 2^126 < |b| < 2^128 the reciprocal underflows to zero.
      float fb = std::fabs(float(y));
      if (op.k[4] == 0 && fb > 0x1p126f && fb < INFINITY)
        r = std::isinf(x) ? T(NAN) : std::copysign(T(0), x * y);
      else r = T(double(x) / double(y));
    } else if (op.k[0] == 0) {
      r = fold<T>(kind, x, y);
    } else {
      r = directed<T>(op.k[0], [&] {
        volatile T vx = x, vy = y;
        return fold<T>(kind, vx, vy);
      });
    }
    d[l] = lane_put<T>(finish<T>(op, r));
  });
  return Flow::next;
}

TESS_WIDE Flow add32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, float, float>(w, op, mask,
                                      [](float a, float b) { return canonical(a + b); });
}
TESS_WIDE Flow sub32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, float, float>(w, op, mask,
                                      [](float a, float b) { return canonical(a - b); });
}
TESS_WIDE Flow mul32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, float, float>(w, op, mask,
                                      [](float a, float b) { return canonical(a * b); });
}
TESS_WIDE Flow fma32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, float, float, float>(
      w, op, mask, [](float a, float b, float c) { return canonical(__builtin_fmaf(a, b, c)); });
}
TESS_WIDE Flow fma64(Warp& w, const Op& op, uint32_t mask) {
  return map_row<double, double, double, double>(
      w, op, mask, [](double a, double b, double c) { return canonical(__builtin_fma(a, b, c)); });
}

template <class T>
Flow real_fma(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>*a = row_of<T>(w, op.a[1]), *b = row_of<T>(w, op.a[2]), *c = row_of<T>(w, op.a[3]);
  Word<T>* d = row_of<T>(w, op.a[0]);
  each_lane(mask, [&](int l) {
    T x = lane_get<T>(a[l]), y = lane_get<T>(b[l]), z = lane_get<T>(c[l]);
    if (op.k[1]) x = flush(x), y = flush(y), z = flush(z);
    T r = op.k[0] == 0 ? std::fma(x, y, z) : directed<T>(op.k[0], [&] {
      volatile T vx = x, vy = y, vz = z;
      return std::fma(T(vx), T(vy), T(vz));
    });
    d[l] = lane_put<T>(finish<T>(op, r));
  });
  return Flow::next;
}

enum UnaryKind : uint8_t {
  kAbs,
  kNeg,
  kRcp,
  kSqrt,
  kRsqrt,
  kSin,
  kCos,
  kLg2,
  kEx2,
  kTanh,
  kRcpApprox64
};

template <class T>
T approx(int kind, T x) {
  double v = double(x);
  switch (kind) {
    case kRcp:
      return T(1 / v);
    case kSqrt:
      return T(std::sqrt(v));
    case kRsqrt:
      return T(1 / std::sqrt(v));
    case kSin:
      return T(std::sin(v));
    case kCos:
      return T(std::cos(v));
    case kLg2:
      return T(std::log2(v));
    case kEx2:
      return T(std::exp2(v));
    default:
      return T(std::tanh(v));
  }
}

template <class T>
Flow real_unary(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>* a = row_of<T>(w, op.a[1]);
  Word<T>* d = row_of<T>(w, op.a[0]);
  int kind = op.k[3];
  bool is_approx = op.k[4];
  each_lane(mask, [&](int l) {
    T x = lane_get<T>(a[l]);
    if (op.k[1]) x = flush(x);
    if (kind == kAbs || kind == kNeg) {
      constexpr Word<T> kSign = Word<T>(1) << (8 * sizeof(T) - 1);
      Word<T> bits = lane_put<T>(x);
      d[l] = x != x ? lane_put<T>(canonical(x)) : kind == kAbs ? bits & ~kSign : bits ^ kSign;
      return;
    }
    T r;
    if (kind == kRcpApprox64 || (kind == kRsqrt && sizeof(T) == 8)) {
      // The upper 32 bits of the result; the lower are zero. Subnormal inputs count as zero.
      if (std::fpclassify(double(x)) == FP_SUBNORMAL) x = std::copysign(T(0), x);
      double v = kind == kRsqrt ? 1 / std::sqrt(double(x)) : 1 / double(x);
      uint64_t bits = std::bit_cast<uint64_t>(v);
      if (std::fpclassify(v) == FP_SUBNORMAL) bits &= 1ull << 63;
      if (v != v) bits = 0x7fffffff00000000ull;
      d[l] = Word<T>(bits & 0xffffffff00000000ull);
      return;
    }
    if (is_approx) r = approx<T>(kind, x);
    else if (op.k[0] == 0) r = kind == kRcp ? T(1) / x : std::sqrt(x);
    else
      r = directed<T>(op.k[0], [&] {
        volatile T vx = x;
        return kind == kRcp ? T(1) / vx : std::sqrt(T(vx));
      });
    d[l] = lane_put<T>(finish<T>(op, r));
  });
  return Flow::next;
}

template <class T>
Flow real_test(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>* a = row_of<T>(w, op.a[1]);
  uint32_t bits = 0;
  each_lane(mask, [&](int l) {
    T x = lane_get<T>(a[l]);
    bool r = false;
    switch (op.k[0]) {
      case 0:
        r = std::isfinite(x);
        break;
      case 1:
        r = std::isinf(x);
        break;
      case 2:
        r = x == x;
        break;
      case 3:
        r = x != x;
        break;
      case 4:
        r = std::fpclassify(x) == FP_NORMAL;
        break;
      default:
        r = std::fpclassify(x) == FP_SUBNORMAL;
        break;
    }
    bits |= uint32_t(r) << l;
  });
  uint32_t& d = w.preds[op.a[0]];
  d = (d & ~mask) | bits;
  return Flow::next;
}

void set_modes(Builder& b) {
  int r = b.which({"rn", "rz", "rm", "rp"});
  b.op.k[0] = uint8_t(r < 0 ? 0 : r);
  b.op.k[1] = b.has("ftz");
  b.op.k[2] = b.has("sat");
}

}  // namespace

bool build_real_binary(Builder& b) {
  if (!b.expect_operands(3)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits, true);
  b.op.a[2] = b.source(2, bits, true);
  set_modes(b);
  std::string_view o = b.opcode();
  b.op.k[3] = o == "add"                         ? kAdd
              : o == "sub"                       ? kSub
              : o == "mul"                       ? kMul
              : o == "min"                       ? kMin
              : o == "max"                       ? kMax
              : o == "copysign"                  ? kCopysign
              : b.has("approx") || b.has("full") ? kDivApprox
                                                 : kDiv;
  b.op.k[4] = b.has("NaN") || b.has("full");
  b.op.k[5] = b.has("xorsign");
  b.op.exec = bits == 64 ? real_binary<double> : real_binary<float>;
  if (bits == 32 && !b.op.k[0] && !b.op.k[1] && !b.op.k[2]) {
    if (o == "add") b.op.exec = add32;
    if (o == "sub") b.op.exec = sub32;
    if (o == "mul") b.op.exec = mul32;
  }
  return true;
}

bool build_real_fma(Builder& b) {
  if (!b.expect_operands(4)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, bits, true);
  set_modes(b);
  b.op.exec = bits == 64 ? real_fma<double> : real_fma<float>;
  if (!b.op.k[0] && !b.op.k[1] && !b.op.k[2]) b.op.exec = bits == 64 ? fma64 : fma32;
  return true;
}

bool build_real_unary(Builder& b) {
  if (!b.expect_operands(2)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits, true);
  set_modes(b);
  std::string_view o = b.opcode();
  b.op.k[4] = b.has("approx");
  b.op.k[3] = o == "abs"     ? kAbs
              : o == "neg"   ? kNeg
              : o == "rcp"   ? (bits == 64 && b.op.k[4] ? kRcpApprox64 : kRcp)
              : o == "sqrt"  ? kSqrt
              : o == "rsqrt" ? kRsqrt
              : o == "sin"   ? kSin
              : o == "cos"   ? kCos
              : o == "lg2"   ? kLg2
              : o == "ex2"   ? kEx2
                             : kTanh;
  b.op.exec = bits == 64 ? real_unary<double> : real_unary<float>;
  return true;
}

bool build_real_test(Builder& b) {
  if (!b.expect_operands(2)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.predicate_destination(b.in.operands[0]);
  b.op.a[1] = b.source(1, bits, true);
  b.op.k[0] =
      uint8_t(b.which({"finite", "infinite", "number", "notanumber", "normal", "subnormal"}));
  b.op.exec = bits == 64 ? real_test<double> : real_test<float>;
  return true;
}

}  // namespace tess::ptxsim
