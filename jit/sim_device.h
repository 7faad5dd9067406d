// Kernels on the PTX simulator: one launch, or a sweep over completion modes and schedules.
#pragma once
#include "jit/arguments.h"
#include "jit/launch.h"

namespace tess::jit {

// Results go to the launch's host memory if nothing failed. Fills in all of `out` but what concerns
// compilation.
void run_on_simulator(const CompiledKernel& compiled, const Module& module, const Kernel& kernel,
                      const BoundLaunch& launch, const RunOptions& options, KeptWorkspaces& kept,
                      LaunchOutcome& out);

// One launch behind the interface, from arguments to results: what all devices share.
// `after` is called between the launch and the copy back.
Status launch_on(const Driver& driver, ModuleId loaded, const CompiledKernel& compiled,
                 const Module& module, const Kernel& kernel, const BoundLaunch& launch,
                 const RunOptions& options, KeptWorkspaces& kept, TensorMapCache& maps,
                 bool copy_back, LaunchOutcome& out,
                 const std::function<void(const DeviceArguments&)>& after = {});

}  // namespace tess::jit
