#include "vm/cli/test_plan.h"

#include <fmt/format.h>

#include "isa/diag/jit.h"

namespace tess::cli {

std::string Schedule::text() const {
  if (only) return {};
  return seed ? fmt::format(", {} {}", async, seed) : fmt::format(", {}", async);
}

std::vector<Schedule> schedules_of(const Module* module, const TestCase& test,
                                   const EngineChoice& engine) {
  std::vector<std::string> ways = test.async;
  uint64_t seeds = 4;
  if (ways.empty()) {
    bool concurrent = false, pipelined = false;
    if (module)
      for (const Kernel& k : module->kernels)
        for (const Inst& inst : k.code) {
          concurrent |= is_concurrent(inst.op);
          pipelined |= engine.compiles() && k.has(inst, AttrTag::pipeline);
        }
    if (!concurrent && !pipelined) return {{"early", test.seed, true}};
    ways = {"early", "late", "random"};
    if (!concurrent) seeds = 1;
  }
  std::vector<Schedule> out;
  for (const std::string& way : ways) {
    if (way == "early") out.push_back({"early", test.seed, false});
    if (way == "late") out.push_back({"late", test.seed, false});
    for (uint64_t seed = 1; way == "random" && seed <= seeds; ++seed)
      out.push_back({"random", test.seed + seed, false});
  }
  return out;
}

std::string refusal(const Module* module, const TestCase& test, const EngineChoice& engine) {
  if (!engine.compiles()) return {};
  if (!module || engine.arch.empty() || engine.arch == "sm_90a") return test.refused;
  for (const Kernel& k : module->kernels) {
    if (!test.kernel.empty() && k.name != test.kernel) continue;
    bool newer = k.cluster > 1;
    for (const Inst& inst : k.code) newer |= op_info(inst.op).arch == Arch::sm_90a;
    return newer ? diag_id(diag::arch_lacks) : test.refused;
  }
  return test.refused;
}

}  // namespace tess::cli
