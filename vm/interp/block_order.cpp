// What blocks leave to be done in block order.
#include <fmt/format.h>

#include "vm/interp/atomics.h"
#include "vm/interp/execution.h"

namespace tess::interp {

void Execution::show(const Deferred::Note& note, const int64_t block[3]) const {
  Shown shown{
      {block[0], block[1], block[2]}, note.strand, note.pc, note.name, note.type, note.data.data()};
  const auto& call = note.is_trace ? options.on_trace : options.on_print;
  if (call) call(shown);
}

// With `mutex` held: what the next blocks in order have left is done, prints and atomics alike.
void Execution::commit_ready() {
  while (!pending.empty() && pending.begin()->first == committed && committed <= stop_at.load()) {
    Deferred d = std::move(pending.begin()->second);
    pending.erase(pending.begin());
    pending_bytes -= d.bytes;
    int64_t g0 = std::max<int64_t>(launch.grid[0], 1), g1 = std::max<int64_t>(launch.grid[1], 1);
    int64_t block[3] = {committed % g0, committed / g0 % g1, committed / g0 / g1};
    for (Deferred::Item& item : d.items) {
      if (item.note) show(*item.note, block);
      else apply_deferred(*item.atomic);
    }
    ++committed;
  }
  turn.notify_all();
}
void Execution::commit(Unit& u) {
  std::lock_guard lock(mutex);
  for (auto& b : u.blocks) {
    ++finished;
    pending_bytes += b->deferred.bytes;
    pending.emplace(b->strands[0]->s.index, std::move(b->deferred));
  }
  commit_ready();
  if (!options.on_progress) return;
  Clock::time_point now = Clock::now();
  if (now - last_progress < std::chrono::milliseconds(100) && finished != launch.blocks) return;
  last_progress = now;
  options.on_progress(finished, launch.blocks);
}

// A unit that did not come to its end: what it printed is still worth seeing.
void Execution::keep_notes(Unit& u) {
  std::lock_guard lock(mutex);
  for (auto& b : u.blocks) pending.emplace(b->strands[0]->s.index, std::move(b->deferred));
}
void Execution::show_notes() {
  for (auto& [index, deferred] : pending) {
    if (index > stop_at.load()) break;
    int64_t block[3] = {index % launch.grid[0], index / launch.grid[0] % launch.grid[1],
                        index / launch.grid[0] / launch.grid[1]};
    for (Deferred::Item& item : deferred.items)
      if (item.note) show(*item.note, block);
  }
  pending.clear();
}

}  // namespace tess::interp
