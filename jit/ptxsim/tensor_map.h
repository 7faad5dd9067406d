// The simulator's own tensor map: what the 128 opaque bytes hold. Real maps, made by the CUDA
// driver, are not understood.
#pragma once
#include <cstring>

#include "jit/driver.h"

namespace tess::ptxsim {

struct SimTensorMap {
  uint64_t magic = kMagic;
  uint64_t address = 0;
  uint32_t size_minus_1[5] = {};
  uint8_t rank = 0, type = 0, interleave = 0, swizzle = 0;
  uint64_t stride[4] = {};
  uint16_t box[5] = {};
  uint8_t element_stride[5] = {1, 1, 1, 1, 1};
  uint8_t fill = 0, promotion = 0;
  static constexpr uint64_t kMagic = 0x50414d54534d4953ull;
  bool operator==(const SimTensorMap&) const = default;
};
static_assert(sizeof(SimTensorMap) <= 128);

Result<jit::TensorMap> encode_tensor_map(const jit::TensorMapSpec& spec);
// Empty if the map may be used; else what is wrong.
std::string check_tensor_map(const SimTensorMap& m);
uint32_t tensor_element_bytes(uint8_t type);

// The shared-memory address of a byte in a swizzled tile: `address` with bits 4..6 (5, 4) exchanged
// by the bits three places up, as the hardware's 128-, 64- and 32-byte swizzles do.
inline uint32_t swizzle_address(uint32_t address, jit::TensorSwizzle mode) {
  switch (mode) {
    case jit::TensorSwizzle::b128:
      return address ^ ((address >> 3) & 0x70);
    case jit::TensorSwizzle::b64:
      return address ^ ((address >> 3) & 0x30);
    case jit::TensorSwizzle::b32:
      return address ^ ((address >> 3) & 0x10);
    default:
      return address;
  }
}

}  // namespace tess::ptxsim
