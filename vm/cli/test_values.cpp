#include "vm/cli/test_values.h"

#include <fmt/format.h>

#include <optional>

#include "isa/numerics.h"
#include "vm/data/number.h"

namespace tess::cli {
namespace {

// One number as its type's code.
std::optional<uint64_t> literal_code(DType t, std::string_view text) {
  if (t.is_bool()) {
    if (text == "true" || text == "1") return 1;
    if (text == "false" || text == "0") return 0;
    return {};
  }
  if (t.is_int()) {
    auto i = parse_integer(text);
    if (!i) return {};
    uint64_t mask = t.bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1;
    uint64_t code = i->bits & mask;
    // Both signs of an integer type may be written in hexadecimal.
    bool hex = text.find('x') != std::string_view::npos;
    if (static_cast<uint64_t>(decode_int(t, code)) != i->bits && !(hex && code == i->bits))
      return {};
    return code;
  }
  auto x = parse_real(text);
  return x ? std::optional(encode_float(t, *x)) : std::nullopt;
}

}  // namespace

api::Value<api::Tensor> tensor_of_literal(const std::vector<std::string>& numbers,
                                          const char* dtype, const api::Shape& shape,
                                          std::string& problem) {
  api::Value<api::Tensor> t = api::Tensor::create(dtype, shape);
  if (!t) return t;
  int64_t n = t->elements();
  // One number stands for all elements.
  if (static_cast<int64_t>(numbers.size()) != n && numbers.size() != 1) {
    problem = fmt::format("{} numbers for {} elements", numbers.size(), n);
    return t;
  }
  DType type = *find_dtype(dtype);
  uint8_t* bytes = static_cast<uint8_t*>(t->mutable_data());
  for (int64_t i = 0; i < n; ++i) {
    const std::string& text = numbers.size() == 1 ? numbers[0] : numbers[static_cast<size_t>(i)];
    auto code = literal_code(type, text);
    if (!code) {
      problem = fmt::format("`{}` is no {}", text, dtype);
      return t;
    }
    write_bits(bytes, static_cast<uint64_t>(i) * type.bits, type.bits, *code);
  }
  return t;
}

// The shortest text of each element that reads back to it.
std::string literal_of(const api::Tensor& t) {
  DType type = *find_dtype(t.dtype());
  std::string out = "[";
  int64_t n = t.elements();
  for (int64_t i = 0; i < n; ++i) {
    if (i) out += i % 16 ? " " : "\n//;   ";
    uint64_t code = t.code(i);
    if (type.is_bool()) out += code ? "true" : "false";
    else if (type.is_int())
      out += type.is_signed() ? fmt::format("{}", decode_int(type, code)) : fmt::format("{}", code);
    else if (type.bits == 64) out += fmt::format("{}", t.value(i));
    else out += fmt::format("{}", static_cast<float>(t.value(i)));
  }
  return out + "]";
}

}  // namespace tess::cli
