// Every diagnostic code has a test that meets it.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "isa/diag.h"
#include "tests/arch/tree.h"

using namespace tess;
using namespace tess::arch;

namespace {

// Codes that a program expects: `// error: E0103 at ..`, `//; trap: T0821 ..`, `!
// ...error[E0900]...`.
void add_expected(const std::string& file, std::set<std::string>& into) {
  for (std::string_view line : lines_of(read(file))) {
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

// tests/bad/covered_elsewhere.txt: `CODE file`, one per line; # begins a comment.
struct Elsewhere {
  std::string id, file;
};
std::vector<Elsewhere> covered_elsewhere() {
  std::vector<Elsewhere> out;
  std::string text = read("tests/bad/covered_elsewhere.txt");
  for (std::string_view line : lines_of(text)) {
    if (line.empty() || line[0] == '#') continue;
    size_t space = line.find(' ');
    REQUIRE_MESSAGE(space != std::string_view::npos, "not `CODE file`: " << line);
    out.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
  }
  return out;
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
  for (const Elsewhere& e : covered_elsewhere()) {
    const DiagInfo* info = find_diag(e.id);
    REQUIRE_MESSAGE(info, e.id << " is no code");
    std::string text = read(e.file);
    bool mentioned =
        text.find(std::string("diag::") + std::string(info->name)) != std::string::npos ||
        text.find(e.id) != std::string::npos;
    CHECK_MESSAGE(mentioned, e.file << " does not mention " << e.id << " (" << info->name << ")");
    CHECK_MESSAGE(!met.count(e.id), e.id << " has a program of its own; take it off the list");
    met.insert(e.id);
  }
  for (const DiagInfo& info : all_diags())
    CHECK_MESSAGE(met.count(diag_id(info.code)), diag_id(info.code)
                                                     << " (" << info.name << ") is met by no test");
}

TEST_CASE("every code is explained in whole sentences") {
  std::set<std::string_view> names;
  for (const DiagInfo& info : all_diags()) {
    CHECK_MESSAGE(names.insert(info.name).second, info.name << " names two codes");
    CHECK_MESSAGE(info.explanation.size() > 40, info.name << " is hardly explained");
    CHECK_MESSAGE(info.explanation.ends_with('.'),
                  info.name << ": the explanation ends without a full stop");
    CHECK_MESSAGE(!info.summary.ends_with('.'), info.name << ": the summary ends with a full stop");
  }
}
