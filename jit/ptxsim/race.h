// Data races by vector clocks. Threads and their asynchronous agents have clocks; barriers,
// releases, acquires, mbarriers and group waits order them; every access is checked against the
// last write and the reads since, whatever the interleaving was. How it works is told in README.md.
// One RaceDomain belongs to one cluster; shadow of global memory is shared and locked by page.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace tess::ptxsim {

struct Warp;
struct Op;
struct Block;
struct Cluster;
struct Launch;
struct Located;
struct Mbarrier;

enum class Scope : uint8_t { none, cta, cluster, gpu, sys };

// Whose clock an access is dated with: a thread's own, or that of what it started.
enum class Agent : uint8_t { thread, cp_async, bulk_read, bulk_write, wgmma };
inline constexpr uint32_t kAgents = 5;
inline constexpr uint32_t kCopySlots = 64;  // of copies that complete on an mbarrier, per block

enum class Touch : uint8_t { read, write, strong_read, strong_write, atomic };

// A moment in a cluster: one clock per agent and thread. Immutable once shared.
struct Clocks;
using ClocksRef = std::shared_ptr<const Clocks>;
struct Clocks {
  std::vector<uint32_t> at;
  std::map<uint64_t, ClocksRef> others;  // of other clusters, by index
};

// Who: a slot (agent and warp of a cluster) and lanes, at a clock, from an operation.
struct Mark {
  uint32_t clock = 0;  // 0: nothing
  uint32_t lanes = 0;
  uint32_t site = 0;
  uint32_t cluster = 0;
  uint16_t slot = 0;
  uint8_t scope = 0;  // of a strong access; 0 if weak
  bool async = false;
  bool collective = false;  // read by a whole warp in one aligned instruction
};

struct Cell {
  Mark write, read;
  std::unique_ptr<std::vector<Mark>> reads;  // more readers
  std::unique_ptr<Cell[]> parts;             // four, when accessed in smaller pieces
};

struct ShadowRegion {
  struct Page {
    std::atomic_flag lock = ATOMIC_FLAG_INIT;
    Cell cells[64];  // of 16 bytes
  };
  explicit ShadowRegion(uint64_t bytes);
  Page* page(uint64_t offset);
  std::vector<std::atomic<Page*>> pages;
  ~ShadowRegion();
};

struct RaceDomain;
using RaceDomainPtr = std::unique_ptr<RaceDomain, void (*)(RaceDomain*)>;
RaceDomainPtr make_race_domain(Cluster& c, uint32_t warps, uint32_t blocks);
void race_domain_deleter(RaceDomain*);

// Accesses. `agent` other than thread: dated with the open group of that agent (cp_async, bulk) or
// the slot given by race_copy_slot. `strong`: a reduction, each of whose elements is an atomic at
// the scope of the device.
void race_access(Warp& w, const Op& op, int lane, const Located& at, uint32_t bytes, Touch touch,
                 Scope scope);
void race_async_access(Warp& w, const Op& op, int lane, const Located& at, uint32_t bytes,
                       bool write, Agent agent, bool async_proxy, bool strong = false);
// A copy that completes on an mbarrier: a slot for its accesses.
struct CopySlot {
  uint32_t slot = 0, lane = 0, clock = 0;
  ClocksRef issued, issued_async;
  uint32_t issue_cluster = 0;
};
CopySlot race_copy_slot(Warp& w, int lane);
void race_copy_access(Warp& w, const Op& op, int lane, const CopySlot& slot, const Located& at,
                      uint32_t bytes, bool write, bool async_proxy = true);
void race_copy_complete(Cluster& c, const CopySlot& slot, Mbarrier& bar);

// Order.
struct Participants {
  std::vector<std::pair<Warp*, uint32_t>> lanes;
};
void race_barrier(RaceDomain& d, const Participants& arrived, const Participants& released);
void race_warp_barrier(Warp& w, uint32_t lanes);
void race_release(Warp& w, int lane, uint64_t object, Scope scope, bool rmw, bool releases);
void race_acquire(Warp& w, int lane, uint64_t object, Scope scope, bool acquires);
void race_fence(Warp& w, uint32_t lanes, Scope scope);
enum class ProxyFence : uint8_t { all, global, shared };
void race_proxy_fence(Warp& w, uint32_t lanes, ProxyFence what);
void race_mbarrier_arrive(Warp& w, int lane, Mbarrier& bar, bool releases);
void race_mbarrier_phase(Cluster& c, Mbarrier& bar);  // when a phase completes
void race_mbarrier_wait(Warp& w, int lane, Mbarrier& bar, uint64_t phase, bool acquires);
bool race_mbarrier_init_ordered(Warp& w, int lane, const Mbarrier& bar, bool async);
void race_mbarrier_init(Warp& w, int lane, Mbarrier& bar);
void race_agent_done(Warp& w, int lane, Agent agent,
                     uint32_t clock);  // groups up to `clock` are done
void race_cp_async_arrive(Warp& w, int lane, Mbarrier& bar, uint32_t group);
void race_cluster_arrive(Warp& w, uint32_t lanes, bool releases);
void race_cluster_release(Cluster& c);
void race_cluster_wait(Warp& w, uint32_t lanes, bool acquires);

}  // namespace tess::ptxsim
