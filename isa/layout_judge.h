// Enumeration: the exact oracle for every static layout, used where the rules cannot answer, and by
// the tests to judge the rules. Nothing else in the layout library visits elements one by one.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "isa/layout.h"

namespace tess {

// Elements that the judge has visited since the process began (all threads).
uint64_t judge_count();
// Records that `elements` are about to be enumerated, or refuses if they are above kJudgeLimit.
Status judge_enter(int64_t elements);

struct InputSpace {
  Label label;
  uint8_t dim;
  int64_t size;
};
// The spaces of a layout, those of size 1 left out, in the order of its digits.
std::vector<InputSpace> input_spaces(const Layout& l);
// The point with flat number x, the first space fastest.
LayoutPoint point_of(const std::vector<InputSpace>& spaces, int64_t x);

// Same value at every point of the same input spaces.
Result<bool> judge_equal(const Layout& a, const Layout& b);

// The layout that is the function f, tried as a sum of digits, as P of a sum of digits for the
// given square P (may be the identity), and as a linear map over F2. Error: f is no layout.
using LayoutFunction = std::function<std::vector<int64_t>(const LayoutPoint&)>;
Result<Layout> judge_fit(const std::vector<InputSpace>& spaces, const std::vector<int64_t>& shape,
                         int dims, const BitMap& p, const LayoutFunction& f);

// The digits of one space's function value(0..size-1), value(0) = 0, if it is a sum of mixed-radix
// digits. The coalesced answer is unique: each digit ends exactly where the values leave the line
// through the first step. Additivity between digits remains to be checked.
using SpaceFunction = std::function<std::vector<int64_t>(int64_t)>;
std::optional<std::vector<Digit>> fit_digits(const InputSpace& space, const SpaceFunction& value);

}  // namespace tess
