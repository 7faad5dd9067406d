#include "isa/layout_cute.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_judge.h"

namespace tess::cute {
namespace {

constexpr int64_t kBound = int64_t{1} << kMaxLayoutBits;

Diagnostic refuse(std::string why) {
  return make_diag(diag::layout_no_composition, std::move(why));
}

void leaves(const IntTree& shape, const IntTree& stride, Modes& out) {
  if (shape.leaf) {
    out.push_back({shape.value, stride.value});
    return;
  }
  for (size_t i = 0; i < shape.kids.size(); ++i) leaves(shape.kids[i], stride.kids[i], out);
}

bool congruent(const IntTree& a, const IntTree& b) {
  if (a.leaf != b.leaf || a.kids.size() != b.kids.size()) return false;
  for (size_t i = 0; i < a.kids.size(); ++i)
    if (!congruent(a.kids[i], b.kids[i])) return false;
  return true;
}

Status compact(const IntTree& shape, int64_t& next, IntTree& stride) {
  stride.leaf = shape.leaf;
  stride.value = next;
  if (shape.leaf) {
    if (shape.value < 1 || __builtin_mul_overflow(next, shape.value, &next) || next >= kBound)
      return make_diag(diag::layout_limit, "a size is below 1 or a shape above 2^62");
    return ok();
  }
  for (const IntTree& kid : shape.kids) {
    stride.kids.emplace_back();
    TESS_CHECK(compact(kid, next, stride.kids.back()));
  }
  return ok();
}

Status check(const Modes& m) {
  __int128 n = 1, most = 0;
  for (const Mode& x : m) {
    if (x.size < 1) return make_diag(diag::layout_invalid, "a size is below 1");
    if ((n *= x.size) >= kBound)
      return make_diag(diag::layout_limit, "a shape has 2^62 elements or more");
    most += static_cast<__int128>(x.size) *
            (x.stride < 0 ? -static_cast<__int128>(x.stride) : x.stride);
    if (most >= kBound) return make_diag(diag::layout_limit, "an offset reaches 2^62");
  }
  return ok();
}

IntTree leaf(int64_t v) { return {true, v, {}}; }
IntTree tree_of(const Modes& m, bool strides) {
  if (m.size() == 1) return leaf(strides ? m[0].stride : m[0].size);
  IntTree t{false, 0, {}};
  for (const Mode& x : m) t.kids.push_back(leaf(strides ? x.stride : x.size));
  return t;
}

Cute make(std::vector<Modes> top) {
  Cute l;
  for (Modes& m : top)
    if (m.empty()) m.push_back({1, 0});
  l.top = std::move(top);
  l.shape.leaf = l.stride.leaf = false;
  for (const Modes& m : l.top) {
    l.shape.kids.push_back(tree_of(m, false));
    l.stride.kids.push_back(tree_of(m, true));
  }
  return l;
}

Modes digits_as_modes(const Layout& l, int dim) {
  Modes m;
  for (const Digit& d : l.digits)
    if (d.dim == dim) m.push_back({d.size, d.out[0]});
  if (m.empty()) m.push_back({1, 0});
  return m;
}

// The layout with dimensions b.top and the values of b.
Result<Layout> as_layout(const std::vector<Modes>& top) {
  if (top.size() > kMaxLayoutRank)
    return make_diag(diag::layout_limit, "a layout has at most 8 top-level modes");
  Layout l;
  l.dims = static_cast<uint8_t>(top.size());
  l.shape = {1};
  l.offset = {0};
  for (size_t i = 0; i < top.size(); ++i)
    for (const Mode& m : top[i])
      l.digits.push_back({Label::dim, static_cast<uint8_t>(i), m.size, {m.stride}});
  return canonical_layout(std::move(l));
}

// a over b's top-level modes; the last mode of a is as long as b needs.
Result<std::vector<Modes>> compose_modes(const Modes& a, const std::vector<Modes>& b) {
  Modes all;
  for (const Modes& m : b) all.insert(all.end(), m.begin(), m.end());
  TESS_CHECK(check(a));
  TESS_CHECK(check(all));
  int64_t most = 0, least = 0;
  for (const Mode& m : all) (m.stride < 0 ? least : most) += (m.size - 1) * m.stride;
  Modes outer = a.empty() ? Modes{{1, 0}} : a;
  int64_t prefix = 1;
  for (size_t i = 0; i + 1 < outer.size(); ++i) prefix *= outer[i].size;
  outer.back().size = std::max(outer.back().size, most / prefix + 1);
  TESS_CHECK(check(outer));
  Modes line = coalesce(outer);
  if (least < 0) {
    if (line.size() > 1) return refuse("a negative coordinate of several modes");
    std::vector<Modes> r = b;
    for (Modes& m : r)
      for (Mode& x : m)
        if (__builtin_mul_overflow(x.stride, line[0].stride, &x.stride))
          return make_diag(diag::layout_limit, "a stride leaves 64 bits");
    return r;
  }
  TESS_TRY(Layout outer_layout, as_layout({outer}));
  TESS_TRY(Layout inner_layout, as_layout(b));
  TESS_TRY(Layout r, tess::compose(outer_layout, inner_layout));
  if (!r.bits.identity() || r.offset[0] != 0) return refuse("the result is no shape:stride");
  std::vector<Modes> top;
  for (size_t i = 0; i < b.size(); ++i) top.push_back(digits_as_modes(r, static_cast<int>(i)));
  return top;
}

}  // namespace

Result<Cute> parse(LayoutScanner& scan) {
  Cute l;
  if (scan.take(std::string_view("Sw<"))) {
    Swizzle sw;
    for (int* part : {&sw.b, &sw.m, &sw.s}) {
      TESS_TRY(int64_t v, scan.integer());
      if (v < -64 || v > 64)
        return scan.error(diag::layout_argument, "a swizzle takes small integers");
      *part = static_cast<int>(v);
      TESS_CHECK(scan.expect(part == &sw.s ? '>' : ','));
    }
    TESS_CHECK(check_swizzle(sw));
    if (!scan.take(std::string_view("o")))
      return scan.error(diag::layout_syntax, "expected 'o' and a layout after a swizzle");
    l.sw = sw;
  }
  TESS_TRY(l.shape, scan.tree());
  if (scan.take(':')) {
    TESS_TRY(l.stride, scan.tree());
    if (!congruent(l.shape, l.stride))
      return scan.error(diag::layout_syntax, "the strides are not bracketed like the shape");
  } else {
    int64_t next = 1;
    TESS_CHECK(compact(l.shape, next, l.stride));
  }
  l.tuple = !l.shape.leaf;
  if (l.shape.leaf) {
    l.top = {{{l.shape.value, l.stride.value}}};
  } else {
    for (size_t i = 0; i < l.shape.kids.size(); ++i)
      leaves(l.shape.kids[i], l.stride.kids[i], l.top.emplace_back());
  }
  TESS_CHECK(check(flat(l)));
  return l;
}

Result<Cute> parse(std::string_view text) {
  static const LayoutEnv kNone;
  LayoutScanner scan(text, kNone, {0, 1, 1, 0});
  TESS_TRY(Cute l, parse(scan));
  if (!scan.at_end()) return scan.error(diag::layout_syntax, "the layout ends before this");
  return l;
}

std::string print(const Swizzle& s) { return fmt::format("Sw<{},{},{}>", s.b, s.m, s.s); }

std::string print(const Cute& l) {
  std::string text = print_tree(l.shape) + ":" + print_tree(l.stride);
  return l.sw ? print(*l.sw) + " o " + text : text;
}

Cute of(const Modes& m) {
  std::vector<Modes> top;
  for (const Mode& x : m) top.push_back({x});
  Cute l = make(std::move(top));
  if (m.size() == 1) {
    l.tuple = false;
    l.shape = leaf(m[0].size);
    l.stride = leaf(m[0].stride);
  }
  return l;
}

Modes flat(const Cute& l) {
  Modes all;
  for (const Modes& m : l.top) all.insert(all.end(), m.begin(), m.end());
  return all;
}

int64_t size(const Modes& m) {
  int64_t n = 1;
  for (const Mode& x : m) n *= x.size;
  return n;
}
int64_t size(const Cute& l) { return size(flat(l)); }

int64_t at(const Modes& m, int64_t c) {
  int64_t value = 0;
  for (size_t i = 0; i < m.size(); ++i) {
    bool last = i + 1 == m.size();
    value += (last ? c : c % m[i].size) * m[i].stride;
    c = last ? 0 : c / m[i].size;
  }
  return value;
}

namespace {
Result<int64_t> tree_at(const IntTree& shape, const IntTree& stride, const IntTree& c) {
  if (c.leaf) {
    Modes m;
    leaves(shape, stride, m);
    __int128 reach = 0;
    for (const Mode& x : m)
      reach += static_cast<__int128>(x.stride < 0 ? -x.stride : x.stride) * c.value;
    if (c.value < 0 || reach >= kBound)
      return make_diag(diag::layout_argument, "a coordinate is negative or too large");
    return at(m, c.value);
  }
  if (shape.leaf || shape.kids.size() != c.kids.size())
    return make_diag(diag::layout_argument, "the coordinate is not bracketed like the shape");
  int64_t value = 0;
  for (size_t i = 0; i < c.kids.size(); ++i) {
    TESS_TRY(int64_t part, tree_at(shape.kids[i], stride.kids[i], c.kids[i]));
    value += part;
  }
  return value;
}
}  // namespace

Result<int64_t> at(const Cute& l, const IntTree& c) {
  TESS_TRY(int64_t value, tree_at(l.shape, l.stride, c));
  if (l.sw && value >= 0) value = static_cast<int64_t>(apply(*l.sw, static_cast<uint64_t>(value)));
  return value;
}

int64_t cosize(const Cute& l) {
  int64_t most = 0;
  for (const Mode& m : flat(l)) most += m.stride > 0 ? (m.size - 1) * m.stride : 0;
  return most + 1;
}

Result<bool> same(const Cute& a, const Cute& b, bool by_mode) {
  if (size(a) != size(b)) return false;
  if (by_mode) {
    if (a.top.size() != b.top.size()) return false;
    for (size_t i = 0; i < a.top.size(); ++i)
      if (size(a.top[i]) != size(b.top[i])) return false;
  }
  if (a.sw == b.sw)
    return coalesce(flat(a)) == coalesce(flat(b));  // unique as long as sizes are above 1
  TESS_CHECK(judge_enter(size(a)));
  for (int64_t c = 0; c < size(a); ++c) {
    TESS_TRY(int64_t x, at(a, leaf(c)));
    TESS_TRY(int64_t y, at(b, leaf(c)));
    if (x != y) return false;
  }
  return true;
}

Modes coalesce(const Modes& m) {
  Modes r;
  for (const Mode& x : m) {
    if (x.size == 1) continue;
    if (!r.empty() && static_cast<__int128>(r.back().size) * r.back().stride == x.stride)
      r.back().size *= x.size;
    else r.push_back(x);
  }
  if (r.empty()) r.push_back({1, 0});
  return r;
}

Result<Modes> complement(const Modes& m, int64_t extent) {
  TESS_TRY(Layout l, as_layout({m}));
  TESS_TRY(Layout r, tess::complement(l, extent));
  return digits_as_modes(r, 0);
}

Result<Cute> compose(const Modes& a, const Cute& b) {
  TESS_TRY(auto top, compose_modes(a, b.top));
  if (!b.tuple) return of(top[0]);
  return make(std::move(top));
}

Result<Cute> compose_by_mode(const Cute& a, const std::vector<Cute>& tiler) {
  if (tiler.size() > a.top.size()) return refuse("the tiler has more modes than the layout");
  std::vector<Modes> top = a.top;
  for (size_t i = 0; i < tiler.size(); ++i) {
    TESS_TRY(auto part, compose_modes(a.top[i], {flat(tiler[i])}));
    top[i] = std::move(part[0]);
  }
  return make(std::move(top));
}

namespace {
// Tile and rest of one mode list.
Result<std::vector<Modes>> divide_modes(const Modes& a, const Modes& b) {
  TESS_TRY(Modes rest, complement(b, size(a)));
  return compose_modes(a, {b, rest});
}
void append(Modes& to, const Modes& from) { to.insert(to.end(), from.begin(), from.end()); }
}  // namespace

Result<Cute> divide(const Cute& a, const Cute& b) {
  TESS_TRY(auto top, divide_modes(flat(a), flat(b)));
  return make(std::move(top));
}

Result<Cute> zipped_divide(const Cute& a, const std::vector<Cute>& tiler) {
  if (tiler.size() > a.top.size()) return refuse("the tiler has more modes than the layout");
  std::vector<Modes> top(2);
  for (size_t i = 0; i < a.top.size(); ++i) {
    if (i >= tiler.size()) {
      append(top[1], a.top[i]);
      continue;
    }
    TESS_TRY(auto parts, divide_modes(a.top[i], flat(tiler[i])));
    append(top[0], parts[0]);
    append(top[1], parts[1]);
  }
  return make(std::move(top));
}

Result<Cute> product(const Cute& a, const Cute& b) {
  __int128 extent = static_cast<__int128>(size(a)) * cosize(b);
  if (extent >= kBound) return make_diag(diag::layout_limit, "a product reaches 2^62");
  TESS_TRY(Modes rest, complement(flat(a), static_cast<int64_t>(extent)));
  TESS_TRY(auto outer, compose_modes(rest, {flat(b)}));
  return make({flat(a), outer[0]});
}

Result<Cute> zipped_product(const Cute& a, const Cute& b, bool raked) {
  __int128 extent = static_cast<__int128>(size(a)) * cosize(b);
  if (extent >= kBound) return make_diag(diag::layout_limit, "a product reaches 2^62");
  std::vector<Modes> inner = a.top, outer = b.top;
  size_t rank = std::max(inner.size(), outer.size());
  inner.resize(rank, {{1, 0}});
  outer.resize(rank, {{1, 0}});
  TESS_TRY(Modes rest, complement(flat(a), static_cast<int64_t>(extent)));
  TESS_TRY(outer, compose_modes(rest, outer));
  std::vector<Modes> top;
  for (size_t i = 0; i < rank; ++i) {
    top.push_back(raked ? outer[i] : inner[i]);
    append(top.back(), raked ? inner[i] : outer[i]);
  }
  return make(std::move(top));
}

namespace {
struct Placed {
  int64_t stride, size, place;
  auto operator<=>(const Placed&) const = default;
};
// Modes by ascending positive stride, with the coordinate that one step of each is.
std::vector<Placed> by_stride(const Modes& m) {
  std::vector<Placed> placed;
  int64_t place = 1;
  for (const Mode& x : coalesce(m)) {
    if (x.stride > 0 && x.size > 1) placed.push_back({x.stride, x.size, place});
    place *= x.size;
  }
  std::sort(placed.begin(), placed.end());
  return placed;
}
}  // namespace

Modes right_inverse(const Modes& m) {
  Modes r;
  int64_t reached = 1;
  for (const Placed& p : by_stride(m)) {
    if (p.stride < reached) continue;
    if (p.stride > reached) break;
    r.push_back({p.size, p.place});
    reached *= p.size;
  }
  return coalesce(r);
}

Result<Modes> left_inverse(const Modes& m) {
  std::vector<Placed> p = by_stride(m);
  Modes r;
  if (!p.empty()) r.push_back({p[0].stride, 0});
  for (size_t i = 0; i < p.size(); ++i) {
    if (i + 1 == p.size()) {
      r.push_back({p[i].size, p[i].place});
      break;
    }
    int64_t room = p[i + 1].stride / p[i].stride;
    if (room < p[i].size || p[i + 1].stride % p[i].stride != 0)
      return make_diag(diag::layout_no_inverse,
                       fmt::format("the strides {} and {} do not divide with room for {}",
                                   p[i].stride, p[i + 1].stride, p[i].size));
    r.push_back({room, p[i].place});
  }
  return coalesce(r);
}

Modes null_space(const Modes& m) {
  Modes r;
  int64_t place = 1;
  for (const Mode& x : m) {
    if (x.stride == 0) r.push_back({x.size, place});
    place *= x.size;
  }
  return r.empty() ? Modes{{1, 0}} : r;
}

// The longest run of offsets from 0 that a meets at b's coordinates for them. It ends where the
// first mode of a o rinv(b) ends, so the rest of that composition need not be a layout.
Result<int64_t> max_common_vector(const Cute& a, const Cute& b) {
  Modes places = right_inverse(flat(b)), outer = flat(a);
  int64_t v = 1;
  if (auto common = compose(outer, of(places))) {
    Modes line = coalesce(flat(*common));
    if (line[0].stride == 1) v = line[0].size;
  } else {
    TESS_CHECK(judge_enter(size(places)));
    while (v < size(places) && at(outer, at(places, v)) == v) ++v;
  }
  for (const Cute* l : {&a, &b})
    if (l->sw) v = std::min(v, int64_t{1} << l->sw->m);
  return v;
}

}  // namespace tess::cute
