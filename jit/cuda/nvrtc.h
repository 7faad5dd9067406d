// NVRTC, opened when it is needed. An open Nvrtc may be used from several threads at once and stays
// open for the life of the process.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jit/block_ir/block_ir.h"
#include "jit/compiled.h"

namespace tess::jit {

struct Nvrtc;  // its functions
using NvrtcPtr = std::shared_ptr<const Nvrtc>;

// Where to look, in order: the loader's own path, `cuda_root` (may be empty), the usual folders.
std::vector<std::string> nvrtc_places(std::string_view cuda_root = {});
// The first of `places` that opens. Errors: E1160, naming every place.
Result<NvrtcPtr> open_nvrtc(std::span<const std::string> places);
std::string nvrtc_version(const Nvrtc& nvrtc);  // "NVRTC 13.0"

struct NvrtcOptions {
  bool cubin = false;  // else PTX
};
// Errors: E1161 with the log.
Result<std::string> compile_source(const Nvrtc& nvrtc, const std::string& source, int arch,
                                   const NvrtcOptions& options = {});
// Prints the kernel and compiles it. The kernel must pass check_block.
Result<Compiled> compile_cuda(const Nvrtc& nvrtc, const BlockKernel& k,
                              const NvrtcOptions& options = {});

}  // namespace tess::jit
