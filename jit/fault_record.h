// The record that a kernel in guard mode leaves of its first fault, in device memory. The host
// fills in `fuel` and `turns` before the launch.
#pragma once
#include <cstdint>

namespace tess::jit {

struct FaultRecord {
  uint32_t claimed = 0;  // by compare-and-swap from 0 to 1
  uint32_t code = 0;     // number of the diagnostic
  uint32_t block[3] = {};
  uint32_t strand = 0;
  uint32_t tile = 0;   // in BlockKernel::tiles: the instruction
  uint32_t fuel = 0;   // turns that the loops of a strand may take, all together
  uint32_t turns = 0;  // turns that one wait may take
  uint32_t reserved[7] = {};
};

}  // namespace tess::jit
