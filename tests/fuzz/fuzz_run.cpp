// Programs run under limits through the C interface: text or bytecode, every kernel, arguments made
// from its signature. Whatever happens is an error object, never a crash, and it ends.
#include <cstdint>
#include <string>
#include <vector>

#include "vm/api/tess.hpp"

using namespace tess::api;

namespace {

void run_kernel(const Kernel& kernel) {
  tess_run_config config{};
  config.limit_steps = 2000;
  config.limit_memory_bytes = 64 << 20;
  config.limit_milliseconds = 500;
  auto run = kernel.run(config);
  if (!run) return;
  for (size_t i = 0; i < kernel.param_count(); ++i)
    if (tess_param p = kernel.param(i); p.kind == TESS_PARAM_SCALAR)
      (void)(run->set(p.name, "4") || run->set(p.name, "1"));
  std::vector<Tensor> keep;
  for (size_t i = 0; i < kernel.param_count(); ++i) {
    tess_param p = kernel.param(i);
    if (p.kind == TESS_PARAM_SCALAR) continue;
    auto shape = run->shape(p.name);
    if (!shape) return;
    int64_t elements = 1;
    for (int64_t d : *shape)
      if (d < 0 || d > (1 << 16) || (elements *= d) > (1 << 20)) return;
    auto t = Tensor::load("iota", p.dtype, *shape);
    if (!t) t = Tensor::create(p.dtype, *shape);
    if (!t || run->set(p.name, *t)) return;
    keep.push_back(std::move(*t));
  }
  if (run->start()) return;
  if (Error e = run->wait()) (void)e.text(), (void)e.json(), (void)e.trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Engine& engine = *new Engine(std::move(*Engine::create({}, 1)));
  auto module = engine.load("fuzz", std::string_view(reinterpret_cast<const char*>(data), size));
  if (!module) return (void)module.error().text(), 0;
  for (size_t i = 0; i < module->kernel_count() && i < 8; ++i)
    if (auto kernel = module->kernel(module->kernel_name(i))) run_kernel(*kernel);
  return 0;
}
