// cast bitcast view lookup pack unpack relayout.
#include "isa/numerics.h"
#include "jit/lower/cast_element.h"
#include "jit/lower/lowprec.h"

namespace tess::jit {
namespace {

CastMode mode_of(Lowering& l) {
  CastMode m;
  if (l.has(AttrTag::rz)) m.round = Round::rz;
  if (l.has(AttrTag::ru)) m.round = Round::ru;
  if (l.has(AttrTag::rd)) m.round = Round::rd;
  if (l.has(AttrTag::nosat)) m.overflow = Overflow::nosat;
  m.saturate_int = l.has(AttrTag::sat);
  return m;
}

bool is_default(const CastMode& m) {
  return m.round == Round::rne && m.overflow == Overflow::saturate && !m.saturate_int;
}

// The registers of a tile in the result's layout (its order may differ).
Words in_result_order(Lowering& l, DType type, Words words, const Tile& from) {
  const TileLayout* to = l.result_layout();
  if (!from.layout || !to || to == from.layout) return words;
  std::vector<int64_t> map = l.register_map(*to, *from.layout);
  if (map.empty()) {
    l.broken("the result's layout needs another thread's elements");
    return words;
  }
  return l.permuted(type, words, from.layout->registers, map);
}

// Through shared memory: every thread writes what it holds and reads what it needs.
Words exchange(Lowering& l, const Tile& t, const TileLayout& to) {
  Emit& e = l.emit();
  DType type = t.type;
  int64_t elements = 1;
  for (int64_t d : t.shape) elements *= d;
  // One cell an element, at its row-major place; 32-bit cells for what is smaller.
  int cell = type.bits == 64 ? 8 : type.is_bool() || type.bits <= 8 ? 1 : type.bits / 8;
  uint32_t base = l.scratch(static_cast<uint32_t>(elements * cell));
  std::string word = cell == 8   ? (type == dt::f64_ ? "f64" : "b64")
                     : cell == 4 ? (type == dt::f32_ ? "f32" : "b32")
                     : cell == 2 ? "b16"
                                 : "u8";
  auto place = [&](const TileLayout& layout, int64_t reg) {
    Operand at = b32(0);
    for (int d = 0; d < t.shape.rank; ++d) {
      Operand own =
          b32(static_cast<uint64_t>(layout.at[static_cast<size_t>(reg)][static_cast<size_t>(d)]));
      Operand moving = l.thread_coordinate(layout, d);
      Operand c = layout.linear ? e.xor_(moving, own) : e.add(moving, own);
      at = e.add(e.mul(at, b32(static_cast<uint64_t>(t.shape[d]))), c);
    }
    return e.add(e.shared_address(base), e.mul(at, b32(static_cast<uint64_t>(cell))));
  };
  std::vector<Operand> held = l.elements(type, t.words, t.layout->registers);
  Operand mine = l.is_first_copy(*t.layout);
  bool some = !mine.is_imm();
  if (some) e.begin_if(mine);
  for (int64_t r = 0; r < t.layout->registers; ++r) {
    Operand v = held[static_cast<size_t>(r)];
    if (v.type == RegClass::pred) v = e.sel(v, b32(1), b32(0));
    if (cell == 2 && v.type == RegClass::b32) v = e.op(BlockOp::trunc16, {v});
    e.form("st.shared." + word, {place(*t.layout, r), b32(0), v});
  }
  if (some) e.end();
  l.barrier();
  std::vector<Operand> got;
  Operand needs = l.holds_elements(to);
  bool all = needs.is_imm();
  std::vector<Operand> kept;
  if (!all) {
    for (int64_t r = 0; r < to.registers; ++r) {
      RegClass c = cell == 8 || cell == 4 ? word_class(type)
                   : cell == 2            ? RegClass::b16
                                          : RegClass::b32;
      kept.push_back(e.variable(c, "moved"));
      e.assign(kept.back(), Operand::imm(0, c));
    }
    e.begin_if(needs);
  }
  for (int64_t r = 0; r < to.registers; ++r) {
    Operand v = e.form1("ld.shared." + word, {place(to, r), b32(0)});
    if (all) got.push_back(v);
    else e.assign(kept[static_cast<size_t>(r)], v);
  }
  if (!all) {
    e.end();
    for (const Operand& k : kept) got.push_back(e.snapshot(k));
  }
  l.barrier();
  for (Operand& v : got) {
    if (cell == 2 && element_class(type) == RegClass::b32) v = e.op(BlockOp::zext16, {v});
    if (type.is_bool()) v = e.ne(v, b32(0));
  }
  return l.pack(type, got);
}

}  // namespace

LOWER(cast) {
  Tile a = l.arg(0);
  DType to = l.result_type().dtype;
  CastMode mode = mode_of(l);
  int64_t n = a.elements();
  const TileLayout* want = a.layout ? l.result_layout() : nullptr;
  std::vector<int64_t> order;
  if (want && want != a.layout) {
    order = l.register_map(*want, *a.layout);
    if (order.empty()) return l.broken("the result's layout needs another thread's elements");
  } else {
    for (int64_t r = 0; r < n; ++r) order.push_back(r);
  }
  if (to == a.type && is_identity(to)) return l.set(0, l.permuted(to, a.words, n, order));
  if (is_default(mode))
    if (auto words = cast_packed(l, to, a.type, a.words, n, order))
      return l.set(0, std::move(*words));
  std::vector<Operand> from = l.elements(a.type, a.words, n), out;
  for (int64_t r : order)
    out.push_back(cast_element(l, to, a.type, from[static_cast<size_t>(r)], mode));
  l.set(0, l.pack(to, out));
}

LOWER(bitcast) {
  Emit& e = l.emit();
  Tile a = l.arg(0);
  DType to = l.result_type().dtype;
  Words words = in_result_order(l, a.type, a.words, a);
  if (word_class(a.type) == word_class(to)) return l.set(0, std::move(words));
  for (Operand& w : words) {
    if (w.type == RegClass::f32) w = e.op(BlockOp::as_b32, {w});
    else if (w.type == RegClass::f64) w = e.op(BlockOp::as_b64, {w});
    else w = e.op(word_class(to) == RegClass::f32 ? BlockOp::as_f32 : BlockOp::as_f64, {w});
  }
  l.set(0, std::move(words));
}

// Words of any class as b32 words, and back: a thread's bits are one stream.
LOWER(view) {
  Emit& e = l.emit();
  Tile a = l.arg(0);
  DType to = l.result_type().dtype;
  Words stream;
  for (Operand w : a.words) {
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
  RegClass c = word_class(to);
  Words out;
  if (class_bytes(c) == 8) {
    for (size_t i = 0; i + 1 < stream.size(); i += 2) {
      Operand w = e.join(stream[i], stream[i + 1]);
      out.push_back(c == RegClass::f64 ? e.op(BlockOp::as_f64, {w}) : w);
    }
  } else {
    for (const Operand& w : stream)
      out.push_back(c == RegClass::f32 ? e.op(BlockOp::as_f32, {w}) : w);
  }
  l.set(0, std::move(out));
}

LOWER(relayout) {
  Tile a = l.arg(0);
  const TileLayout* to = l.result_layout();
  if (!to || !a.layout) return;
  std::vector<int64_t> map = l.register_map(*to, *a.layout);
  if (!map.empty()) return l.set(0, l.permuted(a.type, a.words, a.layout->registers, map));
  l.set(0, exchange(l, a, *to));
}

}  // namespace tess::jit
