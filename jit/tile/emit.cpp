#include "jit/tile/emit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "isa/diag/layout.h"
#include "isa/infer.h"
#include "isa/layout_ops.h"
#include "jit/tile/shared.h"

namespace tess::jit::tile {
namespace {

class Emitter {
 public:
  Emitter(const Module& m, const Kernel& k, const KernelInfo& info, const Webs& webs,
          Relations& relations, Pool& pool, const Plan& plan, const std::vector<LayoutId>& written)
      : m_(m),
        k_(k),
        info_(info),
        webs_(webs),
        relations_(relations),
        pool_(pool),
        plan_(plan),
        written_(written) {}

  Result<Inferred> run() {
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

 private:
  struct Copy {
    uint32_t value;  // of the new kernel
    int depth;       // blocks open where it was made
  };

  void start() {
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
    n.values.assign(k_.values.begin(),
                    k_.values.begin() + static_cast<ptrdiff_t>(k_.params.size()));
    for (size_t i = 0; i < written_.size(); ++i) index_of_.try_emplace(written_[i], i);
    smem_ = shared_layouts(k_, webs_, plan_, pool_);
  }

  // --- values and layouts of the new kernel
  int64_t layout_index(LayoutId id) {
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
  uint32_t new_value(std::string name, const Type& type) {
    if (!name.empty() && !taken_.insert(name).second) {
      int n = 2;
      while (!taken_.insert(fmt::format("{}.{}", name, n)).second) ++n;
      name += fmt::format(".{}", n);
    }
    kernel_.values.push_back({std::move(name), type});
    return static_cast<uint32_t>(kernel_.values.size() - 1);
  }
  // A name in one layout; the second and later layouts of a name get names of their own.
  uint32_t value_in(uint32_t old, LayoutId layout) {
    if (old < k_.params.size()) return old;
    auto [it, fresh] = value_of_.try_emplace({old, layout}, 0);
    if (fresh) {
      it->second = new_value(k_.values[old].name, k_.values[old].type);
    }
    return it->second;
  }
  uint32_t of_web(uint32_t old, uint32_t web) {
    return value_in(old, web == Webs::kNone ? kNoLayout : plan_.webs[web].layout);
  }

  // --- emission
  void append(Op op, std::vector<Ref> results, std::vector<Ref> args, std::vector<Attr> attrs,
              const Loc& loc) {
    Inst i;
    i.op = op;
    i.n_results = static_cast<uint8_t>(results.size());
    i.n_args = static_cast<uint16_t>(args.size());
    i.n_attrs = static_cast<uint8_t>(attrs.size());
    i.first_ref = static_cast<uint32_t>(kernel_.refs.size());
    i.first_attr = static_cast<uint32_t>(kernel_.attrs.size());
    i.loc = loc;
    kernel_.refs.insert(kernel_.refs.end(), results.begin(), results.end());
    kernel_.refs.insert(kernel_.refs.end(), args.begin(), args.end());
    kernel_.attrs.insert(kernel_.attrs.end(), attrs.begin(), attrs.end());
    kernel_.code.push_back(i);
  }
  uint32_t next_inst() const { return static_cast<uint32_t>(kernel_.code.size()); }

  Ref whole(uint32_t memory) {  // x[:, :]
    Access a;
    a.base = memory;
    a.first_index = static_cast<uint32_t>(kernel_.indices.size());
    a.n_indices = kernel_.values[memory].type.shape.rank;
    for (uint32_t i = 0; i < a.n_indices; ++i)
      kernel_.indices.push_back({IndexKind::all, Ref::none(), Ref::none(), 0});
    kernel_.accesses.push_back(a);
    return Ref::access(static_cast<uint32_t>(kernel_.accesses.size() - 1));
  }

  // Copies in other layouts live as long as their source is not reassigned and their block is open.
  void scope(uint32_t pc) {
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
  const Mode* mode_of(uint32_t pc) const {
    if (relation_of_[pc] < 0) return nullptr;
    size_t r = static_cast<size_t>(relation_of_[pc]);
    return plan_.modes[r].empty() ? nullptr : &plan_.modes[r][plan_.chosen[r]];
  }
  // Conversions of what a loop does not assign stand before it.
  Status hoist(uint32_t pc) {
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
  void forget(uint32_t old) {
    std::erase_if(copies_, [&](const auto& c) { return c.first.first == old; });
  }
  uint32_t loop_depth() const { return loop_depths_.empty() ? 0 : loop_depths_.back(); }

  std::string spelled(LayoutId id) const {
    auto it = index_of_.find(id);
    const std::vector<LayoutDef>& defs = out_.module.layouts;
    if (it != index_of_.end() && !defs[it->second].name.empty()) return "#" + defs[it->second].name;
    return fmt::format("#({})", print_layout(pool_.at(id)));
  }

  // A conversion is not for the compiler to slip in where both ends were written.
  Status between_written(uint32_t from, uint32_t to, uint32_t pc, const std::string& name,
                         const std::string& hint) {
    const Origin &a = plan_.origins[from], &b = plan_.origins[to];
    if (!a.written || !b.written || a.pc == b.pc) return ok();
    auto span = [&](uint32_t at) {
      const Loc& l = k_.code[at].loc;
      return Span{l.file, l.line, l.col, 1};
    };
    Span first = span(std::min(a.pc, b.pc)), second = span(std::max(a.pc, b.pc));
    Diagnostic d =
        make_diag(diag::layout_written_conflict,
                  fmt::format("the layouts written at {}:{} and {}:{} do not agree on {}",
                              first.line, first.col, second.line, second.col, name),
                  span(pc), hint);
    d.notes.push_back({"one layout is written here", first});
    d.notes.push_back({"the other here", second});
    return d;
  }

  void record(uint32_t inst, const std::string& value, LayoutId from, LayoutId to, int bits,
              bool staged, const Loc& loc) {
    InsertedConversion c;
    c.inst = inst;
    c.value = value;
    c.from = print_layout(pool_.at(from));
    c.to = to == kInShared ? "shared" : print_layout(pool_.at(to));
    MoveCost m = to == kInShared ? MoveCost{Move::shared, pool_.best_shared_access(from, bits) + 30}
                                 : pool_.move(from, to, bits);
    c.kind = m.where <= Move::reg      ? ConversionKind::rename
             : m.where == Move::lane   ? ConversionKind::shuffle
             : m.where == Move::shared ? ConversionKind::shared
                                       : ConversionKind::cluster;
    c.cost = m.cost;
    c.staged = staged;
    c.loc = loc;
    c.loop_depth = loop_depth();
    if (c.kind == ConversionKind::shared && !staged) {
      std::vector<SharedUse> uses{{&pool_.at(from), true}, {&pool_.at(to), true}};
      if (auto choice = choose_shared_layout(pool_.at(from).shape, bits, uses)) {
        c.ways = choice->ways;
        c.shared_bytes = (extent_of(choice->mem) * bits + 7) / 8;
      }
    }
    out_.report.conversions.push_back(std::move(c));
  }

  std::string name_of(uint32_t value) const {
    const std::string& n = kernel_.values[value].name;
    return n.empty() ? "a temporary" : "%" + n;
  }

  std::string old_name(uint32_t old) const {
    const std::string& n = k_.values[old].name;
    return n.empty() ? "a temporary" : "%" + n;
  }

  // Puts a tile into a new shared tile, for readers in these layouts.
  uint32_t put_in_shared(uint32_t value, LayoutId layout, const std::vector<SharedUse>& readers,
                         const Loc& loc) {
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

  void fact(uint32_t inst, const Loc& loc, std::string_view verb, uint32_t memory, LayoutId reg,
            const Layout& mem, bool matrix) {
    const Type& t = kernel_.values[memory].type;
    int bits = t.dtype.bits;
    Result<Banks> b =
        matrix ? matrix_banks(pool_.at(reg), mem, bits) : banks(pool_.at(reg), mem, bits);
    if (!b && matrix) b = banks(pool_.at(reg), mem, bits);
    if (!b) return;
    AccessFact f;
    f.inst = inst;
    f.loc = loc;
    f.what = fmt::format("{} {}", verb, name_of(memory));
    f.space = Space::shared;
    f.matrix = b->matrix != Matrix::none;
    f.bytes = f.matrix ? 16 : std::max<int64_t>(1, b->vec * bits / 8);
    f.accesses = f.matrix ? std::max<int64_t>(1, (pool_.registers(reg) * bits / 32 + 3) / 4)
                          : pool_.registers(reg) / b->vec;
    f.ways = b->ways;
    f.unaligned = b->vec * bits < 8;
    out_.report.accesses.push_back(std::move(f));
  }

  Result<uint32_t> converted(uint32_t old, uint32_t web, LayoutId to, const Relation& r,
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

  Result<uint32_t> in_shared(uint32_t old, uint32_t web, LayoutId reader, const Relation& r) {
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

  Ref index_constant(int64_t v) {
    Constant c{dt::i32_, static_cast<uint32_t>(v)};
    auto it = std::find(kernel_.constants.begin(), kernel_.constants.end(), c);
    if (it == kernel_.constants.end()) it = kernel_.constants.insert(it, c);
    return Ref::constant(static_cast<uint32_t>(it - kernel_.constants.begin()));
  }

  // Part `i` of `parts` equal ones of a tile along `dim`, in registers.
  uint32_t part_of(uint32_t value, LayoutId part, int dim, int64_t i, int64_t extent,
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

  // A product by multiply and add whose operands are too large to stand in shared memory whole:
  // part by part along k, in order. False if they are not, or do not come apart.
  Result<bool> product_by_parts(uint32_t pc, const Relation& r, const Mode& mode) {
    const Slot *a = nullptr, *b = nullptr;
    for (size_t i = 0; i < r.slots.size(); ++i)
      if (mode.layout[i] == kInShared) (r.slots[i].place.arg == 0 ? a : b) = &r.slots[i];
    if (!a || !b) return false;
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
      uint32_t sa = put_in_shared(part_of(va, part_a, rank - 1, i, depth, inst.loc), part_a, read_a,
                                  inst.loc);
      uint32_t sb = put_in_shared(part_of(vb, part_b, rank - 2, i, depth, inst.loc), part_b, read_b,
                                  inst.loc);
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

  Status instruction(uint32_t pc) {
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
      bool staged = from_global && move.where >= Move::shared;
      record(next_inst(), old_name(a.old), a.from, w.layout, t.dtype.bits, staged, inst.loc);
      if (!staged) {
        append(Op::relayout, {Ref::value(of_web(a.old, a.web))}, {Ref::value(a.made)},
               {{AttrTag::layout, layout_index(w.layout)}}, inst.loc);
        continue;
      }
      size_t which = out_.report.conversions.size() - 1;
      uint32_t tile = put_in_shared(a.made, a.from, {{&pool_.at(w.layout), true}}, inst.loc);
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

  // A store of less than the whole tile says nothing of who writes what: the tile is broadcast
  // first.
  void make_whole(const Relation& r, const Mode& mode, const OpInfo& op, std::vector<Ref>& args) {
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

  std::vector<Ref> rebuilt(const Inst& inst, const std::vector<Use>& uses,
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

  void access_fact(uint32_t at, const Relation& r, const Mode& mode, const Inst& inst,
                   const std::vector<Ref>& args) {
    const OpInfo& op = op_info(inst.op);
    if (op.rule == Rule::mma_) {
      for (int i = 0; i < 2; ++i) {
        if (mode.operand[i] == kNoLayout) continue;
        const Ref& x = args[static_cast<size_t>(i)];
        uint32_t base = x.is_access() ? kernel_.accesses[x.index()].base : x.index();
        auto mem = mem_of_.find(base);
        if (mem == mem_of_.end() || kernel_.values[base].type.space != Space::shared) continue;
        if (pool_.at(mem->second).dims != pool_.at(mode.operand[i]).shape.size()) continue;
        fact(at, inst.loc, "mma", base, mode.operand[i], pool_.at(mem->second), true);
      }
      return;
    }
    if (mode.access == kNoLayout) return;
    for (const Ref& x : args) {
      if (!x.is_access()) continue;
      const Access& a = kernel_.accesses[x.index()];
      const Type& t = kernel_.values[a.base].type;
      if (t.space == Space::shared) {
        auto mem = mem_of_.find(a.base);
        if (mem == mem_of_.end()) continue;
        LayoutId reg = spread_to_rank(pool_, kernel_, a, mode.access, r.full);
        if (reg == kNoLayout || pool_.at(mem->second).dims != pool_.at(reg).shape.size()) continue;
        fact(at, inst.loc, op.name, a.base, reg, pool_.at(mem->second), false);
      } else if (t.space == Space::global) {
        auto g = relations_.global_access(mode.access, r.full, r.lie, t.dtype.bits);
        AccessFact f;
        f.inst = at;
        f.loc = inst.loc;
        f.what =
            fmt::format("{} {}", op.name,
                        a.base < k_.params.size() ? kernel_.values[a.base].name : name_of(a.base));
        f.bytes = std::max<int64_t>(1, g.elems * t.dtype.bits / 8);
        f.accesses = g.instructions;
        f.unaligned = g.elems * t.dtype.bits < 8;
        out_.report.accesses.push_back(std::move(f));
      }
      return;
    }
  }

  void finish() {
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

  const Module& m_;
  const Kernel& k_;
  const KernelInfo& info_;
  const Webs& webs_;
  Relations& relations_;
  Pool& pool_;
  const Plan& plan_;
  const std::vector<LayoutId>& written_;
  Inferred out_;
  Kernel kernel_;
  std::vector<int> relation_of_;
  std::map<LayoutId, size_t> index_of_;
  std::map<std::pair<uint32_t, LayoutId>, uint32_t> value_of_;
  std::set<std::string> taken_;  // names of values
  std::map<std::pair<uint32_t, LayoutId>, Copy> copies_;
  std::map<uint32_t, LayoutId> smem_;    // by old value
  std::map<uint32_t, LayoutId> mem_of_;  // by new value
  std::map<uint32_t, uint32_t> new_pc_;
  std::vector<uint32_t> loop_depths_;
  int depth_ = 0;
};

}  // namespace

Result<Inferred> emit_plan(const Module& m, size_t kernel, const KernelInfo& info, const Webs& webs,
                           Relations& relations, Pool& pool, const Plan& plan,
                           const std::vector<LayoutId>& written) {
  return Emitter(m, m.kernels[kernel], info, webs, relations, pool, plan, written).run();
}

}  // namespace tess::jit::tile
