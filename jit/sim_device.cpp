#include "jit/sim_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <thread>

#include "isa/diag/jit.h"
#include "isa/diag/run.h"
#include "isa/diag/sim.h"
#include "isa/diag/tool.h"
#include "jit/print_record.h"
#include "jit/ptxsim/sim_driver.h"

namespace tess::jit {
namespace {

// Loops of a strand and each wait may take so many turns in guard mode.
constexpr uint32_t kFuel = 1u << 28, kTurnsOnGpu = 1u << 24, kTurnsInSimulator = 1u << 16;

// The instruction of the program at this place; the number of instructions if there is none.
uint32_t instruction_at(const Kernel& kernel, Loc loc) {
  uint32_t pc = 0;
  for (; pc < kernel.code.size(); ++pc) {
    const Loc& at = kernel.code[pc].loc;
    if (loc.line && at.file == loc.file && at.line == loc.line && at.col == loc.col) break;
  }
  return pc;
}

Diagnostic fault_diagnostic(const FaultRecord& f, const BlockKernel& block, const Kernel& kernel,
                            LaunchOutcome& out) {
  for (int i = 0; i < 3; ++i) out.fault_block[i] = f.block[i];
  const DiagInfo* info = find_diag(Diag{static_cast<uint16_t>(f.code)});
  if (!info || f.tile >= block.tiles.size())
    return make_diag(diag::internal_error,
                     fmt::format("the fault record of `{}` is not readable", block.name));
  const Loc& loc = block.tiles[f.tile].loc;
  Diagnostic d =
      make_diag(info->code, std::string(info->summary), {loc.file, loc.line, loc.col, 0});
  out.faulted = true;
  out.fault_strand = f.strand;
  out.fault_instruction = instruction_at(kernel, loc);
  std::string what;
  if (out.fault_instruction < kernel.code.size())
    what = fmt::format(", instruction {}: `{}`", out.fault_instruction,
                       op_info(kernel.code[out.fault_instruction].op).name);
  d.notes.push_back({fmt::format("in kernel `{}`, block ({},{},{}), strand {}{}", kernel.name,
                                 f.block[0], f.block[1], f.block[2], f.strand, what),
                     {}});
  return d;
}

// Block by block; within a block in the order in which room was reserved.
Status show_prints(const DeviceArguments& arguments, const Kernel& kernel,
                   const BoundLaunch& launch, const RunOptions& options, LaunchOutcome& out) {
  TESS_TRY(DeviceArguments::PrintedWords printed, arguments.printed());
  std::vector<uint32_t> prints;
  for (uint32_t pc = 0; pc < kernel.code.size(); ++pc)
    if (kernel.code[pc].op == Op::print) prints.push_back(pc);
  std::vector<Printed> found;
  constexpr size_t kHead = sizeof(PrintRecord) / 8;
  for (size_t at = 0; at + kHead <= printed.words.size();) {
    PrintRecord r;
    std::memcpy(static_cast<void*>(&r), &printed.words[at], sizeof r);
    if (at + kHead + r.elements > printed.words.size() || r.number >= prints.size()) break;
    Printed p;
    std::copy_n(r.block, 3, p.block);
    p.strand = r.strand;
    p.instruction = prints[r.number];
    p.codes = {&printed.words[at + kHead], r.elements};
    found.push_back(p);
    at += kHead + r.elements;
  }
  auto place = [&](const Printed& p) {
    return (int64_t{p.block[2]} * launch.grid[1] + p.block[1]) * launch.grid[0] + p.block[0];
  };
  std::stable_sort(found.begin(), found.end(),
                   [&](const Printed& a, const Printed& b) { return place(a) < place(b); });
  if (options.on_print)
    for (const Printed& p : found) options.on_print(p);
  if (printed.dropped)
    out.warnings.push_back(make_diag(
        diag::prints_dropped, fmt::format("`{}` printed more than there is room for", kernel.name),
        {kernel.loc.file, kernel.loc.line, kernel.loc.col, 0}));
  return ok();
}

}  // namespace

Status launch_on(const Driver& driver, ModuleId loaded, const CompiledKernel& compiled,
                 const Module& module, const Kernel& kernel, const BoundLaunch& launch,
                 const RunOptions& options, KeptWorkspaces& kept, TensorMapCache& maps,
                 bool copy_back, LaunchOutcome& out,
                 const std::function<void(const DeviceArguments&)>& after) {
  const BlockKernel& block = compiled.lowered.block;
  DeviceArguments arguments(driver, kernel, launch);
  TESS_CHECK(arguments.place(kept));
  arguments.set_fuel(
      options.steps ? static_cast<uint32_t>(std::min<uint64_t>(options.steps, ~0u)) : kFuel,
      options.device == DeviceKind::sim ? kTurnsInSimulator : kTurnsOnGpu);
  LaunchSpec spec;
  TESS_TRY(spec.params, arguments.parameters(compiled.lowered, options.facts, maps));
  spec.module = loaded;
  spec.entry = compiled.machine.entry;
  spec.grid = {static_cast<uint32_t>(launch.grid[0]), static_cast<uint32_t>(launch.grid[1]),
               static_cast<uint32_t>(launch.grid[2])};
  spec.block = {block.threads, 1, 1};
  if (block.cluster > 1) spec.cluster = {block.cluster, 1, 1};
  spec.shared_bytes = block.shared_bytes;
  spec.cooperative = kernel.cooperative;
  auto start = std::chrono::steady_clock::now();
  Status done = driver.table->launch(driver.self, spec);
  if (done) done = driver.table->synchronize(driver.self, StreamId::standard);
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Status shown = copy_back ? show_prints(arguments, kernel, launch, options, out) : ok();
  // A fault comes before what came of it.
  Result<std::optional<FaultRecord>> fault = arguments.fault();
  if (fault && *fault) return fault_diagnostic(**fault, block, kernel, out);
  TESS_CHECK(done);
  TESS_CHECK(shown);
  if (after) after(arguments);
  return copy_back ? arguments.copy_back(kept) : ok();
}

namespace {

using ptxsim::Finding;
using ptxsim::Simulator;

// What the simulator finds under the name that the interpreter has for it. The rest are mistakes
// of the compiler.
struct SameMeaning {
  Diag simulator, interpreter;
};
constexpr SameMeaning kSameMeaning[] = {
    {diag::kSimUninitRegister, diag::run_unwritten},
    {diag::kSimUninitMemory, diag::run_unwritten},
    {diag::kSimRace, diag::run_race},
    {diag::kSimClusterExit, diag::run_race},
    {diag::kSimProxyRace, diag::run_proxy},
    {diag::kSimDeadlock, diag::run_deadlock},
    {diag::kSimBarrierCount, diag::run_named_barrier},
    {diag::kSimMbarrier, diag::run_mbar_phase},
    {diag::kSimMbarrierBytes, diag::run_mbar_bytes},
    {diag::kSimAsyncLeft, diag::run_in_flight},
    {diag::kSimWgmmaHazard, diag::run_wgmma_result},
    {diag::kSimMisaligned, diag::run_misaligned},
    {diag::kSimLimit, diag::run_step_limit},
    {diag::kSimTrap, diag::run_trap},
};

// The earlier access of a race, if an asynchronous instruction made it.
bool still_under_way(const Finding& f) {
  if (f.code != diag::kSimRace || f.others.empty()) return false;
  const std::string& earlier = f.others[0].place.instruction;
  return earlier.starts_with("cp.") || earlier.starts_with("wgmma.");
}

Diag interpreters_code(const Finding& f, const Kernel& kernel, uint32_t instruction) {
  if (f.code == diag::kSimTrap && instruction < kernel.code.size() &&
      kernel.code[instruction].op == Op::assert_)
    return diag::run_assert;
  if (still_under_way(f)) return diag::run_in_flight;
  for (const SameMeaning& row : kSameMeaning)
    if (row.simulator == f.code) return row.interpreter;
  return f.code;
}

// Whether a line table means this file: NVRTC puts the working folder before relative paths.
bool names(const std::string& in_table, const std::string& file) {
  return in_table == file || (!file.starts_with('/') && in_table.ends_with("/" + file));
}

// A finding at its place in the program rather than with the place as text.
Diagnostic placed(const Finding& f, const Module& module, const Kernel& kernel,
                  LaunchOutcome& out) {
  out.fault_block[0] = f.where.block.x;
  out.fault_block[1] = f.where.block.y;
  out.fault_block[2] = f.where.block.z;
  Diagnostic d = ptxsim::finding_diagnostic(f);
  for (uint32_t i = 0; i < module.files.size(); ++i) {
    if (!f.where.place.line || !names(f.where.place.file, module.files[i])) continue;
    d.span = {i, f.where.place.line, std::max(f.where.place.col, 1u), 0};
    d.message = fmt::format("{} (block {},{},{}, thread {},{},{})", f.message, f.where.block.x,
                            f.where.block.y, f.where.block.z, f.where.thread.x, f.where.thread.y,
                            f.where.thread.z);
    out.fault_instruction =
        instruction_at(kernel, {i, f.where.place.line, std::max(f.where.place.col, 1u)});
  }
  if (Diag code = interpreters_code(f, kernel, out.fault_instruction); code != f.code) {
    d.code = code;
    d.notes.push_back({fmt::format("{} of the simulator", diag_id(f.code)), {}});
  }
  return d;
}

// Elements of `out` tensors that the kernel left as they were.
void warn_unwritten(Simulator& sim, const Kernel& kernel, const BoundLaunch& launch,
                    const DeviceArguments& arguments, Diagnostics& warnings) {
  for (uint32_t p = 0; p < kernel.params.size(); ++p) {
    int bits = kernel.values[p].type.dtype.bits;
    if (kernel.params[p].dir != Direction::out || bits < 8) continue;
    for (size_t i = 0; i < launch.tensors[p].size(); ++i) {
      const BoundTensor& t = launch.tensors[p][i];
      if (!t.bytes) continue;
      DevicePtr at = arguments.address(p, i);
      const ptxsim::Allocation* a = sim.memory().find(at);
      if (!a || !a->valid) continue;
      uint64_t size = static_cast<uint64_t>(bits) / 8, n = t.bytes / size, missing = 0, first = 0;
      for (uint64_t e = 0; e < n; ++e)
        if (!a->valid[at - a->base + e * size] && missing++ == 0) first = e;
      if (!missing) continue;
      std::string where;
      for (int d = t.shape.rank - 1; d >= 0; --d) {
        uint64_t extent = static_cast<uint64_t>(t.shape[d]);
        where = fmt::format("{}{}{}", first % extent, where.empty() ? "" : ",", where);
        first /= extent;
      }
      const std::string& name = kernel.values[p].name;
      warnings.push_back(make_diag(
          diag::run_unwritten_output,
          fmt::format("{} of {} elements of `{}` were never written, the first of them `{}[{}]`",
                      missing, n, name, name, where),
          {kernel.loc.file, kernel.loc.line, kernel.loc.col, 0}));
    }
  }
}

// Sets a flag when the time is up or another flag is set.
class Watch {
 public:
  Watch(double seconds, const std::atomic<bool>* outer) : outer_(outer) {
    if (seconds > 0) thread_ = std::thread([this, seconds] { watch(seconds); });
  }
  ~Watch() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  const std::atomic<bool>* flag() const { return thread_.joinable() ? &stop_ : outer_; }
  bool timed_out() const { return timed_out_; }

 private:
  void watch(double seconds) {
    auto end = std::chrono::steady_clock::now() +
               std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                   std::chrono::duration<double>(std::min(seconds, 1e8)));
    std::unique_lock lock(mutex_);
    while (!over_) {
      auto now = std::chrono::steady_clock::now();
      if (outer_ && outer_->load()) return stop_.store(true);
      if (now >= end) {
        timed_out_ = true;
        return stop_.store(true);
      }
      wake_.wait_until(lock, std::min(end, now + std::chrono::milliseconds(10)));
    }
  }
  const std::atomic<bool>* outer_;
  std::atomic<bool> stop_{false}, timed_out_{false};
  bool over_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;
};

ptxsim::LaunchOptions simulator_options(const RunOptions& o, uint32_t run) {
  ptxsim::LaunchOptions l;
  l.seed = o.seed + run;
  l.async = static_cast<ptxsim::AsyncMode>((static_cast<uint32_t>(o.completion) + run) % 3);
  l.shuffle_warps = o.runs > 1 ? run >= 3 : o.seed != 0;
  l.check_races = l.check_init = l.check_async = o.check;
  l.stats = false;
  if (o.steps && !o.guard) l.max_steps = o.steps;  // in guard mode the kernel counts itself
  l.threads = static_cast<int>(o.threads);
  return l;
}

}  // namespace

void run_on_simulator(const CompiledKernel& compiled, const Module& module, const Kernel& kernel,
                      const BoundLaunch& launch, const RunOptions& options, KeptWorkspaces& kept,
                      LaunchOutcome& out) {
  uint32_t runs = std::max(options.runs, 1u);
  Watch watch(options.seconds, options.interrupt);
  for (uint32_t run = 0; run < runs; ++run) {
    Simulator sim;
    sim.options = simulator_options(options, run);
    sim.options.interrupt = watch.flag();
    Driver driver = ptxsim::simulator_driver(sim);
    bool last = run + 1 == runs;
    TensorMapCache maps;
    KeptWorkspaces kept_now = kept;
    Status done = [&]() -> Status {
      TESS_TRY(ModuleId loaded, driver.table->load_module(driver.self, compiled.machine.image,
                                                          compiled.lowered.block.name));
      return launch_on(driver, loaded, compiled, module, kernel, launch, options, kept_now, maps,
                       last, out, [&](const DeviceArguments& arguments) {
                         if (last) warn_unwritten(sim, kernel, launch, arguments, out.warnings);
                       });
    }();
    out.steps += sim.last().steps;
    if (done) {
      if (last) kept = std::move(kept_now), out.printed = sim.last().output;
      continue;
    }
    const std::vector<Finding>& findings = sim.last().findings;
    out.error = findings.empty() || out.faulted ? std::move(done).error()
                                                : placed(findings[0], module, kernel, out);
    if (out.error->code == diag::kSimInterrupted)
      out.error = watch.timed_out()
                      ? make_diag(diag::run_time_limit, fmt::format("kernel `{}` ran for {} s",
                                                                    kernel.name, options.seconds))
                      : make_diag(diag::run_interrupted, "the run was interrupted");
    else if (runs > 1)
      out.error->notes.push_back({fmt::format("in run {} of {}", run + 1, runs), {}});
    return;
  }
}

}  // namespace tess::jit
