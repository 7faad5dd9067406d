// Barrier placement: the tile pass that turns `sync auto` into `sync manual`. A barrier stands
// before an access that an earlier access of the same strand, by another thread, conflicts with: a
// read after a write, a write after a read or write, of one shared tile or tensor, round loops too.
// Asynchronous copies count as writes when their wait has passed. What mbarriers and named barriers
// order needs none. Pure; deterministic.
#pragma once
#include "isa/verify.h"

namespace tess::jit {

// One kernel, alone, with every barrier written and `sync manual`; as it is if it says so already.
Module place_barriers(const VerifiedModule& module, size_t kernel);

}  // namespace tess::jit
