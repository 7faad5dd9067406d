// Copies between strided boxes in registers: transposes, slices, insertions, repetitions.
#pragma once
#include <cstdint>

#include "isa/type.h"

namespace tess::interp {

// Strides in elements; a source stride of 0 repeats.
struct NdCopy {
  int rank = 0;
  int64_t n[limits::max_rank + 2], to[limits::max_rank + 2], from[limits::max_rank + 2];
  int64_t to_offset = 0, from_offset = 0;
  int bytes = 0;

  void dim(int64_t count, int64_t to_stride, int64_t from_stride) {
    n[rank] = count;
    to[rank] = to_stride;
    from[rank++] = from_stride;
  }
  // Drops dimensions of 1, merges what is contiguous on both sides, and orders the loops so that
  // the inner ones touch memory in order.
  void prepare();
};
// `d` and `s` do not overlap.
void run_nd_copy(const NdCopy& c, void* d, const void* s);

}  // namespace tess::interp
