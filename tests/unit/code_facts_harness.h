// Kernels of samples and stdlib as machine code: compiled for the friendliest arguments, assembled
// by ptxas, read back instruction by instruction.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jit/compile.h"
#include "jit/cubin/ptxas.h"
#include "jit/cubin/sass.h"
#include "tests/unit/ptxas_there.h"

namespace tess::test {

using Constants = std::vector<std::pair<std::string, std::string>>;  // of -D

struct Program {
  std::string file, kernel;  // "stdlib/matmul.vmasm"
  Constants constants;
};
// "T=f16 BK=64" and back.
Constants parse_constants(std::string_view text);
std::string print_constants(const Constants& c);
std::string print_program(const Program& p);

// Every kernel of samples and stdlib, with its file's defaults and, if `directives`, with the
// constants of each of its golden tests.
std::vector<Program> all_programs(bool directives);

struct MachineCode {
  jit::KernelUse use;
  int64_t shared = 0;  // static and dynamic
  jit::SassKernel sass;
  std::string ptx, log;
};
// Errors: those of the compiler; ptxas's own words.
Result<MachineCode> machine_code(const Program& p, int arch, jit::Backend backend);
Result<MachineCode> machine_code(const VerifiedModule& m, size_t kernel, int arch,
                                 jit::Backend backend);

bool nvrtc_there();

// Accesses of global memory in machine code that move fewer than 16 bytes a thread.
int narrow_accesses(const jit::SassKernel& k);
int spills(const MachineCode& c);
// The innermost loop with the most instructions of this name, as counts.
struct LoopCode {
  int all = 0, hmma = 0, ldsm = 0, ldsm_x4 = 0, ldgsts = 0, ldgsts_16 = 0, convert = 0, local = 0,
      hgmma = 0, tma = 0;
  int other() const { return all - hmma - ldsm - ldgsts - hgmma - tma; }
};
std::optional<LoopCode> main_loop(const jit::SassKernel& k, std::string_view instruction);

}  // namespace tess::test
