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

// The distance at which a cast makes the pairs of a value, followed back through instructions that
// keep elements in their registers.
int64_t packed_distance(const Kernel& k, Ref value, uint32_t before) {
  for (uint32_t pc = before; value.is_value() && pc-- > 0;) {
    const Inst& inst = k.code[pc];
    auto results = k.results(inst);
    if (results.size() != 1 || results[0] != value) continue;
    auto args = k.args(inst);
    switch (op_info(inst.op).rule) {
      case Rule::cast_:
        if (!args[0].is_value()) return 1;
        return pair_distance(k.values[args[0].index()].type.dtype,
                             k.values[value.index()].type.dtype);
      case Rule::same_:
      case Rule::broadcast_:
      case Rule::reshape_:
      case Rule::squeeze_:
      case Rule::unsqueeze_: {
        // The operand that is no smaller than the result.
        Ref next = Ref::none();
        for (Ref a : args)
          if (next.is_none() && a.is_value() &&
              k.values[a.index()].type.shape.elements() ==
                  k.values[value.index()].type.shape.elements())
            next = a;
        value = next;
        break;
      }
      default:
        return 1;
    }
  }
  return 1;
}

Shape broadcast_of(const Shape& a, const Shape& b) {
  Shape r = a.rank >= b.rank ? a : b;
  const Shape& s = a.rank >= b.rank ? b : a;
  for (int d = 0; d < s.rank; ++d) {
    int at = r.rank - s.rank + d;
    r[at] = std::max<int64_t>(r[at], s[d]);
  }
  return r;
}

}  // namespace

int64_t pair_distance(DType from, DType to) {
  bool whole = from.is_int() && (from.bits == 1 || from.bits == 2 || from.bits == 4);
  return whole && (to == dt::f16_ || to == dt::bf16_) ? 16 / from.bits : 1;
}

int64_t constant_of(const Kernel& k, Ref r) {
  const Constant& c = k.constants[r.index()];
  return static_cast<int64_t>(decode_int(c.type, c.code));
}

int dim_of(const Kernel& k, const Inst& inst, int rank, int otherwise) {
  int64_t d = k.attr(inst, AttrTag::dim).value_or(otherwise);
  return static_cast<int>(d < 0 ? d + rank : d);
}

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
    bool strand = false;
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
    r.in_strand = blocks.back().strand;
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
        inner.strand = true;
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
      if (auto form = mma_form(a.dtype, b.dtype, acc, target_.sm)) {
        std::vector<MmaFragments> all = mma_fragments(*form, a.shape, b.shape, r.warps);
        int64_t apart = packed_distance(k_, k_.args(inst)[1], pc);
        if (apart > 1)
          for (MmaFragments& f : mma_fragments(*form, a.shape, b.shape, r.warps, apart))
            all.push_back(std::move(f));
        for (MmaFragments& f : all) {
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
    }
    if (op.rule == Rule::wgmma_) {
      for (Slot& s : r.slots) s.in_flight = s.result || s.place.arg == 2;
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

// The result may have its registers in another order than the operand. Pairs out of neighbours cost
// three eighths of an instruction more per element.
void Relations::casting(const Request& q) {
  size_t first = q.out.size();
  elementwise(q);
  if (q.r.slots.size() != 2) return;
  const Slot &a = q.r.slots[0], &b = q.r.slots[1];
  int64_t apart = pair_distance(a.type.dtype, b.type.dtype);
  if (apart == 1) return;
  for (size_t i = first; i < q.out.size(); ++i) q.out[i].cost += work(q.layout) * 3 / 8;
  LayoutId other =
      q.r.slots[q.slot].result ? pool_.unpaired(q.layout, apart) : pool_.paired(q.layout, apart);
  if (other == kNoLayout) return;
  Mode m = blank(q);
  m.layout[q.slot] = q.layout;
  m.layout[1 - q.slot] = other;
  m.cost = work(q.layout);
  q.out.push_back(std::move(m));
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
    case Rule::cast_:
      return casting(q);
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
        // Codes below a byte become wider next: in a small tile every thread takes its share, since
        // copies would be widened for nothing.
        int64_t share = r.full.elements() / (32 * r.warps);
        if (wide && t.dtype.bits < 8 && share * t.dtype.bits >= 32 && share < run)
          add(i, wide_layout(r.full, r.lie.dim, floor_power(share), r.warps), "wide access");
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
