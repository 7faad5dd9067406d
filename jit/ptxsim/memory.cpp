#include "jit/ptxsim/memory.h"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "isa/diag/sim.h"
#include "jit/ptxsim/race.h"

namespace tess::ptxsim {

Allocation::Allocation() = default;
Allocation::~Allocation() = default;

Result<uint64_t> GlobalMemory::allocate(uint64_t bytes, std::string name, bool initialised) {
  uint64_t size = bytes ? bytes : 1;
  if (size > kMaxTotalBytes || total_ + size > kMaxTotalBytes)
    return make_diag(
        diag::kSimMemory,
        fmt::format("out of device memory: {} bytes asked for, {} in use", bytes, total_));
  uint64_t slots =
      (size + kAllocationOffset + (1u << kSlotBits)) >> kSlotBits;  // at least a gap behind
  uint64_t first = slots_.size();
  auto it = free_.lower_bound(slots);
  if (it != free_.end()) {
    first = it->second;
    uint64_t have = it->first;
    free_.erase(it);
    if (have > slots) free_.emplace(have - slots, first + slots);
  } else if (first + slots > kMaxSlots) {
    return make_diag(diag::kSimMemory, "out of device address space");
  }
  auto a = std::make_unique<Allocation>();
  a->base = kArenaBase + (first << kSlotBits) + kAllocationOffset;
  a->bytes = size;
  a->data.reset(new (std::nothrow) uint8_t[size + 16]());
  if (!initialised) a->valid.reset(new (std::nothrow) uint8_t[size + 16]());
  if (!a->data || (!initialised && !a->valid))
    return make_diag(diag::kSimMemory, fmt::format("the host has no memory for {} bytes", bytes));
  a->name = std::move(name);
  if (slots_.size() < first + slots) slots_.resize(first + slots);
  for (uint64_t s = first; s < first + slots; ++s) slots_[s] = a.get();
  total_ += size;
  uint64_t base = a->base;
  owned_[base] = std::move(a);
  return base;
}

Status GlobalMemory::release(uint64_t base) {
  auto it = owned_.find(base);
  if (it == owned_.end())
    return make_diag(diag::kSimMemory, fmt::format("{:#x} is not an allocation", base));
  uint64_t slots = (it->second->bytes + kAllocationOffset + (1u << kSlotBits)) >> kSlotBits;
  uint64_t first = (base - kArenaBase) >> kSlotBits;
  for (uint64_t s = first; s < first + slots; ++s) slots_[s] = nullptr;
  free_.emplace(slots, first);
  total_ -= it->second->bytes;
  owned_.erase(it);
  return ok();
}

Allocation* GlobalMemory::at(uint64_t base) {
  auto it = owned_.find(base);
  return it == owned_.end() ? nullptr : it->second.get();
}

void GlobalMemory::clear_shadow() {
  for (auto& [base, a] : owned_) a->shadow.reset();
}

}  // namespace tess::ptxsim
