// Shared by the kernels that read and write memory.
#pragma once
#include "vm/interp/program.h"
#include "vm/interp/races.h"

namespace tess::interp {

// A mask, index or value tile that is broadcast (right-aligned) over a tile: where its element is.
struct MaskView {
  Operand operand;
  bool dense = true;  // as many elements as the tile
  int rank = 0;
  int64_t size[limits::max_rank] = {}, strides[limits::max_rank] = {};

  MaskView() = default;
  MaskView(const Operand& mask, const Shape& tile);
  explicit operator bool() const { return static_cast<bool>(operand); }
  int64_t offset(int64_t tile) const;
  bool at(const Strand& s, int64_t tile) const { return operand.at(s)[offset(tile)]; }
};

// Element i of a run as a run of its own.
Run single(const Run& run, int64_t i);

bool run_written(const Written& w, DType t, const Run& run);
void mark_written(Written& w, DType t, const Run& run);

// Of the tile that a memory operand with static extents names.
Shape shape_of(const AccessPlan& plan);
// The `pad` attribute as a carrier; 0 without one.
uint64_t pad_carrier(const Binder& b, DType t);

// A strand's own access to the whole region, or to one run of it.
inline Flow touch(Strand& s, const Region& r, Touch t, uint32_t name) {
  return s.tracked ? check_region(s, r, t, by_strand(s), name) : Flow::next;
}
inline Flow touch(Strand& s, const Region& r, const Run& run, Touch t, uint32_t name) {
  return s.tracked ? check_run(s, r, run, t, by_strand(s), name) : Flow::next;
}

std::string memory_name(const Strand& s, uint32_t value);
Flow report_bounds(Strand& s, uint32_t value);
Flow report_unwritten(Strand& s, uint32_t value);

}  // namespace tess::interp
