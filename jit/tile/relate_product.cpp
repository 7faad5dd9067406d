// Matrix products: fragments of tensor cores, or multiply and add with operands in shared memory.
#include <algorithm>
#include <bit>

#include "isa/infer.h"
#include "jit/tile/relate.h"

namespace tess::jit::tile {

LayoutId Relations::operand_reader(LayoutId accumulator, const Shape& operand, bool is_b) {
  int rank = operand.rank;
  LayoutId side = pool_.collapsed(accumulator, 1u << (is_b ? rank - 2 : rank - 1));
  return side == kNoLayout ? kNoLayout : pool_.widened(side, operand, true);
}

void Relations::product(const Request& q) {
  if (!q.r.fragments.empty()) {
    for (const Mode& m : q.r.fragments)
      if (m.layout[q.slot] == q.layout) q.out.push_back(m);
    return;
  }
  const Slot& mine = q.r.slots[q.slot];
  if (!mine.result && mine.place.arg < 2) return;
  Mode m = blank(q);
  int rank = q.r.full.rank;
  for (size_t i = 0; i < q.r.slots.size(); ++i) {
    const Slot& s = q.r.slots[i];
    m.layout[i] = s.result || s.place.arg == 2 ? q.layout : kInShared;
  }
  LayoutId rows = pool_.collapsed(q.layout, 1u << (rank - 1)),
           columns = pool_.collapsed(q.layout, 1u << (rank - 2));
  if (rows == kNoLayout || columns == kNoLayout) return;
  int64_t k = 1;
  Ref a = k_.args(q.inst)[0];
  Shape sa = a.is_access() ? access_type(k_, k_.accesses[a.index()], false).type.shape
                           : k_.values[a.index()].type.shape;
  k = sa[sa.rank - 1];
  m.cost = k * (work(q.layout) + 2 * work(rows) + work(columns));
  Ref b = k_.args(q.inst)[1];
  Shape sb = b.is_access() ? access_type(k_, k_.accesses[b.index()], false).type.shape
                           : k_.values[b.index()].type.shape;
  m.operand[0] = operand_reader(q.layout, sa, false);
  m.operand[1] = operand_reader(q.layout, sb, true);
  q.out.push_back(std::move(m));
}

const char* Relations::role(const Relation& r, size_t slot) const {
  if (r.fragments.empty()) return nullptr;
  const Slot& s = r.slots[slot];
  if (s.result || s.place.arg == 2) return "mma accumulator";
  return s.place.arg == 0 ? "mma operand A" : "mma operand B";
}

void Relations::multiply_add_anchors(const Relation& r, std::vector<Anchor>& found) {
  const Slot *a = nullptr, *b = nullptr;
  for (const Slot& s : r.slots) {
    if (!s.result && s.place.arg == 0) a = &s;
    if (!s.result && s.place.arg == 1) b = &s;
  }
  std::vector<Layout> accumulators = fma_accumulators(r.full, r.warps);
  for (uint32_t i = 0; i < r.slots.size(); ++i) {
    const Slot& s = r.slots[i];
    if (s.result || s.place.arg == 2) {
      for (const Layout& l : accumulators)
        found.push_back({i, pool_.add(l), "multiply-add accumulator"});
    } else if (a && b) {
      // Loaded so that every part of k that is staged together is spread over all threads.
      bool is_a = &s == a;
      Shape part = s.type.shape;
      int along = is_a ? part.rank - 1 : part.rank - 2;
      int64_t depth =
          staged_depth(a->type.shape, a->type.dtype.bits, b->type.shape, b->type.dtype.bits);
      std::vector<int64_t> parts(part.rank, 1);
      parts[static_cast<size_t>(along)] = part[along] / depth;
      part[along] = depth;
      if (auto l = wide_layout(
              part, part.rank - 1,
              std::bit_floor(static_cast<uint64_t>(std::max(1, 128 / s.type.dtype.bits))), r.warps))
        if (LayoutId whole = pool_.local_times(parts, pool_.add(*l)); whole != kNoLayout)
          found.push_back({i, whole, "multiply-add operand"});
    }
  }
}

}  // namespace tess::jit::tile
