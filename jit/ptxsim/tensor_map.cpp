#include "jit/ptxsim/tensor_map.h"

#include <fmt/format.h>

#include "isa/diag/sim.h"

namespace tess::ptxsim {

uint32_t tensor_element_bytes(uint8_t type) {
  constexpr uint8_t kBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return type < 13 ? kBytes[type] : 0;
}

std::string check_tensor_map(const SimTensorMap& m) {
  if (m.magic != SimTensorMap::kMagic)
    return "the bytes are not a tensor map that was encoded through the simulator's driver";
  if (m.rank < 1 || m.rank > 5) return fmt::format("the rank {} is not 1..5", m.rank);
  uint32_t es = tensor_element_bytes(m.type);
  if (!es) return fmt::format("unknown element type {}", m.type);
  if (m.address % 16) return fmt::format("the address {:#x} must be a multiple of 16", m.address);
  if (m.interleave) return "interleaved layouts (16B, 32B) are not simulated";
  if (m.swizzle > 3) return fmt::format("unknown swizzle {}", m.swizzle);
  for (int i = 0; i < m.rank; ++i) {
    if (m.box[i] < 1 || m.box[i] > 256)
      return fmt::format("box dimension {} is {}, not 1..256", i, m.box[i]);
    if (m.element_stride[i] < 1 || m.element_stride[i] > 8)
      return fmt::format("element stride {} is {}, not 1..8", i, m.element_stride[i]);
    if (i + 1 < m.rank && (m.stride[i] % 16 || m.stride[i] >= (1ull << 40)))
      return fmt::format("stride {} is {}, which must be a multiple of 16 below 2^40", i,
                         m.stride[i]);
  }
  uint32_t inner = (m.box[0] + m.element_stride[0] - 1) / m.element_stride[0] * es;
  if (inner % 16)
    return fmt::format("the inner box dimension takes {} bytes, which must be a multiple of 16",
                       inner);
  constexpr uint32_t kSpan[] = {0, 32, 64, 128};
  if (m.swizzle && inner > kSpan[m.swizzle])
    return fmt::format("the inner box dimension takes {} bytes, more than the {}-byte swizzle",
                       inner, kSpan[m.swizzle]);
  return {};
}

Result<jit::TensorMap> encode_tensor_map(const jit::TensorMapSpec& s) {
  SimTensorMap m;
  auto bad = [](std::string why) { return make_diag(diag::kSimTensorMap, std::move(why)); };
  if (s.rank < 1 || s.rank > 5) return bad(fmt::format("the rank {} is not 1..5", s.rank));
  m.address = s.address;
  m.rank = uint8_t(s.rank), m.type = uint8_t(s.type), m.interleave = uint8_t(s.interleave),
  m.swizzle = uint8_t(s.swizzle);
  m.fill = uint8_t(s.fill), m.promotion = uint8_t(s.promotion);
  for (int i = 0; i < s.rank; ++i) {
    if (s.size[i] < 1 || s.size[i] > (1ull << 32))
      return bad(fmt::format("size {} is {}, not 1..2^32", i, s.size[i]));
    m.size_minus_1[i] = uint32_t(s.size[i] - 1);
    if (s.box[i] < 1 || s.box[i] > 256)
      return bad(fmt::format("box dimension {} is {}, not 1..256", i, s.box[i]));
    m.box[i] = uint16_t(s.box[i]);
    if (s.element_stride[i] < 1 || s.element_stride[i] > 8)
      return bad(fmt::format("element stride {} is {}, not 1..8", i, s.element_stride[i]));
    m.element_stride[i] = uint8_t(s.element_stride[i]);
    if (i + 1 < s.rank) m.stride[i] = s.stride[i];
  }
  if (m.fill && (s.type < jit::TensorType::f16))
    return bad("NaN fill needs a floating-point element type");
  std::string why = check_tensor_map(m);
  if (!why.empty()) return bad(why);
  jit::TensorMap out;
  std::memset(out.bytes, 0, sizeof out.bytes);
  std::memcpy(out.bytes, static_cast<const void*>(&m), sizeof m);
  return out;
}

}  // namespace tess::ptxsim
