// Which loops of a plain kernel become strands of Hopper's asynchronous operations.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "isa/verify.h"

namespace tess::jit::tile {

// A load that TMA does instead.
struct FedLoad {
  uint32_t pc = 0;
  uint32_t value = 0;
  bool in_registers = false;  // somebody besides wgmma reads it
};
// A product that becomes wgmma.
struct FedProduct {
  struct Operand {
    int load = -1;  // in FedLoop::loads; -1: as it is, in registers
    bool transposed = false;
  };
  uint32_t pc = 0;
  Operand a, b;
};
struct FedLoop {
  uint32_t begin = 0, end = 0;  // pc
  int64_t stages = 0;
  bool nested = false;    // in another loop
  bool deferred = false;  // products are waited for one iteration later
  std::vector<FedLoad> loads;
  std::vector<FedProduct> products;
};
struct HopperPlan {
  std::vector<FedLoop> loops;  // in program order; none inside another
  std::set<uint32_t> copying;  // instructions that the copying strand repeats
  std::set<uint32_t> dropped;  // transposes that only wgmma read
  int64_t registers = 0;       // of a consumer's thread
  uint32_t blocks_per_sm = 1;
};
constexpr int64_t kCopyingWarps = 4, kCopyingRegisters = 40;

// None: the kernel gets no strands.
std::optional<HopperPlan> plan_hopper(const Kernel& k, const KernelInfo& info,
                                      int64_t shared_limit);

// Products that become wgmma in a kernel without such strands: their loads pass through shared
// tiles.
struct StagedPlan {
  std::vector<FedLoad> loads;
  std::vector<FedProduct> products;
  std::set<uint32_t> dropped;
};
StagedPlan plan_staged(const Kernel& k, const KernelInfo& info, int64_t shared_limit);

}  // namespace tess::jit::tile
