// The instructions that change a tile's shape or combine along a dimension: reductions, scans,
// sorts, reshapes, transposes, joins, cuts, packing.
#include <algorithm>
#include <bit>
#include <numeric>

#include "jit/tile/relate.h"

namespace tess::jit::tile {

// What combining along a dimension costs between threads.
int64_t Relations::across(LayoutId operand, int dim, int bits) {
  const Layout& l = pool_.at(operand);
  int64_t lanes = 1, warps = 1;
  if (!l.bits.identity()) lanes = 32;
  else
    for (const Digit& d : l.digits) {
      if (d.out[static_cast<size_t>(dim)] == 0) continue;
      if (d.label == Label::lane) lanes *= d.size;
      if (d.label == Label::warp) warps *= d.size;
    }
  LayoutId rest = pool_.collapsed(operand, 1u << dim);
  int64_t left = rest == kNoLayout ? 1 : work(rest);
  int64_t words = std::max(1, bits / 32), steps = std::bit_width(static_cast<uint64_t>(lanes)) - 1;
  return left * words * 3 * steps + (warps > 1 ? 30 + 4 * left * words : 0);
}

void Relations::reduction(const Request& q) {
  const Slot& operand = q.r.slots[0];
  const Shape& shape = operand.type.shape;
  uint32_t dims = k_.attr(q.inst, AttrTag::dim) ? 1u << dim_of(k_, q.inst, shape.rank, 0)
                                                : (1u << shape.rank) - 1;
  Shape kept = shape;
  for (int d = 0; d < shape.rank; ++d)
    if (dims >> d & 1) kept[d] = 1;
  LayoutId x = q.layout;
  if (q.r.slots[q.slot].result) {
    x = pool_.reshaped(x, kept);
    if (x != kNoLayout) x = pool_.widened(x, shape, true);
  }
  if (x == kNoLayout) return;
  Mode m = blank(q);
  m.layout[0] = x;
  if (q.r.slots.size() > 1) {
    LayoutId small = pool_.collapsed(x, dims);
    if (small == kNoLayout) return;
    for (size_t i = 1; i < q.r.slots.size(); ++i)
      if ((m.layout[i] = pool_.reshaped(small, q.r.slots[i].type.shape)) == kNoLayout) return;
  }
  m.cost = work(x);
  for (int d = 0; d < shape.rank; ++d)
    if (dims >> d & 1) m.cost += across(x, d, operand.type.dtype.bits);
  q.out.push_back(std::move(m));
}

void Relations::dot(const Request& q) {
  const Shape& shape = q.r.slots[0].type.shape;
  int last = shape.rank - 1;
  Shape kept = shape;
  kept[last] = 1;
  const Slot& mine = q.r.slots[q.slot];
  LayoutId x = q.layout;
  if (mine.result || mine.place.arg == 2) {
    x = pool_.reshaped(x, kept);
    if (x != kNoLayout) x = pool_.widened(x, shape, true);
  }
  if (x == kNoLayout) return;
  LayoutId small = pool_.collapsed(x, 1u << last);
  Mode m = blank(q);
  for (size_t i = 0; i < q.r.slots.size(); ++i) {
    const Slot& s = q.r.slots[i];
    bool wide = !s.result && s.place.arg < 2;
    m.layout[i] = wide ? x : small == kNoLayout ? kNoLayout : pool_.reshaped(small, s.type.shape);
    if (m.layout[i] == kNoLayout) return;
  }
  m.cost = work(x) + across(x, last, 32);
  q.out.push_back(std::move(m));
}

// Scans and sorts: the same layout before and after.
void Relations::along(const Request& q) {
  size_t first = q.out.size();
  elementwise(q);
  const Type& t = q.r.slots[0].type;
  int dim = dim_of(k_, q.inst, t.shape.rank, -1);
  for (size_t i = first; i < q.out.size(); ++i) {
    int64_t between = across(q.out[i].layout[0], dim, t.dtype.bits);
    q.out[i].cost += q.op.rule == Rule::sort_ ? 8 * between : 2 * between;
  }
}

void Relations::top(const Request& q) {
  const Shape& from = q.r.slots[0].type.shape;
  uint32_t dim = 1u << dim_of(k_, q.inst, from.rank, -1);
  Mode m = blank(q);
  LayoutId rest = pool_.collapsed(q.layout, dim);
  if (rest == kNoLayout) return;
  m.layout[0] = q.slot == 0 ? q.layout : pool_.widened(rest, from, true);
  for (size_t i = 1; i < q.r.slots.size(); ++i)
    m.layout[i] = pool_.widened(rest, q.r.slots[i].type.shape, true);
  for (LayoutId l : m.layout)
    if (l == kNoLayout) return;
  m.cost = 4 * work(m.layout[0]) + 4 * across(m.layout[0], dim_of(k_, q.inst, from.rank, -1), 32);
  q.out.push_back(std::move(m));
}

void Relations::reshaping(const Request& q) {
  Mode m = blank(q);
  for (size_t i = 0; i < q.r.slots.size(); ++i)
    if ((m.layout[i] = pool_.reshaped(q.layout, q.r.slots[i].type.shape)) == kNoLayout) return;
  q.out.push_back(std::move(m));
}

void Relations::transposing(const Request& q) {
  int rank = q.r.full.rank;
  std::vector<int> order(static_cast<size_t>(rank)), inverse(order);
  std::iota(order.begin(), order.end(), 0);
  if (auto perm = k_.attr(q.inst, AttrTag::perm))
    for (int i = 0; i < rank; ++i) order[static_cast<size_t>(i)] = perm_at(*perm, i);
  else std::swap(order[static_cast<size_t>(rank) - 1], order[static_cast<size_t>(rank) - 2]);
  for (int i = 0; i < rank; ++i) inverse[static_cast<size_t>(order[static_cast<size_t>(i)])] = i;
  Mode m = blank(q);
  bool from_result = q.r.slots[q.slot].result;
  LayoutId other = pool_.permuted(q.layout, from_result ? inverse : order);
  if (other == kNoLayout) return;
  for (size_t i = 0; i < q.r.slots.size(); ++i)
    m.layout[i] = q.r.slots[i].result == from_result ? q.layout : other;
  q.out.push_back(std::move(m));
}

void Relations::joining(const Request& q) {
  int rank = q.r.full.rank, dim = dim_of(k_, q.inst, rank, 0);
  bool equal = true;
  int64_t parts = 0;
  for (const Slot& s : q.r.slots)
    if (!s.result) equal = equal && s.type.shape == q.r.slots[0].type.shape, ++parts;
  const Slot& mine = q.r.slots[q.slot];
  if (equal) {
    std::vector<int64_t> outer(static_cast<size_t>(rank), 1);
    outer[static_cast<size_t>(dim)] = parts;
    LayoutId part = mine.result ? pool_.local_under(outer, q.layout) : q.layout;
    LayoutId whole = part == kNoLayout ? kNoLayout
                     : mine.result     ? q.layout
                                       : pool_.local_times(outer, part);
    if (whole != kNoLayout) {
      Mode m = blank(q);
      for (size_t i = 0; i < q.r.slots.size(); ++i)
        m.layout[i] = q.r.slots[i].result ? whole : part;
      q.out.push_back(std::move(m));
      return;
    }
  }
  LayoutId rest = pool_.collapsed(q.layout, 1u << dim);
  if (rest == kNoLayout) return;
  Mode m = blank(q);
  for (size_t i = 0; i < q.r.slots.size(); ++i)
    if ((m.layout[i] = pool_.widened(rest, q.r.slots[i].type.shape, true)) == kNoLayout) return;
  q.out.push_back(std::move(m));
}

// slice and insert at static offsets of a register tile.
void Relations::cutting(const Request& q) {
  const Access& access = k_.accesses[k_.args(q.inst)[0].index()];
  Shape whole = k_.values[access.base].type.shape, part = whole;
  uint32_t cut = 0;
  bool chunks = true;
  std::vector<int64_t> count;
  for (int d = 0; d < whole.rank; ++d) {
    const Index& index = k_.indices[access.first_index + static_cast<uint32_t>(d)];
    int64_t begin = 0;
    if (index.kind != IndexKind::all) {
      begin = constant_of(k_, index.start);
      part[d] = index.kind == IndexKind::range  ? index.extent
                : index.kind == IndexKind::span ? constant_of(k_, index.stop) - begin
                                                : 1;
    }
    if (part[d] != whole[d]) cut |= 1u << d;
    chunks = chunks && part[d] > 0 && begin % part[d] == 0 && whole[d] % part[d] == 0;
    count.push_back(chunks ? whole[d] / part[d] : 1);
  }
  auto is_whole = [&](const Slot& s) {
    return s.result ? q.op.rule == Rule::insert_ : s.place.arg == 0;
  };
  const Slot& mine = q.r.slots[q.slot];
  LayoutId lead = q.layout;
  if (!is_whole(mine)) {
    if (mine.type.shape.elements() != part.elements()) return;
    lead = pool_.reshaped(lead, part);
  }
  if (lead == kNoLayout) return;
  auto put = [&](LayoutId w, LayoutId p) {
    if (w == kNoLayout || p == kNoLayout) return false;
    Mode m = blank(q);
    for (size_t i = 0; i < q.r.slots.size(); ++i) {
      const Slot& s = q.r.slots[i];
      if (is_whole(s)) m.layout[i] = w;
      else if (s.type.shape.elements() == part.elements())
        m.layout[i] = pool_.reshaped(p, s.type.shape);
      else m.layout[i] = pool_.narrowed(p, s.type.shape);
      if (m.layout[i] == kNoLayout) return false;
    }
    q.out.push_back(std::move(m));
    return true;
  };
  if (cut == 0) {
    put(lead, lead);
    return;
  }
  if (chunks) {
    LayoutId p = is_whole(mine) ? pool_.local_under(count, lead) : lead;
    LayoutId w = is_whole(mine) ? lead : pool_.local_times(count, lead);
    if (put(w, p)) return;
  }
  LayoutId rest = pool_.collapsed(lead, cut);
  if (rest != kNoLayout) put(pool_.widened(rest, whole, true), pool_.widened(rest, part, true));
}

void Relations::repeating(const Request& q) {
  int rank = q.r.full.rank;
  std::vector<int64_t> part(static_cast<size_t>(rank), 1);
  part[static_cast<size_t>(dim_of(k_, q.inst, rank, -1))] =
      k_.attr(q.inst, AttrTag::count).value_or(1);
  bool from_result = q.r.slots[q.slot].result;
  LayoutId other =
      from_result ? pool_.over_local(q.layout, part) : pool_.times_local(q.layout, part);
  if (other == kNoLayout) return;
  Mode m = blank(q);
  for (size_t i = 0; i < q.r.slots.size(); ++i)
    m.layout[i] = q.r.slots[i].result == from_result ? q.layout : other;
  q.out.push_back(std::move(m));
}

// pack and unpack: the fewest elements that are whole on both sides stay in one thread.
void Relations::packing(const Request& q) {
  const Slot &from = q.r.slots[0], &to = q.r.slots[1];
  int64_t bits = std::lcm<int64_t>(from.type.dtype.bits, to.type.dtype.bits);
  auto group = [&](const Slot& s) {
    std::vector<int64_t> g(s.type.shape.rank, 1);
    g.back() = bits / s.type.dtype.bits;
    return g;
  };
  const Slot& mine = q.r.slots[q.slot];
  LayoutId groups = pool_.over_local(q.layout, group(mine));
  if (groups == kNoLayout) return;
  Mode m = blank(q);
  m.layout[0] = pool_.times_local(groups, group(from));
  m.layout[1] = pool_.times_local(groups, group(to));
  if (m.layout[0] != kNoLayout && m.layout[1] != kNoLayout) q.out.push_back(std::move(m));
}

void Relations::looking_up(const Request& q) {
  int entry_rank = 0;
  for (const Slot& s : q.r.slots)
    if (!s.result && s.place.arg == 1) entry_rank = s.type.shape.rank - 1;
  Mode m = blank(q);
  const Slot& mine = q.r.slots[q.slot];
  if (!mine.result && mine.place.arg == 1) return;
  Shape full = q.r.full;
  if (!mine.result && entry_rank) return;
  uint32_t entry = 0;
  Shape kept = full;
  for (int d = full.rank - entry_rank; d < full.rank; ++d) entry |= 1u << d, kept[d] = 1;
  for (size_t i = 0; i < q.r.slots.size(); ++i) {
    const Slot& s = q.r.slots[i];
    if (s.result) m.layout[i] = q.layout;
    else if (s.place.arg == 0) {
      LayoutId l = entry ? pool_.collapsed(q.layout, entry) : q.layout;
      m.layout[i] = l == kNoLayout ? l : pool_.reshaped(l, s.type.shape);
      if (m.layout[i] == kNoLayout) return;
    }
  }
  m.cost = 2 * work(q.layout);
  q.out.push_back(std::move(m));
}

void Relations::broadcasting(const Request& q) {
  const Slot& mine = q.r.slots[q.slot];
  LayoutId full = q.layout;
  if (!mine.result) {
    if (mine.type.shape.elements() != q.r.full.elements()) return;
    full = pool_.reshaped(full, q.r.full);
    if (full == kNoLayout) return;
  }
  Mode m = blank(q);
  for (size_t i = 0; i < q.r.slots.size(); ++i)
    if ((m.layout[i] = pool_.narrowed(full, q.r.slots[i].type.shape)) == kNoLayout) return;
  q.out.push_back(std::move(m));
}

}  // namespace tess::jit::tile
