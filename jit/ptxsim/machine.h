// The state of a launch: clusters of blocks of warps of lanes, and what they share. One thread runs
// a cluster at a time; `Launch` members marked shared are guarded by its mutex.
#pragma once
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "jit/driver.h"
#include "jit/ptxsim/memory.h"
#include "jit/ptxsim/op.h"
#include "jit/ptxsim/race.h"
#include "jit/ptxsim/report.h"

namespace tess::ptxsim {

struct Launch;
struct Cluster;
struct Block;
struct RaceDomain;

struct Random {  // splitmix64
  uint64_t state = 0;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t n) { return uint32_t((uint64_t(uint32_t(next())) * n) >> 32); }
};

enum class WaitKind : uint8_t {
  none,
  barrier,
  cluster_barrier,
  mbarrier,
  warpgroup,
  sleep,
  dependency,
  registers
};

struct Frame {
  uint32_t return_pc = 0;
  uint32_t function = 0, caller = 0;
  uint32_t base = 0;            // caller's frame base
  uint32_t extra = 0;           // bytes that the caller took with alloca
  std::vector<uint32_t> saved;  // a recursive callee's registers of this lane
};

struct Lane {
  std::vector<Frame> calls;
  uint32_t frame = 0, function = 0, extra = 0;
  uint64_t wait_object = 0;
  uint32_t wait_detail = 0;
  WaitKind wait = WaitKind::none;
  bool timed_out = false;  // the next try_wait fails at once
};

struct Warp {
  Launch* launch = nullptr;
  Cluster* cluster = nullptr;
  Block* block = nullptr;
  const Program* program = nullptr;
  uint32_t* regs = nullptr;
  const uint32_t* constants = nullptr;
  std::vector<uint32_t> preds, init, pred_init;
  std::unique_ptr<uint32_t[]> reg_storage;
  uint32_t pc[32] = {};
  uint32_t index = 0;          // in the block
  uint32_t cluster_index = 0;  // in the cluster
  uint32_t started = 0, live = 0, waiting = 0, stalled = 0;
  uint32_t group = 0, group_pc = 0;
  uint32_t exited_during_stall = 0;
  uint32_t carry = 0;  // the condition code
  uint32_t divergent_steps = 0;
  bool check_init = false;
  uint64_t steps = 0, polls = 0, sleep_until = 0;
  Allocation* last_allocation = nullptr;
  std::vector<Lane> lane;
  std::vector<uint8_t> local;  // 32 lanes, local_bytes each
  std::vector<uint8_t> local_valid;
  uint32_t local_bytes = 0;
  // Asynchronous state.
  uint32_t cp_group[32] = {}, cp_done[32] = {};  // non-bulk copies: open group, finished groups
  uint32_t cp_last[32] = {}, cp_site[32] = {};   // last group with a copy plus 1, and where
  uint32_t bulk_group[32] = {}, bulk_done[32] = {}, bulk_read_done[32] = {};
  uint32_t bulk_last[32] = {}, bulk_site[32] = {};
  uint32_t wg_group = 0, wg_done = 0, wg_last = 0, wg_site = 0;
  uint32_t wg_epoch = 1;  // counts wgmma.fence
  std::vector<uint32_t>
      def_epoch;              // by register: when it was last written, if the program uses wgmma
  const Op* wg_op = nullptr;  // what the warp waits to start
  std::vector<uint32_t> wg_inflight;  // per register id: 0 free, else group + 1 (2 kinds)
  std::vector<uint32_t> wg_touched;
  uint32_t registers = 0;           // per lane; 0: unknown
  uint64_t cluster_phase[32] = {};  // at the last barrier.cluster.arrive, plus 1; 0: waited

  uint32_t* row32(Row r) const { return r >= 0 ? regs + r : const_cast<uint32_t*>(constants) + ~r; }
  uint64_t* row64(Row r) const { return reinterpret_cast<uint64_t*>(row32(r)); }
  const Row* args(const Op& op) const { return program->args.data() + op.args; }
  uint32_t op_index(const Op& op) const { return uint32_t(&op - program->ops.data()); }
};

struct NamedBarrier {
  uint32_t arrived = 0, expected = 0;
  uint32_t first_site = 0;
  uint64_t generation = 0;
  uint32_t ands = 1, ors = 0, count = 0;  // of bar.red
  struct Waiter {
    uint32_t warp, mask;
    const Op* op;
  };
  std::vector<Waiter> waiters;
  std::vector<std::pair<uint32_t, uint32_t>> arrivals;  // warp, lanes (waiting or not)
};

struct Block {
  Launch* launch = nullptr;
  Cluster* cluster = nullptr;
  jit::Dim3 id;
  uint32_t rank = 0, threads = 0;
  uint64_t linear = 0;
  std::vector<Warp> warps;
  std::vector<uint8_t> shared, shared_valid;
  std::unique_ptr<struct ShadowRegion> shared_shadow;
  NamedBarrier barrier[16];
  uint32_t live_warps = 0, live_threads = 0;
  uint32_t free_registers = 0;  // given up by setmaxnreg.dec
  bool released_dependents = false;
};

struct Mbarrier {
  uint32_t expected = 0, pending = 0;
  int64_t tx = 0;
  uint64_t phase = 0;
  uint32_t init_site = 0;
  bool init_async_visible = false;
  int32_t init_thread = -1;  // in the cluster
  uint32_t init_clock = 0;
  uint64_t copied_phase = 0,
           waited_phase = 0;  // plus 1: phases that copies complete, that were waited for
  uint32_t copy_site = 0, failed_polls = 0;
  std::shared_ptr<struct MbarrierClocks> race;
};

// An asynchronous operation that has not been carried out yet.
struct AsyncOp;

struct Cluster {
  Launch* launch = nullptr;
  uint64_t index = 0;
  std::vector<std::unique_ptr<Block>> blocks;
  std::unordered_map<uint32_t, Mbarrier> mbarriers;  // by shared::cluster address
  std::deque<std::unique_ptr<AsyncOp>> pending;
  std::unique_ptr<RaceDomain, void (*)(RaceDomain*)> race{nullptr, race_domain_deleter};
  Random random;
  uint64_t steps = 0, changes = 0, next_async = UINT64_MAX;
  uint32_t barrier_arrived = 0;
  uint64_t barrier_phase = 0;
  uint32_t live_threads = 0, threads = 0;
  bool finished = false;
  LaunchStats stats;
};

enum class AsyncMode : uint8_t { eager, lazy, random };

struct LaunchOptions {
  AsyncMode async = AsyncMode::eager;
  uint64_t seed = 0;
  bool shuffle_warps = false;  // seeded warp order and quantum
  bool check_races = true, check_init = true, check_async = true;
  bool stats = true;
  uint64_t max_steps = 4'000'000'000ull;  // warp instructions
  uint32_t max_findings = 16;
  uint32_t resident_clusters = 0;  // 0: as many as fit 132 multiprocessors
  int threads = 0;                 // 0: all cores
  const std::atomic<bool>* interrupt = nullptr;
};

struct SyncVars;
struct Launch {
  Launch();
  ~Launch();
  std::shared_ptr<const Program> program;
  GlobalMemory* memory = nullptr;
  LaunchOptions options;
  jit::Dim3 grid, block, cluster;
  uint32_t shared_end = 0, dynamic_shared = 0, dynamic_start = 0;
  uint32_t registers = 0;  // per thread at entry, if the kernel says how many
  std::vector<uint8_t> params;
  bool explicit_cluster = false;
  std::atomic<bool> stopped{false};
  std::atomic<uint64_t> steps{0};
  std::mutex mutex;  // guards what follows
  std::vector<Finding> findings;
  std::unordered_map<uint64_t, uint32_t> seen;  // findings by kind and sites
  std::string output;                           // of printf
  LaunchStats stats;
  std::unique_ptr<SyncVars> global_sync;  // only when blocks communicate: one thread
};

// The whole warp (all lanes that have not exited) must be here. False: `f` says stall or stop.
bool whole_warp(Warp& w, const Op& op, uint32_t mask, Flow& f);

// Reports a finding at an operation (lane -1: the whole warp). Returns Flow::stop for convenience.
// Fatal findings stop the launch; others are collected up to the limit, one per site pair.
Flow report_fault(Warp& w, const Op& op, int lane, Diag code, std::string message);
bool report_finding(Launch& l, Finding f, bool fatal, uint64_t key);
Finding make_finding(const Warp& w, uint32_t op_index, int lane, Diag code, std::string message);

inline uint64_t thread_linear(const Warp& w, int lane) {
  return uint64_t(w.index) * 32 + uint64_t(lane);
}

// Frees lanes that wait for the object.
void wake(Warp& w, uint32_t lanes);
void progress(Warp& w);

// Runs a whole launch; findings and statistics are left in `l`.
void run_launch(Launch& l);

}  // namespace tess::ptxsim
