// What a value is called where `print` and `trace` show it: `%x`, a parameter's name, a constant.
#pragma once
#include <string>

#include "isa/module.h"

namespace tess {

inline std::string shown_name(const Kernel& kernel, Ref value) {
  if (!value.is_value()) return constant_text(kernel.constants[value.index()]);
  const std::string& name = kernel.values[value.index()].name;
  if (name.empty()) return "%" + std::to_string(value.index());
  return value.index() < kernel.params.size() ? name : "%" + name;
}

}  // namespace tess
