// Every diagnostic code has a test that meets it.
#include <doctest/doctest.h>

#include <set>
#include <vector>

#include "isa/diag.h"
#include "tests/arch/tree.h"

using namespace tess;
using namespace tess::arch;

namespace {

// Codes that a program expects: `// error: E0103 at ..`, `//; trap: T0821 ..`, `!
// ...error[E0900]...`.
void add_expected(const std::string& file, std::set<std::string>& into) {
  std::string text = read(file);
  for (std::string_view line : lines_of(text)) {
    for (std::string_view mark :
         {"// error: ", "// warning: ", "//; error: ", "//; trap: ", "//; limit: ", "["}) {
      size_t at = line.find(mark);
      while (at != std::string_view::npos) {
        std::string_view id = line.substr(at + mark.size(), 5);
        if (find_diag(id)) into.insert(std::string(id));
        at = line.find(mark, at + 1);
      }
    }
  }
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// `diag::name`, as a whole word, or the code itself.
bool mentions(std::string_view text, const DiagInfo& info) {
  if (text.find('"' + diag_id(info.code)) != std::string_view::npos) return true;
  for (std::string_view prefix : {"diag::", "CHECK_CODE("}) {
    std::string name = std::string(prefix) + std::string(info.name);
    if (prefix == "CHECK_CODE(") name = ", " + std::string(info.name) + ")";
    for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1))
      if (name.back() == ')' || at + name.size() == text.size() || !is_word(text[at + name.size()]))
        return true;
  }
  return false;
}

}  // namespace

TEST_CASE("every diagnostic code has a case") {
  std::set<std::string> met;
  for (const std::string& file : all_files())
    if ((file.starts_with("tests/") || file.starts_with("samples/") ||
         file.starts_with("stdlib/")) &&
        (file.ends_with(".vmasm") || file.ends_with(".cli")))
      add_expected(file, met);
  CHECK(met.size() > 10);
  // What no program can show (launches, files, bytecode) is met by a unit test.
  std::vector<std::string> sources;
  for (const std::string& file : all_files())
    if (file.starts_with("tests/") && !file.starts_with("tests/arch/") && file.ends_with(".cpp"))
      sources.push_back(read(file));
  for (const DiagInfo& info : all_diags())
    for (const std::string& text : sources)
      if (mentions(text, info)) met.insert(diag_id(info.code));
  for (const DiagInfo& info : all_diags())
    CHECK_MESSAGE(met.count(diag_id(info.code)), diag_id(info.code)
                                                     << " (" << info.name << ") is met by no test");
}

TEST_CASE("every code is explained in whole sentences") {
  std::set<std::string_view> names;
  for (const DiagInfo& info : all_diags()) {
    CHECK_MESSAGE(names.insert(info.name).second, info.name << " names two codes");
    CHECK_MESSAGE(info.explanation.size() > 25, info.name << " is hardly explained");
    CHECK_MESSAGE(info.explanation.ends_with('.'),
                  info.name << ": the explanation ends without a full stop");
    CHECK_MESSAGE(!info.summary.ends_with('.'), info.name << ": the summary ends with a full stop");
  }
}
