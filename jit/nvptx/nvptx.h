// The LLVM back end: a block kernel as LLVM IR, then PTX by LLVM's NVPTX. Thread-safe. In a build
// without LLVM every call that needs it fails with E1165.
#pragma once
#include <string>

#include "jit/block_ir/block_ir.h"
#include "jit/compiled.h"

namespace tess::jit {

struct NvptxOptions {
  bool full = false;  // LLVM's O3; else a light pipeline, since ptxas optimises again
};

bool nvptx_available();
std::string nvptx_version();  // "LLVM 19.1.7"
// The LLVM IR of a kernel, as text, before any pass. The kernel must pass check_block.
Result<std::string> print_llvm(const BlockKernel& k);
// PTX of a kernel. Errors: E1165, E1166.
Result<Compiled> compile_nvptx(const BlockKernel& k, const NvptxOptions& options = {});
// PTX of LLVM IR in text form, for sm_`arch`: whatever LLVM cannot do with it is an E1166.
Result<std::string> compile_llvm_text(const std::string& ir, int arch,
                                      const NvptxOptions& options = {});

}  // namespace tess::jit
