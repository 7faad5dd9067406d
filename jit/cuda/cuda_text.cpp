#include "jit/cuda/cuda_text.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

namespace tess::jit {
namespace {

std::string float_text(double v, bool single, uint64_t bits) {
  if (!std::isfinite(v))
    return single ? fmt::format("__uint_as_float({:#010x}u)", bits)
                  : fmt::format("__longlong_as_double({:#018x}ll)", bits);
  std::string text = std::abs(v) < 1e6 && v * 1024 == std::trunc(v * 1024) ? fmt::format("{}", v)
                                                                           : fmt::format("{:a}", v);
  if (text.find_first_of(".px") == std::string::npos) text += ".0";
  return text + (single ? "f" : "");
}

}  // namespace

std::string constant_text(const Operand& o) {
  switch (o.type) {
    case RegClass::pred:
      return o.bits ? "true" : "false";
    case RegClass::b16:
      return fmt::format("u16({:#x})", o.bits & 0xffff);
    case RegClass::b32: {
      uint32_t v = static_cast<uint32_t>(o.bits);
      return v < 65536 ? fmt::format("{}u", v) : fmt::format("{:#x}u", v);
    }
    case RegClass::b64:
      return o.bits < 65536 ? fmt::format("{}ull", o.bits) : fmt::format("{:#x}ull", o.bits);
    case RegClass::f32:
      return float_text(std::bit_cast<float>(static_cast<uint32_t>(o.bits)), true,
                        static_cast<uint32_t>(o.bits));
    case RegClass::f64:
      return float_text(std::bit_cast<double>(o.bits), false, o.bits);
  }
  return {};
}

std::string harmless(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '"' || c == '\\' || (c >= 0 && c < ' ') || c == 127 ? '_' : c;
  return out;
}

}  // namespace tess::jit
