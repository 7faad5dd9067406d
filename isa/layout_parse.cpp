// The grammar of layout expressions:
//   expr    = term { "o" term }                      right-associative
//   term    = factor { "*" factor }                  left is outer
//   factor  = "Sw<b,m,s>" "o" … | "#name" | op "(" … ")" | atom | "{" bases "}" | shape ":" stride
//   | "(" expr ")" stride  = integers like the shape | "row" | "col" bases   = { label ":" "["
//   entry,… "]" } [("at" | "xor") ":" vector] "->" sizes entry   = vector (one bit) | size ":"
//   vector (a digit of any size; such entries add instead of xor)
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "isa/diag/layout.h"
#include "isa/layout_atoms.h"
#include "isa/layout_bits.h"
#include "isa/layout_spell.h"

namespace tess {
namespace {

constexpr int kMaxDepth = 32;
constexpr int kMaxFactors = 256;

// Operand of `o`: a layout, or a swizzle that waits for its right side.
struct Operand {
  std::optional<Swizzle> sw;
  Layout layout;
  size_t pos = 0;
};

// A value's error gets the place of the text it came from, unless it has one.
template <class T>
Result<T> located(Result<T> r, const LayoutScanner& s, size_t pos) {
  if (!r && r.error().span.line == 0) r.error().span = s.place(pos);
  return r;
}

bool flatten_pair(const IntTree& shape, const IntTree& stride, uint8_t dim,
                  std::vector<Digit>& digits) {
  if (shape.leaf != stride.leaf || shape.kids.size() != stride.kids.size()) return false;
  if (shape.leaf) {
    digits.push_back({Label::dim, dim, shape.value, {stride.value}});
    return true;
  }
  for (size_t i = 0; i < shape.kids.size(); ++i)
    if (!flatten_pair(shape.kids[i], stride.kids[i], dim, digits)) return false;
  return true;
}

// Compact strides like `shape`: the last leaf fastest for rows, the first for columns. False on
// overflow.
bool compact(const IntTree& shape, bool row, int64_t& next, IntTree& out) {
  out.leaf = shape.leaf;
  if (shape.leaf) {
    out.value = next;
    return shape.value > 0 && !__builtin_mul_overflow(next, shape.value, &next);
  }
  out.kids.resize(shape.kids.size());
  for (size_t i = 0; i < shape.kids.size(); ++i) {
    size_t k = row ? shape.kids.size() - 1 - i : i;
    if (!compact(shape.kids[k], row, next, out.kids[k])) return false;
  }
  return true;
}

class Parser {
 public:
  explicit Parser(LayoutScanner& scan) : s_(scan) {}

  Result<Layout> expr(int depth) {
    if (depth > kMaxDepth)
      return s_.error(diag::layout_syntax, "brackets are nested more than 32 deep");
    std::vector<Operand> chain;
    do {
      TESS_TRY(Operand operand, term(depth));
      chain.push_back(std::move(operand));
      if (chain.size() > kMaxFactors)
        return s_.error(diag::layout_limit, "a composition has more than 256 parts");
    } while (s_.take(std::string_view("o")));
    if (chain.back().sw)
      return s_.error_at(chain.back().pos, diag::layout_syntax,
                         "a swizzle stands outside a memory layout",
                         "write `Sw<b,m,s> o SHAPE:STRIDE`");
    Layout right = std::move(chain.back().layout);
    for (size_t i = chain.size() - 1; i-- > 0;) {
      auto next = chain[i].sw ? swizzle(*chain[i].sw, right) : compose(chain[i].layout, right);
      TESS_TRY(right, located(std::move(next), s_, chain[i].pos));
    }
    return right;
  }

 private:
  Result<Operand> term(int depth) {
    Operand left;
    TESS_TRY(left, factor(depth));
    int factors = 0;
    std::vector<Operand> rights;
    while (s_.peek() == '*') {
      s_.take('*');
      TESS_TRY(Operand right, factor(depth));
      if (left.sw || right.sw)
        return s_.error_at(right.pos, diag::layout_syntax, "a swizzle is no factor of a product",
                           "put the product in brackets: `Sw<3,3,3> o (A * B)`");
      rights.push_back(std::move(right));
      if (++factors > kMaxFactors)
        return s_.error(diag::layout_limit, "a product has more than 256 factors");
    }
    if (rights.empty()) return left;
    Layout r = std::move(
        rights.back().layout);  // from the right, so that inner factors fill the lanes first
    for (size_t i = rights.size() - 1; i-- > 0;) {
      TESS_TRY(r, located(product(rights[i].layout, r), s_, rights[i].pos));
    }
    TESS_TRY(left.layout, located(product(left.layout, r), s_, left.pos));
    return left;
  }

  Result<Operand> factor(int depth) {
    Operand operand;
    s_.skip_space();
    operand.pos = s_.pos();
    char c = s_.peek();
    if (c == '\0') return s_.error(diag::layout_syntax, "expected a layout");
    if (c == '{') {
      TESS_TRY(operand.layout, located(bases(), s_, operand.pos));
      return operand;
    }
    if (c == '#') {
      s_.take('#');
      std::string_view name = s_.word();
      const Layout* found = s_.env().layout ? s_.env().layout(name) : nullptr;
      if (!found)
        return s_.error_at(operand.pos, diag::layout_name_unknown,
                           fmt::format("no layout '#{}' is defined here", name));
      operand.layout = *found;
      operand.layout.spelling.clear();
      return operand;
    }
    if (c == '(' && !shape_ahead()) {
      s_.take('(');
      if (depth + 1 > kMaxDepth)
        return s_.error(diag::layout_syntax, "brackets are nested more than 32 deep");
      TESS_TRY(operand.layout, expr(depth + 1));
      TESS_CHECK(s_.expect(')'));
      return operand;
    }
    if (c == '(' || c == '-' || (c >= '0' && c <= '9')) {
      TESS_TRY(operand.layout, located(shape_stride(), s_, operand.pos));
      return operand;
    }
    std::string_view name = s_.word();
    if (name.empty()) return s_.error(diag::layout_syntax, "expected a layout");
    if (name == "Sw" && s_.take('<')) {
      Swizzle sw;
      for (int* part : {&sw.b, &sw.m, &sw.s}) {
        TESS_TRY(int64_t v, s_.integer());
        if (v < -64 || v > 64)
          return s_.error(diag::layout_argument, "Sw<b,m,s> takes small integers");
        *part = static_cast<int>(v);
        TESS_CHECK(s_.expect(part == &sw.s ? '>' : ','));
      }
      TESS_CHECK(located(check_swizzle(sw), s_, operand.pos));
      operand.sw = sw;
      return operand;
    }
    if (s_.peek() == '(') {
      TESS_TRY(operand.layout, located(call(name, operand.pos, depth), s_, operand.pos));
      return operand;
    }
    if (s_.peek() == ':') {  // a constant as a one-dimensional shape
      s_.reset(operand.pos);
      TESS_TRY(operand.layout, located(shape_stride(), s_, operand.pos));
      return operand;
    }
    TESS_TRY(operand.layout, named_atom(name, s_.place(operand.pos)));
    return operand;
  }

  // After a bracket: is it a shape (its partner is followed by ':') or holds only integers?
  bool shape_ahead() {
    std::string_view t = s_.text();
    int open = 0;
    bool plain = true;
    for (size_t i = s_.pos(); i < t.size(); ++i) {
      if (t[i] == '(') ++open;
      if (t[i] == ':' || t[i] == '#' || t[i] == '{' || t[i] == '<' ||
          std::isalpha(static_cast<unsigned char>(t[i])))
        plain = false;
      if (t[i] == ')' && --open == 0) {
        do ++i;
        while (i < t.size() && std::isspace(static_cast<unsigned char>(t[i])));
        return (i < t.size() && t[i] == ':') || plain;
      }
    }
    return plain;
  }

  Result<Layout> shape_stride() {
    size_t begin = s_.pos();
    TESS_TRY(IntTree shape, s_.tree());
    if (!s_.take(':'))
      return s_.error_at(
          begin, diag::layout_stride_missing,
          fmt::format("the shape {} has no strides", print_tree(shape)),
          fmt::format("write `{0}:row` for the last dimension fastest, `{0}:col` for the first",
                      print_tree(shape)));
    IntTree stride;
    bool row = s_.take(std::string_view("row"));
    if (row || s_.take(std::string_view("col"))) {
      int64_t next = 1;
      if (!compact(shape, row, next, stride))
        return make_diag(diag::layout_limit,
                         "a size is below 1, or the shape has 2^62 elements or more");
    } else {
      TESS_TRY(stride, s_.tree());
    }
    return layout_of_trees(shape, stride);
  }

  Result<Layout> bases();
  Result<Layout> call(std::string_view name, size_t pos, int depth);
  Result<std::vector<int64_t>> vector_entry() {
    if (!s_.take('(')) {
      TESS_TRY(int64_t v, s_.integer());
      return std::vector{v};
    }
    return s_.integers(')');
  }

  LayoutScanner& s_;
};

struct Entry {
  int64_t size;
  bool digit;  // written with a size
  std::vector<int64_t> vector;
};

Result<Layout> Parser::bases() {
  s_.take('{');
  std::vector<std::pair<std::pair<Label, int>, std::vector<Entry>>> labels;
  std::vector<int64_t> constant;
  bool has_at = false, has_xor = false, digits = false;
  int dims = 0;
  while (!s_.take(std::string_view("->"))) {
    size_t at = (s_.skip_space(), s_.pos());
    std::string_view name = s_.word();
    TESS_CHECK(s_.expect(':'));
    if (name == "at" || name == "xor") {
      (name == "at" ? has_at : has_xor) = true;
      TESS_TRY(constant, vector_entry());
      continue;
    }
    std::pair<Label, int> label{Label::dim, 0};
    constexpr std::array<std::string_view, 4> kNames = {"reg", "lane", "warp", "cta"};
    if (auto it = std::find(kNames.begin(), kNames.end(), name); it != kNames.end()) {
      label.first = static_cast<Label>(it - kNames.begin());
    } else if (name.size() == 2 && name[0] == 'd' && name[1] >= '0' &&
               name[1] < '0' + kMaxLayoutRank) {
      label.second = name[1] - '0';
      dims = std::max(dims, label.second + 1);
    } else {
      return s_.error_at(at, diag::layout_syntax, fmt::format("'{}' is no input of a layout", name),
                         "inputs are reg, lane, warp, cta and d0 to d7");
    }
    for (const auto& other : labels)
      if (other.first == label)
        return s_.error_at(at, diag::layout_syntax, fmt::format("'{}' is given twice", name));
    TESS_CHECK(s_.expect('['));
    std::vector<Entry> entries;
    if (!s_.take(']')) {
      do {
        Entry e{2, false, {}};
        TESS_TRY(e.vector, vector_entry());
        if (e.vector.size() == 1 && s_.take(':')) {
          e.size = e.vector[0];
          e.digit = digits = true;
          TESS_TRY(e.vector, vector_entry());
        }
        entries.push_back(std::move(e));
        if (entries.size() > kMaxLayoutDigits)
          return s_.error(diag::layout_limit, "a label has more than 256 entries");
      } while (s_.take(','));
      TESS_CHECK(s_.expect(']'));
    }
    labels.emplace_back(label, std::move(entries));
    if (s_.at_end()) return s_.error(diag::layout_syntax, "expected '->' and the output's sizes");
  }
  std::vector<int64_t> shape;
  if (s_.take('(')) {
    TESS_TRY(shape, s_.integers(')'));
    TESS_CHECK(s_.expect('}'));
  } else {
    TESS_TRY(shape, s_.integers('}'));
  }
  if (shape.empty() || shape.size() > kMaxLayoutRank)
    return make_diag(diag::layout_limit,
                     fmt::format("a layout has 1 to {} output sizes", kMaxLayoutRank));
  if (has_at && has_xor)
    return make_diag(diag::layout_syntax,
                     "a layout has one constant: `at` adds it, `xor` flips bits");
  if (has_xor && digits)
    return make_diag(diag::layout_syntax, "digits with a size add: their constant is `at`");
  if (constant.empty()) constant.assign(shape.size(), 0);
  bool sums = digits || has_at;
  for (const auto& [label, entries] : labels) {
    if (dims > 0 && label.first != Label::dim)
      return make_diag(
          diag::layout_syntax,
          "a layout maps registers (reg, lane, warp, cta) or dimensions (d0, d1, …), not both");
    for (const Entry& e : entries)
      if (e.vector.size() != shape.size())
        return make_diag(diag::layout_syntax, "a vector has another length than the output");
  }
  if (constant.size() != shape.size())
    return make_diag(diag::layout_syntax, "the constant has another length than the output");
  std::stable_sort(labels.begin(), labels.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (sums) {
    Layout l;
    l.shape = shape;
    l.offset = constant;
    l.dims = static_cast<uint8_t>(dims);
    for (const auto& [label, entries] : labels)
      for (const Entry& e : entries)
        l.digits.push_back({label.first, static_cast<uint8_t>(label.second), e.size, e.vector});
    return canonical_layout(std::move(l));
  }
  LinearLayout m;
  int bits = 0;
  for (int64_t size : shape) {
    if (size < 1 || size >= int64_t{1} << kMaxLayoutBits)
      return make_diag(diag::layout_limit, "an output size is below 1 or at least 2^62");
    m.widths.push_back(static_cast<uint8_t>(width_of(size)));
    bits += m.widths.back();
  }
  if (bits > 64) return make_diag(diag::layout_limit, "the output has more than 64 bits");
  auto packable = [&](const std::vector<int64_t>& v) {
    for (size_t j = 0; j < v.size(); ++j)
      if (v[j] < 0 ||
          width_of(std::min(v[j], (int64_t{1} << kMaxLayoutBits) - 1) + 1) > m.widths[j])
        return false;
    return true;
  };
  if (!packable(constant))
    return make_diag(diag::layout_invalid, "the constant lies outside the output");
  m.constant = pack_bits(constant, m.widths);
  for (const auto& [label, entries] : labels)
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!packable(entries[i].vector))
        return make_diag(diag::layout_invalid, "a basis vector lies outside the output");
      m.in.push_back({label.first, static_cast<uint8_t>(label.second), static_cast<uint8_t>(i)});
      m.columns.push_back(pack_bits(entries[i].vector, m.widths));
    }
  if (m.columns.size() >= kMaxLayoutBits)
    return make_diag(diag::layout_limit, "a layout over F2 has more than 61 input bits");
  return layout_of(m, shape, dims);
}

Result<Layout> Parser::call(std::string_view name, size_t pos, int depth) {
  s_.take('(');
  auto layout = [&]() -> Result<Layout> { return expr(depth + 1); };
  auto rest = [&]() -> Result<std::vector<int64_t>> {  // ", 1, 2)" or ", (1, 2))"
    if (s_.take(')')) return std::vector<int64_t>{};
    TESS_CHECK(s_.expect(','));
    if (!s_.take('(')) return s_.integers(')');
    TESS_TRY(auto values, s_.integers(')'));
    TESS_CHECK(s_.expect(')'));
    return values;
  };
  struct Primitive {
    std::string_view name;
    Label label;
    bool column;
  };
  constexpr Primitive kPrimitives[] = {
      {"local", Label::reg, false},        {"spatial", Label::lane, false},
      {"warps", Label::warp, false},       {"ctas", Label::cta, false},
      {"column_local", Label::reg, true},  {"column_spatial", Label::lane, true},
      {"column_warps", Label::warp, true}, {"column_ctas", Label::cta, true}};
  for (const Primitive& p : kPrimitives)
    if (p.name == name) {
      TESS_TRY(auto shape, s_.integers(')'));
      TESS_TRY(Layout l, spread(p.label, shape, p.column));
      return split_lanes(std::move(l));
    }
  if (name == "replicate") {
    TESS_TRY(int64_t copies, s_.integer());
    Label label = Label::lane;
    if (s_.take(',')) {
      std::string_view which = s_.word();
      if (which == "reg") label = Label::reg;
      else if (which == "warp") label = Label::warp;
      else if (which == "cta") label = Label::cta;
      else if (which != "lane")
        return make_diag(diag::layout_argument,
                         "replicate(k, label): label is reg, lane, warp or cta");
    }
    TESS_CHECK(s_.expect(')'));
    TESS_TRY(Layout l, replicate(label, copies));
    return split_lanes(std::move(l));
  }
  constexpr std::string_view kBinary[] = {"compose",     "product", "divide",
                                          "left_divide", "concat",  "invert_and_compose"};
  if (std::find(std::begin(kBinary), std::end(kBinary), name) != std::end(kBinary)) {
    TESS_TRY(Layout a, layout());
    TESS_CHECK(s_.expect(','));
    TESS_TRY(Layout b, layout());
    TESS_CHECK(s_.expect(')'));
    if (name == "compose") return compose(a, b);
    if (name == "product") return product(a, b);
    if (name == "divide") return divide(a, b);
    if (name == "left_divide") return left_divide(a, b);
    if (name == "concat") return concat(a, b);
    return invert_and_compose(a, b);
  }
  constexpr std::string_view kUnary[] = {"coalesce", "rinv",    "linv",        "complement",
                                         "permute",  "reshape", "squeeze",     "unsqueeze",
                                         "reduce",   "shift",   "thread_value"};
  if (std::find(std::begin(kUnary), std::end(kUnary), name) == std::end(kUnary)) {
    std::vector<std::string_view> names(std::begin(kBinary), std::end(kBinary));
    names.insert(names.end(), std::begin(kUnary), std::end(kUnary));
    for (const Primitive& p : kPrimitives) names.push_back(p.name);
    names.push_back("replicate");
    std::string near = nearest_name(name, names);
    return s_.error_at(pos, diag::layout_name_unknown,
                       fmt::format("there is no layout operation '{}'", name),
                       near.empty() ? "" : fmt::format("did you mean '{}'?", near));
  }
  TESS_TRY(Layout a, layout());
  TESS_TRY(std::vector<int64_t> n, rest());
  auto takes = [&](size_t count) -> Status {
    if (n.size() == count) return ok();
    return make_diag(diag::layout_argument, fmt::format("{} takes a layout and {} integer{}", name,
                                                        count, count == 1 ? "" : "s"));
  };
  if (name == "coalesce" || name == "rinv" || name == "linv") {
    TESS_CHECK(takes(0));
    return name == "coalesce" ? coalesce(a) : name == "rinv" ? right_inverse(a) : left_inverse(a);
  }
  if (name == "reshape") return reshape(a, n);
  if (name == "shift") return shift(a, n);
  if (name == "thread_value") return from_thread_value(a, n);
  if (name == "complement") {
    TESS_CHECK(takes(1));
    return complement(a, n[0]);
  }
  std::vector<int> dims;
  for (int64_t v : n) dims.push_back(v < 0 || v > kMaxLayoutRank ? -1 : static_cast<int>(v));
  if (name == "permute") return permute(a, dims);
  TESS_CHECK(takes(1));
  if (name == "squeeze") return squeeze(a, dims[0]);
  if (name == "unsqueeze") return unsqueeze(a, dims[0]);
  return reduce(a, dims[0], false);
}

}  // namespace

Result<Layout> layout_of_trees(const IntTree& shape, const IntTree& stride) {
  Layout l;
  l.shape = {1};
  l.offset = {0};
  size_t rank = shape.leaf ? 1 : shape.kids.size();
  if (rank == 0 || rank > kMaxLayoutRank)
    return make_diag(diag::layout_limit,
                     fmt::format("a layout has 1 to {} dimensions", kMaxLayoutRank));
  l.dims = static_cast<uint8_t>(rank);
  bool congruent = shape.leaf == stride.leaf && (shape.leaf || stride.kids.size() == rank);
  for (size_t d = 0; congruent && d < rank; ++d)
    congruent =
        shape.leaf ? flatten_pair(shape, stride, 0, l.digits)
                   : flatten_pair(shape.kids[d], stride.kids[d], static_cast<uint8_t>(d), l.digits);
  if (!congruent)
    return make_diag(diag::layout_syntax, "the strides are not bracketed like the shape");
  return canonical_layout(std::move(l));
}

Result<Layout> parse_layout_expr(std::string_view text, const LayoutEnv& env, Span at) {
  LayoutScanner scan(text, env, at);
  TESS_TRY(Layout l, Parser(scan).expr(0));
  if (!scan.at_end()) return scan.error(diag::layout_syntax, "the layout ends before this");
  size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  l.spelling = std::string(text.substr(begin, end - begin + 1));
  return l;
}

}  // namespace tess
