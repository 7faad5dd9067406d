#include "jit/lower/combine.h"

#include <bit>
#include <map>

#include "isa/layout_ops.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

// A digit of a thread's number.
struct ThreadDigit {
  bool lane = false;
  int64_t below = 1, size = 1;  // its place in the lane's or warp's number
  bool goes = false, stays = false;
};

std::vector<ThreadDigit> digits_of(const TileLayout& l, uint32_t dims) {
  std::vector<ThreadDigit> out;
  if (l.linear) {  // every bit by itself
    for (int w = 0; w < 2; ++w)
      for (int64_t bit = 1; bit < (w ? l.warps : l.lanes); bit *= 2) {
        LayoutPoint p, zero;
        (w ? p.warp : p.lane) = bit;
        std::vector<int64_t> a = apply(l.layout, p), b = apply(l.layout, zero);
        ThreadDigit d{w == 0, bit, 2, false, false};
        for (size_t i = 0; i < a.size(); ++i)
          if (a[i] != b[i]) (dims >> i & 1 ? d.goes : d.stays) = true;
        out.push_back(d);
      }
    return out;
  }
  int64_t below[2] = {1, 1};
  for (const Digit& g : l.layout.digits) {
    if (g.label != Label::lane && g.label != Label::warp) continue;
    bool lane = g.label == Label::lane;
    ThreadDigit d{lane, below[lane], g.size, false, false};
    below[lane] *= g.size;
    for (size_t i = 0; i < g.out.size(); ++i)
      if (g.out[i]) (dims >> i & 1 ? d.goes : d.stays) = true;
    out.push_back(d);
  }
  return out;
}

Operand value_of(Lowering& l, const ThreadDigit& d) {
  Emit& e = l.emit();
  Operand from = d.lane ? l.lane() : l.warp();
  return e.op(BlockOp::urem, {e.op(BlockOp::udiv, {from, b32(static_cast<uint64_t>(d.below))}),
                              b32(static_cast<uint64_t>(d.size))});
}

// Over threads that differ in digits `of`, through shared memory.
void exchange(Lowering& l, std::vector<Item>& items, const std::vector<ThreadDigit>& digits,
              const std::vector<ThreadDigit>& of, const CombineItems& combine) {
  Emit& e = l.emit();
  // Writers: where digits that hold copies by now are 0. Places: the digits that are left, in
  // mixed radix; those of `of` last, so that a reader steps through them.
  Operand writer = pred(true), place = b32(0);
  int64_t places = 1;
  auto is_of = [&](const ThreadDigit& d) {
    for (const ThreadDigit& o : of)
      if (o.lane == d.lane && o.below == d.below) return true;
    return false;
  };
  for (const ThreadDigit& d : digits) {
    if (is_of(d)) continue;
    if (!d.stays) {
      writer = e.and_(writer, e.eq(value_of(l, d), b32(0)));
      continue;
    }
    place = e.add(place, e.mul(value_of(l, d), b32(static_cast<uint64_t>(places))));
    places *= d.size;
  }
  int64_t groups = places;
  Operand mine = place;
  int64_t steps = 1;
  for (const ThreadDigit& d : of) {
    mine = e.add(mine, e.mul(value_of(l, d), b32(static_cast<uint64_t>(groups * steps))));
    steps *= d.size;
  }
  places = groups * steps;
  int64_t lanes = 1, warps = 1;
  for (const ThreadDigit& d : digits) (d.lane ? lanes : warps) *= d.size;
  if (lanes < 32) writer = e.and_(writer, e.ult(l.lane(), b32(static_cast<uint64_t>(lanes))));
  if (warps < l.strand().warps)
    writer = e.and_(writer, e.ult(l.warp(), b32(static_cast<uint64_t>(warps))));
  // One array for each operand of an item.
  std::vector<ScratchArray> arrays;
  uint32_t byte = 0;
  int64_t n = static_cast<int64_t>(items.size());
  for (Operand o : items[0]) {
    DType t = o.type == RegClass::f32   ? dt::f32_
              : o.type == RegClass::f64 ? dt::f64_
              : o.type == RegClass::b64 ? dt::u64_
                                        : dt::u32_;
    arrays.emplace_back(l, t, places * n, byte);
    byte = arrays.back().end();
  }
  auto number = [&](Operand at, int64_t reg) {
    return e.add(e.mul(at, b32(static_cast<uint64_t>(n))), b32(static_cast<uint64_t>(reg)));
  };
  if (!writer.is_imm()) e.begin_if(writer);
  for (int64_t r = 0; r < n; ++r)
    for (size_t i = 0; i < arrays.size(); ++i)
      arrays[i].store(number(mine, r), items[static_cast<size_t>(r)][i]);
  if (!writer.is_imm()) e.end();
  l.barrier();
  // Threads that have no place read somebody's.
  Operand from = places == 1 ? b32(0) : place;
  for (int64_t r = 0; r < n; ++r) {
    Item all;
    for (int64_t s = 0; s < steps; ++s) {
      Item there;
      for (ScratchArray& a : arrays)
        there.push_back(a.load(number(e.add(from, b32(static_cast<uint64_t>(s * groups))), r)));
      all = s ? combine(all, there) : there;
    }
    items[static_cast<size_t>(r)] = all;
  }
  l.barrier();
}

}  // namespace

const TileLayout* collapsed_layout(Lowering& l, const TileLayout& from, uint32_t dims) {
  Layout small = from.layout;
  for (size_t d = 0; d < small.shape.size(); ++d) {
    if (!(dims >> d & 1) || small.shape[d] == 1) continue;
    Result<Layout> next = reduce(small, static_cast<int>(d), true);
    if (!next) return nullptr;
    small = std::move(*next);
  }
  return l.intern(small);
}

std::optional<std::vector<Item>> combine_registers(Lowering& l, const TileLayout& from,
                                                   const TileLayout& collapsed,
                                                   std::vector<Item> items, const Combining& how) {
  std::vector<ThreadDigit> digits = digits_of(from, how.dims);
  if (from.linear && from.replicated) return {};
  for (const ThreadDigit& d : digits)
    if (d.goes && d.stays) return {};
  // Within the thread: registers with equal coordinates of what stays, copies left out.
  auto kept = [&](std::vector<int64_t> at) {
    for (size_t i = 0; i < at.size(); ++i)
      if (how.dims >> i & 1) at[i] = 0;
    return at;
  };
  std::map<std::vector<int64_t>, std::map<std::vector<int64_t>, size_t>> groups;
  for (size_t r = 0; r < items.size(); ++r) groups[kept(from.at[r])].try_emplace(from.at[r], r);
  std::vector<Item> out;
  for (const std::vector<int64_t>& at : collapsed.at) {
    auto it = groups.find(kept(at));
    if (it == groups.end()) return {};
    std::vector<Item> level;
    for (auto& [place, r] : it->second) level.push_back(items[r]);
    while (level.size() > 1) {
      std::vector<Item> next;
      for (size_t i = 0; i + 1 < level.size(); i += 2)
        next.push_back(how.combine(level[i], level[i + 1]));
      if (level.size() % 2) next.push_back(level.back());
      level = std::move(next);
    }
    out.push_back(level[0]);
  }
  // Lanes by shuffles, if all their digits are powers of two.
  std::vector<ThreadDigit> rest;
  int64_t whole_warp = 1;
  bool powers = from.lanes == 1 || std::has_single_bit(static_cast<uint64_t>(from.lanes));
  for (const ThreadDigit& d : digits)
    powers &= !d.lane || std::has_single_bit(static_cast<uint64_t>(d.size));
  for (const ThreadDigit& d : digits)
    if (d.lane && d.goes) whole_warp *= d.size;
  bool by_warp = powers && whole_warp == 32 && !how.warp_form.empty();
  for (ThreadDigit& d : digits) {
    if (!d.goes) continue;
    if (!d.lane || !powers) {
      rest.push_back(d);
      continue;
    }
    for (int64_t step = d.below; step < d.below * d.size && !by_warp; step *= 2)
      for (Item& item : out) {
        Item there;
        for (Operand o : item)
          there.push_back(shuffle(l, "bfly", o, b32(static_cast<uint64_t>(step))));
        item = how.combine(item, there);
      }
    d.goes = d.stays = false;
  }
  if (by_warp)
    for (Item& item : out) item[0] = l.emit().form1(how.warp_form, {item[0], b32(0xffffffff)});
  if (!rest.empty()) exchange(l, out, digits, rest, how.combine);
  return out;
}

Words reshaped_words(Lowering& l, const Tile& t, const Shape& to, const TileLayout* layout) {
  if (!layout) {
    if (!t.layout) return t.words;
    Operand word = l.pack(t.type, {l.elements(t.type, t.words, t.layout->registers)[0]})[0];
    bool everywhere = t.layout->lanes == 32 && t.layout->warps == l.strand().warps;
    return {everywhere ? word : l.from_first_thread(word)};
  }
  if (!t.layout) return l.broadcast_words(t, to, layout);
  std::vector<int64_t> map =
      l.register_map(*layout, *t.layout, [&](const std::vector<int64_t>& at) {
        int64_t number = 0;
        for (int d = 0; d < to.rank; ++d) number = number * to[d] + at[static_cast<size_t>(d)];
        std::vector<int64_t> from(t.shape.rank);
        for (int d = t.shape.rank; d-- > 0; number /= t.shape[d])
          from[static_cast<size_t>(d)] = number % t.shape[d];
        return from;
      });
  if (map.empty()) {  // written layouts may want elements of other threads
    ScratchArray all(l, t.type, t.shape.elements());
    store_tile(l, all, t);
    std::vector<Operand> out = load_elements(l, all, *layout, zero_element(t.type), [&](int64_t r) {
      return element_number(l, *layout, to, r);
    });
    l.barrier();
    return l.pack(t.type, out);
  }
  return l.permuted(t.type, t.words, t.layout->registers, map);
}

}  // namespace tess::jit
