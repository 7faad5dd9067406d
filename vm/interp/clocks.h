// Who happened before whom, inside of one unit: the blocks of a cluster and their strands.
//
// Every strand is an agent with a clock, and so is each kind of asynchronous work of a strand, and
// each mbarrier slot for the copies that complete on it (clock: phase + 1). What an agent did at
// its clock c is ordered before a strand whose vector holds at least c for it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace tess::interp {

using Clock = std::vector<uint32_t>;  // by agent; as long in the whole unit

inline void join(Clock& to, const Clock& from) {
  if (to.size() < from.size()) to.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) to[i] = std::max(to[i], from[i]);
}

// What a strand knows, or hands over: everything before it, and what of that the asynchronous
// engines may see of ordinary writes (fence.proxy).
struct Moment {
  Clock seen, fenced;
  void join(const Moment& m) {
    interp::join(seen, m.seen);
    interp::join(fenced, m.fenced);
  }
};

enum class Agent : uint32_t { strand, copy, bulk_read, bulk_write, wgmma };
inline constexpr uint32_t kAgentKinds = 5;

// The numbers of a unit's agents.
struct Agents {
  uint32_t strands = 1, mbar_slots = 0;  // per block
  uint32_t per_block() const { return strands * kAgentKinds + mbar_slots; }
  uint32_t of(uint32_t rank, uint32_t strand, Agent kind) const {
    return rank * per_block() + strand * kAgentKinds + static_cast<uint32_t>(kind);
  }
  uint32_t of_mbar(uint32_t rank, uint32_t slot) const {
    return rank * per_block() + strands * kAgentKinds + slot;
  }
};

}  // namespace tess::interp
