// Layouts: where the elements of a tile live. One plain value type for registers and memory.
//
// A layout is a function N = P ∘ (c + A) from labelled input coordinates to an integer vector:
//
//   register layout   (reg, lane, warp, cta) -> (i0, i1, ...)   which element a register holds
//   memory layout     (d0, d1, ...)          -> (offset)        where an element is stored
//
// so the address that a register loads is `mem ∘ reg`, with no inversion. A is a list of
// mixed-radix digits: a coordinate of one label is split among that label's digits, the first
// listed being the fastest, and each digit adds its value times an integer vector. c is a constant.
// P, when present, maps the bits of that sum to output bits by xor (a matrix over F2): swizzles, or
// everything at once for a layout that is linear over F2 and not a sum. Offsets, strides and
// swizzles count elements.
//
// All functions are pure and thread-safe; errors are values (isa/diag/layout.def, E06xx). Every
// input may be hostile: sizes are limited (kMaxLayout*), arithmetic is checked, nothing recurses on
// input depth beyond a fixed limit.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace tess {

inline constexpr int kMaxLayoutRank = 8;  // input dimensions; output components
inline constexpr int kMaxLayoutDigits = 256;
inline constexpr int kMaxLayoutBits = 62;  // every coordinate, offset and extent < 2^62
inline constexpr int64_t kJudgeLimit = int64_t{1}
                                       << 22;  // elements that one question may enumerate

enum class Label : uint8_t { reg, lane, warp, cta, dim };  // frozen: stored in bytecode

struct Digit {
  Label label = Label::dim;
  uint8_t dim = 0;   // which dimension, for Label::dim; else 0
  int64_t size = 1;  // >= 2 in a canonical layout
  std::vector<int64_t>
      out;  // what one step adds, one entry per component of the sum; all zero: a replica
  bool operator==(const Digit&) const = default;
};

// A matrix over F2 from the bits of a vector of non-negative integers to an output vector. Bit b of
// component i is column in_bits[0] + ... + in_bits[i-1] + b. No columns: the identity.
struct BitMap {
  std::vector<uint8_t> in_bits;
  std::vector<std::vector<int64_t>> columns;
  bool identity() const { return columns.empty(); }
  bool operator==(const BitMap&) const = default;
};

struct Layout {
  std::vector<Digit> digits;    // by label, then dim, then fastest first; coalesced, no size 1
  std::vector<int64_t> offset;  // c, one entry per component of the sum
  BitMap bits;                  // P
  std::vector<int64_t> shape;   // sizes of the output: the tensor's shape, or one memory extent
  uint8_t dims = 0;             // number of input dimensions, counting those of size 1
  std::string spelling;         // as written, for printing; no part of the meaning

  // Same function in the same canonical form, same shape. For two canonical layouts without P, and
  // for any two that are linear over F2, this decides equality; else ask `same_map`.
  bool operator==(const Layout& o) const {
    return digits == o.digits && offset == o.offset && bits == o.bits && shape == o.shape &&
           dims == o.dims;
  }
  bool is_memory() const { return dims > 0 && shape.size() == 1 && !has_hardware(); }
  bool has_hardware() const {
    for (const Digit& d : digits)
      if (d.label != Label::dim) return true;
    return false;
  }
};

// Checks limits and brings any well-shaped value into the one canonical form; the gate for layouts
// that come from outside (bytecode). `shape` of a memory layout is recomputed if it is too small.
Result<Layout> canonical_layout(Layout raw);

// Sizes of the input spaces: 1 where the label has no digit.
int64_t size_of(const Layout& l, Label label, int dim = 0);
std::vector<int64_t> input_shape(const Layout& l);  // d0, d1, ...
int64_t threads_of(const Layout& l);                // lanes * warps of one block
int64_t registers_of(const Layout& l);
int64_t input_size(const Layout& l);      // product over all spaces
int64_t extent_of(const Layout& memory);  // 1 + the largest offset it can produce (upper bound
                                          // when swizzled and not F2-linear)

// One input point. `dims` may be shorter than the layout's rank: the rest is zero.
struct LayoutPoint {
  int64_t reg = 0, lane = 0, warp = 0, cta = 0;
  std::vector<int64_t> dims;
};
std::vector<int64_t> apply(const Layout& l, const LayoutPoint& p);
// The offset of an element in a memory layout.
int64_t offset_of(const Layout& memory, const std::vector<int64_t>& index);

// Names inside expressions: other layouts (without the '#') and integer constants.
struct LayoutEnv {
  std::function<const Layout*(std::string_view)> layout;
  std::function<std::optional<int64_t>(std::string_view)> constant;
};
// Every spelling of ISA.md section 3. Diagnostics point into the text: columns count from
// `at.col` (in code points), file and line are `at`'s. The result's `spelling` is the text,
// trimmed.
Result<Layout> parse_layout_expr(std::string_view text, const LayoutEnv& env = {},
                                 Span at = {0, 1, 1, 0});

// The spelling as written where there is one (it may use names), else the shortest spelling, which
// uses none: parsing it gives an equal layout.
std::string print_layout(const Layout& l);
// Always spelled anew from the normal form: digits, or bases over F2. Every layout has one.
std::string print_canonical(const Layout& l);

// True if the two layouts are the same function on the same inputs (shapes may differ). Exact;
// enumerates only if a swizzle sits on sizes that are no powers of two.
Result<bool> same_map(const Layout& a, const Layout& b);

}  // namespace tess
