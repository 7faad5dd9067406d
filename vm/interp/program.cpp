#include "vm/interp/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/plan.h"

namespace tess::interp {

namespace {

using Bind = void (*)(Binder&);
constexpr Bind kBind[] = {
#define INST(id, ...) &bind<Op::id>,
#include "isa/isa.def"
#undef INST
};

// Rules whose kernels may write a result over an operand of the same name.
bool tolerates_alias(Rule r) {
  switch (r) {
    case Rule::broadcast_:
    case Rule::same_:
    case Rule::loop_:
    case Rule::none_:
    case Rule::scalar_:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool may_fuse(const Kernel& k, const Inst& inst) {
  const OpInfo& op = op_info(inst.op);
  auto in_registers = [&] {
    for (Ref r : k.args(inst)) {
      if (r.is_access()) return false;
      if (r.is_value() && k.values[r.index()].type.space != Space::reg) return false;
    }
    return true;
  };
  switch (op.rule) {
    case Rule::broadcast_:
    case Rule::same_:
    case Rule::cast_:
    case Rule::bitcast_:
    case Rule::reshape_:
    case Rule::squeeze_:
    case Rule::unsqueeze_:
    case Rule::broadcast_to_:
      return op.effect == Effect::pure && in_registers();
    default:
      return false;
  }
}

struct Decoder {
  Plan& plan;
  Program& p;
  const Kernel& k;
  const KernelInfo& info;
  const Options& options;

  bool fusing() const { return plan.fusing(); }

  std::vector<Micro> group;
  uint64_t group_n = 0;

  void flush() {
    if (group.empty()) return;
    std::vector<bool> stored(group.size(), true);
    if (group.size() > 1) {
      // A result that nothing outside of the group mentions stays in its strip.
      std::map<uint64_t, uint32_t> inside;
      std::map<uint64_t, uint32_t> value_of;
      for (const Micro& m : group) {
        for_each_value(k, k.code[m.pc], [&](uint32_t v) { ++inside[v]; });
      }
      for (size_t i = 0; i < group.size(); ++i) {
        uint32_t v = k.results(k.code[group[i].pc])[0].index();
        stored[i] = inside[v] != plan.mentions[v] || !group[i].d;
      }
    }
    p.steps.push_back(make_group(p, group, stored));
    group.clear();
  }

  static Flow copy_register(Strand& s, const void* d) {
    struct Copy {
      uint64_t from, to;
      int64_t bytes;
    };
    const Copy& c = *static_cast<const Copy*>(d);
    std::memcpy(s.regs + c.to, s.regs + c.from, static_cast<size_t>(c.bytes));
    return Flow::next;
  }

  struct Poison {
    std::vector<uint64_t> reg;
    std::vector<std::string> name;
  };
  static Flow check_poison(Strand& s, const Poison& c) {
    for (size_t i = 0; i < c.reg.size(); ++i)
      if (s.regs[c.reg[i]])
        return trap(
            s, diag::run_undef,
            fmt::format("`{}` has no value here: `undef` was its last assignment", c.name[i]));
    return Flow::next;
  }
  struct InFlight {
    std::vector<uint64_t> reg;
    std::vector<std::string> name;
  };
  static Flow check_in_flight(Strand& s, const InFlight& c) {
    for (size_t i = 0; i < c.reg.size(); ++i)
      if (*reinterpret_cast<const uint32_t*>(s.regs + c.reg[i]) > s.wgmma.done)
        return trap(
            s, diag::run_wgmma_result,
            fmt::format("`{}` is the result of a `wgmma` that was not waited for", c.name[i]));
    return Flow::next;
  }
  static Flow clear_in_flight(Strand& s, const InFlight& c) {
    for (uint64_t reg : c.reg) std::memset(s.regs + reg, 0, 4);
    return Flow::next;
  }
  struct Unpoison {
    std::vector<uint64_t> reg;
  };
  static Flow clear_poison(Strand& s, const Unpoison& c) {
    for (uint64_t reg : c.reg) s.regs[reg] = 0;
    return Flow::next;
  }
  struct Traced {
    Operand o;
    std::string name;
    int64_t block[3];
    uint32_t pc;
  };
  static Flow trace_value(Strand& s, const Traced& t) {
    if (std::memcmp(s.block, t.block, sizeof t.block)) return Flow::next;
    auto note = std::make_unique<Deferred::Note>();
    *note = {true,
             t.pc,
             s.number,
             t.name,
             Type{Space::reg, false, t.o.type, t.o.shape},
             {t.o.at(s), t.o.at(s) + t.o.size()}};
    s.deferred->bytes += static_cast<uint64_t>(t.o.size());
    s.deferred->items.push_back({nullptr, std::move(note)});
    return Flow::next;
  }

  template <auto F, class Decoded>
  Step step(uint32_t pc, Decoded decoded) {
    auto owner = std::make_shared<Decoded>(std::move(decoded));
    const void* ptr = owner.get();
    p.owned.push_back(std::move(owner));
    return {[](Strand& s, const void* d) { return F(s, *static_cast<const Decoded*>(d)); }, ptr, pc,
            0};
  }

  std::string shown_name(uint32_t v) const {
    const std::string& name = k.values[v].name;
    return name.empty() ? fmt::format("%{}", v) : "%" + name;
  }

  std::optional<Diagnostic> decode_inst(uint32_t pc) {
    const Inst& inst = k.code[pc];
    const OpInfo& op = op_info(inst.op);
    Binder b(p, info, options, pc);
    std::vector<Step> before, after;

    // Undefined values: checked before any instruction that may not read them.
    Poison used;
    Unpoison assigned;
    bool may_read = inst.op == Op::move || inst.op == Op::undef;
    auto results = k.results(inst);
    for (Ref r : results)
      if (p.poison_reg[r.index()] != kNoRegister && !may_read)
        assigned.reg.push_back(p.poison_reg[r.index()]);
    InFlight pending, settled;
    bool wgmma = inst.op == Op::wgmma;
    for (Ref r : results)
      if (p.wgmma_reg[r.index()] != kNoRegister && !wgmma)
        settled.reg.push_back(p.wgmma_reg[r.index()]);
    auto use_wgmma = [&](Ref r) {
      if (!r.is_value() || p.wgmma_reg[r.index()] == kNoRegister) return;
      pending.reg.push_back(p.wgmma_reg[r.index()]);
      pending.name.push_back(shown_name(r.index()));
    };
    auto args = k.args(inst);
    for (size_t i = 0; i < args.size(); ++i) {
      if (!(wgmma && i == 2)) use_wgmma(args[i]);
      if (args[i].is_access()) use_wgmma(Ref::value(k.accesses[args[i].index()].base));
    }
    auto use = [&](Ref r) {
      if (!r.is_value() || p.poison_reg[r.index()] == kNoRegister || may_read) return;
      used.reg.push_back(p.poison_reg[r.index()]);
      used.name.push_back(shown_name(r.index()));
    };
    for (Ref r : k.args(inst)) {
      use(r);
      if (!r.is_access()) continue;
      const Access& a = k.accesses[r.index()];
      if (inst.op != Op::insert) use(Ref::value(a.base));
      use(a.item);
      for (const Index& index : k.indices_of(a)) use(index.start), use(index.stop);
    }
    if (!used.reg.empty()) before.push_back(step<check_poison>(pc, used));
    if (!pending.reg.empty()) before.push_back(step<check_in_flight>(pc, pending));
    if (!settled.reg.empty()) after.push_back(step<clear_in_flight>(pc, settled));
    if (!assigned.reg.empty()) after.push_back(step<clear_poison>(pc, assigned));

    // Results that share a name with an operand.
    if (!tolerates_alias(op.rule)) {
      for (size_t i = 0; i < results.size(); ++i) {
        uint32_t v = results[i].index();
        if (!p.place[v]) continue;
        uint32_t uses = 0;
        for_each_value(k, inst, [&](uint32_t u) { uses += u == v; });
        bool multiplies = op.rule == Rule::mma_ || op.rule == Rule::wgmma_;
        bool accumulator = multiplies && uses == 2 && k.args(inst)[2] == Ref::value(v);
        if (uses < 2 || accumulator) continue;
        Operand temp = p.place[v];
        temp.reg = b.scratch(static_cast<uint64_t>(temp.size()));
        b.redirected_[i] = temp;
        struct Copy {
          uint64_t from, to;
          int64_t bytes;
        };
        auto copy = std::make_shared<Copy>(Copy{temp.reg, p.place[v].reg, temp.size()});
        after.insert(after.begin(), Step{copy_register, copy.get(), pc, 0});
        p.owned.push_back(copy);
      }
    }
    kBind[static_cast<int>(inst.op)](b);
    if (b.error_) return b.error_;
    if (options.trace_every_value)
      for (Ref r : results) {
        if (!p.place[r.index()]) continue;
        Traced t{p.place[r.index()], shown_name(r.index()), {}, pc};
        std::memcpy(t.block, options.trace_block, sizeof t.block);
        after.push_back(step<trace_value>(pc, t));
      }

    bool alone = !before.empty() || !after.empty() || !b.micro_ || !fusing() || !may_fuse(k, inst);
    if (!b.micro_ || alone || (!group.empty() && static_cast<uint64_t>(b.micro_->d.n) != group_n))
      flush();
    if (group.empty()) p.first_step[pc] = static_cast<uint32_t>(p.steps.size());
    else p.first_step[pc] = p.first_step[pc - 1];
    for (const Step& s : before) p.steps.push_back(s);
    if (b.micro_ && !alone) {
      group_n = static_cast<uint64_t>(b.micro_->d.n);
      // A scalar has no strips to keep in the cache, and control follows it closely.
      group.push_back(*b.micro_);
      if (group_n == 1 || group.size() >= 32) flush();
      return {};
    }
    if (b.micro_) p.steps.push_back(make_group(p, {*b.micro_}, {true}));
    for (const Step& s : b.steps_) p.steps.push_back(s);
    for (const Step& s : after) p.steps.push_back(s);
    return {};
  }

  std::optional<Diagnostic> run() {
    plan.make();
    p.fixed_bytes = p.fixed.size();
    p.first_step.resize(k.code.size() + 1);
    for (uint32_t pc = 0; pc < k.code.size(); ++pc)
      if (auto e = decode_inst(pc)) return e;
    flush();
    p.first_step[k.code.size()] = static_cast<uint32_t>(p.steps.size());
    uint32_t last = k.code.empty() ? 0 : static_cast<uint32_t>(k.code.size() - 1);
    p.steps.push_back({[](Strand&, const void*) { return Flow::done; }, nullptr, last, 0});
    p.register_bytes = aligned(p.scratch_reg + p.scratch_bytes) + kAlign;
    return {};
  }
};

Result<std::unique_ptr<Program>> decode(const VerifiedModule& module, size_t kernel,
                                        const BoundLaunch& launch, const Options& options) {
  auto program = std::make_unique<Program>();
  program->module = &module.module();
  program->kernel = &module.kernel(kernel);
  const KernelInfo& info = module.info(kernel);
  Plan plan{*program, *program->kernel, info, launch, options};
  Decoder decoder{plan, *program, *program->kernel, info, options};
  if (auto e = decoder.run()) return *e;
  return program;
}

// --- Binder

Operand Binder::operand(Ref r) const {
  if (r.is_value()) return program_.place[r.index()];
  if (!r.is_constant()) return {};
  DType t = kernel().constants[r.index()].type;
  return Operand{r.index() * kCell, t, {}, 1};
}

Operand Binder::result(size_t i) const {
  return redirected_[i] ? redirected_[i] : program_.place[result_value(i)];
}

bool Binder::is_memory(size_t i) const {
  Ref r = arg_ref(i);
  uint32_t v = r.is_access() ? kernel().accesses[r.index()].base : r.is_value() ? r.index() : 0;
  return !r.is_constant() && !r.is_none() && kernel().values[v].type.space != Space::reg;
}

AccessPlan Binder::access(size_t i) const {
  AccessPlan plan;
  Ref r = arg_ref(i);
  plan.base = r.is_access() ? kernel().accesses[r.index()].base : r.index();
  plan.base_type = kernel().values[plan.base].type;
  plan.type = plan.base_type.dtype;
  plan.is_param = plan.base < kernel().params.size();
  if (!r.is_access()) return plan;
  const Access& a = kernel().accesses[r.index()];
  plan.item = operand(a.item);
  plan.n_positions = static_cast<int>(a.n_indices);
  for (int d = 0; d < plan.n_positions; ++d) {
    const Index& index = kernel().indices[a.first_index + static_cast<uint32_t>(d)];
    AccessPlan::Position& at = plan.position[d];
    at = {index.kind, operand(index.start), operand(index.stop), index.extent, false};
    at.gather = at.start && index.kind == IndexKind::point && at.start.shape.rank == 1;
  }
  return plan;
}

uint64_t Binder::scratch(uint64_t bytes) {
  uint64_t at = program_.scratch_reg + scratch_used_;
  scratch_used_ += aligned(bytes);
  program_.scratch_bytes = std::max(program_.scratch_bytes, scratch_used_);
  return at;
}

uint64_t Binder::loop_registers(uint32_t pc) const {
  return program_.loop_base + program_.loop_slot[pc] * kCell;
}

int64_t read_int(const Strand& s, const Operand& o) {
  if (o.type == dt::i32_) return *o.in<int32_t>(s);
  if (o.type == dt::i64_) return *o.in<int64_t>(s);
  return decode_int(o.type, carrier_code(o.type, o.at(s), 0));
}

}  // namespace tess::interp
