#include "vm/interp/elementwise.h"

#include <algorithm>
#include <cstring>

#include "vm/interp/bulk.h"

namespace tess::interp {

uint64_t truncated(DType t, uint64_t code) {
  return t.bits >= 64 ? code : code & ((uint64_t{1} << t.bits) - 1);
}

int compare_codes(DType t, uint64_t a, uint64_t b) {
  if (t.is_float() || t.kind == Kind::scale) {
    double x = decode_float(t, a), y = decode_float(t, b);
    return x < y ? -1 : x > y;
  }
  if (t.is_signed()) {
    int64_t x = decode_int(t, a), y = decode_int(t, b);
    return x < y ? -1 : x > y;
  }
  uint64_t x = static_cast<uint64_t>(decode_int(t, a)), y = static_cast<uint64_t>(decode_int(t, b));
  return x < y ? -1 : x > y;
}

namespace {
bool negative_zero(DType t, uint64_t code) {
  return t.is_float() && decode_float(t, code) == 0 && code >> (t.bits - 1);
}
}  // namespace

uint64_t min_code(DType t, uint64_t a, uint64_t b, bool nan) {
  bool a_nan = is_nan_code(t, a), b_nan = is_nan_code(t, b);
  if (a_nan || b_nan) return nan || (a_nan && b_nan) ? nan_code(t) : a_nan ? b : a;
  int order = compare_codes(t, a, b);
  if (order == 0) return negative_zero(t, b) ? b : a;
  return order < 0 ? a : b;
}
uint64_t max_code_of(DType t, uint64_t a, uint64_t b, bool nan) {
  bool a_nan = is_nan_code(t, a), b_nan = is_nan_code(t, b);
  if (a_nan || b_nan) return nan || (a_nan && b_nan) ? nan_code(t) : a_nan ? b : a;
  int order = compare_codes(t, a, b);
  if (order == 0) return negative_zero(t, a) ? b : a;
  return order > 0 ? a : b;
}

uint64_t arith_any(DType t, char op, uint64_t a, uint64_t b) {
  if (t.is_float()) return arith_code(t, op, a, b);
  return truncated(t, op == '+' ? a + b : op == '-' ? a - b : a * b);
}

StripError run_naive(const StripArgs& args) {
  const Elementwise& e = *static_cast<const Elementwise*>(args.extra);
  Element x{e.in[0], 0, 0, 0, e.in[1], e.out, e.nan, e.nowrap};
  for (size_t i = 0; i < args.n; ++i) {
    if (e.n_in > 0) x.a = carrier_code(e.in[0], args.in[0], i);
    if (e.n_in > 1) x.b = carrier_code(e.in[1], args.in[1], i);
    if (e.n_in > 2) x.c = carrier_code(e.in[2], args.in[2], i);
    uint64_t code = e.naive(x);
    if (x.error != StripError::none) return x.error;
    set_carrier(e.out, args.d, i, code);
  }
  return StripError::none;
}

namespace {

constexpr size_t kChunk = 512;

StripError run_loop(const StripArgs& args) {
  const Elementwise& e = *static_cast<const Elementwise*>(args.extra);
  e.loop(args.d, args.in[0], args.in[1], args.in[2], args.n, e.in[0].bits);
  return StripError::none;
}

StripError run_division(const StripArgs& args) {
  const Elementwise& e = *static_cast<const Elementwise*>(args.extra);
  size_t width = static_cast<size_t>(carrier_bytes(carrier_of(e.in[1])));
  auto any_zero = [&]<class T>(T) {
    const T* y = static_cast<const T*>(args.in[1]);
    bool zero = false;
    for (size_t i = 0; i < args.n; ++i) zero |= y[i] == 0;
    return zero;
  };
  bool zero = width == 1   ? any_zero(uint8_t{})
              : width == 2 ? any_zero(uint16_t{})
              : width == 4 ? any_zero(uint32_t{})
                           : any_zero(uint64_t{});
  return zero ? StripError::divide_by_zero : run_loop(args);
}

// f16, bf16 and, for comparisons, every float that f32 holds exactly.
StripError run_through_f32(const StripArgs& args) {
  const Elementwise& e = *static_cast<const Elementwise*>(args.extra);
  alignas(64) float in[3][kChunk], out[kChunk];
  int out_bytes = carrier_bytes(carrier_of(e.out));
  int in_bytes = carrier_bytes(carrier_of(e.in[0]));
  for (size_t at = 0; at < args.n; at += kChunk) {
    size_t n = std::min(kChunk, args.n - at);
    for (int i = 0; i < e.n_in; ++i)
      to_f32_bulk(e.in[0],
                  static_cast<const uint8_t*>(args.in[i]) + at * static_cast<size_t>(in_bytes),
                  in[i], n);
    uint8_t* d = static_cast<uint8_t*>(args.d) + at * static_cast<size_t>(out_bytes);
    if (e.out.is_bool()) {
      e.loop(d, in[0], in[1], in[2], n, 32);
      continue;
    }
    if (e.op == FastOp::fma) fma_to_odd(in[0], in[1], in[2], out, n);
    else e.loop(out, in[0], in[1], in[2], n, 32);
    from_f32_bulk(e.out, out, d, n);
  }
  return StripError::none;
}

// neg and abs of floats are on the sign bit alone.
StripError run_sign(const StripArgs& args) {
  const Elementwise& e = *static_cast<const Elementwise*>(args.extra);
  uint64_t sign = uint64_t{1} << (e.in[0].bits - 1);
  auto run = [&]<class T>(T) {
    const T* x = static_cast<const T*>(args.in[0]);
    T* d = static_cast<T*>(args.d);
    if (e.op == FastOp::neg)
      for (size_t i = 0; i < args.n; ++i) d[i] = static_cast<T>(x[i] ^ sign);
    else
      for (size_t i = 0; i < args.n; ++i) d[i] = static_cast<T>(x[i] & ~sign);
  };
  if (e.in[0].bits <= 8) run(uint8_t{});
  else run(uint16_t{});
  return StripError::none;
}

StripError run_shift(const StripArgs& args) {
  const Elementwise& e = *static_cast<const Elementwise*>(args.extra);
  uint8_t counts[kChunk];
  size_t bytes = static_cast<size_t>(carrier_bytes(carrier_of(e.in[0])));
  size_t count_bytes = static_cast<size_t>(carrier_bytes(carrier_of(e.in[1])));
  uint64_t mask = truncated(e.in[1], ~uint64_t{0});
  for (size_t at = 0; at < args.n; at += kChunk) {
    size_t n = std::min(kChunk, args.n - at);
    clamp_counts_loop(static_cast<int>(count_bytes),
                      static_cast<const uint8_t*>(args.in[1]) + at * count_bytes, mask, counts, n);
    if (counts[0] < e.in[0].bits && std::memcmp(counts, counts + 1, n - 1) == 0) {
      shift_loop(e.op, carrier_of(e.in[0]), static_cast<uint8_t*>(args.d) + at * bytes,
                 static_cast<const uint8_t*>(args.in[0]) + at * bytes, counts[0], n, e.in[0].bits);
      continue;
    }
    e.loop(static_cast<uint8_t*>(args.d) + at * bytes,
           static_cast<const uint8_t*>(args.in[0]) + at * bytes, counts, nullptr, n, e.in[0].bits);
  }
  return StripError::none;
}

bool is_compare(FastOp op) { return op >= FastOp::eq && op <= FastOp::ge; }

StripFn choose(Elementwise& e) {
  DType t = e.in[0];
  if (e.op == FastOp::count || (e.nowrap && t.is_int())) return run_naive;
  if (t.is_int() || t.is_bool() || t == dt::f32_ || t == dt::f64_) {
    e.loop = fast_loop(e.op, carrier_of(t));
    if (!e.loop || (t.is_bool() && e.op == FastOp::not_)) return run_naive;
    if (t.is_int() && (e.op == FastOp::div || e.op == FastOp::rem)) return run_division;
    if (e.op == FastOp::shl || e.op == FastOp::shr) return run_shift;
    return run_loop;
  }
  if (e.op == FastOp::neg || e.op == FastOp::abs) {
    if (!t.is_tf32()) return run_sign;
    e.loop = fast_loop(e.op, Carrier::f32);
    return run_loop;
  }
  e.loop = fast_loop(e.op, Carrier::f32);
  return e.loop && (t.is_arith_float() || is_compare(e.op)) ? run_through_f32 : run_naive;
}

}  // namespace

StripFn choose_loop(Elementwise& e, bool naive) { return naive ? run_naive : choose(e); }

void bind_elementwise(Binder& b, Naive naive, FastOp fast) {
  Elementwise e;
  e.naive = naive;
  e.op = fast;
  e.n_in = static_cast<int>(b.n_args());
  Micro m;
  m.n_in = e.n_in;
  for (int i = 0; i < e.n_in; ++i) {
    m.in[i] = b.arg(static_cast<size_t>(i));
    e.in[i] = m.in[i].type;
  }
  m.d = b.result();
  e.out = m.d.type;
  e.nan = b.has(AttrTag::nan);
  if (e.nan && e.op == FastOp::min) e.op = FastOp::min_nan;
  if (e.nan && e.op == FastOp::max) e.op = FastOp::max_nan;
  e.nowrap = b.has(AttrTag::nowrap);
  m.type = e.in[0];
  m.may_overwrite = true;
  m.fn = b.naive() ? run_naive : choose(e);
  m.extra = b.keep(e);
  b.elementwise(m);
}

}  // namespace tess::interp
