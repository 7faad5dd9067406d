#include "jit/tile/shared.h"

#include <set>

#include "isa/infer.h"
#include "isa/layout_ops.h"

namespace tess::jit::tile {

LayoutId spread_to_rank(Pool& pool, const Kernel& k, const Access& a, LayoutId reg,
                        const Shape& tile) {
  const Type& t = k.values[a.base].type;
  Shape full;
  int dim = 0;
  for (uint32_t i = t.ring ? 1 : 0; i < a.n_indices; ++i) {
    const Index& index = k.indices[a.first_index + i];
    if (index.kind == IndexKind::point) {
      if (index.start.is_value() && k.values[index.start.index()].type.is_tile()) return kNoLayout;
      full.push(1);
    } else {
      full.push(tile[dim++]);
    }
  }
  if (full.rank == 0 || dim != tile.rank) return kNoLayout;
  return pool.reshaped(reg, full);
}

std::map<uint32_t, LayoutId> shared_layouts(const Kernel& k, const Webs& webs, const Plan& plan,
                                            Pool& pool) {
  std::map<uint32_t, std::vector<std::pair<LayoutId, bool>>> uses;
  for (size_t r = 0; r < plan.relations.size(); ++r) {
    const Relation& relation = plan.relations[r];
    if (plan.modes[r].empty()) continue;
    const Mode& mode = plan.modes[r][plan.chosen[r]];
    const Inst& inst = k.code[relation.pc];
    Rule rule = op_info(inst.op).rule;
    auto args = k.args(inst);
    for (size_t a = 0; a < args.size(); ++a) {
      if (rule == Rule::mma_ && a < 2 && mode.operand[a] != kNoLayout) {
        if (args[a].is_value() && k.values[args[a].index()].type.space == Space::shared)
          uses[args[a].index()].push_back({mode.operand[a], true});
        if (args[a].is_access()) {
          const Access& x = k.accesses[args[a].index()];
          LayoutId l =
              spread_to_rank(pool, k, x, mode.operand[a], access_type(k, x, false).type.shape);
          if (l != kNoLayout) uses[x.base].push_back({l, true});
        }
        continue;
      }
      if (!args[a].is_access() || mode.access == kNoLayout) continue;
      const Access& x = k.accesses[args[a].index()];
      if (k.values[x.base].type.space != Space::shared) continue;
      LayoutId l = spread_to_rank(pool, k, x, mode.access, relation.full);
      bool plain = rule == Rule::load_ || rule == Rule::store_;
      if (l != kNoLayout && plain) uses[x.base].push_back({l, rule == Rule::load_});
    }
  }
  std::set<uint32_t> copied, multiplied;  // by asynchronous copies; by wgmma, perhaps as a view
  std::map<uint32_t, uint32_t> view_of;
  auto root = [&](uint32_t v) {
    while (view_of.count(v)) v = view_of[v];
    return v;
  };
  for (const Inst& inst : k.code) {
    Rule rule = op_info(inst.op).rule;
    auto base_of = [&](Ref r) { return r.is_access() ? k.accesses[r.index()].base : r.index(); };
    if (inst.n_results && inst.n_args &&
        k.values[k.results(inst)[0].index()].type.space == Space::shared &&
        (k.args(inst)[0].is_access() || k.args(inst)[0].is_value()))
      view_of.emplace(k.results(inst)[0].index(), base_of(k.args(inst)[0]));
    if (rule == Rule::wgmma_)
      for (size_t a = 0; a < 2; ++a) multiplied.insert(root(base_of(k.args(inst)[a])));
    if (rule != Rule::copy_async_ && rule != Rule::copy_bulk_ && rule != Rule::tma_) continue;
    for (Ref r : k.args(inst))
      if (r.is_access() || r.is_value())
        copied.insert(r.is_access() ? k.accesses[r.index()].base : r.index());
  }
  std::map<uint32_t, LayoutId> chosen;
  for (const Inst& inst : k.code) {
    if (op_info(inst.op).rule != Rule::smem_ || k.has(inst, AttrTag::layout)) continue;
    uint32_t v = k.results(inst)[0].index();
    const Type& t = k.values[v].type;
    std::vector<int64_t> shape(t.shape.begin() + (t.ring ? 1 : 0), t.shape.end());
    std::vector<SharedUse> readers;
    for (auto [l, matrix] : uses[v]) readers.push_back({&pool.at(l), matrix && pool.is_linear(l)});
    // Asynchronous copies write runs of 16 bytes along the last dimension.
    LayoutId copier = kNoLayout;
    if (copied.count(v)) {
      Shape slot;
      for (int64_t d : shape) slot.push(d);
      int64_t run = std::max(1, 128 / t.dtype.bits);
      while (run & (run - 1)) run &= run - 1;
      copier = pool.add(wide_layout(slot, slot.rank - 1, run, 1));
      if (copier != kNoLayout) readers.push_back({&pool.at(copier), false});
    }
    if (multiplied.count(v)) {
      chosen[v] = pool.add(swizzled_rows(shape, t.dtype.bits));
      continue;
    }
    Result<SharedChoice> best = choose_shared_layout(shape, t.dtype.bits, readers);
    LayoutId l = best ? pool.add(best->mem) : pool.add(row_major(shape));
    if (l != kNoLayout) chosen[v] = l;
  }
  return chosen;
}

}  // namespace tess::jit::tile
