// Tile instructions to block IR: one kernel of a verified module, whose tile passes have run (every
// register tile and shared tile carries a layout, `sync manual`), becomes one BlockKernel.
// Pure and thread-safe. Errors: E11xx for what this architecture cannot do, with the source place.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "isa/verify.h"
#include "jit/block_ir/block_ir.h"
#include "jit/driver.h"

namespace tess::jit {

// What a specialised kernel may take for granted about its launch. The launch computes it from the
// actual arguments; `specialise` writes it into the kernel's header, where every pass reads it.
// Indexed by value number of the kernel's parameters; shorter vectors: nothing is known of the
// rest.
struct LaunchFacts {
  std::vector<uint32_t> alignment;  // bytes, of a tensor's address; 0: that of its elements
  std::vector<int64_t> divisor;     // of an integer scalar or let; 0 or 1: nothing
  bool operator==(const LaunchFacts&) const = default;
};
void specialise(Kernel& kernel, const LaunchFacts& facts);

struct LowerOptions {
  int arch = 80;       // 80, 89, 90; 901 for sm_90a
  bool guard = false;  // fuel and traps checked, the first fault recorded
  bool report_out_of_bounds = false;  // in guard mode: an access out of bounds is a fault
  // Text of an instruction, for comments; none: its name.
  std::function<std::string(const Kernel&, const Inst&)> describe;
};

// A tensor map the launch must encode: of parameter `param`, with boxes of these extents (elements,
// outermost first). The BlockParam of kind tensor_map names it by index.
struct TensorMapNeed {
  uint32_t param = 0;
  std::vector<uint32_t> box;
  TensorSwizzle swizzle = TensorSwizzle::none;
  bool operator==(const TensorMapNeed&) const = default;
};

struct Lowered {
  BlockKernel block;
  std::vector<TensorMapNeed> maps;
};
Result<Lowered> lower_kernel(const VerifiedModule& module, size_t kernel,
                             const LowerOptions& options);

}  // namespace tess::jit
