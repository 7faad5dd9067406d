// wmma: fragments have an unspecified layout, so the simulator's own is the simplest: the elements
// of the matrix in row order are dealt to the lanes in runs, and dealt again where a fragment has
// room for more elements than the matrix has.
#include "isa/diag/sim.h"

#include <fmt/format.h>
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/matrix.h"

namespace tess::ptxsim {

bool parse_shape(std::string_view s, int& m, int& n, int& k);
bool vector_rows(Builder& b, size_t i, size_t count, int bits, bool destination);

namespace {

bool full(Warp& w, const Op& op, uint32_t mask, Flow& f) {
  if (!whole_warp(w, op, mask, f)) return false;
  if (mask == ~0u) return true;
  f = report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp, "wmma needs all 32 lanes");
  return false;
}

uint64_t fragment_get(const Warp& w, const Row* regs, int nregs, int bits, int index) {
  int per_reg = bits >= 32 ? 1 : 32 / bits, per_lane = nregs * per_reg;
  int lane = index / per_lane, e = index % per_lane;
  if (bits == 64) return w.row64(regs[e])[lane];
  uint32_t v = w.row32(regs[e / per_reg])[lane];
  return bits == 32 ? v : (v >> (bits * (e % per_reg))) & ((1u << bits) - 1);
}
void fragment_put(Warp& w, const Row* regs, int nregs, int bits, int total, int index, uint64_t v) {
  int per_reg = bits >= 32 ? 1 : 32 / bits, per_lane = nregs * per_reg;
  for (int at = index; at < 32 * per_lane; at += total) {
    int lane = at / per_lane, e = at % per_lane;
    if (bits == 64) w.row64(regs[e])[lane] = v;
    else if (bits == 32) w.row32(regs[e])[lane] = uint32_t(v);
    else {
      uint32_t& word = w.row32(regs[e / per_reg])[lane];
      int shift = bits * (e % per_reg);
      word = (word & ~(((1u << bits) - 1) << shift)) | uint32_t(v) << shift;
    }
  }
}

// k[0] rows, k[1] cols, k[2] element, k[3] space, k[4] column-major, k[5] has stride; a[0] address,
// a[1] stride
template <bool is_load>
Flow wmma_memory(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!full(w, op, mask, f)) return f;
  int rows = op.k[0], cols = op.k[1], bits = elem_bits(Elem(op.k[2])), total = rows * cols;
  uint64_t base = lane_address(w, op, 0);
  int64_t stride = op.k[5] ? int64_t(int32_t(w.row32(op.a[1])[0])) : (op.k[4] ? rows : cols);
  for (int l = 1; l < 32; ++l)
    if (lane_address(w, op, l) != base)
      return report_fault(w, op, l, diag::kSimPredicateMismatch,
                          "the address differs between lanes");
  int per = bits < 8 ? 8 / bits : 1, bytes = bits < 8 ? 1 : bits / 8;
  for (int i = 0; i < total; i += 1) {
    int r = i / cols, c = i % cols;
    int64_t e = op.k[4] ? int64_t(c) * stride + r : int64_t(r) * stride + c;
    uint64_t a = base + uint64_t(bits < 8 ? e / per : e * bytes);
    int lane = (i * 32 / total) & 31;
    Located at;
    if (!locate(w, op, lane, Space(op.k[3]), a, uint32_t(bytes), uint32_t(bytes),
                is_load ? Intent::read : Intent::write, at))
      return Flow::stop;
    if (w.cluster->race && at.shadow && (bits >= 8 || e % per == 0))
      race_access(w, op, lane, at, uint32_t(bytes), is_load ? Touch::read : Touch::write,
                  Scope::none);
    if (is_load) {
      if (w.check_init && !all_valid(at, uint32_t(bytes)))
        report_uninit_memory(w, op, lane, Space(op.k[3]), a);
      uint64_t v = 0;
      std::memcpy(&v, at.bytes, size_t(bytes));
      if (bits < 8) v = (v >> (bits * (e % per))) & ((1u << bits) - 1);
      fragment_put(w, w.args(op), int(op.nargs), bits, total, i, v);
    } else {
      uint64_t v = fragment_get(w, w.args(op), int(op.nargs), bits, i);
      std::memcpy(at.bytes, &v, size_t(bytes));
      mark_valid(at, uint32_t(bytes));
    }
  }
  if (!is_load) progress(w);
  return Flow::next;
}

// args: d, a, b, c; a[0..3] their counts; k[0] m k[1] n k[2] k, k[3] type of a and b, k[4] of b,
// k[5] d, k[6] c, k[7] sat, k[8] xor
Flow wmma_multiply(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!full(w, op, mask, f)) return f;
  int m = op.k[0], n = op.k[1], k = op.k[2];
  Elem ea = Elem(op.k[3]), eb = Elem(op.k[4]), ed = Elem(op.k[5]), ec = Elem(op.k[6]);
  const Row *d = w.args(op), *a = d + op.a[0], *b = a + op.a[1], *c = b + op.a[2];
  int abits = elem_bits(ea), bbits = elem_bits(eb);
  std::vector<uint64_t> out(size_t(m * n));
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      uint64_t cv = fragment_get(w, c, op.a[3], elem_bits(ec), i * n + j);
      auto av = [&](int x) { return fragment_get(w, a, op.a[1], abits, i * k + x); };
      auto bv = [&](int x) { return fragment_get(w, b, op.a[2], bbits, x * n + j); };
      uint64_t& o = out[size_t(i * n + j)];
      if (ea == Elem::f64) {
        double s = std::bit_cast<double>(cv);
        for (int x = 0; x < k; ++x)
          s = std::fma(std::bit_cast<double>(av(x)), std::bit_cast<double>(bv(x)), s);
        o = std::bit_cast<uint64_t>(canonical(s));
      } else if (is_integer(ea)) {
        int64_t s = int32_t(uint32_t(cv));
        for (int x = 0; x < k; ++x) {
          int32_t p = elem_int(ea, uint32_t(av(x))), q = elem_int(eb, uint32_t(bv(x)));
          s += op.k[8] ? p ^ q : int64_t(p) * q;
        }
        o = uint32_t(op.k[7] ? int32_t(s > INT32_MAX   ? INT32_MAX
                                       : s < INT32_MIN ? INT32_MIN
                                                       : s)
                             : int32_t(uint32_t(uint64_t(s))));
      } else {
        float s = elem_float(ec, uint32_t(cv));
        for (int x = 0; x < k; ++x)
          s += elem_float(ea, uint32_t(av(x))) * elem_float(eb, uint32_t(bv(x)));
        o = ed == Elem::f16 ? float_to_half(s) : std::bit_cast<uint32_t>(canonical(s));
      }
    }
  for (int i = 0; i < m * n; ++i)
    fragment_put(w, d, op.a[0], elem_bits(ed), m * n, i, out[size_t(i)]);
  return Flow::next;
}

bool build_memory(Builder& b, bool load) {
  int m, n, k;
  if (!parse_shape(b.mod(5), m, n, k)) return b.fail("unknown shape");
  if (!b.expect_operands(2, 3)) return false;
  Elem e;
  if (!find_elem(b.last_mod(), e)) return b.fail("unknown type");
  std::string_view which = b.mod(1);
  int rows = which == "b" ? k : m, cols = which == "a" ? k : n;
  bool is_c = which == "c" || which == "d";
  if (!is_c && (e == Elem::f32 || e == Elem::s32)) return b.fail("this type is for c and d only");
  if (is_c && e != Elem::f16 && e != Elem::f32 && e != Elem::s32 && e != Elem::f64)
    return b.fail("this type is for a and b only");
  int bits = elem_bits(e);
  size_t vector = load ? 0 : 1;
  if (!vector_rows(b, vector, 0, bits == 64 ? 64 : 32, load)) return false;
  int per = bits >= 32 ? 1 : 32 / bits;
  if (int(b.op.nargs) * per * 32 < rows * cols || (int(b.op.nargs) * per * 32) % (rows * cols))
    return b.fail(fmt::format("{} registers do not hold a {}x{} fragment", b.op.nargs, rows, cols));
  if (!b.address(load ? 1 : 0)) return false;
  Op& op = b.op;
  op.k[0] = uint8_t(rows), op.k[2] = uint8_t(e), op.k[3] = uint8_t(b.space());
  op.k[1] = uint8_t(cols);
  if (cols > 255) return b.fail("shape");
  op.k[4] = b.mod(4) == "col";
  op.k[5] = b.count() == 3;
  if (b.count() == 3) op.a[1] = b.source(2, 32);
  op.flags |= kFlagAligned;
  op.exec = load ? wmma_memory<true> : wmma_memory<false>;
  return b.ok();
}

}  // namespace

bool build_wmma_load(Builder& b) { return build_memory(b, true); }
bool build_wmma_store(Builder& b) { return build_memory(b, false); }

bool build_wmma(Builder& b) {
  if (!b.expect_operands(4)) return false;
  size_t shape = 0;
  int m = 0, n = 0, k = 0;
  while (shape < b.in.mods.size() &&
         !(b.mod(shape).size() > 5 && parse_shape(b.mod(shape), m, n, k)))
    ++shape;
  if (shape >= b.in.mods.size()) return b.fail("unknown shape");
  std::vector<Elem> types;
  for (size_t i = shape + 1; i < b.in.mods.size(); ++i) {
    Elem e;
    if (find_elem(b.mod(i), e)) types.push_back(e);
  }
  Elem ed, ea, eb, ec;
  if (types.size() == 2) ed = types[0], ea = eb = Elem::f16, ec = types[1];
  else if (types.size() == 4) ed = types[0], ea = types[1], eb = types[2], ec = types[3];
  else return b.fail("types");
  Op& op = b.op;
  Elem all[4] = {ed, ea, eb, ec};
  int sizes[4] = {m * n, m * k, k * n, m * n};
  for (size_t i = 0; i < 4; ++i) {
    uint32_t before = op.nargs;
    int bits = elem_bits(all[i]);
    if (!vector_rows(b, i, 0, bits == 64 ? 64 : 32, i == 0)) return false;
    op.a[i] = Row(op.nargs - before);
    int per = bits >= 32 ? 1 : 32 / bits;
    if (op.a[i] * per * 32 < sizes[i] || (op.a[i] * per * 32) % sizes[i])
      return b.fail(fmt::format("operand {} has {} registers, which do not hold its fragment",
                                i + 1, op.a[i]));
  }
  op.k[0] = uint8_t(m), op.k[1] = uint8_t(n), op.k[2] = uint8_t(k);
  op.k[3] = uint8_t(ea), op.k[4] = uint8_t(eb), op.k[5] = uint8_t(ed), op.k[6] = uint8_t(ec);
  op.k[7] = b.has("satfinite"), op.k[8] = b.has("xor");
  op.flags |= kFlagAligned;
  op.exec = wmma_multiply;
  return true;
}

}  // namespace tess::ptxsim
