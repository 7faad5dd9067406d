// Which scalars are never negative: what slices begin at, and use numbers of rings.
//
// A value is, unless one of its definitions can be negative; so counters are, which go up from 0.
#pragma once
#include <vector>

#include "jit/tile/within.h"

namespace tess::jit::tile {

class Signs {
 public:
  Signs(const Kernel& k, const Within& within);
  // Certainly, whatever wraps around.
  bool never_negative(Ref r) const { return holds(never_, r); }
  // The same of a use number. Use numbers count: their sums and products do not wrap around.
  bool counts(Ref use) const { return holds(counts_, use); }

 private:
  bool holds(const std::vector<bool>& known, Ref r) const;
  bool of_inst(const Inst& inst, const std::vector<bool>& known, bool wraps) const;
  void settle(std::vector<bool>& known, const Within& within, bool wraps) const;
  const Kernel& k_;
  std::vector<bool> never_, counts_;  // by value
};

}  // namespace tess::jit::tile
