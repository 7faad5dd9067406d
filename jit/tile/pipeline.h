// Software pipelining: the tile pass that acts on `pipeline(n)` loops. Loads of immutable
// parameters whose place depends on nothing but the loop's counter go through a ring of n shared
// tiles, filled by asynchronous copies n-1 iterations ahead:
//
//     copies for iterations 0 .. n-2, each a group
//     for %i in a..b step s {
//         copy.async.wait n-2                  // the group of this iteration has landed
//         copies for iteration + n-1           // into the slot that the last iteration left
//         ... the body, reading its slot ...
//     }
//     copy.async.wait 0
//
// A tile that was staged anyway (loaded, stored to a shared tile, read from there) turns that
// shared tile into the ring. Runs after layout inference and before barrier placement, which orders
// the threads. Where rings do not fit in shared memory n shrinks, down to leaving the loop alone.
// Pure; deterministic.
#pragma once
#include "isa/verify.h"
#include "jit/tile/infer.h"

namespace tess::jit {

// Bytes of shared memory that one block can have.
int64_t shared_memory_of(Sm sm);

Module pipeline_loops(const VerifiedModule& module, size_t kernel, int64_t shared_limit);

}  // namespace tess::jit
