// PTX to a cubin by the ptxas of the CUDA toolkit, as a process, and what it says of the kernel.
// Thread-safe; files go to a folder of their own below `folder` and are removed.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace tess::jit {

struct PtxasOptions {
  std::string path;             // of ptxas
  std::string folder = "/tmp";  // for temporary files
  int arch = 80;
  int level = 3;  // -O
};
// What `ptxas -v` says of one kernel; bytes.
struct KernelUse {
  std::string entry;
  uint32_t registers = 0, stack = 0, spill_stores = 0, spill_loads = 0;
  uint32_t shared = 0, barriers = 0;
};
struct Assembled {
  std::string cubin;
  std::vector<KernelUse> kernels;
  std::string log;  // warnings and advice among it
};

// Where to look, in order: `cuda_root` (may be empty), the usual folders.
std::vector<std::string> ptxas_places(std::string_view cuda_root = {});
// The first of `places` that can be executed. Errors: E1170.
Result<std::string> find_ptxas(const std::vector<std::string>& places);
// Errors: E1170 if it cannot be started, E1171 with its messages.
Result<Assembled> assemble_ptx(std::string_view ptx, const PtxasOptions& options);
// The text that `ptxas -v` writes.
std::vector<KernelUse> parse_ptxas_log(std::string_view log);

}  // namespace tess::jit
