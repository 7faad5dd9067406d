// What two memory operands of one kernel certainly share or certainly do not, seen from their
// indices alone. For the checks of asynchrony and races, and
// for whoever places barriers.
#pragma once
#include <optional>
#include <vector>

#include "isa/module.h"

namespace tess {

// The memory an operand names: a base value (views made for one use stand for what they view) and
// its indices; no indices: the whole.
struct Region {
  uint32_t base = 0;
  std::vector<Index> indices;
};

// Where each view comes from: `region` looks through temporaries that transpose or reshape memory.
class Regions {
 public:
  explicit Regions(const Kernel& k);
  std::optional<Region> of(Ref r) const;
  // The value that declares the memory: a parameter, an `smem` or an `mbar`; for a peer's memory
  // the result of `cluster.map`.
  uint32_t root(uint32_t value) const { return root_[value]; }
  // Whether the memory is a peer block's.
  bool remote(uint32_t value) const { return remote_[value]; }

 private:
  const Kernel& k_;
  std::vector<uint32_t> root_;
  std::vector<uint8_t> remote_;
  std::vector<uint32_t> defined_by_;  // by value: its only instruction, or ~0
};

enum class Overlap : uint8_t { never, maybe, always };
Overlap overlap(const Kernel& k, const Region& a, const Region& b);
// Whether an index of the region is the value `v`.
bool mentions(const Region& r, uint32_t v);

// Whether operand `a` of the row reads (false) or writes (true) the memory it names; views, atomics
// and what only waits do neither.
std::optional<bool> operand_writes(const OpInfo& op, size_t a);

// The constant an index position or operand is, if it is one.
std::optional<int64_t> constant_of(const Kernel& k, Ref r);

}  // namespace tess
