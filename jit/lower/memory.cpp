// load, store.
#include "isa/numerics.h"
#include "jit/lower/access.h"

namespace tess::jit {
namespace {

uint64_t pad_code(Lowering& l) {
  auto pad = l.attr(AttrTag::pad);
  return pad ? l.kernel().constants[static_cast<size_t>(*pad)].code : 0;
}

// A scalar in memory is a tile of one element: every thread's, or one thread's.
const TileLayout* single_layout(Lowering& l, bool everywhere) {
  Layout one;
  if (everywhere) {
    one.digits.push_back({Label::lane, 0, 32, {}});
    if (l.strand().warps > 1) one.digits.push_back({Label::warp, 0, l.strand().warps, {}});
  }
  return l.intern(one);
}

bool immutable(Lowering& l, const MemoryView& v) {
  if (v.space != Space::global || v.root >= l.kernel().params.size()) return false;
  const Param& p = l.kernel().params[v.root];
  return p.dir == Direction::in && !p.may_alias;
}

}  // namespace

LOWER(load) {
  Part part = l.part_of_arg(0);
  Tile like;
  like.type = part.view.type;
  like.shape = l.result_type().shape;
  bool is_scalar = like.shape.rank == 0;
  // What others may write is read once, so that all threads see one value.
  bool once = is_scalar && !immutable(l, part.view);
  like.layout = is_scalar ? single_layout(l, !once) : l.result_layout();
  if (!like.layout) return;
  std::optional<Tile> mask;
  if (l.has_arg(1)) mask = l.arg(1);
  if (!mask && !is_scalar)
    if (auto fragments = load_fragments(l, part, like)) return l.set(0, std::move(*fragments));
  Words words = load_part(l, part, like, mask ? &*mask : nullptr, pad_code(l));
  if (once) words = {l.from_first_thread(words[0])};
  l.set(0, std::move(words));
}

LOWER(store) {
  Part part = l.part_of_arg(1);
  Tile value = l.arg(0);
  std::optional<Tile> mask;
  if (l.has_arg(2)) mask = l.arg(2);
  Tile stored = value;
  stored.shape = part.shape;
  if (part.shape.rank == 0) {
    stored.layout = single_layout(l, false);
  } else if (!value.layout || !(value.shape == part.shape)) {
    // A scalar, or a tile that is broadcast: in the layout of the mask or the operand, else any
    // that covers the part.
    stored.layout =
        mask && mask->layout && mask->shape == part.shape ? mask->layout : l.any_layout(part.shape);
    if (!stored.layout) return;
    stored.words = l.broadcast_words(value, part.shape, stored.layout);
  }
  store_part(l, part, stored, mask ? &*mask : nullptr);
}

}  // namespace tess::jit
