#include "jit/lower/arith.h"

#include "isa/numerics.h"

namespace tess::jit {
namespace {

const char* binary_name(Binary op) {
  constexpr const char* kNames[] = {"add", "sub",     "mul",     "mulhi", "div", "rem", "min",
                                    "max", "min.NaN", "max.NaN", "and",   "or",  "xor"};
  return kNames[static_cast<size_t>(op)];
}

bool is_wide(DType t) { return t.bits == 64; }
Operand like(Operand x, uint64_t v) { return Operand::imm(v, x.type); }

// x op y of integers in b32 or b64; the divisor may be anything.
Operand divided(Lowering& l, Binary op, DType t, Operand x, Operand y) {
  Emit& e = l.emit();
  bool quotient = op == Binary::div;
  Operand zero = e.eq(y, like(y, 0));
  if (!t.is_signed()) {
    Operand safe = e.sel(zero, like(y, 1), y);
    return e.op(quotient ? BlockOp::udiv : BlockOp::urem, {x, safe});
  }
  // MIN / -1 leaves the range only where the type is as wide as its register.
  Operand minus = t.bits < 32
                      ? pred(false)
                      : e.eq(y, like(y, y.type == RegClass::b32 ? 0xffffffff : ~uint64_t{0}));
  Operand safe = e.sel(e.or_(zero, minus), like(y, 1), y);
  Operand d = e.op(quotient ? BlockOp::sdiv : BlockOp::srem, {x, safe});
  return quotient ? e.sel(minus, e.sub(like(x, 0), x), d) : d;
}

Operand integer_element(Lowering& l, Binary op, DType t, Operand a, Operand b) {
  Emit& e = l.emit();
  std::string sign = t.is_signed() ? "s" : "u", type = sign + (is_wide(t) ? "64" : "32");
  switch (op) {
    case Binary::add:
      return e.add(a, b);
    case Binary::sub:
      return e.sub(a, b);
    case Binary::mul:
      return e.mul(a, b);
    case Binary::mulhi:
      if (t.bits >= 32) return e.form1("mul.hi." + type, {a, b});
      return e.lshr(e.mul(a, b), t.bits);
    case Binary::div:
    case Binary::rem:
      return divided(l, op, t, a, b);
    case Binary::min:
    case Binary::min_nan:
      return e.form1("min." + type, {a, b});
    case Binary::max:
    case Binary::max_nan:
      return e.form1("max." + type, {a, b});
    case Binary::and_:
      return e.and_(a, b);
    case Binary::or_:
      return e.or_(a, b);
    case Binary::xor_:
      return e.xor_(a, b);
  }
  return a;
}

// a op b on registers of one PTX type: f32 f64 f16 f16x2 bf16 bf16x2. Division not for the halves.
Operand float_register(Lowering& l, Binary op, const std::string& type, Operand a, Operand b) {
  Emit& e = l.emit();
  bool brain = type.starts_with("bf");
  bool extremum = op >= Binary::min && op <= Binary::max_nan;
  if (extremum) {
    bool nan = op == Binary::min_nan || op == Binary::max_nan;
    if (nan && type == "f64") {
      Operand plain = e.form1(op == Binary::min_nan ? "min.f64" : "max.f64", {a, b});
      Operand is_nan = e.or_(e.op(BlockOp::fne, {a, a}), e.op(BlockOp::fne, {b, b}));
      return e.sel(is_nan, Operand::imm(nan_code(dt::f64_), RegClass::f64), plain);
    }
    return e.form1(std::string(binary_name(op)) + "." + type, {a, b});
  }
  if (brain && !l.has_arch(90)) {  // one rounding of a*1 + b, b*(-1) + a, a*b + (-0)
    auto both = [&](uint64_t code) {
      return type == "bf16" ? Operand::imm(code, RegClass::b16) : b32(code * 0x10001);
    };
    std::string fma = "fma.rn." + type;
    if (op == Binary::add) return e.form1(fma, {a, both(0x3f80), b});
    if (op == Binary::sub) return e.form1(fma, {b, both(0xbf80), a});
    return e.form1(fma, {a, b, both(0x8000)});
  }
  bool approx = op == Binary::div && l.kernel().fast.approx && type == "f32";
  bool flush = l.kernel().fast.ftz && type == "f32" && op != Binary::div;
  return e.form1(std::string(binary_name(op)) +
                     (approx  ? ".full."
                      : flush ? ".rn.ftz."
                              : ".rn.") +
                     type,
                 {a, b});
}

std::string float_type(DType t) { return dtype_name(t); }

// Order of floats of 8 bits or less and of e8m0 by their codes; NaN is the caller's business.
Operand small_float_key(Lowering& l, DType t, Operand code) {
  if (t.kind == Kind::scale) return code;
  Emit& e = l.emit();
  Operand magnitude = e.and_(code, b32((1u << (t.bits - 1)) - 1));
  Operand negative = e.ne(e.lshr(code, static_cast<uint32_t>(t.bits - 1)), b32(0));
  return e.sel(negative, e.sub(b32(0), magnitude), magnitude);
}

}  // namespace

Operand normalised(Lowering& l, DType t, Operand x) {
  if (!t.is_int() || t.bits >= 32) return x;
  Emit& e = l.emit();
  if (t.is_signed()) {
    if (x.is_imm()) return b32(static_cast<uint64_t>(decode_int(t, x.bits & ((1u << t.bits) - 1))));
    return e.form1("bfe.s32", {x, b32(0), b32(t.bits)});
  }
  return e.and_(x, b32((1u << t.bits) - 1));
}

Operand to_float(Lowering& l, DType t, Operand x) {
  Emit& e = l.emit();
  if (t == dt::bf16_) return e.op(BlockOp::as_f32, {e.shl(e.op(BlockOp::zext16, {x}), 16)});
  return t == dt::f16_ ? e.form1("cvt.f32.f16", {x}) : x;
}
Operand from_float(Lowering& l, DType t, Operand x) {
  if (t.bits != 16) return x;
  return l.emit().form1("cvt.rn." + float_type(t) + ".f32", {x});
}

std::vector<Operand> to_floats(Lowering& l, DType t, const Words& words, int64_t n) {
  if (t.bits != 16) return words;
  Emit& e = l.emit();
  std::vector<Operand> out;
  if (t == dt::bf16_) {
    for (int64_t r = 0; r < n; ++r) {
      Operand w = words[static_cast<size_t>(r / 2)];
      out.push_back(e.op(BlockOp::as_f32, {r % 2 ? e.and_(w, b32(0xffff0000)) : e.shl(w, 16)}));
    }
    return out;
  }
  for (Operand x : l.elements(t, words, n)) out.push_back(e.form1("cvt.f32.f16", {x}));
  return out;
}

Words from_floats(Lowering& l, DType t, const std::vector<Operand>& x) {
  if (t.bits != 16) return x;
  Words out;
  for (size_t r = 0; r < x.size(); r += 2) {
    Operand high = r + 1 < x.size() ? x[r + 1] : f32(0);
    out.push_back(l.emit().form1("cvt.rn." + float_type(t) + "x2.f32", {high, x[r]}));
  }
  return out;
}

Operand binary_element(Lowering& l, Binary op, DType t, Operand a, Operand b) {
  if (!t.is_float()) return integer_element(l, op, t, a, b);
  if (t.bits == 16 && op == Binary::div)
    return from_float(l, t, float_register(l, op, "f32", to_float(l, t, a), to_float(l, t, b)));
  return float_register(l, op, float_type(t), a, b);
}

std::optional<Operand> binary_word(Lowering& l, Binary op, DType t, Operand a, Operand b) {
  Emit& e = l.emit();
  if (op >= Binary::and_ || t.bits >= 32) return binary_element(l, op, t, a, b);
  if (t.is_float()) {
    if (op == Binary::div) return {};
    return float_register(l, op, float_type(t) + "x2", a, b);
  }
  if ((op != Binary::add && op != Binary::sub) || 32 % t.bits) return {};
  if (t.bits == 1) return e.xor_(a, b);
  // No carry leaves an element: the top bits are added apart, by exclusive or.
  uint32_t top = 0;
  for (uint32_t at = t.bits - 1u; at < 32; at += t.bits) top |= 1u << at;
  if (l.has(AttrTag::nowrap) && !t.is_signed())
    return op == Binary::add ? e.add(a, b) : e.sub(a, b);
  if (op == Binary::add) {
    Operand low = e.add(e.and_(a, b32(~top)), e.and_(b, b32(~top)));
    return e.xor_(low, e.and_(e.xor_(a, b), b32(top)));
  }
  Operand low = e.sub(e.or_(a, b32(top)), e.and_(b, b32(~top)));
  return e.xor_(low, e.and_(e.not_(e.xor_(a, b)), b32(top)));
}

Words binary_words(Lowering& l, Binary op, DType t, const Words& a, const Words& b, int64_t n) {
  Words out;
  bool modular = op <= Binary::mul && t.is_int() && t.bits < 32;
  if (modular && n == 1)  // what stands above the one element does not matter
    return {integer_element(l, op, t, a[0], b[0])};
  for (size_t i = 0; i < a.size(); ++i) {
    std::optional<Operand> word = binary_word(l, op, t, a[i], b[i]);
    if (!word) break;
    out.push_back(*word);
  }
  if (out.size() == a.size()) return out;
  if (t.is_float()) {  // division of halves
    std::vector<Operand> x = to_floats(l, t, a, n), y = to_floats(l, t, b, n);
    for (size_t i = 0; i < x.size(); ++i) x[i] = float_register(l, op, "f32", x[i], y[i]);
    return from_floats(l, t, x);
  }
  std::vector<Operand> x = l.elements(t, a, n), y = l.elements(t, b, n);
  for (size_t i = 0; i < x.size(); ++i) x[i] = integer_element(l, op, t, x[i], y[i]);
  return l.pack(t, x);
}

Operand is_nan_element(Lowering& l, DType t, Operand a) {
  Emit& e = l.emit();
  if (t.is_arith_float()) {
    Operand x = to_float(l, t, a);
    return e.op(BlockOp::fne, {x, x});
  }
  if (t.kind == Kind::scale) return e.eq(a, b32(0xff));
  if (t.specials() == Specials::none) return pred(false);
  uint32_t sign = 1u << (t.bits - 1);
  uint32_t last = t.specials() == Specials::nan_only
                      ? sign - 2
                      : ((1u << t.exp) - 1) << t.man << (t.is_tf32() ? 13 : 0);
  return e.ult(b32(last), e.and_(a, b32(sign - 1)));
}

Operand compare_elements(Lowering& l, Compare c, DType t, Operand a, Operand b) {
  Emit& e = l.emit();
  if (c == Compare::gt) return compare_elements(l, Compare::lt, t, b, a);
  if (c == Compare::ge) return compare_elements(l, Compare::le, t, b, a);
  if (t.is_bool()) {
    Operand differ = e.xor_(a, b);
    return c == Compare::ne ? differ : e.not_(differ);
  }
  if (t.is_arith_float()) {
    constexpr BlockOp kOps[] = {BlockOp::feq, BlockOp::fne, BlockOp::flt, BlockOp::fle};
    return e.op(kOps[static_cast<int>(c)], {to_float(l, t, a), to_float(l, t, b)});
  }
  if (t.is_float() || t.kind == Kind::scale) {
    Operand nan = e.or_(is_nan_element(l, t, a), is_nan_element(l, t, b));
    Operand holds;
    if (t.is_tf32()) {  // the low 13 bits make a NaN, and mean nothing else
      auto value = [&](Operand x) { return e.op(BlockOp::as_f32, {e.and_(x, b32(0xffffe000))}); };
      holds = compare_elements(l, c, dt::f32_, value(a), value(b));
    } else {
      holds = compare_elements(l, c, dt::i32_, small_float_key(l, t, a), small_float_key(l, t, b));
    }
    return c == Compare::ne ? e.or_(holds, nan) : e.and_(holds, e.not_(nan));
  }
  if (c == Compare::eq) return e.eq(a, b);
  if (c == Compare::ne) return e.ne(a, b);
  bool less = c == Compare::lt;
  if (t.is_signed()) return e.op(less ? BlockOp::slt : BlockOp::sle, {a, b});
  return e.op(less ? BlockOp::ult : BlockOp::ule, {a, b});
}

Operand order_key(Lowering& l, DType t, Operand x, bool descending) {
  Emit& e = l.emit();
  if (!t.is_float()) {
    uint64_t top = t.bits == 64 ? uint64_t{1} << 63 : 0x80000000;
    Operand key = t.is_signed() ? e.xor_(x, Operand::imm(top, x.type)) : x;
    return descending ? e.not_(key) : key;
  }
  bool wide = t == dt::f64_;
  Operand v = wide ? x : to_float(l, t, x);
  Operand bits = e.op(
      wide ? BlockOp::as_b64 : BlockOp::as_b32,
      {e.form1(wide ? "add.rn.f64" : "add.rn.f32", {v, float_imm(wide ? dt::f64_ : dt::f32_, 0)})});
  Operand top = Operand::imm(wide ? uint64_t{1} << 63 : 0x80000000, bits.type);
  Operand key = e.xor_(bits, e.or_(e.ashr(bits, wide ? 63 : 31), top));
  if (descending) key = e.not_(key);
  return e.sel(e.op(BlockOp::fne, {v, v}), Operand::imm(wide ? ~uint64_t{0} : 0xffffffff, key.type),
               key);
}

DType work_type(DType t) {
  if (t.is_bool()) return dt::u32_;
  if (t.is_float() && t.bits == 16) return dt::f32_;
  if (t.is_int() && t.bits < 32) return t.is_signed() ? dt::i32_ : dt::u32_;
  return t;
}
Operand to_work(Lowering& l, DType t, Operand x) {
  if (t.is_bool()) return l.emit().sel(x, b32(1), b32(0));
  return t.is_float() ? to_float(l, t, x) : x;
}
Operand from_work(Lowering& l, DType t, Operand x) {
  if (t.is_bool()) return l.emit().ne(x, b32(0));
  return t.is_float() ? from_float(l, t, x) : x;
}

}  // namespace tess::jit
