// Kernels of the elementwise arithmetic, comparison and transcendental instructions.
#include <bit>
#include <cmath>

#include "isa/transcendental.h"
#include "vm/interp/bulk.h"
#include "vm/interp/elementwise.h"

namespace tess::interp {
namespace {

using i128 = __int128;

// The mathematical value of an integer code.
i128 wide(DType t, uint64_t code) {
  int64_t v = decode_int(t, code);
  return t.is_signed() ? i128{v} : i128{static_cast<uint64_t>(v)};
}

// x modulo 2^N; under `nowrap` an error if that changes it.
uint64_t wrapped(Element& e, i128 x) {
  uint64_t code = truncated(e.t, static_cast<uint64_t>(x));
  if (e.nowrap && wide(e.t, code) != x) e.error = StripError::nowrap;
  return code;
}

template <char op>
uint64_t arithmetic(Element& e) {
  if (e.t.is_float()) return arith_code(e.t, op, e.a, e.b);
  i128 x = wide(e.t, e.a), y = wide(e.t, e.b);
  if (op != '*') return wrapped(e, op == '+' ? x + y : x - y);
  // A product of two u64 does not fit: wrap, and judge overflow by the unsigned product.
  unsigned __int128 product = static_cast<unsigned __int128>(x) * static_cast<unsigned __int128>(y);
  if (e.nowrap && !e.t.is_signed() && product >> e.t.bits) e.error = StripError::nowrap;
  if (e.t.is_signed()) return wrapped(e, x * y);
  return truncated(e.t, static_cast<uint64_t>(product));
}

uint64_t division(Element& e) {
  if (e.t.is_float()) return arith_code(e.t, '/', e.a, e.b);
  i128 x = wide(e.t, e.a), y = wide(e.t, e.b);
  if (y == 0) return e.error = StripError::divide_by_zero, 0;
  return truncated(e.t, static_cast<uint64_t>(x / y));
}
uint64_t remainder(Element& e) {
  i128 x = wide(e.t, e.a), y = wide(e.t, e.b);
  if (y == 0) return e.error = StripError::divide_by_zero, 0;
  return truncated(e.t, static_cast<uint64_t>(x % y));
}
uint64_t upper_half(Element& e) {
  if (e.t == dt::u64_)
    return static_cast<uint64_t>(static_cast<unsigned __int128>(e.a) * e.b >> 64);
  return truncated(e.t, static_cast<uint64_t>(wide(e.t, e.a) * wide(e.t, e.b) >> e.t.bits));
}
uint64_t fused(Element& e) {
  if (e.t.is_float()) return fma_code(e.t, e.a, e.b, e.c);
  return truncated(e.t, e.a * e.b + e.c);
}
uint64_t negated(Element& e) {
  if (e.t.is_float()) return e.a ^ uint64_t { 1 } << (e.t.bits - 1);
  return truncated(e.t, 0 - e.a);
}
uint64_t absolute(Element& e) {
  if (e.t.is_float()) return e.a & ~(uint64_t{1} << (e.t.bits - 1));
  return decode_int(e.t, e.a) < 0 && e.t.is_signed() ? truncated(e.t, 0 - e.a) : e.a;
}
uint64_t complement(Element& e) { return e.t.is_bool() ? !e.a : truncated(e.t, ~e.a); }
uint64_t shift_left(Element& e) { return e.b >= e.t.bits ? 0 : truncated(e.t, e.a << e.b); }
uint64_t shift_right(Element& e) {
  uint64_t by = e.b >= e.t.bits ? e.t.bits - 1u : e.b;
  if (e.t.is_signed()) return truncated(e.t, static_cast<uint64_t>(decode_int(e.t, e.a) >> by));
  return e.b >= e.t.bits ? 0 : e.a >> e.b;
}

// Order of two elements, 2 if either is NaN.
int order(const Element& e) {
  return is_nan_code(e.t, e.a) || is_nan_code(e.t, e.b) ? 2 : compare_codes(e.t, e.a, e.b);
}

template <double (*fn)(double)>
uint64_t to_integral(Element& e) {
  return encode_float(e.t, fn(decode_float(e.t, e.a)));
}

template <Fn fn>
uint64_t transcendental(Element& e) {
  return unary_code(fn, e.t, e.a);
}

template <Fn fn>
StripError run_f32(const StripArgs& args) {
  const float* x = static_cast<const float*>(args.in[0]);
  float* d = static_cast<float*>(args.d);
  for (size_t i = 0; i < args.n; ++i) d[i] = unary_f32(fn, x[i]);
  return StripError::none;
}
template <Fn fn>
StripError run_f64(const StripArgs& args) {
  const double* x = static_cast<const double*>(args.in[0]);
  double* d = static_cast<double*>(args.d);
  for (size_t i = 0; i < args.n; ++i) d[i] = unary_f64(fn, x[i]);
  return StripError::none;
}

template <Fn fn>
void bind_transcendental(Binder& b) {
  DType t = b.arg(0).type;
  if (b.naive() || (t != dt::f32_ && t != dt::f64_)) return bind_elementwise(b, transcendental<fn>);
  Micro m;
  m.fn = t == dt::f32_ ? run_f32<fn> : run_f64<fn>;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = t;
  b.elementwise(m);
}

StripError run_select(const StripArgs& args) {
  select_loop(carrier_bytes(carrier_of(args.result)), args.d,
              static_cast<const uint8_t*>(args.in[0]), args.in[1], args.in[2], args.n);
  return StripError::none;
}

}  // namespace

KERNEL(add) { bind_elementwise(b, arithmetic<'+'>, FastOp::add); }
KERNEL(sub) { bind_elementwise(b, arithmetic<'-'>, FastOp::sub); }
KERNEL(mul) { bind_elementwise(b, arithmetic<'*'>, FastOp::mul); }
KERNEL(mulhi) { bind_elementwise(b, upper_half, FastOp::mulhi); }
KERNEL(div) { bind_elementwise(b, division, FastOp::div); }
KERNEL(rem) { bind_elementwise(b, remainder, FastOp::rem); }
KERNEL(fma) { bind_elementwise(b, fused, FastOp::fma); }
KERNEL(min) {
  bind_elementwise(
      b, [](Element& e) { return min_code(e.t, e.a, e.b, e.nan); }, FastOp::min);
}
KERNEL(max) {
  bind_elementwise(
      b, [](Element& e) { return max_code_of(e.t, e.a, e.b, e.nan); }, FastOp::max);
}
KERNEL(neg) { bind_elementwise(b, negated, FastOp::neg); }
KERNEL(abs) { bind_elementwise(b, absolute, FastOp::abs); }
KERNEL(and_) {
  bind_elementwise(
      b, [](Element& e) { return e.a & e.b; }, FastOp::and_);
}
KERNEL(or_) {
  bind_elementwise(
      b, [](Element& e) { return e.a | e.b; }, FastOp::or_);
}
KERNEL(xor_) {
  bind_elementwise(
      b, [](Element& e) { return e.a ^ e.b; }, FastOp::xor_);
}
KERNEL(not_) { bind_elementwise(b, complement, FastOp::not_); }
KERNEL(shl) { bind_elementwise(b, shift_left, FastOp::shl); }
KERNEL(shr) { bind_elementwise(b, shift_right, FastOp::shr); }
KERNEL(popc) {
  bind_elementwise(
      b, [](Element& e) { return truncated(e.t, static_cast<uint64_t>(std::popcount(e.a))); },
      FastOp::popc);
}
KERNEL(eq) {
  bind_elementwise(
      b, [](Element& e) { return uint64_t{order(e) == 0}; }, FastOp::eq);
}
KERNEL(ne) {
  bind_elementwise(
      b, [](Element& e) { return uint64_t{order(e) != 0}; }, FastOp::ne);
}
KERNEL(lt) {
  bind_elementwise(
      b, [](Element& e) { return uint64_t{order(e) == -1}; }, FastOp::lt);
}
KERNEL(le) {
  bind_elementwise(
      b, [](Element& e) { return uint64_t{order(e) <= 0}; }, FastOp::le);
}
KERNEL(gt) {
  bind_elementwise(
      b, [](Element& e) { return uint64_t{order(e) == 1}; }, FastOp::gt);
}
KERNEL(ge) {
  bind_elementwise(
      b, [](Element& e) { return uint64_t{order(e) == 0 || order(e) == 1}; }, FastOp::ge);
}
KERNEL(clamp) {
  bind_elementwise(
      b, [](Element& e) { return min_code(e.t, max_code_of(e.t, e.a, e.b, false), e.c, false); },
      FastOp::clamp);
}
KERNEL(select) {
  if (b.naive()) return bind_elementwise(b, [](Element& e) { return e.a ? e.b : e.c; });
  Micro m;
  m.fn = run_select;
  m.d = b.result();
  m.n_in = 3;
  for (size_t i = 0; i < 3; ++i) m.in[i] = b.arg(i);
  m.type = m.d.type;
  b.elementwise(m);
}
KERNEL(floor) { bind_elementwise(b, to_integral<std::floor>, FastOp::floor); }
KERNEL(ceil) { bind_elementwise(b, to_integral<std::ceil>, FastOp::ceil); }
KERNEL(round) { bind_elementwise(b, to_integral<std::nearbyint>, FastOp::round); }
KERNEL(trunc) { bind_elementwise(b, to_integral<std::trunc>, FastOp::trunc); }
KERNEL(sqrt) {
  bind_elementwise(
      b, [](Element& e) { return sqrt_code(e.t, e.a); }, FastOp::sqrt);
}
KERNEL(rsqrt) { bind_transcendental<Fn::rsqrt>(b); }
KERNEL(rcp) { bind_transcendental<Fn::rcp>(b); }
KERNEL(exp) { bind_transcendental<Fn::exp>(b); }
KERNEL(exp2) { bind_transcendental<Fn::exp2>(b); }
KERNEL(log) { bind_transcendental<Fn::log>(b); }
KERNEL(log2) { bind_transcendental<Fn::log2>(b); }
KERNEL(sin) { bind_transcendental<Fn::sin>(b); }
KERNEL(cos) { bind_transcendental<Fn::cos>(b); }
KERNEL(tanh) { bind_transcendental<Fn::tanh>(b); }
KERNEL(erf) { bind_transcendental<Fn::erf>(b); }
KERNEL(sigmoid) { bind_transcendental<Fn::sigmoid>(b); }
KERNEL(pow) {
  bind_elementwise(b, [](Element& e) { return pow_code(e.t, e.a, e.b); });
}

}  // namespace tess::interp
