// Binding a launch: arguments checked against the kernel's signature before anything runs. The same
// for every engine. Element types, shapes, strides, alignment, aliasing, facts and limits: each
// mismatch is an error with a code and a sentence that names the parameter.
#pragma once
#include <cstdint>
#include <vector>

#include "isa/module.h"
#include "isa/result.h"

namespace tess {

// A caller's tensor; not owned. Sub-byte elements are a dense bit stream starting at data[0].
struct TensorRef {
  DType dtype;
  uint8_t* data = nullptr;
  uint64_t bytes = 0;  // readable (and writable) bytes at data
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // elements; empty: row-major
  bool writable = true;
};
// One per parameter that is not a workspace or let, in order: a scalar's code, or the tensor
// (several for a list parameter).
struct LaunchArg {
  uint64_t scalar = 0;
  std::vector<TensorRef> tensors;
};
struct DeviceFacts {
  int64_t sms = 132, occupancy = 1;
};

struct BoundTensor {
  uint8_t* data = nullptr;  // null for a workspace: the engine allocates `bytes`
  uint64_t bytes = 0;
  Shape shape, strides;  // strides in elements
};
struct BoundLaunch {
  int64_t grid[3] = {1, 1, 1};
  std::vector<uint64_t> scalars;  // by value index: the code (integers truncated to their width)
  std::vector<std::vector<BoundTensor>> tensors;  // by parameter index; one entry unless a list
};
// What a caller's tensor must be aligned to, in bytes. One that is only read may begin anywhere, as
// the tensors of a mapped file do, unless the kernel says `aligned`: an engine reads it bytewise or
// copies it to memory of its own.
uint64_t base_alignment(const Param& p, DType dtype);

// Scalars and shapes first, then lets in order, then extents, strides, facts, aliasing, grid.
Result<BoundLaunch> bind_launch(const Kernel& kernel, const std::vector<LaunchArg>& args,
                                const DeviceFacts& device);

}  // namespace tess
