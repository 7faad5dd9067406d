// Inverses and complements: by the order of strides, or by elimination over F2.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_ops.h"

namespace tess {
namespace {

Diagnostic no_inverse(std::string why) {
  return make_diag(diag::layout_no_inverse, std::move(why));
}

// The coordinates an inverse returns: one output component for each space of the layout.
struct Spaces {
  std::vector<std::pair<Label, int>> names;
  std::vector<int64_t> sizes;
  int index(Label label, int dim) const {
    for (size_t i = 0; i < names.size(); ++i)
      if (names[i] == std::pair(label, dim)) return static_cast<int>(i);
    return -1;
  }
};

Spaces spaces_of(const Layout& l) {
  Spaces s;
  for (Label label : {Label::reg, Label::lane, Label::warp, Label::cta})
    if (size_of(l, label) > 1) s.names.emplace_back(label, 0), s.sizes.push_back(size_of(l, label));
  for (int d = 0; d < l.dims; ++d)
    s.names.emplace_back(Label::dim, d), s.sizes.push_back(size_of(l, Label::dim, d));
  if (s.names.empty()) s.names.emplace_back(Label::reg, 0), s.sizes.push_back(1);
  return s;
}

// A digit seen from its one output component.
struct Step {
  int64_t stride, size;
  int space;      // which coordinate
  int64_t place;  // what one step adds to that coordinate
};

// Steps of output component j by ascending stride; none if a digit moves several components or
// backwards.
std::optional<std::vector<std::vector<Step>>> steps_by_component(const Layout& l,
                                                                 const Spaces& spaces) {
  std::vector<std::vector<Step>> steps(l.shape.size());
  std::vector<int64_t> place(spaces.names.size(), 1);
  for (const Digit& d : l.digits) {
    int space = spaces.index(d.label, d.dim);
    int component = -1;
    for (size_t j = 0; j < d.out.size(); ++j)
      if (d.out[j] != 0) {
        if (component >= 0 || d.out[j] < 0) return std::nullopt;
        component = static_cast<int>(j);
      }
    if (component >= 0) steps[component].push_back({d.out[component], d.size, space, place[space]});
    place[space] *= d.size;
  }
  for (auto& s : steps)
    std::sort(s.begin(), s.end(), [](const Step& a, const Step& b) {
      return std::pair(a.stride, a.size) < std::pair(b.stride, b.size);
    });
  return steps;
}

Layout empty_inverse(const Layout& l, const Spaces& spaces) {
  Layout r;
  r.dims = static_cast<uint8_t>(l.shape.size());
  r.shape = spaces.sizes;
  r.offset.assign(spaces.sizes.size(), 0);
  return r;
}

Digit inverse_digit(const Layout& r, size_t component, int64_t size, int space, int64_t place) {
  Digit d{Label::dim, static_cast<uint8_t>(component), size,
          std::vector<int64_t>(r.shape.size(), 0)};
  if (space >= 0) d.out[space] = place;
  return d;
}

bool zero_offset(const Layout& l) {
  return std::all_of(l.offset.begin(), l.offset.end(), [](int64_t v) { return v == 0; });
}

uint64_t unit(const std::vector<uint8_t>& widths, size_t component, int bit) {
  int at = 0;
  for (size_t j = 0; j < component; ++j) at += widths[j];
  return uint64_t{1} << (at + bit);
}

// A mask over the input bits as the vector of coordinates it sets.
std::vector<int64_t> coordinates(const LinearLayout& m, const Spaces& spaces, uint64_t mask) {
  std::vector<int64_t> v(spaces.sizes.size(), 0);
  for (size_t i = 0; i < m.in.size(); ++i)
    if (mask >> i & 1) v[spaces.index(m.in[i].label, m.in[i].dim)] |= int64_t{1} << m.in[i].bit;
  return v;
}

// The inverse whose digits are bits: dimension j's bit b maps to image(j, b); stops at the first
// none.
Result<Layout> linear_inverse(const Layout& l, const LinearLayout& m, const Spaces& spaces,
                              uint64_t at_zero,
                              const std::function<std::optional<uint64_t>(size_t, int)>& image) {
  LinearLayout r;
  for (int64_t s : spaces.sizes) r.widths.push_back(static_cast<uint8_t>(width_of(s)));
  r.constant = pack_bits(coordinates(m, spaces, at_zero), r.widths);
  for (size_t j = 0; j < m.widths.size(); ++j)
    for (int b = 0; b < m.widths[j]; ++b) {
      auto mask = image(j, b);
      if (!mask) break;
      r.in.push_back({Label::dim, static_cast<uint8_t>(j), static_cast<uint8_t>(b)});
      r.columns.push_back(pack_bits(coordinates(m, spaces, *mask), r.widths));
    }
  return layout_of(r, spaces.sizes, static_cast<int>(l.shape.size()));
}

}  // namespace

Result<Layout> coalesce(const Layout& l) {
  if (l.has_hardware())
    return make_diag(diag::layout_argument, "coalesce makes one dimension of a memory layout's");
  Layout r = l;
  r.spelling.clear();
  for (Digit& d : r.digits) d.dim = 0;
  r.dims = 1;
  return canonical_layout(std::move(r));
}

Result<Layout> complement(const Layout& memory, int64_t extent) {
  if (!memory.is_memory())
    return make_diag(diag::layout_argument, "complement applies to memory layouts");
  if (extent < 1 || extent >= int64_t{1} << kMaxLayoutBits)
    return make_diag(diag::layout_argument,
                     "the extent of a complement is below 1 or at least 2^62");
  Layout r;
  r.dims = 1;
  r.shape = {1};
  r.offset = {0};
  if (!memory.bits.identity()) {
    auto m = linear_of(memory);
    if (!m)
      return make_diag(diag::layout_no_complement,
                       "a swizzled layout has a complement only if its sizes are powers of two");
    Echelon span;
    for (uint64_t c : m->columns) span.insert(c, 0);
    for (int b = 0; (int64_t{1} << b) < extent; ++b)
      if (span.insert(uint64_t{1} << b, 0))
        r.digits.push_back({Label::dim, 0, 2, {int64_t{1} << b}});
    return canonical_layout(std::move(r));
  }
  std::vector<std::pair<int64_t, int64_t>> modes;  // stride, size
  for (const Digit& d : memory.digits) {
    if (d.out[0] < 0)
      return make_diag(diag::layout_no_complement,
                       "a layout with a negative stride has no complement");
    if (d.out[0] > 0) modes.emplace_back(d.out[0], d.size);
  }
  std::sort(modes.begin(), modes.end());
  int64_t filled = 1;
  for (auto [stride, size] : modes) {
    if (stride < filled)
      return make_diag(
          diag::layout_no_complement,
          fmt::format("stride {} begins before the modes below it end, at {}", stride, filled));
    r.digits.push_back({Label::dim, 0, stride / filled, {filled}});
    filled = stride * size;
  }
  r.digits.push_back({Label::dim, 0, (extent + filled - 1) / filled, {filled}});
  return canonical_layout(std::move(r));
}

Result<Layout> right_inverse(const Layout& l) {
  Spaces spaces = spaces_of(l);
  if (auto m = linear_of(l); m && !l.bits.identity()) {
    Echelon span;
    for (size_t i = 0; i < m->columns.size(); ++i) span.insert(m->columns[i], static_cast<int>(i));
    auto at_zero = span.solve(m->constant);
    if (!at_zero)
      return no_inverse("the layout never reaches 0, so nothing maps onto it from 0 up");
    return linear_inverse(l, *m, spaces, *at_zero,
                          [&](size_t j, int b) { return span.solve(unit(m->widths, j, b)); });
  }
  if (!l.bits.identity())
    return no_inverse("a swizzled layout has an inverse only if its sizes are powers of two");
  if (!zero_offset(l)) return no_inverse("a layout with an offset has no inverse from 0 up");
  auto steps = steps_by_component(l, spaces);
  if (!steps) return no_inverse("a digit moves several output components at once, or backwards");
  Layout r = empty_inverse(l, spaces);
  for (size_t j = 0; j < steps->size(); ++j) {
    int64_t reached = 1;
    for (const Step& s : (*steps)[j]) {
      if (s.stride < reached) continue;
      if (s.stride > reached) break;
      r.digits.push_back(inverse_digit(r, j, s.size, s.space, s.place));
      reached *= s.size;
    }
  }
  return canonical_layout(std::move(r));
}

Result<Layout> left_inverse(const Layout& l) {
  Spaces spaces = spaces_of(l);
  if (auto m = linear_of(l); m && !l.bits.identity()) {
    Echelon span;
    for (size_t i = 0; i < m->columns.size(); ++i)
      if (!span.insert(m->columns[i], static_cast<int>(i)))
        return no_inverse("two elements lie at the same place");
    Echelon whole = span;
    uint64_t known =
        m->columns.size() == 64 ? ~uint64_t{0} : (uint64_t{1} << m->columns.size()) - 1;
    int next = static_cast<int>(m->columns.size());
    for (size_t j = 0; j < m->widths.size(); ++j)
      for (int b = 0; b < m->widths[j]; ++b)
        if (next < 64 && whole.insert(unit(m->widths, j, b), next)) ++next;
    uint64_t at_zero = *whole.solve(m->constant) & known;
    return linear_inverse(l, *m, spaces, at_zero, [&](size_t j, int b) {
      return std::optional(*whole.solve(unit(m->widths, j, b)) & known);
    });
  }
  if (!l.bits.identity())
    return no_inverse("a swizzled layout has an inverse only if its sizes are powers of two");
  if (!zero_offset(l))
    return no_inverse("a layout with an offset has no inverse as a sum of digits");
  auto steps = steps_by_component(l, spaces);
  if (!steps) return no_inverse("a digit moves several output components at once, or backwards");
  for (const Digit& d : l.digits)
    if (std::all_of(d.out.begin(), d.out.end(), [](int64_t v) { return v == 0; }))
      return no_inverse("the layout holds copies: two coordinates lie at the same place");
  Layout r = empty_inverse(l, spaces);
  for (size_t j = 0; j < steps->size(); ++j) {
    const auto& s = (*steps)[j];
    if (!s.empty()) r.digits.push_back(inverse_digit(r, j, s[0].stride, -1, 0));
    for (size_t i = 0; i < s.size(); ++i) {
      if (i + 1 == s.size()) {
        r.digits.push_back(inverse_digit(r, j, s[i].size, s[i].space, s[i].place));
        continue;
      }
      int64_t room = s[i + 1].stride / s[i].stride;
      if (room < s[i].size) return no_inverse("two elements lie at the same place");
      if (s[i + 1].stride % s[i].stride != 0)
        return no_inverse(
            fmt::format("the strides {} and {} do not divide", s[i].stride, s[i + 1].stride));
      r.digits.push_back(inverse_digit(r, j, room, s[i].space, s[i].place));
    }
  }
  for (size_t k = 0; k < r.shape.size(); ++k) {  // gaps may lead beyond the coordinates of l
    __int128 most = 0;
    for (const Digit& d : r.digits) most += static_cast<__int128>(d.size - 1) * d.out[k];
    if (most >= int64_t{1} << kMaxLayoutBits)
      return make_diag(diag::layout_limit, "an inverse reaches 2^62");
    r.shape[k] = std::max(r.shape[k], static_cast<int64_t>(most) + 1);
  }
  return canonical_layout(std::move(r));
}

Result<Layout> invert_and_compose(const Layout& a, const Layout& b) {
  auto ma = linear_of(a), mb = linear_of(b);
  if (!ma || !mb)
    return make_diag(
        diag::layout_not_expressible,
        "this inverse is taken over F2 and needs sizes that are powers of two without carries");
  if (a.shape != b.shape)
    return make_diag(diag::layout_shape_mismatch, "the two layouts are of different tensors");
  Spaces spaces = spaces_of(b);
  std::vector<Echelon> reach(5);  // the span of b's labels up to each one
  for (int level = 0; level < 5; ++level)
    for (size_t i = 0; i < mb->in.size(); ++i)
      if (static_cast<int>(mb->in[i].label) <= level)
        reach[level].insert(mb->columns[i], static_cast<int>(i));
  auto preimage = [&](const InputBit& in, uint64_t target) -> std::optional<uint64_t> {
    auto same = std::find(mb->in.begin(), mb->in.end(), in);
    if (same != mb->in.end() && mb->columns[same - mb->in.begin()] == target)
      return uint64_t{1} << (same - mb->in.begin());
    for (int level = 0; level < 5; ++level) {
      if (same != mb->in.end()) {
        uint64_t stay = uint64_t{1} << (same - mb->in.begin());
        if (auto rest = reach[level].solve(target ^ mb->columns[same - mb->in.begin()]))
          if (static_cast<int>(in.label) > level) return *rest ^ stay;
      }
      if (static_cast<int>(in.label) <= level)
        if (auto x = reach[level].solve(target)) return x;
    }
    return std::nullopt;
  };
  LinearLayout c;
  for (int64_t s : spaces.sizes) c.widths.push_back(static_cast<uint8_t>(width_of(s)));
  c.in = ma->in;
  for (size_t i = 0; i < ma->columns.size(); ++i) {
    auto mask = preimage(ma->in[i], ma->columns[i]);
    if (!mask)
      return no_inverse("the first layout reaches an element that the second does not hold");
    c.columns.push_back(pack_bits(coordinates(*mb, spaces, *mask), c.widths));
  }
  auto constant = reach[4].solve(ma->constant ^ mb->constant);
  for (int level = 3; constant && level >= 0; --level)
    if (auto cheaper = reach[level].solve(ma->constant ^ mb->constant)) constant = cheaper;
  if (!constant)
    return no_inverse("the first layout reaches an element that the second does not hold");
  c.constant = pack_bits(coordinates(*mb, spaces, *constant), c.widths);
  return layout_of(c, spaces.sizes, a.dims);
}

}  // namespace tess
