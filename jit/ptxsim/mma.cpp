// mma.sync: every dense shape and type. A lane holds words of 32 (f64: 64) bits; word w of row r
// lies in lane 4 (r mod 8) + w mod 4 - the one rule behind all layouts but m8n8k4 of f16.
#include "isa/diag/sim.h"

#include <fmt/format.h>
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/matrix.h"

namespace tess::ptxsim {
namespace {

struct Shape {
  int m, n, k;
};

int32_t saturate32(int64_t v, bool sat) {
  return sat ? int32_t(v > INT32_MAX   ? INT32_MAX
                       : v < INT32_MIN ? INT32_MIN
                                       : v)
             : int32_t(uint32_t(uint64_t(v)));
}

// args: d rows, a rows, b rows, c rows. k[0] m, k[1] n, imm k, k[2] type a, k[3] type b, k[4] d is
// f16, k[5] c is f16, k[6] satfinite, k[7] bit op (1 xor, 2 and)
constexpr int kMaxK = 256;

int words_of(int rows, int k, int bits) { return rows * k * bits / 32 / 32; }

void gather(const Warp& w, const Row* regs, int rows, int k, Elem e, auto put) {
  int bits = elem_bits(e), per = 32 / bits, row_regs = rows / 8, words = k * bits / 32;
  for (int wc = 0; wc < words; wc += 4)
    for (int half = 0; half < row_regs; ++half) {
      const uint32_t* reg = w.row32(regs[(wc / 4) * row_regs + half]);
      for (int l = 0; l < 32; ++l) {
        int row = l / 4 + 8 * half, col = (wc + l % 4) * per;
        uint32_t v = reg[l];
        for (int i = 0; i < per; ++i)
          put(row, col + i, bits == 32 ? v : (v >> (bits * i)) & ((1u << bits) - 1));
      }
    }
}

Flow mma_real(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  if (mask != ~0u)
    return report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp,
                        "mma needs all 32 lanes");
  int m = op.k[0], k = int(op.imm);
  Elem ea = Elem(op.k[2]), eb = Elem(op.k[3]);
  const Row *d = w.args(op), *a = d + (op.k[4] ? m / 8 : m / 4),
            *b = a + words_of(m, k, elem_bits(ea)), *c = b + words_of(8, k, elem_bits(eb));
  float fa[16 * 32], fb[32 * 8], acc[16 * 8];
  if (ea == Elem::f16 || ea == Elem::bf16) {
    // Fast: two elements per word.
    auto two = [&](uint32_t v, float& x, float& y) {
      if (ea == Elem::f16) x = half_to_float(v & 0xffff), y = half_to_float(v >> 16);
      else x = std::bit_cast<float>(v << 16), y = std::bit_cast<float>(v & 0xffff0000u);
    };
    for (int r = 0; r < k / 4; ++r) {
      const uint32_t* reg = w.row32(a[r]);
      int row0 = 8 * (r & 1), col0 = 8 * (r >> 1);
      for (int l = 0; l < 32; ++l)
        two(reg[l], fa[(row0 + l / 4) * k + col0 + 2 * (l % 4)],
            fa[(row0 + l / 4) * k + col0 + 2 * (l % 4) + 1]);
    }
    for (int r = 0; r < k / 8; ++r) {
      const uint32_t* reg = w.row32(b[r]);
      for (int l = 0; l < 32; ++l) {
        int x = 8 * r + 2 * (l % 4), n = l / 4;
        two(reg[l], fb[x * 8 + n], fb[(x + 1) * 8 + n]);
      }
    }
  } else {
    gather(w, a, m, k, ea, [&](int r, int x, uint32_t v) { fa[r * k + x] = elem_float(ea, v); });
    gather(w, b, 8, k, eb, [&](int n, int x, uint32_t v) { fb[x * 8 + n] = elem_float(eb, v); });
  }
  for (int half = 0; half < m / 8; ++half)
    for (int l = 0; l < 32; ++l) {
      float* at = &acc[(l / 4 + 8 * half) * 8 + 2 * (l % 4)];
      if (op.k[5]) {
        uint32_t v = w.row32(c[half])[l];
        at[0] = half_to_float(v & 0xffff), at[1] = half_to_float(v >> 16);
      } else {
        at[0] = std::bit_cast<float>(w.row32(c[2 * half])[l]),
        at[1] = std::bit_cast<float>(w.row32(c[2 * half + 1])[l]);
      }
    }
  multiply_float(acc, fa, fb, m, 8, k);
  for (int half = 0; half < m / 8; ++half)
    for (int l = 0; l < 32; ++l) {
      const float* at = &acc[(l / 4 + 8 * half) * 8 + 2 * (l % 4)];
      if (op.k[4]) {
        w.row32(d[half])[l] = float_to_half(at[0]) | float_to_half(at[1]) << 16;
      } else {
        w.row32(d[2 * half])[l] = std::bit_cast<uint32_t>(canonical(at[0]));
        w.row32(d[2 * half + 1])[l] = std::bit_cast<uint32_t>(canonical(at[1]));
      }
    }
  return Flow::next;
}

Flow mma_int(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  if (mask != ~0u)
    return report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp,
                        "mma needs all 32 lanes");
  int m = op.k[0], k = int(op.imm);
  Elem ea = Elem(op.k[2]), eb = Elem(op.k[3]);
  const Row *d = w.args(op), *a = d + m / 4, *b = a + words_of(m, k, elem_bits(ea)),
            *c = b + words_of(8, k, elem_bits(eb));
  static thread_local int32_t ia[16 * kMaxK], ib[kMaxK * 8];
  int64_t acc[16 * 8];
  gather(w, a, m, k, ea, [&](int r, int x, uint32_t v) { ia[r * k + x] = elem_int(ea, v); });
  gather(w, b, 8, k, eb, [&](int n, int x, uint32_t v) { ib[x * 8 + n] = elem_int(eb, v); });
  for (int i = 0; i < m / 4; ++i)
    for (int l = 0; l < 32; ++l)
      acc[(l / 4 + 8 * (i / 2)) * 8 + 2 * (l % 4) + i % 2] = int32_t(w.row32(c[i])[l]);
  if (op.k[7] == 1) {
    for (int r = 0; r < m; ++r)
      for (int n = 0; n < 8; ++n)
        for (int x = 0; x < k; ++x) acc[r * 8 + n] += ia[r * k + x] ^ ib[x * 8 + n];
  } else {
    multiply_int(acc, ia, ib, m, 8, k);
  }
  for (int i = 0; i < m / 4; ++i)
    for (int l = 0; l < 32; ++l)
      w.row32(d[i])[l] =
          uint32_t(saturate32(acc[(l / 4 + 8 * (i / 2)) * 8 + 2 * (l % 4) + i % 2], op.k[6]));
  return Flow::next;
}

Flow mma_double(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  if (mask != ~0u)
    return report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp,
                        "mma needs all 32 lanes");
  int m = op.k[0], k = int(op.imm), rr = m / 8;
  const Row *d = w.args(op), *a = d + m / 4, *b = a + rr * k / 4, *c = b + k / 4;
  double fa[16][16], fb[16][8];
  for (int i = 0; i < rr * k / 4; ++i)
    for (int l = 0; l < 32; ++l)
      fa[l / 4 + 8 * (i % rr)][l % 4 + 4 * (i / rr)] = std::bit_cast<double>(w.row64(a[i])[l]);
  for (int i = 0; i < k / 4; ++i)
    for (int l = 0; l < 32; ++l) fb[l % 4 + 4 * i][l / 4] = std::bit_cast<double>(w.row64(b[i])[l]);
  double out[4][32];
  for (int i = 0; i < m / 4; ++i)
    for (int l = 0; l < 32; ++l) {
      int row = l / 4 + 8 * (i / 2), col = 2 * (l % 4) + i % 2;
      double s = std::bit_cast<double>(w.row64(c[i])[l]);
      for (int x = 0; x < k; ++x) s = std::fma(fa[row][x], fb[x][col], s);
      out[i][l] = s;
    }
  for (int i = 0; i < m / 4; ++i)
    for (int l = 0; l < 32; ++l) w.row64(d[i])[l] = std::bit_cast<uint64_t>(canonical(out[i][l]));
  return Flow::next;
}

// m8n8k4 of f16: four products side by side, one per pair of quads. k[8] a is column-major, k[9] b
// is row-major
Flow mma_quads(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  if (mask != ~0u)
    return report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp,
                        "mma needs all 32 lanes");
  const Row *d = w.args(op), *a = d + (op.k[4] ? 4 : 8), *b = a + 2, *c = b + 2;
  float ma[4][8][4], mb[4][4][8], mc[4][8][8];
  auto half_of = [&](const Row* rows, int i, int l) {
    return half_to_float(w.row32(rows[i / 2])[l] >> (16 * (i & 1)) & 0xffff);
  };
  auto place = [&](bool is_half, int i, int l, int& row, int& col) {
    if (is_half) row = l % 4 + (l < 16 ? 0 : 4), col = i;
    else row = (l & 1) + (i & 2) + (l < 16 ? 0 : 4), col = (i & 4) + (l & 2) + (i & 1);
  };
  for (int l = 0; l < 32; ++l) {
    int q = (l % 16) / 4, high = l < 16 ? 0 : 4;
    for (int i = 0; i < 4; ++i) {
      if (op.k[8]) ma[q][i + high][l % 4] = half_of(a, i, l);
      else ma[q][l % 4 + high][i] = half_of(a, i, l);
      if (op.k[9]) mb[q][l % 4][i + high] = half_of(b, i, l);
      else mb[q][i][l % 4 + high] = half_of(b, i, l);
    }
    for (int i = 0; i < 8; ++i) {
      int row, col;
      place(op.k[5], i, l, row, col);
      mc[q][row][col] = op.k[5] ? half_of(c, i, l) : std::bit_cast<float>(w.row32(c[i])[l]);
    }
  }
  for (int q = 0; q < 4; ++q)
    for (int i = 0; i < 8; ++i)
      for (int j = 0; j < 8; ++j)
        for (int x = 0; x < 4; ++x) mc[q][i][j] += ma[q][i][x] * mb[q][x][j];
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 8; ++i) {
      int row, col, q = (l % 16) / 4;
      place(op.k[4], i, l, row, col);
      float v = mc[q][row][col];
      if (!op.k[4]) w.row32(d[i])[l] = std::bit_cast<uint32_t>(canonical(v));
      else if (i & 1)
        w.row32(d[i / 2])[l] = (w.row32(d[i / 2])[l] & 0xffff) | float_to_half(v) << 16;
      else w.row32(d[i / 2])[l] = (w.row32(d[i / 2])[l] & 0xffff0000u) | float_to_half(v);
    }
  return Flow::next;
}

}  // namespace

bool parse_shape(std::string_view s, int& m, int& n, int& k) {
  int* to = nullptr;
  m = n = k = 0;
  for (char c : s) {
    if (c == 'm') to = &m;
    else if (c == 'n') to = &n;
    else if (c == 'k') to = &k;
    else if (to && c >= '0' && c <= '9') *to = *to * 10 + (c - '0');
    else return false;
  }
  return m && n && k;
}

bool vector_rows(Builder& b, size_t i, size_t count, int bits, bool destination) {
  if (i >= b.count()) return b.fail("too few operands");
  const Operand& o = b.in.operands[i];
  std::vector<const Operand*> list;
  if (o.kind == OpKind::vector)
    for (auto& e : o.elems) list.push_back(&e);
  else list.push_back(&o);
  if (count && list.size() != count)
    return b.fail(
        fmt::format("operand {} has {} registers, {} are needed", i + 1, list.size(), count));
  for (auto* e : list)
    b.add_arg(destination ? b.destination(*e, bits)
                          : b.source(*e, bits, bits >= 32 && e->kind != OpKind::integer));
  return b.ok();
}

bool build_mma(Builder& b) {
  if (!b.expect_operands(4)) return false;
  int m, n, k;
  if (!parse_shape(b.mod(2), m, n, k)) return b.fail("unknown shape");
  size_t types = 5;
  while (b.mod(types) == "satfinite" || b.mod(types) == "rn" || b.mod(types) == "rz" ||
         b.mod(types) == "rm" || b.mod(types) == "rp")
    ++types;
  std::string_view td = b.mod(types), tc = b.mod(types + 3);
  Elem ea, eb;
  if (!find_elem(b.mod(types + 1), ea) || !find_elem(b.mod(types + 2), eb))
    return b.fail("unknown type");
  Op& op = b.op;
  op.k[0] = uint8_t(m), op.k[1] = uint8_t(n), op.imm = k;
  op.k[2] = uint8_t(ea), op.k[3] = uint8_t(eb);
  op.k[4] = td == "f16", op.k[5] = tc == "f16";
  op.k[6] = b.has("satfinite");
  op.k[7] = b.has("xor") ? 1 : b.has("and") ? 2 : 0;
  op.flags |= kFlagAligned | kFlagCollective;
  bool quads = m == 8 && k == 4 && ea == Elem::f16;
  int wide = ea == Elem::f64 ? 64 : 32;
  size_t dn = quads ? (op.k[4] ? 4 : 8) : size_t(op.k[4] ? m / 8 : m / 4),
         cn = quads ? (op.k[5] ? 4 : 8) : size_t(op.k[5] ? m / 8 : m / 4);
  size_t an = quads             ? 2
              : ea == Elem::f64 ? size_t(m / 8 * k / 4)
                                : size_t(words_of(m, k, elem_bits(ea)));
  size_t bn = quads ? 2 : ea == Elem::f64 ? size_t(k / 4) : size_t(words_of(8, k, elem_bits(eb)));
  if (!vector_rows(b, 0, dn, wide, true) || !vector_rows(b, 1, an, wide, false) ||
      !vector_rows(b, 2, bn, wide, false) || !vector_rows(b, 3, cn, wide, false))
    return false;
  op.k[8] = b.mod(3) == "col", op.k[9] = b.mod(4) == "row";
  op.exec = quads ? mma_quads : ea == Elem::f64 ? mma_double : is_integer(ea) ? mma_int : mma_real;
  return true;
}

}  // namespace tess::ptxsim
