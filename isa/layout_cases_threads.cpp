#include "isa/layout_cases_threads.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/layout.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"
#include "isa/layout_spell.h"

namespace tess::cases {
namespace {

using Args = std::span<const std::string>;
using Vector = std::vector<int64_t>;

Diagnostic bad(std::string why) { return make_diag(diag::layout_argument, std::move(why)); }

Result<Vector> read_list(LayoutScanner& s) {
  TESS_TRY(IntTree t, s.tree());
  if (t.leaf) return Vector{t.value};
  Vector v;
  for (const IntTree& kid : t.kids) {
    if (!kid.leaf) return s.error(diag::layout_syntax, "expected a flat list");
    v.push_back(kid.value);
  }
  return v;
}

// Which dimension each mode belongs to, and the weight of one step of it there.
struct PlacedMode {
  size_t dim;
  int64_t weight;
};
Result<std::vector<PlacedMode>> place_modes(const Vector& shape, const Vector& modes) {
  std::vector<PlacedMode> placed;
  size_t next = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    int64_t covered = 1;
    while (next < modes.size() && (covered < shape[d] || modes[next] == 1)) {
      if (modes[next] < 1 || modes[next] > shape[d] / covered)
        return bad("the modes do not multiply to the shape");
      covered *= modes[next++];
      placed.push_back({d, shape[d] / covered});
    }
    if (covered != shape[d]) return bad("the modes do not multiply to the shape");
  }
  if (next != modes.size()) return bad("the modes do not multiply to the shape");
  return placed;
}

Result<Layout> normal_form(LayoutScanner& s) {
  std::vector<Vector> part(4);
  for (int i = 0; i < 4; ++i) {
    TESS_TRY(part[i], read_list(s));
    TESS_CHECK(s.expect(i == 3 ? ')' : ';'));
  }
  const Vector &shape = part[0], &modes = part[1];
  if (shape.empty() || shape.size() > kMaxLayoutRank)
    return make_diag(diag::layout_limit, "a layout has 1 to 8 dimensions");
  for (int64_t size : shape)
    if (size < 1 || size >= int64_t{1} << 31)
      return make_diag(diag::layout_limit, "a size is below 1 or too large");
  TESS_TRY(auto placed, place_modes(shape, modes));
  Layout l;
  l.shape = shape;
  l.offset.assign(shape.size(), 0);
  std::vector<bool> used(modes.size(), false);
  for (auto [list, label] : {std::pair(&part[2], Label::lane), std::pair(&part[3], Label::reg)})
    for (size_t i = list->size(); i-- > 0;) {  // the last mode is the least significant
      int64_t mode = (*list)[i];
      Digit d{label, 0, mode < 0 ? -mode : 0, Vector(shape.size(), 0)};
      if (mode >= 0) {
        if (mode >= static_cast<int64_t>(modes.size()) || used[mode])
          return bad("a mode number is out of range or used twice");
        used[mode] = true;
        d.size = modes[mode];
        d.out[placed[mode].dim] = placed[mode].weight;
      }
      l.digits.push_back(std::move(d));
    }
  for (size_t i = 0; i < used.size(); ++i)
    if (!used[i] && modes[i] != 1)
      return bad("a mode belongs neither to the threads nor to the registers");
  return canonical_layout(std::move(l));
}

Result<Layout> thread_factor(LayoutScanner& s) {
  std::string name(s.word());
  TESS_CHECK(s.expect('('));
  if (name == "rl") return normal_form(s);
  TESS_TRY(Vector shape, s.integers(')'));
  bool column = name.starts_with("column_");
  std::string_view base = std::string_view(name).substr(column ? 7 : 0);
  if (base == "local") return spread(Label::reg, shape, column);
  if (base == "spatial") return spread(Label::lane, shape, column);
  if (name == "replicate" && shape.size() == 1) return replicate(Label::lane, shape[0]);
  return bad(fmt::format("'{}' is no layout primitive", name));
}

// Product as text if there is one, else the normal form.
std::string print_threads(const Layout& l) {
  if (auto product = spell_product(l)) return dotted(*product);
  auto normal = print_normal_form(l);
  return normal ? *normal : print_canonical(l);
}

Result<Outcome> compare_threads(const Result<Layout>& got, const std::string& expected) {
  if (!got)
    return expected == "none" ? Result<Outcome>(Outcome{"none", true})
                              : Result<Outcome>(got.error());
  Outcome o{print_threads(*got), false};
  if (expected == "none" || expected == "reject") return o;
  TESS_TRY(Layout want, parse_threads(expected));
  o.pass = *got == want;
  return o;
}

Result<Outcome> at(Args a, const std::string& expected) {
  TESS_TRY(Layout l, parse_threads(a[0]));
  TESS_TRY(Vector where, to_tuple(a[1]));
  if (where.size() != 2 || where[0] < 0 || where[0] >= threads_of(l) || where[1] < 0 ||
      where[1] >= registers_of(l))
    return bad("(thread,register) lies outside the layout");
  LayoutPoint p;
  p.lane = where[0];
  p.reg = where[1];
  Vector index = apply(l, p);
  TESS_TRY(Vector want, to_tuple(expected));
  return Outcome{print_tuple(index), index == want};
}

Result<Outcome> holders(Args a, const std::string& expected) {
  TESS_TRY(Layout l, parse_threads(a[0]));
  TESS_TRY(Vector index, to_tuple(a[1]));
  if (index.size() != l.shape.size()) return bad("the index has another rank than the layout");
  TESS_CHECK(judge_enter(input_size(l)));
  std::string text = "(";
  LayoutPoint p;
  for (p.lane = 0; p.lane < threads_of(l); ++p.lane)
    for (p.reg = 0; p.reg < registers_of(l); ++p.reg)
      if (apply(l, p) == index)
        text += fmt::format("{}({},{})", text.size() > 1 ? "," : "", p.lane, p.reg);
  return compare_text(text + ")", expected);
}

Result<Outcome> canon(Args a, const std::string& expected) {
  TESS_TRY(Layout l, parse_threads(a[0]));
  TESS_TRY(std::string text, print_normal_form(l));
  Outcome o = compare_text(text, expected);
  if (o.pass) return o;
  TESS_TRY(Layout want, parse_threads(expected));
  TESS_TRY(std::string again, print_normal_form(want));
  o.pass = want == l && without_spaces(expected) == without_spaces(again);
  return o;
}

Result<Outcome> quotient(Args a, const std::string& expected) {
  TESS_TRY(Layout x, parse_threads(a[0]));
  TESS_TRY(Layout y, parse_threads(a[1]));
  return compare_threads(divide(x, y), expected);
}

Result<Outcome> left_quotient(Args a, const std::string& expected) {
  TESS_TRY(Layout x, parse_threads(a[0]));
  TESS_TRY(Layout y, parse_threads(a[1]));
  return compare_threads(left_divide(x, y), expected);
}

constexpr OperationRow kOperations[] = {
    {"rl.at", 2, at},           {"rl.holders", 2, holders},       {"rl.canon", 1, canon},
    {"rl.divide", 2, quotient}, {"rl.ldivide", 2, left_quotient},
};

}  // namespace

std::span<const OperationRow> thread_operations() { return kOperations; }

Result<Layout> parse_threads(const std::string& text) {
  static const LayoutEnv kNone;
  LayoutScanner s(text, kNone, {0, 1, 1, 0});
  std::vector<Layout> factors;
  do {
    TESS_TRY(Layout f, thread_factor(s));
    factors.push_back(std::move(f));
    if (factors.size() > 64)
      return s.error(diag::layout_limit, "a product has more than 64 factors");
  } while (s.take('.'));
  if (!s.at_end()) return s.error(diag::layout_syntax, "the layout ends before this");
  Layout l = std::move(factors.back());
  for (size_t i = factors.size() - 1; i-- > 0;) {
    TESS_TRY(l, product(factors[i], l, false));
  }
  return l;
}

Result<std::string> print_normal_form(const Layout& l) {
  struct Mode {
    size_t digit;
    int64_t weight, size;
  };
  if (!l.bits.identity() || l.dims > 0)
    return make_diag(diag::layout_not_expressible, "the normal form of products has no xor");
  std::vector<int> number(l.digits.size(), -1);
  std::string shape, modes, spatial, local;
  int next = 0;
  for (size_t d = 0; d < l.shape.size(); ++d) {
    std::vector<Mode> mine;
    for (size_t i = 0; i < l.digits.size(); ++i)
      if (l.digits[i].out[d] != 0) mine.push_back({i, l.digits[i].out[d], l.digits[i].size});
    std::sort(mine.begin(), mine.end(),
              [](const Mode& a, const Mode& b) { return a.weight > b.weight; });
    int64_t weight = l.shape[d];
    for (const Mode& m : mine) {
      if (number[m.digit] >= 0 || weight != m.weight * m.size)
        return make_diag(diag::layout_not_expressible, "a dimension is no product of its digits");
      weight = m.weight;
      number[m.digit] = next++;
      modes += fmt::format("{}{}", modes.empty() ? "" : ",", m.size);
    }
    if (weight != 1)
      return make_diag(diag::layout_not_expressible, "a dimension is no product of its digits");
    shape += fmt::format("{}{}", d ? "," : "", l.shape[d]);
  }
  for (size_t i = l.digits.size(); i-- > 0;) {
    std::string& list = l.digits[i].label == Label::reg ? local : spatial;
    list += fmt::format("{}{}", list.empty() ? "" : ",",
                        number[i] >= 0 ? number[i] : -l.digits[i].size);
  }
  return fmt::format("rl(({});({});({});({}))", shape, modes, spatial, local);
}

std::string dotted(const std::string& product) {
  std::string text;
  for (char c : product)
    if (c == '*') text += '.';
    else if (c != ' ') text += c;
  return text;
}

Result<Vector> to_tuple(const std::string& text) {
  static const LayoutEnv kNone;
  LayoutScanner s(text, kNone, {0, 1, 1, 0});
  TESS_TRY(Vector v, read_list(s));
  if (!s.at_end()) return s.error(diag::layout_case_syntax, "expected a tuple of integers");
  return v;
}

std::string print_tuple(const Vector& v) {
  std::string text = "(";
  for (size_t i = 0; i < v.size(); ++i) text += fmt::format("{}{}", i ? "," : "", v[i]);
  return text + ")";
}

}  // namespace tess::cases
