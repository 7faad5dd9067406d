// Writes a plan back into the kernel: layouts on every tile, conversions, split names, shared
// tiles.
#pragma once
#include "jit/tile/plan.h"

namespace tess::jit::tile {

// The module of one kernel. Fails with E0621 where only a conversion between two written layouts
// would do: those are for the program to write.
Result<Inferred> emit_plan(const Module& m, size_t kernel, const KernelInfo& info, const Webs& webs,
                           Relations& relations, Pool& pool, const Plan& plan,
                           const std::vector<LayoutId>& written);

}  // namespace tess::jit::tile
