#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "isa/module.h"
#include "isa/numerics.h"

namespace tess {
namespace {

std::string float_text(Constant c) {
  double value = decode_float(c.type, c.code);
  if (std::isnan(value)) {
    if (c.code == nan_code(c.type)) return "nan";
    return fmt::format("nan({:#x})", c.code);
  }
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  auto reads_back = [&](const std::string& text) {
    return encode_float(c.type, std::strtod(text.c_str(), nullptr)) == c.code;
  };
  std::string text;
  for (int digits = 1; digits <= 17; ++digits) {
    text = fmt::format("{:.{}g}", value, digits);
    if (reads_back(text)) break;
  }
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

std::string shape_text(const Shape& shape) {
  std::string s = "[";
  for (int i = 0; i < shape.rank; ++i) {
    if (i) s += ',';
    s += shape[i] == kDynamic ? "?" : fmt::format("{}", shape[i]);
  }
  return s + "]";
}

std::string type_text(const Type& type) {
  if (type.space == Space::mbar) return "mbar" + shape_text(type.shape);
  std::string s = dtype_name(type.dtype);
  if (type.shape.rank == 0) return s;
  std::string shape = shape_text(type.shape);
  if (type.ring) shape.insert(1, "ring ");
  return s + shape;
}

std::string constant_text(Constant c) {
  if (c.type.is_bool()) return c.code ? "true" : "false";
  if (c.type.kind == Kind::sint) return fmt::format("{}", decode_int(c.type, c.code));
  if (c.type.kind == Kind::uint) return fmt::format("{}", c.code);
  return float_text(c);
}

std::string binding_text(const Binding& b) {
  return b.name + "=" + (b.type ? dtype_name(*b.type) : constant_text(b.value));
}

std::string kernel_key(const Kernel& k) {
  std::string s = k.name;
  for (size_t i = 0; i < k.bindings.size(); ++i)
    s += (i ? ", " : "<") + binding_text(k.bindings[i]);
  return k.bindings.empty() ? s : s + ">";
}

}  // namespace tess
