// Elements and the packed words that hold them.
#include "isa/numerics.h"
#include "jit/lower/lowering.h"

namespace tess::jit {

RegClass word_class(DType t) {
  if (t.is_bool()) return RegClass::pred;
  if (t == dt::f32_) return RegClass::f32;
  if (t == dt::f64_) return RegClass::f64;
  return t.bits == 64 ? RegClass::b64 : RegClass::b32;
}

RegClass element_class(DType t) {
  return t.is_float() && t.bits == 16 ? RegClass::b16 : word_class(t);
}

int register_bits(DType t) { return t.is_bool() ? 1 : t.bits; }

size_t word_count(DType t, int64_t elements) {
  if (t.is_bool() || t.bits >= 32) return static_cast<size_t>(elements);
  return static_cast<size_t>((elements * t.bits + 31) / 32);
}

std::vector<Operand> Lowering::elements(DType t, const Words& words, int64_t n) {
  if (t.is_bool() || t.bits >= 32) return words;
  std::vector<Operand> out;
  uint32_t bits = t.bits;
  for (int64_t r = 0; r < n; ++r) {
    size_t word = static_cast<size_t>(r * bits / 32);
    uint32_t at = static_cast<uint32_t>(r * bits % 32);
    if (element_class(t) == RegClass::b16) {
      auto [low, high] = e_.halves(words[word]);
      out.push_back(at ? high : low);
      continue;
    }
    bool extend = t.is_signed();
    if (at + bits > 32) {  // straddles two words
      Operand both = e_.form1("shf.r.wrap.b32", {words[word], words[word + 1], b32(at)});
      out.push_back(extend ? e_.form1("bfe.s32", {both, b32(0), b32(bits)})
                           : e_.and_(both, b32((1u << bits) - 1)));
    } else if (extend) {
      out.push_back(at + bits == 32 ? e_.ashr(words[word], at)
                                    : e_.form1("bfe.s32", {words[word], b32(at), b32(bits)}));
    } else {
      out.push_back(e_.and_(e_.lshr(words[word], at), b32((1u << bits) - 1)));
    }
  }
  return out;
}

Words Lowering::pack(DType t, const std::vector<Operand>& elements) {
  if (t.is_bool() || t.bits >= 32) return elements;
  uint32_t bits = t.bits;
  Words out(word_count(t, static_cast<int64_t>(elements.size())), b32(0));
  if (element_class(t) == RegClass::b16) {
    for (size_t w = 0; w < out.size(); ++w) {
      Operand high =
          2 * w + 1 < elements.size() ? elements[2 * w + 1] : Operand::imm(0, RegClass::b16);
      out[w] = e_.join(elements[2 * w], high);
    }
    return out;
  }
  for (size_t r = 0; r < elements.size(); ++r) {
    size_t word = r * bits / 32;
    uint32_t at = static_cast<uint32_t>(r * bits % 32);
    Operand code = e_.and_(elements[r], b32((1u << bits) - 1));
    out[word] = e_.or_(out[word], e_.shl(code, at));
    if (at + bits > 32) out[word + 1] = e_.lshr(code, 32 - at);
  }
  return out;
}

Operand Lowering::splat(DType t, uint64_t code) {
  if (t.is_bool()) return pred(code != 0);
  if (t.bits == 64) return Operand::imm(code, word_class(t));
  if (t.bits == 32) return Operand::imm(code & 0xffffffff, word_class(t));
  uint64_t word = 0;
  code &= (uint64_t{1} << t.bits) - 1;
  if (t.bits == 16) word = code | code << 16;
  else word = code;  // codes that straddle words do not repeat: pack() does it
  return b32(word);
}

Operand Lowering::splat_word(DType t, Operand word) {
  if (t.is_bool() || t.bits >= 32) return word;
  if (t.bits == 16) {
    if (word.is_imm()) return b32((word.bits & 0xffff) * 0x10001);
    return e_.form1("prmt.b32", {word, word, b32(0x1010)});
  }
  return word;
}

Tile Lowering::constant_tile(Constant c) {
  Tile t;
  t.type = c.type;
  if (c.type.is_bool()) t.words = {pred(c.code != 0)};
  else if (c.type.bits >= 32)
    t.words = {Operand::imm(c.type.bits == 32 ? c.code & 0xffffffff : c.code, word_class(c.type))};
  else t.words = {b32(c.code & ((uint64_t{1} << c.type.bits) - 1))};
  return t;
}

}  // namespace tess::jit
