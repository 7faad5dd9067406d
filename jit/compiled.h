// What a back end gives for a block kernel. Plain data.
#pragma once
#include <string>

namespace tess::jit {

struct Compiled {
  std::string image;     // PTX text, or a cubin
  std::string entry;     // name of the kernel in it
  std::string compiler;  // "NVRTC 13.0", "LLVM 19.1.7"
  double seconds = 0;    // from the block kernel to the image
};

// "sm_90a" for 901.
inline std::string arch_name(int arch) {
  return arch == 901 ? "sm_90a" : "sm_" + std::to_string(arch);
}

}  // namespace tess::jit
