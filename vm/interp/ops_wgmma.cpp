// Kernels of wgmma and mma.scaled. A wgmma is computed at once; that its result is not there yet,
// and that its shared operands are still read, is what the checks see until its group has been
// waited for.
#include <cmath>
#include <cstring>

#include "vm/interp/bulk.h"
#include "vm/interp/matrix.h"
#include "vm/interp/transfers.h"

namespace tess::interp {
namespace {

struct Wgmma {
  Mma mma;
  uint64_t group_of_result;  // in the register file
};
Flow run_wgmma(Strand& s, const Wgmma& x) {
  uint32_t clock = s.wgmma.now;
  std::memcpy(s.regs + x.group_of_result, &clock, sizeof clock);
  return run_mma(s, x.mma, by_work(s, Agent::wgmma));
}

struct Nothing {};
Flow run_nothing(Strand&, const Nothing&) { return Flow::next; }
Flow run_commit(Strand& s, const Nothing&) {
  close_group(s.wgmma);
  return Flow::next;
}
Flow run_wait(Strand& s, const Operand& n) {
  uint32_t clock = clock_before(s.wgmma, read_int(s, n));
  if (!clock || !s.tracked) return Flow::next;
  s.wgmma.done = clock;
  forget_groups(s.wgmma, clock);
  knows_done(s, Agent::wgmma, clock);
  return Flow::next;
}

// --- mma.scaled

struct Scaled {
  MatrixSource a, b;
  Operand scale_a, scale_b, c, d;
  int64_t m = 0, n = 0, k = 0, block = 1;
};
std::vector<double> doubles(const Strand& s, const Operand& o) {
  std::vector<double> v(static_cast<size_t>(o.n));
  for (size_t i = 0; i < v.size(); ++i)
    v[i] = decode_float(o.type, carrier_code(o.type, o.at(s), i));
  return v;
}
// c + p rounded once to f32; p is exact in double. The double sum is rounded to odd first.
float add_once(float c, double p) {
  double sum = static_cast<double>(c) + p;
  if (!std::isfinite(sum)) return static_cast<float>(sum);
  double back = sum - static_cast<double>(c);
  double error = (static_cast<double>(c) - (sum - back)) + (p - back);
  uint64_t bits;
  std::memcpy(&bits, &sum, sizeof bits);
  if (error != 0 && !(bits & 1)) sum = std::nextafter(sum, error > 0 ? INFINITY : -INFINITY);
  return static_cast<float>(sum);
}
Flow run_scaled(Strand& s, const Scaled& x) {
  Dated dated = s.tracked ? by_strand(s) : Dated{};
  if (fetch(s, x.a, dated) != Flow::next || fetch(s, x.b, dated) != Flow::next) return Flow::trap;
  std::vector<double> a = doubles(s, x.a.o), b = doubles(s, x.b.o), sa = doubles(s, x.scale_a),
                      sb = doubles(s, x.scale_b);
  std::vector<float> d(static_cast<size_t>(x.d.n));
  const float* c = x.c.in<float>(s);
  int64_t groups = x.k / x.block;
  for (int64_t e = 0; e < x.d.n; ++e) {
    int64_t j = e % x.n, row = e / x.n, item = row / x.m;  // row counts through the batch
    float sum = c[x.c.n == 1 ? 0 : e];
    for (int64_t p = 0; p < x.k; ++p) {
      int64_t group = p / x.block;
      double left =
          a[static_cast<size_t>(row * x.k + p)] * sa[static_cast<size_t>(row * groups + group)];
      double right = b[static_cast<size_t>((item * x.k + p) * x.n + j)] *
                     sb[static_cast<size_t>((item * groups + group) * x.n + j)];
      sum = add_once(sum, left * right);
    }
    d[static_cast<size_t>(e)] = std::isnan(sum) ? NAN : sum;
  }
  std::memcpy(x.d.at(s), d.data(), d.size() * sizeof(float));
  return Flow::next;
}

}  // namespace

KERNEL(wgmma) { b.emit<run_wgmma>(Wgmma{mma_of(b), b.program().wgmma_reg[b.result_value()]}); }
KERNEL(wgmma_commit) { b.emit<run_commit>(Nothing{}); }
KERNEL(wgmma_wait) { b.emit<run_wait>(b.arg(0)); }
KERNEL(wgmma_fence) { b.emit<run_nothing>(Nothing{}); }
KERNEL(mma_scaled) {
  Scaled x;
  x.a = matrix_source(b, 0);
  x.scale_a = b.arg(1);
  x.b = matrix_source(b, 2);
  x.scale_b = b.arg(3);
  x.c = b.arg(4);
  x.d = b.result();
  const Shape &sa = x.a.o.shape, &sb = x.b.o.shape;
  x.m = sa[sa.rank - 2];
  x.k = sa[sa.rank - 1];
  x.n = sb[sb.rank - 1];
  x.block = x.k / x.scale_a.shape[sa.rank - 1];
  b.emit<run_scaled>(std::move(x));
}

}  // namespace tess::interp
