// Host expressions over partly known scalars: evaluating what can be, and solving for what cannot.
#pragma once
#include <optional>
#include <vector>

#include "isa/module.h"

namespace tess::api {

// By value index: the scalar parameters set so far, and the lets that follow from them.
using Known = std::vector<std::optional<int64_t>>;

// Fills in every let whose operands are known.
void add_lets(const Kernel& kernel, Known& known, int64_t device_sms);
// None if an operand is unknown or the arithmetic fails.
std::optional<int64_t> evaluate_known(const Kernel& kernel, const HostExpr& e, const Known& known, int64_t device_sms);
// The first scalar parameter that `e` depends on and that is unknown.
std::optional<uint32_t> first_unknown(const Kernel& kernel, const HostExpr& e, const Known& known);

// Solves e = value if exactly one unknown integer scalar stands in it, once, under + - * and division by
// a constant that the scalar is declared divisible by. Gives (value index, solution).
std::optional<std::pair<uint32_t, int64_t>> solve(const Kernel& kernel, const HostExpr& e, int64_t value,
                                                  const Known& known, int64_t device_sms);

}  // namespace tess::api
