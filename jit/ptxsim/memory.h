// Device memory: allocations in a sparse address arena, the windows of generic addresses, and the
// check that every access goes through. Not thread-safe for allocation; accesses may run in
// parallel.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "isa/result.h"
#include "jit/ptxsim/ptx_module.h"

namespace tess::ptxsim {

// Generic addresses: [window, window + 4 GiB) for the three small spaces, the arena for the rest.
inline constexpr uint64_t kSharedWindow = 0x0100'0000'0000ull;
inline constexpr uint64_t kLocalWindow = 0x0110'0000'0000ull;
inline constexpr uint64_t kParamWindow = 0x0120'0000'0000ull;
inline constexpr uint64_t kArenaBase = 0x0200'0000'0000ull;
inline constexpr int kSlotBits = 21;  // every allocation starts in its own 2 MiB slot
inline constexpr uint64_t kMaxSlots = 1u << 20;
inline constexpr uint64_t kAllocationOffset =
    256;  // so that no more than 256-byte alignment is given
inline constexpr uint64_t kMaxTotalBytes = 64ull << 30;
inline constexpr uint32_t kRankShift = 24;  // shared::cluster address = rank << 24 | offset

struct ShadowRegion;

struct Allocation {
  uint64_t base = 0, bytes = 0;
  std::unique_ptr<uint8_t[]> data;
  std::unique_ptr<uint8_t[]> valid;  // one byte per byte; null when everything is written
  std::unique_ptr<ShadowRegion> shadow;
  bool read_only = false;
  std::string name;
  Allocation();
  ~Allocation();
};

class GlobalMemory {
 public:
  Result<uint64_t> allocate(uint64_t bytes, std::string name, bool initialised);
  Status release(uint64_t base);
  // The allocation of the slot, or null; the caller checks the bounds.
  Allocation* find(uint64_t address) const {
    uint64_t slot = (address - kArenaBase) >> kSlotBits;
    return slot < slots_.size() ? slots_[slot] : nullptr;
  }
  Allocation* at(uint64_t base);
  void clear_shadow();
  const std::map<uint64_t, std::unique_ptr<Allocation>>& all() const { return owned_; }

 private:
  std::vector<Allocation*> slots_;
  std::map<uint64_t, std::unique_ptr<Allocation>> owned_;
  std::multimap<uint64_t, uint64_t> free_;  // slots -> first slot
  uint64_t total_ = 0;
};

}  // namespace tess::ptxsim
