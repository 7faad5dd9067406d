// How a test runs on an engine: when copies complete, and whether it must be refused.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "isa/module.h"
#include "vm/cli/session.h"
#include "vm/cli/test_file.h"

namespace tess::cli {

// When copies complete, and the seed of that.
struct Schedule {
  const char* async = "early";
  uint64_t seed = 0;
  bool only = true;  // of the test
  std::string text() const;
};
// Kernels whose copies complete later, or that have strands, run every way: one result. So do
// pipelined loops where they are compiled to such copies, with one seed for chance. `module`: null
// if the program has mistakes.
std::vector<Schedule> schedules_of(const Module* module, const TestCase& test,
                                   const EngineChoice& engine);

// The error that an engine must give instead of running the test's kernel; empty: none. It is the one
// stated, or E1101 where a row that the kernel uses, or its cluster, requires another architecture.
std::string refusal(const Module* module, const TestCase& test, const EngineChoice& engine);

}  // namespace tess::cli
