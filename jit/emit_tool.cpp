#include <fmt/format.h>

#include "isa/diag/tool.h"
#include "jit/arguments.h"
#include "jit/compile.h"
#include "jit/cubin/ptxas.h"
#include "jit/cuda/nvrtc.h"
#include "jit/driver_cuda.h"
#include "jit/jit_tool.h"
#include "jit/nvptx/nvptx.h"

namespace tess::jit {
namespace {

constexpr std::string_view kFirstStep = "specialise", kLastStep = "lower";

Result<CompileOptions> options_of(const Toolchain& tools, const Kernel& kernel,
                                  const EmitRequest& r) {
  CompileOptions o;
  if (!r.arch.empty()) {
    std::optional<int> arch = find_arch(r.arch);
    if (!arch)
      return make_diag(diag::arch_unknown, fmt::format("kernels are not compiled for `{}`", r.arch),
                       {}, "sm_80, sm_89, sm_90a");
    o.target.arch = *arch;
  }
  // A target that belongs to one back end chooses it.
  std::optional<Backend> backend = find_backend(r.backend);
  for (const BackendRow& row : tools.backends)
    if (!backend && r.backend.empty() && row.source_name == r.target) backend = row.id;
  if (!backend && !r.backend.empty())
    return make_diag(diag::jit_unknown, fmt::format("there is no back end `{}`", r.backend), {},
                     "nvrtc, nvptx");
  bool compiles = r.after.empty() && (r.target == "ptx" || r.target == "cubin");
  if (backend) {
    o.target.backend = *backend;
  } else if (compiles) {
    TESS_TRY(o.target.backend, choose_backend(tools));
  }
  o.target.level = r.level;
  o.guard = r.guard;
  if (r.aligned) o.facts = aligned_facts(kernel);
  o.describe = r.describe;
  return o;
}

Result<std::string> cubin_of(const Compiled& compiled, int arch, std::string_view cuda_root) {
  if (compiled.image.starts_with("\x7f"
                                 "ELF"))
    return compiled.image;
  PtxasOptions o;
  TESS_TRY(o.path, find_ptxas(ptxas_places(cuda_root)));
  o.arch = arch;
  TESS_TRY(Assembled assembled, assemble_ptx(compiled.image, o));
  return std::move(assembled.cubin);
}

}  // namespace

std::vector<std::string> emit_steps() {
  std::vector<std::string> out{std::string(kFirstStep)};
  for (const TilePass& pass : default_toolchain().passes) out.emplace_back(pass.name);
  out.emplace_back(kLastStep);
  return out;
}

Result<Emitted> emit(const VerifiedModule& module, size_t kernel, const EmitRequest& r) {
  const Toolchain& tools = default_toolchain();
  TESS_TRY(CompileOptions o, options_of(tools, module.kernel(kernel), r));
  Emitted out;
  std::vector<StageTime> times;
  auto finish = [&]() -> Result<Emitted> {
    for (const StageTime& t : times) out.milliseconds.emplace_back(t.stage, t.milliseconds);
    return std::move(out);
  };
  bool tile = r.after.empty() ? r.target == "tile" : r.after != kLastStep;
  if (tile) {
    TESS_TRY(TileStage stage, run_tile_passes(tools, module, kernel, o, r.after, times));
    out.module = stage.module.module();
    return finish();
  }
  if (!r.after.empty()) {  // as it is, so that what the check refuses can be seen
    TESS_TRY(Lowered unchecked, lower_to_block(tools, module, kernel, o, times));
    out.bytes = print_block(unchecked.block);
    return finish();
  }
  TESS_TRY(Lowered lowered, compile_to_block(tools, module, kernel, o, times));
  if (r.target == "block") {
    out.bytes = print_block(lowered.block);
    return finish();
  }
  const BackendRow* row = find_row(tools, o.target.backend);
  if (r.target == "cuda" || r.target == "llvm") {
    if (row->source_name != r.target)
      return make_diag(diag::bad_option, fmt::format("--target {} is not what back end {} makes",
                                                     r.target, backend_name(row->id)));
    TESS_TRY(out.bytes, row->source(lowered.block, r.level));
    return finish();
  }
  bool cubin = r.target == "cubin";
  TESS_TRY(Compiled compiled, row->compile(lowered.block, r.level, cubin));
  times.push_back({compiled.compiler, compiled.seconds * 1e3});
  out.bytes = compiled.image;
  if (cubin) {
    TESS_TRY(out.bytes, cubin_of(compiled, o.target.arch, r.cuda_root));
  }
  return finish();
}

std::vector<ToolState> tool_states(std::string_view cuda_root) {
  std::vector<ToolState> out;
  auto missing = [&](const char* what, const Diagnostic& d, const char* fix) {
    out.push_back({what, d.message, fix});
  };
  if (Result<NvrtcPtr> nvrtc = open_nvrtc(nvrtc_places(cuda_root)))
    out.push_back({"NVRTC", nvrtc_version(**nvrtc), ""});
  else
    missing(
        "NVRTC", nvrtc.error(),
        "install cuda-nvrtc-13-0 from NVIDIA's repository, or put libnvrtc.so.13 on the library "
        "path; --jit nvptx does without");
  if (nvptx_available()) out.push_back({"LLVM", nvptx_version() + ", built in", ""});
  else
    out.push_back({"LLVM", "this build has no NVPTX back end",
                   "apt-get install llvm-19-dev libzstd-dev, and build again; --jit nvrtc does "
                   "without"});
  if (Result<std::string> ptxas = find_ptxas(ptxas_places(cuda_root)))
    out.push_back({"ptxas", *ptxas, ""});
  else
    missing(
        "ptxas", ptxas.error(),
        "install cuda-nvcc-13-0 from NVIDIA's repository; only `tess emit --target cubin` after "
        "--jit nvptx needs it");
  Result<Driver> gpu = open_cuda_driver();
  if (!gpu) {
    missing("GPU", gpu.error(),
            "install NVIDIA's driver, 580 or newer, for a GPU of compute capability 8.0 or more; "
            "kernels run on the interpreter and the simulator without it");
    return out;
  }
  if (Result<DeviceInfo> info = gpu->table->device(gpu->self))
    out.push_back({"GPU",
                   fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.1f} GiB",
                               info->name, info->sm / 10, info->sm % 10, info->sm_count,
                               double(info->global_bytes) / (1 << 30)),
                   ""});
  gpu->table->close(gpu->self);
  return out;
}

}  // namespace tess::jit
