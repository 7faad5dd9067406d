// A counted loop that multiplies tiles too deep to stage is run in smaller steps:
//
//     for %k in 0..n step 256 { %a = load a[.., %k:+256]; %b = load b[%k:+256, ..]; %c = mma %a, %b, %c }
// ->  for %k in 0..n step 32  { %a = load a[.., %k:+32];  %b = load b[%k:+32, ..];  %c = mma %a, %b, %c }
//
// The products and their order stay: the product is added to itself, and the steps cover the same
// elements, since the step divides n, or n is where both tensors end, so that what lies behind reads
// as zero. Only where the counter does nothing else and no layout is written. The first tile pass, so
// that layouts, staging and pipelining see tiles that fit. Pure; deterministic.
#pragma once
#include "isa/verify.h"
#include "jit/tile/infer.h"

namespace tess::jit {

Module split_loops(const VerifiedModule& module, size_t kernel, Sm sm);

}  // namespace tess::jit
