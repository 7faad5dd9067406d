// Elementwise arithmetic, logic, comparisons and rounding: operands broadcast to the result's
// shape, then word by word where one instruction does a packed word, else element by element.
#include "isa/numerics.h"
#include "jit/lower/arith.h"
#include "jit/lower/guard.h"

namespace tess::jit {
namespace {

// The operands as the result needs them.
struct Operands {
  int64_t n = 1;
  std::vector<DType> type;
  std::vector<Words> words;
};
Operands operands(Lowering& l) {
  Operands o;
  const Shape& shape = l.result_type().shape;
  const TileLayout* layout = shape.rank ? l.result_layout() : nullptr;
  o.n = layout ? layout->registers : 1;
  for (size_t i = 0; i < l.n_args(); ++i) {
    Tile t = l.arg(i);
    o.type.push_back(t.type);
    o.words.push_back(l.broadcast_words(t, shape, layout));
  }
  return o;
}

// `fn` of the elements of all operands.
template <class Fn>
void by_element(Lowering& l, Fn fn) {
  Operands o = operands(l);
  std::vector<std::vector<Operand>> in;
  for (size_t i = 0; i < o.words.size(); ++i) in.push_back(l.elements(o.type[i], o.words[i], o.n));
  std::vector<Operand> out, x(in.size());
  for (size_t r = 0; r < static_cast<size_t>(o.n); ++r) {
    for (size_t i = 0; i < in.size(); ++i) x[i] = in[i][r];
    out.push_back(fn(o.type[0], x));
  }
  l.set(0, l.pack(l.result_type().dtype, out));
}

template <class Fn>
void by_word(Lowering& l, Fn fn) {
  Operands o = operands(l);
  Words out;
  std::vector<Operand> x(o.words.size());
  for (size_t w = 0; w < o.words[0].size(); ++w) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = o.words[i][w];
    out.push_back(fn(o.type[0], x));
  }
  l.set(0, std::move(out));
}

// Whether the exact result of two elements is beyond their type.
Operand overflows(Lowering& l, Binary op, DType t, Operand a, Operand b) {
  Emit& e = l.emit();
  Operand r = binary_element(l, op, t, a, b), zero = Operand::imm(0, r.type);
  // Of narrow elements not even a product leaves 32 bits.
  if (t.bits < 32) return e.ne(r, normalised(l, t, r));
  std::string type = (t.is_signed() ? "s" : "u") + std::to_string(int{t.bits});
  switch (op) {
    case Binary::mul: {
      Operand high = e.form1("mul.hi." + type, {a, b});
      return e.ne(high, t.is_signed() ? e.ashr(r, t.bits - 1u) : zero);
    }
    case Binary::add:
      if (!t.is_signed()) return e.ult(r, a);
      return e.slt(e.and_(e.xor_(a, r), e.xor_(b, r)), zero);
    default:
      if (!t.is_signed()) return e.ult(a, b);
      return e.slt(e.and_(e.xor_(a, b), e.xor_(a, r)), zero);
  }
}

// What traps in guard mode: a zero divisor, an overflow that `nowrap` excludes.
void check_integers(Lowering& l, Binary op, const Operands& o) {
  DType t = o.type[0];
  bool divides = op == Binary::div || op == Binary::rem;
  if (!l.options().guard || !t.is_int() || !(divides || l.has(AttrTag::nowrap))) return;
  std::vector<Operand> a = l.elements(t, o.words[0], o.n), b = l.elements(t, o.words[1], o.n), bad;
  for (size_t r = 0; r < a.size(); ++r)
    bad.push_back(divides ? l.emit().eq(b[r], Operand::imm(0, b[r].type))
                          : overflows(l, op, t, a[r], b[r]));
  const TileLayout* layout = l.result_type().shape.rank ? l.result_layout() : nullptr;
  fault_if_any(l, layout, bad, divides ? diag::run_divide_by_zero : diag::run_nowrap);
}

void binary(Lowering& l, Binary op) {
  Operands o = operands(l);
  check_integers(l, op, o);
  l.set(0, binary_words(l, op, o.type[0], o.words[0], o.words[1], o.n));
}

void compare(Lowering& l, Compare c) {
  by_element(l, [&](DType t, const std::vector<Operand>& x) {
    return compare_elements(l, c, t, x[0], x[1]);
  });
}

// Sign bits of a word of floats.
uint64_t sign_bits(DType t) {
  uint64_t top = uint64_t{1} << (t.bits - 1), all = 0;
  for (int at = 0; at < (t.bits == 64 ? 64 : 32); at += t.bits) all |= top << at;
  return all;
}

// Flips or clears the sign of floats, with no regard to NaN.
Operand signed_word(Lowering& l, DType t, Operand w, bool flip) {
  Emit& e = l.emit();
  auto change = [&](Operand bits) {
    uint64_t sign = sign_bits(t);
    if (bits.type == RegClass::b32) sign &= 0xffffffff;
    return flip ? e.xor_(bits, Operand::imm(sign, bits.type))
                : e.and_(bits, Operand::imm(
                                   ~sign & (bits.type == RegClass::b32 ? 0xffffffff : ~uint64_t{0}),
                                   bits.type));
  };
  if (w.type == RegClass::f32) return e.op(BlockOp::as_f32, {change(e.op(BlockOp::as_b32, {w}))});
  if (w.type == RegClass::f64) return e.op(BlockOp::as_f64, {change(e.op(BlockOp::as_b64, {w}))});
  return change(w);
}

void sign(Lowering& l, bool flip) {
  DType t = l.arg(0).type;
  Emit& e = l.emit();
  if (t.is_float()) {
    bool whole = t.bits >= 32 || 32 % t.bits == 0;
    if (whole)
      return by_word(
          l, [&](DType, const std::vector<Operand>& x) { return signed_word(l, t, x[0], flip); });
    uint32_t top = 1u << (t.bits - 1);
    return by_element(l, [&](DType, const std::vector<Operand>& x) {
      return flip ? e.xor_(x[0], b32(top)) : e.and_(x[0], b32(top - 1));
    });
  }
  by_element(l, [&](DType, const std::vector<Operand>& x) {
    if (flip) return e.sub(Operand::imm(0, x[0].type), x[0]);
    if (!t.is_signed()) return x[0];
    return e.form1(t.bits == 64 ? "abs.s64" : "abs.s32", {x[0]});
  });
}

void shift(Lowering& l, bool left) {
  Emit& e = l.emit();
  DType count = l.arg(1).type;
  by_element(l, [&](DType t, const std::vector<Operand>& x) {
    Operand n = x[1];
    if (count.bits == 64) {
      Operand small = e.ult(n, b64(64));
      n = e.sel(small, e.trunc(n), b32(64));
    } else if (count.is_signed() && count.bits < 32) {
      n = e.and_(n, b32((1u << count.bits) - 1));
    }
    uint64_t width = t.bits == 64 ? 64 : 32;
    if (n.is_imm() && n.bits < width) {
      uint32_t by = static_cast<uint32_t>(n.bits);
      return left ? e.shl(x[0], by) : t.is_signed() ? e.ashr(x[0], by) : e.lshr(x[0], by);
    }
    std::string wide = width == 64 ? "64" : "32";
    return e.form1((left ? "shl.b" : t.is_signed() ? "shr.s" : "shr.u") + wide, {x[0], n});
  });
}

// To an integral value, by the rounding of `cvt`.
void integral(Lowering& l, const std::string& how) {
  Emit& e = l.emit();
  Operands o = operands(l);
  DType t = o.type[0];
  Words out;
  if (t == dt::f64_) {
    for (Operand w : o.words[0]) out.push_back(e.form1("cvt." + how + ".f64.f64", {w}));
    return l.set(0, std::move(out));
  }
  for (Operand x : to_floats(l, t, o.words[0], o.n))
    out.push_back(e.form1("cvt." + how + ".f32.f32", {x}));
  l.set(0, from_floats(l, t, out));
}

}  // namespace

LOWER(add) { binary(l, Binary::add); }
LOWER(sub) { binary(l, Binary::sub); }
LOWER(mul) { binary(l, Binary::mul); }
LOWER(mulhi) { binary(l, Binary::mulhi); }
LOWER(div) { binary(l, Binary::div); }
LOWER(rem) { binary(l, Binary::rem); }
LOWER(min) { binary(l, l.has(AttrTag::nan) ? Binary::min_nan : Binary::min); }
LOWER(max) { binary(l, l.has(AttrTag::nan) ? Binary::max_nan : Binary::max); }
LOWER(and_) { binary(l, Binary::and_); }
LOWER(or_) { binary(l, Binary::or_); }
LOWER(xor_) { binary(l, Binary::xor_); }

LOWER(fma) {
  Emit& e = l.emit();
  DType t = l.result_type().dtype;
  if (t.is_float()) {
    std::string type = dtype_name(t) + (t.bits == 16 ? "x2" : "");
    bool flush = l.kernel().fast.ftz && t == dt::f32_;
    return by_word(l, [&](DType, const std::vector<Operand>& x) {
      return e.form1((flush ? "fma.rn.ftz." : "fma.rn.") + type, {x[0], x[1], x[2]});
    });
  }
  by_element(l,
             [&](DType, const std::vector<Operand>& x) { return e.add(e.mul(x[0], x[1]), x[2]); });
}

LOWER(clamp) {
  Operands o = operands(l);
  DType t = o.type[0];
  if (t.is_float()) {
    Words raised = binary_words(l, Binary::max, t, o.words[0], o.words[1], o.n);
    return l.set(0, binary_words(l, Binary::min, t, raised, o.words[2], o.n));
  }
  by_element(l, [&](DType, const std::vector<Operand>& x) {
    return binary_element(l, Binary::min, t, binary_element(l, Binary::max, t, x[0], x[1]), x[2]);
  });
}

LOWER(neg) { sign(l, true); }
LOWER(abs) { sign(l, false); }
LOWER(not_) {
  by_word(l, [&](DType, const std::vector<Operand>& x) { return l.emit().not_(x[0]); });
}
LOWER(shl) { shift(l, true); }
LOWER(shr) { shift(l, false); }
LOWER(popc) {
  Emit& e = l.emit();
  by_element(l, [&](DType t, const std::vector<Operand>& x) {
    if (t.bits == 64) return e.zext(e.form1("popc.b64", {x[0]}));
    bool mask = t.is_signed() && t.bits < 32;
    return e.form1("popc.b32", {mask ? e.and_(x[0], b32((1u << t.bits) - 1)) : x[0]});
  });
}

LOWER(eq) { compare(l, Compare::eq); }
LOWER(ne) { compare(l, Compare::ne); }
LOWER(lt) { compare(l, Compare::lt); }
LOWER(le) { compare(l, Compare::le); }
LOWER(gt) { compare(l, Compare::gt); }
LOWER(ge) { compare(l, Compare::ge); }

LOWER(select) {
  Emit& e = l.emit();
  Operands o = operands(l);
  DType t = l.result_type().dtype;
  const Words& c = o.words[0];
  size_t per_word = t.is_bool() || t.bits >= 32 ? 1 : 32 / t.bits;
  bool packed = per_word > 1 && 32 % t.bits == 0;
  bool one = per_word > 1;  // one condition for all that a word holds
  for (size_t r = 0; r < c.size() && one; ++r)
    one = packed ? c[r] == c[r - r % per_word] : c[r] == c[0];
  if (per_word > 1 && one) {
    Words out;
    for (size_t w = 0; w < o.words[1].size(); ++w)
      out.push_back(e.sel(c[packed ? w * per_word : 0], o.words[1][w], o.words[2][w]));
    return l.set(0, std::move(out));
  }
  std::vector<Operand> x = l.elements(t, o.words[1], o.n), y = l.elements(t, o.words[2], o.n);
  for (size_t r = 0; r < x.size(); ++r) x[r] = e.sel(c[r], x[r], y[r]);
  l.set(0, l.pack(t, x));
}

LOWER(floor) { integral(l, "rmi"); }
LOWER(ceil) { integral(l, "rpi"); }
LOWER(round) { integral(l, "rni"); }
LOWER(trunc) { integral(l, "rzi"); }

LOWER(sqrt) {
  Emit& e = l.emit();
  Operands o = operands(l);
  DType t = o.type[0];
  bool approx = l.kernel().fast.approx && t != dt::f64_;
  std::string opcode = approx ? "sqrt.approx.f32" : t == dt::f64_ ? "sqrt.rn.f64" : "sqrt.rn.f32";
  std::vector<Operand> x = t == dt::f64_ ? o.words[0] : to_floats(l, t, o.words[0], o.n);
  for (Operand& v : x) v = e.form1(opcode, {v});
  l.set(0, t == dt::f64_ ? x : from_floats(l, t, x));
}

}  // namespace tess::jit
