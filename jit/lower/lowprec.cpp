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
constexpr uint32_t kAndOr = 0xea;   // (a & b) | c
constexpr uint32_t kSelect = 0xe4;  // c ? a : b

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

// Bytes to pairs of halves, or to f32: prmt sets them into the mantissa of 2^m. Signed ones have
// their sign bits flipped on the way, which makes them v + 128.
Words flipped(Lowering& l, DType from, const Words& words) {
  if (!from.is_signed()) return words;
  Words out;
  for (const Operand& w : words) out.push_back(l.emit().xor_(w, b32(0x80808080)));
  return out;
}
Words bytes_to_half(Lowering& l, DType half, DType from, const Words& words,
                    const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  double shift = from.is_signed() ? 128 : 0;
  bool f16 = half == dt::f16_;
  Words out;
  for (const Operand& w : flipped(l, from, bytes_in_order(l, words, order)))
    for (uint32_t low : {0u, 2u}) {
      if (out.size() * 2 >= order.size()) break;
      Operand x = e.form1("prmt.b32", {w, b32(f16 ? 0x64646464 : 0x43434343),
                                       b32(low | 4u << 4 | (low + 1) << 8 | 4u << 12)});
      if (f16) {
        out.push_back(sub2(l, half, x, 1024 + shift, 1024 + shift));
        continue;
      }
      // bf16 has seven bits: x is 128 + v, and 2v from 128 on. v is the less of x - 128 and x/2.
      Operand below =
          fma2(l, half, x, pair_code(half, 1, 1), pair_code(half, -128 - shift, -128 - shift));
      Operand above = fma2(l, half, x, pair_code(half, 0.5, 0.5),
                           shift ? pair_code(half, -shift, -shift) : 0x80008000);
      out.push_back(e.form1("min.bf16x2", {below, above}));
    }
  return out;
}
Words bytes_to_f32(Lowering& l, DType from, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  Words source = flipped(l, from, words), out;
  float big = from.is_signed() ? 0x1p23f + 128 : 0x1p23f;
  for (int64_t r : order) {
    Operand x = e.form1("prmt.b32", {source[static_cast<size_t>(r / 4)], b32(0x4b000000),
                                     b32(0x7440u | static_cast<uint32_t>(r % 4))});
    out.push_back(e.form1("sub.rn.f32", {e.op(BlockOp::as_f32, {x}), f32(big)}));
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

// Sign and magnitude of four bits: prmt is a table of 8 bytes for four codes at a time.
bool fits_byte_table(DType half, DType t, const std::vector<int64_t>& order) {
  if (t.bits != 4 || !t.is_small_float()) return false;
  bool low_bytes = false;
  for (uint64_t code = 0; code < 8; ++code)
    low_bytes |= (encode_float(half, decode_float(t, code)) & 0xff) != 0;
  for (size_t r = 0; low_bytes && r + 1 < order.size(); r += 2)
    if (order[r] / 4 != order[r + 1] / 4) return false;
  return true;
}
Words by_byte_table(Lowering& l, DType half, DType from, const Words& words,
                    const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  uint64_t upper = 0, lower = 0;
  for (uint64_t code = 0; code < 8; ++code) {
    uint64_t value = encode_float(half, decode_float(from, code));
    upper |= (value >> 8 | 0x80) << (8 * code);
    lower |= (value & 0xff) << (8 * code);
  }
  auto look_up = [&](uint64_t table, Operand codes) {
    return e.form1("prmt.b32", {b32(table), b32(table >> 32), codes});
  };
  // Bytes of elements 4q .. 4q+3. A selector with its fourth bit set gives the sign of the byte it
  // names: 40 becomes 0, so that the difference has the sign at the top.
  auto bytes = [&](int64_t q) {
    Operand w = words[static_cast<size_t>(q / 2)], codes = e.and_(w, b32(0x77777777));
    if (q % 2) w = e.lshr(w, 16), codes = e.lshr(codes, 16);
    Operand positive = look_up(0x4040404040404040, w);
    Operand high = e.form1("mad.lo.s32", {positive, b32(0xfffffffe), look_up(upper, codes)});
    return std::pair(high, lower ? look_up(lower, codes) : b32(0));
  };
  return for_pairs(order, [&](int64_t low, int64_t high) {
    auto [a, a_low] = bytes(low / 4);
    uint32_t x = static_cast<uint32_t>(low % 4), y = static_cast<uint32_t>(high % 4);
    if (low / 4 == high / 4)
      return e.form1("prmt.b32", {a, a_low, b32(y << 12 | (y + 4) << 8 | x << 4 | (x + 4))});
    Operand b = bytes(high / 4).first;
    return e.and_(e.form1("prmt.b32", {a, b, b32((y + 4) << 12 | x << 4)}), b32(0xff00ff00));
  });
}

// eXmY: sign and magnitude go to their places in a half's code, as a number that is
// 2^(bias of the half - bias) times too small; subnormals come out right.
//
//   prmt     [ any | seee mm.. | ssss ssss | SEEE MM.. ]    the middle byte: the sign of the one
//   below shift    [ ... | sss eeemm | ......... | SSS EEEMM ]    arithmetic: each half takes its
//   own sign along mask     [  0  | s00 eeemm |     0     | S00 EEEMM ]
bool fits_rebias(DType to, DType from) {
  int exponent = to == dt::f16_ ? 5 : 8, mantissa = to == dt::f16_ ? 10 : 7;
  return from.is_small_float() && from.specials() != Specials::ieee && from.exp < exponent &&
         from.man <= mantissa;
}
// All bits of the bytes of `from` that are NaN.
Operand nan_bytes(Emit& e, Operand w) { return e.add(e.and_(w, b32(0x7f7f7f7f)), b32(0x01010101)); }
Words by_rebias(Lowering& l, DType half, DType from, const Words& words, int64_t n,
                const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  int width = from.bits, exponent = half == dt::f16_ ? 5 : 8, mantissa = 15 - exponent;
  uint32_t down = static_cast<uint32_t>(exponent - from.exp);
  uint32_t keep = 0x8000 | ((1u << (width - 1)) - 1) << (mantissa - from.man);
  BitStream stream(l, words, n * width);
  uint32_t scale = half_code(half, std::ldexp(1.0, half.bias() - from.bias())) * 0x10001u;
  bool has_nan = from.specials() == Specials::nan_only;
  return for_pairs(order, [&](int64_t low, int64_t high) {
    BitStream::Byte a = stream.top_byte(low * width, width),
                    b = stream.top_byte(high * width, width);
    uint32_t x = a.number, y = b.number + (a.word == b.word ? 0 : 4);
    Operand both = e.form1("prmt.b32", {a.word, b.word, b32(y << 12 | (x | 8) << 8 | x << 4 | x)});
    Operand code = e.ashr(both, down);
    if (has_nan) {
      Operand nan = e.form1("prmt.b32", {nan_bytes(e, a.word), nan_bytes(e, b.word),
                                         b32((y | 8) * 0x1100u | (x | 8) * 0x11u)});
      code = e.form1("lop3.b32", {code, b32(keep * 0x10001u), nan, b32(kAndOr)});
    } else {
      code = e.and_(code, b32(keep * 0x10001u));
    }
    return mul2(l, half, code, scale);
  });
}

// e5mY without special values has the exponent of f16; what is infinite or NaN there is too large.
bool fits_top(DType from) {
  return from.is_small_float() && from.specials() == Specials::none && from.exp == 5;
}
Words by_top(Lowering& l, DType from, const Words& words, int64_t n,
             const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  int width = from.bits;
  uint32_t magnitude = (0x7fffu & ~((1u << (16 - width)) - 1)) * 0x10001u;
  BitStream stream(l, words, n * width);
  return for_pairs(order, [&](int64_t low, int64_t high) {
    BitStream::Byte a = stream.top_byte(low * width, width),
                    b = stream.top_byte(high * width, width);
    uint32_t x = a.number, y = b.number + (a.word == b.word ? 0 : 4);
    Operand both = e.form1("prmt.b32", {a.word, b.word, b32(y << 12 | x << 8 | x << 4 | x)});
    if (from.man == 0) return e.and_(both, b32(magnitude | 0x80008000));
    Operand finite = e.form1("min.f16x2", {e.and_(both, b32(magnitude)), b32(0x7c007c00)});
    return e.form1("lop3.b32", {finite, both, b32(0x80008000), b32(kOrAnd)});
  });
}

// Exponents of more than 5 bits to f16, which rounds: two f32 by one multiply-add of 64 bits. Codes
// below the smallest normal number come out wrong, and round to zero all the same.
//
//   prmt      [ SSSS SSSS | SEEE EEEM | ssss ssss | seee eeem ]
//   mask      [ 0000 00S0 | 0EEE EEEM | 0000 00s0 | 0eee eeem ]   signs as far above as in an f32
//   mad.wide  low word: the f32 of the lower half; high word: that of the upper, 16 bits too low
bool fits_wide_multiply(DType from) {
  return from.is_small_float() && from.specials() == Specials::none && from.exp > 5;
}
Words by_wide_multiply(Lowering& l, DType from, const Words& words, int64_t n,
                       const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  int width = from.bits, exp = from.exp;
  uint32_t magnitude = 0x7fu & ~((1u << (8 - width)) - 1);
  uint32_t mask = (magnitude | 1u << (15 - exp)) * 0x10001u;
  uint32_t scale = 1u << (16 + exp), bias = static_cast<uint32_t>(127 - from.bias()) << 23;
  BitStream stream(l, words, n * width);
  return for_pairs(order, [&](int64_t low, int64_t high) {
    BitStream::Byte a = stream.top_byte(low * width, width),
                    b = stream.top_byte(high * width, width);
    uint32_t x = a.number, y = b.number + (a.word == b.word ? 0 : 4);
    Operand both =
        e.form1("prmt.b32", {a.word, b.word, b32((y | 8) << 12 | y << 8 | (x | 8) << 4 | x)});
    Operand two = e.form1("mad.wide.u32", {e.and_(both, b32(mask)), b32(scale), b64(bias)});
    auto [first, second] = e.halves(two);
    second = e.form1("mad.lo.s32", {second, b32(0x10000), b32(bias)});
    return e.form1("cvt.rn.f16x2.f32",
                   {e.op(BlockOp::as_f32, {second}), e.op(BlockOp::as_f32, {first})});
  });
}

// Bytes of e4m3 to f16, four at a time. One bit says NaN and takes the place below the sign, which
// is free; a rotation by one bit sets upper and lower bytes of the halves' codes into two words.
Words fp8_by_bytes(Lowering& l, DType from, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  uint32_t scale = half_code(dt::f16_, std::ldexp(1.0, dt::f16_.bias() - from.bias())) * 0x10001u;
  Words out;
  for (const Operand& w : bytes_in_order(l, words, order)) {
    Operand magnitude = e.and_(w, b32(0x7f7f7f7f));
    Operand marked =
        e.form1("lop3.b32", {magnitude, nan_bytes(e, w), b32(0x80808080), b32(kOrAnd)});
    Operand turned = e.form1("shf.r.wrap.b32", {marked, marked, b32(1)});
    Operand high = e.form1("lop3.b32", {turned, w, b32(0x7f7f7f7f), b32(kSelect)});
    Operand low = e.and_(turned, b32(0x80808080));
    for (uint32_t select : {0x5043u, 0x7261u}) {
      if (out.size() * 2 >= order.size()) break;
      out.push_back(mul2(l, dt::f16_, e.form1("prmt.b32", {low, high, b32(select)}), scale));
    }
  }
  return out;
}

// Integers to bytes. A signed field's sign bit is flipped, so that it is v + 2^(N-1), and what is
// missing to v + 128 added, which carries nothing.
Words ints_to_bytes(Lowering& l, DType from, const Words& words, int64_t n,
                    const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  if (from.bits == 8) return bytes_in_order(l, words, order);
  uint32_t field = ((1u << from.bits) - 1) * 0x01010101, half = 1u << (from.bits - 1);
  BitStream stream(l, words, n * from.bits);
  Words sources;
  std::vector<int64_t> places;
  for (int64_t r : order) {
    // The byte that begins with the field.
    BitStream::Byte b = stream.top_byte(r * from.bits, 8);
    size_t at = 0;
    while (at < sources.size() && !(sources[at] == b.word)) ++at;
    if (at == sources.size()) sources.push_back(b.word);
    places.push_back(static_cast<int64_t>(at) * 4 + b.number);
  }
  Words out;
  for (const Operand& w : bytes_in_order(l, sources, places)) {
    if (!from.is_signed()) {
      out.push_back(e.and_(w, b32(field)));
      continue;
    }
    Operand x = e.form1("lop3.b32", {w, b32(field), b32(half * 0x01010101), b32(kAndXor)});
    x = e.add(x, b32((0x80 - half) * 0x01010101));
    out.push_back(e.xor_(x, b32(0x80808080)));
  }
  return out;
}

// f16 or f32 to bytes of e4m3 or e5m2, two at a time.
Words to_fp8(Lowering& l, DType to, DType from, const Words& words,
             const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  std::string opcode = std::string("cvt.rn.satfinite.") + (to.exp == 4 ? "e4m3x2." : "e5m2x2.") +
                       (from == dt::f32_ ? "f32" : "f16x2");
  auto pair = [&](int64_t low, int64_t high) {
    if (from == dt::f32_)
      return e.form1(opcode, {words[static_cast<size_t>(high)], words[static_cast<size_t>(low)]});
    Operand a = words[static_cast<size_t>(low / 2)], b = words[static_cast<size_t>(high / 2)];
    if (!(low % 2 == 0 && high == low + 1))
      a = e.form1("prmt.b32",
                  {a, b, b32((low % 2 ? 0x32u : 0x10u) | (high % 2 ? 0x7600u : 0x5400u))});
    return e.form1(opcode, {a});
  };
  Words out;
  for (size_t r = 0; r < order.size(); r += 4) {
    auto at = [&](size_t i) { return order[std::min(r + i, order.size() - 1)]; };
    out.push_back(e.join(pair(at(0), at(1)), pair(at(2), at(3))));
  }
  return out;
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
  bool small_int = from.is_int() && from.bits <= 8, to_half = is_half(to);
  if (from == dt::f32_ && to_half) return narrow_pairs(l, to, words, order);
  if (from == dt::bf16_ && to == dt::f32_) return widen_bf16(l, words, order);
  if (from == dt::f16_ && to == dt::f32_) return widen_f16(l, words, order);
  if (small_int && from.bits == 8 && to_half) return bytes_to_half(l, to, from, words, order);
  if (small_int && from.bits == 8 && to == dt::f32_) return bytes_to_f32(l, from, words, order);
  if (small_int && to_half) return ints_to_half(l, to, from, words, n, order);
  if (small_int && to == dt::f32_) return ints_to_f32(l, from, words, n, order);
  if (small_int && (to == dt::i8_ || to == dt::u8_)) return ints_to_bytes(l, from, words, n, order);
  if ((to == dt::e4m3_ || to == dt::e5m2_) && l.has_arch(89)) {
    if (from == dt::f16_ || from == dt::f32_) return to_fp8(l, to, from, words, order);
    if (small_int || from.is_small_float())
      return by_way_of(l, to, dt::f16_, from, words, n, order);
    if (from == dt::bf16_) return by_way_of(l, to, dt::f32_, from, words, n, order);
  }
  if (!from.is_small_float()) return {};
  bool fp8 = from == dt::e4m3_, converts = fp8 && l.has_arch(89);
  if (to == dt::f16_) {
    if (from == dt::e5m2_) return e5m2_to_f16(l, words, order);
    if (converts) return fp8_to_f16(l, from, words, order);
    if (fp8) return fp8_by_bytes(l, from, words, order);
    if (fits_top(from)) return by_top(l, from, words, n, order);
  }
  if (to_half && fits_byte_table(to, from, order)) return by_byte_table(l, to, from, words, order);
  bool by_f16 = fp8 || from == dt::e5m2_ || fits_rebias(dt::f16_, from);
  if (to == dt::f32_) return by_way_of(l, to, by_f16 ? dt::f16_ : dt::bf16_, from, words, n, order);
  if (to == dt::bf16_ && (from == dt::e5m2_ || converts))
    return by_way_of(l, to, dt::f32_, from, words, n, order);
  if (to_half && fits_rebias(to, from)) return by_rebias(l, to, from, words, n, order);
  if (to == dt::f16_ && fits_wide_multiply(from)) return by_wide_multiply(l, from, words, n, order);
  return {};
}

}  // namespace tess::jit
