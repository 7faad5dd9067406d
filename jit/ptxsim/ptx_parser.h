// The parser of PTX text, shared by its two halves: module-level directives and constants
// (ptx_parser.cpp), functions and their instructions (ptx_function.cpp).
#pragma once
#include <bit>
#include <unordered_map>

#include "isa/diag/sim.h"
#include "jit/ptxsim/ptx_lexer.h"
#include "jit/ptxsim/ptx_module.h"

namespace tess::ptxsim::parse {

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

class Parser {
 public:
  explicit Parser(std::shared_ptr<Module> m) : m_(std::move(m)), lex_(m_->text) { advance(); }

  Status run() {
    while (tok_.kind != Tok::end) TESS_CHECK(top_level());
    if (m_->version == 0) return error("the module has no .version directive");
    TESS_CHECK(define_aliases());
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
  Diagnostic error(std::string message) const;
  Status expect(char c);
  static std::string shown(std::string_view s) {
    return s.empty() ? "end of file" : std::string(s.substr(0, 60));
  }
  Result<std::string_view> word();

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
  Result<int64_t> constant(int min_precedence = 1, int depth = 0);
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
  Status top_level();
  // .global/.const/.shared/.local/.param declarations, up to ';'.
  Status variables(bool external, Function* f);
  // [.align n] [.ptr ...] .type name [dims] [= init]
  Status declarator(Variable& v);
  Status initializer(Variable& v, uint32_t unit);
  static uint64_t literal_bits(const Token& t, uint32_t unit) {
    if (t.kind == Tok::f32 && unit == 8) {
      float f = std::bit_cast<float>(uint32_t(t.bits));
      return std::bit_cast<uint64_t>(double(f));
    }
    if (t.kind == Tok::f64 && unit == 4)
      return std::bit_cast<uint32_t>(float(std::bit_cast<double>(t.bits)));
    return t.bits;
  }

  Status define_aliases();
  Status add_variable(Variable v, Function* f);
  // --- functions
  Status function(bool external);
  Status declare(Function f);
  Status parameters(Function& f, std::vector<int32_t>& out);
  Status registers(Function& f);
  const Symbol* lookup(std::string_view name, Symbol& made);
  Status body(Function& f);
  // Names that may be labels further down or functions.
  void note_names(Instruction& in, uint32_t index);
  Status label(Function& f, std::string_view name);
  int32_t find_label(std::string_view name, int32_t scope) const;
  Status resolve(Function& f);
  Status operand(Function& f, Operand& o, int depth);
  struct Targets {
    std::string_view name;
    std::vector<std::string_view> targets;
    int32_t scope;
  };

  std::shared_ptr<Module> m_;
  Lexer lex_;
  Token tok_;
  std::unordered_map<std::string_view, Symbol> module_names_;
  std::vector<std::pair<std::string_view, std::string_view>> aliases_;
  std::vector<Scope> scopes_;
  int32_t scope_ = 0;
  std::vector<PendingName> pending_;
  std::vector<Targets> protos_;
  ScalarType last_type_;
  uint32_t last_lanes_ = 1, last_align_ = 0;
  bool pointee_ = false;
};

}  // namespace tess::ptxsim::parse
