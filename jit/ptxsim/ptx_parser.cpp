#include <fmt/format.h>

#include <bit>
#include <unordered_map>

#include "isa/diag/sim.h"
#include "jit/ptxsim/ptx_lexer.h"
#include "jit/ptxsim/ptx_module.h"

namespace tess::ptxsim {

namespace {

constexpr std::string_view kSpecialNames[] = {
#define SPECIAL(id, name) name,
#include "jit/ptxsim/specials.def"
#undef SPECIAL
};

enum class SymbolKind : uint8_t { reg, module_var, local_var, label };
struct Symbol {
  SymbolKind kind;
  int32_t index;
};
struct Range {
  int32_t base;
  uint32_t count;
};
struct Scope {
  int32_t parent = -1;
  std::unordered_map<std::string_view, Symbol> names;
  std::unordered_map<std::string_view, Range> ranges;
};
struct PendingName {
  uint32_t instruction;
  uint16_t operand;
  int32_t scope;
};

int dim_index(std::string_view s) {
  return s == ".x" ? 0 : s == ".y" ? 1 : s == ".z" ? 2 : s == ".w" ? 3 : -1;
}

class Parser {
 public:
  explicit Parser(std::shared_ptr<Module> m) : m_(std::move(m)), lex_(m_->text) { advance(); }

  Status run() {
    while (tok_.kind != Tok::end) TESS_CHECK(top_level());
    if (m_->version == 0) return error("the module has no .version directive");
    return ok();
  }

 private:
  // --- tokens
  void advance() { tok_ = lex_.next(); }
  bool is(char c) const { return tok_.kind == Tok::punct && tok_.punct == c; }
  bool is_dotted(std::string_view s) const { return tok_.kind == Tok::dotted && tok_.text == s; }
  bool accept(char c) {
    if (!is(c)) return false;
    advance();
    return true;
  }
  bool accept(std::string_view dotted) {
    if (!is_dotted(dotted)) return false;
    advance();
    return true;
  }
  Diagnostic error(std::string message) const {
    return make_diag(diag::kSimParse, fmt::format("{}:{}: {}", m_->name, tok_.line, message),
                     Span{0, tok_.line, tok_.col, uint32_t(std::max<size_t>(1, tok_.text.size()))});
  }
  Status expect(char c) {
    if (!accept(c)) return error(fmt::format("expected '{}' before '{}'", c, shown(tok_.text)));
    return ok();
  }
  static std::string shown(std::string_view s) {
    return s.empty() ? "end of file" : std::string(s.substr(0, 60));
  }
  Result<std::string_view> word() {
    if (tok_.kind != Tok::word)
      return error(fmt::format("expected a name, found '{}'", shown(tok_.text)));
    std::string_view s = tok_.text;
    advance();
    return s;
  }

  // --- constant expressions
  static int precedence(const Token& t) {
    if (t.kind != Tok::punct) return -1;
    switch (t.punct) {
      case '|':
        return 1;
      case '^':
        return 2;
      case '&':
        return 3;
      case 'L':
      case 'R':
        return 4;
      case '+':
      case '-':
        return 5;
      case '*':
      case '/':
      case '%':
        return 6;
      default:
        return -1;
    }
  }
  Result<int64_t> constant(int min_precedence = 1, int depth = 0) {
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

  // --- types
  static bool parse_type(std::string_view s, ScalarType& out) {
    static const std::unordered_map<std::string_view, ScalarType> kTypes = {
        {".b8", {'b', 8}},
        {".b16", {'b', 16}},
        {".b32", {'b', 32}},
        {".b64", {'b', 64}},
        {".b128", {'b', 128}},
        {".u8", {'u', 8}},
        {".u16", {'u', 16}},
        {".u32", {'u', 32}},
        {".u64", {'u', 64}},
        {".s8", {'s', 8}},
        {".s16", {'s', 16}},
        {".s32", {'s', 32}},
        {".s64", {'s', 64}},
        {".f16", {'f', 16}},
        {".f32", {'f', 32}},
        {".f64", {'f', 64}},
        {".f16x2", {'f', 32, 2}},
        {".bf16", {'f', 16, 1, true}},
        {".bf16x2", {'f', 32, 2, true}},
        {".tf32", {'b', 32}},
        {".pred", {'p', 1}}};
    auto it = kTypes.find(s);
    if (it == kTypes.end()) return false;
    out = it->second;
    return true;
  }

  // --- module level
  Status top_level() {
    if (tok_.kind != Tok::dotted)
      return error(fmt::format("expected a directive, found '{}'", shown(tok_.text)));
    if (accept(".version")) {
      double v = tok_.kind == Tok::f64 ? std::bit_cast<double>(tok_.bits) : -1;
      if (!(v >= 1 && v < 1000)) return error("expected a version like 8.5");
      m_->version = int(v * 10 + 0.5);
      if (m_->version > 90)
        return error(fmt::format("PTX version {} is newer than 9.0", tok_.text));
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
      aliases_[from] = to;
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

  // .global/.const/.shared/.local/.param declarations, up to ';'.
  Status variables(bool external, Function* f) {
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

  // [.align n] [.ptr ...] .type name [dims] [= init]
  Status declarator(Variable& v) {
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
      if (n < 0 || uint64_t(n) > kMaxVariableBytes ||
          (n && count > kMaxVariableBytes / uint64_t(n)))
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

  Status initializer(Variable& v, uint32_t unit) {
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

  static uint64_t literal_bits(const Token& t, uint32_t unit) {
    if (t.kind == Tok::f32 && unit == 8) {
      float f = std::bit_cast<float>(uint32_t(t.bits));
      return std::bit_cast<uint64_t>(double(f));
    }
    if (t.kind == Tok::f64 && unit == 4)
      return std::bit_cast<uint32_t>(float(std::bit_cast<double>(t.bits)));
    return t.bits;
  }

  Status add_variable(Variable v, Function* f) {
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

  // --- functions
  Status function(bool external) {
    Function f;
    f.entry = is_dotted(".entry");
    f.external = external;
    f.line = tok_.line;
    advance();
    scopes_.assign(1, Scope{});
    scope_ = 0;
    pending_.clear();
    protos_.clear();
    while (accept(".attribute")) {
      while (!is(')') && tok_.kind != Tok::end) advance();
      advance();
    }
    if (!f.entry && is('(')) TESS_CHECK(parameters(f, f.returns));
    TESS_TRY(f.name, word());
    if (is('(')) TESS_CHECK(parameters(f, f.params));
    for (;;) {
      if (accept(".noreturn") || accept(".blocksareclusters") || accept(".unique") ||
          accept(".weak"))
        continue;
      if (accept(".explicitcluster")) {
        f.explicit_cluster = true;
        continue;
      }
      uint32_t* dims = is_dotted(".maxntid")             ? f.maxntid
                       : is_dotted(".reqntid")           ? f.reqntid
                       : is_dotted(".reqnctapercluster") ? f.cluster
                                                         : nullptr;
      if (dims) {
        advance();
        dims[0] = dims[1] = dims[2] = 1;
        int i = 0;
        do {
          if (tok_.kind != Tok::integer || i > 2 || tok_.bits > UINT32_MAX)
            return error("expected up to three dimensions");
          dims[i++] = uint32_t(tok_.bits);
          advance();
        } while (accept(','));
        continue;
      }
      if (is_dotted(".maxnreg") || is_dotted(".minnctapersm")) {
        uint32_t& value = is_dotted(".maxnreg") ? f.maxnreg : f.minnctapersm;
        advance();
        if (tok_.kind != Tok::integer || tok_.bits < 1 || tok_.bits > 1024)
          return error("expected a number from 1 to 1024");
        value = uint32_t(tok_.bits);
        advance();
        continue;
      }
      if (is_dotted(".maxnctapersm") || is_dotted(".maxclusterrank") || is_dotted(".abi_preserve") ||
          is_dotted(".abi_preserve_control")) {
        advance();
        if (tok_.kind == Tok::integer) advance();
        continue;
      }
      if (accept(".pragma")) {
        while (!is(';') && tok_.kind != Tok::end) advance();
        TESS_CHECK(expect(';'));
        continue;
      }
      break;
    }
    if (accept(';')) return declare(std::move(f));
    TESS_CHECK(expect('{'));
    f.defined = true;
    TESS_CHECK(body(f));
    return declare(std::move(f));
  }

  Status declare(Function f) {
    for (Function& g : m_->functions)
      if (g.name == f.name) {
        if (g.defined && f.defined)
          return error(fmt::format("function '{}' is defined twice", shown(f.name)));
        if (f.defined) g = std::move(f);
        return ok();
      }
    m_->functions.push_back(std::move(f));
    return ok();
  }

  Status parameters(Function& f, std::vector<int32_t>& out) {
    TESS_CHECK(expect('('));
    last_type_ = {};
    while (!is(')')) {
      Variable v;
      v.space = Space::param;
      if (!accept(".param"))
        return error("parameters in registers (.reg) are not simulated: use .param");
      TESS_CHECK(declarator(v));
      TESS_CHECK(add_variable(std::move(v), &f));
      out.push_back(int32_t(f.vars.size() - 1));
      if (out.size() > 4096) return error("too many parameters");
      if (!accept(',') && !is(')')) return error("expected ',' or ')'");
    }
    return expect(')');
  }

  Status registers(Function& f) {
    ScalarType type;
    uint32_t lanes = 1;
    for (;;) {
      if (accept(".v2")) lanes = 2;
      else if (accept(".v4")) lanes = 4;
      else break;
    }
    if (lanes != 1) return error("vector registers (.reg .v2) are not simulated");
    if (tok_.kind != Tok::dotted || !parse_type(tok_.text, type))
      return error("expected a register type");
    advance();
    do {
      TESS_TRY(std::string_view name, word());
      uint64_t count = 1;
      bool range = accept('<');
      if (range) {
        TESS_TRY(int64_t n, constant());
        count = uint64_t(n);
        TESS_CHECK(expect('>'));
      }
      if (count > kMaxRegisters || f.regs.size() + count > kMaxRegisters)
        return error("too many registers");
      Scope& s = scopes_[scope_];
      if (range) s.ranges[name] = {int32_t(f.regs.size()), uint32_t(count)};
      else s.names[name] = {SymbolKind::reg, int32_t(f.regs.size())};
      for (uint64_t i = 0; i < count; ++i) {
        f.regs.push_back(type);
        f.reg_names.push_back(range ? fmt::format("{}{}", name, i) : std::string(name));
      }
    } while (accept(','));
    return expect(';');
  }

  const Symbol* lookup(std::string_view name, Symbol& made) {
    size_t digits = name.size();
    while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
    uint64_t number = UINT64_MAX;
    if (digits < name.size() && name.size() - digits <= 9 &&
        (name[digits] != '0' || name.size() - digits == 1)) {
      number = 0;
      for (size_t i = digits; i < name.size(); ++i) number = number * 10 + uint64_t(name[i] - '0');
    }
    for (int32_t s = scope_; s >= 0; s = scopes_[s].parent) {
      auto it = scopes_[s].names.find(name);
      if (it != scopes_[s].names.end()) return &it->second;
      if (number != UINT64_MAX) {
        auto r = scopes_[s].ranges.find(name.substr(0, digits));
        if (r != scopes_[s].ranges.end() && number < r->second.count) {
          made = {SymbolKind::reg, r->second.base + int32_t(number)};
          return &made;
        }
      }
    }
    auto it = module_names_.find(name);
    return it == module_names_.end() ? nullptr : &it->second;
  }

  Status body(Function& f) {
    uint32_t file = 0, line = 0, col = 0;
    int depth = 1;
    while (depth > 0) {
      if (tok_.kind == Tok::end) return error("the function body does not end");
      if (accept('{')) {
        Scope inner;
        inner.parent = scope_;
        scopes_.push_back(std::move(inner));
        scope_ = int32_t(scopes_.size() - 1);
        if (++depth > 256) return error("blocks nest too deep");
        continue;
      }
      if (accept('}')) {
        --depth;
        if (depth) scope_ = scopes_[scope_].parent;
        continue;
      }
      if (accept(';')) continue;
      if (is_dotted(".loc")) {
        uint32_t at = tok_.line;
        advance();
        uint32_t v[3] = {};
        for (int i = 0; i < 3 && tok_.kind == Tok::integer && tok_.line == at; ++i) {
          v[i] = uint32_t(tok_.bits);
          advance();
        }
        // Inside an inlined function it is the place of the call that is the program's own line.
        while (tok_.kind != Tok::end && tok_.line == at) {
          bool called = tok_.kind == Tok::word && tok_.text == "inlined_at";
          advance();
          for (int i = 0; called && i < 3 && tok_.kind == Tok::integer && tok_.line == at; ++i) {
            v[i] = uint32_t(tok_.bits);
            advance();
          }
        }
        if (v[1]) file = v[0], line = v[1], col = v[2];
        continue;
      }
      if (accept(".reg")) {
        TESS_CHECK(registers(f));
        continue;
      }
      if (accept(".pragma")) {
        while (!is(';') && tok_.kind != Tok::end) advance();
        TESS_CHECK(expect(';'));
        continue;
      }
      if (tok_.kind == Tok::dotted) {
        bool external = accept(".extern");
        last_type_ = {};
        TESS_CHECK(variables(external, &f));
        continue;
      }
      Instruction in;
      in.pred = -1;
      in.line = tok_.line;
      in.loc_file = file, in.loc_line = line, in.loc_col = col;
      if (accept('@')) {
        in.pred_negated = accept('!');
        TESS_TRY(std::string_view p, word());
        Symbol made;
        const Symbol* s = lookup(p, made);
        if (!s || s->kind != SymbolKind::reg || f.regs[s->index].kind != 'p')
          return error(fmt::format("'{}' is not a predicate register", shown(p)));
        in.pred = s->index;
      }
      Token first = tok_;
      TESS_TRY(std::string_view name, word());
      if (in.pred < 0 && accept(':')) {
        TESS_CHECK(label(f, name));
        continue;
      }
      in.opcode = name;
      in.line = first.line;
      while (tok_.kind == Tok::dotted) {
        in.mods.push_back(tok_.text.substr(1));
        if (in.mods.size() > 24) return error("too many modifiers");
        advance();
      }
      while (!is(';')) {
        Operand o;
        TESS_CHECK(operand(f, o, 0));
        in.operands.push_back(std::move(o));
        if (in.operands.size() > 64) return error("too many operands");
        if (!accept(',')) break;
      }
      if (!is(';')) return error(fmt::format("expected ';' or ',' before '{}'", shown(tok_.text)));
      advance();
      f.body.push_back(std::move(in));
      if (f.body.size() > (1u << 22)) return error("the function is too long");
      note_names(f.body.back(), uint32_t(f.body.size() - 1));
    }
    return resolve(f);
  }

  // Names that may be labels further down or functions.
  void note_names(Instruction& in, uint32_t index) {
    for (size_t i = 0; i < in.operands.size(); ++i)
      if (in.operands[i].kind == OpKind::function) pending_.push_back({index, uint16_t(i), scope_});
  }

  Status label(Function& f, std::string_view name) {
    if (is_dotted(".branchtargets") || is_dotted(".calltargets")) {
      bool branches = is_dotted(".branchtargets");
      advance();
      std::vector<std::string_view> list;
      do {
        TESS_TRY(std::string_view t, word());
        list.push_back(t);
      } while (accept(','));
      if (branches) protos_.push_back({name, std::move(list), scope_});
      return expect(';');
    }
    if (accept(".callprototype")) {
      while (!is(';') && tok_.kind != Tok::end) advance();
      return expect(';');
    }
    auto& names = scopes_[scope_].names;
    if (names.count(name)) return error(fmt::format("'{}' is declared twice", shown(name)));
    names[name] = {SymbolKind::label, int32_t(f.labels.size())};
    f.labels.push_back(uint32_t(f.body.size()));
    f.label_names.push_back(name);
    return ok();
  }

  int32_t find_label(std::string_view name, int32_t scope) const {
    for (; scope >= 0; scope = scopes_[scope].parent) {
      auto it = scopes_[scope].names.find(name);
      if (it != scopes_[scope].names.end() && it->second.kind == SymbolKind::label)
        return it->second.index;
    }
    return -1;
  }

  Status resolve(Function& f) {
    for (auto& p : protos_) {
      std::vector<int32_t> labels;
      for (std::string_view t : p.targets) {
        int32_t l = find_label(t, p.scope);
        if (l < 0) return error(fmt::format("branch target '{}' is not a label", shown(t)));
        labels.push_back(l);
      }
      f.branch_lists.push_back(std::move(labels));
    }
    for (const PendingName& p : pending_) {
      Operand& o = f.body[p.instruction].operands[p.operand];
      if (o.kind != OpKind::function) continue;
      int32_t l = find_label(o.text, p.scope);
      if (l >= 0) {
        o.kind = OpKind::label;
        o.index = l;
        continue;
      }
      if (f.body[p.instruction].opcode == "brx")
        for (size_t i = 0; i < protos_.size(); ++i)
          if (protos_[i].name == o.text) o.kind = OpKind::label, o.index = int32_t(i);
    }
    return ok();
  }

  Status operand(Function& f, Operand& o, int depth) {
    if (depth > 4) return error("operands nest too deep");
    if (is('{') || is('(')) {
      char close = is('{') ? '}' : ')';
      advance();
      o.kind = OpKind::vector;
      while (!is(close)) {
        Operand e;
        TESS_CHECK(operand(f, e, depth + 1));
        o.elems.push_back(std::move(e));
        if (o.elems.size() > 256) return error("too many elements");
        if (!accept(',')) break;
      }
      return expect(close);
    }
    if (accept('[')) {
      o.kind = OpKind::address;
      Operand base;
      TESS_CHECK(operand(f, base, depth + 1));
      if (base.kind == OpKind::integer) o.value = 0;
      if (base.kind == OpKind::module_var || base.kind == OpKind::local_var)
        std::swap(o.value, base.value);
      if (is('+') || is('-')) {
        bool minus = is('-');
        advance();
        TESS_TRY(int64_t c, constant());
        o.value = int64_t(uint64_t(o.value) + (minus ? -uint64_t(c) : uint64_t(c)));
      }
      o.elems.push_back(std::move(base));
      while (accept(',')) {
        Operand e;
        TESS_CHECK(operand(f, e, depth + 1));
        o.elems.push_back(std::move(e));
        if (o.elems.size() > 8) return error("too many parts in the address");
      }
      return expect(']');
    }
    if (accept('!')) {
      TESS_CHECK(operand(f, o, depth + 1));
      if (o.kind == OpKind::integer) {
        o.value = !o.value;
        return ok();
      }
      if (o.kind != OpKind::reg) return error("expected a predicate after '!'");
      o.negated = true;
      return ok();
    }
    if (tok_.kind == Tok::word && tok_.text != "WARP_SZ") {
      std::string_view name = tok_.text;
      if (name == "_") {
        advance();
        o.kind = OpKind::sink;
        if (accept('|')) {
          Operand second;
          TESS_CHECK(operand(f, second, depth + 1));
          o.pair = second.kind == OpKind::reg ? second.index : -2;
        }
        return ok();
      }
      advance();
      Symbol made;
      const Symbol* s = lookup(name, made);
      if (s && s->kind != SymbolKind::label) {
        o.index = s->index;
        o.text = name;
        if (s->kind == SymbolKind::reg) {
          o.kind = OpKind::reg;
          if (accept('|')) {
            Operand second;
            TESS_CHECK(operand(f, second, depth + 1));
            if (second.kind != OpKind::reg && second.kind != OpKind::sink)
              return error("expected a register after '|'");
            o.pair = second.kind == OpKind::reg ? second.index : -2;
          }
          return ok();
        }
        o.kind = s->kind == SymbolKind::module_var ? OpKind::module_var : OpKind::local_var;
        if (depth == 0 && (is('+') || is('-'))) {
          bool minus = is('-');
          advance();
          TESS_TRY(int64_t c, constant());
          o.value = minus ? int64_t(-uint64_t(c)) : c;
        }
        return ok();
      }
      if (name[0] == '%') {
        int id = find_special(name.substr(1));
        if (id < 0 && name.substr(1, 6) == "envreg") id = int(Special::envreg);
        if (id < 0 && name.substr(1, 2) == "pm") id = int(Special::pm);
        if (id < 0) return error(fmt::format("'{}' is not a declared register", shown(name)));
        o.kind = OpKind::special;
        o.index = id;
        if (tok_.kind == Tok::dotted) {
          int d = dim_index(tok_.text);
          if (d < 0) return error(fmt::format("unknown component '{}'", shown(tok_.text)));
          o.lane = uint8_t(d);
          advance();
        }
        return ok();
      }
      o.kind = OpKind::function;  // or a label; settled at the end of the body
      o.text = name;
      return ok();
    }
    bool minus = false;
    if (is('-')) {
      Lexer saved = lex_;
      Token saved_token = tok_;
      advance();
      if (tok_.kind == Tok::f32 || tok_.kind == Tok::f64) minus = true;
      else lex_ = saved, tok_ = saved_token;
    }
    if (tok_.kind == Tok::f32 || tok_.kind == Tok::f64) {
      o.kind = tok_.kind == Tok::f32 ? OpKind::f32 : OpKind::f64;
      o.value =
          int64_t(tok_.bits ^ (minus ? (tok_.kind == Tok::f32 ? 1ull << 31 : 1ull << 63) : 0));
      advance();
      return ok();
    }
    o.kind = OpKind::integer;
    TESS_TRY(o.value, constant());
    return ok();
  }

  struct Targets {
    std::string_view name;
    std::vector<std::string_view> targets;
    int32_t scope;
  };

  std::shared_ptr<Module> m_;
  Lexer lex_;
  Token tok_;
  std::unordered_map<std::string_view, Symbol> module_names_;
  std::unordered_map<std::string_view, std::string_view> aliases_;
  std::vector<Scope> scopes_;
  int32_t scope_ = 0;
  std::vector<PendingName> pending_;
  std::vector<Targets> protos_;
  ScalarType last_type_;
  uint32_t last_lanes_ = 1, last_align_ = 0;
  bool pointee_ = false;
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
  Parser p(m);
  TESS_CHECK(p.run());
  return std::shared_ptr<const Module>(std::move(m));
}

}  // namespace tess::ptxsim
