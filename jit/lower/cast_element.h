// One element of any type as any other: the rules of ISA.md section 2 in block IR, for what no
// packed rule serves (lowprec.h). Values pass through f32, or f64, rounded to odd where a second
// rounding follows, so that the last one is the only one that shows.
#pragma once
#include "isa/numerics.h"
#include "jit/lower/lowering.h"

namespace tess::jit {

// In and out as Lowering::elements gives them.
Operand cast_element(Lowering& l, DType to, DType from, Operand x, const CastMode& mode);

// Whether a cast to the same type leaves every code as it is: not where infinities saturate, nor
// where low bits have no meaning.
inline bool is_identity(DType t) {
  return !t.is_tf32() && !(t.is_small_float() && t.specials() == Specials::ieee);
}

// The exact value of a float of at most 16 bits, or e8m0, as f32.
Operand to_f32(Lowering& l, DType from, Operand x);
// f32 rounded to a type of at most 32 bits, or e8m0. `x` may be odd-rounded.
Operand from_f32(Lowering& l, DType to, Operand x, const CastMode& mode);

}  // namespace tess::jit
