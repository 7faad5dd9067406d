// The same interface in a build without LLVM.
#include "isa/diag/jit.h"
#include "jit/nvptx/nvptx.h"

namespace tess::jit {
namespace {
Diagnostic missing() {
  return make_diag(diag::nvptx_missing, "Tessera was built without LLVM; choose nvrtc");
}
}  // namespace

bool nvptx_available() { return false; }
std::string nvptx_version() { return "no LLVM"; }
Result<std::string> print_llvm(const BlockKernel&) { return missing(); }
Result<Compiled> compile_nvptx(const BlockKernel&, const NvptxOptions&) { return missing(); }
Result<std::string> compile_llvm_text(const std::string&, int, const NvptxOptions&) {
  return missing();
}

}  // namespace tess::jit
