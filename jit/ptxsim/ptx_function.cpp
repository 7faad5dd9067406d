// PTX functions: parameters, registers, labels, instructions and their operands.
#include "jit/ptxsim/ptx_parser.h"

#include <fmt/format.h>

namespace tess::ptxsim::parse {

static int dim_index(std::string_view s) {
  return s == ".x" ? 0 : s == ".y" ? 1 : s == ".z" ? 2 : s == ".w" ? 3 : -1;
}

Status Parser::function(bool external) {
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
    if (accept(".noreturn") || accept(".blocksareclusters") || accept(".unique") || accept(".weak"))
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

Status Parser::declare(Function f) {
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

Status Parser::parameters(Function& f, std::vector<int32_t>& out) {
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

Status Parser::registers(Function& f) {
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

const Symbol* Parser::lookup(std::string_view name, Symbol& made) {
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

Status Parser::body(Function& f) {
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

void Parser::note_names(Instruction& in, uint32_t index) {
  for (size_t i = 0; i < in.operands.size(); ++i)
    if (in.operands[i].kind == OpKind::function) pending_.push_back({index, uint16_t(i), scope_});
}

Status Parser::label(Function& f, std::string_view name) {
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

int32_t Parser::find_label(std::string_view name, int32_t scope) const {
  for (; scope >= 0; scope = scopes_[scope].parent) {
    auto it = scopes_[scope].names.find(name);
    if (it != scopes_[scope].names.end() && it->second.kind == SymbolKind::label)
      return it->second.index;
  }
  return -1;
}

Status Parser::resolve(Function& f) {
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

Status Parser::operand(Function& f, Operand& o, int depth) {
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
    o.value = int64_t(tok_.bits ^ (minus ? (tok_.kind == Tok::f32 ? 1ull << 31 : 1ull << 63) : 0));
    advance();
    return ok();
  }
  o.kind = OpKind::integer;
  TESS_TRY(o.value, constant());
  return ok();
}

}  // namespace tess::ptxsim::parse
