// The tree against the rules of who may include whom (the top README has the picture).
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/arch/tree.h"

using namespace tess::arch;

namespace {

struct Rule {
  std::string_view folder;                // the longest matching prefix decides
  std::vector<std::string_view> may_use;  // prefixes of quoted includes
};
// A folder may always include itself.
const std::vector<Rule> kRules = {
    {"isa/", {}},
    {"frontends/", {"isa/"}},
    {"vm/data/", {"isa/"}},
    {"vm/interp/", {"isa/"}},
    {"vm/graph/", {"isa/", "vm/interp/interp.h", "jit/driver.h"}},
    {"vm/api/",
     {"isa/", "frontends/", "vm/data/", "vm/interp/interp.h", "vm/graph/", "jit/driver.h",
      "jit/launch.h"}},
    {"vm/cli/",
     {"isa/", "frontends/", "vm/data/", "vm/api/", "vm/graph/graph_tool.h", "jit/jit_tool.h",
      "jit/ptxsim/sim_tool.h"}},
    {"vm/repl/",
     {"isa/", "frontends/", "vm/data/", "vm/api/", "vm/graph/graph_tool.h", "jit/jit_tool.h"}},
    {"jit/", {"isa/", "jit/"}},
    {"jit/ptxsim/", {"isa/", "jit/driver.h"}},
    {"jit/block_ir/", {"isa/"}},
    {"jit/cubin/", {"isa/", "jit/compiled.h"}},
    {"jit/cuda/", {"isa/", "jit/block_ir/", "jit/compiled.h"}},
    {"jit/nvptx/", {"isa/", "jit/block_ir/", "jit/compiled.h"}},
    {"tests/", {"isa/", "frontends/", "vm/", "jit/", "tests/"}},
    {"samples/", {"vm/api/tess.h", "vm/api/tess.hpp"}},
};

// Libraries that only some files may include. A pattern ends with '/' for a folder or names a
// file's start.
struct LibraryRule {
  std::string_view header;  // prefix of <...>
  std::vector<std::string_view> only;
};
const std::vector<LibraryRule> kLibraries = {
    {"llvm/", {"jit/nvptx/", "tests/"}},
    {"llvm-c/", {"jit/nvptx/", "tests/"}},
    {"cuda.h", {"jit/driver_cuda."}},
    {"nvrtc.h", {"jit/cuda/"}},
    {"CLI/", {"vm/cli/options.cpp"}},
    {"nlohmann/", {"vm/data/", "tests/"}},
    {"tbb/", {"vm/interp/parallel", "tests/"}},
    {"oneapi/", {"vm/interp/parallel", "tests/"}},
    {"hwy/", {"vm/interp/", "tests/"}},
    {"zlib.h", {"vm/data/", "tests/"}},
    {"xxhash.h", {"jit/", "tests/"}},
    {"doctest/", {"tests/"}},
    {"rapidcheck", {"tests/"}},
    {"benchmark/", {"tests/"}},
};
// Slow to compile; a header that includes one makes everybody pay.
const std::set<std::string_view> kNotInHeaders = {"iostream",     "regex",      "filesystem",
                                                  "fmt/format.h", "fmt/core.h", "fmt/ranges.h"};

struct Include {
  std::string name;
  bool quoted;
};
std::vector<Include> includes_of(std::string_view text) {
  std::vector<Include> out;
  for (std::string_view line : lines_of(text)) {
    size_t hash = line.find_first_not_of(" \t");
    if (hash == std::string_view::npos || line[hash] != '#') continue;
    size_t word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string_view::npos || !line.substr(word).starts_with("include")) continue;
    size_t open = line.find_first_of("\"<", word + 7);
    if (open == std::string_view::npos) continue;
    size_t close = line.find(line[open] == '<' ? '>' : '"', open + 1);
    if (close == std::string_view::npos) continue;
    out.push_back({std::string(line.substr(open + 1, close - open - 1)), line[open] == '"'});
  }
  return out;
}

const Rule* rule_of(std::string_view file) {
  const Rule* best = nullptr;
  for (const Rule& r : kRules)
    if (file.starts_with(r.folder) && (!best || r.folder.size() > best->folder.size())) best = &r;
  return best;
}

// Why the include is forbidden, or empty.
std::string forbidden(std::string_view file, const Include& include) {
  for (const LibraryRule& l : kLibraries) {
    if (!include.name.starts_with(l.header)) continue;
    for (std::string_view only : l.only)
      if (file.starts_with(only)) return {};
    return "only certain files may include " + std::string(l.header);
  }
  bool header = file.ends_with(".h") || file.ends_with(".hpp");
  if (header && kNotInHeaders.count(include.name) && !file.starts_with("tests/"))
    return "not in a header";
  if (!include.quoted) return {};
  const Rule* rule = rule_of(file);
  if (!rule) return "the folder has no rule";
  if (include.name.find('/') == std::string::npos && file.starts_with("tests/")) return {};
  if (include.name.find('/') == std::string::npos) return "include paths begin at the root";
  if (include.name.starts_with(rule->folder)) return {};
  for (std::string_view prefix : rule->may_use)
    if (include.name.starts_with(prefix)) return {};
  return std::string(rule->folder) + " may not use it";
}

bool is_source(std::string_view f) {
  return f.ends_with(".h") || f.ends_with(".hpp") || f.ends_with(".cpp") || f.ends_with(".c") ||
         f.ends_with(".cc");
}

std::string_view top_of(std::string_view file) { return file.substr(0, file.find('/')); }

}  // namespace

TEST_CASE("the rules find forbidden edges and let the others be") {
  CHECK(forbidden("isa/verify.cpp", {"isa/diag.h", true}).empty());
  CHECK(forbidden("isa/verify.cpp", {"vector", false}).empty());
  CHECK_FALSE(forbidden("isa/verify.cpp", {"vm/data/tensor.h", true}).empty());
  CHECK_FALSE(forbidden("frontends/vmasm/lower.cpp", {"vm/interp/interp.h", true}).empty());
  CHECK_FALSE(forbidden("vm/cli/cmd_run.cpp", {"vm/interp/interp.h", true}).empty());
  CHECK_FALSE(forbidden("vm/api/run.cpp", {"vm/interp/program.h", true}).empty());
  CHECK(forbidden("vm/api/run.cpp", {"vm/interp/interp.h", true}).empty());
  CHECK_FALSE(forbidden("jit/ptxsim/run.cpp", {"jit/block_ir.h", true}).empty());
  CHECK(forbidden("jit/ptxsim/run.cpp", {"jit/driver.h", true}).empty());
  CHECK_FALSE(forbidden("jit/cuda/print.cpp", {"llvm/IR/Module.h", false}).empty());
  CHECK_FALSE(forbidden("vm/interp/interp.h", {"fmt/format.h", false}).empty());
  CHECK_FALSE(forbidden("vm/cli/main.cpp", {"CLI/CLI.hpp", false}).empty());
  CHECK_FALSE(forbidden("isa/verify.cpp", {"diag.h", true}).empty());
  CHECK_FALSE(forbidden("elsewhere/x.cpp", {"isa/diag.h", true}).empty());
  CHECK(
      includes_of("  #  include <a/b.h> // x\n// #include \"c.h\"\n#include \"d/e.h\"\n").size() ==
      2);
}

TEST_CASE("nobody includes what they may not") {
  int files = 0, edges = 0;
  for (const std::string& file : all_files()) {
    if (!is_source(file)) continue;
    ++files;
    for (const Include& include : includes_of(read(file))) {
      ++edges;
      std::string why = forbidden(file, include);
      CHECK_MESSAGE(why.empty(), file << " includes " << include.name << ": " << why);
    }
  }
  CHECK(files > 50);
  CHECK(edges > 200);
}

TEST_CASE("CLI11 and JSON are compiled where they must be, once each library") {
  std::map<std::string_view, std::set<std::string>> users;
  for (const std::string& file : all_files()) {
    if (!is_source(file) || file.starts_with("tests/")) continue;
    for (const Include& include : includes_of(read(file))) {
      if (include.name.starts_with("CLI/")) users["CLI11"].insert(file);
      if (include.name.starts_with("nlohmann/")) users["nlohmann"].insert(file);
    }
  }
  CHECK(users["CLI11"] == std::set<std::string>{"vm/cli/options.cpp"});
  CHECK(users["nlohmann"].size() <= 1);
}

TEST_CASE("every folder says what it is for") {
  std::set<std::string> folders, described;
  for (const std::string& file : all_files()) {
    size_t slash = file.rfind('/');
    if (slash == std::string::npos) continue;
    std::string folder = file.substr(0, slash);
    std::string_view top = top_of(file);
    if (top != "isa" && top != "frontends" && top != "vm" && top != "jit" && top != "stdlib" &&
        top != "samples" && top != "tests")
      continue;
    if (file.ends_with("README.md")) described.insert(folder);
    // A test's own folders are described by the page of the tests that use them.
    if (top == "tests" && std::count(folder.begin(), folder.end(), '/') > 1)
      folder.resize(folder.find('/', 6));
    for (std::string f = folder; !f.empty();
         f = f.find('/') == std::string::npos ? "" : f.substr(0, f.rfind('/')))
      folders.insert(f);
  }
  CHECK(folders.size() > 5);
  for (const std::string& folder : folders)
    CHECK_MESSAGE(described.count(folder), folder << " has no README.md");
}

TEST_CASE("the text speaks of the project alone") {
  for (const std::string& file : all_files()) {
    if (!is_source(file) && !file.ends_with(".md") && !file.ends_with(".def") &&
        !file.ends_with(".build") && !file.ends_with(".vmasm") && !file.ends_with(".py") &&
        file != "dev")
      continue;
    if (file == "tests/arch/includes_test.cpp") continue;
    std::string text = read(file);
    for (std::string_view path : {"/work/", "/tmp/", "/root/", "/home/"})
      CHECK_MESSAGE(text.find(path) == std::string::npos, file << " mentions " << path);
  }
}
