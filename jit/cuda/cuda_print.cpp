#include "jit/cuda/cuda_print.h"

#include <fmt/format.h>

#include <set>

#include "jit/cuda/cuda_forms.h"
#include "jit/cuda/cuda_text.h"

namespace tess::jit {
namespace {

bool integer_pair(RegClass c) { return c == RegClass::b32 || c == RegClass::b64; }
std::string_view signed_class(RegClass c) { return c == RegClass::b64 ? "i64" : "i32"; }

// Where the parts of the loop that begins at an instruction are.
struct LoopParts {
  size_t latch = 0, end = 0;
  bool continues = false;  // `continue` to its latch
};

struct Printer {
  const BlockKernel& k;
  const CudaPrintOptions& options;
  std::string body;
  int depth = 1;
  uint32_t tile = 0;
  std::vector<LoopParts> loops{};  // by instruction
  std::vector<uint32_t> uses{};    // by register
  std::set<std::string> functions{};
  std::string last_file{};

  std::string reg(RegId id) const {
    const RegInfo& r = k.regs[id];
    std::string name = generated_name(k.names[r.name]);
    constexpr std::string_view kLetters[] = {"p", "h", "r", "rd", "f", "d"};
    return name.empty() ? fmt::format("{}{}", kLetters[static_cast<int>(r.type)], id)
                        : fmt::format("{}_{}", name, id);
  }
  std::string operand(const Operand& o) const {
    return o.is_reg() ? reg(o.id()) : constant_text(o);
  }
  // A register's name ends with a number behind an underscore; these do not.
  std::string param(size_t n) const {
    std::string name = generated_name(k.params[n].name);
    return fmt::format("{}{}arg{}", name, name.empty() ? "" : "_", n);
  }

  void mark_line(bool statement) {
    if (!tile || statement != options.line_per_statement) return;
    const Loc& loc = k.tiles[tile].loc;
    if (loc.line == 0) return;
    std::string file = loc.file < k.files.size() ? harmless(k.files[loc.file]) : "kernel";
    if (statement && file == last_file) body += fmt::format("#line {}\n", loc.line);
    else body += fmt::format("#line {} \"{}\"\n", loc.line, file);
    last_file = file;
  }
  void line(std::string_view text) {
    mark_line(true);
    body.append(2 * static_cast<size_t>(depth), ' ');
    body += text;
    body += '\n';
  }
  void enter_tile(uint32_t to) {
    if (to == tile) return;
    tile = to;
    if (!tile) return;
    std::string indent(2 * static_cast<size_t>(depth), ' ');
    body += fmt::format("\n{}// {}: {}\n", indent, k.tiles[tile].loc.line,
                        harmless(k.tiles[tile].text));
    mark_line(false);
  }

  std::string compare(const BlockInst& i, bool negated) const {
    auto args = k.args(i);
    std::string a = operand(args[0]), b = operand(args[1]);
    std::string cast = i.op == BlockOp::slt || i.op == BlockOp::sle
                           ? fmt::format("({})", signed_class(args[0].type))
                           : "";
    auto text = [&](std::string_view op, bool swapped) {
      return fmt::format("{}{} {} {}{}", cast, swapped ? b : a, op, cast, swapped ? a : b);
    };
    switch (i.op) {
      case BlockOp::eq:
        return text(negated ? "!=" : "==", false);
      case BlockOp::ne:
        return text(negated ? "==" : "!=", false);
      case BlockOp::slt:
      case BlockOp::ult:
        return negated ? text("<=", true) : text("<", false);
      case BlockOp::sle:
      case BlockOp::ule:
        return negated ? text("<", true) : text("<=", false);
      case BlockOp::feq:
        return text(negated ? "!=" : "==", false);
      case BlockOp::fne:
        return text(negated ? "==" : "!=", false);
      default: {
        std::string op = text(i.op == BlockOp::flt ? "<" : "<=", false);
        return negated ? "!(" + op + ")" : op;
      }
    }
  }
  static bool compares(BlockOp op) { return op >= BlockOp::eq && op <= BlockOp::fle; }

  // The value of a plain operation that makes one.
  std::string value(const BlockInst& i) {
    auto args = k.args(i);
    auto a = [&](size_t n) { return operand(args[n]); };
    RegClass c = k.results(i)[0].type;
    std::string_view type = cuda_class(c);
    auto infix = [&](std::string_view op) { return fmt::format("{} {} {}", a(0), op, a(1)); };
    auto infix_signed = [&](std::string_view op) {
      return fmt::format("({})(({}){} {} ({}){})", type, signed_class(c), a(0), op, signed_class(c),
                         a(1));
    };
    auto logic = [&](std::string_view bits, std::string_view pred) {
      if (c == RegClass::pred) return infix(pred);
      return c == RegClass::b16 ? fmt::format("(u16)({})", infix(bits)) : infix(bits);
    };
    if (compares(i.op)) return compare(i, false);
    switch (i.op) {
      case BlockOp::mov:
        return a(0);
      case BlockOp::add:
        if (args[1].is_imm() && c == RegClass::b32 && static_cast<int32_t>(args[1].bits) < 0)
          return fmt::format("{} - {}", a(0),
                             constant_text(Operand::imm(-static_cast<uint32_t>(args[1].bits), c)));
        return infix("+");
      case BlockOp::sub:
        return infix("-");
      case BlockOp::mul:
        return infix("*");
      case BlockOp::udiv:
        return infix("/");
      case BlockOp::urem:
        return infix("%");
      case BlockOp::sdiv:
        return infix_signed("/");
      case BlockOp::srem:
        return infix_signed("%");
      case BlockOp::and_:
        return logic("&", "&&");
      case BlockOp::or_:
        return logic("|", "||");
      case BlockOp::xor_:
        return logic("^", "!=");
      case BlockOp::not_:
        return c == RegClass::pred ? "!" + a(0) : c == RegClass::b16 ? "(u16)~" + a(0) : "~" + a(0);
      case BlockOp::shl:
        return infix("<<");
      case BlockOp::lshr:
        return infix(">>");
      case BlockOp::ashr:
        return fmt::format("({})(({}){} >> {})", type, signed_class(c), a(0), a(1));
      case BlockOp::sel:
        return fmt::format("{} ? {} : {}", a(0), a(1), a(2));
      case BlockOp::zext16:
      case BlockOp::trunc16:
      case BlockOp::zext:
      case BlockOp::trunc:
        return fmt::format("({}){}", type, a(0));
      case BlockOp::sext:
        return fmt::format("(u64)(i64)(i32){}", a(0));
      case BlockOp::as_f32:
        return fmt::format("__uint_as_float({})", a(0));
      case BlockOp::as_b32:
        return fmt::format("__float_as_uint({})", a(0));
      case BlockOp::as_f64:
        return fmt::format("__longlong_as_double((i64){})", a(0));
      case BlockOp::as_b64:
        return fmt::format("(u64)__double_as_longlong({})", a(0));
      case BlockOp::tid:
        return "threadIdx.x";
      case BlockOp::ctaid_x:
        return "blockIdx.x";
      case BlockOp::ctaid_y:
        return "blockIdx.y";
      case BlockOp::ctaid_z:
        return "blockIdx.z";
      case BlockOp::nctaid_x:
        return "gridDim.x";
      case BlockOp::nctaid_y:
        return "gridDim.y";
      case BlockOp::nctaid_z:
        return "gridDim.z";
      case BlockOp::cluster_rank:
        if (k.arch < 90) return "0u";
        functions.insert(
            "__device__ __forceinline__ u32 cluster_rank() {\n  u32 d;\n  asm(\"mov.u32 %0, "
            "%%cluster_ctarank;\" : \"=r\"(d));\n  return d;\n}\n");
        return "cluster_rank()";
      case BlockOp::param:
        return param(args[0].bits);
      case BlockOp::param_address:
        return "(u64)&" + param(args[0].bits);
      case BlockOp::shared_address:
        return args[0].bits ? fmt::format("shared_base + {}u", args[0].bits) : "shared_base";
      default:
        return {};
    }
  }

  // `x = value`, or `x += value` where that says it.
  std::string assignment(const BlockInst& i) {
    const Operand& to = k.results(i)[0];
    auto args = k.args(i);
    std::string v = value(i), name = reg(to.id());
    if (!args.empty() && args[0] == to && i.op != BlockOp::mov && integer_pair(to.type)) {
      std::string head = name + " ";
      size_t op_end = v.find(' ', head.size());
      if (v.starts_with(head) && op_end != std::string::npos && !compares(i.op))
        return fmt::format("{}{}= {}", head, v.substr(head.size(), op_end - head.size()),
                           v.substr(op_end + 1));
    }
    return fmt::format("{} = {}", name, v);
  }

  bool defines_variable(const BlockInst& i) const {
    return i.n_results == 1 && k.regs[k.results(i)[0].id()].variable;
  }

  void form(const BlockInst& i) {
    auto results = k.results(i), args = k.args(i);
    functions.insert(form_function(*i.form, results, args));
    std::vector<bool> constants = form_constants(*i.form, results.size(), args.size());
    bool tied = false;
    for (const Group& g : i.form->groups) tied |= g.kind == GroupKind::tied;
    bool returns = results.size() == 1 && !tied;
    std::string call, templates;
    auto add = [](std::string& to, const std::string& text) {
      to += (to.empty() ? "" : ", ") + text;
    };
    if (!returns)
      for (const Operand& r : results) add(call, reg(r.id()));
    bool with_constants = form_has_constants(*i.form, results, args);
    for (size_t a = 0; a < args.size(); ++a) {
      if (!constants[results.size() + a]) add(call, operand(args[a]));
      else if (with_constants)
        add(templates, fmt::format("{}", static_cast<int32_t>(args[a].bits)));
    }
    call = fmt::format("{}{}({})", form_function_name(*i.form),
                       templates.empty() ? "" : "<" + templates + ">", call);
    if (returns) {
      const Operand& r = results[0];
      std::string name = reg(r.id());
      line(k.regs[r.id()].variable
               ? fmt::format("{} = {};", name, call)
               : fmt::format("const {} {} = {};", cuda_class(r.type), name, call));
      return;
    }
    // Neighbours of one class are declared together.
    for (size_t r = 0; r < results.size();) {
      if (k.regs[results[r].id()].variable) {
        ++r;
        continue;
      }
      RegClass c = results[r].type;
      std::string names;
      for (; r < results.size() && results[r].type == c && !k.regs[results[r].id()].variable; ++r)
        add(names, reg(results[r].id()));
      line(fmt::format("{} {};", cuda_class(c), names));
    }
    line(call + ";");
  }

  void count() {
    uses.assign(k.regs.size(), 0);
    loops.assign(k.code.size(), {});
    std::vector<size_t> open;
    for (size_t n = 0; n < k.code.size(); ++n) {
      const BlockInst& i = k.code[n];
      for (const Operand& o : k.args(i))
        if (o.is_reg()) ++uses[o.id()];
      if (i.op == BlockOp::loop || i.op == BlockOp::if_) open.push_back(n);
      else if (i.op == BlockOp::latch) loops[open.back()].latch = n;
      else if (i.op == BlockOp::end) {
        loops[open.back()].end = n;
        open.pop_back();
      } else if (i.op == BlockOp::continue_) {
        for (size_t o = open.size(); o-- > 0;)
          if (k.code[open[o]].op == BlockOp::loop) {
            loops[open[o]].continues = true;
            break;
          }
      }
    }
  }

  // The latch as the third part of a `for`, or false if it needs statements.
  bool step_text(const LoopParts& parts, std::string& text) {
    if (parts.end - parts.latch > 4) return false;
    for (size_t n = parts.latch + 1; n < parts.end; ++n) {
      const BlockInst& i = k.code[n];
      if (i.form || block_op_info(i.op).effect != Effect::pure || !defines_variable(i))
        return false;
      text += (text.empty() ? "" : ", ") + assignment(i);
    }
    return true;
  }
  // The condition under which the loop goes on, where its body begins by leaving it; how many
  // instructions that takes.
  size_t head_text(size_t at, std::string& text) {
    const BlockInst& first = k.code[at + 1];
    if (first.form || !compares(first.op) || defines_variable(first)) return 0;
    Operand p = k.results(first)[0];
    bool negated = true;
    size_t n = at + 2;
    if (k.code[n].op == BlockOp::not_ && k.args(k.code[n])[0] == p &&
        !defines_variable(k.code[n]) && uses[p.id()] == 1) {
      p = k.results(k.code[n])[0];
      negated = false;
      ++n;
    }
    if (k.code[n].op != BlockOp::break_if || k.args(k.code[n])[0] != p || uses[p.id()] != 1)
      return 0;
    text = compare(first, negated);
    return n - at;
  }
  bool steps_variable(size_t loop, const Operand& variable) const {
    for (size_t n = loops[loop].latch + 1; n < loops[loop].end; ++n)
      for (const Operand& r : k.results(k.code[n]))
        if (r == variable) return true;
    return false;
  }

  // Instructions of [from, to).
  void range(size_t from, size_t to, size_t label) {
    for (size_t n = from; n < to; ++n) {
      const BlockInst& i = k.code[n];
      enter_tile(i.tile);
      bool starts_loop = n + 1 < to && k.code[n + 1].op == BlockOp::loop && i.op == BlockOp::mov &&
                         defines_variable(i) && steps_variable(n + 1, k.results(i)[0]);
      std::string ignored;
      if (starts_loop && step_text(loops[n + 1], ignored)) {
        n = loop(n + 1, assignment(i));
        continue;
      }
      switch (i.op) {
        case BlockOp::form:
          form(i);
          break;
        case BlockOp::loop:
          n = loop(n, "");
          break;
        case BlockOp::if_:
          line(fmt::format("if ({}) {{", operand(k.args(i)[0])));
          ++depth;
          break;
        case BlockOp::else_:
          --depth;
          line("} else {");
          ++depth;
          break;
        case BlockOp::end:
          --depth;
          line("}");
          break;
        case BlockOp::break_if:
          line(fmt::format("if ({}) break;", operand(k.args(i)[0])));
          break;
        case BlockOp::break_:
          line("break;");
          break;
        case BlockOp::continue_:
          line(label ? fmt::format("goto next_{}x;", label) : "continue;");
          break;
        case BlockOp::ret:
          line("return;");
          break;
        default: {
          const Operand& r = k.results(i)[0];
          line(k.regs[r.id()].variable
                   ? assignment(i) + ";"
                   : fmt::format("const {} {} = {};", cuda_class(r.type), reg(r.id()), value(i)));
        }
      }
    }
  }

  // Prints the loop at `at` and gives its end.
  size_t loop(size_t at, const std::string& start) {
    const LoopParts& parts = loops[at];
    enter_tile(k.code[at].tile);
    std::string step, condition;
    bool stepping = step_text(parts, step);
    size_t head = head_text(at, condition);
    uint64_t unroll = k.args(k.code[at])[0].bits;
    if (unroll) line(fmt::format("#pragma unroll {}", unroll));
    if (!stepping) step.clear();
    line(fmt::format("for ({};{}{};{}{}) {{", start, condition.empty() ? "" : " ", condition,
                     step.empty() ? "" : " ", step));
    ++depth;
    size_t from = at + 1 + head;
    if (stepping) {
      range(from, parts.latch, 0);
    } else if (!parts.continues) {
      range(from, parts.latch, 0);
      range(parts.latch + 1, parts.end, 0);
    } else {
      line("{");
      ++depth;
      range(from, parts.latch, at + 1);
      --depth;
      line("}");
      line(fmt::format("next_{}x:;", at + 1));
      range(parts.latch + 1, parts.end, 0);
    }
    --depth;
    line("}");
    return parts.end;
  }

  bool uses_op(BlockOp op) const {
    for (const BlockInst& i : k.code)
      if (i.op == op) return true;
    return false;
  }
  bool sets_registers() const {
    for (const BlockInst& i : k.code)
      if (i.form && i.form->opcode.starts_with("setmaxnreg")) return true;
    return false;
  }

  std::string signature() const {
    std::string out = "extern \"C\" __global__ void ";
    uint32_t blocks = std::max<uint32_t>(k.blocks_per_sm, sets_registers() ? 1 : 0);
    if (k.max_registers) {
      // Excludes __launch_bounds__.
      out += fmt::format("__block_size__(({}, 1, 1)) __maxnreg__({})", k.threads, k.max_registers);
    } else {
      out += fmt::format("__launch_bounds__({}", k.threads);
      if (blocks) out += fmt::format(", {}", blocks);
      out += ")";
    }
    if (k.cluster > 1) out += fmt::format(" __cluster_dims__({}, 1, 1)", k.cluster);
    out += fmt::format("\n{}(", entry_name(k));
    for (size_t p = 0; p < k.params.size(); ++p)
      out += fmt::format("{}{} {}", p ? ", " : "",
                         k.params[p].kind == ParamKind::tensor_map
                             ? "const __grid_constant__ TensorMap"
                             : cuda_class(k.params[p].type),
                         param(p));
    return out + ") {\n";
  }

  void declare_variables() {
    for (int c = 0; c < 6; ++c) {
      std::string names;
      auto flush = [&] {
        if (!names.empty())
          line(fmt::format("{} {};", cuda_class(static_cast<RegClass>(c)), names));
        names.clear();
      };
      for (RegId r = 0; r < k.regs.size(); ++r)
        if (k.regs[r].variable && k.regs[r].type == static_cast<RegClass>(c)) {
          if (names.size() > 80) flush();
          names += (names.empty() ? "" : ", ") + reg(r);
        }
      flush();
    }
  }

  std::string run() {
    count();
    if (uses_op(BlockOp::shared_address)) {
      line("extern __shared__ __align__(1024) unsigned char shared_memory[];");
      line("const u32 shared_base = (u32)__cvta_generic_to_shared(shared_memory);");
    }
    declare_variables();
    range(0, k.code.size(), 0);
    std::string out =
        "typedef unsigned short u16;\ntypedef unsigned int u32;\ntypedef unsigned long long u64;\n"
        "typedef int i32;\ntypedef long long i64;\n";
    for (const BlockParam& p : k.params)
      if (p.kind == ParamKind::tensor_map) {
        out += "struct alignas(128) TensorMap { unsigned char bytes[128]; };\n";
        break;
      }
    out += "\n";
    for (const std::string& f : functions) out += f;
    return out + "\n" + signature() + body + "}\n";
  }
};

}  // namespace

std::string print_cuda(const BlockKernel& k, const CudaPrintOptions& options) {
  return Printer{k, options, {}}.run();
}

}  // namespace tess::jit
