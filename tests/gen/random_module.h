// Random well-typed modules drawn from the instruction table: every row, attribute and scalar type.
// They are built through the Builder, so that they pass `verify`. The same seed and options give
// the same module on every machine. Pure; thread-safe.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "isa/launch.h"
#include "isa/module.h"

namespace tess::gen {

struct GenOptions {
  int kernels = 2;      // at most
  int statements = 14;  // draws from the table per kernel, at most
  bool places = true;   // instructions carry places in files
  // Kernels that can be run with random_args and then hold the same in every engine, bit for bit:
  // no race, no trap, no wait that is not already satisfied, every loop ends; the operands of rows
  // whose sums have a free order are small integers, rows that are only accurate to some ulp, rows
  // that need layouts, strands and asynchronous rows are left out. Results end in the `inout` parameters, of which a block
  // touches only index block.x of the first dimension.
  bool launchable = false;
};
Module random_module(uint64_t seed, const GenOptions& options = {});

// How often rows, attributes and scalar types (of values and constants) occurred.
struct Coverage {
  uint64_t modules = 0, kernels = 0, instructions = 0;
  std::array<uint64_t, kOpCount> ops{};
  std::map<AttrTag, uint64_t> attrs;
  std::map<std::string, uint64_t> types;

  void add(const Module& module);
  // The rarest row, attribute or type: "cas 51", and how often.
  std::pair<std::string, uint64_t> rarest() const;
  std::string table() const;
};

// Arguments for a launchable kernel, one per parameter that is no workspace or let. Tensors are
// row-major, sub-byte elements packed; all values are small integers.
struct RandomTensor {
  DType dtype;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};
struct RandomArg {
  uint64_t scalar = 0;
  std::vector<RandomTensor> tensors;  // several for a list
};
std::vector<RandomArg> random_args(const Kernel& kernel, uint64_t seed);
// The same as a launch takes them: they point to the tensors' bytes.
std::vector<LaunchArg> launch_args(std::vector<RandomArg>& args);

}  // namespace tess::gen
