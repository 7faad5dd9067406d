#include "jit/tile/emit.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/layout.h"
#include "jit/tile/emitter.h"
#include "jit/tile/kernel_writer.h"
#include "jit/tile/shared.h"

namespace tess::jit::tile {

Result<Inferred> Emitter::run() {
  start();
  relation_of_.assign(k_.code.size(), -1);
  for (size_t r = 0; r < plan_.relations.size(); ++r)
    relation_of_[plan_.relations[r].pc] = static_cast<int>(r);
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    TESS_CHECK(hoist(pc));
    scope(pc);
    TESS_CHECK(instruction(pc));
  }
  finish();
  return std::move(out_);
}

void Emitter::start() {
  out_.module.layouts = m_.layouts;
  out_.module.files = m_.files;
  out_.module.producer = m_.producer;
  Kernel& n = kernel_;
  n.name = k_.name;
  n.bindings = k_.bindings;
  n.params = k_.params;
  for (int i = 0; i < 3; ++i) n.grid[i] = k_.grid[i];
  n.grid_rank = k_.grid_rank;
  n.warps = k_.warps, n.cluster = k_.cluster, n.blocks_per_sm = k_.blocks_per_sm;
  n.cooperative = k_.cooperative, n.sync_manual = k_.sync_manual;
  n.fast = k_.fast;
  n.loc = k_.loc;
  n.constants = k_.constants;
  n.values.assign(k_.values.begin(), k_.values.begin() + static_cast<ptrdiff_t>(k_.params.size()));
  for (size_t i = 0; i < written_.size(); ++i) index_of_.try_emplace(written_[i], i);
  smem_ = shared_layouts(k_, webs_, plan_, pool_);
}

void Emitter::scope(uint32_t pc) {
  Op op = k_.code[pc].op;
  const OpInfo& row = op_info(op);
  if (op == Op::end || op == Op::else_) {
    --depth_;
    std::erase_if(copies_, [&](const auto& c) { return c.second.depth > depth_; });
    loop_depths_.pop_back();
  }
  if (row.form == Form::control && op != Op::end) {
    bool loop = op == Op::for_ || op == Op::while_;
    // What the body assigns is another value the next time round.
    if (loop)
      for (uint32_t p = pc + 1; p < info_.match[pc]; ++p)
        for (Ref r : k_.results(k_.code[p])) forget(r.index());
    ++depth_;
    loop_depths_.push_back((loop_depths_.empty() ? 0 : loop_depths_.back()) + (loop ? 1 : 0));
  }
}

Status Emitter::instruction(uint32_t pc) {
  const Inst& inst = k_.code[pc];
  const OpInfo& op = op_info(inst.op);
  const Relation* r =
      relation_of_[pc] >= 0 ? &plan_.relations[static_cast<size_t>(relation_of_[pc])] : nullptr;
  const Mode* mode = nullptr;
  if (r && !plan_.modes[static_cast<size_t>(relation_of_[pc])].empty())
    mode = &plan_.modes[static_cast<size_t>(relation_of_[pc])]
                       [plan_.chosen[static_cast<size_t>(relation_of_[pc])]];

  if (mode && op.rule == Rule::mma_) {
    TESS_TRY(bool done, product_by_parts(pc, *r, *mode));
    if (done) return ok();
  }
  // Operands, in the order of uses_of.
  std::vector<Use> uses;
  uses_of(k_, inst, uses);
  std::vector<uint32_t> now(uses.size());
  for (size_t u = 0; u < uses.size(); ++u) {
    uint32_t web = webs_.of_use[pc][u];
    LayoutId want = kNoLayout;
    if (mode)
      for (size_t i = 0; i < r->slots.size(); ++i)
        if (!r->slots[i].result && r->slots[i].number == u) want = mode->layout[i];
    if (web == Webs::kNone) {
      now[u] = of_web(uses[u].value, web);
    } else if (want == kInShared) {
      TESS_TRY(now[u], in_shared(uses[u].value, web, mode->operand[uses[u].place.arg], *r));
    } else if (!mode) {
      now[u] = of_web(uses[u].value, web);
    } else {
      TESS_TRY(now[u], converted(uses[u].value, web, want, *r, *mode));
    }
  }
  std::vector<Ref> args = rebuilt(inst, uses, now);
  if (mode) make_whole(*r, *mode, op, args);

  // Results.
  std::vector<Ref> results;
  struct After {
    uint32_t made, old, web;
    LayoutId from;
  };
  std::vector<After> after;
  for (uint32_t i = 0; i < inst.n_results; ++i) {
    uint32_t old = k_.results(inst)[i].index();
    uint32_t web = webs_.of_result[pc][i];
    LayoutId got = kNoLayout;
    if (mode)
      for (size_t s = 0; s < r->slots.size(); ++s)
        if (r->slots[s].result && r->slots[s].number == i) got = mode->layout[s];
    if (web == Webs::kNone || got == kNoLayout || got == plan_.webs[web].layout) {
      results.push_back(Ref::value(of_web(old, web)));
      continue;
    }
    const std::string& name = k_.values[old].name;
    after.push_back(
        {new_value(name.empty() ? "" : name + ".raw", k_.values[old].type), old, web, got});
    results.push_back(Ref::value(after.back().made));
  }
  std::vector<Attr> attrs(k_.attrs_of(inst).begin(), k_.attrs_of(inst).end());
  std::erase_if(attrs, [](const Attr& a) { return a.tag == AttrTag::layout; });
  if (inst.n_results && op.allows(AttrTag::layout)) {
    LayoutId l = kNoLayout;
    uint32_t web = webs_.of_result[pc][0];
    if (web != Webs::kNone)
      l = after.empty() || after[0].web != web ? plan_.webs[web].layout : after[0].from;
    uint32_t old = k_.results(inst)[0].index();
    if (op.rule == Rule::smem_) {
      auto it = smem_.find(old);
      if (it != smem_.end()) l = it->second;
      if (l != kNoLayout) mem_of_[results[0].index()] = l;
    }
    if (l != kNoLayout) attrs.insert(attrs.begin(), {AttrTag::layout, layout_index(l)});
    else if (auto kept = k_.attr(inst, AttrTag::layout))
      attrs.insert(attrs.begin(), {AttrTag::layout, *kept});
  }
  uint32_t at = next_inst();
  append(inst.op, results, args, attrs, inst.loc);
  new_pc_[pc] = at;
  if (mode) access_fact(at, *r, *mode, inst, args);
  for (uint32_t i = 0; i < inst.n_results; ++i) forget(k_.results(inst)[i].index());

  // What an asynchronous product gives is not to be read before it is waited for.
  if (op.rule == Rule::wgmma_ && !after.empty()) {
    const Loc& l = k_.code[plan_.origins[plan_.webs[after[0].web].origin].pc].loc;
    return make_diag(
        diag::layout_written_conflict,
        fmt::format("the layout at {}:{} is none that `wgmma` accumulates in", l.line, l.col),
        {inst.loc.file, inst.loc.line, inst.loc.col, 1},
        fmt::format("leave it out, or write {}", spelled(after[0].from)));
  }
  for (const After& a : after) {
    const WebPlan& w = plan_.webs[a.web];
    const Type t = kernel_.values[a.made].type;
    MoveCost move = pool_.move(a.from, w.layout, t.dtype.bits);
    if (move.where > Move::reg)
      TESS_CHECK(between_written(mode->origin, w.origin, pc, old_name(a.old),
                                 fmt::format("leave its layout out here and convert then: "
                                             "`{} = relayout %… {}`",
                                             old_name(a.old), spelled(w.layout))));
    bool from_global =
        op.rule == Rule::load_ && args[0].is_access() &&
        kernel_.values[kernel_.accesses[args[0].index()].base].type.space == Space::global;
    bool staged = from_global && move.where >= Move::shared && !r->in_strand;
    record(next_inst(), old_name(a.old), a.from, w.layout, t.dtype.bits, staged, inst.loc);
    if (!staged) {
      append(Op::relayout, {Ref::value(of_web(a.old, a.web))}, {Ref::value(a.made)},
             {{AttrTag::layout, layout_index(w.layout)}}, inst.loc);
      continue;
    }
    size_t which = out_.report.conversions.size() - 1;
    uint32_t tile =
        put_in_shared(a.made, a.from, {{&pool_.at(w.layout), pool_.is_linear(w.layout)}}, inst.loc);
    append(Op::load, {Ref::value(of_web(a.old, a.web))}, {whole(tile), Ref::none()},
           {{AttrTag::layout, layout_index(w.layout)}}, inst.loc);
    size_t first = out_.report.accesses.size();
    if (auto m = mem_of_.find(tile); m != mem_of_.end()) {
      fact(next_inst() - 1, inst.loc, "load", tile, w.layout, pool_.at(m->second), true);
      InsertedConversion& c = out_.report.conversions[which];
      c.shared_bytes = (extent_of(pool_.at(m->second)) * t.dtype.bits + 7) / 8;
      for (size_t f = first > 0 ? first - 1 : 0; f < out_.report.accesses.size(); ++f)
        c.ways = std::max(c.ways, out_.report.accesses[f].ways);
    }
  }
  return ok();
}

std::vector<Ref> Emitter::rebuilt(const Inst& inst, const std::vector<Use>& uses,
                                  const std::vector<uint32_t>& now) {
  std::vector<Ref> args(k_.args(inst).begin(), k_.args(inst).end());
  size_t u = 0;
  for (size_t a = 0; a < args.size(); ++a) {
    if (args[a].is_value()) args[a] = Ref::value(now[u++]);
    else if (args[a].is_access()) {
      Access access = k_.accesses[args[a].index()];
      auto indices = k_.indices_of(access);
      access.base = now[u++];
      if (access.item.is_value()) access.item = Ref::value(now[u++]);
      access.first_index = static_cast<uint32_t>(kernel_.indices.size());
      for (Index index : indices) {
        if (index.start.is_value()) index.start = Ref::value(now[u++]);
        if (index.stop.is_value()) index.stop = Ref::value(now[u++]);
        kernel_.indices.push_back(index);
      }
      kernel_.accesses.push_back(access);
      args[a] = Ref::access(static_cast<uint32_t>(kernel_.accesses.size() - 1));
    }
  }
  return args;
}

void Emitter::make_whole(const Relation& r, const Mode& mode, const OpInfo& op,
                         std::vector<Ref>& args) {
  bool atomic = op.rule == Rule::atomic_ || op.rule == Rule::red_async_;
  bool writes = op.rule == Rule::store_ || op.rule == Rule::scatter_ || atomic;
  if (!writes || mode.access == kNoLayout) return;
  size_t value = atomic ? 1 : 0;
  for (const Slot& s : r.slots)
    if (s.type.shape == r.full && (s.place.index < 0 || s.result || r.full.rank == 1)) return;
  if (!args[value].is_value() || !kernel_.values[args[value].index()].type.is_tile()) return;
  Type t = kernel_.values[args[value].index()].type;
  t.shape = r.full;
  uint32_t all = new_value("", t);
  append(Op::broadcast, {Ref::value(all)}, {args[value]},
         {{AttrTag::layout, layout_index(mode.access)}}, k_.code[r.pc].loc);
  args[value] = Ref::value(all);
}

int64_t Emitter::layout_index(LayoutId id) {
  auto [it, fresh] = index_of_.try_emplace(id, out_.module.layouts.size());
  if (fresh) {
    std::set<std::string> taken;
    for (const LayoutDef& d : out_.module.layouts) taken.insert(d.name);
    int n = static_cast<int>(out_.module.layouts.size()) + 1;
    while (taken.count(fmt::format("t{}", n))) ++n;
    out_.module.layouts.push_back({fmt::format("t{}", n), print_layout(pool_.at(id))});
  }
  return static_cast<int64_t>(it->second);
}

uint32_t Emitter::new_value(std::string name, const Type& type) {
  if (!name.empty() && !taken_.insert(name).second) {
    int n = 2;
    while (!taken_.insert(fmt::format("{}.{}", name, n)).second) ++n;
    name += fmt::format(".{}", n);
  }
  kernel_.values.push_back({std::move(name), type});
  return static_cast<uint32_t>(kernel_.values.size() - 1);
}

uint32_t Emitter::value_in(uint32_t old, LayoutId layout) {
  if (old < k_.params.size()) return old;
  auto [it, fresh] = value_of_.try_emplace({old, layout}, 0);
  if (fresh) {
    it->second = new_value(k_.values[old].name, k_.values[old].type);
  }
  return it->second;
}

void Emitter::append(Op op, std::vector<Ref> results, std::vector<Ref> args,
                     std::vector<Attr> attrs, const Loc& loc) {
  KernelWriter(kernel_).append(op, results, args, attrs, loc);
}

Ref Emitter::whole(uint32_t memory) {  // x[:, :]
  Access a;
  a.base = memory;
  a.first_index = static_cast<uint32_t>(kernel_.indices.size());
  a.n_indices = kernel_.values[memory].type.shape.rank;
  for (uint32_t i = 0; i < a.n_indices; ++i)
    kernel_.indices.push_back({IndexKind::all, Ref::none(), Ref::none(), 0});
  kernel_.accesses.push_back(a);
  return Ref::access(static_cast<uint32_t>(kernel_.accesses.size() - 1));
}

void Emitter::finish() {
  for (uint32_t w = 0; w < plan_.webs.size(); ++w) {
    const WebPlan& p = plan_.webs[w];
    const Web& web = webs_.webs[w];
    if (web.defs.empty() || p.layout == kNoLayout) continue;
    Decision d;
    d.inst = new_pc_[web.defs[0].pc];
    d.value = name_of(of_web(web.value, w));
    d.type = k_.values[web.value].type;
    d.layout = print_layout(pool_.at(p.layout));
    d.rule = plan_.origins[p.origin].rule;
    d.loc = k_.code[web.defs[0].pc].loc;
    d.forced_by = k_.code[plan_.origins[p.origin].pc].loc;
    if (p.second != kNoLayout) {
      d.alternative = print_layout(pool_.at(p.second));
      d.extra_cost = p.second_cost;
    }
    out_.report.decisions.push_back(std::move(d));
  }
  for (const Inst& i : kernel_.code) {
    if (op_info(i.op).rule != Rule::smem_) continue;
    uint32_t v = kernel_.results(i)[0].index();
    const Type& t = kernel_.values[v].type;
    int64_t elements = t.shape.elements();
    if (auto m = mem_of_.find(v); m != mem_of_.end()) {
      elements = extent_of(pool_.at(m->second));
      if (t.ring && pool_.at(m->second).dims < t.shape.rank) elements *= t.shape[0];
    }
    out_.report.shared_bytes += ((elements * t.dtype.bits + 7) / 8 + 15) / 16 * 16;
  }
  out_.report.cost = plan_.cost;
  out_.module.kernels.push_back(std::move(kernel_));
}

const Mode* Emitter::mode_of(uint32_t pc) const {
  if (relation_of_[pc] < 0) return nullptr;
  size_t r = static_cast<size_t>(relation_of_[pc]);
  return plan_.modes[r].empty() ? nullptr : &plan_.modes[r][plan_.chosen[r]];
}

Result<Inferred> emit_plan(const Module& m, size_t kernel, const KernelInfo& info, const Webs& webs,
                           Relations& relations, Pool& pool, const Plan& plan,
                           const std::vector<LayoutId>& written) {
  return Emitter(m, m.kernels[kernel], info, webs, relations, pool, plan, written).run();
}

}  // namespace tess::jit::tile
