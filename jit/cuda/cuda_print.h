// A block kernel as CUDA C++ that needs no header: a prelude with one small function for every PTX
// instruction that occurs, then the kernel, with the tile program's text as comments. Only
// generated names occur. Pure and thread-safe; the kernel must pass check_block.
#pragma once
#include <string>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {

struct CudaPrintOptions {
  // A `#line` before every statement, so that each line of the compiler's output names its .vmasm
  // line; else one for each tile instruction, to be read by people.
  bool line_per_statement = false;
};
std::string print_cuda(const BlockKernel& k, const CudaPrintOptions& options = {});

}  // namespace tess::jit
