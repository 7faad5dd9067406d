// The `//;` directives of a .vmasm file, read into tests. README.md is the manual of the spelling.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isa/result.h"
#include "vm/cli/compare.h"

namespace tess::cli {

// `out y: [1 2 3], ulp=1`, `in x: uniform(1)`.
struct TestTensor {
  std::string name;
  std::string source;                // SRC; empty for a literal
  std::vector<std::string> literal;  // numbers as written
  bool skip = false;                 // `out y: skip`: not looked at
  Tolerance tolerance;
  // Of sums and products in another order than the interpreter's: absolute, relative.
  double sum = 0, product = 0;
  uint32_t line = 0;
  size_t begin = 0, end = 0;  // of the literal with its brackets in the file's text, for --bless
};

// `trap: T0821 at 9:3`, `error: E0312 at 7:14: message`.
struct ExpectedDiag {
  std::string code;
  uint32_t at_line = 0, at_col = 0;    // 0: not stated
  std::optional<std::string> message;  // the exact text, if stated
  uint32_t line = 0;                   // of the directive
};

enum class TestKind { exec, check };
struct TestCase {
  TestKind kind = TestKind::exec;
  std::string name, kernel;
  std::vector<std::string> engines = {"interp", "interp-naive"};
  bool any_engine = true;  // no `on:` line
  std::vector<std::string> async;  // when copies complete; empty: every way, if the kernel has any
  std::vector<std::pair<std::string, std::string>> bindings, scalars;
  std::vector<TestTensor> inputs, outputs;
  std::vector<ExpectedDiag> diags;
  std::string refused;  // the error of engines that compile, where that is all they have to say
  std::vector<std::string> prints;  // in order; whitespace counts as one space
  uint64_t seed = 0, steps = 0, memory = 0;
  int64_t device_sms = 0;  // 0: what the engine has
  double seconds = 60;
  bool report_out_of_bounds = false;
  uint32_t line = 0;
  // `for W in u1 u2`: taken apart by the parser, one test for each value.
  std::vector<std::pair<std::string, std::vector<std::string>>> loops;
};

struct TestFile {
  std::vector<TestCase> tests;
  // `// error: E0103 at 7:14: message` lines: the file's diagnostics, exactly these.
  std::vector<ExpectedDiag> exact_diags;
};
// Malformed directives are appended to `out` with their place in file 0.
TestFile parse_test_file(std::string_view text, Diagnostics& out);

}  // namespace tess::cli
