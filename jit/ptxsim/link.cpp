// From a parsed module to one flat program for a kernel.
#include <fmt/format.h>

#include <set>

#include "isa/diag/sim.h"
#include "jit/ptxsim/decode.h"
#include "jit/ptxsim/forms.h"

namespace tess::ptxsim {
namespace {

uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

std::string full_name(const Instruction& in) {
  std::string s(in.opcode);
  for (auto m : in.mods) (s += '.') += m;
  return s;
}

Diagnostic at(const Module& m, const Instruction& in, Diag code, std::string text) {
  Diagnostic d = make_diag(code, fmt::format("{}:{}: {}: {}", m.name, in.line, full_name(in), text),
                           Span{0, in.line, 1, 1});
  if (in.loc_line)
    d.notes.push_back({fmt::format("from {}:{}", m.file_name(in.loc_file), in.loc_line), {}});
  return d;
}

OpClass default_class(const Instruction& in) {
  std::string_view o = in.opcode;
  auto starts = [&](std::string_view p) { return o.substr(0, p.size()) == p; };
  std::string_view type = in.mods.empty() ? "" : in.mods.back();
  bool real = type.find('f') != type.npos && type != "f4e";
  if (o == "ld" || o == "st" || o == "ldu" || o == "prefetch" || o == "prefetchu" ||
      o == "discard") {
    for (auto m : in.mods) {
      if (m.substr(0, 6) == "shared") return OpClass::shared;
      if (m == "local") return OpClass::local;
      if (m.substr(0, 5) == "param") return OpClass::param;
    }
    return OpClass::global;
  }
  if (o == "cp" || o == "mbarrier" || o == "tensormap") return OpClass::async;
  if (o == "mma" || o == "wmma" || o == "wgmma" || o == "ldmatrix" || o == "stmatrix" ||
      o == "movmatrix")
    return OpClass::tensor;
  if (o == "atom" || o == "red" || o == "multimem") return OpClass::atomic;
  if (o == "bar" || o == "barrier" || o == "fence" || o == "membar" || o == "griddepcontrol")
    return OpClass::barrier;
  if (o == "shfl" || o == "vote" || o == "match" || o == "redux" || o == "elect" ||
      o == "activemask")
    return OpClass::warp;
  if (o == "bra" || o == "brx" || o == "call" || o == "ret" || o == "exit" || o == "trap" ||
      o == "nanosleep")
    return OpClass::control;
  if (o == "cvt" || o == "cvta") return OpClass::convert;
  if (o == "mov" || o == "selp" || o == "slct") return OpClass::move;
  if (o == "setp" || o == "set") return OpClass::compare;
  if (o == "and" || o == "or" || o == "xor" || o == "not" || o == "cnot" || o == "lop3" ||
      o == "shl" || o == "shr" || o == "shf" || o == "prmt" || starts("bf") || o == "brev" ||
      o == "popc" || o == "clz")
    return OpClass::logic;
  return real ? OpClass::real : OpClass::integer;
}

class Linker {
 public:
  Linker(std::shared_ptr<const Module> m, const std::vector<uint64_t>& addresses)
      : module_(std::move(m)), program_(std::make_shared<Program>()) {
    program_->module = module_;
    state_.variable_address = &addresses;
    for (size_t i = 0; i < module_->functions.size(); ++i)
      state_.module_function[module_->functions[i].name] = int(i);
  }

  Result<std::shared_ptr<const Program>> run(std::string_view entry) {
    auto it = state_.module_function.find(entry);
    if (it == state_.module_function.end() || !module_->functions[it->second].entry ||
        !module_->functions[it->second].defined) {
      std::string known;
      for (auto& f : module_->functions)
        if (f.entry && known.size() < 500)
          known += fmt::format("{}{}", known.empty() ? "" : ", ", f.name);
      return make_diag(diag::kSimNoEntry,
                       fmt::format("{}: there is no kernel '{}'", module_->name, entry), {},
                       known.empty() ? "the module has no kernels" : "kernels: " + known);
    }
    collect(it->second);
    layout_shared();
    for (auto& f : program_->functions) TESS_CHECK(layout(f));
    mark_recursive();
    for (auto& f : program_->functions) TESS_CHECK(decode(f));
    Program& p = *program_;
    p.reg_words = Row(round_up(uint64_t(p.reg_words), 32));
    if (uint64_t(p.reg_words) * 4 > (256u << 20))
      return make_diag(diag::kSimLimit,
                       fmt::format("{}: the kernel needs too many registers", module_->name));
    while (p.constants.size() % 16) p.constants.push_back(0);
    return std::shared_ptr<const Program>(std::move(program_));
  }

 private:
  // The kernel and every function that it can reach, breadth first; [0] is the kernel.
  void collect(int entry) {
    std::vector<int> todo{entry};
    std::set<int> seen{entry};
    for (size_t i = 0; i < todo.size(); ++i) {
      const Function& f = module_->functions[todo[i]];
      ProgramFunction pf;
      pf.source = &f;
      state_.function_index[f.name] = int(program_->functions.size());
      program_->functions.push_back(std::move(pf));
      auto add = [&](std::string_view name) {
        auto it = state_.module_function.find(name);
        if (it != state_.module_function.end() && module_->functions[it->second].defined &&
            seen.insert(it->second).second)
          todo.push_back(it->second);
      };
      bool indirect = false;
      for (const Instruction& in : f.body) {
        for (const Operand& o : in.operands) {
          if (o.kind == OpKind::function) add(o.text);
        }
        if (in.opcode == "call" && !in.operands.empty()) {
          for (const Operand& o : in.operands) indirect |= o.kind == OpKind::reg;
        }
      }
      if (indirect)
        for (const Variable& v : module_->vars)
          for (auto& fix : v.fixups) add(fix.symbol);
    }
  }

  void layout_shared() {
    Program& p = *program_;
    uint64_t at = kSharedStart;
    p.shared_offset.assign(module_->vars.size(), UINT32_MAX);
    std::set<int32_t> used;
    for (auto& f : p.functions)
      for (const Instruction& in : f.source->body)
        for (const Operand& o : in.operands) {
          if (o.kind == OpKind::module_var) used.insert(o.index);
          for (const Operand& e : o.elems) {
            if (e.kind == OpKind::module_var) used.insert(e.index);
            for (const Operand& g : e.elems)
              if (g.kind == OpKind::module_var) used.insert(g.index);
          }
        }
    uint32_t dynamic_align = 16;
    for (int32_t i : used) {
      const Variable& v = module_->vars[i];
      if (v.space != Space::shared) continue;
      if (v.external || v.bytes == 0) {
        dynamic_align = std::max(dynamic_align, v.align);
        continue;
      }
      at = round_up(at, v.align);
      p.shared_offset[i] = uint32_t(std::min<uint64_t>(at, UINT32_MAX / 2));
      at += v.bytes;
      at = std::min<uint64_t>(at, 1u << 30);
    }
    at = round_up(at, dynamic_align);
    for (int32_t i : used) {
      const Variable& v = module_->vars[i];
      if (v.space == Space::shared && (v.external || v.bytes == 0))
        p.shared_offset[i] = uint32_t(at);
    }
    p.static_shared = uint32_t(at);
    p.shared_align = dynamic_align;
  }

  Status layout(ProgramFunction& f) {
    Program& p = *program_;
    const Function& s = *f.source;
    f.var_offset.assign(s.vars.size(), 0);
    std::set<int32_t> kernel_params;
    if (s.entry) {
      uint64_t at = 0;
      for (int32_t i : s.params) {
        const Variable& v = s.vars[i];
        at = round_up(at, v.align);
        f.var_offset[i] = uint32_t(at);
        p.params.push_back({v.name, uint32_t(at), uint32_t(v.bytes), v.align});
        at += v.bytes;
        if (at > 32764)
          return make_diag(diag::kSimOperands,
                           fmt::format("{}:{}: the parameters of '{}' take more than 32764 bytes",
                                       module_->name, s.line, s.name));
        kernel_params.insert(i);
      }
      p.param_bytes = uint32_t(at);
    }
    uint64_t at = 0;
    for (size_t i = 0; i < s.vars.size(); ++i) {
      if (kernel_params.count(int32_t(i))) continue;
      at = round_up(at, s.vars[i].align);
      f.var_offset[i] = uint32_t(at);
      at += s.vars[i].bytes;
      if (at > (512u << 10))
        return make_diag(
            diag::kSimLimit,
            fmt::format("{}:{}: '{}' needs more than 512 KiB of local memory per thread",
                        module_->name, s.line, s.name));
    }
    f.frame_bytes = uint32_t(round_up(at, 16));
    f.first_row = p.reg_words;
    f.first_pred = p.pred_count;
    for (const ScalarType& t : s.regs) {
      f.rows.push_back(t.kind == 'p' ? kNoRow : p.reg_words);
      f.preds.push_back(t.kind == 'p' ? p.pred_count++ : -1);
      if (t.kind != 'p') p.reg_words += t.bits > 64 ? 128 : t.bits > 32 ? 64 : 32;
    }
    f.end_row = p.reg_words;
    f.end_pred = p.pred_count;
    return ok();
  }

  // A function on a cycle of calls, or callable through a pointer, may be active twice in one lane.
  void mark_recursive() {
    size_t n = program_->functions.size();
    std::vector<std::set<size_t>> calls(n);
    std::set<size_t> taken;
    bool indirect = false;
    for (size_t i = 0; i < n; ++i)
      for (const Instruction& in : program_->functions[i].source->body)
        for (const Operand& o : in.operands) {
          if (in.opcode == "call" && o.kind == OpKind::reg) indirect = true;
          if (o.kind != OpKind::function) continue;
          auto it = state_.function_index.find(o.text);
          if (it == state_.function_index.end()) continue;
          (in.opcode == "call" ? calls[i] : taken).insert(size_t(it->second));
        }
    if (indirect)
      for (auto& f : program_->functions) f.recursive = &f != &program_->functions[0];
    for (size_t start = 0; start < n; ++start) {
      std::vector<size_t> todo(calls[start].begin(), calls[start].end());
      std::set<size_t> seen(todo.begin(), todo.end());
      while (!todo.empty()) {
        size_t i = todo.back();
        todo.pop_back();
        if (i == start) program_->functions[start].recursive = true;
        for (size_t c : calls[i])
          if (seen.insert(c).second) todo.push_back(c);
      }
    }
  }

  Status decode(ProgramFunction& f) {
    Program& p = *program_;
    f.first_op = uint32_t(p.ops.size());
    uint32_t index = uint32_t(&f - p.functions.data());
    for (const Instruction& written : f.source->body) {
      const Form* form = find_form(written.opcode, written.mods);
      Instruction reordered;
      if (!form) {
        reordered = written;
        form = find_form_in_any_order(written.opcode, reordered.mods);
      }
      const Instruction& in = reordered.opcode.empty() ? written : reordered;
      if (!form) return at(*module_, in, diag::kSimUnknownForm, "unknown instruction form");
      if (!form->build)
        return at(*module_, in, diag::kSimRefusedForm,
                  fmt::format("{} instructions are not simulated", form->reason));
      Op op;
      op.cls = default_class(in);
      Builder b(p, state_, f, in, op);
      if (in.pred >= 0) {
        op.pred = f.preds[in.pred];
        op.pred_negated = in.pred_negated;
      }
      if (!form->build(b) || !b.ok())
        return at(*module_, in, diag::kSimOperands,
                  b.message.empty() ? "the operands do not fit" : b.message);
      if (b.used.size() > 255 || b.defined.size() > 255)
        return at(*module_, in, diag::kSimOperands, "too many registers");
      op.uses = uint32_t(p.touched.size());
      op.n_uses = uint8_t(b.used.size());
      for (auto& [what, name] : b.used) p.touched.push_back(what), p.touched_names.push_back(name);
      op.defs = uint32_t(p.touched.size());
      op.n_defs = uint8_t(b.defined.size());
      for (auto& [what, name] : b.defined)
        p.touched.push_back(what), p.touched_names.push_back(name);
      if (op.flags & kFlagGlobalSync) p.communicates = true;
      p.ops.push_back(op);
      p.sites.push_back(
          {in.line, in.loc_file, in.loc_line, in.loc_col, index, in.opcode, &written});
    }
    // Falling off the end returns.
    static const Instruction kEnd = [] {
      Instruction r;
      r.opcode = "ret";
      return r;
    }();
    Op end;
    end.cls = OpClass::control;
    Builder b(p, state_, f, kEnd, end);
    build_return_exit(b);
    p.ops.push_back(end);
    Site site = f.source->body.empty() ? Site{f.source->line} : p.sites.back();
    site.function = index;
    site.opcode = "ret";
    site.instruction = nullptr;
    p.sites.push_back(site);
    f.n_ops = uint32_t(p.ops.size()) - f.first_op;
    for (uint32_t i = f.first_op; i < p.ops.size(); ++i) {
      Op& op = p.ops[i];
      if (op.flags & 0x8000) {  // a branch: target is a label until here
        op.target = f.first_op + f.source->labels[op.target];
        op.flags &= 0x7fff;
      }
    }
    for (size_t t = tables_done_; t < p.branch_tables.size(); ++t)
      for (uint32_t& label : p.branch_tables[t]) label = f.first_op + f.source->labels[label];
    tables_done_ = p.branch_tables.size();
    return ok();
  }

  std::shared_ptr<const Module> module_;
  std::shared_ptr<Program> program_;
  LinkState state_;
  size_t tables_done_ = 0;
};

}  // namespace

Result<std::shared_ptr<const Program>> link_program(std::shared_ptr<const Module> module,
                                                    std::string_view entry,
                                                    const std::vector<uint64_t>& variable_address) {
  Linker l(std::move(module), variable_address);
  return l.run(entry);
}

}  // namespace tess::ptxsim
