// The functions of transcendental.cpp on one element in f32 or f64, in block IR: within 2 ulp in
// f32 and a few in f64, over the whole range. `coarse` where 2^-20 is enough (f16, bf16, or
// `fast(approx)`): the approximate instructions.
#pragma once
#include "jit/lower/lowering.h"

namespace tess::jit {

class RealMath {
 public:
  RealMath(Lowering& l, bool wide, bool coarse)
      : l_(l), e_(l.emit()), wide_(wide), coarse_(coarse) {}
  Operand exp(Operand x);
  Operand exp2(Operand x);
  Operand log(Operand x);
  Operand log2(Operand x);
  Operand sin(Operand x) { return wave(x, 0); }
  Operand cos(Operand x) { return wave(x, 1); }
  Operand tanh(Operand x);
  Operand erf(Operand x);
  Operand pow(Operand x, Operand y);
  Operand sigmoid(Operand x);
  Operand rsqrt(Operand x);
  Operand rcp(Operand x);

 private:
  struct Split {  // x = fraction · 2^exponent, or a fraction of a turn and its quarter
    Operand value, number;
  };
  struct Pair {  // a sum
    Operand high, low;
  };
  Operand c(long double v) const;
  Operand add(Operand a, Operand b) { return arith("add", a, b); }
  Operand sub(Operand a, Operand b) { return arith("sub", a, b); }
  Operand mul(Operand a, Operand b) { return arith("mul", a, b); }
  Operand div(Operand a, Operand b) { return arith("div", a, b); }
  Operand fma(Operand a, Operand b, Operand c);
  Operand arith(const char* op, Operand a, Operand b);
  Operand neg(Operand a);
  Operand abs(Operand a);
  Operand lt(Operand a, Operand b) { return e_.op(BlockOp::flt, {a, b}); }
  Operand eq(Operand a, Operand b) { return e_.op(BlockOp::feq, {a, b}); }
  Operand is_nan(Operand a) { return e_.op(BlockOp::fne, {a, a}); }
  Operand bits(Operand a) { return e_.op(wide_ ? BlockOp::as_b64 : BlockOp::as_b32, {a}); }
  Operand real(Operand a) { return e_.op(wide_ ? BlockOp::as_f64 : BlockOp::as_f32, {a}); }
  Operand word(uint64_t v) const { return wide_ ? b64(v) : b32(v); }
  Operand with_sign(Operand magnitude, Operand sign_of);
  Operand nearest(Operand x);  // integral value
  Operand to_int(Operand x);   // b32 of an integral value
  Operand approx(const char* op, Operand x);
  Operand horner(Operand x, std::initializer_list<long double> from_highest);
  Operand taylor(Operand x, int first, int last, int step, bool alternate);
  Operand scaled(Operand x, Operand exponent);  // x · 2^exponent, rounded once
  Split reduced_exp(Operand x);
  Operand exp_fraction(Operand r);
  Operand expm1_small(Operand x);               // |x| below 1.1
  Split mantissa(Operand x);                    // in [2/3, 4/3), of a positive finite x
  Operand log_near_one(Operand f);              // log(1 + f)
  Operand log_special(Operand x, Operand log);  // of 0, infinity, NaN and negative numbers
  Pair log_pair(Operand x);
  Operand wave(Operand x, uint32_t quarter);
  Split quarter_turn(Operand x);
  Split quarter_turn_of_large(Operand x);

  Lowering& l_;
  Emit& e_;
  bool wide_, coarse_;
};

}  // namespace tess::jit
