// The hand-written kernels as cases: inputs, launch, and a check of the results against double
// precision, NaN-aware. Used by the kernel tests, the mutation tests and the speed measurement.
#pragma once
#include <string>
#include <vector>

#include "jit/ptxsim/sim_driver.h"

namespace tess::ptxsim {

struct Outcome {
  bool loaded = false, wrong = false;
  std::string error;  // why it could not be loaded or launched
  std::vector<Finding> findings;
  LaunchStats stats;
  uint64_t steps = 0;
  double seconds = 0;
  bool clean() const { return loaded && !wrong && error.empty() && findings.empty(); }
};

struct KernelCase {
  const char* name;
  const char* arch;
  Outcome (*run)(std::string_view ptx, const LaunchOptions& options);
};
const std::vector<KernelCase>& kernel_cases();
// C = A B with f16, m x n x k; the speed measurement.
Outcome run_gemm(std::string_view ptx, const LaunchOptions& options, int m, int n, int k,
                 bool check);

struct PtxSource {
  std::string text;
  std::string from;  // "NVRTC 13.0" or "the committed PTX"
};
// The kernel's PTX: compiled now if NVRTC is found, else the committed text.
PtxSource kernel_ptx(const std::string& name, const char* arch);

}  // namespace tess::ptxsim
