// Sine, cosine and powers: what needs more than one word of precision on the way.
#include <bit>
#include <cmath>

#include "isa/numerics.h"
#include "jit/lower/real_math.h"

namespace tess::jit {
namespace {

// 1/(2 pi), after the point.
constexpr uint64_t kTurn[] = {
    0x28be60db9391054a, 0x7f09d5f47d4d3770, 0x36d8a5664f10e410, 0x7f9458eaf7aef158,
    0x6dc91b8e909374b8, 0x01924bba82746487, 0x3f877ac72c4a69cf, 0xba208d7d4baed121,
    0x3a671c09ad17df90, 0x4e64758e60d4ce7d, 0x272117e2ef7e4a0e, 0xc7fe25fff7816603,
    0xfbcbc462d6829b47, 0xdb4d9fb3c9f2c26d, 0xd3d18fd9a797fa8b, 0x5d49eeb1faf97c5e,
    0xcf41ce7de294a4ba, 0x9afed7ec47e35742, 0x1580cc11bf1edaea, 0xfc33ef0826bd0d87};
constexpr double kHalfPi[3] = {1.570796326794896558e+00, 6.123233995736766036e-17,
                               -1.497384904859169777e-33};

}  // namespace

// x = n·pi/2 + value, |value| <= pi/4, by the bits of 1/(2 pi) that matter at x's exponent.
RealMath::Split RealMath::quarter_turn_of_large(Operand x) {
  Emit& e = e_;
  // x = ia · 2^(scale - 64), ia with its top bit set.
  Operand ia, scale;
  if (wide_) {
    Operand b = bits(x);
    ia = e.or_(e.shl(e.and_(b, b64(0xfffffffffffff)), 11), b64(uint64_t{1} << 63));
    scale = e.sub(e.and_(e.trunc(e.lshr(b, 52)), b32(0x7ff)), b32(1022));
  } else {
    Operand b = bits(x);
    ia = e.shl(e.zext(e.or_(e.shl(b, 8), b32(0x80000000))), 32);
    scale = e.sub(e.and_(e.lshr(b, 23), b32(0xff)), b32(126));
  }
  // The 128 bits around bit `scale`: those before it count whole turns.
  Operand index = e.lshr(scale, 6), shift = e.and_(scale, b32(63));
  size_t most = wide_ ? 17 : 3;
  auto table = [&](size_t offset) {  // word index + offset - 1
    Operand w = b64(offset ? kTurn[offset - 1] : 0);
    for (size_t i = 1; i <= most; ++i)
      w = e.sel(e.eq(index, b32(i)), b64(kTurn[i + offset - 1]), w);
    return w;
  };
  Operand t0 = table(0), t1 = table(1), t2 = table(2);
  Operand back = e.sub(b32(64), shift);
  auto joined = [&](Operand high, Operand low) {
    return e.or_(e.form1("shl.b64", {high, shift}), e.form1("shr.u64", {low, back}));
  };
  Operand high = joined(t0, t1), middle = joined(t1, t2);
  // The product's fraction of a turn: its quarter on top. What lies below adds less than 2^-60.
  Operand p_high = e.add(e.mul(ia, high), e.form1("mul.hi.u64", {ia, middle}));
  Operand p_low = e.mul(ia, middle);
  if (wide_) {
    Operand low = joined(t2, table(3));
    Operand more = e.form1("mul.hi.u64", {ia, low});
    Operand sum = e.add(p_low, more);
    p_high = e.add(p_high, e.sel(e.op(BlockOp::ult, {sum, more}), b64(1), b64(0)));
    p_low = sum;
  }
  Operand quarter = e.trunc(e.lshr(p_high, 62));
  Operand fraction = e.and_(p_high, b64(0x3fffffffffffffff));
  Operand round_up = e.ne(e.and_(p_high, b64(uint64_t{1} << 61)), b64(0));
  quarter = e.add(quarter, e.sel(round_up, b32(1), b32(0)));
  fraction = e.sel(round_up, e.sub(fraction, b64(uint64_t{1} << 62)), fraction);
  Operand f = e.form1("cvt.rn.f64.s64", {fraction});
  Operand value;
  auto d = [](double v) { return Operand::imm(std::bit_cast<uint64_t>(v), RegClass::f64); };
  f = e.form1("mul.rn.f64", {f, d(0x1p-62)});
  Operand below = e.form1("mul.rn.f64", {e.form1("cvt.rn.f64.u64", {p_low}), d(0x1p-126)});
  f = e.form1("add.rn.f64", {f, below});
  value = e.form1("mul.rn.f64", {f, d(kHalfPi[0])});
  if (!wide_) value = e.form1("cvt.rn.f32.f64", {value});
  Operand negative = lt(x, c(0));
  return {e.sel(negative, neg(value), value), e.sel(negative, e.sub(b32(0), quarter), quarter)};
}

RealMath::Split RealMath::quarter_turn(Operand x) {
  Emit& e = e_;
  double part[3] = {kHalfPi[0], kHalfPi[1], kHalfPi[2]};
  if (!wide_) {
    part[0] = static_cast<float>(kHalfPi[0]);
    part[1] = static_cast<float>(kHalfPi[0] - part[0]);
    part[2] = kHalfPi[0] - part[0] - part[1] + kHalfPi[1];
  }
  Operand limit = c(wide_ ? 800000 : 70000);
  Operand near = e.sel(lt(abs(x), limit), x, c(0));
  Operand n = nearest(mul(near, c(0.636619772367581343075535053490057448L)));
  Operand r = near;
  for (double p : part) r = fma(n, c(-p), r);
  Operand value = e.variable(r.type, "angle"), quarter = e.variable(RegClass::b32, "quarter");
  e.assign(value, r);
  e.assign(quarter, to_int(n));
  e.begin_if(e.not_(lt(abs(x), limit)));
  Split large = quarter_turn_of_large(x);
  e.assign(value, large.value);
  e.assign(quarter, large.number);
  e.end();
  return {e.snapshot(value), e.snapshot(quarter)};
}

Operand RealMath::wave(Operand x, uint32_t quarter) {
  Emit& e = e_;
  if (l_.kernel().fast.approx && !wide_) return approx(quarter ? "cos" : "sin", x);
  Split t = quarter_turn(x);
  Operand q = e.add(t.number, b32(quarter)), r = t.value, s = mul(r, r);
  Operand sine = fma(mul(r, s), neg(taylor(s, 3, wide_ ? 21 : 11, 2, true)), r);
  Operand cosine = fma(s, neg(taylor(s, 2, wide_ ? 20 : 10, 2, true)), c(1));
  Operand value = e.sel(e.ne(e.and_(q, b32(1)), b32(0)), cosine, sine);
  value = e.sel(e.ne(e.and_(q, b32(2)), b32(0)), neg(value), value);
  // Zero keeps its sign, and infinity has no sine.
  if (!quarter) value = e.sel(eq(x, c(0)), x, value);
  Operand nan = Operand::imm(nan_code(wide_ ? dt::f64_ : dt::f32_), x.type);
  return e.sel(lt(abs(x), c(INFINITY)), value, nan);
}

// log(x) as a sum, for positive finite x: 2 atanh(q) with q = (m - 1) / (m + 1) in two words.
RealMath::Pair RealMath::log_pair(Operand x) {
  Emit& e = e_;
  Split m = mantissa(x);
  Operand i = e.form1(wide_ ? "cvt.rn.f64.s32" : "cvt.rn.f32.s32", {m.number});
  Operand p = add(m.value, c(1)), f = sub(m.value, c(1));
  // p = m + 1 is not exact: its error counts in the low word of q.
  Operand p_low = sub(m.value, sub(p, c(1)));
  Operand q = div(f, p);
  Operand rest = fma(neg(q), p_low, fma(neg(q), p, f));
  Operand q_low = div(rest, p);
  Operand s = mul(q, q);
  Operand r;
  int last = wide_ ? 29 : 13;
  for (int k = last; k >= 5; k -= 2) r = k == last ? c(1.0L / k) : fma(r, s, c(1.0L / k));
  Operand s_low = fma(q, add(q_low, q_low), fma(q, q, neg(s)));
  Operand cube = mul(s, q);
  Operand cube_low = fma(s, q_low, fma(s_low, q, fma(s, q, neg(cube))));
  // cube/3 in two words, then the other terms.
  long double third = 1.0L / 3;
  long double third_high = wide_ ? static_cast<double>(third) : static_cast<float>(third);
  Operand t = mul(cube, c(third_high));
  Operand t_low = fma(cube, c(third - third_high), fma(cube, c(third_high), neg(t)));
  t_low = fma(cube_low, c(third), t_low);
  t_low = fma(mul(cube, s), r, t_low);
  // 2(q + t) + i·ln 2.
  Operand two_q = add(q, q);
  constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  double high = wide_ ? kLn2 : static_cast<float>(kLn2);
  double low = wide_ ? 0x1.abc9e3b39803fp-56 : kLn2 - static_cast<float>(kLn2);
  Operand big = mul(i, c(high)), big_low = fma(i, c(low), fma(i, c(high), neg(big)));
  Operand a = add(big, two_q);
  Operand v = sub(a, big);
  Operand a_low = add(sub(big, sub(a, v)), sub(two_q, v));
  Operand two_t = add(t, t);
  Operand b = add(a, two_t);
  v = sub(b, a);
  Operand b_low = add(sub(a, sub(b, v)), sub(two_t, v));
  Operand tail = fma(c(2), add(q_low, t_low), add(big_low, add(a_low, b_low)));
  Operand sum = add(b, tail);
  return {sum, add(sub(b, sum), tail)};
}

Operand RealMath::pow(Operand x, Operand y) {
  Emit& e = e_;
  Operand a = abs(x), zero = c(0), one = c(1), infinity = c(INFINITY);
  Operand plain = e.and_(lt(zero, a), lt(a, infinity));
  Pair log = log_pair(e.sel(plain, a, one));
  Operand high = mul(log.high, y);
  Operand low = fma(log.low, y, fma(log.high, y, neg(high)));
  Operand bound = c(wide_ ? 760 : 110);
  Operand huge = e.not_(lt(abs(high), bound));  // also if NaN: y is infinite
  low = e.sel(huge, zero, low);
  bool coarse = coarse_;
  coarse_ = false;
  // e^(high + low): the low part goes into the reduced argument, so that results below the normal
  // range are rounded once.
  const char* type = wide_ ? "f64" : "f32";
  Operand near = e.form1(std::string("max.") + type, {high, neg(bound)});
  near = e.form1(std::string("min.") + type, {near, bound});
  Split s = reduced_exp(near);
  Operand r = scaled(exp_fraction(add(s.value, low)), s.number);
  coarse_ = coarse;
  // a = 0 or infinity; y infinite.
  Operand falls = e.xor_(lt(a, one), lt(y, zero));  // towards 0
  Operand end = e.sel(falls, zero, infinity);
  Operand y_infinite = eq(abs(y), infinity);
  r = e.sel(e.and_(plain, e.not_(y_infinite)), r, end);
  r = e.sel(e.and_(y_infinite, eq(a, one)), one, r);
  // Negative bases: odd powers keep the sign, others than integers have none.
  std::string trunc = wide_ ? "cvt.rzi.f64.f64" : "cvt.rzi.f32.f32";
  Operand half = mul(y, c(0.5L));
  Operand integer = eq(e.form1(trunc, {y}), y);
  Operand odd =
      e.and_(e.and_(integer, e.not_(y_infinite)), e.not_(eq(e.form1(trunc, {half}), half)));
  uint64_t top = wide_ ? uint64_t{1} << 63 : 0x80000000;
  Operand negative = e.ne(e.and_(bits(x), word(top)), word(0));
  r = e.sel(e.and_(negative, odd), neg(r), r);
  Operand nan = Operand::imm(nan_code(wide_ ? dt::f64_ : dt::f32_), x.type);
  Operand finite_negative = e.and_(lt(x, zero), lt(a, infinity));
  r = e.sel(e.and_(e.and_(finite_negative, e.not_(integer)), lt(abs(y), infinity)), nan, r);
  r = e.sel(e.or_(is_nan(x), is_nan(y)), nan, r);
  return e.sel(e.or_(eq(y, zero), eq(x, one)), one, r);
}

}  // namespace tess::jit
