// Memory as instructions see it: tensors and shared tiles, their views, and the box of one access.
//
//   View      extents, strides and bounds over some storage; `slice`, `transpose`, ... make new
//   ones Region    one access resolved: for each tile dimension an extent, a stride and the part
//   that is
//             in bounds
//
// Storage is a little-endian bit stream, so an address is a bit. Address arithmetic wraps modulo
// 2^64 and is only meant where the coordinate is in bounds.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "isa/type.h"

namespace tess::interp {

// Which elements of an `out` tensor or shared tile have been written, one bit per granule.
// mark() may run on several threads at once.
class Written {
 public:
  // False if there is no memory for it.
  bool reset(uint64_t storage_bits, uint32_t granule_bits);
  void mark(uint64_t bit, uint64_t n_bits);
  bool all(uint64_t bit, uint64_t n_bits) const;

 private:
  std::unique_ptr<uint64_t[]> words_;
  uint64_t n_words_ = 0;
  uint32_t granule_bits_ = 8;
};

struct View {
  uint8_t* base = nullptr;
  uint64_t origin = 0;  // bit of coordinate (0, .., 0); meaningless by itself if out of bounds
  DType type;
  uint8_t rank = 0;
  bool ring = false;       // dimension 0 is indexed by use number
  bool nothing = false;    // no element is in bounds
  bool immutable = false;  // for the whole launch
  int64_t extent[limits::max_rank] = {}, stride[limits::max_rank] = {};  // elements
  int64_t lo[limits::max_rank] = {}, hi[limits::max_rank] = {};          // in bounds: lo <= i < hi
  // Of an alias: besides the bounds, elements lie inside [first_bit, last_bit).
  bool limited = false;
  uint64_t first_bit = 0, last_bit = 0;
  Written* written = nullptr;

  bool reaches(uint64_t bit) const {
    return !limited || (bit >= first_bit && bit + type.bits <= last_bit && bit < last_bit);
  }
};

struct Region {
  uint8_t* base = nullptr;
  uint64_t origin = 0;
  DType type;
  int rank = 0;
  bool nothing = false, immutable = false;
  int64_t n[limits::max_rank], stride[limits::max_rank], lo[limits::max_rank], hi[limits::max_rank];
  int gather_dim = -1;  // this dimension's coordinate comes from `gather`, bounded by lo and hi
  const int32_t* gather = nullptr;
  bool limited = false;
  uint64_t first_bit = 0, last_bit = 0;
  Written* written = nullptr;

  int64_t elements() const {
    int64_t total = 1;
    for (int d = 0; d < rank; ++d) total *= n[d];
    return total;
  }
  // False if some element is out of bounds.
  bool inside() const;
};

// A run of elements in bounds: tile elements tile, tile + tile_step, .. against memory elements at
// bit, bit + step bits, ..
struct Run {
  int64_t tile, tile_step;
  uint64_t bit, step;
  int64_t n;
};

// Cuts the run to [first_bit, last_bit); false if nothing is left. Steps of such runs are positive.
bool clip(const Region& r, Run& run);

// Calls row(Run) for every part of the region that is in bounds, in row-major order.
template <class Row>
void walk(const Region& r, Row&& row) {
  if (r.nothing) return;
  struct Dim {
    int64_t n, tile;
    uint64_t step;
    bool gathered;
  } dim[limits::max_rank];
  int rank = 0, gathered = -1;
  uint64_t bit = r.origin;
  int64_t tile_base = 0, tile_stride = 1;
  int64_t tile_strides[limits::max_rank];
  for (int d = r.rank - 1; d >= 0; --d) {
    tile_strides[d] = tile_stride;
    tile_stride *= r.n[d];
  }
  for (int d = 0; d < r.rank; ++d) {
    uint64_t step = static_cast<uint64_t>(r.stride[d]) * r.type.bits;
    bool is_gather = d == r.gather_dim;
    int64_t lo = is_gather ? 0 : r.lo[d], n = is_gather ? r.n[d] : r.hi[d] - r.lo[d];
    if (n <= 0) return;
    bit += step * static_cast<uint64_t>(lo);
    tile_base += tile_strides[d] * lo;
    if (n == 1 && !is_gather) continue;
    if (rank && !is_gather && !dim[rank - 1].gathered &&
        dim[rank - 1].step == step * static_cast<uint64_t>(n) &&
        dim[rank - 1].tile == tile_strides[d] * n) {
      dim[rank - 1] = {dim[rank - 1].n * n, tile_strides[d], step, false};
      continue;
    }
    if (is_gather) gathered = rank;
    dim[rank++] = {n, tile_strides[d], step, is_gather};
  }
  bool run_inside = rank && !dim[rank - 1].gathered;
  int outer = run_inside ? rank - 1 : rank;
  Run run{tile_base, 1, bit, r.type.bits, 1};
  if (run_inside) {
    run.n = dim[rank - 1].n;
    run.tile_step = dim[rank - 1].tile;
    run.step = dim[rank - 1].step;
  }
  int64_t at[limits::max_rank] = {};
  for (;;) {
    run.tile = tile_base;
    run.bit = bit;
    bool valid = true;
    for (int d = 0; d < outer; ++d) {
      run.tile += dim[d].tile * at[d];
      if (d == gathered) {
        int64_t i = r.gather[at[d]];
        valid = i >= r.lo[r.gather_dim] && i < r.hi[r.gather_dim];
        run.bit += dim[d].step * static_cast<uint64_t>(i);
      } else {
        run.bit += dim[d].step * static_cast<uint64_t>(at[d]);
      }
    }
    if (valid && !r.limited) row(static_cast<const Run&>(run));
    if (valid && r.limited) {
      Run part = run;
      if (clip(r, part)) row(static_cast<const Run&>(part));
    }
    int d = outer - 1;
    while (d >= 0 && ++at[d] == dim[d].n) at[d--] = 0;
    if (d < 0) return;
  }
}

// Memory to carriers and back, for one run; `tile` points at tile element 0.
void load_run(DType t, const uint8_t* base, const Run& run, void* tile);
void store_run(DType t, const void* tile, uint8_t* base, const Run& run);

// Sets elements tile, tile + step, .. (n of them) of a carrier array to one carrier value.
void fill_carriers(int bytes, void* tile, int64_t n, const void* value);

}  // namespace tess::interp
