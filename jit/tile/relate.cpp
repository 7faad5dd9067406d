#include "jit/tile/relate.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "isa/infer.h"
#include "isa/layout_ops.h"
#include "isa/numerics.h"

namespace tess::jit::tile {
namespace {

constexpr int64_t kUnknownTrips = 10, kMostWeight = 1'000'000;

int64_t constant_of(const Kernel& k, Ref r) {
  const Constant& c = k.constants[r.index()];
  return static_cast<int64_t>(decode_int(c.type, c.code));
}

int64_t trips(const Kernel& k, const Inst& loop) {
  auto args = k.args(loop);
  if (loop.op != Op::for_) return kUnknownTrips;
  for (Ref r : args)
    if (!r.is_constant()) return kUnknownTrips;
  int64_t begin = constant_of(k, args[0]), end = constant_of(k, args[1]),
          step = constant_of(k, args[2]);
  if (step == 0) return 1;
  return std::max<int64_t>(1, (end - begin + step - (step > 0 ? 1 : -1)) / step);
}

// Of one strand of a section.
int strand_warps(const Kernel& k, const Inst& section) {
  auto args = k.args(section);
  int64_t warps = k.warps;
  if (args[0].is_constant() && args[1].is_constant())
    warps = constant_of(k, args[1]) - constant_of(k, args[0]);
  return static_cast<int>(std::max<int64_t>(1, k.attr(section, AttrTag::by).value_or(warps)));
}

int floor_power(int64_t v) {
  return v < 1 ? 1 : static_cast<int>(std::bit_floor(static_cast<uint64_t>(v)));
}

Shape broadcast_of(const Shape& a, const Shape& b) {
  Shape r = a.rank >= b.rank ? a : b;
  const Shape& s = a.rank >= b.rank ? b : a;
  for (int d = 0; d < s.rank; ++d) {
    int64_t& to = r[r.rank - s.rank + d];
    to = std::max(to, s[d]);
  }
  return r;
}

}  // namespace

const Access* Relations::access_of(const Inst& inst) const {
  for (Ref r : k_.args(inst))
    if (r.is_access()) return &k_.accesses[r.index()];
  return nullptr;
}

int Relations::result_slot(const Relation& r) const {
  for (size_t i = 0; i < r.slots.size(); ++i)
    if (r.slots[i].result) return static_cast<int>(i);
  return -1;
}

std::vector<Relation> Relations::all(const KernelInfo& info, const std::vector<LayoutId>& written) {
  std::vector<Relation> relations;
  struct Block {
    uint32_t depth;
    int64_t weight;
    int warps;
    uint32_t loop = 0;  // its pc; 0: no loop, or the kernel itself
  };
  std::vector<Block> blocks{{0, 1, static_cast<int>(k_.warps)}};  // the open ones
  // Assignments of a value in program order: is there one between two instructions?
  std::vector<std::vector<uint32_t>> assigned(k_.values.size());
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc)
    for (Ref v : k_.results(k_.code[pc])) assigned[v.index()].push_back(pc);
  auto assigned_in = [&](uint32_t value, uint32_t begin, uint32_t end) {
    auto it = std::lower_bound(assigned[value].begin(), assigned[value].end(), begin);
    return it != assigned[value].end() && *it < end;
  };
  auto conversion_weight = [&](uint32_t value) {
    int64_t weight = blocks.back().weight;
    for (size_t b = blocks.size(); b-- > 1;) {
      if (!blocks[b].loop) continue;
      if (assigned_in(value, blocks[b].loop, info.match[blocks[b].loop])) break;
      weight = blocks[b - 1].weight;
    }
    return weight;
  };
  std::vector<Use> uses;
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    if (inst.op == Op::end) blocks.pop_back();
    Relation r;
    r.pc = pc;
    r.warps = blocks.back().warps;
    r.depth = blocks.back().depth;
    r.weight = blocks.back().weight;
    if (op.form == Form::control && inst.op != Op::end && inst.op != Op::else_) {
      Block inner = blocks.back();
      inner.loop = 0;
      if (inst.op == Op::for_ || inst.op == Op::while_) {
        ++inner.depth;
        inner.weight = std::min(kMostWeight, inner.weight * trips(k_, inst));
        inner.loop = pc;
      } else if (op.rule == Rule::strand_) {
        inner.warps = strand_warps(k_, inst);
      }
      blocks.push_back(inner);
    }
    uses_of(k_, inst, uses);
    for (size_t u = 0; u < uses.size(); ++u)
      if (webs_.of_use[pc][u] != Webs::kNone)
        r.slots.push_back({webs_.of_use[pc][u], k_.values[uses[u].value].type, false,
                           static_cast<uint32_t>(u), uses[u].place,
                           conversion_weight(uses[u].value)});
    for (uint32_t i = 0; i < inst.n_results; ++i)
      if (webs_.of_result[pc][i] != Webs::kNone)
        r.slots.push_back({webs_.of_result[pc][i],
                           k_.values[k_.results(inst)[i].index()].type,
                           true,
                           i,
                           {},
                           r.weight});
    if (r.slots.empty()) continue;
    if (auto l = k_.attr(inst, AttrTag::layout)) r.written = written[static_cast<size_t>(*l)];
    const Access* access = access_of(inst);
    int result = result_slot(r);
    bool moves = op.rule == Rule::load_ || op.rule == Rule::store_ || op.rule == Rule::atomic_ ||
                 op.rule == Rule::red_async_;
    if (moves && access) {
      r.full = access_type(k_, *access, false).type.shape;
      if (k_.values[access->base].type.space == Space::global) r.lie = facts_.contiguity(*access);
    } else if (op.rule == Rule::scatter_) {
      for (const Slot& s : r.slots)
        if (s.place.arg >= 2) r.full = broadcast_of(r.full, s.type.shape);
    } else if (result >= 0) {
      r.full = r.slots[static_cast<size_t>(result)].type.shape;
    }
    if (op.rule == Rule::mma_) {
      auto shape_of = [&](size_t arg) {
        Ref x = k_.args(inst)[arg];
        return x.is_access() ? access_type(k_, k_.accesses[x.index()], false).type
                             : k_.values[x.index()].type;
      };
      Type a = shape_of(0), b = shape_of(1);
      DType acc = k_.values[k_.results(inst)[0].index()].type.dtype;
      if (auto form = mma_form(a.dtype, b.dtype, acc, target_.sm))
        for (MmaFragments& f : mma_fragments(*form, a.shape, b.shape, r.warps)) {
          Mode m;
          LayoutId la = pool_.add(f.a), lb = pool_.add(f.b), lc = pool_.add(f.c);
          for (const Slot& s : r.slots)
            m.layout.push_back(s.result ? lc : s.place.arg == 0 ? la : s.place.arg == 1 ? lb : lc);
          m.cost = 2 * f.products;
          m.operand[0] = la;
          m.operand[1] = lb;
          r.fragments.push_back(std::move(m));
        }
    }
    if (op.rule == Rule::wgmma_) {
      Ref x = k_.args(inst)[0];
      Type a = x.is_access() ? access_type(k_, k_.accesses[x.index()], false).type
                             : k_.values[x.index()].type;
      for (MmaFragments& f : wgmma_fragments(a.dtype, a.shape, r.full, r.warps)) {
        Mode m;
        LayoutId la = pool_.add(f.a), lc = pool_.add(f.c);
        for (const Slot& s : r.slots) m.layout.push_back(!s.result && s.place.arg == 0 ? la : lc);
        m.cost = f.products;
        r.fragments.push_back(std::move(m));
      }
    }
    relations.push_back(std::move(r));
  }
  return relations;
}

Mode Relations::blank(const Request& q) const {
  Mode m;
  m.layout.assign(q.r.slots.size(), kNoLayout);
  return m;
}

LayoutId Relations::global_memory(const Shape& tile, int fastest) {
  std::vector<int64_t> strides(tile.rank);
  int64_t next = 1;
  for (int d : row_order(tile.rank, fastest)) {
    strides[static_cast<size_t>(d)] = next;
    next *= static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tile[d])));
    next = std::max<int64_t>(next, 4096);
  }
  return pool_.add(strided(dims_of(tile), strides));
}

Relations::GlobalAccess Relations::global_access(LayoutId reg, const Shape& tile,
                                                 const Facts::Contiguity& lie, int bits) {
  constexpr int64_t kIssue = 8, kSectorBits = 256;
  GlobalAccess g;
  int64_t n = pool_.registers(reg);
  LayoutId mem = global_memory(tile, lie.dim >= 0 ? lie.dim : tile.rank - 1);
  if (mem == kNoLayout) return {1, n, n * (kIssue + 64)};
  const Layout& l = pool_.at(reg);
  if (lie.dim >= 0)
    if (auto v = vector_width(l, pool_.at(mem), {bits, 128, lie.alignment, 0})) g.elems = *v;
  g.instructions = (n + g.elems - 1) / g.elems;
  std::set<int64_t> sectors;
  LayoutPoint p;
  int64_t lanes = size_of(l, Label::lane);
  for (p.lane = 0; p.lane < lanes; ++p.lane) {
    int64_t at = 0;
    std::vector<int64_t> index = apply(l, p);
    at = lie.dim >= 0 ? offset_of(pool_.at(mem), index) * bits
                      : offset_of(pool_.at(mem), index) * kSectorBits;
    for (int64_t b = at; b < at + g.elems * bits; b += kSectorBits) sectors.insert(b / kSectorBits);
    sectors.insert((at + g.elems * bits - 1) / kSectorBits);
  }
  g.cost = g.instructions * (kIssue + static_cast<int64_t>(sectors.size()));
  if (bits * g.elems < 8) g.cost += 4 * g.instructions;
  return g;
}

void Relations::memory_cost(const Request& q, Mode& mode) {
  const Access* access = access_of(q.inst);
  bool whole = q.op.rule == Rule::gather_ || q.op.rule == Rule::scatter_;
  uint32_t base = access && !whole ? access->base : Webs::kNone;
  if (whole)
    for (Ref r : k_.args(q.inst))
      if (r.is_value() && k_.values[r.index()].type.is_memory()) base = r.index();
  if (base == Webs::kNone || mode.access == kNoLayout) return;
  const Type& t = k_.values[base].type;
  int64_t n = work(mode.access);
  bool atomic = q.op.rule == Rule::atomic_;
  if (t.space == Space::shared)
    mode.cost += whole || atomic ? 4 * n : pool_.best_shared_access(mode.access, t.dtype.bits);
  else if (whole || atomic) mode.cost += n * 40;
  else mode.cost += global_access(mode.access, q.r.full, q.r.lie, t.dtype.bits).cost;
}

// Operands broadcast to one shape, which the result has; every element by itself.
void Relations::elementwise(const Request& q) {
  const Shape& full = q.r.full;
  const Shape& mine = q.r.slots[q.slot].type.shape;
  bool gathered = q.r.slots[q.slot].place.index >= 0 && !q.r.slots[q.slot].result;
  LayoutId f = q.layout;
  if (mine != full) {
    if (mine.elements() != full.elements()) return;
    f = pool_.reshaped(q.layout, full);
  } else if (gathered && full.rank != 1) {
    return;
  }
  if (f != kNoLayout) elementwise_over(q, f);
}

std::vector<Mode> Relations::whole_modes(const Relation& r) {
  std::vector<Mode> out;
  const Inst& inst = k_.code[r.pc];
  const OpInfo& op = op_info(inst.op);
  bool writes = op.rule == Rule::store_ || op.rule == Rule::scatter_ || op.rule == Rule::atomic_ ||
                op.rule == Rule::red_async_;
  if (!writes || r.full.rank == 0) return out;
  bool wide = r.lie.dim >= 0;
  int64_t run =
      wide ? std::min<int64_t>(floor_power(128 / r.slots[0].type.dtype.bits), r.lie.alignment) : 1;
  if (auto l = wide_layout(r.full, wide ? r.lie.dim : r.full.rank - 1, run, r.warps))
    elementwise_over({r, inst, op, 0, kNoLayout, out}, pool_.add(*l));
  return out;
}

void Relations::elementwise_over(const Request& q, LayoutId f) {
  Mode m = blank(q);
  for (size_t i = 0; i < q.r.slots.size(); ++i) {
    const Slot& s = q.r.slots[i];
    if (!s.result && s.place.index >= 0) {  // rows gathered: the tile of one dimension
      const Access& a = k_.accesses[k_.args(q.inst)[s.place.arg].index()];
      int dim = 0;
      for (int16_t d = 0; d < s.place.index; ++d) {
        const Index& index = k_.indices[a.first_index + static_cast<uint32_t>(d)];
        dim += index.kind != IndexKind::point;
      }
      LayoutId only = pool_.collapsed(f, ~(1u << dim));
      m.layout[i] = only == kNoLayout ? kNoLayout : pool_.reshaped(only, s.type.shape);
    } else {
      m.layout[i] = pool_.narrowed(f, s.type.shape);
    }
    if (m.layout[i] == kNoLayout) return;
  }
  m.cost = work(f);
  m.access = f;
  memory_cost(q, m);
  q.out.push_back(std::move(m));
}

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

namespace {
// The dimension an instruction works on: its `dim`, or `otherwise` (negative: from the last).
int dim_of(const Kernel& k, const Inst& inst, int rank, int otherwise) {
  int64_t d = k.attr(inst, AttrTag::dim).value_or(otherwise);
  return static_cast<int>(d < 0 ? d + rank : d);
}
}  // namespace

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

void Relations::unconstrained(const Request& q) {
  Mode m = blank(q);
  if (q.r.slots[q.slot].result) m.layout[q.slot] = q.layout;
  else if (result_slot(q.r) >= 0) return;
  q.out.push_back(std::move(m));
}

void Relations::modes(const Relation& r, uint32_t slot, LayoutId layout, std::vector<Mode>& out) {
  const Inst& inst = k_.code[r.pc];
  const OpInfo& op = op_info(inst.op);
  Request q{r, inst, op, slot, layout, out};
  switch (op.rule) {
    case Rule::broadcast_:
    case Rule::cast_:
    case Rule::bitcast_:
    case Rule::written_:
    case Rule::table_:
    case Rule::load_:
    case Rule::store_:
    case Rule::gather_:
    case Rule::scatter_:
    case Rule::atomic_:
    case Rule::red_async_:
      return elementwise(q);
    case Rule::same_:
      if (!op.requires_attr(AttrTag::layout)) return elementwise(q);
      if (!r.slots[slot].result) {  // relayout
        Mode m = blank(q);
        for (size_t i = 0; i < r.slots.size(); ++i)
          m.layout[i] = r.slots[i].result ? r.written : layout;
        m.cost = pool_.move(layout, r.written, r.slots[slot].type.dtype.bits).cost;
        out.push_back(std::move(m));
      }
      return;
    case Rule::scan_:
    case Rule::sort_:
      return along(q);
    case Rule::topk_:
      return top(q);
    case Rule::reduce_:
    case Rule::reduce_arg_:
      return reduction(q);
    case Rule::dot_:
      return dot(q);
    case Rule::reshape_:
    case Rule::squeeze_:
    case Rule::unsqueeze_:
      return reshaping(q);
    case Rule::transpose_:
      return transposing(q);
    case Rule::broadcast_to_:
      return broadcasting(q);
    case Rule::concat_:
      return joining(q);
    case Rule::slice_:
    case Rule::insert_:
      return cutting(q);
    case Rule::repeat_:
      return repeating(q);
    case Rule::pack_:
    case Rule::unpack_:
      return packing(q);
    case Rule::lookup_:
      return looking_up(q);
    case Rule::mma_:
    case Rule::wgmma_:
      return product(q);
    default:
      return unconstrained(q);
  }
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
      if (auto l = wide_layout(part, part.rank - 1, floor_power(128 / s.type.dtype.bits), r.warps))
        if (LayoutId whole = pool_.local_times(parts, pool_.add(*l)); whole != kNoLayout)
          found.push_back({i, whole, "multiply-add operand"});
    }
  }
}

std::vector<Anchor> Relations::anchors(const Relation& r) {
  std::vector<Anchor> found;
  const Inst& inst = k_.code[r.pc];
  const OpInfo& op = op_info(inst.op);
  auto add = [&](size_t slot, const Result<Layout>& l, const char* rule) {
    if (l) found.push_back({static_cast<uint32_t>(slot), pool_.add(*l), rule});
  };
  auto natural_run = [&](const Type& t) { return floor_power(128 / t.dtype.bits); };
  switch (op.rule) {
    case Rule::mma_:
    case Rule::wgmma_:
      for (const Mode& m : r.fragments)
        for (size_t i = 0; i < r.slots.size(); ++i)
          found.push_back({static_cast<uint32_t>(i), m.layout[i], role(r, i)});
      if (r.fragments.empty() && op.rule == Rule::mma_) multiply_add_anchors(r, found);
      break;
    case Rule::load_:
    case Rule::store_:
    case Rule::atomic_: {
      const Access* a = access_of(inst);
      if (!a || k_.values[a->base].type.space != Space::global) break;
      for (size_t i = 0; i < r.slots.size(); ++i) {
        if (r.slots[i].type.shape != r.full || (r.slots[i].place.index >= 0 && !r.slots[i].result))
          continue;
        const Type& t = k_.values[a->base].type;
        int64_t run = std::min<int64_t>(natural_run(t), r.lie.alignment);
        bool wide = r.lie.dim >= 0;
        add(i, wide_layout(r.full, wide ? r.lie.dim : r.full.rank - 1, wide ? run : 1, r.warps),
            wide ? "wide access" : "spread over all threads");
      }
      break;
    }
    case Rule::reduce_:
    case Rule::reduce_arg_:
    case Rule::scan_:
    case Rule::sort_:
    case Rule::topk_:
    case Rule::dot_: {
      const Type& t = r.slots[0].type;
      int rank = t.shape.rank;
      bool from_last = op.rule != Rule::reduce_ && op.rule != Rule::reduce_arg_;
      if (!from_last && !k_.attr(inst, AttrTag::dim)) break;
      int dim = op.rule == Rule::dot_ ? rank - 1 : dim_of(k_, inst, rank, from_last ? -1 : 0);
      std::vector<int> lanes = row_order(rank, dim), warps;
      for (int d = rank; d-- > 0;)
        if (d != dim) warps.push_back(d);
      if (warps.empty()) warps = lanes;
      int64_t run = natural_run(t);
      while (run > 1 && t.shape[dim] % run) run /= 2;
      add(0, spread_over(t.shape, {dim, lanes, warps, run}, r.warps), "reduction within a warp");
      if (rank > 1 && t.shape[dim] <= 64) {
        warps.push_back(dim);
        add(0, spread_over(t.shape, {dim, warps, warps, t.shape[dim]}, r.warps),
            "reduction within a thread");
      }
      break;
    }
    default:
      break;
  }
  return found;
}

}  // namespace tess::jit::tile
