// Shared tiles as tensor maps and wgmma see them: elements at linear offsets from an address, whose
// bits the hardware swizzles itself.
#pragma once
#include <optional>

#include "jit/lower/lowering.h"

namespace tess::jit {

// The bytes of a row that the hardware's swizzle mixes: 0 (none), 32, 64, 128; nothing for another
// swizzle.
std::optional<int> swizzle_span(const Layout& memory, DType type);

// A part of a shared tile: `address` of its first element before the swizzle, from which element
// `index` (by dimension of the part) lies `linear(index)` elements away, constant starts included.
struct SharedOrigin {
  bool valid = false;   // moving starts do not carry into the coordinates
  Operand address;      // b32
  int64_t divisor = 1;  // bytes that what moves in the address is known to be a multiple of
  const Layout* memory = nullptr;
  std::vector<int> dim;
  std::vector<int64_t> start;  // by dimension of the storage: its constant part
  int64_t first = 0;
  int64_t linear(const std::vector<int64_t>& index) const;
};
SharedOrigin shared_origin(Lowering& l, const Part& part);

}  // namespace tess::jit
