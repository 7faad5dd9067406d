// One coordinate that shows why a layout fact does not hold, in words. Enumerates (through the
// judge) until the first is found; empty if there is none or the layout is too large to search.
#pragma once
#include <string>

#include "isa/layout_query.h"

namespace tess {

std::string describe_point(const Layout& l,
                           const LayoutPoint& p);  // "register 2 of lane 5, warp 1"
std::string uncovered_element(const Layout& l);
std::string doubly_held(const Layout& l);
// Two neighbours of an aligned run of `elems` offsets that no thread holds together.
std::string why_not_vector(const Layout& reg, const Layout& mem, int64_t elems);
// Two lanes of one phase whose words fall into one bank.
std::string bank_conflict(const Layout& reg, const Layout& mem, int elem_bits, const Banks& found);
std::string first_difference(const Layout& a, const Layout& b);
// A destination register whose value no source register of the same lane (warp) holds.
std::string farthest_move(const Layout& src, const Layout& dst, Move where);

}  // namespace tess
