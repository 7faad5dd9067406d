// Where shared tiles lie in a block's memory. Tiles that are never alive together may have bytes in
// common, if a barrier stands between the last use of one and the first of the other: whoever asks
// says at which price.
//
//   live from the first use to the last, in the order of the text;
//     used in a loop that began after its declaration: the whole loop
//     used in a `parallel`: the whole `parallel`
//     touched by a copy or product in flight: up to the wait for all of them
//     mbarriers, memory that peers or mbarriers complete, tiles whose rows share words: the whole
//     kernel
//
// Pure; deterministic.
#pragma once
#include <cstdint>
#include <vector>

#include "isa/result.h"
#include "isa/verify.h"
#include "jit/tile/barriers.h"

namespace tess::jit {

// Instructions [first, last] of the kernel.
struct LiveRange {
  uint32_t first = 0, last = 0;
  bool meets(const LiveRange& o) const { return first <= o.last && o.first <= last; }
  bool operator==(const LiveRange&) const = default;
};

struct SharedTile {
  uint32_t value = 0;  // what `smem` or `mbar` declares
  int64_t bytes = 0, alignment = 1;
  LiveRange live;
  int64_t place = 0;  // byte offset
  int64_t end() const { return place + bytes; }
  bool shares_bytes(const SharedTile& o) const { return place < o.end() && o.place < end(); }
};

struct SharedPlan {
  std::vector<SharedTile> tiles;  // in the order of their declarations
  int64_t bytes = 0;
};

enum class OverlapPrice : uint8_t {
  free,           // only where no barrier need be added
  outside_loops,  // where barriers need be added outside of loops only
};
Result<SharedPlan> plan_shared_memory(const Module& m, const Kernel& k, const KernelInfo& info,
                                      OverlapPrice price);
// Whether elements of the tile's rows share 32-bit words with those of other rows: writing some of
// them reads the rest, so that the tile is filled with zeros where it is declared.
bool has_shared_words(const Type& tile);
// Pairs of tiles with bytes in common.
SharedPairs overlapping(const SharedPlan& plan);

}  // namespace tess::jit
