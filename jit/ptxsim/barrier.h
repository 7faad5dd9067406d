// Barriers that may complete because threads ended.
#pragma once
#include "jit/ptxsim/machine.h"

namespace tess::ptxsim {

void check_barriers(Block& b);
void wake_waiting_for_registers(Block& b);
void check_cluster_barrier(Cluster& c);

}  // namespace tess::ptxsim
