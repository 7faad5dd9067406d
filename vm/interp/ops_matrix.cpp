// Kernels of mma and dot.
#include <algorithm>
#include <cstring>

#include "vm/interp/bulk.h"
#include "vm/interp/gemm.h"
#include "vm/interp/matrix.h"
#include "vm/interp/nd_copy.h"

namespace tess::interp {

MatrixSource matrix_source(Binder& b, size_t i) {
  MatrixSource x;
  x.in_memory = b.is_memory(i);
  if (!x.in_memory) {
    x.o = b.arg(i);
    return x;
  }
  x.plan = b.access(i);
  x.o.type = x.plan.type;
  x.o.shape = shape_of(x.plan);
  x.o.n = x.o.shape.elements();
  x.o.reg = b.scratch(static_cast<uint64_t>(x.o.size()));
  return x;
}
Flow fetch(Strand& s, const MatrixSource& x, const Dated& dated) {
  if (!x.in_memory) return Flow::next;
  Region r;
  if (resolve(s, x.plan, r) != Flow::next) return Flow::trap;
  if (s.tracked && check_region(s, r, Touch::read, dated, x.plan.base) != Flow::next)
    return Flow::trap;
  uint8_t* d = x.o.at(s);
  if (!r.inside()) std::memset(d, 0, static_cast<size_t>(x.o.size()));
  bool unwritten = false;
  walk(r, [&](const Run& run) {
    if (r.written && !run_written(*r.written, r.type, run)) unwritten = true;
    load_run(r.type, r.base, run, d);
  });
  return unwritten ? report_unwritten(s, x.plan.base) : Flow::next;
}

namespace {

uint64_t fused(Element& e) {
  if (e.t.is_float()) return fma_code(e.t, e.a, e.b, e.c);
  return truncated(e.t, e.a * e.b + e.c);
}
uint64_t added(Element& e) { return arith_any(e.t, '+', e.a, e.b); }

MatrixLoop loop_of(DType t, FastOp op, Naive naive, int n_in, bool go_naive) {
  MatrixLoop l;
  l.e.naive = naive;
  l.e.op = op;
  l.e.in[0] = l.e.in[1] = l.e.in[2] = l.e.out = t;
  l.e.n_in = n_in;
  l.fn = choose_loop(l.e, go_naive);
  return l;
}

// c += a[:, from:to] · b[from:to, :] in the accumulator's carriers.
void multiply(Strand& s, const Mma& x, const uint8_t* a, const uint8_t* b, uint8_t* c, int64_t from,
              int64_t to) {
  DType t = x.d.type;
  int bytes = x.d.bytes();
  a += from * bytes;
  b += from * x.n * bytes;
  int64_t k = to - from;
  if (!x.naive && t == dt::f32_)
    return gemm_f32(reinterpret_cast<const float*>(a), x.k, reinterpret_cast<const float*>(b), x.n,
                    reinterpret_cast<float*>(c), x.n, x.m, x.n, k);
  if (!x.naive && t == dt::f64_)
    return gemm_f64(reinterpret_cast<const double*>(a), x.k, reinterpret_cast<const double*>(b),
                    x.n, reinterpret_cast<double*>(c), x.n, x.m, x.n, k);
  if (!x.naive && t == dt::i32_)
    return gemm_i32(reinterpret_cast<const int32_t*>(a), x.k, reinterpret_cast<const int32_t*>(b),
                    x.n, reinterpret_cast<int32_t*>(c), x.n, x.m, x.n, k);
  // One row of c at a time: a[i,p] against row p of b.
  uint8_t* row = s.regs + x.row;
  for (int64_t i = 0; i < x.m; ++i)
    for (int64_t p = 0; p < k; ++p) {
      fill_carriers(bytes, row, x.n, a + (i * x.k + p) * bytes);
      x.fma.run(c + i * x.n * bytes, row, b + p * x.n * bytes, c + i * x.n * bytes, x.n);
    }
}

}  // namespace

Flow run_mma(Strand& s, const Mma& x, const Dated& dated) {
  if (fetch(s, x.a, dated) != Flow::next || fetch(s, x.b, dated) != Flow::next) return Flow::trap;
  DType t = x.d.type;
  uint8_t* d = x.d.at(s);
  if (x.c.n == 1) fill_carriers(x.d.bytes(), d, x.d.n, x.c.at(s));
  else if (x.c.reg != x.d.reg) std::memcpy(d, x.c.at(s), static_cast<size_t>(x.d.size()));
  const uint8_t *a = x.a.o.at(s), *b = x.b.o.at(s);
  auto widen = [&](const Operand& o, uint64_t to) -> const uint8_t* {
    if (x.naive) cast_bulk_naive(t, o.type, o.at(s), s.regs + to, static_cast<size_t>(o.n));
    else cast_bulk(t, o.type, o.at(s), s.regs + to, static_cast<size_t>(o.n));
    return s.regs + to;
  };
  if (x.wide_a != kNoRegister) a = widen(x.a.o, x.wide_a);
  if (x.wide_b != kNoRegister) b = widen(x.b.o, x.wide_b);
  int bytes = x.d.bytes();
  for (int64_t i = 0; i < x.batch; ++i) {
    const uint8_t *ai = a + i * x.m * x.k * bytes, *bi = b + i * x.k * x.n * bytes;
    uint8_t* di = d + i * x.m * x.n * bytes;
    if (!x.promote) {
      multiply(s, x, ai, bi, di, 0, x.k);
      continue;
    }
    uint8_t* part = s.regs + x.part;
    for (int64_t p = 0; p < x.k; p += x.promote) {
      std::memset(part, 0, static_cast<size_t>(x.m * x.n * bytes));
      multiply(s, x, ai, bi, part, p, std::min(p + x.promote, x.k));
      x.add.run(di, di, part, nullptr, x.m * x.n);
    }
  }
  return Flow::next;
}

namespace {

Flow run_mma_now(Strand& s, const Mma& x) {
  return run_mma(s, x, s.tracked ? by_strand(s) : Dated{});
}

// dot: rows side by side, so that the chain over the last dimension is a loop over vectors of rows.
struct Dot {
  Operand a, b, c, d;
  int64_t rows, k;
  MatrixLoop fma;
  bool naive;
  uint64_t wide_a, wide_b, turned_a, turned_b;  // scratch for one group of rows
};
constexpr int64_t kDotRows = 64;
Flow run_dot(Strand& s, const Dot& x) {
  DType t = x.d.type;
  int bytes = x.d.bytes();
  uint8_t* d = x.d.at(s);
  if (!x.c) std::memset(d, 0, static_cast<size_t>(x.d.size()));
  else if (x.c.n == 1 && x.d.n != 1) fill_carriers(bytes, d, x.d.n, x.c.at(s));
  else std::memmove(d, x.c.at(s), static_cast<size_t>(x.d.size()));
  for (int64_t first = 0; first < x.rows; first += kDotRows) {
    int64_t rows = std::min(kDotRows, x.rows - first);
    auto turn = [&](const Operand& o, uint64_t wide, uint64_t turned) {
      const uint8_t* from = o.at(s) + first * x.k * o.bytes();
      size_t n = static_cast<size_t>(rows * x.k);
      if (x.naive) cast_bulk_naive(t, o.type, from, s.regs + wide, n);
      else cast_bulk(t, o.type, from, s.regs + wide, n);
      NdCopy c;
      c.bytes = bytes;
      c.dim(x.k, rows, 1);
      c.dim(rows, 1, x.k);
      c.prepare();
      run_nd_copy(c, s.regs + turned, s.regs + wide);
    };
    turn(x.a, x.wide_a, x.turned_a);
    turn(x.b, x.wide_b, x.turned_b);
    uint8_t* sum = d + first * bytes;
    for (int64_t p = 0; p < x.k; ++p)
      x.fma.run(sum, s.regs + x.turned_a + p * rows * bytes, s.regs + x.turned_b + p * rows * bytes,
                sum, rows);
  }
  return Flow::next;
}

}  // namespace

Mma mma_of(Binder& b) {
  Mma x;
  x.a = matrix_source(b, 0);
  x.b = matrix_source(b, 1);
  x.c = b.arg(2);
  x.d = b.result();
  const Shape &sa = x.a.o.shape, &sb = x.b.o.shape;
  for (int i = 0; i < sa.rank - 2; ++i) x.batch *= sa[i];
  x.m = sa[sa.rank - 2];
  x.k = sa[sa.rank - 1];
  x.n = sb[sb.rank - 1];
  x.naive = b.naive();
  x.promote = b.attr(AttrTag::promote).value_or(0);
  DType t = x.d.type;
  x.fma = loop_of(t, FastOp::fma, fused, 3, x.naive);
  x.add = loop_of(t, FastOp::add, added, 2, x.naive);
  uint64_t bytes = static_cast<uint64_t>(x.d.bytes());
  if (x.a.o.type != t) x.wide_a = b.scratch(static_cast<uint64_t>(x.a.o.n) * bytes);
  if (x.b.o.type != t) x.wide_b = b.scratch(static_cast<uint64_t>(x.b.o.n) * bytes);
  x.row = b.scratch(static_cast<uint64_t>(x.n) * bytes);
  if (x.promote) x.part = b.scratch(static_cast<uint64_t>(x.m * x.n) * bytes);
  return x;
}

KERNEL(mma) { b.emit<run_mma_now>(mma_of(b)); }

KERNEL(dot) {
  Dot x;
  x.a = b.arg(0);
  x.b = b.arg(1);
  if (b.has_arg(2)) x.c = b.arg(2);
  x.d = b.result();
  x.k = x.a.shape[x.a.shape.rank - 1];
  x.rows = x.k ? x.a.n / x.k : 0;
  x.naive = b.naive();
  x.fma = loop_of(x.d.type, FastOp::fma, fused, 3, x.naive);
  uint64_t bytes = static_cast<uint64_t>(kDotRows * x.k * x.d.bytes());
  x.wide_a = b.scratch(bytes);
  x.wide_b = b.scratch(bytes);
  x.turned_a = b.scratch(bytes);
  x.turned_b = b.scratch(bytes);
  b.emit<run_dot>(x);
}

}  // namespace tess::interp
