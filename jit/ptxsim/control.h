// Lanes that end, and local memory.
#pragma once
#include "jit/ptxsim/machine.h"

namespace tess::ptxsim {

// Local memory of the warp's 32 lanes, `bytes` each.
void init_local(Warp& w, uint32_t bytes);
// The lanes leave the kernel: barriers and joint operations stop waiting for them.
void end_lanes(Warp& w, uint32_t lanes);

}  // namespace tess::ptxsim
