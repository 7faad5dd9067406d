#include "jit/lower/lowprec.h"

#include <bit>
#include <cmath>

#include "isa/numerics.h"
#include "jit/lower/cast_element.h"
#include "jit/lower/packed_bits.h"

namespace tess::jit {
namespace {

constexpr uint32_t kAndXor = 0x6a;  // (a & b) ^ c, of lop3
constexpr uint32_t kOrAnd = 0xf8;   // a | (b & c)

bool is_half(DType t) { return t == dt::f16_ || t == dt::bf16_; }

uint32_t half_code(DType half, double v) { return static_cast<uint32_t>(encode_float(half, v)); }
uint32_t pair_code(DType half, double low, double high) {
  return half_code(half, low) | half_code(half, high) << 16;
}

// a*b + c on pairs; a product alone is added to -0, which changes nothing.
Operand fma2(Lowering& l, DType half, Operand a, uint32_t b, uint32_t c) {
  return l.emit().form1(half == dt::f16_ ? "fma.rn.f16x2" : "fma.rn.bf16x2", {a, b32(b), b32(c)});
}
Operand mul2(Lowering& l, DType half, Operand a, uint32_t b) {
  if (half == dt::f16_) return l.emit().form1("mul.rn.f16x2", {a, b32(b)});
  if (l.has_arch(90)) return l.emit().form1("mul.rn.bf16x2", {a, b32(b)});
  return fma2(l, half, a, b, 0x80008000);
}
Operand sub2(Lowering& l, DType half, Operand a, double low, double high) {
  if (half == dt::f16_) return l.emit().form1("sub.rn.f16x2", {a, b32(pair_code(half, low, high))});
  if (l.has_arch(90)) return l.emit().form1("sub.rn.bf16x2", {a, b32(pair_code(half, low, high))});
  return fma2(l, half, a, pair_code(half, 1, 1), pair_code(half, -low, -high));
}

template <class Pair>
Words for_pairs(const std::vector<int64_t>& order, Pair pair) {
  Words out;
  for (size_t r = 0; r < order.size(); r += 2)
    out.push_back(pair(order[r], r + 1 < order.size() ? order[r + 1] : order[r]));
  return out;
}

// f32 to pairs of f16 or bf16: one conversion for two.
Words narrow_pairs(Lowering& l, DType to, const Words& words, const std::vector<int64_t>& order) {
  std::string opcode = to == dt::f16_ ? "cvt.rn.f16x2.f32" : "cvt.rn.bf16x2.f32";
  return for_pairs(order, [&](int64_t low, int64_t high) {
    return l.emit().form1(opcode,
                          {words[static_cast<size_t>(high)], words[static_cast<size_t>(low)]});
  });
}

// bf16 is the upper half of an f32: a shift, or a mask.
Words widen_bf16(Lowering& l, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  Words out;
  for (int64_t r : order) {
    Operand w = words[static_cast<size_t>(r / 2)];
    out.push_back(e.op(BlockOp::as_f32, {r % 2 ? e.and_(w, b32(0xffff0000)) : e.shl(w, 16)}));
  }
  return out;
}

// Integers of N bits to pairs: a field v at place s of the mantissa of 2^m makes 2^m + v*2^s, so
// one lop3 masks and inserts, and one multiply-add gives v. A signed field has its sign bit flipped
// on the way, which makes it v + 2^(N-1).
Words ints_to_half(Lowering& l, DType half, DType from, const Words& words, int64_t n,
                   const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  int width = from.bits, mantissa = half == dt::f16_ ? 10 : 7;
  uint32_t one = half == dt::f16_ ? 0x6400 : 0x4300;  // 2^mantissa
  double big = std::ldexp(1.0, mantissa), shift = from.is_signed() ? std::ldexp(1.0, width - 1) : 0;
  uint32_t field = (1u << width) - 1, sign = from.is_signed() ? 1u << (width - 1) : 0;
  BitStream stream(l, words, n * width);
  return for_pairs(order, [&](int64_t low, int64_t high) {
    BitStream::Halves h = stream.halves(low * width, high * width, width, mantissa - width);
    uint32_t mask = field << h.at_low | field << h.at_high << 16;
    uint32_t insert = (one * 0x10001u) ^ (sign << h.at_low | sign << h.at_high << 16);
    Operand x = e.form1("lop3.b32", {h.word, b32(mask), b32(insert), b32(kAndXor)});
    double a = std::ldexp(1.0, -h.at_low), b = std::ldexp(1.0, -h.at_high);
    double from_low = big * a + shift, from_high = big * b + shift;
    if (!h.at_low && !h.at_high) return sub2(l, half, x, from_low, from_high);
    return fma2(l, half, x, pair_code(half, a, b), pair_code(half, -from_low, -from_high));
  });
}

// The same with the 23 bits of an f32's mantissa.
Words ints_to_f32(Lowering& l, DType from, const Words& words, int64_t n,
                  const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  int width = from.bits;
  BitStream stream(l, words, n * width);
  double shift = from.is_signed() ? std::ldexp(1.0, width - 1) : 0;
  uint32_t field = (1u << width) - 1, sign = from.is_signed() ? 1u << (width - 1) : 0;
  Words out;
  for (int64_t r : order) {
    int64_t bit = r * width, k = bit / 32 * 32;
    if (bit + width - k > 23) k = bit % 32 + width > 32 ? bit : k + 16;
    if (bit + width - k > 23 || bit < k) k = bit;
    uint32_t at = static_cast<uint32_t>(bit - k);
    Operand x = e.form1("lop3.b32", {stream.from(k, at + width), b32(field << at),
                                     b32(0x4b000000u ^ (sign << at)), b32(kAndXor)});
    Operand v = e.op(BlockOp::as_f32, {x});
    double scale = std::ldexp(1.0, -static_cast<int>(at)), from_v = std::ldexp(scale, 23) + shift;
    out.push_back(at ? e.form1("fma.rn.f32", {v, f32(static_cast<float>(scale)),
                                              f32(static_cast<float>(-from_v))})
                     : e.form1("sub.rn.f32", {v, f32(static_cast<float>(from_v))}));
  }
  return out;
}

// Bytes of e5m2 are the upper bytes of f16.
Words e5m2_to_f16(Lowering& l, const Words& words, const std::vector<int64_t>& order) {
  return for_pairs(order, [&](int64_t low, int64_t high) {
    Operand a = words[static_cast<size_t>(low / 4)], b = words[static_cast<size_t>(high / 4)];
    uint32_t x = static_cast<uint32_t>(low % 4), y = static_cast<uint32_t>(high % 4);
    if (a == b) return l.emit().form1("prmt.b32", {a, b32(0), b32(y << 12 | 4u << 8 | x << 4 | 4)});
    Operand both = l.emit().form1("prmt.b32", {a, b, b32((y + 4) << 12 | x << 4)});
    return l.emit().and_(both, b32(0xff00ff00));
  });
}

// Pairs of bytes by the conversion of sm_89.
Words fp8_to_f16(Lowering& l, DType from, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  std::string opcode = from.exp == 4 ? "cvt.rn.f16x2.e4m3x2" : "cvt.rn.f16x2.e5m2x2";
  return for_pairs(order, [&](int64_t low, int64_t high) {
    Operand a = words[static_cast<size_t>(low / 4)];
    if (high == low + 1 && low % 2 == 0) {
      auto [first, second] = e.halves(a);
      return e.form1(opcode, {low % 4 ? second : first});
    }
    uint32_t select = static_cast<uint32_t>(low % 4) | static_cast<uint32_t>(high % 4 + 4) << 4;
    Operand both = e.form1("prmt.b32", {a, words[static_cast<size_t>(high / 4)], b32(select)});
    return e.form1(opcode, {e.op(BlockOp::trunc16, {both})});
  });
}

// Four bits whose values have nothing in the lower byte of an f16: prmt is a table of 8 bytes for
// four codes at a time, and a second one spreads their signs.
bool fits_byte_table(DType t) {
  if (t.bits != 4 || t.specials() != Specials::none) return false;
  for (uint64_t code = 0; code < 8; ++code)
    if (encode_float(dt::f16_, decode_float(t, code)) & 0xff) return false;
  return true;
}
Words by_byte_table(Lowering& l, DType from, const Words& words,
                    const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  uint64_t table = 0;
  for (uint64_t code = 0; code < 8; ++code)
    table |= (encode_float(dt::f16_, decode_float(from, code)) >> 8) << (8 * code);
  // Upper bytes of elements 4q .. 4q+3.
  auto bytes = [&](int64_t q) {
    Operand w = words[static_cast<size_t>(q / 2)];
    if (q % 2) w = e.lshr(w, 16);
    Operand magnitude = e.form1("prmt.b32", {b32(table), b32(table >> 32), e.and_(w, b32(0x7777))});
    Operand signs = e.form1("prmt.b32", {b32(0x80808080), b32(0x80808080), w});  // 80, or ff
    return e.form1("lop3.b32", {magnitude, e.shl(signs, 1), b32(0x80808080), b32(kOrAnd)});
  };
  return for_pairs(order, [&](int64_t low, int64_t high) {
    Operand a = bytes(low / 4), b = bytes(high / 4);
    uint32_t x = static_cast<uint32_t>(low % 4), y = static_cast<uint32_t>(high % 4);
    if (a == b) return e.form1("prmt.b32", {a, b32(0), b32(y << 12 | 4u << 8 | x << 4 | 4)});
    return e.and_(e.form1("prmt.b32", {a, b, b32((y + 4) << 12 | x << 4)}), b32(0xff00ff00));
  });
}

// eXmY without special values: sign and magnitude go to their places in a half's code, as a number
// that is 2^(bias of the half - bias) times too small; subnormals come out right.
bool fits_rebias(DType to, DType from) {
  if (!from.is_small_float() || from.specials() != Specials::none) return false;
  int exponent = to == dt::f16_ ? 5 : 8, mantissa = to == dt::f16_ ? 10 : 7;
  return from.exp < exponent && from.man <= mantissa;
}
Words by_rebias(Lowering& l, DType half, DType from, const Words& words, int64_t n,
                const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  int width = from.bits, exponent = half == dt::f16_ ? 5 : 8, mantissa = 15 - exponent;
  uint32_t down = static_cast<uint32_t>(exponent - from.exp);
  uint32_t mask = ((1u << (width - 1)) - 1) << (mantissa - from.man);
  BitStream stream(l, words, n * width);
  uint32_t scale = half_code(half, std::ldexp(1.0, half.bias() - from.bias())) * 0x10001u;
  return for_pairs(order, [&](int64_t low, int64_t high) {
    // The sign at the top of each half.
    int64_t a = low * width - (16 - width), b = high * width - (16 - width);
    BitStream::Halves h = stream.halves(a, b, 16, 0);
    Operand magnitude = e.and_(e.lshr(h.word, down), b32(mask * 0x10001u));
    Operand x = e.form1("lop3.b32", {magnitude, h.word, b32(0x80008000), b32(kOrAnd)});
    return mul2(l, half, x, scale);
  });
}

// Through another packed type.
std::optional<Words> by_way_of(Lowering& l, DType to, DType over, DType from, const Words& words,
                               int64_t n, const std::vector<int64_t>& order) {
  auto first = cast_packed(l, over, from, words, n, order);
  if (!first) return {};
  std::vector<int64_t> same(order.size());
  for (size_t i = 0; i < same.size(); ++i) same[i] = static_cast<int64_t>(i);
  return cast_packed(l, to, over, *first, static_cast<int64_t>(order.size()), same);
}

Words widen_f16(Lowering& l, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  Words out;
  for (int64_t r : order) {
    auto [low, high] = e.halves(words[static_cast<size_t>(r / 2)]);
    out.push_back(e.form1("cvt.f32.f16", {r % 2 ? high : low}));
  }
  return out;
}

}  // namespace

std::optional<Words> cast_packed(Lowering& l, DType to, DType from, const Words& words, int64_t n,
                                 const std::vector<int64_t>& order) {
  bool small_int = from.is_int() && from.bits <= 8;
  if (from == dt::f32_ && is_half(to)) return narrow_pairs(l, to, words, order);
  if (from == dt::bf16_ && to == dt::f32_) return widen_bf16(l, words, order);
  if (from == dt::f16_ && to == dt::f32_) return widen_f16(l, words, order);
  if (small_int && to == dt::f32_) return ints_to_f32(l, from, words, n, order);
  if (small_int && is_half(to)) {
    if (from.bits <= (to == dt::f16_ ? 8 : 7)) return ints_to_half(l, to, from, words, n, order);
    return by_way_of(l, to, dt::f32_, from, words, n, order);
  }
  if (!from.is_small_float()) return {};
  if (to == dt::f16_) {
    if (from == dt::e5m2_) return e5m2_to_f16(l, words, order);
    if (from == dt::e4m3_ && l.has_arch(89)) return fp8_to_f16(l, from, words, order);
    if (fits_byte_table(from)) return by_byte_table(l, from, words, order);
  }
  if (is_half(to) && fits_rebias(to, from)) return by_rebias(l, to, from, words, n, order);
  if (to == dt::f32_) {
    if (from == dt::e5m2_ || (from == dt::e4m3_ && l.has_arch(89)) || fits_rebias(dt::f16_, from))
      return by_way_of(l, to, dt::f16_, from, words, n, order);
    if (fits_rebias(dt::bf16_, from)) return by_way_of(l, to, dt::bf16_, from, words, n, order);
  }
  if (to == dt::bf16_ && (from == dt::e5m2_ || (from == dt::e4m3_ && l.has_arch(89))))
    return by_way_of(l, to, dt::f32_, from, words, n, order);
  return {};
}

}  // namespace tess::jit
