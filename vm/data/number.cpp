#include "vm/data/number.h"

#include <charconv>
#include <limits>

namespace tess {

std::optional<ParsedInteger> parse_integer(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t magnitude = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (!negative || magnitude == 0) return ParsedInteger{false, magnitude};
  if (magnitude > uint64_t{1} << 63) return std::nullopt;
  return ParsedInteger{true, 0 - magnitude};
}

std::optional<double> parse_real(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  double value;
  if (text == "inf" || text == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (text == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    auto format = std::chars_format::general;
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
      format = std::chars_format::hex;
      text.remove_prefix(2);
    }
    bool begins = !text.empty() &&
                  (text[0] == '.' || std::string_view("0123456789abcdefABCDEF").find(text[0]) !=
                                         std::string_view::npos);
    if (!begins) return std::nullopt;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, format);
    if (error == std::errc::result_out_of_range) return std::nullopt;
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  }
  return negative ? -value : value;
}

}  // namespace tess
