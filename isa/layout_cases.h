// The conformance notation for layouts, one operation a line (tests/conformance/layout_cases.txt
// documents it). Each operation computes its own answer and compares it with the expected text as
// the notation says: as functions where many texts mean the same.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/layout.h"

namespace tess::cases {

struct Outcome {
  std::string got;
  bool pass = false;
};
// `args` are the arguments, trimmed; `expected` the expected text. An error means that the
// operation refused; the runner prints it as "reject".
using Operation = Result<Outcome> (*)(std::span<const std::string> args,
                                      const std::string& expected);
struct OperationRow {
  std::string_view name;
  size_t args;
  Operation run;
};
std::span<const OperationRow> cute_operations();
std::span<const OperationRow> linear_operations();
std::span<const OperationRow> hardware_operations();

// One operation by name; an unknown name is an error.
Result<Outcome> run_operation(std::string_view op, std::span<const std::string> args,
                              const std::string& expected);

Outcome compare_text(std::string got, const std::string& expected);  // spaces ignored
Outcome yes_no(bool got, const std::string& expected);
std::string without_spaces(std::string_view text);
std::vector<std::string> split_trim(std::string_view text, std::string_view separator);
Result<int64_t> to_integer(const std::string& text);

// Bases over F2 with inputs and outputs of any names.
struct NamedLinear {
  struct In {
    std::string name;
    std::vector<std::vector<int64_t>> bases;
  };
  std::vector<In> in;
  std::vector<std::pair<std::string, int64_t>> out;
};
Result<NamedLinear> parse_linear(std::string_view text);
std::string print_linear(const NamedLinear& m);
bool same_linear(const NamedLinear& a, const NamedLinear& b);
// Inputs reg, lane, warp, block (or cta) of a register layout, in any order.
Result<Layout> register_layout(const NamedLinear& m);
// The layout's bases with the given output names (d0, d1, ... if empty), or the reason why not.
Result<NamedLinear> linear_of_layout(const Layout& l, std::vector<std::string> out_names,
                                     bool with_warp);

}  // namespace tess::cases
