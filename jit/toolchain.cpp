// The product's tile passes, lowering and back ends.
#include "jit/compile.h"
#include "jit/cuda/cuda_print.h"
#include "jit/cuda/nvrtc.h"
#include "jit/nvptx/nvptx.h"
#include "jit/tile/barriers.h"
#include "jit/tile/copies.h"
#include "jit/tile/hopper.h"
#include "jit/tile/infer.h"
#include "jit/tile/pipeline.h"
#include "jit/tile/split.h"

namespace tess::jit {
namespace {

Sm sm_of(int arch) { return arch == 80 ? Sm::sm_80 : arch == 89 ? Sm::sm_89 : Sm::sm_90a; }

Result<Module> hopper(const VerifiedModule& module, size_t kernel, const CompileOptions& options) {
  return rewrite_for_hopper(module, kernel, sm_of(options.target.arch));
}

Result<Module> split(const VerifiedModule& module, size_t kernel, const CompileOptions& options) {
  return split_loops(module, kernel, sm_of(options.target.arch));
}

Result<Module> layouts(const VerifiedModule& module, size_t kernel, const CompileOptions& options) {
  TESS_TRY(Inferred inferred, infer_layouts(module, kernel, {sm_of(options.target.arch)}));
  return std::move(inferred.module);
}

Result<Module> pipeline(const VerifiedModule& module, size_t kernel,
                        const CompileOptions& options) {
  return pipeline_loops(module, kernel, shared_memory_of(sm_of(options.target.arch)));
}

Result<Module> copies(const VerifiedModule& module, size_t kernel, const CompileOptions&) {
  return copy_staged_tiles(module, kernel);
}

Result<Module> barriers(const VerifiedModule& module, size_t kernel, const CompileOptions&) {
  return place_barriers(module, kernel);
}

constexpr TilePass kPasses[] = {
    {"split", "products too deep to stage run in smaller steps", split},
    {"hopper", "on sm_90a, products of pipelined loops by wgmma, fed by a strand of TMA copies",
     hopper},
    {"layouts", "every tile gets a layout; conversions where they cannot agree", layouts},
    {"pipeline", "loads of pipelined loops run ahead through rings of shared tiles", pipeline},
    {"copies", "tiles on their way to shared memory are copied there without registers", copies},
    {"barriers", "barriers stand where threads of one strand depend on each other", barriers},
};

// --- back ends

Result<NvrtcPtr> nvrtc() { return open_nvrtc(nvrtc_places()); }

Status nvrtc_there() {
  TESS_TRY(NvrtcPtr there, nvrtc());
  return ok();
}
Result<std::string> cuda_source(const BlockKernel& k, int) { return print_cuda(k); }
Result<Compiled> by_nvrtc(const BlockKernel& k, int, bool cubin) {
  TESS_TRY(NvrtcPtr there, nvrtc());
  return compile_cuda(*there, k, {cubin});
}

Status nvptx_there() {
  if (nvptx_available()) return ok();
  return compile_nvptx({}).error();
}
Result<std::string> llvm_source(const BlockKernel& k, int) { return print_llvm(k); }
Result<Compiled> by_nvptx(const BlockKernel& k, int level, bool) {
  return compile_nvptx(k, {level >= 3});
}

constexpr BackendRow kBackends[] = {
    {Backend::nvrtc, "cuda", nvrtc_there, cuda_source, by_nvrtc},
    {Backend::nvptx, "llvm", nvptx_there, llvm_source, by_nvptx},
};

}  // namespace

const Toolchain& default_toolchain() {
  static const Toolchain tools{specialise, kPasses, lower_kernel, kBackends};
  return tools;
}

}  // namespace tess::jit
