// Lifetimes of values and their places.
#include "vm/interp/plan.h"

#include <algorithm>
#include <map>
#include <queue>

#include "vm/interp/bulk.h"

namespace tess::interp {

void Plan::make() {
  find_runs();
  find_lifetimes();
  find_poison();
  find_shared_places();
  place_values();
  place_shared();
  find_order();
  find_strands();
}

void Plan::find_runs() {
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
void Plan::find_lifetimes() {
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
  auto parent = [&](uint32_t loop) { return loop == 0 ? ~0u : enclosing[loop]; };
  enclosing.assign(n, ~0u);
  open.clear();
  for (uint32_t i = 0; i < n; ++i) {
    Op op = k.code[i].op;
    if (op == Op::end && !open.empty() && info.match[i] == open.back()) open.pop_back();
    if (op == Op::for_ || op == Op::while_) {
      enclosing[i] = open.empty() ? ~0u : open.back();
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

// Values that are one another's elements in the same order share a place: a reshape or move of a
// value costs nothing when neither name is assigned elsewhere and both assignments stand in one
// straight line, so that they are always made together.
void Plan::find_shared_places() {
  uint32_t n = static_cast<uint32_t>(k.values.size());
  shares.resize(n);
  for (uint32_t v = 0; v < n; ++v) shares[v] = v;
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
    if (poisons[from] || poisons[to]) continue;
    uint32_t root = shares[from];
    shares[to] = root;
    live[root].first = std::min(live[root].first, live[to].first);
    live[root].last = std::max(live[root].last, live[to].last);
  }
}
void Plan::place_values() {
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
    if (k.values[v].type.is_tile() && live[v].first != ~0u && shares[v] == v) order.push_back(v);
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
    if (shares[v] != v) {
      const Type& t = k.values[v].type;
      p.place[v] = Operand{p.place[shares[v]].reg, t.dtype, t.shape, t.shape.elements()};
    }
  p.scratch_reg = at;
}

// Values that `undef` may reach: its results, and moves of those.
void Plan::find_poison() {
  poisons.assign(k.values.size(), false);
  std::vector<uint32_t> reached;
  auto reach = [&](uint32_t v) {
    if (poisons[v]) return;
    poisons[v] = true;
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
void Plan::place_poison(uint64_t& at) {
  p.poison_reg.assign(k.values.size(), kNoRegister);
  for (size_t v = 0; v < poisons.size(); ++v)
    if (poisons[v]) p.poison_reg[v] = at++;
}

// A word for each result of a `wgmma`: the clock of its group, or 0.
void Plan::place_wgmma(uint64_t& at) {
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

void Plan::place_shared() {
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

}  // namespace tess::interp
