#include "frontends/vmasm/print_module.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <unordered_set>

#include "isa/infer.h"
#include "isa/numerics.h"

namespace tess::vmasm {
namespace {

constexpr std::string_view kGroupWords[] = {"",         "rounding", "order", "scope",
                                            "eviction", "topk",     "cmp",   "reduction"};

bool is_clause_flag(const OpInfo& op, const AttrInfo& attr) {
  if (attr.group == AttrGroup::none) return false;
  return std::ranges::any_of(op.sig.ins(), [&](const SigItem& i) {
    return i.clause == kGroupWords[static_cast<int>(attr.group)];
  });
}

// Letters, digits and dots between them; what is not ASCII counts as letters.
bool is_name(std::string_view s) {
  auto letter = [](unsigned char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  auto rest = [&](unsigned char c) {
    return letter(c) || c == '_' || c >= 0x80 || (c >= '0' && c <= '9');
  };
  for (size_t i = 0; i < s.size(); ++i) {
    bool dot = s[i] == '.' && i > 0 && i + 1 < s.size() && s[i + 1] != '.';
    if (!rest(static_cast<unsigned char>(s[i])) && !dot) return false;
  }
  return !s.empty() && !(s[0] >= '0' && s[0] <= '9');
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) out += fmt::format("\\x{:02x}", c);
    else out += c;
  }
  return out + '"';
}

class KernelPrinter {
 public:
  KernelPrinter(const Module& module, const Kernel& kernel, PrintOptions options, std::string& out)
      : m_(module), k_(kernel), options_(options), out_(out) {
    name_values();
  }

  void kernel() {
    print("kernel {}", k_.name);
    for (size_t i = 0; i < k_.bindings.size(); ++i)
      print("{}{}", i ? ", " : "<", binding_text(k_.bindings[i]));
    out_ += k_.bindings.empty() ? "(" : ">(";
    bool first = true;
    for (uint32_t i = 0; i < k_.params.size(); ++i) {
      if (is_header(k_.params[i])) continue;
      if (!first) out_ += ", ";
      first = false;
      param(i);
    }
    out_ += ")\n";
    for (uint32_t i = 0; i < k_.params.size(); ++i)
      if (is_header(k_.params[i])) header_value(i);
    launch();
    out_ += "{";
    place(k_.loc);
    out_ += '\n';
    for (const Inst& i : k_.code) {
      bool closes = i.op == Op::end || i.op == Op::else_;
      if (closes && depth_ > 1) --depth_;
      out_.append(4 * std::min(depth_, kMostIndent), ' ');
      inst(i);
      place(i.loc);
      out_ += '\n';
      if (opens_block(i)) ++depth_;
    }
    out_ += "}\n";
  }

  void inst(const Inst& i) {
    const OpInfo& op = op_info(i.op);
    if (op.form == Form::control) return control(i, op);
    plain(i, op);
  }

 private:
  static constexpr size_t kMostIndent = 32;

  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  static bool is_header(const Param& p) {
    return p.dir == Direction::let || p.dir == Direction::workspace;
  }
  static bool opens_block(const Inst& i) {
    return op_info(i.op).form == Form::control && i.op != Op::end;
  }

  // --- names
  void name_values() {
    std::unordered_set<std::string> taken;
    names_.reserve(k_.values.size());
    uint32_t temporaries = 0;
    for (uint32_t v = 0; v < k_.values.size(); ++v) {
      const std::string& name = k_.values[v].name;
      bool is_param = v < k_.params.size();
      std::string text = is_param ? "" : "%";
      if (is_name(name)) text += name;
      else if (is_param) text += fmt::format("parameter{}", v);
      else text += fmt::format("{}", temporaries++);
      while (!taken.insert(text).second) text += "_";
      names_.push_back(std::move(text));
    }
  }
  std::string host(const HostExpr& e) const {
    return host_text(e, [&](uint32_t v) { return names_[v]; });
  }
  std::string layout(int64_t index) const {
    const LayoutDef& l = m_.layouts[static_cast<size_t>(index)];
    return l.name.empty() ? fmt::format("#({})", l.text) : "#" + l.name;
  }

  // --- header
  std::string extents(const std::vector<HostExpr>& list) const {
    std::string s;
    for (size_t i = 0; i < list.size(); ++i) s += (i ? "," : "") + host(list[i]);
    return s;
  }
  void param(uint32_t v) {
    constexpr std::string_view kDirections[] = {"", "in ", "out ", "inout "};
    const Param& p = k_.params[v];
    DType type = k_.values[v].type.dtype;
    print("{}: {}{}", names_[v], kDirections[static_cast<int>(p.dir)], dtype_name(type));
    if (p.dir != Direction::scalar) print("[{}]", extents(p.shape));
    if (!p.strides.empty()) print(" : ({})", extents(p.strides));
    if (!p.list.tokens.empty()) print(" list({})", host(p.list));
    if (p.aligned) print(" aligned({})", p.aligned);
    if (p.may_alias) out_ += " may_alias";
    if (p.divisible != 1) print(" divisible({})", p.divisible);
    if (p.lo || p.hi)
      print(" {}..{}", p.lo.value_or(std::numeric_limits<int64_t>::min() + 1),
            p.hi.value_or(std::numeric_limits<int64_t>::max()));
  }
  void header_value(uint32_t v) {
    const Param& p = k_.params[v];
    DType type = k_.values[v].type.dtype;
    if (p.dir == Direction::let) {
      print("    let {}{} = {}\n", names_[v], type == dt::i32_ ? "" : " : " + dtype_name(type),
            host(p.let));
    } else {
      print("    workspace {} : {}[{}] {}\n", names_[v], dtype_name(type), extents(p.shape),
            p.kept ? "kept" : "zeroed");
    }
  }
  void launch() {
    out_ += "    grid(";
    for (int i = 0; i < k_.grid_rank; ++i) print("{}{}", i ? ", " : "", host(k_.grid[i]));
    print(") warps({})", k_.warps);
    if (k_.cluster != 1) print(" cluster({})", k_.cluster);
    if (k_.blocks_per_sm) print(" blocks_per_sm({})", k_.blocks_per_sm);
    if (k_.cooperative) out_ += " cooperative";
    if (k_.sync_manual) out_ += " sync manual";
    std::string fast;
    for (auto [set, word] : {std::pair(k_.fast.contract, "contract"), std::pair(k_.fast.ftz, "ftz"),
                             std::pair(k_.fast.approx, "approx")})
      if (set) fast += fmt::format("{}{}", fast.empty() ? "" : ", ", word);
    if (!fast.empty()) print(" fast({})", fast);
    out_ += '\n';
  }

  // --- operands
  void place(const Loc& loc) {
    if (!options_.lines || loc.line == 0 || loc.file >= m_.files.size()) return;
    if (loc.file) print(" @{}:{}:{}", loc.file, loc.line, loc.col);
    else print(" @{}:{}", loc.line, loc.col);
  }
  void ref(Ref r) {
    switch (r.kind()) {
      case RefKind::value:
        out_ += names_[r.index()];
        break;
      case RefKind::constant:
        out_ += constant_text(k_.constants[r.index()]);
        break;
      case RefKind::access:
        access(k_.accesses[r.index()]);
        break;
      case RefKind::none:
        out_ += '?';
        break;
    }
  }
  void access(const Access& a) {
    out_ += names_[a.base];
    if (!a.item.is_none()) {
      out_ += '{';
      ref(a.item);
      out_ += '}';
      if (a.n_indices == 0) return;
    }
    out_ += '[';
    bool first = true;
    for (const Index& i : k_.indices_of(a)) {
      if (!first) out_ += ", ";
      first = false;
      if (i.kind == IndexKind::all) {
        out_ += ':';
        continue;
      }
      ref(i.start);
      if (i.kind == IndexKind::range) print(":+{}", i.extent);
      if (i.kind == IndexKind::span) {
        out_ += ':';
        ref(i.stop);
      }
    }
    out_ += ']';
  }

  // --- instructions
  void results(const Inst& i) {
    bool first = true;
    for (Ref r : k_.results(i)) {
      if (!first) out_ += ", ";
      first = false;
      ref(r);
    }
    if (!first) out_ += " = ";
  }

  // `%d = %a`; with a literal, layout or a parameter named like an instruction it is spelt out.
  bool is_plain_copy(const Inst& i) const {
    if (i.op != Op::move || i.n_args != 1 || i.n_attrs) return false;
    Ref a = k_.args(i)[0];
    return a.is_value() && !find_op(names_[a.index()]);
  }
  void plain(const Inst& i, const OpInfo& op) {
    results(i);
    if (is_plain_copy(i)) return ref(k_.args(i)[0]);
    out_ += op.name;
    if (op.form == Form::decl) declared(i);
    operands(i, op);
    if (writes_type(i, op)) print(" : {}", result_type(i));
    if (auto l = k_.attr(i, AttrTag::layout)) print(" {}", layout(*l));
    attributes(i, op);
  }
  std::string result_type(const Inst& i) const {
    return i.n_results ? type_text(k_.values[k_.results(i)[0].index()].type) : "?";
  }

  // smem f16[64,64]   mbar[4] count(2)
  void declared(const Inst& i) {
    bool barriers = i.n_results && k_.values[k_.results(i)[0].index()].type.space == Space::mbar;
    if (barriers) out_ += shape_text(k_.values[k_.results(i)[0].index()].type.shape);
    else print(" {}", result_type(i));
    for (const Attr& a : k_.attrs_of(i))
      if (find_attr(a.tag)->kind == AttrKind::integer)
        print(" {}", attribute(a, *find_attr(a.tag), true));
  }

  void operands(const Inst& i, const OpInfo& op) {
    bool first = true;
    auto args = k_.args(i);
    for (size_t a = 0; a < args.size(); ++a) {
      if (args[a].is_none()) continue;
      int item = sig_index(op.sig, a, args.size());
      std::string_view clause = item < 0 ? "" : op.sig.operands[item].clause;
      if (!clause.empty()) print(" {}", clause_word(i, op, clause));
      else if (!first) out_ += ',';
      out_ += ' ';
      first = false;
      ref(args[a]);
    }
  }
  // The word itself, or the flag of the group that it names.
  std::string_view clause_word(const Inst& i, const OpInfo& op, std::string_view clause) const {
    for (const Attr& a : k_.attrs_of(i)) {
      const AttrInfo* info = find_attr(a.tag);
      if (is_clause_flag(op, *info) && kGroupWords[static_cast<int>(info->group)] == clause)
        return info->name;
    }
    return clause;
  }

  // Written when it must be, and where it may be unless the operands give it. A literal gives no
  // type to the letter that it shares with the result.
  bool writes_type(const Inst& i, const OpInfo& op) const {
    if (op.form == Form::typed) return true;
    if (op.form != Form::opt_typed || i.n_results == 0) return false;
    std::vector<ArgType> args;
    auto refs = k_.args(i);
    for (size_t a = 0; a < refs.size(); ++a) {
      Ref r = refs[a];
      ArgType arg;
      arg.kind = r.kind();
      if (r.is_value()) arg.type = k_.values[r.index()].type;
      if (r.is_constant()) {
        int item = sig_index(op.sig, a, refs.size());
        if (item < 0 || op.sig.operands[item].letter == op.sig.results[0].letter) return true;
        arg.constant = k_.constants[r.index()];
        arg.type = scalar_type(arg.constant->type);
      }
      if (r.is_access()) {
        AccessType t = access_type(k_, k_.accesses[r.index()], false);
        if (t.error) return true;
        arg.type = t.type;
        arg.access = &k_.accesses[r.index()];
      }
      args.push_back(arg);
    }
    Typing typing = infer({&k_, &op, args, k_.attrs_of(i), {}, true, i.n_results});
    return typing.error || typing.results[0] != k_.values[k_.results(i)[0].index()].type;
  }

  std::string attribute(const Attr& a, const AttrInfo& info, bool call) const {
    auto number = [&](const std::string& value) {
      return call ? fmt::format("{}({})", info.name, value)
                  : fmt::format("{} {}", info.name, value);
    };
    switch (info.kind) {
      case AttrKind::integer:
        return number(fmt::format("{}", a.value));
      case AttrKind::constant:
        return number(constant_text(k_.constants[static_cast<size_t>(a.value)]));
      case AttrKind::perm: {
        std::string s;
        for (int d = 0; d < perm_size(a.value); ++d)
          s += fmt::format("{}{}", d ? ", " : "", perm_at(a.value, d));
        return fmt::format("{}({})", info.name, s);
      }
      default:
        return std::string(info.name);
    }
  }
  void attributes(const Inst& i, const OpInfo& op) {
    bool first = true;
    for (const Attr& a : k_.attrs_of(i)) {
      const AttrInfo& info = *find_attr(a.tag);
      bool elsewhere =
          info.kind == AttrKind::layout || is_clause_flag(op, info) ||
          (op.form == Form::decl && (a.tag == AttrTag::ring || info.kind == AttrKind::integer));
      if (elsewhere) continue;
      print("{}{}", first ? " {" : ", ", attribute(a, info, false));
      first = false;
    }
    if (!first) out_ += '}';
  }

  void control(const Inst& i, const OpInfo& op) {
    auto args = k_.args(i);
    switch (i.op) {
      case Op::for_:
        loop(i, args);
        break;
      case Op::if_:
        out_ += "if ";
        if (!args.empty()) ref(args[0]);
        break;
      case Op::else_:
        out_ += "} else";
        break;
      case Op::warps:
        strand(i, args);
        break;
      case Op::end:
        out_ += '}';
        return;
      default:
        out_ += op.name;
        break;
    }
    out_ += " {";
  }
  // warps 0..8 by 4 (%w) regs(232)
  void strand(const Inst& i, std::span<const Ref> args) {
    out_ += "warps ";
    if (args.size() == 2) {
      ref(args[0]);
      out_ += "..";
      ref(args[1]);
    }
    if (auto by = k_.attr(i, AttrTag::by)) print(" by {}", *by);
    if (i.n_results) {
      out_ += " (";
      ref(k_.results(i)[0]);
      out_ += ')';
    }
    if (auto regs = k_.attr(i, AttrTag::regs)) print(" regs({})", *regs);
  }
  void loop(const Inst& i, std::span<const Ref> args) {
    out_ += "for ";
    if (i.n_results) {
      ref(k_.results(i)[0]);
      const Type& type = k_.values[k_.results(i)[0].index()].type;
      bool literal = std::ranges::all_of(args, [](Ref r) { return r.is_constant(); });
      if (literal && type.dtype != dt::i32_) print(" : {}", type_text(type));
    }
    if (args.size() < 3) return;
    out_ += " in ";
    ref(args[0]);
    out_ += "..";
    ref(args[1]);
    if (!is_one(args[2])) {
      out_ += " step ";
      ref(args[2]);
    }
    for (const Attr& a : k_.attrs_of(i)) print(" {}", attribute(a, *find_attr(a.tag), true));
  }
  bool is_one(Ref r) const {
    return r.is_constant() && k_.constants[r.index()].type.is_int() &&
           k_.constants[r.index()].code == 1;
  }

  const Module& m_;
  const Kernel& k_;
  PrintOptions options_;
  std::string& out_;
  std::vector<std::string> names_;  // by value, as printed
  size_t depth_ = 1;
};

}  // namespace

std::string print_kernel(const Module& module, const Kernel& kernel, PrintOptions options) {
  std::string out;
  KernelPrinter(module, kernel, options, out).kernel();
  return out;
}

std::string print_inst(const Module& module, const Kernel& kernel, const Inst& inst) {
  std::string out;
  KernelPrinter(module, kernel, {}, out).inst(inst);
  return out;
}

std::string print_module(const Module& module, PrintOptions options) {
  std::string out;
  if (options.lines)
    for (size_t i = 0; i < module.files.size(); ++i)
      out += fmt::format("file {} {}\n", i, quoted(module.files[i]));
  for (const LayoutDef& l : module.layouts)
    if (!l.name.empty()) out += fmt::format("layout #{} = {}\n", l.name, l.text);
  for (const Kernel& k : module.kernels) {
    if (!out.empty()) out += '\n';
    KernelPrinter(module, k, options, out).kernel();
  }
  return out;
}

}  // namespace tess::vmasm
