#include <fmt/format.h>

#include "isa/diag/tool.h"
#include "jit/block_ir/block_ir.h"

namespace tess::jit {
namespace {

struct Checker {
  const BlockKernel& k;
  struct Scope {
    BlockOp opener;
    bool latched = false;
    uint32_t id;
  };
  std::vector<Scope> scopes;
  uint32_t next_scope = 1;
  std::vector<uint32_t> defined_in;  // by register: the scope, plus one; 0: not yet
  std::string problem;
  size_t at = 0;

  bool fail(std::string what) {
    if (problem.empty()) problem = fmt::format("block instruction {}: {}", at, what);
    return false;
  }

  bool open(uint32_t scope) const {
    if (scope == 0) return true;
    for (const Scope& s : scopes)
      if (s.id == scope) return true;
    return false;
  }
  uint32_t here() const { return scopes.empty() ? 0 : scopes.back().id; }

  bool use(const Operand& o, RegClass want) {
    if (o.kind == Operand::Kind::none) return fail("an operand is missing");
    if (o.type != want)
      return fail(fmt::format("operand of class {} where {} is wanted", class_name(o.type),
                              class_name(want)));
    if (!o.is_reg()) return want != RegClass::pred || o.bits < 2 || fail("not a truth value");
    if (o.id() >= k.regs.size()) return fail("no such register");
    const RegInfo& r = k.regs[o.id()];
    if (r.type != o.type) return fail("an operand's class is not its register's");
    if (!r.variable && (defined_in[o.id()] == 0 || !open(defined_in[o.id()] - 1)))
      return fail(fmt::format("register {} is used where its definition does not reach", o.id()));
    return true;
  }

  bool define(const Operand& o, RegClass want) {
    if (!o.is_reg() || o.id() >= k.regs.size()) return fail("a result is no register");
    if (o.type != want || k.regs[o.id()].type != want)
      return fail(
          fmt::format("result of class {} where {} is made", class_name(o.type), class_name(want)));
    if (k.regs[o.id()].variable) return true;
    if (defined_in[o.id()]) return fail(fmt::format("register {} is assigned twice", o.id()));
    defined_in[o.id()] = here() + 1;
    return true;
  }

  bool form(const BlockInst& i) {
    auto results = k.results(i), args = k.args(i);
    std::vector<int> sizes = group_sizes(*i.form, results.size(), args.size());
    if (sizes.size() != i.form->groups.size()) return fail(i.form->opcode + ": operand count");
    if (i.form->arch > k.arch) return fail(i.form->opcode + ": not on this architecture");
    // Uses before definitions: an instruction may not read what it defines.
    for (bool result : {false, true}) {
      size_t r = 0, a = 0;
      for (size_t g = 0; g < sizes.size(); ++g) {
        const Group& group = i.form->groups[g];
        for (int n = 0; n < sizes[g]; ++n) {
          const Operand& o = group.result ? results[r++] : args[a++];
          if (group.result != result) continue;
          if (group.kind == GroupKind::tied) {
            if (!o.is_reg() || o.id() >= k.regs.size() || !k.regs[o.id()].variable)
              return fail("an operand that is read and written is no variable");
            if (o.type != group.type) return fail("class of an operand that is read and written");
          } else if (group.result) {
            if (!define(o, group.type)) return false;
          } else if (group.kind == GroupKind::imm || (group.kind == GroupKind::address && n == 1)) {
            if (!o.is_imm()) return fail(i.form->opcode + ": a constant is wanted");
          } else if (!use(o, group.type)) {
            return false;
          }
        }
      }
    }
    return true;
  }

  static bool in_set(char set, RegClass c) {
    switch (set) {
      case 'a':
        return true;
      case 'i':
        return c == RegClass::b32 || c == RegClass::b64;
      case 'n':
        return c == RegClass::b16 || c == RegClass::b32 || c == RegClass::b64;
      case 'l':
        return c != RegClass::f32 && c != RegClass::f64;
      case 'f':
        return c == RegClass::f32 || c == RegClass::f64;
    }
    return false;
  }

  bool plain(const BlockInst& i) {
    std::string_view sig = block_op_info(i.op).signature;
    size_t equals = sig.find('=');
    auto results = k.results(i), args = k.args(i);
    auto items = [](std::string_view s) {
      std::vector<std::string_view> out;
      for (size_t b = 0; b < s.size();) {
        if (s[b] == ' ') {
          ++b;
          continue;
        }
        size_t e = std::min(s.find(' ', b), s.size());
        out.push_back(s.substr(b, e - b));
        b = e;
      }
      return out;
    };
    std::vector<std::string_view> made = items(sig.substr(0, equals)),
                                  taken = items(sig.substr(equals + 1));
    if (made.size() != results.size() || taken.size() != args.size())
      return fail(fmt::format("{}: operand count", block_op_info(i.op).name));
    RegClass t = RegClass::b32;
    bool known = false;
    for (size_t a = 0; a < taken.size(); ++a)
      if (taken[a][0] == 'T' && !known) {
        t = args[a].type;
        known = true;
      }
    if (!known && !results.empty()) t = results[0].type;
    for (bool using_args : {true, false})
      for (size_t n = 0; n < (using_args ? taken : made).size(); ++n) {
        std::string_view item = (using_args ? taken : made)[n];
        const Operand& o = using_args ? args[n] : results[n];
        if (item[0] == 'T' && item.size() > 2 && !in_set(item[2], t))
          return fail(fmt::format("{}: not on class {}", block_op_info(i.op).name, class_name(t)));
        if (item == "imm") {
          if (!o.is_imm()) return fail("a constant is wanted");
          continue;
        }
        RegClass want = t;
        if (item[0] != 'T')
          for (int c = 0; c < 6; ++c)
            if (class_name(static_cast<RegClass>(c)) == item) want = static_cast<RegClass>(c);
        if (!(using_args ? use(o, want) : define(o, want))) return false;
      }
    return refers(i);
  }

  // What constants refer to: parameters, shared memory.
  bool refers(const BlockInst& i) {
    if (i.op == BlockOp::param || i.op == BlockOp::param_address) {
      uint64_t n = k.args(i)[0].bits;
      if (n >= k.params.size()) return fail("no such parameter");
      bool map = k.params[n].kind == ParamKind::tensor_map;
      if (map != (i.op == BlockOp::param_address))
        return fail("tensor maps have addresses, other parameters values");
      if (!map && k.params[n].type != k.results(i)[0].type)
        return fail("the parameter is of another class");
    }
    if (i.op == BlockOp::shared_address && k.args(i)[0].bits > k.shared_bytes)
      return fail("behind the end of shared memory");
    return true;
  }

  bool header() {
    if (k.arch != 80 && k.arch != 89 && k.arch != 90 && k.arch != 901)
      return fail("no such architecture");
    if (k.threads < 1 || k.threads > 1024) return fail("a block has 1 to 1024 threads");
    if (k.cluster < 1 || k.cluster > 16 || (k.cluster > 1 && k.arch < 90))
      return fail("no cluster of that size on this architecture");
    for (const RegInfo& r : k.regs)
      if (r.name >= k.names.size()) return fail("a register without a name");
    return true;
  }

  bool control(const BlockInst& i) {
    switch (i.op) {
      case BlockOp::loop:
      case BlockOp::if_:
        scopes.push_back({i.op, false, next_scope++});
        return true;
      case BlockOp::latch:
        if (scopes.empty() || scopes.back().opener != BlockOp::loop || scopes.back().latched)
          return fail("latch outside of a loop's body");
        scopes.back().latched = true;  // what the body defined may not reach past `continue`
        scopes.back().id = next_scope++;
        return true;
      case BlockOp::else_:
        if (scopes.empty() || scopes.back().opener != BlockOp::if_ || scopes.back().latched)
          return fail("else without if");
        scopes.back().latched = true;
        scopes.back().id = next_scope++;
        return true;
      case BlockOp::end:
        if (scopes.empty()) return fail("end of nothing");
        if (scopes.back().opener == BlockOp::loop && !scopes.back().latched)
          return fail("a loop without latch");
        scopes.pop_back();
        return true;
      case BlockOp::break_if:
      case BlockOp::break_:
      case BlockOp::continue_:
        for (size_t n = scopes.size(); n-- > 0;) {
          if (scopes[n].opener != BlockOp::loop) continue;
          return (i.op != BlockOp::continue_ || !scopes[n].latched) ||
                 fail("continue behind the latch");
        }
        return fail("no loop to leave");
      default:
        return true;
    }
  }

  bool run() {
    defined_in.assign(k.regs.size(), 0);
    if (!header()) return false;
    for (at = 0; at < k.code.size(); ++at) {
      const BlockInst& i = k.code[at];
      if (size_t{i.first} + i.n_results + i.n_args > k.operands.size())
        return fail("operands out of range");
      if (i.tile >= k.tiles.size()) return fail("no such tile instruction");
      if (i.op == BlockOp::form ? !i.form || !form(i) : !plain(i)) return false;
      if (!control(i)) return false;
    }
    return scopes.empty() || fail("a block is not closed");
  }
};

}  // namespace

Status check_block(const BlockKernel& k) {
  Checker checker{k};
  if (checker.run()) return ok();
  return make_diag(diag::internal_error, k.name + ": " + checker.problem);
}

}  // namespace tess::jit
