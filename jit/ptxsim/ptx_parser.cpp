// PTX modules: directives, variables and their initialisers, constant expressions.
#include "jit/ptxsim/ptx_parser.h"

#include <fmt/format.h>

#include <algorithm>

namespace tess::ptxsim {
namespace parse {

Diagnostic Parser::error(std::string message) const {
  return make_diag(diag::kSimParse, fmt::format("{}:{}: {}", m_->name, tok_.line, message),
                   Span{0, tok_.line, tok_.col, uint32_t(std::max<size_t>(1, tok_.text.size()))});
}
Status Parser::expect(char c) {
  if (!accept(c)) return error(fmt::format("expected '{}' before '{}'", c, shown(tok_.text)));
  return ok();
}
Result<std::string_view> Parser::word() {
  if (tok_.kind != Tok::word)
    return error(fmt::format("expected a name, found '{}'", shown(tok_.text)));
  std::string_view s = tok_.text;
  advance();
  return s;
}

Result<int64_t> Parser::constant(int min_precedence, int depth) {
  if (depth > 32) return error("constant expression nests too deep");
  int64_t left;
  if (accept('-')) {
    TESS_TRY(int64_t v, constant(7, depth + 1));
    left = int64_t(-uint64_t(v));
  } else if (accept('+')) {
    TESS_TRY(left, constant(7, depth + 1));
  } else if (accept('~')) {
    TESS_TRY(int64_t v, constant(7, depth + 1));
    left = ~v;
  } else if (accept('(')) {
    if (tok_.kind == Tok::dotted) {  // (.s64) casts
      advance();
      TESS_CHECK(expect(')'));
      TESS_TRY(left, constant(7, depth + 1));
    } else {
      TESS_TRY(left, constant(1, depth + 1));
      TESS_CHECK(expect(')'));
    }
  } else if (tok_.kind == Tok::integer) {
    left = int64_t(tok_.bits);
    advance();
  } else if (tok_.kind == Tok::word && tok_.text == "WARP_SZ") {
    left = 32;
    advance();
  } else {
    return error(fmt::format("expected a constant, found '{}'", shown(tok_.text)));
  }
  for (int p; (p = precedence(tok_)) >= min_precedence;) {
    char op = tok_.punct;
    advance();
    TESS_TRY(int64_t right, constant(p + 1, depth + 1));
    uint64_t a = uint64_t(left), b = uint64_t(right);
    switch (op) {
      case '+':
        left = int64_t(a + b);
        break;
      case '-':
        left = int64_t(a - b);
        break;
      case '*':
        left = int64_t(a * b);
        break;
      case '/':
      case '%':
        if (right == 0 || (right == -1 && left == INT64_MIN))
          return error("division in constant expression");
        left = op == '/' ? left / right : left % right;
        break;
      case 'L':
        left = int64_t(b > 63 ? 0 : a << b);
        break;
      case 'R':
        left = int64_t(b > 63 ? 0 : a >> b);
        break;
      case '&':
        left = int64_t(a & b);
        break;
      case '|':
        left = int64_t(a | b);
        break;
      default:
        left = int64_t(a ^ b);
    }
  }
  return left;
}

Status Parser::top_level() {
  if (tok_.kind != Tok::dotted)
    return error(fmt::format("expected a directive, found '{}'", shown(tok_.text)));
  if (accept(".version")) {
    double v = tok_.kind == Tok::f64 ? std::bit_cast<double>(tok_.bits) : -1;
    if (!(v >= 1 && v < 1000)) return error("expected a version like 8.5");
    m_->version = int(v * 10 + 0.5);
    if (m_->version > 90) return error(fmt::format("PTX version {} is newer than 9.0", tok_.text));
    advance();
    return ok();
  }
  if (accept(".target")) {
    do {
      TESS_TRY(std::string_view t, word());
      if (t.substr(0, 3) == "sm_") {
        int sm = 0;
        size_t i = 3;
        for (; i < t.size() && t[i] >= '0' && t[i] <= '9' && sm < 10000; ++i)
          sm = sm * 10 + (t[i] - '0');
        m_->sm = sm;
        m_->sm_specific = i < t.size() && t[i] == 'a';
      }
    } while (accept(','));
    return ok();
  }
  if (accept(".address_size")) {
    if (tok_.kind != Tok::integer || tok_.bits != 64)
      return error("only 64-bit addresses are simulated");
    advance();
    return ok();
  }
  if (accept(".file")) {
    if (tok_.kind != Tok::integer) return error("expected a file number");
    uint32_t number = uint32_t(tok_.bits);
    advance();
    if (tok_.kind != Tok::string) return error("expected a file name");
    m_->files.emplace_back(number, std::string(tok_.text));
    advance();
    while (accept(',')) advance();
    return ok();
  }
  if (accept(".section")) {
    while (tok_.kind == Tok::dotted || tok_.kind == Tok::word) advance();
    TESS_CHECK(expect('{'));
    while (!is('}') && tok_.kind != Tok::end) advance();
    return expect('}');
  }
  if (accept(".pragma")) {
    while (!is(';') && tok_.kind != Tok::end) advance();
    return expect(';');
  }
  if (accept(".alias")) {
    TESS_TRY(std::string_view from, word());
    TESS_CHECK(expect(','));
    TESS_TRY(std::string_view to, word());
    aliases_.emplace_back(from, to);
    return expect(';');
  }
  bool external = false;
  for (;;) {
    if (accept(".visible") || accept(".weak") || accept(".common")) continue;
    if (accept(".extern")) {
      external = true;
      continue;
    }
    break;
  }
  if (is_dotted(".entry") || is_dotted(".func")) return function(external);
  if (is_dotted(".tex") || is_dotted(".texref"))
    return make_diag(diag::kSimRefusedForm,
                     fmt::format("{}:{}: textures are not simulated", m_->name, tok_.line),
                     Span{0, tok_.line, tok_.col, 1});
  return variables(external, nullptr);
}

Status Parser::variables(bool external, Function* f) {
  Space space;
  if (accept(".global")) space = Space::global;
  else if (accept(".const") || accept(".constant")) space = Space::constant;
  else if (accept(".shared") || accept(".shared::cta")) space = Space::shared;
  else if (f && accept(".local")) space = Space::local;
  else if (f && accept(".param")) space = Space::param;
  else return error(fmt::format("unknown directive '{}'", shown(tok_.text)));
  do {
    Variable v;
    v.space = space;
    v.external = external;
    TESS_CHECK(declarator(v));
    TESS_CHECK(add_variable(std::move(v), f));
  } while (is(',') && (advance(), true));
  return expect(';');
}

Status Parser::declarator(Variable& v) {
  bool typed = false;
  ScalarType type;
  uint32_t lanes = 1, align = 0;
  v.line = tok_.line;
  while (tok_.kind == Tok::dotted) {
    if (accept(".align")) {
      if (tok_.kind != Tok::integer || tok_.bits == 0 || tok_.bits > 4096 ||
          (tok_.bits & (tok_.bits - 1)))
        return error("alignment must be a power of two up to 4096");
      if (!pointee_) align = uint32_t(tok_.bits);
      advance();
    } else if (accept(".v2")) {
      lanes = 2;
    } else if (accept(".v4")) {
      lanes = 4;
    } else if (accept(".ptr")) {
      pointee_ = true;
    } else if (pointee_ &&
               (accept(".global") || accept(".shared") || accept(".local") || accept(".const"))) {
    } else if (accept(".attribute")) {
      TESS_CHECK(expect('('));
      while (!is(')') && tok_.kind != Tok::end) advance();
      TESS_CHECK(expect(')'));
    } else if (parse_type(tok_.text, type)) {
      typed = true;
      advance();
    } else {
      pointee_ = false;
      return error(fmt::format("unknown type or attribute '{}'", shown(tok_.text)));
    }
  }
  pointee_ = false;
  if (!typed) {
    if (last_type_.bits == 0) return error("expected a type");
    type = last_type_;
    lanes = last_lanes_;
    align = align ? align : last_align_;
  }
  last_type_ = type, last_lanes_ = lanes, last_align_ = align;
  TESS_TRY(v.name, word());
  uint64_t element = uint64_t(type.bits + 7) / 8 * lanes, count = 1;
  bool unsized = false;
  while (accept('[')) {
    if (accept(']')) {
      unsized = true;
      continue;
    }
    TESS_TRY(int64_t n, constant());
    if (n < 0 || uint64_t(n) > kMaxVariableBytes || (n && count > kMaxVariableBytes / uint64_t(n)))
      return error("the array is too large");
    count *= uint64_t(n);
    TESS_CHECK(expect(']'));
  }
  if (count > kMaxVariableBytes / element) return error("the array is too large");
  v.bytes = unsized ? 0 : count * element;
  v.align = align ? align : uint32_t(std::min<uint64_t>(element ? element : 1, 16));
  last_type_.bits = type.bits;
  if (accept('=')) {
    uint32_t unit = type.bits / 8;
    if (unit == 0 || unit > 8) return error("this type cannot have an initializer");
    TESS_CHECK(initializer(v, unit));
    if (unsized) v.bytes = v.init.size();
    if (v.init.size() > v.bytes) return error("the initializer is longer than the variable");
  }
  return ok();
}

Status Parser::initializer(Variable& v, uint32_t unit) {
  int depth = 0;
  for (;;) {
    if (accept('{')) {
      if (++depth > 8) return error("the initializer nests too deep");
      continue;
    }
    if (is('}') && depth > 0) {
      advance();
      --depth;
    } else {
      uint64_t bits = 0;
      if (tok_.kind == Tok::f32 || tok_.kind == Tok::f64) {
        bits = literal_bits(tok_, unit);
        advance();
      } else if (tok_.kind == Tok::word && tok_.text != "WARP_SZ") {
        std::string_view symbol = tok_.text;
        advance();
        if (symbol == "generic" && accept('(')) {
          TESS_TRY(symbol, word());
          TESS_CHECK(expect(')'));
        } else if (symbol == "mask") {
          return error("mask() initializers are not simulated");
        }
        int64_t addend = 0;
        if (is('+') || is('-')) {
          TESS_TRY(addend, constant(7));
        }
        v.fixups.push_back({v.init.size(), uint8_t(unit), symbol, addend});
      } else {
        TESS_TRY(int64_t c, constant());
        bits = uint64_t(c);
      }
      if (v.init.size() + unit > kMaxVariableBytes) return error("the initializer is too long");
      for (uint32_t i = 0; i < unit; ++i) v.init.push_back(uint8_t(bits >> (8 * i)));
    }
    if (depth == 0) return ok();
    if (!accept(',') && !is('}')) return error("expected ',' or '}' in the initializer");
  }
}

// An alias is a function of its own with the other's body.
Status Parser::define_aliases() {
  for (auto [name, target] : aliases_) {
    auto it = std::find_if(m_->functions.begin(), m_->functions.end(),
                           [&, target = target](const Function& f) { return f.name == target; });
    if (it == m_->functions.end() || !it->defined || it->entry)
      return error(
          fmt::format("the alias '{}' needs the function '{}'", shown(name), shown(target)));
    Function f = *it;
    f.name = name;
    TESS_CHECK(declare(std::move(f)));
  }
  return ok();
}

Status Parser::add_variable(Variable v, Function* f) {
  bool to_module =
      v.space == Space::global || v.space == Space::constant || v.space == Space::shared;
  std::string_view name = v.name;
  auto& names = f ? scopes_[scope_].names : module_names_;
  auto it = names.find(name);
  if (it != names.end()) {
    if (!f && (m_->vars[it->second.index].external || v.external)) {
      if (!v.external) m_->vars[it->second.index] = std::move(v);
      return ok();
    }
    return error(fmt::format("'{}' is declared twice", shown(name)));
  }
  if (to_module) {
    m_->vars.push_back(std::move(v));
    names[name] = {SymbolKind::module_var, int32_t(m_->vars.size() - 1)};
  } else {
    f->vars.push_back(std::move(v));
    names[name] = {SymbolKind::local_var, int32_t(f->vars.size() - 1)};
  }
  return ok();
}

}  // namespace parse

namespace {

constexpr std::string_view kSpecialNames[] = {
#define SPECIAL(id, name) name,
#include "jit/ptxsim/specials.def"
#undef SPECIAL
};

}  // namespace

int find_special(std::string_view name) {
  for (size_t i = 0; i < std::size(kSpecialNames); ++i)
    if (kSpecialNames[i] == name) return int(i);
  return -1;
}

std::string_view special_name(Special s) { return kSpecialNames[size_t(s)]; }

std::string_view Module::file_name(uint32_t number) const {
  for (auto& [n, file] : files)
    if (n == number) return file;
  return {};
}

Result<std::shared_ptr<const Module>> parse_ptx(std::string text, std::string name) {
  if (text.size() > kMaxPtxBytes)
    return make_diag(diag::kSimParse,
                     fmt::format("{}: the text is longer than {} bytes", name, kMaxPtxBytes));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  auto m = std::make_shared<Module>();
  m->text = std::move(text);
  m->name = std::move(name);
  parse::Parser p(m);
  TESS_CHECK(p.run());
  return std::shared_ptr<const Module>(std::move(m));
}

}  // namespace tess::ptxsim
