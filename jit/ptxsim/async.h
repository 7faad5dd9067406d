// Asynchronous operations: when they are carried out (eager, lazy, random) and what waits for them.
#pragma once
#include <functional>

#include "jit/ptxsim/access.h"

namespace tess::ptxsim {

// An operation in flight. `run` moves the bytes and signals; false after a fault was reported.
struct AsyncOp {
  Warp* warp = nullptr;
  int lane = 0;
  const Op* op = nullptr;
  std::function<bool()> run;
  uint64_t due = UINT64_MAX;  // cluster step, in random mode
  // What must have been waited for when it must be done.
  enum class Ends : uint8_t { mbarrier, cp_group, bulk_group, wgmma_group } ends = Ends::mbarrier;
  uint32_t group = 0;
  uint32_t mbarrier = 0;      // shared::cluster address
  bool after_arrive = false;  // a cp.async.mbarrier.arrive: after the lane's earlier copies
};

// Queues an operation, or runs it now in eager mode. False after a fault.
bool async_start(Warp& w, std::unique_ptr<AsyncOp> a);
// Runs those of the lane that belong to groups up to `group`.
bool async_finish_group(Warp& w, int lane, AsyncOp::Ends ends, uint32_t group);
void async_tick(Cluster& c);
bool async_complete_one(Cluster& c);
bool async_complete_for(Cluster& c, uint32_t mbarrier);
void async_on_exit(Warp& w, uint32_t lanes);
void async_on_end(Cluster& c);

// mbarrier.cpp
uint32_t cluster_address(const Located& at);
Mbarrier* find_mbarrier(Cluster& c, uint32_t address);
// Transaction bytes have arrived (count > 0) or are expected (count < 0).
bool mbarrier_complete_tx(Cluster& c, Warp& w, const Op& op, int lane, uint32_t address,
                          int64_t bytes);
bool mbarrier_arrive(Cluster& c, Warp& w, const Op& op, int lane, uint32_t address, uint32_t count,
                     bool drop);
bool mbarrier_time_out(Cluster& c);
std::string describe_mbarrier(const Warp& w, int lane);
// Any other write to the object's bytes destroys it.
void mbarrier_overwritten(Cluster& c, uint32_t address, uint32_t bytes);

// wgmma.cpp
bool wgmma_check_registers(Warp& w, const Op& op, uint32_t mask);

}  // namespace tess::ptxsim
