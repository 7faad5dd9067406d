// Numbers as written in a generator's arguments.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace tess {

// A whole number of -2^63 .. 2^64-1, decimal or 0x, with an optional sign. `bits` is its two's
// complement.
struct ParsedInteger {
  bool negative;
  uint64_t bits;
};
std::optional<ParsedInteger> parse_integer(std::string_view text);

// A decimal or 0x hexadecimal float, inf, or nan, with an optional sign; whatever the C locale.
std::optional<double> parse_real(std::string_view text);

}  // namespace tess
