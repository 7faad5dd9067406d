// Arithmetic on elements and on packed words, shared by the elementwise instructions, reductions,
// scans and sorts. Exact as ISA.md section 2 has it.
//
// Elements are as Lowering::elements gives them. A result of integer arithmetic below 32 bits may
// have rubbish above its width: pack() drops it, `normalised` removes it.
#pragma once
#include <vector>

#include "jit/lower/lowering.h"

namespace tess::jit {

enum class Binary : uint8_t {
  add,
  sub,
  mul,
  mulhi,
  div,
  rem,
  min,
  max,
  min_nan,
  max_nan,
  and_,
  or_,
  xor_
};
enum class Compare : uint8_t { eq, ne, lt, le, gt, ge };

Operand normalised(Lowering& l, DType t, Operand element);
Operand binary_element(Lowering& l, Binary op, DType t, Operand a, Operand b);
Operand compare_elements(Lowering& l, Compare c, DType t, Operand a, Operand b);
// Of any float element.
Operand is_nan_element(Lowering& l, DType t, Operand a);
// The instruction that does whole words of type t, all of whose bits are elements or rubbish.
// Operands are words; none if elements must be taken apart.
std::optional<Operand> binary_word(Lowering& l, Binary op, DType t, Operand a, Operand b);
Words binary_words(Lowering& l, Binary op, DType t, const Words& a, const Words& b, int64_t n);

// A number whose unsigned order is that of the elements (b32 or b64): -0 equals 0, NaN last.
Operand order_key(Lowering& l, DType t, Operand element, bool descending);
// The type in which elements are best carried and combined: f32 for 16-bit floats, 32-bit integers
// for narrower ones and bool; and elements in it and back.
DType work_type(DType t);
Operand to_work(Lowering& l, DType t, Operand element);
Operand from_work(Lowering& l, DType t, Operand element);

// f32 of elements of f32, f16 or bf16, and back (rounded to nearest even).
std::vector<Operand> to_floats(Lowering& l, DType t, const Words& words, int64_t n);
Words from_floats(Lowering& l, DType t, const std::vector<Operand>& elements);
Operand to_float(Lowering& l, DType t, Operand element);
Operand from_float(Lowering& l, DType t, Operand element);

inline Operand float_imm(DType t, double v) {
  return t == dt::f64_ ? Operand::imm(std::bit_cast<uint64_t>(v), RegClass::f64)
                       : f32(static_cast<float>(v));
}

}  // namespace tess::jit
