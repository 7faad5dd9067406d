// Named atoms: what the tensor-core and matrix-move instructions of PTX fix. Formulas follow the
// fragment descriptions of the PTX ISA ("Matrix Fragments for mma", "Register Fragments for
// wgmma.mma_async", "ldmatrix", "Shared Memory Matrix Layout").
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "isa/layout.h"

namespace tess {

// Names, the leading `mma.` being optional:
//   mma.m16n8k16.f16.A  .B   fragments of A (m x k) and B (k x n); mma.m16n8.f32.C of C (m x n)
//   wgmma.m64k16.f16.A       A in registers; wgmma.m64n128.C the accumulator (4 warps)
//   ldmatrix.x4[.trans]      8x8 matrices of 16-bit elements, one below the other; stmatrix
//   likewise smem.kmajor.sw128.f16    the 8-row (mnmajor: 8-column) core of a shared-memory operand
//   that wgmma
//                            descriptors and TMA know, with swizzle span 128, 64, 32 or 0 bytes;
//   tma.sw128.f16            the same as smem.kmajor: a TMA box row is contiguous
Result<Layout> named_atom(std::string_view name, Span at = {});
// Every mma and wgmma operand name, ldmatrix, stmatrix and shared-memory form (wgmma.m64nN for each
// N).
const std::vector<std::string>& atom_names();

}  // namespace tess
