// Which accesses lie inside of their tensors for certain, so that no element of theirs is checked.
// Known of a scalar:
//
//     value = base + c,   lo <= c <= hi;   base = 0, or a multiple of step, 0 <= base <= end - step
//
// from the ranges of loops whose end the step divides, from block numbers and the grid, from ranges
// of parameters, and from arithmetic with constants on all of these. `end` is a host expression
// that the type of the value can hold, so nothing wraps. Anything else is unknown.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "isa/module.h"

namespace tess::jit::tile {

// A number that divides the expression for every launch that its parameters' facts allow; 0: it is
// 0.
int64_t host_divisor(const Kernel& k, const HostExpr& e);

class Within {
 public:
  explicit Within(const Kernel& k);
  // Whether 0 <= origin and origin + n <= extent wherever the instruction runs.
  bool holds(Ref origin, int64_t n, const HostExpr& extent) const;
  // Whether it is known not to be negative.
  bool never_negative(Ref r) const;

 private:
  struct Known {
    std::optional<HostExpr> end;  // none: base = 0
    int64_t step = 1, lo = 0, hi = 0;
  };
  using Maybe = std::optional<Known>;
  Maybe of(Ref r) const;
  Maybe of_inst(const Inst& inst) const;
  Maybe of_loop(const Inst& inst) const;
  Maybe of_block(int dim) const;
  Maybe sum(const Known& a, const Known& b) const;
  Maybe scaled(const Known& a, int64_t by) const;
  Maybe divided(const Known& a, int64_t by) const;
  std::optional<HostExpr> host(Ref r) const;
  HostExpr plain(const HostExpr& e) const;  // lets replaced by what they stand for
  bool divides(int64_t d, const HostExpr& e) const;
  bool at_most(const HostExpr& a, const HostExpr& b) const;

  const Kernel& k_;
  std::vector<Maybe> known_;  // by value
};

}  // namespace tess::jit::tile
