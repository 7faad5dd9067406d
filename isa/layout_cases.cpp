#include "isa/layout_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "isa/diag/layout.h"
#include "isa/layout_calc.h"
#include "isa/layout_cases_threads.h"

namespace tess {
namespace cases {
namespace {

std::string_view trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

const OperationRow* find_operation(std::string_view name) {
  for (auto table :
       {cute_operations(), linear_operations(), hardware_operations(), thread_operations()})
    for (const OperationRow& row : table)
      if (row.name == name) return &row;
  return nullptr;
}

}  // namespace

Outcome compare_text(std::string got, const std::string& expected) {
  bool pass = without_spaces(got) == without_spaces(expected);
  return {std::move(got), pass};
}

Outcome yes_no(bool got, const std::string& expected) {
  return compare_text(got ? "yes" : "no", expected);
}

std::string without_spaces(std::string_view text) {
  std::string out;
  for (char c : text)
    if (c != ' ' && c != '\t') out += c;
  return out;
}

std::vector<std::string> split_trim(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.emplace_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

Result<int64_t> to_integer(const std::string& text) {
  int64_t v = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc{} || end != text.data() + text.size() ||
      v >= int64_t{1} << kMaxLayoutBits || v <= -(int64_t{1} << kMaxLayoutBits))
    return make_diag(diag::layout_case_syntax, fmt::format("'{}' is no integer", text));
  return v;
}

Result<Outcome> run_operation(std::string_view op, std::span<const std::string> args,
                              const std::string& expected) {
  const OperationRow* row = find_operation(op);
  if (!row)
    return make_diag(diag::layout_case_syntax, fmt::format("there is no operation '{}'", op));
  if (args.empty() || (row->args != 0 && args.size() != row->args))
    return make_diag(diag::layout_case_syntax, fmt::format("{} takes {} arguments", op, row->args));
  return row->run(args, expected);
}

namespace {

struct Case {
  std::string id, op, args_text, expected;
  std::vector<std::string> args;
};

// ID | OP | ARGUMENTS | EXPECTED | BASIS | SOURCE; a formula among the arguments may hold " | ".
Result<Case> parse_case(std::string_view line) {
  std::vector<std::string> field = split_trim(line, " | ");
  if (field.size() < 6)
    return make_diag(diag::layout_case_syntax,
                     "a case has six fields: ID | OP | ARGUMENTS | EXPECTED | BASIS | SOURCE");
  Case c{field[0], field[1], field[2], field[field.size() - 3], {}};
  for (size_t i = 3; i + 3 < field.size(); ++i) c.args_text += " | " + field[i];
  c.args = split_trim(c.args_text, " ; ");
  return c;
}

}  // namespace
}  // namespace cases

CaseReport run_layout_cases(std::string_view text) {
  CaseReport report;
  int line_number = 0;
  auto fail = [&](std::string what) {
    ++report.failed;
    report.text += what;
  };
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++line_number;
    size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos || line[first] == '#') continue;
    auto parsed = cases::parse_case(line);
    if (!parsed) {
      fail(fmt::format("line {}: {}\n", line_number, parsed.error().message));
      continue;
    }
    auto outcome = cases::run_operation(parsed->op, parsed->args, parsed->expected);
    bool refused = !outcome && outcome.error().code != diag::layout_case_syntax;
    if ((outcome && outcome->pass) ||
        (refused && (parsed->expected == "reject" || parsed->expected == "none"))) {
      ++report.passed;
      continue;
    }
    fail(fmt::format(
        "{} {} {}\n  got      {}\n  expected {}\n", parsed->id, parsed->op, parsed->args_text,
        outcome ? outcome->got : "reject: " + outcome.error().message, parsed->expected));
  }
  report.text += fmt::format("{} passed, {} failed\n", report.passed, report.failed);
  return report;
}

}  // namespace tess
