// A run: what was set, how it goes, how it ended.
#pragma once
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "isa/launch.h"
#include "jit/launch.h"
#include "vm/api/objects.h"

namespace tess::api {

struct Argument {
  std::optional<uint64_t> scalar;
  std::vector<HostTensor> tensors;
  bool given = false;
};

enum class Stage { setting, running, ended };

// How a launch ended, on any engine.
struct RunOutcome {
  std::optional<Diagnostic> error;
  Diagnostics warnings;
  int64_t block[3] = {};  // where it failed
  uint32_t strand = 0, instruction = 0;
  tess_stats stats{};
};

struct EngineRow;

}  // namespace tess::api

struct tess_run {
  std::shared_ptr<const tess::api::KernelState> kernel_state;
  tess_run_config config;
  const tess::api::EngineRow* engine = nullptr;
  int completion = 0;                          // of asynchronous operations: early, late, random
  tess::jit::RunOptions jit;                   // of the engines that compile
  std::vector<tess::api::Argument> arguments;  // by parameter

  tess::api::Stage stage = tess::api::Stage::setting;
  std::thread thread;
  std::atomic<bool> interrupt{false}, ended{true};
  tess::api::RunOutcome outcome;
  bool no_memory = false;
  std::string failed;  // an exception's text

  const tess::Kernel& kernel() const { return kernel_state->kernel(); }
  int64_t device_sms() const {
    return config.device_sms ? config.device_sms : tess::DeviceFacts{}.sms;
  }
};
