// The sw.*, smem.*, bank.*, frag.*, ldm.* and cvt.* operations.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "isa/diag/layout.h"
#include "isa/layout_atoms.h"
#include "isa/layout_bits.h"
#include "isa/layout_cases.h"
#include "isa/layout_cases_threads.h"
#include "isa/layout_cute.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "isa/layout_spell.h"

namespace tess::cases {
namespace {

using Args = std::span<const std::string>;
using Vector = std::vector<int64_t>;

constexpr int64_t kMaxPoints = 1 << 22;
constexpr int64_t kMaxAddress = int64_t{1} << 60;

Diagnostic bad(std::string why) { return make_diag(diag::layout_argument, std::move(why)); }

// Integer formulas of one variable, with Python's operators: | ^ & << >> + - * // / %.
class Formula {
 public:
  Formula(std::string_view text, char variable) : text_(text), variable_(variable) {}
  Result<int64_t> at(int64_t value) {
    value_ = value;
    pos_ = 0;
    failed_ = false;
    int64_t v = binary(0, 0);
    if (peek() != '\0') failed_ = true;
    if (failed_)
      return make_diag(diag::layout_case_syntax,
                       fmt::format("'{}' is no formula of {}", text_, variable_));
    return v;
  }

 private:
  static constexpr int kLevels = 6;
  char peek() {
    while (pos_ < text_.size() && text_[pos_] == ' ') ++pos_;
    return pos_ < text_.size() ? text_[pos_] : '\0';
  }
  // The operator of this precedence that stands here, or 0.
  int operator_at(int level) {
    char c = peek(), d = pos_ + 1 < text_.size() ? text_[pos_ + 1] : '\0';
    switch (level) {
      case 0:
        return c == '|' ? 1 : 0;
      case 1:
        return c == '^' ? 1 : 0;
      case 2:
        return c == '&' ? 1 : 0;
      case 3:
        return (c == '<' && d == '<') || (c == '>' && d == '>') ? 2 : 0;
      case 4:
        return c == '+' || c == '-' ? 1 : 0;
      default:
        return c == '/' && d == '/' ? 2 : c == '*' || c == '/' || c == '%' ? 1 : 0;
    }
  }
  int64_t combine(char op, int64_t a, int64_t b) {
    auto wrap = [](auto x) { return static_cast<int64_t>(x); };
    switch (op) {
      case '|':
        return a | b;
      case '^':
        return a ^ b;
      case '&':
        return a & b;
      case '<':
        return failed_ |= b < 0 || b > 62, failed_ ? 0 : wrap(static_cast<uint64_t>(a) << b);
      case '>':
        return failed_ |= b < 0 || b > 62, failed_ ? 0 : a >> b;
      case '+':
        return wrap(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
      case '-':
        return wrap(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
      case '*':
        return wrap(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
      default:
        break;
    }
    if (b <= 0) return failed_ = true, 0;
    int64_t quotient = a / b - (a % b < 0);
    return op == '%' ? a - quotient * b : quotient;
  }
  int64_t binary(int level, int depth) {
    if (level == kLevels) return unary(depth);
    int64_t v = binary(level + 1, depth);
    while (int n = failed_ ? 0 : operator_at(level)) {
      char op = text_[pos_];
      pos_ += n;
      v = combine(op, v, binary(level + 1, depth));
    }
    return v;
  }
  int64_t unary(int depth) {
    char c = peek();
    if (depth > 64) return failed_ = true, 0;
    if (c == '(') {
      ++pos_;
      int64_t v = binary(0, depth + 1);
      if (peek() != ')') failed_ = true;
      ++pos_;
      return v;
    }
    if (c == '-' || c == '~') {
      ++pos_;
      int64_t v = unary(depth + 1);
      return c == '-' ? combine('-', 0, v) : ~v;
    }
    if (c == variable_) return ++pos_, value_;
    if (c < '0' || c > '9') return failed_ = true, 0;
    char* end = nullptr;
    std::string rest(text_.substr(pos_, 24));
    int64_t v = std::strtoll(rest.c_str(), &end, 0);
    pos_ += end - rest.c_str();
    return v;
  }
  std::string_view text_;
  char variable_;
  int64_t value_ = 0;
  size_t pos_ = 0;
  bool failed_ = false;
};

Result<Swizzle> parse_swizzle(const std::string& text) {
  TESS_TRY(cute::Cute l, cute::parse(text + " o 1:0"));
  if (!l.sw) return bad(fmt::format("'{}' is no swizzle", text));
  return *l.sw;
}

Result<Outcome> sw_at(Args a, const std::string& expected) {
  TESS_TRY(Swizzle s, parse_swizzle(a[0]));
  TESS_TRY(int64_t x, to_integer(a[1]));
  return compare_text(fmt::format("{}", apply(s, static_cast<uint64_t>(x))), expected);
}

Result<Outcome> sw_equal(Args a, const std::string& expected) {
  TESS_TRY(Swizzle s, parse_swizzle(a[0]));
  Formula f(a[1], 'x');
  int bits = s.m + std::abs(s.s) + s.b;
  if (bits > 22)
    return make_diag(diag::layout_limit, "the swizzle's period is too long to compare");
  bool equal = true;
  for (int64_t x = 0; equal && x < int64_t{1} << bits; ++x) {
    TESS_TRY(int64_t y, f.at(x));
    equal = y == static_cast<int64_t>(apply(s, static_cast<uint64_t>(x)));
  }
  return yes_no(equal, expected);
}

Result<Outcome> sw_involution(Args a, const std::string& expected) {
  TESS_TRY(Swizzle s, parse_swizzle(a[0]));
  TESS_TRY(int64_t n, to_integer(a[1]));
  if (n > kMaxPoints) return make_diag(diag::layout_limit, "too many points");
  bool holds = true;
  for (int64_t x = 0; x < n; ++x)
    holds = holds && apply(s, apply(s, static_cast<uint64_t>(x))) == static_cast<uint64_t>(x);
  return yes_no(holds, expected);
}

Result<Outcome> sw_recast(Args a, const std::string& expected) {
  TESS_TRY(Swizzle s, parse_swizzle(a[0]));
  TESS_TRY(int64_t from, to_integer(a[1]));
  TESS_TRY(int64_t to, to_integer(a[2]));
  if (from < 1 || to < 1 || !std::has_single_bit(static_cast<uint64_t>(from)) ||
      !std::has_single_bit(static_cast<uint64_t>(to)))
    return bad("units are powers of two");
  s.m +=
      std::countr_zero(static_cast<uint64_t>(from)) - std::countr_zero(static_cast<uint64_t>(to));
  if (s.m < 0) return bad("the swizzle would move parts of an element");
  return compare_text(cute::print(s), expected);
}

Result<Outcome> smem_at(Args a, const std::string& expected) {
  static const LayoutEnv kNone;
  TESS_TRY(cute::Cute l, cute::parse(a[0]));
  LayoutScanner s(a[1], kNone, {0, 1, 1, 0});
  TESS_TRY(IntTree c, s.tree());
  TESS_TRY(int64_t v, cute::at(l, c));
  return compare_text(fmt::format("{}", v), expected);
}

Result<Outcome> smem_linear(Args a, const std::string& expected) {
  TESS_TRY(cute::Cute c, cute::parse(a[0]));
  TESS_TRY(Layout l, layout_of_trees(c.shape, c.stride));
  if (c.sw) {
    TESS_TRY(l, swizzle(*c.sw, l));
  }
  TESS_TRY(Layout inverse, right_inverse(l));
  TESS_TRY(NamedLinear m, linear_of_layout(inverse, {}, false));
  Outcome o{print_linear(m), false};
  TESS_TRY(NamedLinear want, parse_linear(expected));
  o.pass = same_linear(m, want);
  return o;
}

Result<Vector> integers(Args a) {
  Vector v;
  for (const std::string& text : a) {
    TESS_TRY(int64_t x, to_integer(text));
    v.push_back(x);
  }
  return v;
}

Result<Outcome> smem_choose(Args a, const std::string& expected) {
  TESS_TRY(Vector v, integers(a));
  if (v[0] < 1 || v[1] < 1 || v[1] > 128 || v[0] > int64_t{1} << 40)
    return bad("an extent and bits of an element");
  int64_t row_bytes = std::max<int64_t>(1, v[0] * v[1] / 8);
  int64_t per_phase = std::max<int64_t>(1, 128 / row_bytes);
  return compare_text(
      fmt::format("({},{},{})", 128 / v[1], per_phase, std::max<int64_t>(1, 8 / per_phase)),
      expected);
}

bool powers(const Vector& v) {
  return std::all_of(v.begin(), v.end(), [](int64_t x) {
    return x > 0 && x < int64_t{1} << 31 && std::has_single_bit(static_cast<uint64_t>(x));
  });
}

Result<Outcome> smem_ll(Args a, const std::string& expected) {
  TESS_TRY(Vector v, integers(a));
  if (!powers(v)) return bad("vec, perPhase, maxPhase, rows and columns are powers of two");
  int64_t vec = v[0], per_phase = v[1], max_phase = v[2], rows = v[3], cols = v[4];
  NamedLinear m{{{"offset", {}}}, {{"d0", rows}, {"d1", cols}}};
  for (int64_t c = 1; c < cols; c *= 2) m.in[0].bases.push_back({0, c});
  for (int64_t r = 1; r < rows; r *= 2)
    m.in[0].bases.push_back({r, vec * (r / per_phase % max_phase) % cols});
  Outcome o{print_linear(m), false};
  TESS_TRY(NamedLinear want, parse_linear(expected));
  o.pass = same_linear(m, want);
  return o;
}

Result<Outcome> smem_phase(Args a, const std::string& expected) {
  TESS_TRY(Vector v, integers(a));
  if (!powers({v[0], v[1], v[2]}) || v[3] < 0 || v[4] < 0)
    return bad("vec, perPhase and maxPhase are powers of two");
  return compare_text(fmt::format("{}", v[4] ^ (v[0] * (v[3] / v[1] % v[2]))), expected);
}

Result<Outcome> bank_conflicts(Args a, const std::string& expected) {
  TESS_TRY(int64_t width, to_integer(a[0]));
  if (width < 1 || width > 16) return bad("an access has 1 to 16 bytes a lane");
  Formula f(a[1], 'l');
  Vector addresses;
  for (int64_t lane = 0; lane < 32; ++lane) {
    TESS_TRY(int64_t address, f.at(lane));
    if (std::abs(address / 2) >= kMaxAddress) return bad("an address is too large");
    addresses.push_back(address);
  }
  return compare_text(fmt::format("{}", bank_ways(addresses, static_cast<int>(width))), expected);
}

Result<Outcome> bank_matrix(Args a, const std::string& expected) {
  Formula f(a[0], 'r');
  Vector addresses;
  for (int64_t row = 0; row < 8; ++row) {
    TESS_TRY(int64_t address, f.at(row));
    if (std::abs(address / 2) >= kMaxAddress) return bad("an address is too large");
    addresses.push_back(address);
  }
  return compare_text(fmt::format("{}", bank_ways(addresses, 16)), expected);
}

Result<Outcome> frag_at(Args a, const std::string& expected) {
  TESS_TRY(Layout l, named_atom(a[0]));
  TESS_TRY(Vector at, to_tuple(a[1]));
  if (at.size() != 2 || at[0] < 0 || at[0] >= threads_of(l) || at[1] < 0 ||
      at[1] >= registers_of(l))
    return bad("(lane,register) lies outside the fragment");
  LayoutPoint p;
  p.lane = at[0] % 32;
  p.warp = at[0] / 32;
  p.reg = at[1];
  return compare_text(print_tuple(apply(l, p)), expected);
}

Result<Outcome> frag_cute(Args a, const std::string& expected) {
  TESS_TRY(Layout l, named_atom(a[0]));
  if (a[1] != "rows-minor" && a[1] != "cols-minor") return bad("expected rows-minor or cols-minor");
  TESS_TRY(std::string text, spell_thread_value(l, a[1] == "rows-minor"));
  TESS_TRY(cute::Cute got, cute::parse(text));
  TESS_TRY(cute::Cute want, cute::parse(expected));
  Outcome o{text, false};
  TESS_TRY(o.pass, cute::same(got, want, true));
  return o;
}

Result<Outcome> frag_ll(Args a, const std::string& expected) {
  TESS_TRY(Layout l, named_atom(a[0]));
  TESS_TRY(NamedLinear want, parse_linear(expected));
  std::vector<std::string> names;
  char operand = a[0].back();
  if (l.shape.size() == 2 && operand >= 'A' && operand <= 'C')
    names = operand == 'A'   ? std::vector<std::string>{"m", "k"}
            : operand == 'B' ? std::vector<std::string>{"k", "n"}
                             : std::vector<std::string>{"m", "n"};
  else
    for (const auto& o : want.out) names.push_back(o.first);
  TESS_TRY(NamedLinear m, linear_of_layout(l, names, false));
  return Outcome{print_linear(m), same_linear(m, want)};
}

Result<Outcome> frag_rl(Args a, const std::string& expected) {
  TESS_TRY(Layout l, named_atom(a[0]));
  TESS_TRY(Layout want, parse_threads(expected));
  TESS_TRY(std::string text, spell_product(join_lanes(l)));
  return Outcome{dotted(text), join_lanes(l) == want};
}

Result<Outcome> product_linear(Args a, const std::string& expected) {
  TESS_TRY(Layout l, parse_threads(a[0]));
  TESS_TRY(NamedLinear m, linear_of_layout(split_lanes(l), {}, true));
  TESS_TRY(NamedLinear want, parse_linear(expected));
  return Outcome{print_linear(m), same_linear(m, want)};
}

// (thread, value bit) -> bit offset: 32 value bits a matrix, 16 of them an element; rows of 128
// bits.
Result<Outcome> matrix_cute(Args a, const std::string& expected) {
  TESS_TRY(Layout l, named_atom("ldmatrix." + a[0]));
  TESS_TRY(Layout rows, row_major(l.shape));
  TESS_TRY(Layout elements, compose(rows, l));
  cute::Modes threads, values{{16, 1}};
  for (const Digit& d : elements.digits)
    (d.label == Label::reg ? values : threads).push_back({d.size, d.out[0] * 16});
  cute::Cute got;
  got.top = {threads, values};
  TESS_TRY(cute::Cute want, cute::parse(expected));
  std::string text = fmt::format("{},{}", cute::print(cute::of(cute::coalesce(threads))),
                                 cute::print(cute::of(cute::coalesce(values))));
  Outcome o{text, false};
  TESS_TRY(o.pass, cute::same(got, want, true));
  return o;
}

Result<Outcome> matrix_source(Args a, const std::string& expected) {
  int64_t count = a[0] == "x1" ? 1 : a[0] == "x2" ? 2 : a[0] == "x4" ? 4 : 0;
  TESS_TRY(int64_t lane, to_integer(a[1]));
  if (count == 0 || lane < 0 || lane >= 32) return bad("expected x1, x2 or x4 and a lane");
  if (lane >= 8 * count) return compare_text("none", expected);
  return compare_text(fmt::format("({},{})", lane / 8, lane % 8), expected);
}

Result<Layout> any_registers(const std::string& text) {
  if (!text.empty() && text[0] == '{') {
    TESS_TRY(NamedLinear m, parse_linear(text));
    return register_layout(m);
  }
  if (auto atom = named_atom(text)) return atom;
  TESS_TRY(Layout l, parse_threads(text));
  return split_lanes(std::move(l));
}

Result<Outcome> convert_class(Args a, const std::string& expected) {
  TESS_TRY(Layout src, any_registers(a[0]));
  TESS_TRY(Layout dst, any_registers(a[1]));
  TESS_TRY(Conversion c, conversion(src, dst));
  return compare_text(std::string(move_name(c.where)), expected);
}

constexpr OperationRow kOperations[] = {
    {"sw.at", 2, sw_at},
    {"sw.equalfn", 2, sw_equal},
    {"sw.involution", 2, sw_involution},
    {"sw.recast", 3, sw_recast},
    {"smem.at", 2, smem_at},
    {"smem.sw=ll", 1, smem_linear},
    {"smem.choose", 2, smem_choose},
    {"smem.ll", 5, smem_ll},
    {"smem.phase", 5, smem_phase},
    {"bank.ways", 2, bank_conflicts},
    {"bank.ldsm", 1, bank_matrix},
    {"frag.at", 2, frag_at},
    {"frag.cute", 2, frag_cute},
    {"frag.ll", 1, frag_ll},
    {"frag.rl", 1, frag_rl},
    {"frag.rl=ll", 1, product_linear},
    {"ldm.cute", 1, matrix_cute},
    {"ldm.src", 2, matrix_source},
    {"cvt.class", 2, convert_class},
};

}  // namespace

std::span<const OperationRow> hardware_operations() { return kOperations; }

}  // namespace tess::cases
