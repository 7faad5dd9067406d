#include "tests/arch/tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tess::arch {

namespace fs = std::filesystem;

std::vector<std::string> all_files() {
  std::vector<std::string> out;
  fs::path root = TESS_SOURCE_ROOT;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator();
       ++it) {
    std::string name = it->path().filename().string();
    bool top = it.depth() == 0;
    if (name.starts_with('.') || name == "__pycache__" ||
        (top && (name.starts_with("build") || name == "shared" || name == "subprojects"))) {
      it.disable_recursion_pending();
      continue;
    }
    if (it->is_regular_file()) out.push_back(fs::relative(it->path(), root).generic_string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string read(const std::string& path) {
  std::ifstream in(fs::path(TESS_SOURCE_ROOT) / path, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    size_t n = text.find('\n');
    out.push_back(text.substr(0, n));
    text.remove_prefix(n == std::string_view::npos ? text.size() : n + 1);
  }
  return out;
}

}  // namespace tess::arch
