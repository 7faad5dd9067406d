#include "jit/lower/lowprec.h"

#include "jit/lower/cast_element.h"

namespace tess::jit {
namespace {

bool is_half(DType t) { return t == dt::f16_ || t == dt::bf16_; }

// f32 to pairs of f16 or bf16: one conversion for two.
Words narrow_pairs(Lowering& l, DType to, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  std::string opcode = to == dt::f16_ ? "cvt.rn.f16x2.f32" : "cvt.rn.bf16x2.f32";
  Words out;
  for (size_t r = 0; r < order.size(); r += 2) {
    Operand low = words[static_cast<size_t>(order[r])];
    Operand high = r + 1 < order.size() ? words[static_cast<size_t>(order[r + 1])] : f32(0);
    out.push_back(e.form1(opcode, {high, low}));
  }
  return out;
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

}  // namespace

std::optional<Words> cast_packed(Lowering& l, DType to, DType from, const Words& words, int64_t n,
                                 const std::vector<int64_t>& order) {
  if (from == dt::f32_ && is_half(to)) return narrow_pairs(l, to, words, order);
  if (from == dt::bf16_ && to == dt::f32_) return widen_bf16(l, words, order);
  return {};
}

}  // namespace tess::jit
