#include "isa/dtypes.h"

#include <fmt/format.h>

namespace tess {
namespace {

struct Named {
  std::string_view name;
  DType type;
  std::string_view doc;
};
constexpr Named kNamed[] = {
#define DTYPE(name, kind, bits, exp, man, doc) {#name, {Kind::kind, bits, exp, man}, doc},
#include "isa/dtypes.def"
#undef DTYPE
};

const Named* named(DType t) {
  for (const Named& n : kNamed)
    if (n.type == t) return &n;
  return nullptr;
}

bool is_generic_float(DType t) {
  return t.kind == Kind::flt && t.bits >= 3 && t.bits <= 8 && t.exp >= 1 &&
         t.bits == 1 + t.exp + t.man;
}

}  // namespace

std::string dtype_name(DType t) {
  if (const Named* n = named(t)) return std::string(n->name);
  return is_generic_float(t) ? fmt::format("e{}m{}", t.exp, t.man) : "?";
}

std::optional<DType> find_dtype(std::string_view name) {
  for (const Named& n : kNamed)
    if (n.name == name) return n.type;
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (name.size() != 4 || name[0] != 'e' || name[2] != 'm' || !digit(name[1]) || !digit(name[3]))
    return {};
  uint8_t exp = name[1] - '0', man = name[3] - '0';
  DType t{Kind::flt, static_cast<uint8_t>(1 + exp + man), exp, man};
  if (!is_generic_float(t)) return {};
  return t;
}

bool is_valid_dtype(DType t) {
  // Readers ask this for every type and constant: the rule first, the table for what is left.
  if (t.is_int()) {
    bool width = (t.bits >= 1 && t.bits <= 8) || t.bits == 16 || t.bits == 32 || t.bits == 64;
    return width && t.exp == 0 && t.man == 0;
  }
  return is_generic_float(t) || named(t);
}

const std::vector<DType>& all_dtypes() {
  static const std::vector<DType> all = [] {
    std::vector<DType> v;
    for (const Named& n : kNamed) v.push_back(n.type);
    for (uint8_t bits = 3; bits <= 8; ++bits)
      for (uint8_t exp = 1; exp < bits; ++exp) {
        DType t{Kind::flt, bits, exp, static_cast<uint8_t>(bits - 1 - exp)};
        if (!named(t)) v.push_back(t);
      }
    return v;
  }();
  return all;
}

std::string dtype_doc(DType t) {
  if (const Named* n = named(t)) return std::string(n->doc);
  return fmt::format("{}-bit float: {} exponent and {} mantissa bits, bias {}, finite only", t.bits,
                     t.exp, t.man, t.bias());
}

}  // namespace tess
