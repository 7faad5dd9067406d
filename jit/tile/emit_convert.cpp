// Conversions, trips through shared tiles, and products that take their operands from there.
#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/layout.h"
#include "isa/layout_ops.h"
#include "jit/tile/emitter.h"

namespace tess::jit::tile {

Status Emitter::hoist(uint32_t pc) {
  Op op = k_.code[pc].op;
  if (op != Op::for_ && op != Op::while_) return ok();
  std::set<uint32_t> assigned;
  for (uint32_t p = pc; p < info_.match[pc]; ++p)
    for (Ref r : k_.results(k_.code[p])) assigned.insert(r.index());
  std::vector<Use> uses;
  for (uint32_t p = pc + 1; p < info_.match[pc]; ++p) {
    const Mode* mode = mode_of(p);
    if (!mode) continue;
    const Relation& r = plan_.relations[static_cast<size_t>(relation_of_[p])];
    uses_of(k_, k_.code[p], uses);
    for (size_t i = 0; i < r.slots.size(); ++i) {
      const Slot& s = r.slots[i];
      if (s.result || assigned.count(uses[s.number].value)) continue;
      uint32_t old = uses[s.number].value;
      if (mode->layout[i] == kInShared)
        TESS_CHECK(in_shared(old, s.web, mode->operand[s.place.arg], r));
      else TESS_CHECK(converted(old, s.web, mode->layout[i], r, *mode));
    }
  }
  return ok();
}

std::string Emitter::spelled(LayoutId id) const {
  auto it = index_of_.find(id);
  const std::vector<LayoutDef>& defs = out_.module.layouts;
  if (it != index_of_.end() && !defs[it->second].name.empty()) return "#" + defs[it->second].name;
  return fmt::format("#({})", print_layout(pool_.at(id)));
}

Status Emitter::between_written(uint32_t from, uint32_t to, uint32_t pc, const std::string& name,
                                const std::string& hint) {
  const Origin &a = plan_.origins[from], &b = plan_.origins[to];
  if (!a.written || !b.written || a.pc == b.pc) return ok();
  auto span = [&](uint32_t at) {
    const Loc& l = k_.code[at].loc;
    return Span{l.file, l.line, l.col, 1};
  };
  Span first = span(std::min(a.pc, b.pc)), second = span(std::max(a.pc, b.pc));
  Diagnostic d = make_diag(diag::layout_written_conflict,
                           fmt::format("the layouts written at {}:{} and {}:{} do not agree on {}",
                                       first.line, first.col, second.line, second.col, name),
                           span(pc), hint);
  d.notes.push_back({"one layout is written here", first});
  d.notes.push_back({"the other here", second});
  return d;
}

Result<uint32_t> Emitter::converted(uint32_t old, uint32_t web, LayoutId to, const Relation& r,
                                    const Mode& mode) {
  const WebPlan& w = plan_.webs[web];
  uint32_t source = of_web(old, web);
  if (to == kNoLayout || to == w.layout) return source;
  auto known = copies_.find({old, to});
  if (known != copies_.end()) return known->second.value;
  const Type& t = k_.values[old].type;
  const Loc& loc = k_.code[r.pc].loc;
  if (pool_.move(w.layout, to, t.dtype.bits).where > Move::reg)
    TESS_CHECK(between_written(w.origin, mode.origin, r.pc, old_name(old),
                               fmt::format("convert it first: `%… = relayout {} {}`, or leave "
                                           "one of the layouts out",
                                           old_name(old), spelled(to))));
  uint32_t value = new_value("", t);
  record(next_inst(), name_of(source), w.layout, to, t.dtype.bits, false, loc);
  append(Op::relayout, {Ref::value(value)}, {Ref::value(source)},
         {{AttrTag::layout, layout_index(to)}}, loc);
  copies_.insert_or_assign({old, to}, Copy{value, depth_});
  return value;
}

Result<uint32_t> Emitter::in_shared(uint32_t old, uint32_t web, LayoutId reader,
                                    const Relation& r) {
  if (r.in_strand) return of_web(old, web);
  auto known = copies_.find({old, kInShared});
  if (known != copies_.end()) return known->second.value;
  const WebPlan& w = plan_.webs[web];
  std::vector<SharedUse> readers;
  if (reader != kNoLayout) readers.push_back({&pool_.at(reader), false});
  const Loc& loc = k_.code[r.pc].loc;
  uint32_t source = of_web(old, web);
  record(next_inst(), name_of(source), w.layout, kInShared, k_.values[old].type.dtype.bits, true,
         loc);
  uint32_t tile = put_in_shared(source, w.layout, readers, loc);
  copies_.insert_or_assign({old, kInShared}, Copy{tile, depth_});
  return tile;
}

uint32_t Emitter::put_in_shared(uint32_t value, LayoutId layout,
                                const std::vector<SharedUse>& readers, const Loc& loc) {
  Type t = kernel_.values[value].type;
  std::vector<SharedUse> uses{{&pool_.at(layout), false}};
  uses.insert(uses.end(), readers.begin(), readers.end());
  t.space = Space::shared;
  const std::string& name = kernel_.values[value].name;
  uint32_t tile = new_value(name.empty() ? "" : name + ".shared", t);
  auto choice = choose_shared_layout(dims_of(t.shape), t.dtype.bits, uses);
  auto plain = choice ? Result<Layout>(choice->mem) : row_major(dims_of(t.shape));
  std::vector<Attr> attrs;
  if (plain) attrs.push_back({AttrTag::layout, layout_index(pool_.add(*plain))});
  append(Op::smem, {Ref::value(tile)}, {}, attrs, loc);
  append(Op::store, {}, {Ref::value(value), whole(tile), Ref::none()}, {}, loc);
  if (plain) {
    fact(next_inst() - 1, loc, "store", tile, layout, *plain, false);
    mem_of_[tile] = pool_.add(*plain);
  }
  return tile;
}

Ref Emitter::index_constant(int64_t v) {
  Constant c{dt::i32_, static_cast<uint32_t>(v)};
  auto it = std::find(kernel_.constants.begin(), kernel_.constants.end(), c);
  if (it == kernel_.constants.end()) it = kernel_.constants.insert(it, c);
  return Ref::constant(static_cast<uint32_t>(it - kernel_.constants.begin()));
}

uint32_t Emitter::part_of(uint32_t value, LayoutId part, int dim, int64_t i, int64_t extent,
                          const Loc& loc) {
  Type t = kernel_.values[value].type;
  Access a;
  a.base = value;
  a.first_index = static_cast<uint32_t>(kernel_.indices.size());
  a.n_indices = t.shape.rank;
  for (int d = 0; d < t.shape.rank; ++d)
    kernel_.indices.push_back(
        d == dim ? Index{IndexKind::range, index_constant(i * extent), Ref::none(), extent}
                 : Index{IndexKind::all, Ref::none(), Ref::none(), 0});
  kernel_.accesses.push_back(a);
  t.shape[dim] = extent;
  uint32_t cut = new_value("", t);
  append(Op::slice, {Ref::value(cut)},
         {Ref::access(static_cast<uint32_t>(kernel_.accesses.size() - 1))},
         {{AttrTag::layout, layout_index(part)}}, loc);
  return cut;
}

Result<bool> Emitter::product_by_parts(uint32_t pc, const Relation& r, const Mode& mode) {
  const Slot *a = nullptr, *b = nullptr;
  for (size_t i = 0; i < r.slots.size(); ++i)
    if (mode.layout[i] == kInShared) (r.slots[i].place.arg == 0 ? a : b) = &r.slots[i];
  if (!a || !b || r.in_strand) return false;
  int64_t depth =
      staged_depth(a->type.shape, a->type.dtype.bits, b->type.shape, b->type.dtype.bits);
  int rank = a->type.shape.rank;
  int64_t parts = a->type.shape[rank - 1] / depth;
  LayoutId la = plan_.webs[a->web].layout, lb = plan_.webs[b->web].layout;
  std::vector<int64_t> cut_a(static_cast<size_t>(rank), 1), cut_b = cut_a;
  cut_a[static_cast<size_t>(rank) - 1] = cut_b[static_cast<size_t>(rank) - 2] = parts;
  LayoutId part_a = pool_.local_under(cut_a, la), part_b = pool_.local_under(cut_b, lb);
  if (parts == 1 || part_a == kNoLayout || part_b == kNoLayout) return false;
  const Inst& inst = k_.code[pc];
  uint32_t web = webs_.of_result[pc][0], result = k_.results(inst)[0].index();
  LayoutId acc = plan_.webs[web].layout;
  size_t made_in = 0;
  for (size_t i = 0; i < r.slots.size(); ++i)
    if (r.slots[i].result) made_in = i;
  if (mode.layout[made_in] != acc) return false;
  std::vector<Use> uses;
  uses_of(k_, inst, uses);
  uint32_t va = of_web(uses[a->number].value, a->web), vb = of_web(uses[b->number].value, b->web);
  Ref sum = k_.args(inst)[2];
  if (sum.is_value())
    for (size_t i = 0; i < r.slots.size(); ++i)
      if (!r.slots[i].result && r.slots[i].place.arg == 2) {
        TESS_TRY(uint32_t c, converted(sum.index(), r.slots[i].web, mode.layout[i], r, mode));
        sum = Ref::value(c);
      }
  std::vector<Attr> attrs(k_.attrs_of(inst).begin(), k_.attrs_of(inst).end());
  std::erase_if(attrs, [](const Attr& x) { return x.tag == AttrTag::layout; });
  attrs.insert(attrs.begin(), {AttrTag::layout, layout_index(acc)});
  Shape small_a = a->type.shape, small_b = b->type.shape;
  small_a[rank - 1] = small_b[rank - 2] = depth;
  std::vector<SharedUse> read_a, read_b;
  LayoutId ra = relations_.operand_reader(acc, small_a, false),
           rb = relations_.operand_reader(acc, small_b, true);
  if (ra != kNoLayout) read_a.push_back({&pool_.at(ra), false});
  if (rb != kNoLayout) read_b.push_back({&pool_.at(rb), false});
  record(next_inst(), name_of(va), la, kInShared, a->type.dtype.bits, true, inst.loc);
  record(next_inst(), name_of(vb), lb, kInShared, b->type.dtype.bits, true, inst.loc);
  for (int64_t i = 0; i < parts; ++i) {
    uint32_t sa =
        put_in_shared(part_of(va, part_a, rank - 1, i, depth, inst.loc), part_a, read_a, inst.loc);
    uint32_t sb =
        put_in_shared(part_of(vb, part_b, rank - 2, i, depth, inst.loc), part_b, read_b, inst.loc);
    uint32_t out = i + 1 == parts ? of_web(result, web) : new_value("", k_.values[result].type);
    append(inst.op, {Ref::value(out)}, {Ref::value(sa), Ref::value(sb), sum}, attrs, inst.loc);
    if (i == 0) new_pc_[pc] = next_inst() - 1;
    for (int side = 0; side < 2; ++side) {
      LayoutId reader = side == 0 ? ra : rb;
      auto mem = mem_of_.find(side == 0 ? sa : sb);
      if (reader != kNoLayout && mem != mem_of_.end())
        fact(next_inst() - 1, inst.loc, "mma", mem->first, reader, pool_.at(mem->second), false);
    }
    sum = Ref::value(out);
  }
  forget(result);
  return true;
}

}  // namespace tess::jit::tile
