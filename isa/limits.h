// The numeric limits of limits.def as constants.
#pragma once
#include <cstdint>

namespace tess::limits {
#define LIMIT(name, value, doc) inline constexpr int64_t name = value;
#include "isa/limits.def"
#undef LIMIT
}  // namespace tess::limits
