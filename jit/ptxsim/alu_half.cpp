// f16, bf16 and their pairs. Sums, differences and products go through f32 (24 bits are more than
// twice 11, so rounding twice is harmless); fma through a double rounded to odd.
#include "jit/ptxsim/half.h"

#include <cmath>

#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

// k[0] bf16, k[1] ftz, k[2] sat, k[3] kind, k[4] NaN, k[5] xorsign, k[6] relu, k[7] oob
template <class F>
Flow each_half(Warp& w, const Op& op, uint32_t mask, int sources, F f) {
  const uint32_t* s[3] = {};
  for (int i = 0; i < sources; ++i) s[i] = w.row32(op.a[1 + i]);
  uint32_t* d = w.row32(op.a[0]);
  bool pair = op.k[9];
  each_lane(mask, [&](int l) {
    uint32_t v[3] = {};
    for (int i = 0; i < sources; ++i) v[i] = s[i][l];
    uint32_t r = f(v[0] & 0xffff, v[1] & 0xffff, v[2] & 0xffff) & 0xffff;
    if (pair) r |= f(v[0] >> 16, v[1] >> 16, v[2] >> 16) << 16;
    d[l] = r;
  });
  return Flow::next;
}

uint32_t flush_half(uint32_t h) { return (h & 0x7c00) == 0 ? h & 0x8000 : h; }

uint32_t finish(const Op& op, uint32_t h) {
  bool bf = op.k[0];
  if (op.k[1] && !bf) h = flush_half(h);
  bool nan = bf ? (h & 0x7fff) > 0x7f80 : (h & 0x7fff) > 0x7c00;
  if (op.k[2]) {
    if (nan || (h & 0x8000)) return 0;
    return std::min(h, bf ? 0x3f80u : 0x3c00u);
  }
  if (op.k[6] && !nan && (h & 0x8000)) return 0;
  return h;
}

Flow half_binary(Warp& w, const Op& op, uint32_t mask) {
  bool bf = op.k[0];
  return each_half(w, op, mask, 2, [&](uint32_t a, uint32_t b, uint32_t) -> uint32_t {
    if (op.k[1] && !bf) a = flush_half(a), b = flush_half(b);
    return finish(op, half_operation(op.k[3], bf, op.k[4], op.k[5], a, b));
  });
}

Flow half_fma(Warp& w, const Op& op, uint32_t mask) {
  bool bf = op.k[0];
  return each_half(w, op, mask, 3, [&](uint32_t a, uint32_t b, uint32_t c) -> uint32_t {
    if (op.k[1] && !bf) a = flush_half(a), b = flush_half(b), c = flush_half(c);
    // .oob: an operand that is the out-of-bounds NaN pattern forces the result to zero.
    if (op.k[7] && ((a & 0xffff) == 0xffff || (b & 0xffff) == 0xffff)) return 0;
    double p = half_value(bf, a) * half_value(bf, b);
    double r = add_to_odd(p, half_value(bf, c));
    return finish(op, uint32_t(round_double(bf ? kBF16 : kF16, r, Rnd::rn, false)));
  });
}

Flow half_unary(Warp& w, const Op& op, uint32_t mask) {
  bool bf = op.k[0];
  return each_half(w, op, mask, 1, [&](uint32_t a, uint32_t, uint32_t) -> uint32_t {
    if (op.k[1]) a = bf ? ((a & 0x7f80) == 0 ? a & 0x8000 : a) : flush_half(a);
    bool nan = bf ? (a & 0x7fff) > 0x7f80 : (a & 0x7fff) > 0x7c00;
    if (nan) return 0x7fff;
    switch (op.k[3]) {
      case 0:
        return a & 0x7fff;
      case 1:
        return a ^ 0x8000;
      case 2:
        return uint32_t(
            round_double(bf ? kBF16 : kF16, std::tanh(half_value(bf, a)), Rnd::rn, false));
      default: {
        uint32_t r =
            uint32_t(round_double(bf ? kBF16 : kF16, std::exp2(half_value(bf, a)), Rnd::rn, false));
        return op.k[1] && bf && (r & 0x7f80) == 0 ? r & 0x8000 : r;
      }
    }
  });
}

void set_type(Builder& b, std::string_view t) {
  b.op.k[0] = t.substr(0, 2) == "bf";
  b.op.k[9] = t.size() > 2 && t.substr(t.size() - 2) == "x2";
  b.op.k[1] = b.has("ftz");
  b.op.k[2] = b.has("sat");
  b.op.k[4] = b.has("NaN");
  b.op.k[5] = b.has("xorsign");
  b.op.k[6] = b.has("relu");
  b.op.k[7] = b.has("oob");
}

}  // namespace

uint32_t half_operation(int kind, bool bf, bool nan, bool xorsign, uint32_t a, uint32_t b) {
  float x = bf ? bf16_to_float(a) : half_to_float(a), y = bf ? bf16_to_float(b) : half_to_float(b),
        r;
  switch (kind) {
    case kHalfAdd:
      r = x + y;
      break;
    case kHalfSub:
      r = x - y;
      break;
    case kHalfMul:
      r = x * y;
      break;
    default: {
      uint32_t sign = xorsign ? (a ^ b) & 0x8000 : 0;
      if (xorsign) a &= 0x7fff, b &= 0x7fff, x = std::fabs(x), y = std::fabs(y);
      bool max = kind == kHalfMax;
      if (x != x || y != y) {
        if (nan || (x != x && y != y)) return 0x7fff;
        uint32_t keep = x != x ? b : a;
        return xorsign ? (keep & 0x7fff) | sign : keep;
      }
      uint32_t keep = x == y ? (max == bool(a & 0x8000) ? b : a) : ((x < y) != max ? a : b);
      return xorsign ? (keep & 0x7fff) | sign : keep;
    }
  }
  return bf ? float_to_bf16(r) : float_to_half(r);
}

bool build_half_binary(Builder& b) {
  if (!b.expect_operands(3)) return false;
  std::string_view t = b.last_mod(), o = b.opcode();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, bits);
  set_type(b, t);
  b.op.k[3] = o == "add"   ? kHalfAdd
              : o == "sub" ? kHalfSub
              : o == "mul" ? kHalfMul
              : o == "min" ? kHalfMin
                           : kHalfMax;
  b.op.exec = half_binary;
  return true;
}

bool build_half_fma(Builder& b) {
  if (!b.expect_operands(4)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, bits);
  set_type(b, b.last_mod());
  b.op.exec = half_fma;
  return true;
}

bool build_half_unary(Builder& b) {
  if (!b.expect_operands(2)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  set_type(b, b.last_mod());
  std::string_view o = b.opcode();
  b.op.k[3] = o == "abs" ? 0 : o == "neg" ? 1 : o == "tanh" ? 2 : 3;
  b.op.exec = half_unary;
  return true;
}

}  // namespace tess::ptxsim
