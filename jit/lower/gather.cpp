// gather, scatter: each element is a point of memory by itself.
#include "isa/numerics.h"
#include "jit/lower/access.h"

namespace tess::jit {
namespace {

// Every thread by itself: a layout of one element that all hold.
const TileLayout* everywhere(Lowering& l) {
  Layout one;
  one.digits.push_back({Label::lane, 0, 32, {}});
  if (l.strand().warps > 1) one.digits.push_back({Label::warp, 0, l.strand().warps, {}});
  return l.intern(one);
}

// The indices of each register, by dimension: b32, or b64 where they are not signed 32-bit numbers.
using Points = std::vector<std::vector<Operand>>;

Points points_of(Lowering& l, size_t first, size_t end, const Shape& shape,
                 const TileLayout* layout) {
  Points out;
  for (size_t i = first; i < end; ++i) {
    Tile t = l.arg(i);
    std::vector<Operand> at =
        l.elements(t.type, l.broadcast_words(t, shape, layout), layout ? layout->registers : 1);
    if (t.type == dt::u32_)
      for (Operand& x : at) x = l.emit().zext(x);
    out.push_back(std::move(at));
  }
  return out;
}

Part point(Lowering& l, const Part& whole, const Points& points, size_t reg) {
  Part part = whole;
  part.shape = Shape();
  part.view.dim.clear();
  part.view.extent.clear();
  part.view.first.clear();
  part.bounds.clear();
  for (size_t d = 0; d < points.size(); ++d) {
    size_t s = static_cast<size_t>(whole.view.dim[d]);
    Operand at = points[d][reg];
    part.bounds.push_back(l.bound_of(whole.view, d, at));
    part.view.start[s] = l.index_add(part.view.start[s], at);
    part.view.start_divisor[s] = 1;
  }
  return part;
}

std::vector<Operand> masks_of(Lowering& l, size_t arg, const Shape& shape,
                              const TileLayout* layout) {
  if (!l.has_arg(arg)) return {};
  Tile t = l.arg(arg);
  return l.broadcast_words(t, shape, layout);
}

Shape joined(const Shape& a, const Shape& b) {
  Shape out;
  int rank = std::max(a.rank, b.rank);
  for (int d = 0; d < rank; ++d) {
    int64_t x = d < rank - a.rank ? 1 : a[d - (rank - a.rank)];
    int64_t y = d < rank - b.rank ? 1 : b[d - (rank - b.rank)];
    out.push(x == 1 ? y : x);
  }
  return out;
}

}  // namespace

LOWER(gather) {
  Emit& e = l.emit();
  Part whole = l.part_of_arg(0);
  DType t = l.result_type().dtype;
  const Shape& shape = l.result_type().shape;
  const TileLayout* layout = shape.rank ? l.result_layout() : nullptr;
  if (shape.rank && !layout) return;
  size_t last = l.n_args() - 1;
  Points points = points_of(l, 1, last, shape, layout);
  std::vector<Operand> masks = masks_of(l, last, shape, layout);
  Operand holds = layout ? l.holds_elements(*layout) : pred(true);
  auto pad = l.attr(AttrTag::pad);
  uint64_t pad_code = pad ? l.kernel().constants[static_cast<size_t>(*pad)].code : 0;
  Tile like;
  like.type = t;
  like.layout = everywhere(l);
  std::vector<Operand> out;
  for (size_t r = 0; r < points[0].size(); ++r) {
    Tile wanted;
    wanted.type = dt::bool_;
    wanted.words = {masks.empty() ? holds : e.and_(holds, masks[r])};
    bool masked = !wanted.words[0].is_imm() || !wanted.words[0].bits;
    Words words =
        load_part(l, point(l, whole, points, r), like, masked ? &wanted : nullptr, pad_code);
    out.push_back(l.elements(t, words, 1)[0]);
  }
  l.set(0, l.pack(t, out));
}

LOWER(scatter) {
  Emit& e = l.emit();
  Tile v = l.arg(0);
  Part whole = l.part_of_arg(1);
  size_t last = l.n_args() - 1;
  Shape shape;
  for (size_t i = 2; i < last; ++i) shape = joined(shape, l.arg(i).shape);
  const TileLayout* layout = nullptr;
  for (size_t i = 0; i < last && shape.rank; ++i) {
    if (i == 1) continue;
    Tile t = l.arg(i);
    if (!layout && t.layout && t.shape == shape) layout = t.layout;
  }
  if (!layout) layout = shape.rank ? l.any_layout(shape) : l.intern(Layout{});
  if (!layout) return;
  Points points = points_of(l, 2, last, shape, layout);
  std::vector<Operand> masks = masks_of(l, last, shape, layout);
  Operand acts = l.is_first_copy(*layout);
  std::vector<Operand> values =
      l.elements(v.type, l.broadcast_words(v, shape, layout), layout->registers);
  Tile one;
  one.type = v.type;
  one.layout = everywhere(l);
  for (size_t r = 0; r < values.size(); ++r) {
    one.words = l.pack(v.type, {values[r]});
    Operand condition = masks.empty() ? acts : e.and_(acts, masks[r]);
    store_part(l, point(l, whole, points, r), one, nullptr, condition);
  }
}

}  // namespace tess::jit
