#include "jit/launch.h"

#include <fmt/format.h>

#include <chrono>

#include "isa/diag/tool.h"
#include "jit/arguments.h"
#include "jit/driver_cuda.h"
#include "jit/sim_device.h"

namespace tess::jit {
namespace {

// The GPU and what is loaded on it.
struct Gpu {
  std::mutex mutex;
  std::optional<Driver> driver;
  DeviceInfo info;
  std::map<std::shared_ptr<const CompiledKernel>, ModuleId> loaded;
  TensorMapCache maps;

  Status open() {
    if (driver) return ok();
    TESS_TRY(Driver opened, open_cuda_driver());
    driver = opened;
    TESS_TRY(info, opened.table->device(opened.self));
    return ok();
  }
  // After a fault nothing on the device can be used again.
  void close() {
    if (driver) driver->table->close(driver->self);
    driver.reset();
    loaded.clear();
    maps = {};
  }
  ~Gpu() { close(); }

  Result<ModuleId> load(const std::shared_ptr<const CompiledKernel>& kernel) {
    auto found = loaded.find(kernel);
    if (found != loaded.end()) return found->second;
    TESS_TRY(ModuleId id, driver->table->load_module(driver->self, kernel->machine.image,
                                                     kernel->lowered.block.name));
    loaded[kernel] = id;
    return id;
  }
};

// The newest architecture that kernels are compiled for and the device runs.
int arch_of_device(int sm) { return sm == 90 ? 901 : sm >= 89 ? 89 : 80; }

}  // namespace

struct Jit {
  const Toolchain& tools;
  CompileCache cache;
  Gpu gpu;
  std::mutex kept_mutex;
  std::map<std::pair<std::string, size_t>, KeptWorkspaces> kept;  // by module content and kernel
  explicit Jit(const Toolchain& t) : tools(t) {}
};

std::shared_ptr<Jit> make_jit(const Toolchain& tools) { return std::make_shared<Jit>(tools); }
size_t compiled_kernels(const Jit& jit) { return jit.cache.size(); }

Result<int64_t> device_sms(Jit& jit, DeviceKind device) {
  if (device == DeviceKind::sim) return DeviceFacts{}.sms;
  std::lock_guard lock(jit.gpu.mutex);
  TESS_CHECK(jit.gpu.open());
  return int64_t{jit.gpu.info.sm_count};
}

namespace {

Result<CompileOptions> compile_options(Jit& jit, const Kernel& kernel, const BoundLaunch& launch,
                                       const RunOptions& o) {
  CompileOptions c;
  if (o.backend) {
    c.target.backend = *o.backend;
  } else {
    TESS_TRY(c.target.backend, choose_backend(jit.tools));
  }
  if (o.arch) {
    c.target.arch = *o.arch;
  } else if (o.device == DeviceKind::cuda) {
    std::lock_guard lock(jit.gpu.mutex);
    TESS_CHECK(jit.gpu.open());
    c.target.arch = arch_of_device(jit.gpu.info.sm);
  }
  c.target.level = o.level;
  c.guard = o.guard;
  c.report_out_of_bounds = o.guard && o.report_out_of_bounds;
  c.facts = facts_of(kernel, launch);
  c.describe = o.describe;
  return c;
}

Status run_on_gpu(Jit& jit, const std::shared_ptr<const CompiledKernel>& compiled,
                  const Module& module, const Kernel& kernel, const BoundLaunch& launch,
                  const RunOptions& options, KeptWorkspaces& kept, LaunchOutcome& out) {
  std::lock_guard lock(jit.gpu.mutex);
  TESS_CHECK(jit.gpu.open());
  TESS_TRY(ModuleId loaded, jit.gpu.load(compiled));
  Status done = launch_on(*jit.gpu.driver, loaded, *compiled, module, kernel, launch, options, kept,
                          jit.gpu.maps, true, out);
  if (!done) jit.gpu.close();
  return done;
}

bool keeps_something(const Kernel& kernel) {
  return std::any_of(kernel.params.begin(), kernel.params.end(),
                     [](const Param& p) { return p.dir == Direction::workspace && p.kept; });
}

}  // namespace

LaunchOutcome launch_kernel(Jit& jit, const ModuleKey& key, const VerifiedModule& module,
                            size_t kernel, const BoundLaunch& launch, const RunOptions& options) {
  LaunchOutcome out;
  const Kernel& k = module.kernel(kernel);
  auto start = std::chrono::steady_clock::now();
  auto compile = [&]() -> Result<CompileCache::Found> {
    TESS_TRY(CompileOptions c, compile_options(jit, k, launch, options));
    return jit.cache.get(jit.tools, key, module, kernel, std::move(c));
  };
  Result<CompileCache::Found> found = compile();
  out.compile_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!found) {
    out.error = std::move(found).error();
    return out;
  }
  out.cached = found->hit;
  out.blocks = launch.grid[0] * launch.grid[1] * launch.grid[2];
  if (out.blocks == 0) return out;

  KeptWorkspaces kept;
  std::pair<std::string, size_t> kept_key;
  bool keeps = keeps_something(k);
  if (keeps) {
    kept_key = {*key.content, kernel};
    std::lock_guard lock(jit.kept_mutex);
    kept = jit.kept[kept_key];
  }
  if (options.device == DeviceKind::sim) {
    run_on_simulator(*found->kernel, module.module(), k, launch, options, kept, out);
  } else if (Status done =
                 run_on_gpu(jit, found->kernel, module.module(), k, launch, options, kept, out);
             !done) {
    out.error = std::move(done).error();
  }
  if (keeps && !out.error) {
    std::lock_guard lock(jit.kept_mutex);
    jit.kept[kept_key] = std::move(kept);
  }
  return out;
}

}  // namespace tess::jit
