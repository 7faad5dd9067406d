// Linear algebra over F2 for layouts: exact elimination instead of enumeration. A column is a
// packed vector of at most 64 output bits; a set of columns is a mask of at most 64 input bits.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "isa/layout.h"

namespace tess {

// The span of the vectors inserted so far, in echelon form, remembering how each was made.
class Echelon {
 public:
  // True if v was not in the span; `index` (0..63) names v in later solutions.
  bool insert(uint64_t v, int index);
  // The inserted vectors whose xor is v: a mask over indices of independent ones. None if outside.
  std::optional<uint64_t> solve(uint64_t v) const;
  bool contains(uint64_t v) const { return reduce(v).first == 0; }
  int rank() const { return static_cast<int>(rows_.size()); }

 private:
  struct Row {
    uint64_t value, made_of;
  };
  std::pair<uint64_t, uint64_t> reduce(uint64_t v) const;
  std::vector<Row> rows_;  // by descending leading bit
};

int rank_of(const std::vector<uint64_t>& columns);
// Columns that depend on earlier ones: the input bits not needed for the image.
uint64_t free_columns(const std::vector<uint64_t>& columns);
// A basis of the inputs that map to zero, one per free column.
std::vector<uint64_t> null_space(const std::vector<uint64_t>& columns);
// columns · x
uint64_t times(const std::vector<uint64_t>& columns, uint64_t x);
// C with b·C = a, free inputs of b zero (the numerically least solution). None if a leaves b's
// image.
std::optional<std::vector<uint64_t>> solve_columns(const std::vector<uint64_t>& b,
                                                   const std::vector<uint64_t>& a);
// The largest y with y = constant ^ (xor of columns): the extent of an affine image less one.
uint64_t largest_in_image(const std::vector<uint64_t>& columns, uint64_t constant);

// A layout as one affine map over F2: f(x) = constant ^ xor of columns[i] over the set bits of x.
struct InputBit {
  Label label;
  uint8_t dim, bit;
  bool operator==(const InputBit&) const = default;
};
struct LinearLayout {
  std::vector<InputBit> in;  // by label, dim, bit
  std::vector<uint64_t> columns;
  std::vector<uint8_t> widths;  // bits of each output component; the first component is lowest
  uint64_t constant = 0;
};
// Exact: none iff some size is no power of two or the sum carries.
std::optional<LinearLayout> linear_of(const Layout& l);
// The canonical layout of an affine map. `shape` as in Layout.
Layout uncoalesced_layout_of(const LinearLayout& m, std::vector<int64_t> shape, int dims);
Result<Layout> layout_of(const LinearLayout& m, std::vector<int64_t> shape, int dims);

uint64_t pack_bits(const std::vector<int64_t>& v, const std::vector<uint8_t>& widths);
std::vector<int64_t> unpack_bits(uint64_t packed, const std::vector<uint8_t>& widths);
int width_of(int64_t size);  // bits that hold 0 .. size-1

}  // namespace tess
