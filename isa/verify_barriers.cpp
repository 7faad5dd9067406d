// mbarriers: somebody arrives, somebody waits, the arrivals can reach the count, and constant use
// numbers name phases that come about. Arrivals of peers are not counted.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "isa/diag/verify.h"
#include "isa/verify_kernel.h"

namespace tess {
namespace {

struct Site {
  uint32_t pc;
  std::optional<int64_t> use;
  int64_t strands;
  bool repeats;      // may arrive at one use several times, or that cannot be told
  bool conditional;  // inside an `if` or loop
};

struct Barrier {
  uint32_t declared;
  int64_t count, slots;
  bool mapped = false;  // peers can reach it
  std::vector<Site> arrivals, waits;
};

bool arrives(Op op) { return op == Op::mbar_arrive || op == Op::copy_async_arrive; }

}  // namespace

void KernelVerifier::check_barriers(const Regions& regions) {
  std::map<uint32_t, Barrier> barriers;  // by value
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc)
    if (k_.code[pc].op == Op::mbar) {
      uint32_t v = k_.results(k_.code[pc])[0].index();
      barriers[v] = {pc,
                     k_.attr(k_.code[pc], AttrTag::count).value_or(1),
                     k_.values[v].type.shape[0],
                     false,
                     {},
                     {}};
    }
  if (barriers.empty()) return;

  std::vector<std::vector<uint32_t>> assigned_at(k_.values.size());
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc)
    for (Ref r : k_.results(k_.code[pc])) assigned_at[r.index()].push_back(pc);
  // Different in each iteration of the loop as far as its form tells: the loop's variable, a named
  // counter that the loop assigns, or one of these plus or minus something.
  auto varies = [&](Ref r, uint32_t loop) {
    for (int steps = 0; steps < 4 && r.is_value(); ++steps) {
      const std::vector<uint32_t>& at = assigned_at[r.index()];
      auto first = std::lower_bound(at.begin(), at.end(), loop);
      if (first == at.end() || *first > info_.match[loop]) return false;
      if (!k_.values[r.index()].name.empty() || *first == loop) return true;
      const Inst& made = k_.code[*first];
      if (made.op != Op::add && made.op != Op::sub) return false;
      Ref a = k_.args(made)[0], b = k_.args(made)[1];
      r = a.is_value() ? a : b;
    }
    return false;
  };

  std::vector<uint32_t> open;
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    if (inst.op == Op::end) {
      open.pop_back();
      continue;
    }
    if (inst.op == Op::cluster_map) {
      Ref from = k_.args(inst)[0];
      auto it = barriers.find(regions.root(from.index()));
      if (it != barriers.end()) it->second.mapped = true;
    }
    for (size_t a = 0; a < inst.n_args; ++a) {
      Ref r = k_.args(inst)[a];
      if (!r.is_access()) continue;
      const Access& access = k_.accesses[r.index()];
      if (k_.values[access.base].type.space != Space::mbar) continue;
      Ref index = k_.indices[access.first_index].start;
      Site site{pc, constant_of(k_, index), strands_at(pc), false, false};
      if (site.use && *site.use < 0 && inst.op != Op::mbar_wait)
        report_at(
            pc, diag::mbar_phase,
            fmt::format("`{}` at use {}: only a wait may have a negative use", op.name, *site.use));
      for (uint32_t around : open) {
        Op kind = k_.code[around].op;
        site.conditional |= kind == Op::if_ || kind == Op::for_ || kind == Op::while_;
        if (kind == Op::for_ || kind == Op::while_) site.repeats |= !varies(index, around);
      }
      auto it = barriers.find(regions.root(access.base));
      if (it == barriers.end()) continue;
      if (arrives(inst.op)) it->second.arrivals.push_back(site);
      if (inst.op == Op::mbar_wait) it->second.waits.push_back(site);
    }
    if (op.form == Form::control && inst.op != Op::else_) open.push_back(pc);
  }
  for (auto& [v, b] : barriers) {
    std::string name = shown(v);
    if (b.mapped) continue;
    bool waits = std::ranges::any_of(b.waits, [](const Site& s) { return s.use.value_or(0) >= 0; });
    if (b.arrivals.empty() && waits) {
      report_at(b.waits[0].pc, diag::mbar_arrivals,
                fmt::format("nothing arrives at {}: this wait never ends", name),
                "`mbar.arrive` makes an arrival");
      continue;
    }
    if (b.waits.empty()) {
      report_at(b.declared, diag::mbar_count,
                b.arrivals.empty() ? fmt::format("{} is not used", name)
                                   : fmt::format("nothing waits for {}", name));
      continue;
    }
    bool constant =
        std::ranges::all_of(b.arrivals, [](const Site& s) { return s.use && !s.conditional; });
    if (!constant) {
      int64_t most = 0;
      bool repeats = false;
      for (const Site& s : b.arrivals) most += s.strands, repeats |= s.repeats;
      if (!repeats && most < b.count)
        report_at(b.declared, diag::mbar_count,
                  fmt::format("{} has count({}), but each use seems to get {} arrival{}", name,
                              b.count, most, most == 1 ? "" : "s"),
                  "counts are in arrivals of strands, however many warps these have");
      continue;
    }
    // Every arrival is made once, at a known use.
    std::map<int64_t, int64_t> arrived;
    std::map<int64_t, uint32_t> first_at;
    for (const Site& s : b.arrivals) {
      arrived[*s.use] += s.strands;
      first_at.emplace(*s.use, s.pc);
    }
    for (auto [use, n] : arrived) {
      if (use < 0) continue;
      if (n > b.count)
        report_at(
            first_at[use], diag::mbar_phase,
            fmt::format("{} arrivals at use {} of {}, which has count({})", n, use, name, b.count));
      if (use >= b.slots && arrived[use - b.slots] < b.count)
        report_at(
            first_at[use], diag::mbar_phase,
            fmt::format("use {} of {} comes before use {} is complete", use, name, use - b.slots),
            fmt::format("uses {} and {} share a slot", use - b.slots, use));
    }
    for (const Site& w : b.waits) {
      if (!w.use || *w.use < 0) continue;
      auto it = arrived.find(*w.use);
      int64_t n = it == arrived.end() ? 0 : it->second;
      if (n < b.count)
        report_at(w.pc, diag::mbar_arrivals,
                  fmt::format("use {} of {} gets {} of {} arrivals: this wait never ends", *w.use,
                              name, n, b.count));
    }
  }
}

}  // namespace tess
