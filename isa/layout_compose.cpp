// Composition by digit rules, by matrix product, and only then by enumeration.
#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"

namespace tess {
namespace {

// One dimension of the outer layout: its digits, fastest first.
using Modes = std::vector<const Digit*>;

std::vector<Modes> modes_by_dim(const Layout& l) {
  std::vector<Modes> modes(l.dims);
  for (const Digit& d : l.digits) modes[d.dim].push_back(&d);
  return modes;
}

// How far each mode is moved by all digits together; a sum below its size never carries.
using Reach = std::vector<std::vector<__int128>>;

void add_scaled(std::vector<int64_t>& a, const std::vector<int64_t>& b, int64_t k) {
  for (size_t j = 0; j < a.size(); ++j) a[j] += b[j] * k;
}

// `v` as digits of the modes of one dimension. The last mode is unbounded.
std::vector<int64_t> split_index(int64_t v, const Modes& modes) {
  std::vector<int64_t> t;
  for (size_t i = 0; i < modes.size(); ++i) {
    bool last = i + 1 == modes.size();
    t.push_back(last ? v : v % modes[i]->size);
    v = last ? 0 : v / modes[i]->size;
  }
  return t;
}

struct RuleState {
  std::vector<Modes> modes;
  Reach reach;
  size_t inner_rank;  // components of the outer sum
};

// Follows k -> outer(k * step), k < d.size: as long as no mode carries, it is a line; where the
// first carry falls, a new digit begins. False if the digits so found do not divide the size.
bool follow(const Digit& d, RuleState& s, std::vector<Digit>& out) {
  int64_t place = 1, left = d.size;
  while (left > 1) {
    std::vector<std::vector<int64_t>> steps;
    int64_t run = left;
    for (size_t j = 0; j < d.out.size(); ++j) {
      if (d.out[j] < 0 && s.modes[j].size() > 1) return false;
      steps.push_back(split_index(d.out[j] * place, s.modes[j]));
      for (size_t i = 0; i + 1 < s.modes[j].size(); ++i)
        if (int64_t t = steps[j][i]; t > 0) run = std::min(run, (s.modes[j][i]->size + t - 1) / t);
    }
    if (left % run != 0) return false;
    Digit digit{d.label, d.dim, run, std::vector<int64_t>(s.inner_rank, 0)};
    for (size_t j = 0; j < steps.size(); ++j)
      for (size_t i = 0; i < steps[j].size(); ++i) {
        add_scaled(digit.out, s.modes[j][i]->out, steps[j][i]);
        s.reach[j][i] += static_cast<__int128>(run - 1) * steps[j][i];
      }
    out.push_back(std::move(digit));
    place *= run;
    left /= run;
  }
  return true;
}

std::optional<Layout> compose_digits(const Layout& outer, const Layout& inner) {
  RuleState s{modes_by_dim(outer), {}, outer.offset.size()};
  Layout r;
  r.offset = outer.offset;
  for (size_t j = 0; j < s.modes.size(); ++j) {
    if (inner.offset[j] < 0 && s.modes[j].size() > 1) return std::nullopt;
    std::vector<int64_t> t = split_index(inner.offset[j], s.modes[j]);
    s.reach.emplace_back(t.begin(), t.end());
    for (size_t i = 0; i < t.size(); ++i) add_scaled(r.offset, s.modes[j][i]->out, t[i]);
  }
  for (const Digit& d : inner.digits)
    if (!follow(d, s, r.digits)) return std::nullopt;
  for (size_t j = 0; j < s.modes.size(); ++j)
    for (size_t i = 0; i + 1 < s.modes[j].size(); ++i)
      if (s.reach[j][i] >= s.modes[j][i]->size) return std::nullopt;
  r.bits = outer.bits;
  r.shape = outer.shape;
  r.dims = inner.dims;
  return r;
}

std::optional<LinearLayout> compose_linear(const Layout& outer, const Layout& inner) {
  auto o = linear_of(outer), i = linear_of(inner);
  if (!o || !i) return std::nullopt;
  std::vector<uint64_t> column_of;  // outer's column for each packed output bit of inner
  for (size_t j = 0; j < i->widths.size(); ++j)
    for (uint8_t b = 0; b < i->widths[j]; ++b) {
      uint64_t column = 0;
      for (size_t k = 0; k < o->in.size(); ++k)
        if (o->in[k] == InputBit{Label::dim, static_cast<uint8_t>(j), b}) column = o->columns[k];
      column_of.push_back(column);
    }
  LinearLayout m{i->in, {}, o->widths, o->constant ^ times(column_of, i->constant)};
  for (uint64_t c : i->columns) m.columns.push_back(times(column_of, c));
  return m;
}

}  // namespace

Result<Layout> compose(const Layout& outer, const Layout& inner) {
  if (outer.has_hardware())
    return make_diag(
        diag::layout_argument,
        "the left side of a composition is a function of tensor coordinates, not of registers", {},
        "write the memory layout on the left: `mem o reg`");
  if (outer.dims != inner.shape.size()) {
    if (inner.shape.size() != 1)
      return make_diag(
          diag::layout_shape_mismatch,
          fmt::format("the right side has {} output components, the left side {} dimensions",
                      inner.shape.size(), outer.dims));
    TESS_TRY(Layout flat, coalesce(outer));
    return compose(flat, inner);
  }
  for (int j = 0; j < outer.dims; ++j)
    if (int64_t size = size_of(outer, Label::dim, j); inner.shape[j] > size)
      return make_diag(
          diag::layout_shape_mismatch,
          fmt::format(
              "the right side reaches size {} in dimension {}, where the left side has size {}",
              inner.shape[j], j, size));
  if (inner.bits.identity())
    if (auto r = compose_digits(outer, inner)) return canonical_layout(std::move(*r));
  if (auto m = compose_linear(outer, inner)) return layout_of(*m, outer.shape, inner.dims);
  return judge_fit(input_spaces(inner), outer.shape, inner.dims, outer.bits,
                   [&](const LayoutPoint& p) {
                     LayoutPoint q;
                     q.dims = apply(inner, p);
                     return apply(outer, q);
                   });
}

}  // namespace tess
