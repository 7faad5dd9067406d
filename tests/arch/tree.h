// The project's source tree, for the tests that read it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tess::arch {

// Paths relative to the root, '/' between folders, sorted. Build folders and hidden files are left
// out.
std::vector<std::string> all_files();
std::string read(const std::string& path);
std::vector<std::string_view> lines_of(std::string_view text);

}  // namespace tess::arch
