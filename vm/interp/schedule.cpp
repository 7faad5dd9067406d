// Whose turn it is: the strands of a unit, and units that wait for one another.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "isa/diag/run.h"
#include "vm/interp/execution.h"

namespace tess::interp {
namespace {

constexpr uint64_t kTurn = 1 << 16;   // steps after which a strand gives way to those beside it
constexpr uint64_t kSlice = 1 << 20;  // and a unit in an ordered run
constexpr uint64_t kShortTurn = 48;   // at most, in random order
constexpr size_t kMostLive = 1024;    // units in flight in an ordered, non-cooperative run

void gather_running(Unit& u, std::vector<StrandState*>& out) {
  out.clear();
  for (auto& b : u.blocks)
    for (auto& state : b->strands)
      if (state->running) out.push_back(state.get());
}

// What still flies when all blocks have ended lands; false if that traps.
bool finish_flights(Unit& u) {
  bool trapped = false;
  while (!trapped && complete_one(u, false, trapped)) {
  }
  return !trapped;
}

}  // namespace

Execution::Ended Execution::run_unit(Unit& u, uint64_t slice) {
  if (!p.tracked && u.blocks.size() == 1) {
    Strand& s = u.blocks[0]->strands[0]->s;
    uint32_t was = s.pc;
    uint64_t before = s.executed;
    Ended ended = run_strand(s, slice);
    u.moved = !u.waiting || s.pc != was || s.executed != before;
    if (ended == Ended::trap) u.failed = &s;
    return ended;
  }
  bool random = options.async == Async::random;
  std::vector<StrandState*> running;
  uint64_t spent = 0;
  u.moved = false;
  for (;;) {
    gather_running(u, running);
    if (running.empty()) return finish_flights(u) ? Ended::done : Ended::trap;
    if (random) std::shuffle(running.begin(), running.end(), u.random);
    bool moved = false, polls = false;
    for (StrandState* state : running) {
      Strand& s = state->s;
      if (random && u.random() % 2) {
        bool trapped;
        moved |= complete_one(u, true, trapped);
        if (trapped) return Ended::trap;
      }
      uint32_t was = s.pc;
      uint64_t before = s.executed;
      bool waited = state->waiting;
      state->waiting = false;
      uint64_t turn = random ? 1 + u.random() % kShortTurn : kTurn;
      switch (run_strand(s, std::min(turn, slice))) {
        case Ended::done:
          moved = true;
          state->running = false;
          if (s.number) {
            --s.home->children_running;
            break;
          }
          if (s.tracked && check_end(s) != Flow::next) {
            u.failed = &s;
            return Ended::trap;
          }
          s.home->ended = true;
          break;
        case Ended::trap:
          u.failed = &s;
          return Ended::trap;
        case Ended::stopped:
          return Ended::stopped;
        case Ended::sliced:
          if (random) moved = true;
          else polls = true;
          break;
        case Ended::suspended:
          state->waiting = true;
          moved |= !waited || s.pc != was || s.executed != before;
          break;
      }
      spent += s.executed - before;
    }
    u.moved |= moved || polls;
    if (!moved) {
      bool trapped, completed = complete_one(u, random, trapped);
      if (trapped) return Ended::trap;
      u.moved |= completed;
      if (!completed && !polls) return Ended::suspended;
    }
    if (spent >= slice) return Ended::sliced;
  }
}

void Execution::work_in_order() {
  std::vector<int64_t> order;
  if (options.seed && units <= (1 << 20)) {
    order.resize(static_cast<size_t>(units));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::mt19937_64 random(options.seed);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  }
  std::vector<std::unique_ptr<Unit>> live, idle;
  int64_t started = 0;
  auto start_one = [&]() -> bool {
    std::unique_ptr<Unit> u;
    if (!idle.empty()) {
      u = std::move(idle.back());
      idle.pop_back();
    } else {
      u = std::make_unique<Unit>();
      if (auto e = prepare(*u)) {
        end_by_limit(*e, nullptr);
        return false;
      }
    }
    int64_t unit = order.empty() ? started : order[static_cast<size_t>(started)];
    begin_unit(*u, unit * p.kernel->cluster);
    ++started;
    live.push_back(std::move(u));
    return true;
  };
  auto keep_all = [&] {
    for (auto& u : live)
      if (u) keep_notes(*u);
  };
  for (;;) {
    bool progress = false, sliced = false, ended = false;
    for (size_t i = 0; i < live.size(); ++i) {
      Unit& u = *live[i];
      if (u.waiting && u.seen_changes == launch.memory_changes) continue;
      Ended how = run_unit(u, kSlice);
      u.waiting = false;
      switch (how) {
        case Ended::done:
          commit(u);
          idle.push_back(std::move(live[i]));
          progress = ended = true;
          break;
        case Ended::trap:
          end_by_trap(u);
          live[i].reset();
          return keep_all();
        case Ended::stopped:
          return keep_all();
        case Ended::sliced:
          progress = sliced = true;
          break;
        case Ended::suspended:
          progress |= u.moved;
          u.waiting = true;
          u.seen_changes = launch.memory_changes;
          break;
      }
    }
    if (ended) std::erase_if(live, [](const auto& u) { return !u; });
    bool may_start =
        started < units && (!progress || (sliced && (p.cooperative || live.size() < kMostLive)));
    if (may_start) {
      if (!start_one()) return;
    } else if (!progress) {
      if (live.empty()) return;
      std::vector<Unit*> waiting;
      for (auto& u : live) waiting.push_back(u.get());
      report_deadlock(waiting);
      {
        std::lock_guard lock(mutex);
        trap_error = place_diag(waiting[0]->failed->trap, *waiting[0]->failed, trap_place);
      }
      return keep_all();
    }
  }
}

// Leaves the report with the first strand that waits, as the trap of the first unit.
void Execution::report_deadlock(const std::vector<Unit*>& units_waiting) {
  constexpr size_t kShown = 16;
  std::vector<Strand*> waiting;
  for (Unit* u : units_waiting)
    for (auto& b : u->blocks)
      for (auto& state : b->strands)
        if (state->running && !state->s.forked) waiting.push_back(&state->s);
  std::sort(waiting.begin(), waiting.end(), [](const Strand* a, const Strand* b) {
    return std::pair(a->index, a->number) < std::pair(b->index, b->number);
  });
  Strand& first = *waiting[0];
  for (Strand* s : waiting) s->running = p.steps[s->pc].pc;
  bool strands = p.strands_per_block > 1;
  trap(first, diag::run_deadlock,
       fmt::format("deadlock: {} {}{} wait{} and nothing can end a wait", waiting.size(),
                   strands ? "strand" : "block", waiting.size() == 1 ? "" : "s",
                   waiting.size() == 1 ? "s" : ""));
  for (size_t i = 0; i < std::min(waiting.size(), kShown); ++i) {
    const Strand& s = *waiting[i];
    const Inst& inst = p.inst(s.running);
    std::string who = strand_text(s);
    if (strands) who += fmt::format(", instruction {},", s.running);
    first.trap.notes.push_back(Note{fmt::format("{} waits: {}", who, s.waits_for),
                                    Span{inst.loc.file, inst.loc.line, inst.loc.col, 0}});
  }
  if (waiting.size() > kShown)
    first.trap.notes.push_back(Note{fmt::format("and {} more", waiting.size() - kShown), {}});
  units_waiting[0]->failed = &first;
}

}  // namespace tess::interp
