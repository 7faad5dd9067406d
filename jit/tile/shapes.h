// The layouts that inference proposes: tiles spread over a strand's threads, and the fragments that
// tensor cores fix.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/dtypes.h"
#include "isa/layout.h"
#include "isa/type.h"
#include "jit/tile/infer.h"
#include "jit/tile/pool.h"

namespace tess::jit::tile {

// Every thread holds `run` neighbours along `fastest`; lanes take the dimensions in `lane_order`,
// warps then in `warp_order`, and what is left stays in registers. Threads that find nothing left
// hold copies.
struct Spread {
  int fastest = 0;
  std::vector<int> lane_order, warp_order;  // fastest first
  int64_t run = 1;
};
std::vector<int> row_order(int rank, int fastest);  // `fastest`, then the others, last to first
Result<Layout> spread_over(const Shape& shape, const Spread& how, int warps);
Result<Layout> wide_layout(const Shape& shape, int fastest, int64_t run, int warps);
Result<Layout> everywhere(const Shape& shape, int warps);  // every thread holds the whole tile

// One way of doing a matrix product: which part each warp computes.
struct MmaForm {
  std::string_view atom;  // "m16n8k16"; empty: multiply and add, operands read from shared memory
  std::string a, b, c;    // names of the fragments
  int m = 0, n = 0, k = 0;
};
// The form tensor cores have for these types, exactly widened where this architecture lacks them;
// the one place that chooses between instruction families.
std::optional<MmaForm> mma_form(DType a, DType b, DType acc, Sm sm);

struct MmaFragments {
  Layout a, b, c;
  int64_t products = 0;  // instructions per warp
};
// One for each grid of warps that divides the tile. Empty if the tile is none of such pieces. With a
// stride, the columns of one product are that far apart in b and c, and each warp takes some of the
// places between two of them.
std::vector<MmaFragments> mma_fragments(const MmaForm& form, const Shape& a, const Shape& b,
                                        int warps, int64_t stride = 1);
// Likewise for wgmma, whose B is in shared memory: A in registers and the accumulator, warpgroups
// over rows or columns.
std::vector<MmaFragments> wgmma_fragments(DType a_type, const Shape& a, const Shape& c, int warps);
// A shared tile as TMA writes it and wgmma reads it: rows of at most 128 bytes, swizzled as wide as
// they are.
Result<Layout> swizzled_rows(const std::vector<int64_t>& shape, int bits);
// How much of k a product by multiply and add takes at a time, so that both operands' parts stay
// below 48 KiB of shared memory.
int64_t staged_depth(const Shape& a, int a_bits, const Shape& b, int b_bits);
// Accumulators of products by multiply and add: blocks of rows and columns per thread.
std::vector<Layout> fma_accumulators(const Shape& c, int warps);

}  // namespace tess::jit::tile
