// What the command line asks of the compiler: the tile program it makes, and why. Text comes back
// ready to print. Pure and thread-safe; errors are values.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isa/verify.h"

namespace tess::jit {

// The kernel, alone, after the tile passes: every layout, conversion and shared tile is in the
// program. `arch`: sm_80, sm_89 or sm_90a; E0800 for another.
Result<Module> tile_program(const VerifiedModule& module, size_t kernel, std::string_view arch);

// `tess check -v`: layouts, conversions, vector widths, bank conflicts, shared memory.
Result<std::string> compiler_report(const VerifiedModule& module, size_t kernel,
                                    std::string_view arch);

// `tess explain --why FILE:LINE[:COL]`: each decision taken for the instructions of that place (col
// 0: of the line), what forced it and what the alternative would have cost. Empty if there are
// none.
struct ProgramPlace {
  uint32_t file = 0;  // in Module::files
  uint32_t line = 0, col = 0;
};
Result<std::string> explain_why(const VerifiedModule& module, size_t kernel, std::string_view arch,
                                ProgramPlace place);

// `tess emit` (jit/emit_tool.cpp): what the compiler makes of a kernel on its way to machine code.
struct EmitRequest {
  std::string target;         // tile, block, cuda, llvm, ptx, cubin
  std::string after;          // instead: as a step left it, one of emit_steps()
  std::string backend, arch;  // empty: the first that is there; sm_90a
  int level = 0;
  bool guard = false;
  bool aligned = true;    // as for the friendliest arguments; else nothing is taken for granted
  std::string cuda_root;  // where ptxas may be; empty: the usual folders
  // Text of an instruction, for the comments of generated code.
  std::function<std::string(const Module&, const Kernel&, const Inst&)> describe;
};
struct Emitted {
  std::optional<Module> module;                              // of tile programs
  std::string bytes;                                         // of everything else
  std::vector<std::pair<std::string, double>> milliseconds;  // by step
};
Result<Emitted> emit(const VerifiedModule& module, size_t kernel, const EmitRequest& request);
std::vector<std::string> emit_steps();

// What compiling and running kernels needs, for `tess doctor`.
struct ToolState {
  std::string what, found, fix;  // fix: empty if it is there
};
std::vector<ToolState> tool_states(std::string_view cuda_root);

}  // namespace tess::jit
