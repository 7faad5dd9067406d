// The engines that can run a kernel, one row each.
#pragma once
#include <string>
#include <string_view>

#include "vm/api/run_state.h"

namespace tess::api {

struct EngineRow {
  std::string_view name;
  // Reads what the configuration says about this engine into the run.
  Status (*configure)(tess_run& run);
  RunOutcome (*launch)(tess_run& run, const BoundLaunch& bound);
};
// Null if there is none of that name.
const EngineRow* find_engine(std::string_view name);
std::string engine_names();  // "interp, interp-naive, ..."

}  // namespace tess::api
