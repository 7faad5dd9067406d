// Copies, clusters and launch order: what an instruction needs from the kernel's header and
// signature.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "isa/diag/verify.h"
#include "isa/numerics.h"
#include "isa/verify_kernel.h"

namespace tess {
namespace {

constexpr int64_t kBulkBytes = 16;
constexpr int64_t kMostDivisor = int64_t{1} << 20;

// Small enough that products of two do not overflow, still a divisor; 0 is divided by everything.
int64_t capped(int64_t d) {
  if (d < 0 || d > kMostDivisor) return std::gcd(d, kMostDivisor);
  return d == 0 ? kMostDivisor : d;
}

// A number that certainly divides the expression's value; divisors of what it uses are known.
int64_t divisor_of(const HostExpr& e, const std::vector<int64_t>& of_value) {
  std::vector<int64_t> stack;
  std::vector<bool> constant;  // the divisor is the value itself
  for (const HostToken& t : e.tokens) {
    int arity = host_op_arity(t.op);
    if (arity == 0) {
      bool known = t.op == HostOp::constant && t.value > 0 && t.value <= kMostDivisor;
      int64_t d = t.op == HostOp::constant ? capped(t.value)
                  : t.op == HostOp::param  ? of_value[static_cast<size_t>(t.value)]
                                           : 1;
      stack.push_back(d);
      constant.push_back(known);
      continue;
    }
    int64_t b = stack.back();
    bool b_constant = constant.back();
    if (arity == 1) {
      constant.back() = constant.back() && t.op == HostOp::neg;
      continue;
    }
    stack.pop_back(), constant.pop_back();
    int64_t a = stack.back();
    int64_t& d = stack.back();
    constant.back() = false;
    switch (t.op) {
      case HostOp::mul:
        d = a * b;
        break;
      case HostOp::div:
      case HostOp::cdiv:
        d = b_constant && a % b == 0 ? a / b : 1;
        break;
      default:
        d = std::gcd(a, b);
    }
    d = capped(d);
  }
  return stack.back();
}

bool is_zero(const Constant& c) { return c.code == 0; }

}  // namespace

// Instructions of clusters need a cluster; a peer's memory only some instructions reach.
void KernelVerifier::check_clusters(const Regions& regions) {
  auto is_remote = [&](Ref r) {
    if (r.is_access()) return regions.remote(k_.accesses[r.index()].base);
    return r.is_value() && regions.remote(r.index());
  };
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    auto args = k_.args(inst);
    bool multicast = (inst.op == Op::tma_load || inst.op == Op::copy_bulk) && args.size() > 3 &&
                     !args[3].is_none();
    if ((multicast || inst.op == Op::cluster_sync || inst.op == Op::cluster_map) &&
        k_.cluster == 1) {
      report_at(pc, diag::needs_cluster,
                fmt::format("`{}`{} in a kernel without clusters", op.name,
                            multicast ? " with `multicast`" : ""),
                "write `cluster(2)` in the header");
      continue;
    }
    if (inst.op == Op::grid_sync && !k_.cooperative)
      report_at(pc, diag::needs_cooperative, "`grid.sync` in a kernel that is not `cooperative`",
                "write `cooperative` in the header");
    if (multicast)
      if (auto mask = constant_of(k_, args[3]); mask && (*mask <= 0 || *mask >> k_.cluster))
        report_at(pc, diag::needs_cluster,
                  fmt::format("the mask {:#x} names blocks outside of a cluster of {}", *mask,
                              k_.cluster));
    if (inst.op == Op::cluster_map)
      if (auto rank = constant_of(k_, args[1]); rank && (*rank < 0 || *rank >= k_.cluster))
        report_at(pc, diag::needs_cluster,
                  fmt::format("rank {} in a cluster of {}", *rank, k_.cluster));
    for (size_t a = 0; a < args.size(); ++a) {
      bool remote = is_remote(args[a]), wanted = inst.op == Op::red_async && a != 1;
      if (wanted && !remote)
        report_at(pc, diag::remote_memory, "`red.async` works on a peer's shared tile and mbarrier",
                  "`%peer = cluster.map %s, rank` names them");
      if (!remote) continue;
      bool plain = op.rule == Rule::load_ || op.rule == Rule::store_ || op.rule == Rule::gather_ ||
                   op.rule == Rule::scatter_ || op.rule == Rule::atomic_ ||
                   op.rule == Rule::slice_ || op.rule == Rule::transpose_ ||
                   op.rule == Rule::reshape_;
      bool reaches = wanted || plain || inst.op == Op::mbar_arrive || inst.op == Op::mbar_expect ||
                     (inst.op == Op::copy_bulk && a != 1);
      if (!reaches)
        report_at(pc, diag::remote_memory,
                  fmt::format("`{}` does not work on a peer's shared memory", op.name),
                  inst.op == Op::mbar_wait ? "wait for an own barrier and let the peer arrive at it"
                                           : "copy it first");
    }
  }
}

// The tensor of a TMA copy: a parameter or workspace whose base and rows are known to be multiples
// of 16 bytes.
void KernelVerifier::check_tma() {
  std::vector<int64_t> divisors(k_.params.size(), 1);
  for (size_t i = 0; i < k_.params.size(); ++i) {
    const Param& p = k_.params[i];
    divisors[i] = p.dir == Direction::let ? divisor_of(p.let, divisors) : capped(p.divisible);
  }
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    if (op.rule != Rule::tma_) continue;
    if (auto pad = k_.attr(inst, AttrTag::pad); pad && !is_zero(k_.constants[*pad]))
      report_at(pc, diag::tma_pad, "`tma.load` fills with zero only",
                "`copy.async` takes any `pad`");
    Ref r = k_.args(inst)[inst.op == Op::tma_load ? 1 : 0];
    uint32_t base = r.is_access() ? k_.accesses[r.index()].base : r.index();
    if (base >= k_.params.size()) {
      report_at(pc, diag::tma_box,
                fmt::format("`{}` works on a parameter or workspace itself, {} is a view", op.name,
                            shown(base)),
                "index the parameter");
      continue;
    }
    const Param& p = k_.params[base];
    const Value& v = k_.values[base];
    int64_t bytes = v.type.dtype.bits / 8;
    if (p.dir != Direction::workspace && (p.aligned == 0 || p.aligned % kBulkBytes)) {
      report_at(pc, diag::tma_alignment, fmt::format("`{}` is not known to be aligned", v.name),
                fmt::format("declare `{}: … aligned(16)`", v.name));
      continue;
    }
    auto unaligned = [&](size_t d) {
      report_at(
          pc, diag::tma_alignment,
          fmt::format("the stride of dimension {} of `{}` is not known to be a multiple of 16 "
                      "bytes",
                      d, v.name),
          fmt::format("declare what it depends on `divisible({})`", kBulkBytes / bytes));
    };
    int rank = v.type.shape.rank;
    if (!p.strides.empty()) {
      const HostExpr& last = p.strides.back();
      if (!last.is_constant() || last.constant() != 1)
        report_at(pc, diag::tma_alignment, fmt::format("the last stride of `{}` is not 1", v.name));
      for (int d = 0; d + 1 < rank; ++d)
        if (divisor_of(p.strides[static_cast<size_t>(d)], divisors) * bytes % kBulkBytes) {
          unaligned(static_cast<size_t>(d));
          break;
        }
      continue;
    }
    int64_t stride = bytes;
    for (int d = rank - 1; d > 0; --d) {
      stride *= std::gcd(divisor_of(p.shape[static_cast<size_t>(d)], divisors), kBulkBytes);
      stride = std::gcd(stride, kMostDivisor);
      if (stride % kBulkBytes == 0) continue;
      unaligned(static_cast<size_t>(d - 1));
      break;
    }
  }
}

// A bulk copy moves one run of bytes: behind the first index that is no point every dimension is
// taken whole. The ends agree about whose barrier gets the bytes.
void KernelVerifier::check_bulk(const Regions& regions) {
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    if (inst.op != Op::copy_bulk) continue;
    auto args = k_.args(inst);
    for (size_t a = 0; a < 2; ++a) {
      if (!args[a].is_access()) continue;
      const Access& access = k_.accesses[args[a].index()];
      const Type& type = k_.values[access.base].type;
      bool inner = false, whole = true;
      for (uint32_t d = 0; d < access.n_indices; ++d) {
        const Index& i = k_.indices[access.first_index + d];
        bool one = i.kind == IndexKind::point ||
                   (i.kind == IndexKind::range ? i.extent : type.shape[static_cast<int>(d)]) == 1;
        if (one && !inner) continue;
        bool all = i.kind == IndexKind::all ||
                   (i.kind == IndexKind::range && i.extent == type.shape[static_cast<int>(d)] &&
                    constant_of(k_, i.start) == 0);
        if (inner) whole &= all || type.shape[static_cast<int>(d)] == 1;
        inner = true;
      }
      if (!whole)
        report_at(
            pc, diag::bulk_size,
            fmt::format("the {} of `copy.bulk` is no contiguous run", a ? "source" : "destination"),
            "take the last dimensions whole, or use `tma.load`");
    }
    if (args.size() < 3 || args[2].is_none()) continue;
    uint32_t to = args[0].is_access() ? k_.accesses[args[0].index()].base : args[0].index();
    bool remote = regions.remote(to);
    bool remote_barrier = regions.remote(k_.accesses[args[2].index()].base);
    uint32_t from = args[1].is_access() ? k_.accesses[args[1].index()].base : args[1].index();
    if (remote != remote_barrier)
      report_at(pc, diag::remote_memory,
                "the destination and the mbarrier of `copy.bulk` are in different blocks",
                "map both with `cluster.map`");
    else if (k_.values[from].type.space == Space::shared && !remote)
      report_at(pc, diag::remote_memory, "`copy.bulk` from shared memory to the block's own",
                "`load` and `store` do that");
  }
}

// Before `inputs.wait` nothing is touched that another kernel may still write; after
// `outputs.ready` no output is written. Only those at the top level say so for certain.
void KernelVerifier::check_launch_order(const Regions& regions) {
  uint32_t wait = kNoSection, ready = kNoSection;
  int depth = 0;
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    Op op = k_.code[pc].op;
    if (op == Op::end) --depth;
    if (op_info(op).form == Form::control && op != Op::end && op != Op::else_) ++depth;
    if (depth == 0 && op == Op::inputs_wait && wait == kNoSection) wait = pc;
    if (depth == 0 && op == Op::outputs_ready && ready == kNoSection) ready = pc;
  }
  if (wait == kNoSection && ready == kNoSection) return;
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    bool early = wait != kNoSection && pc < wait, late = ready != kNoSection && pc > ready;
    bool touches = op.effect == Effect::read || op.effect == Effect::write ||
                   op.effect == Effect::atomic || op.rule == Rule::wait_;
    if ((!early && !late) || !touches) continue;
    for (size_t a = 0; a < inst.n_args; ++a) {
      Ref r = k_.args(inst)[a];
      if (!r.is_value() && !r.is_access()) continue;
      uint32_t base = r.is_access() ? k_.accesses[r.index()].base : r.index();
      uint32_t root = regions.root(base);
      if (root >= k_.params.size() || k_.values[root].type.space != Space::global) continue;
      bool immutable = k_.params[root].dir == Direction::in;
      // The destination stands first, but for `store` and `scatter`, whose value does.
      bool destination = a == (op.rule == Rule::store_ || op.rule == Rule::scatter_ ? 1u : 0u);
      bool writes = destination && op.effect != Effect::read && inst.op != Op::wait;
      if (early && !immutable)
        report_at(pc, diag::launch_order,
                  fmt::format("`{}` is touched before `inputs.wait`", k_.values[root].name),
                  "before it only `in` parameters and own shared memory are read");
      else if (late && writes)
        report_at(pc, diag::launch_order,
                  fmt::format("`{}` is written after `outputs.ready`", k_.values[root].name));
    }
  }
}

}  // namespace tess
