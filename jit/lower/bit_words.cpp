#include "jit/lower/bit_words.h"

namespace tess::jit {

Words bit_words(Lowering& l, const Words& words) {
  Emit& e = l.emit();
  Words stream;
  for (Operand w : words) {
    if (w.type == RegClass::f32) w = e.op(BlockOp::as_b32, {w});
    if (w.type == RegClass::f64) w = e.op(BlockOp::as_b64, {w});
    if (w.type == RegClass::b64) {
      auto [low, high] = e.halves(w);
      stream.push_back(low);
      stream.push_back(high);
    } else {
      stream.push_back(w);
    }
  }
  return stream;
}

Words words_of_bits(Lowering& l, DType t, const Words& bits) {
  Emit& e = l.emit();
  RegClass c = word_class(t);
  Words out;
  if (class_bytes(c) == 8) {
    for (size_t i = 0; i + 1 < bits.size(); i += 2) {
      Operand w = e.join(bits[i], bits[i + 1]);
      out.push_back(c == RegClass::f64 ? e.op(BlockOp::as_f64, {w}) : w);
    }
    return out;
  }
  for (const Operand& w : bits) out.push_back(c == RegClass::f32 ? e.op(BlockOp::as_f32, {w}) : w);
  return out;
}

}  // namespace tess::jit
