// Barrier placement: the tile pass that turns `sync auto` into `sync manual`. A barrier stands
// before an access that an earlier access of the same strand, by another thread, conflicts with: a
// read after a write, a write after a read or write, of one shared tile or tensor, round loops too.
// Asynchronous copies count as writes when their wait has passed. What mbarriers and named barriers
// order needs none. A kernel of Hopper's asynchronous operations stays `sync auto`, which orders the
// proxies. Pure; deterministic.
#pragma once
#include <set>
#include <utility>
#include <vector>

#include "isa/verify.h"

namespace tess::jit {

// One kernel, alone, with every barrier written and `sync manual`; as it is if it says so already.
// Shared tiles that are never alive together may then lie on each other (shared_plan.h): where that
// costs barriers outside of loops only, those are placed too.
Module place_barriers(const VerifiedModule& module, size_t kernel);

// Shared tiles with bytes in common, by the values that declare them, the lesser first.
using SharedPairs = std::set<std::pair<uint32_t, uint32_t>>;
// The instructions before which a barrier is missing because such tiles take each other's place.
std::vector<uint32_t> barriers_between(const Module& m, const Kernel& k, const KernelInfo& info,
                                       const SharedPairs& pairs);

}  // namespace tess::jit
