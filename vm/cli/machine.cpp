#include "vm/cli/machine.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace tess::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string cuda_root() {
  std::string home = variable("CUDA_HOME");
  return home.empty() ? variable("CUDA_PATH") : home;
}

std::string temporary_folder() {
  std::string folder = variable("TMPDIR");
  return folder.empty() ? "/tmp" : folder;
}

std::string find_program(const std::string& name) {
  std::string places = variable("PATH");
  std::string root = cuda_root();
  places += ":" + (root.empty() ? "/usr/local/cuda" : root) + "/bin";
  std::string_view rest = places;
  while (!rest.empty()) {
    size_t n = std::min(rest.find(':'), rest.size());
    std::string path = std::string(rest.substr(0, n)) + "/" + name;
    // A quote in the path would end the shell's word.
    if (n > 0 && path.find('\'') == std::string::npos && access(path.c_str(), X_OK) == 0)
      return path;
    rest.remove_prefix(std::min(n + 1, rest.size()));
  }
  return {};
}

}  // namespace tess::cli
