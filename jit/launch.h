// Runs compiled kernels: `sim` on the PTX simulator, `cuda` on a GPU. From a launch that
// bind_launch has checked to results in host memory: facts from the actual arguments, the kernel
// specialised for them (compiled at most once), device memory, hidden parameters, the launch,
// results copied back.
//
// A Jit holds what outlives a launch: compiled kernels, the GPU once opened, kernels loaded on it,
// tensor maps, `kept` workspaces. Thread-safe; launches on the simulator run at the same time,
// those on a GPU one after the other.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "isa/launch.h"
#include "jit/compile.h"

namespace tess::jit {

enum class DeviceKind : uint8_t { sim, cuda };
// When the simulator lets asynchronous copies land.
enum class Completion : uint8_t { eager, lazy, random };

// A value shown by `print`.
struct Printed {
  uint32_t block[3] = {}, strand = 0;
  uint32_t instruction = 0;          // of the kernel
  std::span<const uint64_t> codes;   // elements, row-major
};

struct RunOptions {
  DeviceKind device = DeviceKind::sim;
  std::optional<Backend> backend;  // none: the first that can be used
  std::optional<int> arch;         // none: the device's; sm_90a on the simulator
  int level = 0;
  bool guard = false, report_out_of_bounds = false;  // the latter in guard mode
  DeviceFacts facts;                             // what device.sms and occupancy are
  double seconds = 0;                            // wall time; 0: no limit
  const std::atomic<bool>* interrupt = nullptr;  // from any thread
  // Of the simulator. More than one run goes through the completion modes and other schedules, and
  // all must end without a finding; the results are the last one's.
  Completion completion = Completion::eager;
  uint64_t seed = 0, steps = 0;  // warp instructions; 0: the simulator's own limit
  uint32_t runs = 1, threads = 0;
  bool check = true;  // races, initialisation, asynchronous hazards
  std::function<std::string(const Module&, const Kernel&, const Inst&)> describe;  // for comments
  std::function<void(const Printed&)> on_print;  // block by block, when the kernel has ended
};

struct LaunchOutcome {
  std::optional<Diagnostic> error;  // spans are in the module's files
  Diagnostics warnings;
  int64_t blocks = 0, fault_block[3] = {};
  uint32_t fault_strand = 0, fault_instruction = 0;
  bool faulted = false;  // guard mode's record says so
  uint64_t steps = 0;  // warp instructions on the simulator
  double seconds = 0;  // of the launch, without compilation and copies
  double compile_seconds = 0;
  bool cached = false;  // the kernel was there already
  std::string printed;  // by printf
};

struct Jit;
std::shared_ptr<Jit> make_jit(const Toolchain& tools = default_toolchain());
// Kernels compiled so far.
size_t compiled_kernels(const Jit& jit);
// Multiprocessors of the device, for bind_launch. Opens a GPU that was not used before.
Result<int64_t> device_sms(Jit& jit, DeviceKind device);

LaunchOutcome launch_kernel(Jit& jit, const ModuleKey& key, const VerifiedModule& module,
                            size_t kernel, const BoundLaunch& launch, const RunOptions& options);

}  // namespace tess::jit
