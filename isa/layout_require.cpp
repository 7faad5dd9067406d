#include "isa/layout_require.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <variant>

#include "isa/diag/layout.h"
#include "isa/dtypes.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "isa/layout_spell.h"
#include "isa/layout_witness.h"

namespace tess {
namespace {

enum class ValueKind : uint8_t { number, truth, move, layout };

struct Value {
  ValueKind kind = ValueKind::number;
  int64_t number = 0;
  Layout layout;
  // Why a comparison with `wanted` fails, in words; empty if nothing is to be said.
  std::function<std::string(int64_t wanted)> witness;
};

Value number(int64_t n) { return {ValueKind::number, n, {}, {}}; }

// The text of one argument: up to a ',' or ')' outside brackets.
std::string_view argument_text(LayoutScanner& s) {
  s.skip_space();
  size_t begin = s.pos(), end = begin;
  int open = 0;
  std::string_view t = s.text();
  for (; end < t.size(); ++end) {
    char c = t[end];
    if (c == '(' || c == '[' || c == '{' || c == '<') ++open;
    if ((c == ')' || c == ',') && open == 0) break;
    if (c == ')' || c == ']' || c == '}' || (c == '>' && end > 0 && t[end - 1] != '-')) --open;
  }
  s.reset(end);
  return t.substr(begin, end - begin);
}

class Require {
 public:
  Require(std::string_view text, const LayoutEnv& env, Span at) : s_(text, env, at) {}

  Status run() {
    do {
      TESS_CHECK(clause());
    } while (s_.take(','));
    if (!s_.at_end())
      return s_.error(diag::layout_query, "expected ',' or the end of the requirement");
    return ok();
  }

 private:
  Status clause() {
    s_.skip_space();
    size_t begin = s_.pos();
    bool negated = s_.take(std::string_view("not"));
    TESS_TRY(Value left, value());
    std::string_view op;
    for (std::string_view candidate : {"==", "!=", "<=", ">=", "<", ">"})
      if (op.empty() && s_.take(candidate)) op = candidate;
    if (op.empty()) {
      if (left.kind != ValueKind::truth)
        return s_.error(diag::layout_query, "expected a comparison", "for example `== 1`");
      if ((left.number != 0) != negated) return ok();
      return failed(begin, negated ? "it holds" : "it does not hold", left, 1);
    }
    if (negated)
      return s_.error(diag::layout_query,
                      "`not` stands before a truth value, not before a comparison");
    TESS_TRY(Value right, value());
    if (left.kind == ValueKind::layout || right.kind == ValueKind::layout)
      return compare_layouts(begin, left, right, op);
    bool moves = left.kind == ValueKind::move || right.kind == ValueKind::move;
    if (moves && left.kind != right.kind)
      return s_.error_at(begin, diag::layout_query,
                         "a conversion compares with none, register, lane, shared or cluster");
    bool holds = op == "=="   ? left.number == right.number
                 : op == "!=" ? left.number != right.number
                 : op == "<=" ? left.number <= right.number
                 : op == ">=" ? left.number >= right.number
                 : op == "<"  ? left.number < right.number
                              : left.number > right.number;
    if (holds) return ok();
    bool right_asked = right.witness && !left.witness;
    const Value& asked = right_asked ? right : left;
    int64_t wanted = (right_asked ? left : right).number;
    std::string found = moves ? std::string(move_name(static_cast<Move>(asked.number)))
                              : fmt::format("{}", asked.number);
    return failed(begin, fmt::format("it is {}", found), asked, wanted);
  }

  Status compare_layouts(size_t begin, const Value& left, const Value& right, std::string_view op) {
    if (left.kind != right.kind || (op != "==" && op != "!="))
      return s_.error_at(begin, diag::layout_query, "layouts compare with == and != to layouts");
    TESS_TRY(bool same, same_map(left.layout, right.layout));
    same = same && left.layout.shape == right.layout.shape;
    if (same == (op == "==")) return ok();
    Value asked;
    asked.witness = [&](int64_t) { return first_difference(left.layout, right.layout); };
    return failed(begin, same ? "they are equal" : "they differ", asked, 0);
  }

  Diagnostic failed(size_t begin, const std::string& found, const Value& asked, int64_t wanted) {
    std::string_view text = s_.text().substr(begin, s_.pos() - begin);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
      text.remove_suffix(1);
    Diagnostic d =
        s_.error_at(begin, diag::layout_require_failed, fmt::format("require {}: {}", text, found));
    d.span.len = static_cast<uint32_t>(std::max<size_t>(1, text.size()));
    if (asked.witness)
      if (std::string note = asked.witness(wanted); !note.empty())
        d.notes.push_back({note, d.span});
    return d;
  }

  Result<Value> value() {
    s_.skip_space();
    size_t begin = s_.pos();
    std::string_view name = s_.word();
    if (!name.empty() && s_.peek() == '(') {
      if (auto known = query(name, begin)) return std::move(*known);
      s_.reset(begin);
      return layout_value();
    }
    for (int m = 0; m < 5; ++m)
      if (name == move_name(static_cast<Move>(m))) return Value{ValueKind::move, m, {}, {}};
    if (name == "true" || name == "false") return Value{ValueKind::truth, name == "true", {}, {}};
    s_.reset(begin);
    char c = s_.peek();
    if (c == '#' || c == '{') return layout_value();
    bool constant = s_.env().constant && !name.empty() && s_.env().constant(name);
    if (!name.empty() && !constant && !std::isdigit(static_cast<unsigned char>(name[0])))
      return layout_value();
    TESS_TRY(int64_t n, s_.integer());
    return number(n);
  }

  // A bare layout runs up to a comparison or a comma outside brackets.
  Result<Value> layout_value() {
    s_.skip_space();
    size_t begin = s_.pos(), end = begin;
    int open = 0;
    std::string_view t = s_.text();
    for (; end < t.size(); ++end) {
      char c = t[end];
      bool swizzle = c == '<' && end >= 2 && t.substr(end - 2, 2) == "Sw";
      if (c == '(' || c == '[' || c == '{' || swizzle) ++open;
      else if (c == ')' || c == ']' || c == '}' || (c == '>' && open > 0 && t[end - 1] != '-'))
        --open;
      else if (open == 0 && (c == ',' || c == '=' || c == '!' || c == '<' || c == '>')) break;
    }
    TESS_TRY(Layout l, parse_layout_expr(t.substr(begin, end - begin), s_.env(), s_.place(begin)));
    s_.reset(end);
    return Value{ValueKind::layout, 0, std::move(l), {}};
  }

  Result<Layout> layout_argument() {
    size_t begin = (s_.skip_space(), s_.pos());
    std::string_view text = argument_text(s_);
    return parse_layout_expr(text, s_.env(), s_.place(begin));
  }

  struct Access {
    Layout reg, mem;
    int elem_bits = 0;  // 0: not said
  };
  // reg, mem [, type] in either order of the two, up to the closing bracket.
  Result<Access> access() {
    Access a;
    TESS_TRY(a.reg, layout_argument());
    TESS_CHECK(s_.expect(','));
    TESS_TRY(a.mem, layout_argument());
    if (a.reg.is_memory() && !a.mem.is_memory()) std::swap(a.reg, a.mem);
    if (s_.take(',')) {
      size_t at = (s_.skip_space(), s_.pos());
      std::string_view name = s_.word();
      auto type = find_dtype(name);
      if (!type)
        return s_.error_at(at, diag::layout_query, fmt::format("'{}' is no element type", name));
      a.elem_bits = type->bits;
    }
    TESS_CHECK(s_.expect(')'));
    return a;
  }

  template <class T>
  Result<T> located(Result<T> r, size_t begin) {
    if (!r && r.error().span.line == 0) r.error().span = s_.place(begin);
    return r;
  }

  std::optional<Result<Value>> query(std::string_view name, size_t begin) {
    constexpr std::string_view kQueries[] = {"vec",     "banks", "covers", "injective", "divides",
                                             "convert", "size",  "cosize", "registers", "threads"};
    if (std::find(std::begin(kQueries), std::end(kQueries), name) == std::end(kQueries))
      return std::nullopt;
    s_.take('(');
    return located(evaluate(name), begin);
  }

  Result<Value> evaluate(std::string_view name) {
    if (name == "vec") {
      TESS_TRY(Access a, access());
      TESS_TRY(int64_t width, vector_width(a.reg, a.mem, {a.elem_bits, 128, 0, 0}));
      Value v = number(width);
      v.witness = [a](int64_t wanted) { return why_not_vector(a.reg, a.mem, wanted); };
      return v;
    }
    if (name == "banks") return bank_query();
    TESS_TRY(Layout first, layout_argument());
    if (name == "divides" || name == "convert") {
      TESS_CHECK(s_.expect(','));
      TESS_TRY(Layout second, layout_argument());
      TESS_CHECK(s_.expect(')'));
      if (name == "divides") return Value{ValueKind::truth, divides(first, second), {}, {}};
      TESS_TRY(Conversion c, conversion(first, second));
      return Value{ValueKind::move, static_cast<int64_t>(c.where), {}, [=](int64_t) {
                     return farthest_move(first, second, c.where);
                   }};
    }
    TESS_CHECK(s_.expect(')'));
    if (name == "covers") {
      TESS_TRY(bool yes, covers(first));
      return Value{
          ValueKind::truth, yes, {}, [first](int64_t) { return uncovered_element(first); }};
    }
    if (name == "injective") {
      TESS_TRY(bool yes, is_injective(first));
      return Value{ValueKind::truth, yes, {}, [first](int64_t) { return doubly_held(first); }};
    }
    if (name == "registers") return number(registers_of(first));
    if (name == "threads") return number(threads_of(first));
    if (name == "size") {
      int64_t n = 1;
      for (int64_t s : first.is_memory() ? input_shape(first) : first.shape) n *= s;
      return number(n);
    }
    if (!first.is_memory())
      return make_diag(diag::layout_query, "cosize applies to memory layouts");
    return number(extent_of(first));
  }

  Result<Value> bank_query() {
    size_t begin = (s_.skip_space(), s_.pos());
    std::string_view word = s_.word();
    bool matrix = (word == "ldmatrix" || word == "stmatrix") && s_.take('(');
    if (!matrix) s_.reset(begin);
    TESS_TRY(Access a, access());
    if (matrix) TESS_CHECK(s_.expect(')'));
    if (!matrix && a.elem_bits == 0)
      return make_diag(diag::layout_query, "banks needs the element type", {},
                       "write `banks(#a, #s, f16)`");
    int bits = a.elem_bits == 0 ? 16 : a.elem_bits;
    TESS_TRY(Banks b, matrix ? matrix_banks(a.reg, a.mem, bits) : banks(a.reg, a.mem, bits));
    Value v = number(b.ways);
    v.witness = [a, bits, b](int64_t) { return bank_conflict(a.reg, a.mem, bits, b); };
    return v;
  }

  LayoutScanner s_;
};

}  // namespace

Status check_require(std::string_view text, const LayoutEnv& env, Span at) {
  return Require(text, env, at).run();
}

}  // namespace tess
