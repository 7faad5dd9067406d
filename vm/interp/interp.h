// The tile interpreter: the oracle. Runs a verified kernel on the CPU, one tile instruction at a
// time. Deterministic: the same program, inputs and seed give the same bits whatever the thread
// count. run() may be called from several threads at once on different argument memory.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "isa/launch.h"
#include "isa/verify.h"

namespace tess::interp {

struct Limits {
  uint64_t steps = 0;         // executed instructions over all blocks; 0: none
  uint64_t memory_bytes = 0;  // registers, shared memory and workspaces held at once; 0: none
  double seconds = 0;         // wall time; 0: none
};

// A value shown by `print` or recorded by `trace` or tracing. Elements are in the type's carrier.
struct Shown {
  int64_t block[3];
  uint32_t strand;
  uint32_t pc;       // instruction
  std::string name;  // of the value, "%x"
  Type type;
  const void* data;  // valid during the call
};

// When asynchronous operations complete: at once, at the last legal moment (when a wait needs them
// or nothing else can move), or at moments and with a strand order that `seed` gives.
enum class Async : uint8_t { early, late, random };

struct Options {
  Limits limits;
  Async async = Async::early;
  uint32_t threads = 0;               // 0: as many as cores
  bool naive = false;                 // the obviously right kernels only, no fused or SIMD paths
  bool report_out_of_bounds = false;  // an out-of-bounds load or store traps instead of pad/drop
  bool trace_every_value = false;     // on_trace for every register result (of `trace_block`)
  int64_t trace_block[3] = {0, 0, 0};
  uint64_t seed = 0;  // of the order in which blocks start, and of Async::random
  int64_t device_sms = 132;
  const std::atomic<bool>* interrupt =
      nullptr;  // set from any thread: run() ends with an error soon
  // Called in block order, never concurrently.
  std::function<void(const Shown&)> on_print, on_trace;
  std::function<void(int64_t done, int64_t total)>
      on_progress;  // blocks; at most ~10 times a second
};

struct Stats {
  uint64_t steps = 0;  // instructions executed
  int64_t blocks = 0;
  double seconds = 0;
};

// Where a trap happened; also rendered into the Diagnostic's message and span.
struct TrapPlace {
  int64_t block[3] = {0, 0, 0};
  uint32_t strand = 0, pc = 0;
};
struct Outcome {
  Stats stats;
  std::optional<Diagnostic> error;  // trap, limit, interrupt, deadlock; none on success
  Diagnostics warnings;             // elements of `out` parameters that a completed run never wrote
  TrapPlace place;
};

// A print as people expect it: a header with name, type, block and place, then the elements, long
// ones shortened in the middle. Ends in a newline.
std::string format_shown(const VerifiedModule& module, size_t kernel, const Shown& shown);

// `launch` comes from bind_launch on the same kernel. Reads of `undef` and of unwritten `out`
// elements are reported as traps.
Outcome run(const VerifiedModule& module, size_t kernel, const BoundLaunch& launch,
            const Options& options);

}  // namespace tess::interp
