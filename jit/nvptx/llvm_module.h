// A block kernel as an LLVM module. Plain operations are instructions; forms are calls of inline
// assembly with the text that CUDA C++ uses too. Variables are allocas.
#pragma once
#include <memory>

#include "jit/block_ir/block_ir.h"

namespace llvm {
class LLVMContext;
class Module;
}  // namespace llvm

namespace tess::jit {

// The kernel must pass check_block. Target, data layout and debug locations are left to set or are
// set: the caller sets target triple and data layout.
std::unique_ptr<llvm::Module> llvm_module(llvm::LLVMContext& context, const BlockKernel& k);

}  // namespace tess::jit
