// Hopper code for plain kernels: the tile pass, before layouts, that gives sm_90a's tensor cores
// what they are built for. A `pipeline(n)` loop whose products suit `wgmma` becomes two strands:
//
//     %a.ring = smem T[ring n, ..]   %full = mbar[n] count(1)   %empty = mbar[n] count(1)
//     parallel {
//         warps W..W+4 regs(40) {               // one more warpgroup, which only copies
//             for %i in a..b step s {
//                 mbar.wait %empty[%use-n]
//                 tma.load %a.ring[%use], a[..], %full[%use]    // each load that TMA can do
//                 mbar.arrive %full[%use]
//                 %use = %use + 1 } }
//         warps 0..W regs(..) {                 // the kernel itself
//             for %i in a..b step s {
//                 mbar.wait %full[%use]
//                 %acc = wgmma %a.ring[%use], %b.ring[%use], %acc
//                 wgmma.commit   wgmma.wait 1
//                 if %use > 0 { mbar.arrive %empty[%use-1] }
//                 %use = %use + 1 }
//             wgmma.wait 0
//             ... } }
//
// A is read from shared memory if it was loaded, from registers if it was computed; B must have
// been loaded, as it is or transposed. Products whose results the loop's body reads are waited for
// at once. The copying strand repeats the scalar instructions and loops that places depend on.
//
// The kernel stays as it is where a product has no such form, where TMA cannot copy an operand (16
// bytes of alignment in address and strides, which the launch's facts tell), where the kernel has
// strands, asynchronous operations or written layouts of its own, or where rings do not fit.
#pragma once
#include "isa/verify.h"
#include "jit/tile/infer.h"

namespace tess::jit {

// The kernel, alone; as it was for any other architecture.
Module rewrite_for_hopper(const VerifiedModule& module, size_t kernel, Sm sm);

}  // namespace tess::jit
