// Running a launch: units over threads, one strand's steps, limits, traps.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/execution.h"
#include "vm/interp/parallel.h"

namespace tess::interp {
namespace {

constexpr uint64_t kPendingBytes = 256 << 20;  // deferred work that may wait for an earlier block

}  // namespace

Flow trap(Strand& s, Diag code, std::string message, std::string hint) {
  s.trap = make_diag(code, std::move(message), {}, std::move(hint));
  return Flow::trap;
}

Diagnostic Execution::place_diag(Diagnostic d, const Strand& s, TrapPlace& place) const {
  const Inst& inst = p.inst(s.running);
  std::memcpy(place.block, s.block, sizeof place.block);
  place.strand = s.number;
  place.pc = s.running;
  d.span = Span{inst.loc.file, inst.loc.line, inst.loc.col, 0};
  d.notes.push_back(
      Note{fmt::format("in kernel `{}`, block {}, strand {}, instruction {}: `{}`", p.kernel->name,
                       block_text(s.block), s.number, s.running, op_info(inst.op).name),
           {}});
  return d;
}

void Execution::end_by_trap(Unit& u) {
  std::lock_guard lock(mutex);
  const Strand& s = *u.failed;
  if (s.index < stop_at.load()) {
    stop_at = s.index;
    trap_error = place_diag(s.trap, s, trap_place);
  }
  for (auto& b : u.blocks) pending.emplace(b->strands[0]->s.index, std::move(b->deferred));
  commit_ready();
  turn.notify_all();
}
void Execution::end_by_limit(Diagnostic d, const Strand* s) {
  std::lock_guard lock(mutex);
  stop_all = true;
  if (!limit_error) limit_error = s ? place_diag(std::move(d), *s, limit_place) : std::move(d);
  turn.notify_all();
}

// Limits, interrupt and cancellation; false: stop this strand. `done` steps since the last call.
bool Execution::may_go_on(const Strand& s, uint64_t done) {
  uint64_t total = steps.fetch_add(done, std::memory_order_relaxed) + done;
  if (stop_all.load(std::memory_order_relaxed) || stop_at.load(std::memory_order_relaxed) < s.index)
    return false;
  if (options.limits.steps && total > options.limits.steps) {
    end_by_limit(make_diag(diag::run_step_limit,
                           fmt::format("the step limit of {} was reached", options.limits.steps)),
                 &s);
    return false;
  }
  if (options.interrupt && options.interrupt->load(std::memory_order_relaxed)) {
    end_by_limit(make_diag(diag::run_interrupted, "interrupted"), &s);
    return false;
  }
  if (options.limits.seconds > 0 &&
      std::chrono::duration<double>(Clock::now() - start).count() > options.limits.seconds) {
    end_by_limit(
        make_diag(diag::run_time_limit,
                  fmt::format("the time limit of {} seconds was reached", options.limits.seconds)),
        &s);
    return false;
  }
  return true;
}

Execution::Ended Execution::run_strand(Strand& s, uint64_t slice) {
  constexpr uint64_t kMostBetween = 1024;
  constexpr auto kLongBetween = std::chrono::milliseconds(5);
  const Step* steps_of = p.steps.data();
  uint64_t done = 0, total = 0, between = 16;
  Clock::time_point last = Clock::now();
  auto room = [&] {
    uint64_t limit = options.limits.steps;
    if (!limit) return between;
    uint64_t used = steps.load(std::memory_order_relaxed);
    return std::min(between, used < limit ? limit - used + 1 : 1);
  };
  auto until_check = [&] { return std::min(room(), slice - total); };
  uint64_t check_at = until_check();
  for (;;) {
    const Step& step = steps_of[s.pc++];
    s.running = step.pc;
    Flow flow = step.exec(s, step.decoded);
    done += step.count;
    if (flow == Flow::next && done < check_at) continue;
    if (flow == Flow::suspend) {
      --s.pc;
      done -= step.count;
    }
    s.executed += done;
    if (!may_go_on(s, done)) return flow == Flow::trap ? Ended::trap : Ended::stopped;
    if (flow == Flow::done) return Ended::done;
    if (flow == Flow::trap) return Ended::trap;
    if (flow == Flow::suspend) return Ended::suspended;
    total += done;
    done = 0;
    if (total >= slice) return Ended::sliced;
    Clock::time_point now = Clock::now();
    between = now - last > kLongBetween ? std::max<uint64_t>(1, between / 4)
                                        : std::min(kMostBetween, between * 2);
    last = now;
    check_at = until_check();
  }
}

void Execution::work() {
  Unit u;
  bool ready = false;
  for (;;) {
    {
      std::unique_lock lock(mutex);
      turn.wait(lock, [&] {
        return pending_bytes <= kPendingBytes || stop_all || stop_at.load() != INT64_MAX;
      });
    }
    int64_t unit = next_unit.fetch_add(1, std::memory_order_relaxed);
    int64_t first = unit * p.kernel->cluster;
    if (unit >= units || first > stop_at.load() || stop_all) break;
    if (!ready) {
      if (auto e = prepare(u)) return end_by_limit(*e, nullptr);
      ready = true;
    }
    begin_unit(u, first);
    switch (run_unit(u, UINT64_MAX)) {
      case Ended::done:
        commit(u);
        break;
      case Ended::trap:
        end_by_trap(u);
        break;
      case Ended::suspended:  // no other unit can end its waits
        report_deadlock({&u});
        end_by_trap(u);
        break;
      default:
        keep_notes(u);
        break;
    }
  }
}

void Execution::run_all() {
  if (!units) return;
  uint32_t threads = thread_count(options.threads);
  threads = static_cast<uint32_t>(std::min<int64_t>(threads, units));
  if (p.ordered) guarded([&] { work_in_order(); });
  else run_parallel(threads, [&](uint32_t) { guarded([&] { work(); }); });
}

Outcome run(const VerifiedModule& module, size_t kernel, const BoundLaunch& launch,
            const Options& options) {
  Outcome out;
  auto finish = [&](Execution* r) {
    if (r) {
      out.stats.steps = r->steps.load();
      out.stats.blocks = r->finished;
      out.stats.seconds = std::chrono::duration<double>(Execution::Clock::now() - r->start).count();
    }
    return out;
  };
  auto program = [&]() -> Result<std::unique_ptr<Program>> {
    try {
      return decode(module, kernel, launch, options);
    } catch (const std::bad_alloc&) {
      return make_diag(diag::run_memory_limit, "no memory to decode the kernel");
    }
  }();
  if (!program) {
    out.error = program.error();
    return finish(nullptr);
  }
  Execution r(**program, options);
  if (auto e = r.bind_memory(launch)) {
    out.error = *e;
    return finish(&r);
  }
  r.run_all();
  r.show_notes();
  if (r.trap_error) {
    out.error = r.trap_error;
    out.place = r.trap_place;
  } else if (r.limit_error) {
    out.error = r.limit_error;
    out.place = r.limit_place;
  } else {
    r.warn_unwritten(out.warnings);
  }
  return finish(&r);
}

}  // namespace tess::interp
