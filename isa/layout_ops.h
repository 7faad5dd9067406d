// The operations of the layout algebra. All exact: an answer is right at every point, and an
// operation is refused only if no layout is the answer (or the question is beyond kJudgeLimit).
#pragma once
#include "isa/layout.h"

namespace tess {

// x -> outer(inner(x)). The output of `inner` must lie in outer's dimensions, component by
// dimension; if `inner` has one output and `outer` several dimensions, outer's coordinate is split
// first dimension fastest. O(digits²) by rule; enumeration only if sums carry.
Result<Layout> compose(const Layout& outer, const Layout& inner);

// A whole b inside each element of a: index = index_a * shape_b + index_b and the same for every
// label. Shorter shapes are filled with leading 1s. Lanes beyond 32 become warps (spatial digits
// are thread digits) when `split`.
Result<Layout> product(const Layout& a, const Layout& b, bool split = true);
// z with z * y = x; z with y * z = x.
Result<Layout> divide(const Layout& x, const Layout& y);
Result<Layout> left_divide(const Layout& x, const Layout& y);

// Lanes above 32 as warps, where 32 can be split off.
Layout split_lanes(Layout l);
// One lane space instead of lanes and warps.
Layout join_lanes(Layout l);

// Memory layouts as functions of one coordinate, first dimension fastest.
Result<Layout> coalesce(const Layout& l);
Result<Layout> complement(const Layout& memory, int64_t extent);
// right: L(r(y)) = y on the longest run of outputs (each component from 0) that L reaches in order.
// left: r(L(x)) = x. Input dimensions are L's output components; the output is the vector of L's
// coordinates in the order reg, lane, warp, cta, d0, d1, ... (those that L has).
Result<Layout> right_inverse(const Layout& l);
Result<Layout> left_inverse(const Layout& l);

// Of the tensor: output components of a register layout, dimensions of a memory layout.
Result<Layout> permute(const Layout& l, const std::vector<int>& order);
Result<Layout> reshape(const Layout& l,
                       const std::vector<int64_t>& shape);  // row-major, like arrays
Result<Layout> squeeze(const Layout& l, int dim);           // of size 1
Result<Layout> unsqueeze(const Layout& l, int dim);
// The layout of a reduction's result: registers along `dim` go, threads along it hold copies.
Result<Layout> reduce(const Layout& reg, int dim, bool keep);
// Dimensions of a, then those of b; b's digits are the inner ones.
Result<Layout> concat(const Layout& a, const Layout& b);
// Adds a constant to the output (the output shape of a register layout grows with it).
Result<Layout> shift(const Layout& l, const std::vector<int64_t>& by);
// bits outside: x -> p(l(x)), for a memory layout. Sw<b,m,s>: x ^ ((x & ((2^b-1) << (m+s))) >> s).
struct Swizzle {
  int b = 0, m = 0, s = 0;
  bool operator==(const Swizzle&) const = default;
};
Status check_swizzle(const Swizzle& s);
uint64_t apply(const Swizzle& s, uint64_t x);
Result<Layout> swizzle(const Swizzle& s, const Layout& memory);

// A shape:stride memory layout; strides row-major or column-major with no gaps.
Result<Layout> strided(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides);
Result<Layout> row_major(const std::vector<int64_t>& shape);
Result<Layout> col_major(const std::vector<int64_t>& shape);
// A primitive: every element of `shape` in its own register, lane, warp or cta; the last dimension
// fastest, or the first when `column`.
Result<Layout> spread(Label label, const std::vector<int64_t>& shape, bool column = false);
Result<Layout> replicate(Label label, int64_t copies);
// The register layout that CuTe writes as a layout of (thread, value): its values number the tile's
// elements first dimension fastest.
Result<Layout> from_thread_value(const Layout& thread_value, const std::vector<int64_t>& shape);

// Over F2 only: C with b(C(x)) = a(x), where of all preimages the one needing the cheapest move is
// taken (same cta, then same warp, then same lane, then same register), not the least. Error if a
// reaches an element that b does not hold.
Result<Layout> invert_and_compose(const Layout& a, const Layout& b);

}  // namespace tess
