// Weights permuted for tensor cores: what each lane of a warp needs stands in one place, in the
// order of its registers, so that a kernel loads wide integers and `view`s them as a tile of any
// type without moving a bit. The format, with a picture, is in README.md.
// Pure; thread-safe; errors are values (E0720..E0729).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "isa/layout.h"
#include "vm/data/tensor.h"

namespace tess {

// How a tensor W of type T, whose last two dimensions are cut into tiles, is packed.
struct PackPlan {
  DType dtype;
  Layout layout;  // of one tile, after combining: registers, lanes, warps -> [rows, cols]
  int64_t combined[2] = {1, 1};  // fragments as given in one tile, along each dimension
  int64_t lane_bits = 0;         // of one lane: registers * bits
  int unit_bytes = 0;            // 16, 8, 4, 2 or 1: the longest run at once
  int64_t units = 0;             // of one lane
  int64_t lanes = 0, warps = 0;
  bool last_outermost = true;  // tiles of the last dimension are counted outermost

  std::vector<int64_t> shape;         // of W
  DType packed_dtype;                 // u32 for units of 4 bytes and more, else u16, u8
  std::vector<int64_t> packed_shape;  // [.., tiles, tiles, (warps,) units, lanes, words]
};

struct PackOptions {
  // Fragments to combine along each dimension; 0, 0: as few as possible along the first, so that a
  // lane's bits are whole units of at least `unit_bytes`.
  int64_t combine[2] = {0, 0};
  int unit_bytes = 1;
  bool last_outermost = true;
};

// `layout` is a register layout of two dimensions that reaches every element of its tile; `shape`
// has two dimensions or more, the first ones being batches. Tiles that stand over the edge are
// filled with zero bits.
Result<PackPlan> plan_pack(DType dtype, std::span<const int64_t> shape, const Layout& layout,
                           const PackOptions& options = {});
// `weights` must be of plan.dtype and plan.shape, `packed` of plan.packed_dtype and packed_shape.
Result<HostTensor> pack(const PackPlan& plan, const HostTensor& weights);
Result<HostTensor> unpack(const PackPlan& plan, const HostTensor& packed);

// What a kernel writes to read it: two layouts and their use, as lines of .vmasm.
std::string pack_recipe(const PackPlan& plan);

}  // namespace tess
