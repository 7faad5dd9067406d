// Private to the type rules: the shape half.
#pragma once
#include "isa/infer.h"
#include "isa/numerics.h"

namespace tess {

// Fills in spaces and shapes of `results`, whose element types are set.
std::optional<TypeError> apply_rule(const InferInput& in, std::vector<Type>& results);

inline int64_t decode_constant_int(const Constant& c) {
  return c.type.is_int() ? decode_int(c.type, c.code) : 0;
}

}  // namespace tess
