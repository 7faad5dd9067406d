// What is known of addresses without running the program: which power of two divides a scalar,
// which dimension of a tensor is contiguous, and how wide a tile's accesses may be. Extents and
// strides that are only known at run time are taken to be aligned: a launch where they are not gets
// another specialisation of the same kernel.
#pragma once
#include <cstdint>
#include <vector>

#include "isa/module.h"
#include "jit/tile/signs.h"
#include "jit/tile/webs.h"
#include "jit/tile/within.h"

namespace tess::jit::tile {

struct MemoryFacts {
  int unit = -1;          // the dimension of stride 1, or none
  int64_t alignment = 1;  // elements that its start and all other strides are a multiple of
};

class Facts {
 public:
  explicit Facts(const Kernel& k);
  int64_t divisor(Ref r) const;  // a power of two, at most 2^30
  const MemoryFacts& memory(uint32_t value) const { return memory_[value]; }
  const Within& within() const { return within_; }
  const Signs& signs() const { return signs_; }

  // How an access lies in its tensor: the tile dimension that is contiguous (-1: none), and the
  // elements that every run along it is aligned to.
  struct Contiguity {
    int dim = -1;
    int64_t alignment = 1;
  };
  Contiguity contiguity(const Access& a) const;

 private:
  int64_t of_inst(const Inst& inst) const;
  MemoryFacts of_view(const Inst& inst) const;
  const Kernel& k_;
  Within within_;
  Signs signs_;
  std::vector<int64_t> divisor_;     // by value
  std::vector<MemoryFacts> memory_;  // by value
};

}  // namespace tess::jit::tile
