// One launch while it runs: units over threads or in a fixed order, what they leave to block order,
// and limits. Members are grouped by the file that has them.
#pragma once
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>

#include "vm/interp/unit.h"

namespace tess::interp {

struct Execution {
  using Clock = std::chrono::steady_clock;

  const Program& p;
  const Options& options;
  LaunchState launch;
  int64_t units = 0;
  std::vector<Buffer> workspaces;
  std::vector<std::vector<Written>> out_written;  // by parameter
  uint64_t memory = 0;                            // bytes held, under `mutex`
  Clock::time_point start = Clock::now();

  std::atomic<int64_t> next_unit{0};
  std::atomic<int64_t> stop_at{INT64_MAX};  // the lowest block that trapped; later ones are dropped
  std::atomic<bool> stop_all{false};        // limits and interrupts
  std::atomic<uint64_t> steps{0};

  std::mutex mutex;
  std::condition_variable turn;
  std::map<int64_t, Deferred> pending;
  uint64_t pending_bytes = 0;
  int64_t committed = 0, finished = 0;
  std::optional<Diagnostic> trap_error, limit_error;
  TrapPlace trap_place, limit_place;
  Clock::time_point last_progress = start;

  Execution(const Program& program, const Options& o) : p(program), options(o) {}

  // launch_memory.cpp
  std::optional<Diagnostic> bind_memory(const BoundLaunch& bound);
  std::optional<Diagnostic> prepare(Unit& u);
  void warn_unwritten(Diagnostics& warnings) const;
  Diagnostic out_of_memory(uint64_t bytes) const;
  bool take_memory(uint64_t bytes);

  // machine.cpp
  enum class Ended : uint8_t { done, trap, stopped, suspended, sliced };
  void run_all();
  void work();
  Ended run_strand(Strand& s, uint64_t slice);
  bool may_go_on(const Strand& s, uint64_t done);
  void end_by_trap(Unit& u);
  void end_by_limit(Diagnostic d, const Strand* s);
  Diagnostic place_diag(Diagnostic d, const Strand& s, TrapPlace& place) const;

  // schedule.cpp
  Ended run_unit(Unit& u, uint64_t slice);
  void work_in_order();
  void report_deadlock(const std::vector<Unit*>& waiting);

  // block_order.cpp
  void commit(Unit& u);
  void commit_ready();
  void keep_notes(Unit& u);
  void show_notes();
  void show(const Deferred::Note& note, const int64_t block[3]) const;

  // Memory that the kernels themselves ask for may run out; nothing else throws.
  template <class F>
  void guarded(F f) {
    try {
      f();
    } catch (const std::bad_alloc&) {
      end_by_limit(out_of_memory(0), nullptr);
    }
  }
};

}  // namespace tess::interp
