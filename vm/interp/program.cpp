#include "vm/interp/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <queue>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"

namespace tess::interp {

namespace {

using Bind = void (*)(Binder&);
constexpr Bind kBind[] = {
#define INST(id, ...) &bind<Op::id>,
#include "isa/isa.def"
#undef INST
};

constexpr uint64_t kCell = 8, kAlign = 64;
uint64_t aligned(uint64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// Rules whose kernels may write a result over an operand of the same name.
bool tolerates_alias(Rule r) {
  switch (r) {
    case Rule::broadcast_:
    case Rule::same_:
    case Rule::loop_:
    case Rule::none_:
    case Rule::scalar_:
      return true;
    default:
      return false;
  }
}

template <class Visit>
void for_each_value(const Kernel& k, const Inst& inst, Visit visit) {
  auto ref = [&](Ref r) {
    if (r.is_value()) visit(r.index());
  };
  for (uint32_t i = 0; i < uint32_t{inst.n_results} + inst.n_args; ++i) {
    Ref r = k.refs[inst.first_ref + i];
    ref(r);
    if (!r.is_access()) continue;
    const Access& a = k.accesses[r.index()];
    visit(a.base);
    ref(a.item);
    for (const Index& index : k.indices_of(a)) {
      ref(index.start);
      ref(index.stop);
    }
  }
}

}  // namespace

bool may_fuse(const Kernel& k, const Inst& inst) {
  const OpInfo& op = op_info(inst.op);
  auto in_registers = [&] {
    for (Ref r : k.args(inst)) {
      if (r.is_access()) return false;
      if (r.is_value() && k.values[r.index()].type.space != Space::reg) return false;
    }
    return true;
  };
  switch (op.rule) {
    case Rule::broadcast_:
    case Rule::same_:
    case Rule::cast_:
    case Rule::bitcast_:
    case Rule::reshape_:
    case Rule::squeeze_:
    case Rule::unsqueeze_:
    case Rule::broadcast_to_:
      return op.effect == Effect::pure && in_registers();
    default:
      return false;
  }
}

SectionShape section_of(const Kernel& k, uint32_t pc) {
  const Inst& inst = k.code[pc];
  auto number = [&](Ref r) { return static_cast<uint32_t>(k.constants[r.index()].code); };
  uint32_t warps = number(k.args(inst)[1]) - number(k.args(inst)[0]);
  uint32_t by = static_cast<uint32_t>(k.attr(inst, AttrTag::by).value_or(warps));
  return {by, warps / by};
}

struct Decoder {
  Program& p;
  const Kernel& k;
  const KernelInfo& info;
  const BoundLaunch& launch;
  const Options& options;

  struct Interval {
    uint32_t first = ~0u, last = 0;
  };
  std::vector<Interval> live;
  std::vector<uint32_t> mentions;
  std::vector<uint32_t> run_first, run_last;  // by instruction: the run of fusable ones around it

  bool fusing() const { return !options.naive && !options.trace_every_value; }

  void find_runs() {
    uint32_t n = static_cast<uint32_t>(k.code.size());
    run_first.resize(n), run_last.resize(n);
    for (uint32_t i = 0; i < n;) {
      uint32_t end = i + 1;
      if (may_fuse(k, k.code[i]))
        while (end < n && may_fuse(k, k.code[end])) ++end;
      for (uint32_t j = i; j < end; ++j) run_first[j] = i, run_last[j] = end - 1;
      i = end;
    }
  }

  // From the first to the last mention; a mention inside a loop that does not hold all mentions
  // counts for the whole of that loop, for the value may be carried around.
  void find_lifetimes() {
    uint32_t n = static_cast<uint32_t>(k.code.size());
    live.resize(k.values.size());
    mentions.assign(k.values.size(), 0);
    // loop_of[i]: innermost loop around instruction i; parent of a loop by its `for` or `while`.
    std::vector<uint32_t> loop_of(n, ~0u), depth(n, 0);
    std::vector<uint32_t> open;
    for (uint32_t i = 0; i < n; ++i) {
      Op op = k.code[i].op;
      bool closes = op == Op::end && !open.empty() && info.match[i] == open.back();
      loop_of[i] = open.empty() ? ~0u : open.back();
      if (closes) {
        open.pop_back();
        loop_of[i] = info.match[i];
      }
      if (op == Op::for_ || op == Op::while_) {
        open.push_back(i);
        loop_of[i] = i;
        depth[i] = static_cast<uint32_t>(open.size());
      }
    }
    auto parent = [&](uint32_t loop) { return loop == 0 ? ~0u : enclosing_[loop]; };
    enclosing_.assign(n, ~0u);
    open.clear();
    for (uint32_t i = 0; i < n; ++i) {
      Op op = k.code[i].op;
      if (op == Op::end && !open.empty() && info.match[i] == open.back()) open.pop_back();
      if (op == Op::for_ || op == Op::while_) {
        enclosing_[i] = open.empty() ? ~0u : open.back();
        open.push_back(i);
      }
    }
    auto depth_of = [&](uint32_t loop) { return loop == ~0u ? 0u : depth[loop]; };
    auto common = [&](uint32_t a, uint32_t b) {
      while (a != b) {
        if (depth_of(a) >= depth_of(b)) a = parent(a);
        else b = parent(b);
      }
      return a;
    };
    std::vector<uint32_t> home(k.values.size(), ~0u);
    std::vector<bool> seen(k.values.size());
    for (uint32_t i = 0; i < n; ++i)
      for_each_value(k, k.code[i], [&](uint32_t v) {
        ++mentions[v];
        home[v] = seen[v] ? common(home[v], loop_of[i]) : loop_of[i];
        seen[v] = true;
      });
    for (uint32_t i = 0; i < n; ++i)
      for_each_value(k, k.code[i], [&](uint32_t v) {
        Interval& span = live[v];
        span.first = std::min(span.first, run_first[i]);
        span.last = std::max(span.last, run_last[i]);
        uint32_t loop = loop_of[i], outermost = ~0u;
        while (loop != home[v]) outermost = loop, loop = parent(loop);
        if (outermost == ~0u) return;
        span.first = std::min(span.first, outermost);
        span.last = std::max(span.last, info.match[outermost]);
      });
  }
  std::vector<uint32_t> enclosing_;

  // Values that are one another's elements in the same order share a place: a reshape or move of a
  // value costs nothing when neither name is assigned elsewhere and both assignments stand in one
  // straight line, so that they are always made together.
  std::vector<uint32_t> shares_;  // by value: whose place it takes, or itself
  void find_shared_places() {
    uint32_t n = static_cast<uint32_t>(k.values.size());
    shares_.resize(n);
    for (uint32_t v = 0; v < n; ++v) shares_[v] = v;
    if (!fusing()) return;
    std::vector<uint32_t> assignments(n, 0), assigned_at(n, 0);
    for (const Inst& inst : k.code)
      for (Ref r : k.results(inst)) ++assignments[r.index()];
    uint32_t line = 0;  // the last control instruction
    for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
      const Inst& inst = k.code[pc];
      if (op_info(inst.op).effect == Effect::control) line = pc;
      for (Ref r : k.results(inst)) assigned_at[r.index()] = pc;
      bool copies = inst.op == Op::move || inst.op == Op::reshape || inst.op == Op::squeeze ||
                    inst.op == Op::unsqueeze;
      if (!copies || !k.args(inst)[0].is_value()) continue;
      uint32_t from = k.args(inst)[0].index(), to = k.results(inst)[0].index();
      if (from < k.params.size() || !k.values[from].type.is_tile() || !k.values[to].type.is_tile())
        continue;
      if (assignments[from] != 1 || assignments[to] != 1 || assigned_at[from] < line) continue;
      if (poisons_[from] || poisons_[to]) continue;
      uint32_t root = shares_[from];
      shares_[to] = root;
      live[root].first = std::min(live[root].first, live[to].first);
      live[root].last = std::max(live[root].last, live[to].last);
    }
  }
  std::vector<bool> poisons_;  // by value: `undef` may reach it

  void place_values() {
    p.place.resize(k.values.size());
    uint64_t at = 0;
    // Constants, then scalar parameters and lets: the part that is copied into every register file.
    uint64_t fixed = k.constants.size() * kCell + k.params.size() * kCell;
    p.fixed.assign(fixed, 0);
    for (size_t i = 0; i < k.constants.size(); ++i)
      set_carrier(k.constants[i].type, p.fixed.data() + i * kCell, 0, k.constants[i].code);
    at = k.constants.size() * kCell;
    for (size_t i = 0; i < k.params.size(); ++i, at += kCell) {
      const Type& t = k.values[i].type;
      if (!t.is_scalar()) continue;
      set_carrier(t.dtype, p.fixed.data() + at, 0, launch.scalars[i]);
      p.place[i] = Operand{at, t.dtype, t.shape, 1};
    }
    for (size_t v = k.params.size(); v < k.values.size(); ++v) {
      const Type& t = k.values[v].type;
      if (!t.is_scalar()) continue;
      p.place[v] = Operand{at, t.dtype, t.shape, 1};
      at += kCell;
    }
    p.loop_base = at;
    p.loop_slot.assign(k.code.size(), 0);
    for (size_t i = 0; i < k.code.size(); ++i)
      if (k.code[i].op == Op::for_) {
        p.loop_slot[i] = static_cast<uint32_t>((at - p.loop_base) / kCell);
        at += 2 * kCell;
      }
    place_poison(at);
    place_wgmma(at);
    p.scalar_bytes = at;
    at = aligned(at);
    // Tiles share places by lifetime.
    std::vector<uint32_t> order;
    for (uint32_t v = static_cast<uint32_t>(k.params.size()); v < k.values.size(); ++v)
      if (k.values[v].type.is_tile() && live[v].first != ~0u && shares_[v] == v) order.push_back(v);
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return live[a].first < live[b].first; });
    using Ending = std::pair<uint32_t, uint32_t>;  // last mention, value
    std::priority_queue<Ending, std::vector<Ending>, std::greater<>> active;
    std::multimap<uint64_t, uint64_t> free;  // size -> place
    std::vector<uint64_t> room(k.values.size());
    for (uint32_t v : order) {
      while (!active.empty() && active.top().first < live[v].first) {
        uint32_t ended = active.top().second;
        active.pop();
        free.emplace(room[ended], p.place[ended].reg);
      }
      const Type& t = k.values[v].type;
      Operand o{0, t.dtype, t.shape, t.shape.elements()};
      uint64_t need = aligned(static_cast<uint64_t>(o.size()));
      auto it = free.lower_bound(need);
      if (it != free.end() && it->first <= 2 * need) {
        o.reg = it->second;
        room[v] = it->first;
        free.erase(it);
      } else {
        o.reg = at;
        room[v] = need;
        at += need;
      }
      p.place[v] = o;
      active.emplace(live[v].last, v);
    }
    for (uint32_t v = 0; v < k.values.size(); ++v)
      if (shares_[v] != v) {
        const Type& t = k.values[v].type;
        p.place[v] = Operand{p.place[shares_[v]].reg, t.dtype, t.shape, t.shape.elements()};
      }
    p.scratch_reg = at;
  }

  // Values that `undef` may reach: its results, and moves of those.
  void find_poison() {
    poisons_.assign(k.values.size(), false);
    std::vector<uint32_t> reached;
    auto reach = [&](uint32_t v) {
      if (poisons_[v]) return;
      poisons_[v] = true;
      reached.push_back(v);
    };
    std::multimap<uint32_t, uint32_t> moves;
    for (const Inst& inst : k.code) {
      if (inst.op == Op::undef) reach(k.results(inst)[0].index());
      if (inst.op == Op::move && k.args(inst)[0].is_value())
        moves.emplace(k.args(inst)[0].index(), k.results(inst)[0].index());
    }
    while (!reached.empty()) {
      auto [first, last] = moves.equal_range(reached.back());
      reached.pop_back();
      for (; first != last; ++first) reach(first->second);
    }
  }
  // A byte for each of them, which says whether it is undefined now.
  void place_poison(uint64_t& at) {
    p.poison_reg.assign(k.values.size(), kNoRegister);
    for (size_t v = 0; v < poisons_.size(); ++v)
      if (poisons_[v]) p.poison_reg[v] = at++;
  }

  // A word for each result of a `wgmma`: the clock of its group, or 0.
  void place_wgmma(uint64_t& at) {
    p.wgmma_reg.assign(k.values.size(), kNoRegister);
    for (const Inst& inst : k.code) {
      if (inst.op != Op::wgmma) continue;
      uint64_t& reg = p.wgmma_reg[k.results(inst)[0].index()];
      if (reg != kNoRegister) continue;
      at = (at + 3) / 4 * 4;
      reg = at;
      at += 4;
    }
  }

  void find_strands() {
    for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
      const Inst& inst = k.code[pc];
      p.tracked |= is_concurrent(inst.op);
      if (inst.op == Op::parallel)
        p.strands_per_block = std::max(p.strands_per_block, 1 + strands_of(pc));
      if (inst.op != Op::mbar) continue;
      uint32_t v = k.results(inst)[0].index();
      uint32_t slots = static_cast<uint32_t>(k.values[v].type.shape[0]);
      uint32_t count = static_cast<uint32_t>(k.attr(inst, AttrTag::count).value_or(1));
      p.mbar_values.push_back({v, slots, count});
      p.mbar_slots += slots;
    }
  }
  uint32_t strands_of(uint32_t parallel) const {
    uint32_t n = 0;
    for (uint32_t pc = parallel + 1; k.code[pc].op == Op::warps; pc = info.match[pc] + 1)
      n += section_of(k, pc).strands;
    return n;
  }

  void place_shared() {
    p.shared_place.assign(k.values.size(), 0);
    std::vector<bool> placed(k.values.size());
    uint64_t at = 0;
    for (const Inst& inst : k.code) {
      if (inst.op != Op::smem) continue;
      uint32_t v = k.results(inst)[0].index();
      if (placed[v]) continue;
      placed[v] = true;
      const Type& t = k.values[v].type;
      p.shared_values.push_back(v);
      p.shared_place[v] = at;
      at += aligned((static_cast<uint64_t>(t.shape.elements()) * t.dtype.bits + 7) / 8);
    }
    p.shared_bytes = at;
  }

  // --- order: README.md, "The same result whatever the thread count"

  uint32_t root_of(uint32_t v) {
    while (root_[v] != v) v = root_[v] = root_[root_[v]];
    return v;
  }
  std::vector<uint32_t> root_;

  void find_order() {
    root_.resize(k.values.size());
    for (uint32_t v = 0; v < k.values.size(); ++v) root_[v] = v;
    auto base = [&](Ref r) -> uint32_t {
      return r.is_access() ? k.accesses[r.index()].base : r.is_value() ? r.index() : ~0u;
    };
    // A view may be reassigned: every base it ever has shares one root.
    for (const Inst& inst : k.code) {
      if (!inst.n_results || !inst.n_args) continue;
      uint32_t d = k.results(inst)[0].index();
      if (k.values[d].type.space != Space::global) continue;
      uint32_t b = base(k.args(inst)[0]);
      if (b == ~0u || k.values[b].type.space != Space::global) continue;
      root_[root_of(b)] = root_of(d);
    }
    std::vector<uint8_t> accessed(k.values.size()), float_atomic(k.values.size());
    bool any_access = false, any_float_atomic = false, aliasing = false;
    for (const Param& param : k.params) aliasing |= param.may_alias;
    for (const Inst& inst : k.code) {
      const OpInfo& op = op_info(inst.op);
      switch (inst.op) {
        case Op::lock:
        case Op::unlock:
        case Op::wait:
        case Op::grid_sync:
        case Op::tma_reduce:
          p.ordered = true;
          break;
        default:
          break;
      }
      auto args = k.args(inst);
      if (op.effect == Effect::atomic) {
        uint32_t b = base(args[0]);
        if (k.values[b].type.space != Space::global) continue;
        bool commutes =
            inst.n_results == 0 && inst.op != Op::atomic_exch && inst.op != Op::atomic_cas;
        if (!commutes) p.ordered = true;
        else if (!k.values[b].type.dtype.is_int()) {
          float_atomic[root_of(b)] = 1;
          any_float_atomic = true;
        } else accessed[root_of(b)] |= 2;
      } else if (op.effect == Effect::read || op.effect == Effect::write) {
        if (inst.op == Op::prefetch) continue;
        for (Ref r : args) {
          uint32_t b = base(r);
          if (b == ~0u || k.values[b].type.space != Space::global) continue;
          accessed[root_of(b)] |= 1;
          any_access = true;
        }
      }
    }
    for (uint32_t v = 0; v < k.values.size(); ++v) p.ordered |= float_atomic[v] && accessed[v];
    p.ordered |= any_float_atomic && any_access && aliasing;
    p.cooperative = k.cooperative;
    for (const Inst& inst : k.code) p.has_alias |= inst.op == Op::alias;
  }

  // --- steps

  std::vector<Micro> group;
  uint64_t group_n = 0;

  void flush() {
    if (group.empty()) return;
    std::vector<bool> stored(group.size(), true);
    if (group.size() > 1) {
      // A result that nothing outside of the group mentions stays in its strip.
      std::map<uint64_t, uint32_t> inside;
      std::map<uint64_t, uint32_t> value_of;
      for (const Micro& m : group) {
        for_each_value(k, k.code[m.pc], [&](uint32_t v) { ++inside[v]; });
      }
      for (size_t i = 0; i < group.size(); ++i) {
        uint32_t v = k.results(k.code[group[i].pc])[0].index();
        stored[i] = inside[v] != mentions[v] || !group[i].d;
      }
    }
    p.steps.push_back(make_group(p, group, stored));
    group.clear();
  }

  static Flow copy_register(Strand& s, const void* d) {
    struct Copy {
      uint64_t from, to;
      int64_t bytes;
    };
    const Copy& c = *static_cast<const Copy*>(d);
    std::memcpy(s.regs + c.to, s.regs + c.from, static_cast<size_t>(c.bytes));
    return Flow::next;
  }

  struct Poison {
    std::vector<uint64_t> reg;
    std::vector<std::string> name;
  };
  static Flow check_poison(Strand& s, const Poison& c) {
    for (size_t i = 0; i < c.reg.size(); ++i)
      if (s.regs[c.reg[i]])
        return trap(
            s, diag::run_undef,
            fmt::format("`{}` has no value here: `undef` was its last assignment", c.name[i]));
    return Flow::next;
  }
  struct InFlight {
    std::vector<uint64_t> reg;
    std::vector<std::string> name;
  };
  static Flow check_in_flight(Strand& s, const InFlight& c) {
    for (size_t i = 0; i < c.reg.size(); ++i)
      if (*reinterpret_cast<const uint32_t*>(s.regs + c.reg[i]) > s.wgmma.done)
        return trap(
            s, diag::run_wgmma_result,
            fmt::format("`{}` is the result of a `wgmma` that was not waited for", c.name[i]));
    return Flow::next;
  }
  static Flow clear_in_flight(Strand& s, const InFlight& c) {
    for (uint64_t reg : c.reg) std::memset(s.regs + reg, 0, 4);
    return Flow::next;
  }
  struct Unpoison {
    std::vector<uint64_t> reg;
  };
  static Flow clear_poison(Strand& s, const Unpoison& c) {
    for (uint64_t reg : c.reg) s.regs[reg] = 0;
    return Flow::next;
  }
  struct Traced {
    Operand o;
    std::string name;
    int64_t block[3];
    uint32_t pc;
  };
  static Flow trace_value(Strand& s, const Traced& t) {
    if (std::memcmp(s.block, t.block, sizeof t.block)) return Flow::next;
    auto note = std::make_unique<Deferred::Note>();
    *note = {true,
             t.pc,
             s.number,
             t.name,
             Type{Space::reg, false, t.o.type, t.o.shape},
             {t.o.at(s), t.o.at(s) + t.o.size()}};
    s.deferred->bytes += static_cast<uint64_t>(t.o.size());
    s.deferred->items.push_back({nullptr, std::move(note)});
    return Flow::next;
  }

  template <auto F, class Decoded>
  Step step(uint32_t pc, Decoded decoded) {
    auto owner = std::make_shared<Decoded>(std::move(decoded));
    const void* ptr = owner.get();
    p.owned.push_back(std::move(owner));
    return {[](Strand& s, const void* d) { return F(s, *static_cast<const Decoded*>(d)); }, ptr, pc,
            0};
  }

  std::string shown_name(uint32_t v) const {
    const std::string& name = k.values[v].name;
    return name.empty() ? fmt::format("%{}", v) : "%" + name;
  }

  std::optional<Diagnostic> decode_inst(uint32_t pc) {
    const Inst& inst = k.code[pc];
    const OpInfo& op = op_info(inst.op);
    Binder b(p, info, options, pc);
    std::vector<Step> before, after;

    // Undefined values: checked before any instruction that may not read them.
    Poison used;
    Unpoison assigned;
    bool may_read = inst.op == Op::move || inst.op == Op::undef;
    auto results = k.results(inst);
    for (Ref r : results)
      if (p.poison_reg[r.index()] != kNoRegister && !may_read)
        assigned.reg.push_back(p.poison_reg[r.index()]);
    InFlight pending, settled;
    bool wgmma = inst.op == Op::wgmma;
    for (Ref r : results)
      if (p.wgmma_reg[r.index()] != kNoRegister && !wgmma)
        settled.reg.push_back(p.wgmma_reg[r.index()]);
    auto use_wgmma = [&](Ref r) {
      if (!r.is_value() || p.wgmma_reg[r.index()] == kNoRegister) return;
      pending.reg.push_back(p.wgmma_reg[r.index()]);
      pending.name.push_back(shown_name(r.index()));
    };
    auto args = k.args(inst);
    for (size_t i = 0; i < args.size(); ++i) {
      if (!(wgmma && i == 2)) use_wgmma(args[i]);
      if (args[i].is_access()) use_wgmma(Ref::value(k.accesses[args[i].index()].base));
    }
    auto use = [&](Ref r) {
      if (!r.is_value() || p.poison_reg[r.index()] == kNoRegister || may_read) return;
      used.reg.push_back(p.poison_reg[r.index()]);
      used.name.push_back(shown_name(r.index()));
    };
    for (Ref r : k.args(inst)) {
      use(r);
      if (!r.is_access()) continue;
      const Access& a = k.accesses[r.index()];
      if (inst.op != Op::insert) use(Ref::value(a.base));
      use(a.item);
      for (const Index& index : k.indices_of(a)) use(index.start), use(index.stop);
    }
    if (!used.reg.empty()) before.push_back(step<check_poison>(pc, used));
    if (!pending.reg.empty()) before.push_back(step<check_in_flight>(pc, pending));
    if (!settled.reg.empty()) after.push_back(step<clear_in_flight>(pc, settled));
    if (!assigned.reg.empty()) after.push_back(step<clear_poison>(pc, assigned));

    // Results that share a name with an operand.
    if (!tolerates_alias(op.rule)) {
      for (size_t i = 0; i < results.size(); ++i) {
        uint32_t v = results[i].index();
        if (!p.place[v]) continue;
        uint32_t uses = 0;
        for_each_value(k, inst, [&](uint32_t u) { uses += u == v; });
        bool multiplies = op.rule == Rule::mma_ || op.rule == Rule::wgmma_;
        bool accumulator = multiplies && uses == 2 && k.args(inst)[2] == Ref::value(v);
        if (uses < 2 || accumulator) continue;
        Operand temp = p.place[v];
        temp.reg = b.scratch(static_cast<uint64_t>(temp.size()));
        b.redirected_[i] = temp;
        struct Copy {
          uint64_t from, to;
          int64_t bytes;
        };
        auto copy = std::make_shared<Copy>(Copy{temp.reg, p.place[v].reg, temp.size()});
        after.insert(after.begin(), Step{copy_register, copy.get(), pc, 0});
        p.owned.push_back(copy);
      }
    }
    kBind[static_cast<int>(inst.op)](b);
    if (b.error_) return b.error_;
    if (options.trace_every_value)
      for (Ref r : results) {
        if (!p.place[r.index()]) continue;
        Traced t{p.place[r.index()], shown_name(r.index()), {}, pc};
        std::memcpy(t.block, options.trace_block, sizeof t.block);
        after.push_back(step<trace_value>(pc, t));
      }

    bool alone = !before.empty() || !after.empty() || !b.micro_ || !fusing() || !may_fuse(k, inst);
    if (!b.micro_ || alone || (!group.empty() && static_cast<uint64_t>(b.micro_->d.n) != group_n))
      flush();
    if (group.empty()) p.first_step[pc] = static_cast<uint32_t>(p.steps.size());
    else p.first_step[pc] = p.first_step[pc - 1];
    for (const Step& s : before) p.steps.push_back(s);
    if (b.micro_ && !alone) {
      group_n = static_cast<uint64_t>(b.micro_->d.n);
      // A scalar has no strips to keep in the cache, and control follows it closely.
      group.push_back(*b.micro_);
      if (group_n == 1 || group.size() >= 32) flush();
      return {};
    }
    if (b.micro_) p.steps.push_back(make_group(p, {*b.micro_}, {true}));
    for (const Step& s : b.steps_) p.steps.push_back(s);
    for (const Step& s : after) p.steps.push_back(s);
    return {};
  }

  std::optional<Diagnostic> run() {
    find_runs();
    find_lifetimes();
    find_poison();
    find_shared_places();
    place_values();
    place_shared();
    find_order();
    find_strands();
    p.fixed_bytes = p.fixed.size();
    p.first_step.resize(k.code.size() + 1);
    for (uint32_t pc = 0; pc < k.code.size(); ++pc)
      if (auto e = decode_inst(pc)) return e;
    flush();
    p.first_step[k.code.size()] = static_cast<uint32_t>(p.steps.size());
    uint32_t last = k.code.empty() ? 0 : static_cast<uint32_t>(k.code.size() - 1);
    p.steps.push_back({[](Strand&, const void*) { return Flow::done; }, nullptr, last, 0});
    p.register_bytes = aligned(p.scratch_reg + p.scratch_bytes) + kAlign;
    return {};
  }
};

Result<std::unique_ptr<Program>> decode(const VerifiedModule& module, size_t kernel,
                                        const BoundLaunch& launch, const Options& options) {
  auto program = std::make_unique<Program>();
  program->module = &module.module();
  program->kernel = &module.kernel(kernel);
  Decoder decoder{*program, *program->kernel, module.info(kernel), launch, options};
  if (auto e = decoder.run()) return *e;
  return program;
}

// --- Binder

Operand Binder::operand(Ref r) const {
  if (r.is_value()) return program_.place[r.index()];
  if (!r.is_constant()) return {};
  DType t = kernel().constants[r.index()].type;
  return Operand{r.index() * kCell, t, {}, 1};
}

Operand Binder::result(size_t i) const {
  return redirected_[i] ? redirected_[i] : program_.place[result_value(i)];
}

bool Binder::is_memory(size_t i) const {
  Ref r = arg_ref(i);
  uint32_t v = r.is_access() ? kernel().accesses[r.index()].base : r.is_value() ? r.index() : 0;
  return !r.is_constant() && !r.is_none() && kernel().values[v].type.space != Space::reg;
}

AccessPlan Binder::access(size_t i) const {
  AccessPlan plan;
  Ref r = arg_ref(i);
  plan.base = r.is_access() ? kernel().accesses[r.index()].base : r.index();
  plan.base_type = kernel().values[plan.base].type;
  plan.type = plan.base_type.dtype;
  plan.is_param = plan.base < kernel().params.size();
  if (!r.is_access()) return plan;
  const Access& a = kernel().accesses[r.index()];
  plan.item = operand(a.item);
  plan.n_positions = static_cast<int>(a.n_indices);
  for (int d = 0; d < plan.n_positions; ++d) {
    const Index& index = kernel().indices[a.first_index + static_cast<uint32_t>(d)];
    AccessPlan::Position& at = plan.position[d];
    at = {index.kind, operand(index.start), operand(index.stop), index.extent, false};
    at.gather = at.start && index.kind == IndexKind::point && at.start.shape.rank == 1;
  }
  return plan;
}

uint64_t Binder::scratch(uint64_t bytes) {
  uint64_t at = program_.scratch_reg + scratch_used_;
  scratch_used_ += aligned(bytes);
  program_.scratch_bytes = std::max(program_.scratch_bytes, scratch_used_);
  return at;
}

uint64_t Binder::loop_registers(uint32_t pc) const {
  return program_.loop_base + program_.loop_slot[pc] * kCell;
}

int64_t read_int(const Strand& s, const Operand& o) {
  if (o.type == dt::i32_) return *o.in<int32_t>(s);
  if (o.type == dt::i64_) return *o.in<int64_t>(s);
  return decode_int(o.type, carrier_code(o.type, o.at(s), 0));
}

}  // namespace tess::interp
