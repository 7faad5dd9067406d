// Random layouts for property tests: sizes that are no powers of two, padding, swizzles, replicas.
// Deterministic: every law runs from a fixed seed.
#pragma once
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "isa/layout_judge.h"
#include "isa/layout_ops.h"
#include "isa/layout_spell.h"

namespace tess {

template <class Testable>
void law(const char* name, int cases, Testable&& testable) {
  rc::detail::TestParams params;
  params.seed = 20250917;
  params.maxSuccess = cases;
  params.maxSize = 60;
  params.maxDiscardRatio = 50;
  rc::detail::TestMetadata metadata;
  metadata.id = metadata.description = name;
  auto result = rc::detail::checkTestable(std::forward<Testable>(testable), metadata, params);
  std::ostringstream why;
  rc::detail::printResultMessage(result, why);
  CHECK_MESSAGE(result.template is<rc::detail::SuccessResult>(), name << ": " << why.str());
}

inline int64_t random_in(int64_t low, int64_t high) {
  return *rc::gen::inRange<int64_t>(low, high + 1);
}
inline bool chance(int percent) { return random_in(0, 99) < percent; }
template <class T>
const T& pick(const std::vector<T>& from) {
  return from[random_in(0, static_cast<int64_t>(from.size()) - 1)];
}
inline Layout require_value(Result<Layout> r) {
  if (!r) RC_FAIL(r.error().message);
  return std::move(*r);
}

struct MemoryKind {
  bool powers = false;  // sizes and strides that are powers of two, no padding
  bool swizzled = false;
  bool injective = true;  // else strides are arbitrary, zero included
  int max_rank = 3;
  int64_t max_size = 6;
};
// Dimensions in random stride order, padded now and then; or arbitrary strides.
inline Layout random_memory(const MemoryKind& kind) {
  int rank = static_cast<int>(random_in(1, kind.max_rank));
  std::vector<int64_t> shape, strides(rank);
  for (int d = 0; d < rank; ++d)
    shape.push_back(kind.powers ? int64_t{1} << random_in(0, 3) : random_in(1, kind.max_size));
  std::vector<int> order;
  for (int d = 0; d < rank; ++d) order.insert(order.begin() + random_in(0, d), d);
  int64_t next = 1;
  for (int d : order) {
    strides[d] = kind.injective ? next : random_in(0, 12);
    next *= shape[d];
    if (!kind.powers && chance(40)) next += random_in(0, 5);
  }
  Layout l = require_value(strided(shape, strides));
  if (!kind.swizzled) return l;
  int b = static_cast<int>(random_in(1, 3)), s = b + static_cast<int>(random_in(0, 2));
  return require_value(swizzle({b, static_cast<int>(random_in(0, 2)), chance(80) ? s : -s}, l));
}

struct RegisterKind {
  bool powers = false;
  bool replicas = true;
  int rank = 2;
  int factors = 3;
};
inline Layout random_registers(const RegisterKind& kind) {
  Layout l = require_value(spread(Label::reg, std::vector<int64_t>(kind.rank, 1)));
  int factors = static_cast<int>(random_in(1, kind.factors));
  for (int i = 0; i < factors; ++i) {
    Label label = pick<Label>({Label::reg, Label::reg, Label::lane, Label::lane, Label::warp});
    if (kind.replicas && chance(15)) {
      l = require_value(
          product(require_value(replicate(label, kind.powers ? 2 : random_in(2, 3))), l, false));
      continue;
    }
    std::vector<int64_t> shape;
    for (int d = 0; d < kind.rank; ++d)
      shape.push_back(kind.powers ? int64_t{1} << random_in(0, 2) : random_in(1, 4));
    l = require_value(product(require_value(spread(label, shape, chance(50))), l, false));
  }
  return l;
}

// A random F2 register layout over `bits` output bits: random bases, dependent and zero ones
// included.
inline std::string random_bases(const std::vector<int>& counts, const std::vector<int64_t>& shape) {
  const char* names[] = {"reg", "lane", "warp", "cta"};
  std::string text = "{";
  for (size_t i = 0; i < counts.size(); ++i) {
    text += std::string(names[i]) + ":[";
    for (int b = 0; b < counts[i]; ++b) {
      text += b ? ",(" : "(";
      for (size_t j = 0; j < shape.size(); ++j)
        text += (j ? "," : "") + std::to_string(random_in(0, shape[j] - 1));
      text += ")";
    }
    text += "] ";
  }
  text += "-> ";
  for (size_t j = 0; j < shape.size(); ++j) text += (j ? "," : "") + std::to_string(shape[j]);
  return text + "}";
}

inline std::vector<LayoutPoint> all_points(const Layout& l) {
  std::vector<LayoutPoint> points;
  std::vector<InputSpace> spaces = input_spaces(l);
  for (int64_t x = 0; x < input_size(l); ++x) {
    points.push_back(point_of(spaces, x));
    points.back().dims.resize(l.dims, 0);
  }
  return points;
}

}  // namespace tess
