// The clocks of a cluster's threads; shared by the two halves of the race detector (order:
// race_order.cpp, accesses: race_shadow.cpp).
#pragma once
#include <array>

#include "jit/ptxsim/access.h"

namespace tess::ptxsim {

// What a release hands over: everything the thread has seen, and what of it the async proxy may see
// (in shared, in global memory).
struct Moment {
  ClocksRef seen, async[2];
};

struct SyncEntry {
  uint64_t cluster = 0, block = 0;
  Scope scope = Scope::none;
  Moment at;
};
struct SyncVar {
  std::vector<SyncEntry> entries;
};

struct SyncVars {
  std::unordered_map<uint64_t, SyncVar> map;
};

struct ThreadClocks {
  Moment now;
  std::array<uint32_t, kAgents> own{1, 0, 0, 0, 0};  // own clock; finished groups of the agents
  struct FenceMark {
    Moment at;
    std::array<uint32_t, kAgents> own{};
    bool set = false;
  };
  std::array<FenceMark, 4> fences;  // by scope - 1
  // Releases seen by relaxed reads, to be acquired by a later fence: the thread's own, and those of
  // threads that a barrier has joined it with.
  std::vector<SyncEntry> read_relaxed;
  std::shared_ptr<const std::vector<SyncEntry>> carried;
};

struct MbarrierClocks {
  Clocks sum[3];
  const Clocks* last[3] = {};  // what was added last: the common case is the same again
  ClocksRef last_keep[3];
  Moment done;
};

struct RaceDomain {
  Cluster* cluster = nullptr;
  uint32_t warps = 0, copy_base = 0,
           size = 0;  // slots of agents; first copy slot; clocks per vector
  std::vector<ThreadClocks> threads;
  std::vector<uint32_t> copy_clock;
  uint32_t next_copy = 0;
  bool has_fences = false, has_relaxed_reads = false;  // what a barrier may have to carry
  std::unordered_map<uint64_t, SyncVar> shared_sync;
  MbarrierClocks cluster_barrier;
  struct Joined {
    ClocksRef a, b, result;
  };
  std::array<Joined, 8> cache;
  uint32_t cache_at = 0;

  ThreadClocks& of(const Warp& w, int lane) {
    return threads[size_t(w.cluster_index) * 32 + size_t(lane)];
  }
  ClocksRef join(const ClocksRef& a, const ClocksRef& b);
  void add(Clocks& to, const Clocks* from) const;
  // Everything the thread has seen with its own clocks in it.
  void add_own(Clocks& to, const Warp& w, int lane, const std::array<uint32_t, kAgents>& own) const;
};

inline uint32_t agent_slot(const RaceDomain& d, Agent a, uint32_t warp) {
  return uint32_t(a) * d.warps + warp;
}

}  // namespace tess::ptxsim
