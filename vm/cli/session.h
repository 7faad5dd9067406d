// One program prepared and run through the C++ interface: what `run`, `trace` and `test` share.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vm/api/tess.hpp"
#include "vm/cli/console.h"

namespace tess::cli {

// NAME=VALUE options.
using Pairs = std::vector<std::pair<std::string, std::string>>;
Result<Pairs> parse_pairs(const std::vector<std::string>& options, std::string_view option);

// A program loaded and its kernel found; what went wrong is reported already.
struct OpenedKernel {
  api::Engine engine;
  api::Module module;
  api::Kernel kernel;
  int exit_code = kOk;  // not 0: there is no kernel
};
OpenedKernel open_kernel(const RunOptions& o, const Console& console);
// An engine as `--on` and `//; on:` spell it: "sim", "sim:nvptx", "cuda:nvrtc:sm_90a".
struct EngineChoice {
  std::string text, engine, jit, arch;
  bool compiles() const { return engine == "sim" || engine == "cuda"; }
  // This must outlive the configuration.
  void write(tess_run_config& config) const;
};
EngineChoice parse_engine(std::string_view text);

// The run's limits and seed as the options ask. `o` must outlive the configuration.
tess_run_config config_of(const RunOptions& o);
// --on, --naive, --jit and --arch together.
EngineChoice engine_of(const RunOptions& o);
int report_error(api::Error error, const Console& console);

// What a kernel is given.
struct Arguments {
  Pairs scalars;  // name, literal
  Pairs inputs;   // name, SRC; for a list parameter once per tensor
  uint64_t seed = 0;
};

// The arguments put into a run. Outputs are made here: `tensors` holds every tensor by its
// parameter's name. A file bound to an `inout` is copied, never written.
struct Prepared {
  api::Run run;
  std::map<std::string, std::vector<api::Tensor>> tensors;
};
// Scalars first; then sizes that follow from the shapes of input files; then every tensor.
api::Value<Prepared> prepare(const api::Kernel& kernel, const Arguments& arguments,
                             const tess_run_config& config);

// Starts and waits; Ctrl-C interrupts the run. `tick`, if given, is called about ten times a
// second.
api::Error start_and_wait(api::Run& run, const std::function<void()>& tick = {});

}  // namespace tess::cli
