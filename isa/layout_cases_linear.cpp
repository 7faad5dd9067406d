// The ll.* operations: linear maps over F2 with named inputs and outputs.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_cases.h"
#include "isa/layout_cute.h"
#include "isa/layout_ops.h"
#include "isa/layout_spell.h"

namespace tess::cases {
namespace {

using Args = std::span<const std::string>;
using Vector = std::vector<int64_t>;

Diagnostic bad(std::string why) { return make_diag(diag::layout_argument, std::move(why)); }

std::string print_basis(const Vector& v) {
  if (v.size() == 1) return fmt::format("{}", v[0]);
  std::string text = "(";
  for (size_t i = 0; i < v.size(); ++i) text += fmt::format("{}{}", i ? "," : "", v[i]);
  return text + ")";
}

std::vector<uint8_t> widths(const NamedLinear& m) {
  std::vector<uint8_t> w;
  for (const auto& [name, size] : m.out) w.push_back(static_cast<uint8_t>(width_of(size)));
  return w;
}

std::vector<uint64_t> columns(const NamedLinear& m) {
  std::vector<uint64_t> c;
  for (const auto& in : m.in)
    for (const Vector& v : in.bases) c.push_back(pack_bits(v, widths(m)));
  return c;
}

int bits(const std::vector<uint8_t>& w) {
  int n = 0;
  for (uint8_t x : w) n += x;
  return n;
}

Vector apply_linear(const NamedLinear& m, const std::vector<std::pair<std::string, int64_t>>& at) {
  Vector y(m.out.size(), 0);
  for (const auto& in : m.in)
    for (const auto& [name, value] : at)
      if (name == in.name)
        for (size_t b = 0; b < in.bases.size(); ++b)
          if (value >> b & 1)
            for (size_t j = 0; j < y.size(); ++j) y[j] ^= in.bases[b][j];
  return y;
}

// m with its outputs in the order of `names`; none if the names differ.
std::optional<NamedLinear> reorder_outputs(
    const NamedLinear& m, const std::vector<std::pair<std::string, int64_t>>& like) {
  if (m.out.size() != like.size()) return std::nullopt;
  NamedLinear r = m;
  for (size_t j = 0; j < like.size(); ++j) {
    auto it = std::find_if(m.out.begin(), m.out.end(),
                           [&](const auto& o) { return o.first == like[j].first; });
    if (it == m.out.end()) return std::nullopt;
    size_t from = it - m.out.begin();
    r.out[j] = *it;
    for (size_t i = 0; i < m.in.size(); ++i)
      for (size_t b = 0; b < m.in[i].bases.size(); ++b)
        r.in[i].bases[b][j] = m.in[i].bases[b][from];
  }
  return r;
}

Result<Outcome> compare_linear(const NamedLinear& got, const std::string& expected) {
  Outcome o{print_linear(got), false};
  if (expected == "none" || expected == "reject" || expected == "not-linear") return o;
  TESS_TRY(NamedLinear want, parse_linear(expected));
  o.pass = same_linear(got, want);
  return o;
}

Result<Outcome> at(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear m, parse_linear(a[0]));
  std::vector<std::pair<std::string, int64_t>> where;
  for (const std::string& part : split_trim(a[1], ",")) {
    auto pair = split_trim(part, "=");
    if (pair.size() != 2) return bad("expected name=value");
    TESS_TRY(int64_t v, to_integer(pair[1]));
    auto it =
        std::find_if(m.in.begin(), m.in.end(), [&](const auto& in) { return in.name == pair[0]; });
    if (it == m.in.end()) return bad(fmt::format("there is no input '{}'", pair[0]));
    where.emplace_back(pair[0], v);
  }
  Outcome o = compare_text(print_basis(apply_linear(m, where)), expected);
  return o;
}

Result<Outcome> of(Args a, const std::string& expected) {
  TESS_TRY(cute::Cute c, cute::parse(a[0]));
  Layout l;
  l.dims = 1;
  l.shape = {1};
  l.offset = {0};
  for (const cute::Mode& m : cute::flat(c)) l.digits.push_back({Label::dim, 0, m.size, {m.stride}});
  TESS_TRY(l, canonical_layout(std::move(l)));
  if (c.sw) {
    TESS_TRY(l, swizzle(*c.sw, l));
  }
  auto m = linear_of(l);
  if (!m || m->constant != 0) return compare_text("not-linear", expected);
  std::string text = "[";
  for (size_t i = 0; i < m->columns.size(); ++i)
    text += fmt::format("{}{}", i ? "," : "", m->columns[i]);
  return compare_text(text + "]", expected);
}

Result<Outcome> compose(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear first, parse_linear(a[0]));
  TESS_TRY(NamedLinear second, parse_linear(a[1]));
  NamedLinear r{first.in, second.out};
  for (const auto& [name, size] : first.out) {
    auto it = std::find_if(second.in.begin(), second.in.end(),
                           [&](const auto& in) { return in.name == name; });
    if (it == second.in.end() || (int64_t{1} << it->bases.size()) < size)
      return bad(fmt::format("output '{}' does not fit the second map", name));
  }
  for (auto& in : r.in)
    for (Vector& v : in.bases) {
      std::vector<std::pair<std::string, int64_t>> where;
      for (size_t j = 0; j < v.size(); ++j) where.emplace_back(first.out[j].first, v[j]);
      v = apply_linear(second, where);
    }
  return compare_linear(r, expected);
}

Result<NamedLinear> direct_sum(const NamedLinear& a, const NamedLinear& b) {
  NamedLinear r;
  r.out = a.out;
  for (const auto& [name, size] : b.out)
    if (std::none_of(a.out.begin(), a.out.end(), [&](const auto& o) { return o.first == name; }))
      r.out.emplace_back(name, 1);
  std::vector<int64_t> low;  // a's sizes by r's outputs
  for (const auto& o : r.out) low.push_back(o.second);
  std::vector<size_t> place;  // of b's outputs in r
  for (const auto& [name, size] : b.out) {
    size_t j =
        std::find_if(r.out.begin(), r.out.end(), [&](const auto& o) { return o.first == name; }) -
        r.out.begin();
    place.push_back(j);
    if (size > (int64_t{1} << kMaxLayoutBits) / r.out[j].second)
      return make_diag(diag::layout_limit, "an output reaches 2^62");
    r.out[j].second *= size;
  }
  for (const auto& in : a.in) {
    r.in.push_back(in);
    for (Vector& v : r.in.back().bases) v.resize(r.out.size(), 0);
  }
  for (const auto& in : b.in) {
    auto it =
        std::find_if(r.in.begin(), r.in.end(), [&](const auto& x) { return x.name == in.name; });
    if (it == r.in.end()) it = r.in.insert(r.in.end(), {in.name, {}});
    for (const Vector& v : in.bases) {
      Vector shifted(r.out.size(), 0);
      for (size_t j = 0; j < v.size(); ++j) shifted[place[j]] = v[j] * low[place[j]];
      it->bases.push_back(std::move(shifted));
    }
  }
  return r;
}

Result<Outcome> multiply(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear x, parse_linear(a[0]));
  TESS_TRY(NamedLinear y, parse_linear(a[1]));
  TESS_TRY(NamedLinear r, direct_sum(x, y));
  return compare_linear(r, expected);
}

// C with B * C = A.
Result<Outcome> divide_left(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear whole, parse_linear(a[0]));
  TESS_TRY(NamedLinear part, parse_linear(a[1]));
  NamedLinear c;
  Outcome none = compare_text("none", expected);
  for (const auto& [name, size] : whole.out) {
    int64_t divisor = 1;
    for (const auto& o : part.out)
      if (o.first == name) divisor = o.second;
    if (size % divisor != 0) return none;
    c.out.emplace_back(name, size / divisor);
  }
  for (const auto& in : whole.in) {
    size_t skip = 0;
    for (const auto& p : part.in)
      if (p.name == in.name) skip = p.bases.size();
    if (skip > in.bases.size()) return none;
    NamedLinear::In rest{in.name, {in.bases.begin() + skip, in.bases.end()}};
    for (Vector& v : rest.bases)
      for (size_t j = 0; j < v.size(); ++j) v[j] /= whole.out[j].second / c.out[j].second;
    c.in.push_back(std::move(rest));
  }
  auto back = direct_sum(part, c);
  if (!back || !same_linear(*back, whole)) return none;
  return compare_linear(c, expected);
}

// Least C with B(C(x)) = A(x).
Result<Outcome> invert_compose(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear x, parse_linear(a[0]));
  TESS_TRY(NamedLinear y0, parse_linear(a[1]));
  auto y = reorder_outputs(y0, x.out);
  if (!y) return bad("the two maps have different outputs");
  for (size_t j = 0; j < x.out.size(); ++j) {  // pack both alike
    x.out[j].second = y->out[j].second = std::max(x.out[j].second, y->out[j].second);
  }
  auto solved = solve_columns(columns(*y), columns(x));
  if (!solved) return compare_text("none", expected);
  NamedLinear c{x.in, {}};
  std::vector<uint8_t> w;
  for (const auto& in : y->in) {
    c.out.emplace_back(in.name, int64_t{1} << in.bases.size());
    w.push_back(static_cast<uint8_t>(in.bases.size()));
  }
  size_t i = 0;
  for (auto& in : c.in)
    for (Vector& v : in.bases) v = unpack_bits((*solved)[i++], w);
  return compare_linear(c, expected);
}

// Consecutive inputs of the first input from 0 that give consecutive values of the first output,
// aligned for every other input bit.
Result<Outcome> consecutive(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear m, parse_linear(a[0]));
  if (m.in.empty() || m.out.empty()) return compare_text("1", expected);
  size_t run = 0;
  const auto& first = m.in[0].bases;
  auto is_unit = [&](const Vector& v, size_t b) {
    return v[0] == int64_t{1} << b &&
           std::all_of(v.begin() + 1, v.end(), [](int64_t x) { return x == 0; });
  };
  while (run < first.size() && is_unit(first[run], run)) ++run;
  uint64_t others = 0;
  for (size_t i = 0; i < m.in.size(); ++i)
    for (size_t b = i == 0 ? run : 0; b < m.in[i].bases.size(); ++b)
      others |= static_cast<uint64_t>(m.in[i].bases[b][0]);
  if (others != 0) run = std::min<size_t>(run, std::countr_zero(others));
  return compare_text(fmt::format("{}", int64_t{1} << run), expected);
}

Result<Outcome> free_bits(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear m, parse_linear(a[0]));
  uint64_t mask = free_columns(columns(m));
  std::string text;
  for (const auto& in : m.in) {
    size_t n = in.bases.size();
    uint64_t part = n == 0 ? 0 : mask & (~uint64_t{0} >> (64 - n));
    mask = n == 64 ? 0 : mask >> n;
    text += fmt::format("{}{}={:#b}", text.empty() ? "" : ",", in.name, part);
  }
  return compare_text(text, expected);
}

Result<Outcome> subset(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear x, parse_linear(a[0]));
  TESS_TRY(NamedLinear y0, parse_linear(a[1]));
  auto y = reorder_outputs(y0, x.out);
  if (!y) return bad("the two maps have different outputs");
  for (size_t j = 0; j < x.out.size(); ++j)
    x.out[j].second = y->out[j].second = std::max(x.out[j].second, y->out[j].second);
  return yes_no(solve_columns(columns(*y), columns(x)).has_value(), expected);
}

Result<Outcome> injective(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear m, parse_linear(a[0]));
  return yes_no(free_columns(columns(m)) == 0, expected);
}

Result<Outcome> surjective(Args a, const std::string& expected) {
  TESS_TRY(NamedLinear m, parse_linear(a[0]));
  return yes_no(rank_of(columns(m)) == bits(widths(m)), expected);
}

constexpr OperationRow kOperations[] = {
    {"ll.at", 2, at},
    {"ll.of", 1, of},
    {"ll.compose", 2, compose},
    {"ll.mul", 2, multiply},
    {"ll.divleft", 2, divide_left},
    {"ll.invcompose", 2, invert_compose},
    {"ll.consec", 1, consecutive},
    {"ll.free", 1, free_bits},
    {"ll.subset", 2, subset},
    {"ll.injective", 1, injective},
    {"ll.surjective", 1, surjective},
};

}  // namespace

std::span<const OperationRow> linear_operations() { return kOperations; }

Result<NamedLinear> parse_linear(std::string_view text) {
  static const LayoutEnv kNone;
  LayoutScanner s(text, kNone, {0, 1, 1, 0});
  NamedLinear m;
  TESS_CHECK(s.expect('{'));
  while (!s.take(std::string_view("->"))) {
    if (s.at_end()) return s.error(diag::layout_syntax, "expected '->'");
    NamedLinear::In in{std::string(s.word()), {}};
    if (in.name.empty()) return s.error(diag::layout_syntax, "expected the name of an input");
    TESS_CHECK(s.expect(':'));
    TESS_CHECK(s.expect('['));
    if (!s.take(']')) {
      do {
        if (s.take('(')) {
          TESS_TRY(Vector v, s.integers(')'));
          in.bases.push_back(std::move(v));
        } else {
          TESS_TRY(int64_t v, s.integer());
          in.bases.push_back({v});
        }
        if (in.bases.size() > 62)
          return s.error(diag::layout_limit, "an input has more than 62 bits");
      } while (s.take(','));
      TESS_CHECK(s.expect(']'));
    }
    m.in.push_back(std::move(in));
  }
  do {
    std::string name(s.word());
    TESS_CHECK(s.expect('/'));
    TESS_TRY(int64_t size, s.integer());
    if (size < 1 || !std::has_single_bit(static_cast<uint64_t>(size)))
      return s.error(diag::layout_syntax, "an output's size is a power of two");
    m.out.emplace_back(std::move(name), size);
  } while (s.take(','));
  TESS_CHECK(s.expect('}'));
  if (!s.at_end()) return s.error(diag::layout_syntax, "the map ends before this");
  int total = bits(widths(m)), inputs = 0;
  for (const auto& in : m.in) {
    inputs += static_cast<int>(in.bases.size());
    for (const Vector& v : in.bases) {
      if (v.size() != m.out.size()) return bad("a basis has another length than the output");
      for (size_t j = 0; j < v.size(); ++j)
        if (v[j] < 0 || v[j] >= m.out[j].second) return bad("a basis lies outside the output");
    }
  }
  if (total > 62 || inputs > 62)
    return make_diag(diag::layout_limit, "a map has more than 62 input or output bits");
  return m;
}

std::string print_linear(const NamedLinear& m) {
  std::string text = "{";
  for (const auto& in : m.in) {
    text += in.name + ":[";
    for (size_t i = 0; i < in.bases.size(); ++i) text += (i ? "," : "") + print_basis(in.bases[i]);
    text += "] ";
  }
  text += "-> ";
  for (size_t j = 0; j < m.out.size(); ++j)
    text += fmt::format("{}{}/{}", j ? "," : "", m.out[j].first, m.out[j].second);
  return text + "}";
}

bool same_linear(const NamedLinear& a, const NamedLinear& b0) {
  auto b = reorder_outputs(b0, a.out);
  if (!b || b->out != a.out) return false;
  auto bases = [](const NamedLinear& m, const std::string& name) {
    for (const auto& in : m.in)
      if (in.name == name) return in.bases;
    return std::vector<Vector>{};
  };
  for (const NamedLinear* m : {&a, static_cast<const NamedLinear*>(&*b)})
    for (const auto& in : m->in)
      if (bases(a, in.name) != bases(*b, in.name)) return false;
  return true;
}

Result<Layout> register_layout(const NamedLinear& m) {
  LinearLayout l;
  l.widths = widths(m);
  constexpr std::string_view kNames[] = {"reg", "lane", "warp", "cta"};
  for (int label = 0; label < 4; ++label)
    for (const auto& in : m.in) {
      std::string_view name = in.name == "block"      ? "cta"
                              : in.name == "register" ? "reg"
                                                      : std::string_view(in.name);
      if (name != kNames[label]) continue;
      for (size_t b = 0; b < in.bases.size(); ++b) {
        l.in.push_back({static_cast<Label>(label), 0, static_cast<uint8_t>(b)});
        l.columns.push_back(pack_bits(in.bases[b], l.widths));
      }
    }
  std::vector<int64_t> shape;
  for (const auto& [name, size] : m.out) shape.push_back(size);
  if (shape.empty() || shape.size() > kMaxLayoutRank)
    return make_diag(diag::layout_limit, "a layout has 1 to 8 outputs");
  return layout_of(l, shape, 0);
}

Result<NamedLinear> linear_of_layout(const Layout& l, std::vector<std::string> names,
                                     bool with_warp) {
  auto m = linear_of(l);
  if (!m || m->constant != 0) return make_diag(diag::layout_not_expressible, "not linear over F2");
  NamedLinear r;
  for (size_t j = 0; j < l.shape.size(); ++j) {
    if (!std::has_single_bit(static_cast<uint64_t>(l.shape[j])))
      return make_diag(diag::layout_not_expressible,
                       "not linear over F2: the shape is no power of two");
    r.out.emplace_back(j < names.size() ? names[j] : fmt::format("d{}", j), l.shape[j]);
  }
  auto add = [&](std::string name, Label label, int dim) {
    NamedLinear::In in{std::move(name), {}};
    for (size_t i = 0; i < m->in.size(); ++i)
      if (m->in[i].label == label && m->in[i].dim == dim)
        in.bases.push_back(unpack_bits(m->columns[i], m->widths));
    r.in.push_back(std::move(in));
  };
  if (l.dims == 0) {
    add("reg", Label::reg, 0);
    add("lane", Label::lane, 0);
    if (with_warp || size_of(l, Label::warp) > 1) add("warp", Label::warp, 0);
    if (size_of(l, Label::cta) > 1) add("block", Label::cta, 0);
  }
  for (int d = 0; d < l.dims; ++d)
    add(l.dims == 1 ? "offset" : fmt::format("d{}", d), Label::dim, d);
  return r;
}

}  // namespace tess::cases
