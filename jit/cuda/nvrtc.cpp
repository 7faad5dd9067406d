#include "jit/cuda/nvrtc.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <chrono>

#include "isa/diag/jit.h"
#include "jit/cuda/cuda_print.h"

namespace tess::jit {

// The part of nvrtc.h that is used; its functions have not changed since CUDA 11.
struct Nvrtc {
  using Program = void*;
  int (*version)(int*, int*) = nullptr;
  int (*create)(Program*, const char* source, const char* name, int, const char* const*,
                const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*ptx_size)(Program, size_t*) = nullptr;
  int (*ptx)(Program, char*) = nullptr;
  int (*cubin_size)(Program, size_t*) = nullptr;
  int (*cubin)(Program, char*) = nullptr;
  int (*destroy)(Program*) = nullptr;
  const char* (*error)(int) = nullptr;
};

namespace {

bool find_functions(void* library, Nvrtc& n) {
  auto find = [&](const char* name, auto& to) {
    to = reinterpret_cast<std::remove_reference_t<decltype(to)>>(dlsym(library, name));
    return to != nullptr;
  };
  return find("nvrtcVersion", n.version) && find("nvrtcCreateProgram", n.create) &&
         find("nvrtcCompileProgram", n.compile) && find("nvrtcGetProgramLogSize", n.log_size) &&
         find("nvrtcGetProgramLog", n.log) && find("nvrtcGetPTXSize", n.ptx_size) &&
         find("nvrtcGetPTX", n.ptx) && find("nvrtcGetCUBINSize", n.cubin_size) &&
         find("nvrtcGetCUBIN", n.cubin) && find("nvrtcDestroyProgram", n.destroy) &&
         find("nvrtcGetErrorString", n.error);
}

std::string text_of(Nvrtc::Program p, int (*size)(Nvrtc::Program, size_t*),
                    int (*get)(Nvrtc::Program, char*)) {
  size_t n = 0;
  std::string text;
  if (size(p, &n) == 0 && n) {
    text.resize(n);
    if (get(p, text.data()) != 0) text.clear();
  }
  return text;
}
void drop_zeros(std::string& text) {
  while (!text.empty() && text.back() == '\0') text.pop_back();
}

}  // namespace

std::vector<std::string> nvrtc_places(std::string_view cuda_root) {
  std::vector<std::string> places = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  std::vector<std::string> folders;
  if (!cuda_root.empty()) folders.push_back(std::string(cuda_root) + "/lib64");
  folders.insert(folders.end(), {"/usr/local/cuda/lib64", "/opt/cuda/lib64"});
  for (const std::string& f : folders)
    for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"})
      places.push_back(f + "/" + name);
  return places;
}

Result<NvrtcPtr> open_nvrtc(std::span<const std::string> places) {
  std::string looked;
  for (const std::string& place : places) {
    looked += (looked.empty() ? "" : ", ") + place;
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) continue;
    auto nvrtc = std::make_shared<Nvrtc>();
    if (find_functions(library, *nvrtc)) return NvrtcPtr(nvrtc);
    dlclose(library);
  }
  return make_diag(diag::nvrtc_missing, "NVRTC is not found; looked for " + looked);
}

std::string nvrtc_version(const Nvrtc& nvrtc) {
  int major = 0, minor = 0;
  nvrtc.version(&major, &minor);
  return fmt::format("NVRTC {}.{}", major, minor);
}

Result<std::string> compile_source(const Nvrtc& nvrtc, const std::string& source, int arch,
                                   const NvrtcOptions& options) {
  std::string target = arch_name(arch);
  if (!options.cubin) target.replace(0, 3, "compute_");
  std::string arch_option = "--gpu-architecture=" + target;
  const char* all[] = {arch_option.c_str(), "--std=c++17", "-fmad=false", "--generate-line-info",
                       "--no-cache",        "-w",          "--minimal"};
  Nvrtc::Program p = nullptr;
  int made = nvrtc.create(&p, source.c_str(), "tessera.cu", 0, nullptr, nullptr);
  if (made != 0) return make_diag(diag::nvrtc_failed, nvrtc.error(made));
  int rc = nvrtc.compile(p, std::size(all), all);
  Result<std::string> out = std::string();
  if (rc == 0) {
    *out = options.cubin ? text_of(p, nvrtc.cubin_size, nvrtc.cubin)
                         : text_of(p, nvrtc.ptx_size, nvrtc.ptx);
    if (!options.cubin) drop_zeros(*out);
  }
  if (rc != 0 || out->empty()) {
    std::string log = text_of(p, nvrtc.log_size, nvrtc.log);
    drop_zeros(log);
    out = make_diag(diag::nvrtc_failed, fmt::format("{}: {}", nvrtc.error(rc), log));
  }
  nvrtc.destroy(&p);
  return out;
}

Result<Compiled> compile_cuda(const Nvrtc& nvrtc, const BlockKernel& k,
                              const NvrtcOptions& options) {
  auto start = std::chrono::steady_clock::now();
  Compiled out;
  TESS_TRY(out.image,
           compile_source(nvrtc, print_cuda(k, {.line_per_statement = true}), k.arch, options));
  out.entry = entry_name(k);
  out.compiler = nvrtc_version(nvrtc);
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

}  // namespace tess::jit
