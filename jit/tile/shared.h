// Memory layouts for the shared tiles of a program: the written one, or the one of least conflict
// for all its readers and writers.
#pragma once
#include <map>

#include "jit/tile/plan.h"

namespace tess::jit::tile {

// By the value that `smem` makes; of a ring, the layout of one slot.
std::map<uint32_t, LayoutId> shared_layouts(const Kernel& k, const Webs& webs, const Plan& plan,
                                            Pool& pool);

// The register layout of an access of a whole shared tile (not of a view), one dimension for each
// of the tile's (a ring's first left out). kNoLayout where rows are gathered.
LayoutId spread_to_rank(Pool& pool, const Kernel& k, const Access& a, LayoutId reg,
                        const Shape& tile);

}  // namespace tess::jit::tile
