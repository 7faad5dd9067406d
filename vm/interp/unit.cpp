#include "vm/interp/unit.h"

#include <fmt/format.h>

#include <cstring>

namespace tess::interp {

std::string block_text(const int64_t block[3]) {
  return fmt::format("({},{},{})", block[0], block[1], block[2]);
}
std::string strand_text(const Strand& s) {
  std::string text = fmt::format("block {}", block_text(s.block));
  if (s.launch->program->strands_per_block > 1) text += fmt::format(", strand {}", s.number);
  return text;
}

namespace {

uint64_t strand_bytes(const Program& p) { return p.register_bytes; }

bool prepare_strand(StrandState& state, const Program& p, const LaunchState& launch) {
  state.regs = make_buffer(p.register_bytes);
  if (!state.regs) return false;
  if (!p.fixed.empty()) std::memcpy(state.regs.get(), p.fixed.data(), p.fixed.size());
  const Kernel& k = *p.kernel;
  bool any_memory = false;
  for (const Value& v : k.values) any_memory |= v.type.space != Space::reg;
  if (any_memory) state.views.resize(k.values.size());
  for (size_t i = 0; i < k.params.size(); ++i)
    if (launch.params[i].size() == 1) state.views[i] = launch.params[i][0];
  if (!p.mbar_values.empty()) state.mbars.resize(k.values.size());
  return true;
}

void set_up(StrandState& state, Block& b, uint32_t number, const Strand& from) {
  Work copies = state.s.copies, bulk = state.s.bulk, wgmma = state.s.wgmma;
  Strand& s = state.s;
  s = Strand{};
  s.regs = state.regs.get();
  s.views = state.views.data();
  s.mbars = state.mbars.data();
  s.launch = from.launch;
  s.index = from.index;
  std::memcpy(s.block, from.block, sizeof s.block);
  s.shared = b.shared.get();
  s.shared_written = b.written.data();
  s.deferred = &b.deferred;
  s.home = &b;
  s.number = number;
  s.tracked = from.tracked;
  // What earlier strands in this place left behind stays dated before what this one does.
  auto go_on = [](Work& w, const Work& was) { w.now = was.now + 1; };
  go_on(s.copies, copies);
  go_on(s.bulk, bulk);
  go_on(s.wgmma, wgmma);
  state.waiting = false;
  state.running = true;
}

void declare_shared(Block& b, const Program& p) {
  for (uint32_t v : p.shared_values) {
    const Type& t = p.kernel->values[v].type;
    b.written[v].reset(static_cast<uint64_t>(t.shape.elements()) * t.dtype.bits, t.dtype.bits);
  }
}

void declare_mbars(Block& b, const Program& p, const Agents& agents) {
  uint32_t slot = 0;
  for (const Program::MbarValue& m : p.mbar_values) {
    auto set = std::make_unique<MbarSet>();
    set->count = m.count;
    set->rank = b.rank;
    set->value = m.value;
    set->slots.resize(m.slots);
    for (MbarSlot& s : set->slots) s.agent = agents.of_mbar(b.rank, slot++);
    b.mbars[m.value] = std::move(set);
  }
}

Agents agents_of(const Program& p) { return {p.strands_per_block, p.mbar_slots}; }

}  // namespace

uint64_t unit_bytes(const Program& p) {
  return p.kernel->cluster * (p.strands_per_block * strand_bytes(p) + p.shared_bytes);
}

bool prepare_unit(Unit& u, LaunchState& launch) {
  const Program& p = *launch.program;
  u.launch = &launch;
  for (uint32_t rank = 0; rank < p.kernel->cluster; ++rank) {
    auto b = std::make_unique<Block>();
    b->unit = &u;
    b->rank = rank;
    b->shared = make_buffer(p.shared_bytes + 16);
    if (!b->shared) return false;
    b->written = std::vector<Written>(p.shared_values.empty() ? 0 : p.kernel->values.size());
    if (!p.mbar_values.empty()) b->mbars.resize(p.kernel->values.size());
    for (uint32_t i = 0; i < p.strands_per_block; ++i) {
      auto state = std::make_unique<StrandState>();
      if (!prepare_strand(*state, p, launch)) return false;
      b->strands.push_back(std::move(state));
    }
    u.blocks.push_back(std::move(b));
  }
  return true;
}

void begin_unit(Unit& u, int64_t first) {
  LaunchState& launch = *u.launch;
  const Program& p = *launch.program;
  u.failed = nullptr;
  u.waiting = false;
  if (p.tracked) {
    u.shadow.clear();
    u.words.clear();
    u.flights.clear();
    u.cluster = Meeting{};
    u.random.seed(launch.options->seed * 0x9e3779b97f4a7c15ull + static_cast<uint64_t>(first));
  }
  Agents agents = agents_of(p);
  for (auto& b : u.blocks) {
    b->deferred = Deferred{};
    b->children = b->children_running = 0;
    b->ended = false;
    Strand start;
    start.launch = &launch;
    start.index = first + b->rank;
    start.block[0] = start.index % launch.grid[0];
    start.block[1] = start.index / launch.grid[0] % launch.grid[1];
    start.block[2] = start.index / launch.grid[0] / launch.grid[1];
    start.tracked = p.tracked;
    for (auto& state : b->strands) state->running = false;
    StrandState& main = *b->strands[0];
    set_up(main, *b, 0, start);
    main.s.warps = p.kernel->warps;
    if (!p.tracked) continue;
    b->named.fill(Meeting{});
    declare_shared(*b, p);
    declare_mbars(*b, p, agents);
    size_t n = agents.per_block() * u.blocks.size();
    main.s.agent = agents.of(b->rank, 0, Agent::strand);
    main.s.knows = {Clock(n), Clock(n)};
    main.s.knows.seen[main.s.agent] = 1;
  }
}

void start_strands(Strand& s, const std::vector<Section>& sections) {
  Block& b = *s.home;
  const Program& p = *s.launch->program;
  Agents agents = agents_of(p);
  uint32_t next = 1;
  for (const Section& section : sections)
    for (uint32_t i = 0; i < section.strands; ++i, ++next) {
      StrandState& child = *b.strands[next];
      uint32_t clock = child.s.knows.seen.empty() ? 0 : child.s.knows.seen[child.s.agent];
      set_up(child, b, next, s);
      child.s.warps = section.warps;
      child.s.pc = p.first_step[section.first];
      std::memcpy(child.s.regs, s.regs, p.scalar_bytes);
      if (section.number) *section.number.in<int32_t>(child.s) = static_cast<int32_t>(i);
      child.views.assign(b.strands[0]->views.begin(), b.strands[0]->views.end());
      child.mbars = b.strands[0]->mbars;
      child.s.views = child.views.data();
      child.s.mbars = child.mbars.data();
      child.s.agent = agents.of(b.rank, next, Agent::strand);
      child.s.knows = s.knows;
      child.s.knows.seen[child.s.agent] = std::max(clock, s.knows.seen[child.s.agent]) + 1;
    }
  b.children = b.children_running = next - 1;
  ++s.knows.seen[s.agent];
}

void join_strands(Strand& s) {
  Block& b = *s.home;
  for (uint32_t i = 1; i <= b.children; ++i) acquire(s, b.strands[i]->s.knows);
  b.children = 0;
}

}  // namespace tess::interp
