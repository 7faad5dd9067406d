// The simulator behind the launch interface of jit/driver.h. Everything runs at once, in order, on
// the calling thread and its helpers; streams are names only.
#pragma once
#include "jit/driver.h"
#include "jit/ptxsim/machine.h"

namespace tess::ptxsim {

struct SimResult {
  std::vector<Finding> findings;
  LaunchStats stats;
  std::string output;  // of printf
  uint64_t steps = 0;
  std::shared_ptr<const Program> program;
};

struct SimModule {
  std::shared_ptr<const Module> parsed;
  std::vector<uint64_t> addresses;  // of module variables; 0 if not in global or constant memory
  std::unordered_map<std::string, std::shared_ptr<const Program>> programs;
};

// The state behind the Driver; also usable directly. Not thread-safe.
class Simulator {
 public:
  LaunchOptions options;

  Result<jit::ModuleId> load(std::string_view ptx, std::string_view name);
  Status unload(jit::ModuleId id);
  Result<std::pair<jit::DevicePtr, uint64_t>> symbol(jit::ModuleId id, std::string_view name) const;
  // Parses and decodes the kernel without running it.
  Result<std::shared_ptr<const Program>> program(jit::ModuleId id, std::string_view entry);
  // Runs a kernel. An error means that it could not start; what went wrong while it ran is in the
  // result.
  Result<SimResult> run(const jit::LaunchSpec& spec);
  GlobalMemory& memory() { return memory_; }
  // Of the last launch through the Driver.
  const SimResult& last() const { return last_; }

 private:
  friend jit::Driver simulator_driver(Simulator&);
  friend struct DriverFunctions;
  GlobalMemory memory_;
  std::unordered_map<uint32_t, SimModule> modules_;
  uint32_t next_module_ = 1, next_stream_ = 1;
  SimResult last_;
};

// A Driver over a Simulator, which must outlive it; `close` does nothing. A launch fails with the
// first finding, all findings are in last().
jit::Driver simulator_driver(Simulator& s);

}  // namespace tess::ptxsim
