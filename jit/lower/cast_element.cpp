#include "jit/lower/cast_element.h"

#include <bit>
#include <cmath>

namespace tess::jit {
namespace {

Operand power_of_two(int n) { return f32(std::ldexp(1.0f, n)); }

const char* round_word(Round r) {
  return r == Round::rne ? "rn" : r == Round::rz ? "rz" : r == Round::ru ? "rp" : "rm";
}

// Away from zero in magnitude? For ru and rd that depends on the sign.
struct Direction2 {
  bool nearest = false;
  Operand away;  // pred, where not nearest
};
Direction2 direction(Emit& e, Round r, Operand negative) {
  switch (r) {
    case Round::rne:
      return {true, pred(false)};
    case Round::rz:
      return {false, pred(false)};
    case Round::ru:
      return {false, e.not_(negative)};
    default:
      return {false, negative};
  }
}

// |x| as bits, rounded to `man` bits of mantissa: bits >> (23 - man).
Operand round_bits(Emit& e, Operand magnitude, int man, const Direction2& d) {
  uint32_t drop = static_cast<uint32_t>(23 - man);
  Operand half = b32((1u << (drop - 1)) - 1);
  Operand add;
  if (d.nearest) add = e.add(half, e.and_(e.lshr(magnitude, drop), b32(1)));
  else add = e.sel(d.away, b32((1u << drop) - 1), b32(0));
  return e.lshr(e.add(magnitude, add), drop);
}

Operand to_small_float(Lowering& l, DType to, Operand x, const CastMode& mode) {
  Emit& e = l.emit();
  Operand bits = e.op(BlockOp::as_b32, {x});
  Operand magnitude = e.and_(bits, b32(0x7fffffff));
  Operand negative = e.slt(bits, b32(0));
  Operand is_nan = e.ult(b32(0x7f800000), magnitude);
  Direction2 d = direction(e, mode.round, negative);
  // Below the least normal number: a multiple of the quantum.
  Operand scaled = e.form1(
      "mul.rn.f32", {e.op(BlockOp::as_f32, {magnitude}), power_of_two(to.bias() - 1 + to.man)});
  Operand multiple;
  if (d.nearest) multiple = e.form1("cvt.rni.s32.f32", {scaled});
  else
    multiple =
        e.sel(d.away, e.form1("cvt.rpi.s32.f32", {scaled}), e.form1("cvt.rzi.s32.f32", {scaled}));
  Operand normal = e.sub(round_bits(e, magnitude, to.man, d),
                         b32(static_cast<uint32_t>(127 - to.bias()) << to.man));
  uint32_t least_normal = static_cast<uint32_t>(128 - to.bias()) << 23;
  Operand code = e.sel(e.ult(magnitude, b32(least_normal)), multiple, normal);
  uint64_t largest = max_code(to);
  Operand over = e.ult(b32(largest), code);
  Operand clamped = b32(largest);
  if (mode.overflow == Overflow::nosat && to.specials() != Specials::none) {
    uint64_t beyond = to.specials() == Specials::nan_only ? nan_code(to) : largest + 1;
    // A finite number that is rounded toward zero stays finite.
    Operand kept =
        d.nearest ? pred(false) : e.and_(e.not_(d.away), e.ult(magnitude, b32(0x7f800000)));
    clamped = e.sel(kept, b32(largest), b32(beyond));
  }
  code = e.sel(over, clamped, code);
  Operand sign = e.shl(e.lshr(bits, 31), static_cast<uint32_t>(to.bits - 1));
  return e.sel(is_nan, b32(nan_code(to)), e.or_(code, sign));
}

Operand to_e8m0(Lowering& l, Operand x, const CastMode& mode) {
  Emit& e = l.emit();
  Operand magnitude = e.and_(e.op(BlockOp::as_b32, {x}), b32(0x7fffffff));
  Operand code = e.lshr(magnitude, 23);
  if (mode.round == Round::ru)
    code =
        e.sel(e.ult(b32(0x400000), magnitude), e.lshr(e.add(magnitude, b32(0x7fffff)), 23), b32(0));
  code = e.form1("min.u32", {code, b32(0xfe)});
  return e.sel(e.ult(b32(0x7f800000), magnitude), b32(0xff), code);
}

// A wide value as f32, rounded to odd: what was lost shows in the last bit.
Operand odd_f32(Lowering& l, Operand wide) {
  Emit& e = l.emit();
  Operand near = e.form1("cvt.rz.f32.f64", {wide});
  Operand lost = e.op(BlockOp::fne, {e.form1("cvt.f64.f32", {near}), wide});
  Operand ordered = e.op(BlockOp::feq, {wide, wide});
  Operand bits = e.op(BlockOp::as_b32, {near});
  return e.op(BlockOp::as_f32, {e.or_(bits, e.sel(e.and_(lost, ordered), b32(1), b32(0)))});
}
Operand odd_f64(Lowering& l, Operand x, bool is_signed) {
  Emit& e = l.emit();
  const char* type = is_signed ? "s64" : "u64";
  Operand near = e.form1(std::string("cvt.rz.f64.") + type, {x});
  Operand back = e.form1(std::string("cvt.rzi.") + type + ".f64", {near});
  Operand bits = e.op(BlockOp::as_b64, {near});
  return e.op(BlockOp::as_f64, {e.or_(bits, e.sel(e.ne(back, x), b64(1), b64(0)))});
}

Operand from_f64(Lowering& l, DType to, Operand x, const CastMode& mode) {
  Emit& e = l.emit();
  if (to == dt::f64_) return x;
  std::string round = round_word(mode.round);
  if (to == dt::f32_) return e.form1("cvt." + round + ".f32.f64", {x});
  if (to == dt::f16_) return e.form1("cvt." + round + ".f16.f64", {x});
  return from_f32(l, to, odd_f32(l, x), mode);
}

Operand float_to_int(Lowering& l, DType to, DType from, Operand x) {
  Emit& e = l.emit();
  bool wide = from == dt::f64_;
  Operand v = wide ? x : from == dt::f32_ ? x : to_f32(l, from, x);
  std::string source = wide ? "f64" : "f32";
  if (to.bits == 64) {
    Operand r = e.form1(std::string("cvt.rzi.") + (to.is_signed() ? "s64." : "u64.") + source, {v});
    return e.sel(e.op(BlockOp::feq, {v, v}), r, b64(0));
  }
  Operand r = e.form1(std::string("cvt.rzi.") + (to.is_signed() ? "s32." : "u32.") + source, {v});
  if (wide) r = e.sel(e.op(BlockOp::feq, {v, v}), r, b32(0));
  if (to.bits == 32) return r;
  if (!to.is_signed()) return e.form1("min.u32", {r, b32((1u << to.bits) - 1)});
  int32_t most = (1 << (to.bits - 1)) - 1;
  return e.form1("max.s32", {e.form1("min.s32", {r, b32(static_cast<uint32_t>(most))}),
                             b32(static_cast<uint32_t>(-most - 1))});
}

Operand int_to_int(Lowering& l, DType to, DType from, Operand x, bool saturate) {
  Emit& e = l.emit();
  bool from_wide = from.bits == 64, to_wide = to.bits == 64;
  if (saturate) {
    // In i64, or u64 where the source is one.
    Operand v = from_wide ? x : from.is_signed() ? e.sext(x) : e.zext(x);
    bool is_signed = from.is_signed();
    uint64_t high = to.bits == 64 ? (to.is_signed() ? ~uint64_t{0} >> 1 : ~uint64_t{0})
                                  : (uint64_t{1} << (to.bits - (to.is_signed() ? 1 : 0))) - 1;
    uint64_t low = to.is_signed() ? ~uint64_t{0} << (to.bits - 1) : 0;
    if (is_signed) {
      if (high <= ~uint64_t{0} >> 1) v = e.form1("min.s64", {v, b64(high)});
      v = e.form1("max.s64", {v, b64(low)});
    } else {
      v = e.form1("min.u64", {v, b64(high)});
    }
    return to_wide ? v : e.trunc(v);
  }
  if (from_wide && !to_wide) return e.trunc(x);
  if (!from_wide && to_wide) return from.is_signed() ? e.sext(x) : e.zext(x);
  return x;
}

}  // namespace

Operand to_f32(Lowering& l, DType from, Operand x) {
  Emit& e = l.emit();
  if (from == dt::f32_) return x;
  if (from.is_tf32()) return e.op(BlockOp::as_f32, {e.and_(x, b32(0xffffe000))});
  if (from == dt::f16_) return e.form1("cvt.f32.f16", {x});
  if (from == dt::bf16_) return e.op(BlockOp::as_f32, {e.shl(e.op(BlockOp::zext16, {x}), 16)});
  if (from.kind == Kind::scale) {
    Operand v = e.sel(e.eq(x, b32(0)), b32(0x400000), e.shl(x, 23));
    return e.op(BlockOp::as_f32, {e.sel(e.eq(x, b32(255)), b32(0x7fc00000), v)});
  }
  if (from.specials() == Specials::ieee)  // e5m2: the upper byte of an f16
    return e.form1("cvt.f32.f16", {e.op(BlockOp::trunc16, {e.shl(x, 8)})});
  uint32_t mag_mask = (1u << (from.bits - 1)) - 1;
  Operand magnitude = e.and_(x, b32(mag_mask));
  Operand sign = e.shl(e.lshr(x, static_cast<uint32_t>(from.bits - 1)), 31);
  Operand v = e.or_(e.shl(magnitude, static_cast<uint32_t>(23 - from.man)), sign);
  v = e.form1("mul.rn.f32", {e.op(BlockOp::as_f32, {v}), power_of_two(127 - from.bias())});
  if (from.specials() == Specials::nan_only)
    v = e.sel(e.eq(magnitude, b32(nan_code(from))), Operand::imm(0x7fc00000, RegClass::f32), v);
  return v;
}

Operand from_f32(Lowering& l, DType to, Operand x, const CastMode& mode) {
  Emit& e = l.emit();
  if (to == dt::f32_) return x;
  if (to == dt::f64_) return e.form1("cvt.f64.f32", {x});
  if (to.kind == Kind::scale) return to_e8m0(l, x, mode);
  if (to == dt::f16_)
    return e.form1(std::string("cvt.") + round_word(mode.round) + ".f16.f32", {x});
  if (to == dt::bf16_ && (mode.round == Round::rne || mode.round == Round::rz))
    return e.form1(std::string("cvt.") + round_word(mode.round) + ".bf16.f32", {x});
  if (to == dt::bf16_ || to.is_tf32()) {
    Operand bits = e.op(BlockOp::as_b32, {x});
    Operand magnitude = e.and_(bits, b32(0x7fffffff));
    Direction2 d = direction(e, mode.round, e.slt(bits, b32(0)));
    Operand code = round_bits(e, magnitude, to.man, d);
    Operand finite = e.ult(magnitude, b32(0x7f800000));
    Operand is_nan = e.ult(b32(0x7f800000), magnitude);
    if (to.is_tf32()) {
      Operand kept = e.sel(finite, e.shl(code, 13), magnitude);
      Operand v = e.or_(kept, e.and_(bits, b32(0x80000000)));
      return e.sel(is_nan, b32(0x7fc00000), v);
    }
    Operand v = e.or_(e.sel(finite, code, b32(0x7f80)), e.and_(e.lshr(bits, 16), b32(0x8000)));
    return e.op(BlockOp::trunc16, {e.sel(is_nan, b32(0x7fc0), v)});
  }
  return to_small_float(l, to, x, mode);
}

Operand cast_element(Lowering& l, DType to, DType from, Operand x, const CastMode& mode) {
  Emit& e = l.emit();
  if (to == from && is_identity(to)) return x;
  bool from_float = from.kind == Kind::flt || from.kind == Kind::scale;
  bool to_float = to.kind == Kind::flt || to.kind == Kind::scale;
  if (from.is_bool()) {
    Operand one = e.sel(x, b32(1), b32(0));
    return cast_element(l, to, dt::u8_, one, mode);
  }
  if (to.is_bool()) {
    if (from == dt::f32_ || from == dt::f64_)
      return e.op(BlockOp::fne, {x, Operand::imm(0, x.type)});
    if (from.kind == Kind::scale) return pred(true);
    if (from_float) {
      Operand code = x.type == RegClass::b16 ? e.op(BlockOp::zext16, {x}) : x;
      return e.ne(e.and_(code, b32((uint64_t{1} << (from.bits - 1)) - 1)), b32(0));
    }
    return e.ne(x, Operand::imm(0, x.type));
  }
  if (!from_float && !to_float) return int_to_int(l, to, from, x, mode.saturate_int);
  if (from_float && !to_float) return float_to_int(l, to, from, x);
  if (from_float) {
    if (from == dt::f64_) return from_f64(l, to, x, mode);
    if (to == dt::f64_) return e.form1("cvt.f64.f32", {to_f32(l, from, x)});
    return from_f32(l, to, to_f32(l, from, x), mode);
  }
  std::string type = std::string(from.is_signed() ? "s" : "u") + (from.bits == 64 ? "64" : "32");
  std::string round = round_word(mode.round);
  if (to == dt::f32_ || to == dt::f64_)
    return e.form1("cvt." + round + (to == dt::f32_ ? ".f32." : ".f64.") + type, {x});
  if (to == dt::f16_) return e.form1("cvt." + round + ".f16." + type, {x});
  if (from.bits <= 16) return from_f32(l, to, e.form1("cvt.rn.f32." + type, {x}), mode);
  Operand wide =
      from.bits == 64 ? odd_f64(l, x, from.is_signed()) : e.form1("cvt.rn.f64." + type, {x});
  return from_f64(l, to, wide, mode);
}

}  // namespace tess::jit
