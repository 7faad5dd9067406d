// Runs kernels given as text through layout inference, the lowering and a back end on the PTX
// simulator, and compares with the interpreter.
#pragma once
#include <string>
#include <vector>

#include "jit/launch.h"
#include "tests/unit/interp_harness.h"

namespace tess::test {

struct LoweredOptions {
  int arch = 80;
  std::optional<jit::Backend> backend;  // none: by turns
  bool guard = false;
  double ulp = 0;  // distance allowed in floats; 0: bit for bit, NaN as NaN
  // Sums: |difference| <= relative * largest magnitude of the output. 0: not used.
  double relative = 0;
};
// Runs kernel 0; "" or what went wrong.
std::string run_lowered(const VerifiedModule& m, const std::vector<Arg>& args,
                        const LoweredOptions& options = {});
// Both engines on copies of the arguments; every tensor must come out equal. "" or the difference.
std::string differs(const std::string& text, const std::vector<Arg>& args,
                    const LoweredOptions& options = {});
// Compiled to machine code by NVRTC, assembler and all; "" also where there is none.
std::string assembles(const std::string& text, int arch);
// Where two tensors differ, as text; "" nowhere.
std::string difference(const HostTensor& got, const HostTensor& want,
                       const LoweredOptions& options);
// Distance of two floats in units of the last place of the larger type step; 0 for two NaN.
double ulp_distance(DType t, uint64_t a, uint64_t b);

}  // namespace tess::test
