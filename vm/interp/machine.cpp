// Running a launch: blocks over threads or in a fixed order, what they leave to block order,
// limits.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <numeric>
#include <random>

#include "isa/diag/run.h"
#include "vm/interp/atomics.h"
#include "vm/interp/parallel.h"
#include "vm/interp/program.h"

namespace tess::interp {

void FreeAligned::operator()(uint8_t* p) const { std::free(p); }
Buffer make_buffer(uint64_t bytes) {
  constexpr uint64_t kLine = 64;
  if (bytes > uint64_t{1} << 46) return nullptr;
  return Buffer(static_cast<uint8_t*>(std::aligned_alloc(kLine, (bytes + kLine) / kLine * kLine)));
}

Flow trap(Strand& s, Diag code, std::string message, std::string hint) {
  s.trap = make_diag(code, std::move(message), {}, std::move(hint));
  return Flow::trap;
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kPendingBytes = 256 << 20;  // deferred work that may wait for an earlier block
constexpr uint64_t kSlice = 1 << 20;  // steps after which a block in an ordered run gives way
constexpr size_t kMostLive = 1024;    // blocks in flight in an ordered, non-cooperative run

// Everything a running block needs, reused for the next block of the same thread.
struct BlockState {
  Strand s;
  Buffer regs, shared;
  std::vector<View> views;
  std::vector<Written> written;
  Deferred deferred;
  bool waiting = false;
  uint64_t seen_changes = 0;
};

std::string block_text(const int64_t block[3]) {
  return fmt::format("({},{},{})", block[0], block[1], block[2]);
}

struct Execution {
  const Program& p;
  const Options& options;
  LaunchState launch;
  std::vector<Buffer> workspaces;
  std::vector<std::vector<Written>> out_written;  // by parameter
  uint64_t memory = 0;                            // bytes held, under `mutex`
  Clock::time_point start = Clock::now();

  std::atomic<int64_t> next_block{0};
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

  // --- storage

  Diagnostic out_of_memory(uint64_t bytes) const {
    return make_diag(
        diag::run_memory_limit,
        options.limits.memory_bytes && bytes
            ? fmt::format("the memory limit of {} bytes was reached: {} more are needed",
                          options.limits.memory_bytes, bytes)
        : bytes ? fmt::format("no memory for {} bytes", bytes)
                : std::string("no memory is left"),
        {}, "fewer threads, smaller tiles or a larger limit");
  }
  bool take_memory(uint64_t bytes) {
    std::lock_guard lock(mutex);
    if (options.limits.memory_bytes &&
        bytes > options.limits.memory_bytes - std::min(memory, options.limits.memory_bytes))
      return false;
    memory += bytes;
    return true;
  }

  std::optional<Diagnostic> bind_memory(const BoundLaunch& bound) {
    launch.program = &p;
    launch.options = &options;
    launch.bound = &bound;
    launch.blocks = 1;
    for (int d = 0; d < 3; ++d) {
      launch.grid[d] = bound.grid[d];
      launch.blocks *= bound.grid[d];
    }
    launch.ordered = p.ordered;
    const Kernel& k = *p.kernel;
    launch.params.resize(k.params.size());
    out_written.resize(k.params.size());
    for (size_t i = 0; i < k.params.size(); ++i) {
      const Type& type = k.values[i].type;
      if (type.space != Space::global) continue;
      if (k.params[i].dir == Direction::out)
        out_written[i] = std::vector<Written>(bound.tensors[i].size());
      for (size_t t = 0; t < bound.tensors[i].size(); ++t) {
        const BoundTensor& tensor = bound.tensors[i][t];
        View v;
        v.base = tensor.data;
        if (!v.base) {
          uint64_t bytes = tensor.bytes + 16;
          Buffer b = take_memory(bytes) ? make_buffer(bytes) : nullptr;
          if (!b) return out_of_memory(bytes);
          std::memset(b.get(), 0, bytes);
          v.base = b.get();
          workspaces.push_back(std::move(b));
        }
        v.type = type.dtype;
        v.rank = tensor.shape.rank;
        v.ring = type.ring;
        for (int d = 0; d < v.rank; ++d) {
          v.extent[d] = v.hi[d] = tensor.shape[d];
          v.stride[d] = tensor.strides[d];
        }
        if (k.params[i].dir == Direction::out) {
          Written& w = out_written[i][t];
          uint64_t bits = tensor.bytes * 8;
          uint32_t granule = p.has_alias ? (type.dtype.bits < 8 ? 1 : 8) : type.dtype.bits;
          uint64_t need = bits / granule / 8 + 8;
          if (!take_memory(need) || !w.reset(bits, granule)) return out_of_memory(need);
          v.written = &w;
        }
        launch.params[i].push_back(v);
      }
    }
    return {};
  }

  std::optional<Diagnostic> prepare(BlockState& b) {
    uint64_t bytes = p.register_bytes + p.shared_bytes;
    if (!take_memory(bytes)) return out_of_memory(bytes);
    b.regs = make_buffer(p.register_bytes);
    b.shared = make_buffer(p.shared_bytes + 16);
    if (!b.regs || !b.shared) return out_of_memory(bytes);
    if (!p.fixed.empty()) std::memcpy(b.regs.get(), p.fixed.data(), p.fixed.size());
    const Kernel& k = *p.kernel;
    bool any_memory = false;
    for (const Value& v : k.values) any_memory |= v.type.space != Space::reg;
    if (any_memory) b.views.resize(k.values.size());
    for (size_t i = 0; i < k.params.size(); ++i)
      if (launch.params[i].size() == 1) b.views[i] = launch.params[i][0];
    b.written = std::vector<Written>(p.shared_values.empty() ? 0 : k.values.size());
    return {};
  }
  void release(BlockState& b) {
    std::lock_guard lock(mutex);
    memory -= p.register_bytes + p.shared_bytes;
    b = BlockState{};
  }

  void begin(BlockState& b, int64_t index) {
    b.s = Strand{};
    b.s.regs = b.regs.get();
    b.s.views = b.views.data();
    b.s.launch = &launch;
    b.s.index = index;
    b.s.block[0] = index % launch.grid[0];
    b.s.block[1] = index / launch.grid[0] % launch.grid[1];
    b.s.block[2] = index / launch.grid[0] / launch.grid[1];
    b.s.shared = b.shared.get();
    b.s.shared_written = b.written.data();
    b.deferred = Deferred{};
    b.s.deferred = &b.deferred;
    b.waiting = false;
  }

  // --- ends

  Diagnostic place_diag(Diagnostic d, const Strand& s, TrapPlace& place) const {
    const Inst& inst = p.inst(s.running);
    std::memcpy(place.block, s.block, sizeof place.block);
    place.strand = 0;
    place.pc = s.running;
    d.span = Span{inst.loc.file, inst.loc.line, inst.loc.col, 0};
    d.notes.push_back(
        Note{fmt::format("in kernel `{}`, block {}, strand 0, instruction {}: `{}`", p.kernel->name,
                         block_text(s.block), s.running, op_info(inst.op).name),
             {}});
    return d;
  }

  void end_by_trap(BlockState& b) {
    std::lock_guard lock(mutex);
    int64_t index = b.s.index;
    if (index < stop_at.load()) {
      stop_at = index;
      trap_error = place_diag(b.s.trap, b.s, trap_place);
    }
    pending.emplace(index, std::move(b.deferred));
    commit_ready();
    turn.notify_all();
  }
  void end_by_limit(Diagnostic d, const Strand* s) {
    std::lock_guard lock(mutex);
    stop_all = true;
    if (!limit_error) limit_error = s ? place_diag(std::move(d), *s, limit_place) : std::move(d);
    turn.notify_all();
  }

  // Limits, interrupt and cancellation; false: stop this strand. `done` steps since the last call.
  bool may_go_on(const Strand& s, uint64_t done) {
    uint64_t total = steps.fetch_add(done, std::memory_order_relaxed) + done;
    if (stop_all.load(std::memory_order_relaxed) ||
        stop_at.load(std::memory_order_relaxed) < s.index)
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
          make_diag(diag::run_time_limit, fmt::format("the time limit of {} seconds was reached",
                                                      options.limits.seconds)),
          &s);
      return false;
    }
    return true;
  }

  enum class Ended : uint8_t { done, trap, stopped, suspended, sliced };

  Ended run_strand(Strand& s, uint64_t slice) {
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
    uint64_t check_at = room();
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
      check_at = room();
    }
  }

  // --- block order

  void show(const Deferred::Note& note, const int64_t block[3]) const {
    Shown shown{{block[0], block[1], block[2]}, 0, note.pc, note.name, note.type, note.data.data()};
    const auto& call = note.is_trace ? options.on_trace : options.on_print;
    if (call) call(shown);
  }

  // With `mutex` held: what the next blocks in order have left is done, prints and atomics alike.
  void commit_ready() {
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
  void commit(BlockState& b) {
    std::lock_guard lock(mutex);
    ++finished;
    pending_bytes += b.deferred.bytes;
    pending.emplace(b.s.index, std::move(b.deferred));
    commit_ready();
    if (!options.on_progress) return;
    Clock::time_point now = Clock::now();
    if (now - last_progress < std::chrono::milliseconds(100) && finished != launch.blocks) return;
    last_progress = now;
    options.on_progress(finished, launch.blocks);
  }

  // Memory that the kernels themselves ask for may run out; nothing else throws.
  template <class F>
  void guarded(F f) {
    try {
      f();
    } catch (const std::bad_alloc&) {
      end_by_limit(out_of_memory(0), nullptr);
    }
  }

  void work() {
    BlockState b;
    bool ready = false;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        turn.wait(lock, [&] {
          return pending_bytes <= kPendingBytes || stop_all || stop_at.load() != INT64_MAX;
        });
      }
      int64_t index = next_block.fetch_add(1, std::memory_order_relaxed);
      if (index >= launch.blocks || index > stop_at.load() || stop_all) break;
      if (!ready) {
        if (auto e = prepare(b)) {
          end_by_limit(*e, nullptr);
          return;
        }
        ready = true;
      }
      begin(b, index);
      switch (run_strand(b.s, UINT64_MAX)) {
        case Ended::done:
          commit(b);
          break;
        case Ended::trap:
          end_by_trap(b);
          break;
        default:
          keep_notes(b);
          break;
      }
    }
  }

  // --- ordered runs: one thread, blocks as coroutines

  void work_in_order() {
    std::vector<int64_t> order;
    if (options.seed && launch.blocks <= (1 << 20)) {
      order.resize(static_cast<size_t>(launch.blocks));
      std::iota(order.begin(), order.end(), int64_t{0});
      std::mt19937_64 random(options.seed);
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
    }
    std::vector<std::unique_ptr<BlockState>> live, idle;
    int64_t started = 0;
    auto start_one = [&]() -> bool {
      std::unique_ptr<BlockState> b;
      if (!idle.empty()) {
        b = std::move(idle.back());
        idle.pop_back();
      } else {
        b = std::make_unique<BlockState>();
        if (auto e = prepare(*b)) {
          end_by_limit(*e, nullptr);
          return false;
        }
      }
      begin(*b, order.empty() ? started : order[static_cast<size_t>(started)]);
      ++started;
      live.push_back(std::move(b));
      return true;
    };
    for (;;) {
      bool progress = false, sliced = false, ended = false;
      for (size_t i = 0; i < live.size(); ++i) {
        BlockState& b = *live[i];
        if (b.waiting && b.seen_changes == launch.memory_changes) continue;
        uint32_t was = b.s.pc;
        bool was_waiting = b.waiting;
        uint64_t steps_before = steps.load(std::memory_order_relaxed);
        b.waiting = false;
        switch (run_strand(b.s, kSlice)) {
          case Ended::done:
            commit(b);
            idle.push_back(std::move(live[i]));
            progress = ended = true;
            break;
          case Ended::trap:
            end_by_trap(b);
            live[i].reset();
            [[fallthrough]];
          case Ended::stopped:
            for (auto& other : live)
              if (other) keep_notes(*other);
            return;
          case Ended::sliced:
            progress = sliced = true;
            break;
          case Ended::suspended: {
            bool moved = !was_waiting || b.s.pc != was ||
                         steps.load(std::memory_order_relaxed) != steps_before;
            progress |= moved;
            b.waiting = true;
            b.seen_changes = launch.memory_changes;
            break;
          }
        }
      }
      if (ended) std::erase_if(live, [](const auto& b) { return !b; });
      bool may_start = started < launch.blocks &&
                       (!progress || (sliced && (p.cooperative || live.size() < kMostLive)));
      if (may_start) {
        if (!start_one()) return;
      } else if (!progress) {
        if (live.empty()) return;
        report_deadlock(live);
        for (auto& b : live) keep_notes(*b);
        return;
      }
    }
  }

  void report_deadlock(std::vector<std::unique_ptr<BlockState>>& live) {
    constexpr size_t kShown = 16;
    std::sort(live.begin(), live.end(),
              [](const auto& a, const auto& b) { return a->s.index < b->s.index; });
    Strand& first = live[0]->s;
    first.running = p.steps[first.pc].pc;
    trap(first, diag::run_deadlock,
         fmt::format("deadlock: {} block{} wait{} and nothing can end a wait", live.size(),
                     live.size() == 1 ? "" : "s", live.size() == 1 ? "s" : ""));
    for (size_t i = 0; i < std::min(live.size(), kShown); ++i) {
      const Strand& s = live[i]->s;
      const Inst& inst = p.inst(p.steps[s.pc].pc);
      first.trap.notes.push_back(
          Note{fmt::format("block {} waits: {}", block_text(s.block), s.waits_for),
               Span{inst.loc.file, inst.loc.line, inst.loc.col, 0}});
    }
    if (live.size() > kShown)
      first.trap.notes.push_back(Note{fmt::format("and {} more", live.size() - kShown), {}});
    std::lock_guard lock(mutex);
    trap_error = place_diag(first.trap, first, trap_place);
  }

  // --- afterwards

  // A block that did not come to its end: what it printed is still worth seeing.
  void keep_notes(BlockState& b) {
    std::lock_guard lock(mutex);
    pending.emplace(b.s.index, std::move(b.deferred));
  }
  void show_notes() {
    for (auto& [index, deferred] : pending) {
      if (index > stop_at.load()) break;
      int64_t block[3] = {index % launch.grid[0], index / launch.grid[0] % launch.grid[1],
                          index / launch.grid[0] / launch.grid[1]};
      for (Deferred::Item& item : deferred.items)
        if (item.note) show(*item.note, block);
    }
    pending.clear();
  }

  void warn_unwritten(Diagnostics& warnings) const {
    for (size_t i = 0; i < out_written.size(); ++i)
      for (size_t t = 0; t < out_written[i].size(); ++t) {
        const View& v = launch.params[i][t];
        Region r;
        r.type = v.type;
        r.rank = v.rank;
        for (int d = 0; d < v.rank; ++d)
          r.n[d] = v.extent[d], r.stride[d] = v.stride[d], r.lo[d] = 0, r.hi[d] = v.extent[d];
        int64_t missing = 0;
        std::string where;
        walk(r, [&](const Run& run) {
          if (run.step == v.type.bits &&
              out_written[i][t].all(run.bit, static_cast<uint64_t>(run.n) * v.type.bits))
            return;
          for (int64_t e = 0; e < run.n; ++e) {
            if (out_written[i][t].all(run.bit + run.step * static_cast<uint64_t>(e), v.type.bits))
              continue;
            if (missing++) continue;
            int64_t linear = run.tile + run.tile_step * e;
            std::string index;
            for (int d = v.rank - 1; d >= 0; --d) {
              index = fmt::format("{}{}{}", linear % v.extent[d], index.empty() ? "" : ",", index);
              linear /= v.extent[d];
            }
            where = index;
          }
        });
        if (!missing) continue;
        const Loc& loc = p.kernel->loc;
        const std::string& name = p.kernel->values[i].name;
        warnings.push_back(make_diag(
            diag::run_unwritten_output,
            fmt::format("{} of {} elements of `{}` were never written, the first of them `{}[{}]`",
                        missing, r.elements(), name, name, where),
            Span{loc.file, loc.line, loc.col, 0}));
      }
  }
};

}  // namespace

Outcome run(const VerifiedModule& module, size_t kernel, const BoundLaunch& launch,
            const Options& options) {
  Outcome out;
  auto finish = [&](Execution* r) {
    if (r) {
      out.stats.steps = r->steps.load();
      out.stats.blocks = r->finished;
      out.stats.seconds = std::chrono::duration<double>(Clock::now() - r->start).count();
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
  if (r.launch.blocks > 0) {
    uint32_t threads = thread_count(options.threads);
    threads = static_cast<uint32_t>(std::min<int64_t>(threads, r.launch.blocks));
    if (r.p.ordered) r.guarded([&] { r.work_in_order(); });
    else run_parallel(threads, [&](uint32_t) { r.guarded([&] { r.work(); }); });
  }
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
