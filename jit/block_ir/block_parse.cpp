// Reads what print_block writes. Line by line: every instruction stands on one.
#include <fmt/format.h>

#include <charconv>
#include <map>
#include <optional>

#include "isa/diag/jit.h"
#include "jit/block_ir/block_ir.h"

namespace tess::jit {
namespace {

constexpr uint32_t kMostRegisters = 1 << 20;

struct Parser {
  std::string_view rest;
  std::string_view line;  // what is left of the current line
  uint32_t number = 0;
  uint32_t tile = 0;
  BlockKernel k;
  std::map<std::string, uint32_t, std::less<>> names;
  std::string problem;

  bool fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }
  void blank() {
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  }
  bool next_line() {
    while (!rest.empty()) {
      size_t n = rest.find('\n');
      line = rest.substr(0, n);
      rest.remove_prefix(n == std::string_view::npos ? rest.size() : n + 1);
      ++number;
      blank();
      if (!line.empty()) return true;
    }
    return false;
  }
  bool accept(std::string_view text) {
    blank();
    if (!line.starts_with(text)) return false;
    line.remove_prefix(text.size());
    return true;
  }
  bool want(std::string_view text) {
    return accept(text) || fail(fmt::format("'{}' is wanted before '{}'", text, line));
  }
  // Up to a blank, a comma or one of `ends`.
  std::string_view word(std::string_view ends = "") {
    blank();
    size_t n = 0;
    while (n < line.size() && line[n] != ' ' && line[n] != ',' &&
           ends.find(line[n]) == std::string_view::npos)
      ++n;
    std::string_view out = line.substr(0, n);
    line.remove_prefix(n);
    return out;
  }
  template <class T>
  bool integer(std::string_view text, T& to) {
    int base = 10;
    if (text.starts_with("0x")) text.remove_prefix(2), base = 16;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to, base);
    return (error == std::errc() && end == text.data() + text.size()) ||
           fail(fmt::format("'{}' is not a number that fits", text));
  }
  template <class T>
  bool setting(std::string_view name, T& to) {
    return want(name) && integer(word(), to);
  }
  bool quoted(std::string& to) {
    if (!want("\"")) return false;
    while (!line.empty() && line.front() != '"') {
      char c = line.front();
      line.remove_prefix(1);
      if (c == '\\' && !line.empty()) {
        char escaped = line.front();
        line.remove_prefix(1);
        if (escaped == 'u') {
          uint32_t code = 0;
          if (line.size() < 4 || !integer("0x" + std::string(line.substr(0, 4)), code))
            return fail("a malformed escape");
          line.remove_prefix(4);
          c = static_cast<char>(code);
        } else {
          c = escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
        }
      }
      to += c;
    }
    return want("\"");
  }
  bool reg_class(std::string_view text, RegClass& to) {
    for (int c = 0; c < 6; ++c)
      if (class_name(static_cast<RegClass>(c)) == text) {
        to = static_cast<RegClass>(c);
        return true;
      }
    return fail(fmt::format("'{}' is no class of registers", text));
  }

  // %name_12 or %12, without the percent sign.
  bool reg_id(std::string_view text, RegId& id, uint32_t& name) {
    size_t underscore = text.rfind('_');
    name = 0;
    if (underscore != std::string_view::npos) {
      std::string spelling(text.substr(0, underscore));
      auto [it, added] = names.try_emplace(spelling, static_cast<uint32_t>(k.names.size()));
      if (added) k.names.push_back(spelling);
      name = it->second;
      text.remove_prefix(underscore + 1);
    }
    if (!integer(text, id)) return false;
    if (id >= kMostRegisters) return fail("a register's number is too large");
    return true;
  }
  bool define(std::string_view text, RegClass c, bool variable, Operand& to) {
    if (!text.starts_with('%')) return fail(fmt::format("'{}' is no register", text));
    RegId id = 0;
    uint32_t name = 0;
    if (!reg_id(text.substr(1), id, name)) return false;
    if (k.regs.size() <= id) k.regs.resize(id + 1);
    RegInfo& r = k.regs[id];
    variable |= r.variable;
    r = {c, variable, name};
    to = Operand::reg(id, c);
    return true;
  }
  bool use(std::string_view text, Operand& to) {
    if (text == "_") {
      to = {};
      return true;
    }
    if (text.starts_with('%')) {
      RegId id = 0;
      uint32_t name = 0;
      if (!reg_id(text.substr(1), id, name)) return false;
      if (id >= k.regs.size()) return fail(fmt::format("'{}' is not defined", text));
      to = Operand::reg(id, k.regs[id].type);
      return true;
    }
    size_t colon = text.find(':');
    if (colon != std::string_view::npos) {
      RegClass c;
      uint64_t bits = 0;
      if (!reg_class(text.substr(0, colon), c) || !integer(text.substr(colon + 1), bits))
        return false;
      to = Operand::imm(bits, c);
      return true;
    }
    int64_t value = 0;
    bool wide = text.ends_with('L');
    if (wide) text.remove_suffix(1);
    if (!integer(text, value)) return false;
    to = wide ? Operand::imm(static_cast<uint64_t>(value), RegClass::b64)
              : Operand::imm(static_cast<uint32_t>(value), RegClass::b32);
    return true;
  }

  bool header() {
    return want("block") && quoted(k.name) && setting("arch", k.arch) &&
           setting("threads", k.threads) && setting("cluster", k.cluster) &&
           setting("blocks", k.blocks_per_sm) && setting("registers", k.max_registers) &&
           setting("shared", k.shared_bytes) && want("{");
  }
  bool param() {
    BlockParam p;
    std::string_view kind = word();
    bool known = false;
    for (int i = 0; i <= static_cast<int>(ParamKind::print); ++i)
      if (param_kind_name(static_cast<ParamKind>(i)) == kind) {
        p.kind = static_cast<ParamKind>(i);
        known = true;
      }
    if (!known) return fail(fmt::format("'{}' is no kind of parameter", kind));
    if (!reg_class(word(), p.type) || !integer(word(), p.source) || !quoted(p.name)) return false;
    for (blank(); !line.empty(); blank()) {
      std::string_view token = word();
      size_t colon = token.find(':');
      int op = 0;
      int64_t value = 0;
      if (colon == std::string_view::npos || !integer(token.substr(0, colon), op) ||
          !integer(token.substr(colon + 1), value) || op < 0 ||
          op > static_cast<int>(HostOp::occupancy))
        return fail("a malformed host expression");
      p.expr.tokens.push_back({static_cast<HostOp>(op), value});
    }
    k.params.push_back(std::move(p));
    return true;
  }
  bool note() {
    blank();
    if (line.empty()) {
      tile = 0;
      return true;
    }
    TileNote n;
    std::string_view at = word();
    size_t one = at.find(':'), two = at.rfind(':');
    if (one == two || !integer(at.substr(0, one), n.loc.file) ||
        !integer(at.substr(one + 1, two - one - 1), n.loc.line) ||
        !integer(at.substr(two + 1), n.loc.col))
      return fail("a malformed place");
    if (!line.empty()) line.remove_prefix(1);
    n.text = line;
    tile = static_cast<uint32_t>(k.tiles.size());
    k.tiles.push_back(std::move(n));
    return true;
  }
  bool instruction() {
    BlockInst i;
    i.tile = tile;
    i.first = static_cast<uint32_t>(k.operands.size());
    std::string_view whole = line;
    size_t equals = whole.find(" = ");
    if (line.front() == '%') {
      if (equals == std::string_view::npos) return fail("a result without '='");
      // The results take effect behind the operands: parse those afterwards.
      line = whole.substr(0, equals);
      do {
        std::string_view text = word(":");
        RegClass c;
        Operand o;
        if (!want(":") || !reg_class(word(), c) || !define(text, c, false, o)) return false;
        k.operands.push_back(o);
        if (++i.n_results == 0) return fail("too many results");
      } while (accept(","));
      blank();
      if (!line.empty()) return fail(fmt::format("'{}' is not understood", line));
      line = whole.substr(equals + 3);
    }
    std::string_view opcode = word();
    i.op = BlockOp::form;
    for (int op = 0; op < static_cast<int>(BlockOp::form); ++op)
      if (block_op_info(static_cast<BlockOp>(op)).name == opcode) i.op = static_cast<BlockOp>(op);
    if (i.op == BlockOp::form && !(i.form = find_form(opcode)))
      return fail(fmt::format("'{}' is no instruction", opcode));
    for (blank(); !line.empty(); blank()) {
      Operand o;
      if (i.n_args && !want(",")) return false;
      if (!use(word(), o)) return false;
      k.operands.push_back(o);
      ++i.n_args;
    }
    k.code.push_back(i);
    return true;
  }

  bool run() {
    if (!next_line() || !header()) return fail("a block begins with its header");
    while (next_line()) {
      if (line == "}") return !next_line() || fail("text behind the block");
      bool good = accept("file ")    ? quoted(k.files.emplace_back())
                  : accept("param ") ? param()
                  : accept("var ")   ? variable()
                  : accept(";")      ? note()
                                     : instruction();
      if (!good) return false;
    }
    return fail("the block is not closed");
  }
  bool variable() {
    std::string_view text = word();
    RegClass c;
    Operand o;
    return reg_class(word(), c) && define(text, c, true, o);
  }
};

}  // namespace

Result<BlockKernel> parse_block(std::string_view text) {
  Parser p;
  p.rest = text;
  if (p.run()) return std::move(p.k);
  return make_diag(diag::block_text, fmt::format("line {}: {}", p.number, p.problem));
}

}  // namespace tess::jit
