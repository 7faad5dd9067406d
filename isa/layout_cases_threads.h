// Thread/register layouts in the conformance notation: one thread space (not lanes and warps).
#pragma once
#include <span>
#include <string>
#include <vector>

#include "isa/layout_cases.h"

namespace tess::cases {

// "local(2,1).spatial(8,4)" or "rl(shape;modes;spatial;local)".
Result<Layout> parse_threads(const std::string& text);
// "rl(shape;modes;spatial;local)" of a layout whose dimensions are products of its digits.
Result<std::string> print_normal_form(const Layout& l);
std::string dotted(const std::string& product);                  // "a * b" as "a.b"
Result<std::vector<int64_t>> to_tuple(const std::string& text);  // "(1,2)" or "1"
std::string print_tuple(const std::vector<int64_t>& v);
std::span<const OperationRow> thread_operations();

}  // namespace tess::cases
