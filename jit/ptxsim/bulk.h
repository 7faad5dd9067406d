// What bulk and tensor copies share.
#pragma once
#include "jit/ptxsim/async.h"
#include "jit/ptxsim/reduce.h"

namespace tess::ptxsim {

// The object exists and its initialisation is visible to the async proxy; notes that a copy will
// complete its current phase.
bool begin_copy_on_mbarrier(Warp& w, const Op& op, int lane, uint32_t address);
bool start_mbarrier_copy(Warp& w, const Op& op, int lane, const CopySlot& slot, uint32_t mbarrier,
                         uint64_t bytes, std::function<bool()> move);
bool start_group_copy(Warp& w, const Op& op, int lane, uint64_t bytes, std::function<bool()> move);
// to = to op from, element by element.
void reduce_range(Reduce r, ReduceType t, const Located& to, const Located& from, uint32_t bytes);

}  // namespace tess::ptxsim
