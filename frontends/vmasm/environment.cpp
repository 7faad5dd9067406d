#include "frontends/vmasm/environment.h"

#include <fmt/format.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "isa/diag/text.h"

namespace tess::vmasm {

namespace {

// The number nearest to the text, and the one rounded to odd: of the two neighbours that enclose an
// inexact number, the one whose last bit is set. The host runs in the "C" locale.
std::optional<Literal> literal_of_real(const std::string& text) {
  auto read = [&](int direction, double& v) {
    char* end = nullptr;
    int before = std::fegetround();
    std::fesetround(direction);
    v = std::strtod(text.c_str(), &end);
    std::fesetround(before);
    return end == text.c_str() + text.size();
  };
  double nearest, down, up;
  if (!read(FE_TONEAREST, nearest) || !read(FE_DOWNWARD, down) || !read(FE_UPWARD, up)) return {};
  Literal l = Literal::of_real(nearest);
  if (down != up) l.odd = std::bit_cast<uint64_t>(down) & 1 ? down : up;
  return l;
}

}  // namespace

std::optional<Literal> literal_of_word(std::string_view text) {
  if (text == "true" || text == "false") return Literal::of_bool(text == "true");
  if (text == "inf") return Literal::of_real(std::numeric_limits<double>::infinity());
  if (text == "nan") return Literal::of_real(std::numeric_limits<double>::quiet_NaN());
  if (text.empty() || text[0] < '0' || text[0] > '9') return {};
  auto integer = [&](std::string_view digits, unsigned base) -> std::optional<Literal> {
    unsigned __int128 v = 0;
    for (char c : digits) {
      unsigned d = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      if (d >= base) return {};
      v = v * base + d;
      if (v >> 64) return {};
    }
    return Literal{Literal::Kind::integer, false, static_cast<uint64_t>(v), 0, 0};
  };
  bool hex = text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == 'x';
  bool binary = text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == 'b';
  if (binary) return integer(text.substr(2), 2);
  bool real = hex ? text.find_first_of("pP.") != text.npos : text.find_first_of(".eE") != text.npos;
  if (!real) return integer(hex ? text.substr(2) : text, hex ? 16 : 10);
  return literal_of_real(std::string(text));
}

std::optional<int64_t> literal_int(const Literal& l) {
  if (l.kind != Literal::Kind::integer) return {};
  uint64_t top = uint64_t{1} << 63;
  if (l.magnitude > (l.negative ? top : top - 1)) return {};
  return static_cast<int64_t>(l.negative ? 0 - l.magnitude : l.magnitude);
}

namespace {

double literal_real(const Literal& l) {
  if (l.kind == Literal::Kind::real) return l.real;
  double m = static_cast<double>(l.magnitude);
  return l.negative ? -m : m;
}

template <class T>
std::optional<Literal> fold_comparison(Operator op, T a, T b) {
  switch (op) {
    case Operator::eq:
      return Literal::of_bool(a == b);
    case Operator::ne:
      return Literal::of_bool(a != b);
    case Operator::lt:
      return Literal::of_bool(a < b);
    case Operator::le:
      return Literal::of_bool(a <= b);
    case Operator::gt:
      return Literal::of_bool(a > b);
    case Operator::ge:
      return Literal::of_bool(a >= b);
    default:
      return {};
  }
}

std::optional<Literal> fold_int(Operator op, int64_t a, int64_t b) {
  int64_t r = 0;
  switch (op) {
    case Operator::add:
      if (__builtin_add_overflow(a, b, &r)) return {};
      break;
    case Operator::sub:
      if (__builtin_sub_overflow(a, b, &r)) return {};
      break;
    case Operator::mul:
      if (__builtin_mul_overflow(a, b, &r)) return {};
      break;
    case Operator::div:
      if (b == 0 || (a == INT64_MIN && b == -1)) return {};
      r = a / b;
      break;
    case Operator::bit_and:
      r = a & b;
      break;
    case Operator::bit_or:
      r = a | b;
      break;
    case Operator::bit_xor:
      r = a ^ b;
      break;
    case Operator::shl:
      if (b < 0 || b > 62 || a < 0 || a > (INT64_MAX >> b)) return {};
      r = a << b;
      break;
    case Operator::shr:
      if (b < 0) return {};
      r = a >> std::min<int64_t>(b, 63);
      break;
    default:
      return fold_comparison(op, a, b);
  }
  return Literal::of(r);
}

std::optional<Literal> fold_real(Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return Literal::of_real(a + b);
    case Operator::sub:
      return Literal::of_real(a - b);
    case Operator::mul:
      return Literal::of_real(a * b);
    case Operator::div:
      return Literal::of_real(a / b);
    default:
      return fold_comparison(op, a, b);
  }
}

}  // namespace

std::optional<Literal> fold(Operator op, const Literal& a, const Literal& b) {
  using K = Literal::Kind;
  if (op == Operator::neg) {
    if (a.kind == K::integer)
      return Literal{K::integer, !a.negative && a.magnitude != 0, a.magnitude, 0, 0};
    if (a.kind == K::real) return Literal{K::real, false, 0, -a.real, -a.odd};
    return {};
  }
  if (op == Operator::bit_not) {
    if (a.kind == K::boolean) return Literal::of_bool(!a.magnitude);
    return {};
  }
  if (a.kind == K::boolean || b.kind == K::boolean) {
    if (a.kind != b.kind) return {};
    bool x = a.magnitude, y = b.magnitude;
    switch (op) {
      case Operator::and_and:
      case Operator::bit_and:
        return Literal::of_bool(x && y);
      case Operator::or_or:
      case Operator::bit_or:
        return Literal::of_bool(x || y);
      case Operator::bit_xor:
      case Operator::ne:
        return Literal::of_bool(x != y);
      case Operator::eq:
        return Literal::of_bool(x == y);
      default:
        return {};
    }
  }
  if (a.kind == K::real || b.kind == K::real)
    return fold_real(op, literal_real(a), literal_real(b));
  auto x = literal_int(a), y = literal_int(b);
  if (!x || !y) return {};
  return fold_int(op, *x, *y);
}

std::optional<Literal> fold_call(std::string_view name, std::span<const Literal> args) {
  if (args.size() == 2 && (name == "min" || name == "max")) {
    auto less = fold(Operator::lt, args[0], args[1]);
    if (!less) return {};
    return (less->magnitude != 0) == (name == "min") ? args[0] : args[1];
  }
  if (args.size() != 2 || (name != "cdiv" && name != "rem")) return {};
  auto a = literal_int(args[0]), b = literal_int(args[1]);
  if (!a || !b || *b == 0 || (*a == INT64_MIN && *b == -1)) return {};
  if (name == "rem") return Literal::of(*a % *b);
  if (*b < 0) return {};
  int64_t q = *a / *b;
  return Literal::of(q + (*a % *b > 0));
}

std::optional<Literal> eval_const(const Ast& ast, ExprId id, const ConstLookup& lookup,
                                  Diagnostics& out) {
  const Expr& e = ast[id];
  auto refuse = [&](Diag code, std::string message) -> std::optional<Literal> {
    out.push_back(make_diag(code, std::move(message), ast.span(id)));
    return {};
  };
  auto arithmetic = [&](std::optional<Literal> l) {
    return l ? l
             : refuse(diag::const_arithmetic,
                      fmt::format("`{}` has no value", ast.source_of(e.tokens)));
  };
  switch (e.kind) {
    case ExprKind::number: {
      auto l = literal_of_word(ast.text(e.word));
      return l ? l
               : refuse(diag::const_arithmetic,
                        fmt::format("`{}` does not fit 64 bits", ast.text(e.word)));
    }
    case ExprKind::name: {
      if (auto c = lookup(ast.text(e.word))) return c->literal;
      return refuse(diag::not_constant, fmt::format("`{}` is no constant", ast.text(e.word)));
    }
    case ExprKind::unary: {
      auto a = eval_const(ast, e.lhs, lookup, out);
      if (!a) return {};
      return arithmetic(fold(e.op, *a, {}));
    }
    case ExprKind::binary: {
      auto a = eval_const(ast, e.lhs, lookup, out), b = eval_const(ast, e.rhs, lookup, out);
      if (!a || !b) return {};
      return arithmetic(fold(e.op, *a, *b));
    }
    case ExprKind::call: {
      std::vector<Literal> args;
      for (ExprId a : ast.list(e.args)) {
        auto l = eval_const(ast, a, lookup, out);
        if (!l) return {};
        args.push_back(*l);
      }
      return arithmetic(fold_call(ast.text(e.word), args));
    }
    case ExprKind::error:
      return {};
    default:
      return refuse(diag::not_constant,
                    fmt::format("`{}` is no constant", ast.source_of(e.tokens)));
  }
}

namespace {

// The value of -D NAME=VALUE for a const: a number with an optional sign, or true, false, inf, nan.
std::optional<Literal> literal_of_define(std::string_view text) {
  bool negative = !text.empty() && text[0] == '-';
  auto l = literal_of_word(negative ? text.substr(1) : text);
  return l && negative ? fold(Operator::neg, *l, {}) : l;
}

class EnvironmentBuilder {
 public:
  EnvironmentBuilder(File& file, const EnvironmentInput& in, Diagnostics& out)
      : f_(file), ast_(file.ast), in_(in), out_(out) {}

  void run() {
    std::set<std::string, std::less<>> defined;
    for (ItemId id : ast_.items) {
      const Item& item = ast_[id];
      bool named = item.kind == ItemKind::layout || item.kind == ItemKind::func;
      if (named && item.name == kNoToken) continue;  // reported by the parser
      switch (item.kind) {
        case ItemKind::const_:
          for (DefinitionId d : ast_.list(item.definitions)) add_const(ast_[d], defined);
          break;
        case ItemKind::type:
          for (DefinitionId d : ast_.list(item.definitions)) add_type(ast_[d], defined);
          break;
        case ItemKind::layout: {
          std::string name(ast_.name(item.name));
          if (!f_.layouts.emplace(name, LayoutDefinition{&f_, item.layout}).second &&
              own_layouts_.contains(name))
            duplicate(item.name);
          f_.layouts[name] = LayoutDefinition{&f_, item.layout};
          own_layouts_.insert(name);
          break;
        }
        case ItemKind::func: {
          std::string name(ast_.name(item.name));
          if (!own_funcs_.insert(name).second) duplicate(item.name);
          f_.funcs[name] = FuncDef{&f_, id};
          break;
        }
        case ItemKind::use: {
          if (const File* used = in_.used(item, ast_)) {
            for (auto& [name, def] : used->funcs)
              if (!own_funcs_.contains(name)) f_.funcs[name] = def;
            for (auto& [name, def] : used->layouts)
              if (!own_layouts_.contains(name)) f_.layouts[name] = def;
          }
          break;
        }
        default:
          break;
      }
    }
    if (!in_.defines) return;
    for (const Define& d : *in_.defines) {
      if (defined.contains(d.name)) continue;
      std::vector<std::string_view> names(defined.begin(), defined.end());
      std::string near = nearest_name(d.name, names);
      out_.push_back(make_diag(diag::unknown_define,
                               fmt::format("-D {}: the file has no such const or type", d.name), {},
                               near.empty() ? "" : fmt::format("did you mean `{}`?", near)));
    }
  }

 private:
  void duplicate(TokenId name) {
    out_.push_back(make_diag(diag::duplicate_name,
                             fmt::format("`{}` is defined twice", ast_.text(name)),
                             ast_.span(name)));
  }
  const std::string* define_of(std::string_view name) const {
    const std::string* found = nullptr;
    if (in_.defines)
      for (const Define& d : *in_.defines)
        if (d.name == name) found = &d.value;  // the last one counts
    return found;
  }
  void bad_define(const std::string& name, const std::string& value, std::string_view wanted) {
    out_.push_back(make_diag(diag::bad_define, fmt::format("-D {}={}: {}", name, value, wanted)));
  }

  void add_const(const Definition& d, std::set<std::string, std::less<>>& defined) {
    std::string name(ast_.text(d.name));
    if (!defined.insert(name).second) return duplicate(d.name);
    ConstValue value;
    std::set<std::string> from{name};
    if (d.type) {
      value.type = find_dtype(ast_.text(ast_[d.type].dtype));
      if (!value.type)
        out_.push_back(
            make_diag(diag::unknown_type,
                      fmt::format("`{}` is no element type", ast_.text(ast_[d.type].dtype)),
                      ast_.span(d.type)));
    }
    const std::string* text = define_of(name);
    std::optional<Literal> defined_as = text ? literal_of_define(*text) : std::nullopt;
    if (text && !defined_as) bad_define(name, *text, "a number is wanted");
    if (defined_as) {
      value.literal = *defined_as;
    } else {
      if (!d.value) return;  // a syntax error
      auto l = eval_const(
          ast_, d.value,
          [&](std::string_view n) -> std::optional<ConstValue> {
            auto it = f_.consts.find(n);
            if (it == f_.consts.end()) return {};
            from.insert(f_.depends[it->first].begin(), f_.depends[it->first].end());
            return it->second;
          },
          out_);
      if (!l) return;
      value.literal = *l;
    }
    if (value.type && !literal_constant(value.literal, *value.type))
      out_.push_back(
          make_diag(diag::const_arithmetic,
                    fmt::format("the value of `{}` is no {}", name, dtype_name(*value.type)),
                    ast_.span(d.name)));
    f_.consts[name] = value;
    f_.depends[name] = std::move(from);
  }

  void add_type(const Definition& d, std::set<std::string, std::less<>>& defined) {
    std::string name(ast_.text(d.name));
    if (!defined.insert(name).second) return duplicate(d.name);
    std::optional<DType> type;
    if (const std::string* text = define_of(name)) {
      type = find_dtype(*text);
      if (!type) return bad_define(name, *text, "an element type is wanted");
    } else {
      if (!d.alias) return;  // a syntax error
      std::string_view spelt = ast_.text(ast_[d.alias].dtype);
      auto known = f_.types.find(spelt);
      type = known != f_.types.end() ? std::optional(known->second) : find_dtype(spelt);
      if (!type)
        return out_.push_back(make_diag(
            diag::unknown_type, fmt::format("`{}` is no element type", spelt), ast_.span(d.alias)));
    }
    f_.types[name] = *type;
    f_.depends[name] = {name};
  }

  File& f_;
  const Ast& ast_;
  const EnvironmentInput& in_;
  Diagnostics& out_;
  std::set<std::string, std::less<>> own_funcs_, own_layouts_;
};

}  // namespace

void build_environment(File& file, const EnvironmentInput& in, Diagnostics& out) {
  EnvironmentBuilder(file, in, out).run();
}

}  // namespace tess::vmasm
