// NVRTC by dlopen, so that the tests run with it and without it.
#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/ptxsim/kernel_cases.h"

namespace tess::ptxsim {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  std::stringstream s;
  s << f.rdbuf();
  return s.str();
}

struct Nvrtc {
  using Program = void*;
  int (*version)(int*, int*) = nullptr;
  int (*create)(Program*, const char*, const char*, int, const char* const*,
                const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*size)(Program, size_t*) = nullptr;
  int (*get)(Program, char*) = nullptr;
  int (*destroy)(Program*) = nullptr;
  bool found = false;
  Nvrtc() {
    std::vector<std::string> names = {"libnvrtc.so.13", "libnvrtc.so"};
    for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
      if (const char* root = std::getenv(variable))
        names.push_back(std::string(root) + "/lib64/libnvrtc.so.13");
    names.push_back("/usr/local/cuda/lib64/libnvrtc.so.13");
    void* h = nullptr;
    for (auto& n : names)
      if ((h = dlopen(n.c_str(), RTLD_NOW | RTLD_LOCAL))) break;
    if (!h) return;
    auto find = [&](const char* name, auto& to) {
      to = reinterpret_cast<std::remove_reference_t<decltype(to)>>(dlsym(h, name));
      return to != nullptr;
    };
    found = find("nvrtcVersion", version) && find("nvrtcCreateProgram", create) &&
            find("nvrtcCompileProgram", compile) && find("nvrtcGetPTXSize", size) &&
            find("nvrtcGetPTX", get) && find("nvrtcDestroyProgram", destroy);
  }
};

}  // namespace

PtxSource kernel_ptx(const std::string& name, const char* arch) {
  static const Nvrtc nvrtc;
  std::string folder = std::string(TESS_SOURCE_ROOT) + "/tests/ptxsim/kernels/";
  if (nvrtc.found) {
    std::string source = read_file(folder + name + ".cu"),
                option = std::string("--gpu-architecture=") + arch;
    Nvrtc::Program p = nullptr;
    const char* options[] = {option.c_str(), "--std=c++17", "-lineinfo"};
    if (nvrtc.create(&p, source.c_str(), (name + ".cu").c_str(), 0, nullptr, nullptr) == 0) {
      size_t n = 0;
      std::string text;
      if (nvrtc.compile(p, 3, options) == 0 && nvrtc.size(p, &n) == 0 && n > 1) {
        text.resize(n);
        nvrtc.get(p, text.data());
        while (!text.empty() && text.back() == '\0') text.pop_back();
      }
      nvrtc.destroy(&p);
      int major = 0, minor = 0;
      nvrtc.version(&major, &minor);
      if (!text.empty())
        return {text, "NVRTC " + std::to_string(major) + "." + std::to_string(minor)};
    }
  }
  return {read_file(folder + name + ".ptx"), "the committed PTX"};
}

}  // namespace tess::ptxsim
