#include "vm/interp/races.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/run.h"
#include "vm/interp/memory_ops.h"
#include "vm/interp/unit.h"

namespace tess::interp {

void Shadow::split(uint64_t at) {
  auto it = cells_.upper_bound(at);
  if (it == cells_.begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  Cell rest = it->second;
  it->second.end = at;
  cells_.emplace_hint(std::next(it), at, std::move(rest));
}

template <class Ordered>
void Shadow::touch(uint64_t begin, uint64_t end, const Mark& mark, const Ordered& ordered,
                   Conflict& out) {
  if (begin >= end) return;
  auto check = [&](const Mark& m) {
    if (!m.clock || out.found) return;
    if (mark.touch == Touch::read && m.touch == Touch::read) return;
    if (mark.touch == Touch::atomic && m.touch == Touch::atomic) return;
    bool only_fence = false;
    if (ordered(m, only_fence)) return;
    out = {true, only_fence, m};
  };
  auto add_read = [&](Cell& c) {
    for (Mark& m : c.reads)
      if (m.agent == mark.agent && m.touch == mark.touch && m.by_engine == mark.by_engine) {
        m = mark;
        return;
      }
    c.reads.push_back(mark);
  };
  split(begin);
  split(end);
  auto it = cells_.lower_bound(begin);
  if (mark.touch == Touch::write) {
    while (it != cells_.end() && it->first < end) {
      check(it->second.write);
      for (const Mark& m : it->second.reads) check(m);
      it = cells_.erase(it);
    }
    cells_.emplace_hint(it, begin, Cell{end, mark, {}});
    return;
  }
  // Atomics are kept like reads: several may stand beside each other.
  for (uint64_t at = begin; at < end;) {
    if (it == cells_.end() || it->first > at) {
      uint64_t stop = it == cells_.end() ? end : std::min(end, it->first);
      cells_.emplace_hint(it, at, Cell{stop, {}, {mark}});
      at = stop;
      continue;
    }
    check(it->second.write);
    for (const Mark& m : it->second.reads) check(m);
    add_read(it->second);
    at = it->second.end;
    ++it;
  }
}

void Shadow::forget(const Moment& least, bool fences) {
  auto reached = [](const Clock& c, const Mark& m) {
    return m.agent < c.size() && c[m.agent] >= m.clock;
  };
  auto covered = [&](const Mark& m) {
    return reached(least.seen, m) && (!fences || m.by_engine || reached(least.fenced, m));
  };
  for (auto it = cells_.begin(); it != cells_.end();) {
    Cell& c = it->second;
    if (covered(c.write)) c.write = {};
    std::erase_if(c.reads, covered);
    it = !c.write.clock && c.reads.empty() ? cells_.erase(it) : std::next(it);
  }
  limit_ = std::max<size_t>(1024, cells_.size() * 2);
}

Dated by_strand(const Strand& s) { return {s.agent, s.knows.seen[s.agent], false, false}; }
Dated by_work(const Strand& s, Agent kind) {
  const Work& w = kind == Agent::copy ? s.copies : kind == Agent::wgmma ? s.wgmma : s.bulk;
  uint32_t agent = s.agent + static_cast<uint32_t>(kind) - static_cast<uint32_t>(Agent::strand);
  return {agent, w.now, true, kind != Agent::copy};
}
Dated by_mbar(uint32_t agent, uint64_t phase) {
  return {agent, static_cast<uint32_t>(phase) + 1, true, true};
}

namespace {

struct Checked {
  Strand& s;
  Mark mark;
  bool manual;

  bool operator()(const Mark& m, bool& only_fence) const {
    auto covered = [&](const Clock& c) { return m.agent < c.size() && c[m.agent] >= m.clock; };
    if (!covered(s.knows.seen)) return false;
    // Under `sync auto` the compiler puts the proxy fences.
    if (!manual || !mark.by_engine || m.by_engine || m.touch == Touch::read) return true;
    only_fence = !covered(s.knows.fenced);
    return !only_fence;
  }
};

const char* verb(const Mark& m) {
  switch (m.touch) {
    case Touch::read:
      return "read";
    case Touch::write:
      return "written";
    default:
      return "updated";
  }
}

Flow report(Strand& s, const Mark& mine, const Shadow::Conflict& c, uint32_t name) {
  const Program& p = *s.launch->program;
  const Strand& other = s.home->unit->blocks[c.other.rank]->strands[c.other.strand]->s;
  const Inst& inst = p.inst(c.other.pc);
  std::string_view op = op_info(inst.op).name;
  std::string what = memory_name(s, name), who = strand_text(other);
  if (c.only_fence)
    trap(s, diag::run_proxy,
         fmt::format(
             "`{}` is {} by an asynchronous operation without `fence.proxy` after `{}` of {}", what,
             verb(mine), op, who));
  else if (c.other.asynchronous)
    trap(s, diag::run_in_flight,
         fmt::format("`{}` is {} where `{}` of {} may still be under way", what, verb(mine), op,
                     who),
         "wait for it first");
  else
    trap(s, diag::run_race,
         fmt::format("`{}` is {} here and {} by `{}` of {}, and nothing orders the two", what,
                     verb(mine), verb(c.other), op, who));
  s.trap.notes.push_back(
      Note{fmt::format("the other access: `{}` of {}, instruction {}", op, who, c.other.pc),
           Span{inst.loc.file, inst.loc.line, inst.loc.col, 0}});
  return Flow::trap;
}

Mark mark_of(const Strand& s, Touch touch, const Dated& d) {
  Mark m;
  m.agent = d.agent;
  m.clock = d.clock;
  m.pc = s.running;
  m.rank = static_cast<uint16_t>(s.home->rank);
  m.strand = static_cast<uint16_t>(s.number);
  m.touch = touch;
  m.asynchronous = d.asynchronous;
  m.by_engine = d.by_engine;
  return m;
}

uint64_t absolute(const uint8_t* base) {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(base)) * 8;
}

// Calls range(begin, end) for the bits of the region, whatever the order of its dimensions.
template <class Range>
void cover(const Region& r, const Range& range) {
  if (r.gather_dim >= 0 || r.limited) {
    walk(r, [&](const Run& run) {
      if (run.step == r.type.bits)
        return range(run.bit, run.bit + static_cast<uint64_t>(run.n) * r.type.bits);
      for (int64_t i = 0; i < run.n; ++i) {
        uint64_t bit = run.bit + run.step * static_cast<uint64_t>(i);
        range(bit, bit + r.type.bits);
      }
    });
    return;
  }
  if (r.nothing) return;
  struct Dim {
    int64_t n, step;
  } dim[limits::max_rank];
  int rank = 0;
  uint64_t first = r.origin;
  for (int d = 0; d < r.rank; ++d) {
    int64_t n = r.hi[d] - r.lo[d], step = r.stride[d] * r.type.bits;
    if (n <= 0) return;
    first += static_cast<uint64_t>(step * r.lo[d]);
    if (n == 1) continue;
    if (step < 0) {
      first += static_cast<uint64_t>(step * (n - 1));
      step = -step;
    }
    int at = rank++;  // largest step first
    for (; at > 0 && dim[at - 1].step < step; --at) dim[at] = dim[at - 1];
    dim[at] = {n, step};
  }
  uint64_t dense = r.type.bits;
  while (rank && static_cast<uint64_t>(dim[rank - 1].step) <= dense) {
    dense = static_cast<uint64_t>(dim[rank - 1].step) * static_cast<uint64_t>(dim[rank - 1].n - 1) +
            dense;
    --rank;
  }
  int64_t at[limits::max_rank] = {};
  for (;;) {
    uint64_t bit = first;
    for (int d = 0; d < rank; ++d) bit += static_cast<uint64_t>(at[d] * dim[d].step);
    range(bit, bit + dense);
    int d = rank - 1;
    while (d >= 0 && ++at[d] == dim[d].n) at[d--] = 0;
    if (d < 0) return;
  }
}

template <class Walk>
Flow check(Strand& s, Touch touch, const Dated& dated, uint32_t name, const Walk& walk_ranges) {
  Unit& u = *s.home->unit;
  Checked checked{s, mark_of(s, touch, dated), s.launch->program->kernel->sync_manual};
  Shadow::Conflict conflict;
  walk_ranges([&](uint64_t begin, uint64_t end) {
    u.shadow.touch(begin, end, checked.mark, checked, conflict);
  });
  if (conflict.found) return report(s, checked.mark, conflict, name);
  if (u.shadow.crowded()) forget_old(u);
  return Flow::next;
}

}  // namespace

Flow check_region(Strand& s, const Region& r, Touch touch, const Dated& dated, uint32_t name) {
  if (r.immutable) return Flow::next;
  uint64_t base = absolute(r.base);
  return check(s, touch, dated, name, [&](auto range) {
    cover(r, [&](uint64_t begin, uint64_t end) { range(base + begin, base + end); });
  });
}
Flow check_run(Strand& s, const Region& r, const Run& run, Touch touch, const Dated& dated,
               uint32_t name) {
  if (r.immutable) return Flow::next;
  uint64_t base = absolute(r.base);
  return check(s, touch, dated, name, [&](auto range) {
    for (int64_t i = 0; i < run.n; ++i) {
      uint64_t bit = base + run.bit + run.step * static_cast<uint64_t>(i);
      range(bit, bit + r.type.bits);
    }
  });
}
Flow check_bytes(Strand& s, const uint8_t* from, uint64_t bytes, Touch touch, const Dated& dated,
                 uint32_t name) {
  uint64_t begin = absolute(from);
  return check(s, touch, dated, name, [&](auto range) { range(begin, begin + bytes * 8); });
}

Flow check_end(Strand& s) {
  const Block& b = *s.home;
  uint64_t begin = absolute(b.shared.get()), bytes = s.launch->program->shared_bytes;
  Mark mark = mark_of(s, Touch::write, by_strand(s));
  Shadow::Conflict c;
  auto ordered = [&](const Mark& m, bool&) {
    return (m.asynchronous && !m.by_engine) ||
           (m.agent < s.knows.seen.size() && s.knows.seen[m.agent] >= m.clock);
  };
  b.unit->shadow.touch(begin, begin + bytes * 8, mark, ordered, c);
  if (!c.found) return Flow::next;
  const Strand& other = b.unit->blocks[c.other.rank]->strands[c.other.strand]->s;
  const Inst& inst = s.launch->program->inst(c.other.pc);
  std::string_view op = op_info(inst.op).name;
  trap(s, c.other.asynchronous ? diag::run_in_flight : diag::run_race,
       fmt::format("the block ends, and `{}` of {} may still use its shared memory", op,
                   strand_text(other)));
  s.trap.notes.push_back(Note{
      fmt::format("the access: `{}` of {}, instruction {}", op, strand_text(other), c.other.pc),
      Span{inst.loc.file, inst.loc.line, inst.loc.col, 0}});
  return Flow::trap;
}

// --- order

void release(Strand& s, Moment& to) {
  to.join(s.knows);
  ++s.knows.seen[s.agent];
}
void acquire(Strand& s, const Moment& from) {
  uint32_t own = s.knows.seen[s.agent];
  s.knows.join(from);
  s.knows.seen[s.agent] = std::max(own, s.knows.seen[s.agent]);
}

void release_word(Strand& s, const void* place, bool fenced_only) {
  Moment& word = s.home->unit->words[reinterpret_cast<uintptr_t>(place)];
  if (fenced_only) word.join(s.fenced);
  else release(s, word);
}
void acquire_word(Strand& s, const void* place, bool at_next_fence) {
  auto& words = s.home->unit->words;
  auto it = words.find(reinterpret_cast<uintptr_t>(place));
  if (it == words.end()) return;
  if (at_next_fence) s.relaxed.join(it->second);
  else acquire(s, it->second);
}
void memory_fence(Strand& s) {
  acquire(s, s.relaxed);
  release(s, s.fenced);
}
void proxy_fence(Strand& s) { join(s.knows.fenced, s.knows.seen); }

void forget_old(Unit& u) {
  Moment least;
  bool first = true;
  auto lower = [&](Clock& to, const Clock& c) {
    if (first) to = c;
    to.resize(std::min(to.size(), c.size()));
    for (size_t i = 0; i < to.size(); ++i) to[i] = std::min(to[i], c[i]);
  };
  for (auto& b : u.blocks) {
    if (b->ended) continue;
    for (auto& state : b->strands) {
      if (!state->running || (state->s.number == 0 && b->children_running)) continue;
      lower(least.seen, state->s.knows.seen);
      lower(least.fenced, state->s.knows.fenced);
      first = false;
    }
  }
  u.shadow.forget(least, u.launch->program->kernel->sync_manual);
}

}  // namespace tess::interp
