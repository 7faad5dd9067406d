// Tiles on their way from global memory to a shared tile need no registers:
//
//     %x.raw = load x[..] #wide                  %x.shared = smem T[..] #m
//     %x.shared = smem T[..] #m             ->   copy.async %x.shared[:, :], x[..]
//     store %x.raw, %x.shared[:, :]              copy.async.commit; copy.async.wait 0
//
// Runs behind pipelining, which has taken what loops can fetch ahead; where copies of a pipelined
// loop are in flight, nothing else is waited for and loads stay. A tile that is whole rows of a dense
// tensor, each no multiple of 16 bytes, becomes row-major, a written layout of it too: so it is copied
// as one run of 16-byte pieces. Pure; deterministic.
#pragma once
#include "isa/verify.h"

namespace tess::jit {

Module copy_staged_tiles(const VerifiedModule& module, size_t kernel);

}  // namespace tess::jit
