#include "tests/unit/backends_harness.h"

#include <doctest/doctest.h>

#include <cstdlib>

namespace tess::jit {

const Nvrtc* test_nvrtc() {
  static const NvrtcPtr nvrtc = [] {
    const char* root = std::getenv("CUDA_HOME");
    auto r = open_nvrtc(nvrtc_places(root ? root : ""));
    if (!r) MESSAGE("without the CUDA C++ back end: " << r.error().message);
    return r ? *r : NvrtcPtr();
  }();
  return nvrtc.get();
}

std::vector<Ptx> through_backends(const BlockKernel& k) {
  std::vector<Ptx> out;
  if (test_nvrtc()) {
    auto r = compile_cuda(*test_nvrtc(), k);
    if (r) out.push_back({"CUDA C++", *r});
    else FAIL_CHECK("CUDA C++: " << r.error().message);
  }
  if (nvptx_available()) {
    for (bool full : {false, true}) {
      auto r = compile_nvptx(k, {.full = full});
      if (r) out.push_back({full ? "LLVM, O3" : "LLVM", *r});
      else FAIL_CHECK("LLVM: " << r.error().message);
    }
  } else {
    MESSAGE("without the LLVM back end");
  }
  return out;
}

BlockKernel block_of(std::string_view text) {
  auto k = parse_block(text);
  if (!k) FAIL_CHECK(k.error().message);
  if (!k) return {};
  auto good = check_block(*k);
  if (!good) FAIL_CHECK(good.error().message << "\n" << text);
  return std::move(*k);
}

RunResult run_ptx(const Compiled& code, uint32_t grid, uint32_t threads, uint32_t shared,
                  std::vector<Buffer*> buffers, std::vector<std::vector<std::byte>> scalars) {
  RunResult out;
  ptxsim::Simulator s;
  s.options.threads = 1;
  Driver driver = ptxsim::simulator_driver(s);
  auto failed = [&](const auto& result) {
    if (!result && out.problem.empty()) out.problem = result.error().message;
    return !result;
  };
  auto module = s.load(code.image, "kernel.ptx");
  if (failed(module)) return out;
  std::vector<std::vector<std::byte>> params;
  std::vector<DevicePtr> addresses;
  for (Buffer* b : buffers) {
    auto p = driver.table->allocate(driver.self, b->bytes.size());
    if (failed(p) || failed(driver.table->copy_in(driver.self, *p, b->bytes))) return out;
    addresses.push_back(*p);
    params.push_back(scalar_bytes(*p));
  }
  params.insert(params.end(), scalars.begin(), scalars.end());
  std::vector<std::span<const std::byte>> spans(params.begin(), params.end());
  LaunchSpec spec;
  spec.module = *module;
  spec.entry = code.entry;
  spec.grid = {grid, 1, 1};
  spec.block = {threads, 1, 1};
  spec.shared_bytes = shared;
  spec.params = spans;
  auto r = s.run(spec);
  if (failed(r)) return out;
  out.findings = r->findings;
  if (!r->findings.empty()) out.problem = r->findings[0].message;
  for (size_t b = 0; b < buffers.size(); ++b)
    if (failed(driver.table->copy_out(driver.self, buffers[b]->bytes, addresses[b]))) return out;
  return out;
}

}  // namespace tess::jit
