// cast bitcast view relayout.
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "isa/numerics.h"
#include "jit/lower/access.h"
#include "jit/lower/bit_words.h"
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

Words exchange(Lowering& l, const Tile& t, const TileLayout& to);

// Elements that share bytes with those of other threads go as a byte each.
Words exchange_as_bytes(Lowering& l, const Tile& t, const TileLayout& to) {
  Tile bytes = t;
  bytes.type = dt::u8_;
  bytes.words = l.pack(dt::u8_, l.elements(t.type, t.words, t.elements()));
  return l.pack(t.type, l.elements(dt::u8_, exchange(l, bytes, to), to.registers));
}

// Through shared memory, in the order that both layouts find the least conflicts in.
Words exchange(Lowering& l, const Tile& t, const TileLayout& to) {
  int bits = t.type.is_bool() ? 8 : t.type.bits;
  std::vector<int64_t> dims(t.shape.begin(), t.shape.end());
  auto choice = choose_shared_layout(dims, bits, {{&t.layout->layout}, {&to.layout, true}});
  auto rows = choice ? Result<Layout>(choice->mem) : row_major(dims);
  if (!rows) {
    l.fail(rows.error());
    return t.words;
  }
  Part part;
  part.shape = t.shape;
  MemoryView& v = part.view;
  v.space = Space::shared;
  v.type = t.type;
  v.root = ~0u;
  v.memory = l.keep(std::move(*rows));
  v.alignment = 128;
  for (int d = 0; d < t.shape.rank; ++d) {
    v.dim.push_back(d);
    v.extent.push_back(b32(static_cast<uint64_t>(t.shape[d])));
    v.start.push_back(b32(0));
    v.start_divisor.push_back(int64_t{1} << 30);
  }
  if (bits < 8 && !(in_whole_bytes(l, part, *t.layout) && in_whole_bytes(l, part, to)))
    return exchange_as_bytes(l, t, to);
  int64_t bytes = (extent_of(*v.memory) * bits + 7) / 8;
  v.base = l.scratch(static_cast<uint32_t>((bytes + 3) / 4 * 4));
  Tile like = t;
  like.layout = &to;
  store_part(l, part, t, nullptr);
  l.barrier();
  Words got = load_tile(l, part, like);
  l.barrier();  // as everywhere that memory of an instruction's own is read (scratch_array.h)
  return got;
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

// A thread's bits are one stream.
LOWER(view) { l.set(0, words_of_bits(l, l.result_type().dtype, bit_words(l, l.arg(0).words))); }

LOWER(relayout) {
  Tile a = l.arg(0);
  const TileLayout* to = l.result_layout();
  if (!to || !a.layout) return;
  std::vector<int64_t> map = l.register_map(*to, *a.layout);
  if (!map.empty()) return l.set(0, l.permuted(a.type, a.words, a.layout->registers, map));
  l.set(0, exchange(l, a, *to));
}

}  // namespace tess::jit
