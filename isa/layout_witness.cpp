#include "isa/layout_witness.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "isa/layout_judge.h"
#include "isa/layout_ops.h"

namespace tess {
namespace {

std::string print_index(const std::vector<int64_t>& v) {
  std::string text = "(";
  for (size_t i = 0; i < v.size(); ++i) text += fmt::format("{}{}", i ? "," : "", v[i]);
  return text + ")";
}

std::string print_output(const Layout& l, const std::vector<int64_t>& v) {
  return l.is_memory() ? fmt::format("offset {}", v[0]) : "element " + print_index(v);
}

bool next_index(std::vector<int64_t>& index, const std::vector<int64_t>& shape) {
  for (size_t j = index.size(); j-- > 0;) {
    if (++index[j] < shape[j]) return true;
    index[j] = 0;
  }
  return false;
}

}  // namespace

std::string describe_point(const Layout& l, const LayoutPoint& p) {
  if (l.dims > 0) {
    std::vector<int64_t> index = p.dims;
    index.resize(l.dims, 0);
    return "element " + print_index(index);
  }
  std::string text = fmt::format("register {} of lane {}", p.reg, p.lane);
  if (size_of(l, Label::warp) > 1) text += fmt::format(", warp {}", p.warp);
  if (size_of(l, Label::cta) > 1) text += fmt::format(", block {}", p.cta);
  return text;
}

std::string uncovered_element(const Layout& l) {
  int64_t n = input_size(l);
  __int128 outputs = 1;
  for (int64_t s : l.shape)
    if ((outputs *= s) > kJudgeLimit) return {};
  if (!judge_enter(n + static_cast<int64_t>(outputs))) return {};
  std::map<std::vector<int64_t>, bool> reached;
  std::vector<InputSpace> spaces = input_spaces(l);
  for (int64_t x = 0; x < n; ++x) reached[apply(l, point_of(spaces, x))] = true;
  std::vector<int64_t> index(l.shape.size(), 0);
  do
    if (!reached.contains(index))
      return fmt::format("{} is reached from nowhere", print_output(l, index));
  while (next_index(index, l.shape));
  return {};
}

std::string doubly_held(const Layout& l) {
  int64_t n = input_size(l);
  if (!judge_enter(n)) return {};
  std::map<std::vector<int64_t>, int64_t> first;
  std::vector<InputSpace> spaces = input_spaces(l);
  for (int64_t x = 0; x < n; ++x) {
    LayoutPoint p = point_of(spaces, x);
    std::vector<int64_t> y = apply(l, p);
    auto [it, fresh] = first.emplace(y, x);
    if (!fresh)
      return fmt::format("{} and {} both map to {}",
                         describe_point(l, point_of(spaces, it->second)), describe_point(l, p),
                         print_output(l, y));
  }
  return {};
}

std::string why_not_vector(const Layout& reg, const Layout& mem, int64_t elems) {
  auto offsets = compose(mem, reg);
  if (!offsets || elems < 2 || !judge_enter(input_size(*offsets))) return {};
  std::vector<InputSpace> threads;
  for (const InputSpace& s : input_spaces(*offsets))
    if (s.label != Label::reg) threads.push_back(s);
  int64_t registers = registers_of(reg), count = input_size(*offsets) / registers;
  for (int64_t t = 0; t < count; ++t) {
    LayoutPoint p = point_of(threads, t);
    std::map<int64_t, int64_t> held;
    for (p.reg = 0; p.reg < registers; ++p.reg) held.emplace(apply(*offsets, p)[0], p.reg);
    for (auto [offset, r] : held) {
      int64_t run = offset - ((offset % elems) + elems) % elems;
      for (int64_t k = run; k < run + elems; ++k)
        if (!held.contains(k)) {
          p.reg = r;
          return fmt::format(
              "{} holds element {} at offset {}; offset {} of the same run of {} belongs to "
              "another thread or to none",
              describe_point(reg, p), print_index(apply(reg, p)), offset, k, elems);
        }
    }
  }
  return "every thread holds such runs, but not in the same registers";
}

std::string bank_conflict(const Layout& reg, const Layout& mem, int elem_bits, const Banks& found) {
  auto offsets = compose(mem, reg);
  if (!offsets || !judge_enter(input_size(*offsets))) return {};
  int width = found.matrix == Matrix::none
                  ? std::max<int>(1, static_cast<int>(found.vec) * elem_bits / 8)
                  : 16;
  int phase = width <= 4 ? 32 : width <= 8 ? 16 : 8;
  auto address = [&](LayoutPoint p) { return apply(*offsets, p)[0] * elem_bits / 8; };
  int64_t registers = registers_of(reg), lanes = size_of(reg, Label::lane);
  LayoutPoint p;
  for (p.warp = 0; p.warp < size_of(reg, Label::warp); ++p.warp)
    for (p.reg = 0; p.reg < registers; ++p.reg)
      for (int64_t begin = 0; begin < lanes; begin += found.matrix == Matrix::none ? phase : lanes)
        for (int64_t a = begin;
             a < std::min(lanes, begin + (found.matrix == Matrix::none ? phase : lanes)); ++a)
          for (int64_t b = begin; b < a; ++b) {
            LayoutPoint x = p, y = p;
            x.lane = b;
            y.lane = a;
            int64_t wx = address(x) / 4, wy = address(y) / 4;
            if (wx != wy && ((wx - wy) % 32 + 32) % 32 == 0)
              return fmt::format(
                  "register {} of lanes {} and {}{}: elements {} and {} lie at bytes {} and {}, "
                  "both in bank {}",
                  p.reg, b, a,
                  size_of(reg, Label::warp) > 1 ? fmt::format(" of warp {}", p.warp) : "",
                  print_index(apply(reg, x)), print_index(apply(reg, y)), address(x), address(y),
                  wx % 32);
          }
  return {};
}

std::string first_difference(const Layout& a, const Layout& b) {
  if (a.shape != b.shape && a.dims == 0)
    return fmt::format("the shapes are {} and {}", print_index(a.shape), print_index(b.shape));
  std::vector<InputSpace> spaces = input_spaces(a);
  bool same_inputs = a.dims == b.dims && input_shape(a) == input_shape(b);
  for (Label label : {Label::reg, Label::lane, Label::warp, Label::cta})
    same_inputs = same_inputs && size_of(a, label) == size_of(b, label);
  if (!same_inputs)
    return fmt::format("the one has {} registers in {} threads, the other {} in {}",
                       registers_of(a), threads_of(a), registers_of(b), threads_of(b));
  int64_t n = input_size(a);
  if (!judge_enter(n)) return {};
  for (int64_t x = 0; x < n; ++x) {
    LayoutPoint p = point_of(spaces, x);
    std::vector<int64_t> u = apply(a, p), v = apply(b, p);
    if (u != v)
      return fmt::format("{}: {} in the one, {} in the other", describe_point(a, p),
                         print_output(a, u), print_output(b, v));
  }
  return {};
}

std::string farthest_move(const Layout& src, const Layout& dst, Move where) {
  if (where == Move::none || !judge_enter(input_size(src) + input_size(dst))) return {};
  using Key = std::pair<std::vector<int64_t>, std::vector<int64_t>>;  // element, then (cta, warp,
                                                                      // lane) as far as it matters
  int level = static_cast<int>(where) - 1;  // the destination is not within this one
  auto key = [&](const Layout& l, const LayoutPoint& p) {
    std::vector<int64_t> place;
    if (level < 4) place.push_back(p.cta);
    if (level < 3) place.push_back(p.warp);
    if (level < 2) place.push_back(p.lane);
    if (level < 1) place.push_back(p.reg);
    return Key{apply(l, p), place};
  };
  std::map<Key, bool> near;
  std::vector<InputSpace> spaces = input_spaces(src);
  for (int64_t x = 0; x < input_size(src); ++x) near[key(src, point_of(spaces, x))] = true;
  spaces = input_spaces(dst);
  for (int64_t x = 0; x < input_size(dst); ++x) {
    LayoutPoint p = point_of(spaces, x);
    if (!near.contains(key(dst, p)))
      return fmt::format("{} needs element {}, which comes from {}", describe_point(dst, p),
                         print_index(apply(dst, p)),
                         where == Move::reg      ? "another register"
                         : where == Move::lane   ? "another lane"
                         : where == Move::shared ? "another warp"
                                                 : "another block");
  }
  return {};
}

}  // namespace tess
