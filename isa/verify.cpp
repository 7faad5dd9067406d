#include "isa/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "isa/builder.h"
#include "isa/diag/verify.h"
#include "isa/infer.h"
#include "isa/limits.h"
#include "isa/numerics.h"
#include "isa/verify_kernel.h"

namespace tess {

Span KernelVerifier::span_of(const Inst& inst) const {
  return {inst.loc.file, inst.loc.line, inst.loc.col, 1};
}

std::string KernelVerifier::shown(uint32_t value) const {
  const std::string& name = k_.values[value].name;
  if (name.empty())
    return k_.values[value].type.space == Space::mbar ? "the mbarrier" : "the value";
  return fmt::format("`{}{}`", value < k_.params.size() ? "" : "%", name);
}

void KernelVerifier::report(Diag code, std::string message, Span span, std::string hint) {
  if (out_.size() - first_ >= static_cast<size_t>(limits::max_errors)) return;
  const DiagInfo* info = find_diag(code);
  failed_ |= !info || info->severity != Severity::warning;
  out_.push_back(make_diag(code, std::move(message), span, std::move(hint)));
}

void KernelVerifier::report_at(uint32_t pc, Diag code, std::string message, std::string hint) {
  report(code, std::move(message), span_of(k_.code[pc]), std::move(hint));
}

// Every index in range, so that later checks need not ask.
bool KernelVerifier::check_references() {
  auto ref_ok = [&](Ref r, bool access_ok) {
    switch (r.kind()) {
      case RefKind::value:
        return r.index() < k_.values.size();
      case RefKind::constant:
        return r.index() < k_.constants.size();
      case RefKind::access:
        return access_ok && r.index() < k_.accesses.size();
      case RefKind::none:
        return true;
    }
    return false;
  };
  auto bad = [&](std::string what) {
    report(diag::bad_reference, fmt::format("kernel `{}`: {}", k_.name, what), kernel_span());
    return false;
  };
  for (const Index& i : k_.indices) {
    if (i.kind > IndexKind::all || !ref_ok(i.start, false) || !ref_ok(i.stop, false))
      return bad("an index refers to nothing");
    bool start = i.kind != IndexKind::all, stop = i.kind == IndexKind::span;
    if (start == i.start.is_none() || stop == i.stop.is_none())
      return bad("an index lacks its start or end");
  }
  for (const Access& a : k_.accesses) {
    if (a.base >= k_.values.size() || !ref_ok(a.item, false) ||
        uint64_t{a.first_index} + a.n_indices > k_.indices.size())
      return bad("an access refers to nothing");
  }
  for (const Inst& inst : k_.code) {
    if (static_cast<int>(inst.op) >= kOpCount) return bad("an unknown instruction");
    if (uint64_t{inst.first_ref} + inst.n_results + inst.n_args > k_.refs.size() ||
        uint64_t{inst.first_attr} + inst.n_attrs > k_.attrs.size())
      return bad("an instruction's operands lie outside the module");
    if (inst.loc.line && inst.loc.file >= m_.files.size() && !m_.files.empty())
      return bad("a place in an unknown file");
    for (Ref r : k_.results(inst))
      if (!r.is_value() || r.index() >= k_.values.size()) return bad("a result is no value");
    for (Ref r : k_.args(inst))
      if (!ref_ok(r, true)) return bad("an operand refers to nothing");
    for (const Attr& a : k_.attrs_of(inst)) {
      const AttrInfo* info = find_attr(a.tag);
      if (!info) return bad("an unknown attribute");
      bool ok = info->kind != AttrKind::layout ||
                (a.value >= 0 && a.value < static_cast<int64_t>(m_.layouts.size()));
      ok &= info->kind != AttrKind::constant ||
            (a.value >= 0 && a.value < static_cast<int64_t>(k_.constants.size()));
      if (!ok) return bad("an attribute refers to nothing");
    }
  }
  return true;
}

// Blocks: match each opener to its end.
bool KernelVerifier::check_nesting() {
  struct Open {
    Op op;
    uint32_t pc, start;  // pc of the opener or its else; start: of the opener
  };
  std::vector<Open> open;
  info_.match.resize(k_.code.size());
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    info_.match[pc] = pc;
    Op op = k_.code[pc].op;
    switch (op) {
      case Op::for_:
      case Op::while_:
      case Op::if_:
      case Op::parallel:
      case Op::warps:
        open.push_back({op, pc, pc});
        info_.max_nesting =
            std::max<uint32_t>(info_.max_nesting, static_cast<uint32_t>(open.size()));
        if (open.size() > static_cast<size_t>(limits::max_nesting)) {
          report_at(pc, diag::limit_exceeded,
                    fmt::format("blocks nest deeper than {}", limits::max_nesting));
          return false;
        }
        break;
      case Op::else_:
        if (open.empty() || open.back().op != Op::if_) {
          report_at(pc, diag::blocks_unbalanced, "`else` without its `if`");
          return false;
        }
        info_.match[open.back().pc] = pc;
        open.back() = {Op::else_, pc, open.back().start};
        break;
      case Op::end:
        if (open.empty()) {
          report_at(pc, diag::blocks_unbalanced, "`end` without an open block");
          return false;
        }
        info_.match[open.back().pc] = pc;
        info_.match[pc] = open.back().start;
        open.pop_back();
        break;
      case Op::break_:
      case Op::continue_:
      case Op::test: {
        auto loop = std::find_if(open.rbegin(), open.rend(), [](const Open& o) {
          return o.op == Op::for_ || o.op == Op::while_ || o.op == Op::warps;
        });
        if (loop == open.rend() || loop->op == Op::warps ||
            (op == Op::test && loop->op != Op::while_)) {
          report_at(pc, diag::not_in_loop,
                    op == Op::test ? "`test` belongs to a `while`"
                                   : fmt::format("`{}` outside a loop", op_info(op).name));
          break;
        }
        info_.match[pc] = loop->start;
        break;
      }
      default:
        break;
    }
  }
  if (!open.empty()) {
    report_at(open.back().start, diag::blocks_unbalanced,
              fmt::format("`{}` is never closed", op_info(k_.code[open.back().start].op).name));
    return false;
  }
  return true;
}

void KernelVerifier::check_types() {
  std::vector<ArgType> args;
  std::vector<Attr> attrs;
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    auto refuse = [&](const TypeError& e) { report_at(pc, e.code, e.message, e.hint); };
    auto attr_span = k_.attrs_of(inst);
    for (size_t i = 1; i < attr_span.size(); ++i)
      if (attr_span[i - 1].tag >= attr_span[i].tag) {
        report_at(pc, diag::attr_conflict, "attributes are not in ascending order");
        break;
      }
    if (auto e = check_attrs(op, attr_span)) {
      refuse(*e);
      continue;
    }
    args.clear();
    bool ok = true;
    for (size_t a = 0; ok && a < inst.n_args; ++a) {
      Ref r = k_.args(inst)[a];
      ArgType arg;
      arg.kind = r.kind();
      if (r.is_value()) arg.type = k_.values[r.index()].type;
      if (r.is_constant()) {
        arg.constant = k_.constants[r.index()];
        arg.type = scalar_type(arg.constant->type);
      }
      if (r.is_access()) {
        const Access& access = k_.accesses[r.index()];
        AccessType t = access_type(k_, access, op.rule == Rule::slice_);
        if (t.error) {
          refuse(*t.error);
          ok = false;
          break;
        }
        arg.type = t.type;
        arg.access = &access;
      }
      args.push_back(arg);
    }
    if (!ok) continue;
    std::optional<Type> written;
    bool has_type = op.form == Form::typed || op.form == Form::decl;
    if (has_type && inst.n_results) {
      written = k_.values[k_.results(inst)[0].index()].type;
      written->space = Space::reg;
      written->ring = false;
    } else if (op.form == Form::opt_typed && inst.n_results) {
      written = Type{Space::reg, false, k_.values[k_.results(inst)[0].index()].type.dtype, {}};
    }
    InferInput in{&k_,           &op, args, attr_span, written, has_type && op.rule != Rule::cast_,
                  inst.n_results};
    Typing typing = infer(in);
    if (typing.error) {
      refuse(*typing.error);
      continue;
    }
    for (size_t r = 0; r < typing.results.size(); ++r) {
      const Value& v = k_.values[k_.results(inst)[r].index()];
      if (v.type != typing.results[r])
        report_at(pc, diag::result_type,
                  fmt::format("`%{}` is {}, but `{}` gives {}", v.name, type_text(v.type), op.name,
                              type_text(typing.results[r])),
                  "a name keeps one type: use another name, or `cast`");
    }
    for (const Attr& a : attr_span)
      if (find_attr(a.tag)->kind == AttrKind::constant &&
          k_.constants[a.value].type != constant_attr_type(typing.results, args))
        report_at(pc, diag::type_mismatch,
                  fmt::format("`{}` has another type than what it fills", find_attr(a.tag)->name));
    check_writes(pc, inst, op);
  }
}

// `in` parameters are immutable.
void KernelVerifier::check_writes(uint32_t pc, const Inst& inst, const OpInfo& op) {
  bool writes = op.effect == Effect::write || op.effect == Effect::atomic || op.rule == Rule::wait_;
  if (!writes || inst.op == Op::wait) return;
  for (size_t a = 0; a < inst.n_args; ++a) {
    const SigItem& item = op.sig.operands[sig_index(op.sig, a, inst.n_args)];
    bool memory = item.kind == SigKind::access || item.kind == SigKind::memory ||
                  (item.kind == SigKind::place && a == 0);  // the destination stands first
    if (!memory) continue;
    Ref r = k_.args(inst)[a];
    uint32_t base = r.is_access() ? k_.accesses[r.index()].base : r.index();
    uint32_t origin = root_[base];
    if (origin < k_.params.size() && k_.params[origin].dir == Direction::in)
      report_at(pc, diag::write_to_in,
                fmt::format("`{}` writes `{}`, which is an `in` parameter", op.name,
                            k_.values[origin].name),
                "declare it `inout` or `out`");
  }
}

// Which parameter a view comes from; a view assigned from an `in` parameter anywhere counts as one.
void KernelVerifier::find_roots() {
  root_.resize(k_.values.size());
  for (uint32_t v = 0; v < root_.size(); ++v) root_[v] = v;
  for (const Inst& inst : k_.code) {
    if (!inst.n_results || !inst.n_args) continue;
    uint32_t d = k_.results(inst)[0].index();
    if (!k_.values[d].type.is_memory()) continue;
    Ref r = k_.args(inst)[0];
    if (!r.is_value() && !r.is_access()) continue;
    uint32_t from = root_[r.is_access() ? k_.accesses[r.index()].base : r.index()];
    bool keep =
        root_[d] != d && root_[d] < k_.params.size() && k_.params[root_[d]].dir == Direction::in;
    if (!keep) root_[d] = from;
  }
}

void KernelVerifier::check_asynchrony() {
  Regions regions(k_);
  check_clusters(regions);
  check_tma();
  check_bulk(regions);
  check_launch_order(regions);
  check_groups(regions);
  check_barriers(regions);
  check_races(regions);
}

bool KernelVerifier::run(const Refused& refused) {
  if (!check_header() || !check_references() || !check_nesting()) return false;
  bool stray_jumps = failed_;
  find_roots();
  check_types();
  if (!failed_ && !refused.any && !check_strands()) return false;
  if (!failed_) check_layouts();
  if (!failed_ && !refused.any) check_asynchrony();
  if (!refused.unknown_names && !stray_jumps) check_assignment(refused);
  return !failed_;
}

int VerifiedModule::find(std::string_view name) const {
  for (size_t i = 0; i < module_->kernels.size(); ++i)
    if (module_->kernels[i].name == name) return static_cast<int>(i);
  return -1;
}

void check_incomplete(const Module& module, const std::vector<Refused>& refused, Diagnostics& out) {
  Result<std::deque<Layout>> layouts = parse_layouts(module);
  if (!layouts) return;  // reported when it was lowered
  for (size_t i = 0; i < module.kernels.size(); ++i) {
    KernelInfo info;
    KernelVerifier(module, *layouts, module.kernels[i], info, out).run(refused[i]);
  }
}

std::optional<VerifiedModule> verify(Module module, Diagnostics& out) {
  bool good = true;
  auto refuse = [&](Diag code, std::string message) {
    out.push_back(make_diag(code, std::move(message)));
    good = false;
  };
  if (module.kernels.size() > static_cast<size_t>(limits::max_kernels))
    refuse(diag::limit_exceeded,
           fmt::format("{} kernels; at most {}", module.kernels.size(), limits::max_kernels));
  Result<std::deque<Layout>> layouts = parse_layouts(module);
  if (!layouts) {
    out.push_back(std::move(layouts).error());
    return {};
  }
  VerifiedModule verified;
  std::set<std::string> keys;
  size_t kernels = good ? module.kernels.size() : 0;
  for (size_t i = 0; i < kernels; ++i) {
    KernelInfo info;
    good &= KernelVerifier(module, *layouts, module.kernels[i], info, out).run();
    if (good && !keys.insert(kernel_key(module.kernels[i])).second)
      refuse(diag::bad_name,
             fmt::format("kernel `{}` is defined twice", kernel_key(module.kernels[i])));
    verified.info_.push_back(std::move(info));
  }
  if (!good) return {};
  verified.module_ = std::make_shared<const Module>(std::move(module));
  return verified;
}

}  // namespace tess
