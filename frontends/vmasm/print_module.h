// Module to .vmasm text (`tess dis`). The text is a program: assembled again it gives the same
// bytecode. One path for all instructions, led by their rows in the table.
//
//   file 0 "saxpy.vmasm"
//   layout #s = (64,64):(72,1)
//   kernel saxpy<BM=16>(n: i32, x: in f32[n])
//       grid(cdiv(n, 1024)) warps(4)
//   { @2:1
//       %0 = block.x @5:10
//       %i = mul %0, 1024 @5:5
//
// `@line:col` (`@file:line:col` unless the file is 0) says where an instruction came from. Values
// without a name are %0, %1, … in the order of their first assignment.
//
// The module must have its indices in range, as one that was read or verified has; names may be
// any. Pure, thread-safe, linear in the module, no recursion.
#pragma once
#include <string>

#include "isa/module.h"

namespace tess::vmasm {

struct PrintOptions {
  bool lines = true;  // false: without places and files, for people
};
std::string print_module(const Module& module, PrintOptions options = {});

// One kernel, or one instruction of it (without indentation, place and newline; a block's opening
// as `for %i in 0..4 {`), for messages and traces.
std::string print_kernel(const Module& module, const Kernel& kernel, PrintOptions options = {});
std::string print_inst(const Module& module, const Kernel& kernel, const tess::Inst& inst);

}  // namespace tess::vmasm
