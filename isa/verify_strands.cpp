// Strands: the sections of `parallel` fit the block, and nothing crosses their border that must
// not.
#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/verify.h"
#include "isa/limits.h"
#include "isa/verify_kernel.h"

namespace tess {

namespace {
constexpr int64_t kRegisterFile = 65536, kThreads = 32;
}

Section KernelVerifier::section_at(uint32_t warps_pc) const {
  const Inst& inst = k_.code[warps_pc];
  Section s;
  s.pc = warps_pc;
  s.begin = *constant_of(k_, k_.args(inst)[0]);
  s.end = *constant_of(k_, k_.args(inst)[1]);
  s.by = k_.attr(inst, AttrTag::by).value_or(s.end - s.begin);
  s.regs = k_.attr(inst, AttrTag::regs).value_or(0);
  return s;
}

// Only sections stand in `parallel`, and only there.
bool KernelVerifier::check_sections() {
  info_.section.assign(k_.code.size(), kNoSection);
  std::vector<uint32_t> open;  // control instructions around
  uint32_t section = kNoSection;
  bool good = true;
  auto bad = [&](uint32_t pc, Diag code, std::string message, std::string hint = {}) {
    report_at(pc, code, std::move(message), std::move(hint));
    good = false;
  };
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    Op op = k_.code[pc].op;
    bool in_parallel = !open.empty() && k_.code[open.back()].op == Op::parallel;
    if (op == Op::end) {
      if (k_.code[open.back()].op == Op::warps) section = kNoSection;
      if (in_parallel && open.back() + 1 == pc)
        bad(open.back(), diag::strand_section, "`parallel` without strands");
      open.pop_back();
      continue;
    }
    if (op == Op::warps && !in_parallel)
      bad(pc, diag::blocks_unbalanced, "`warps` outside of `parallel`");
    else if (op != Op::warps && in_parallel)
      bad(pc, diag::blocks_unbalanced,
          fmt::format("`{}` between the sections of `parallel`", op_info(op).name));
    if (op == Op::warps) section = pc;
    info_.section[pc] = section;
    bool opens = op == Op::for_ || op == Op::while_ || op == Op::if_ || op == Op::parallel ||
                 op == Op::warps;
    if (op == Op::parallel && section != kNoSection)
      bad(pc, diag::misplaced_op, "`parallel` inside a strand", "strands do not nest");
    else if (section != kNoSection &&
             (op == Op::return_ || op == Op::smem || op == Op::grid_sync || op == Op::cluster_sync))
      bad(pc, diag::misplaced_op, fmt::format("`{}` inside a strand", op_info(op).name),
          op == Op::smem      ? "declare shared tiles before `parallel`"
          : op == Op::return_ ? "let the section end, or return behind `parallel`"
                              : "all warps of the block take part: put it outside of `parallel`");
    if (op == Op::mbar && !open.empty())
      bad(pc, diag::misplaced_op, "`mbar` inside a block",
          "declare mbarriers at the top level of the kernel: they are initialised once");
    if (opens) open.push_back(pc);
  }
  return good;
}

void KernelVerifier::check_section_ranges() {
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    if (k_.code[pc].op != Op::parallel) continue;
    std::vector<Section> seen;
    int64_t registers = 0;
    for (uint32_t at = pc + 1; k_.code[at].op == Op::warps; at = info_.match[at] + 1) {
      Section s = section_at(at);
      if (s.end > k_.warps)
        report_at(at, diag::strand_section,
                  fmt::format("warps {}..{} of a block of {}", s.begin, s.end, k_.warps));
      for (const Section& other : seen)
        if (s.begin < other.end && other.begin < s.end)
          report_at(
              at, diag::strand_section,
              fmt::format("warps {}..{} overlap {}..{}", s.begin, s.end, other.begin, other.end));
      registers += s.regs * kThreads * (s.end - s.begin);
      seen.push_back(s);
    }
    if (registers > kRegisterFile)
      report_at(pc, diag::strand_section,
                fmt::format("the sections ask for {} registers, a multiprocessor has {}", registers,
                            kRegisterFile));
  }
}

// A name is assigned in one section or outside; register tiles stay on their side.
void KernelVerifier::check_strand_names() {
  constexpr uint32_t kUnassigned = kNoSection - 1;
  std::vector<uint32_t> home(k_.values.size(), kUnassigned);
  for (uint32_t v = 0; v < k_.params.size(); ++v) home[v] = kNoSection;
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc)
    for (Ref r : k_.results(k_.code[pc])) {
      uint32_t& at = home[r.index()];
      if (at == kUnassigned) at = info_.section[pc];
      if (at == info_.section[pc]) continue;
      report_at(pc, diag::strand_scope,
                fmt::format("{} is assigned in a strand and outside of it", shown(r.index())),
                "use another name: strands leave results in memory");
      at = info_.section[pc];
    }
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    if (info_.section[pc] == kNoSection) continue;
    for (Ref r : k_.args(k_.code[pc])) {
      auto use = [&](Ref x) {
        if (!x.is_value() || home[x.index()] != kNoSection) return;
        if (!k_.values[x.index()].type.is_tile()) return;
        report_at(pc, diag::strand_scope,
                  fmt::format("{} is a register tile of the whole block", shown(x.index())),
                  "make it inside the strand, or pass it through a shared tile");
      };
      use(r);
      if (!r.is_access()) continue;
      const Access& a = k_.accesses[r.index()];
      use(Ref::value(a.base));
      for (const Index& i : k_.indices_of(a)) use(i.start), use(i.stop);
    }
  }
}

int64_t KernelVerifier::strand_warps(uint32_t pc) const {
  uint32_t section = info_.section[pc];
  return section == kNoSection ? k_.warps : section_at(section).by;
}

void KernelVerifier::check_warpgroups() {
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    if (k_.code[pc].op != Op::wgmma) continue;
    uint32_t section = info_.section[pc];
    int64_t begin = section == kNoSection ? 0 : section_at(section).begin;
    int64_t warps = strand_warps(pc);
    if (warps % 4 == 0 && begin % 4 == 0) continue;
    report_at(pc, diag::wgmma_shape,
              fmt::format("`wgmma` in a strand of {} warp{}{}", warps, warps == 1 ? "" : "s",
                          begin % 4 ? fmt::format(" from warp {}", begin) : ""),
              "give the strand whole aligned groups of four warps");
  }
}

// True if the later checks may take sections for granted.
bool KernelVerifier::check_strands() {
  if (!check_sections()) return false;
  check_section_ranges();
  check_strand_names();
  check_warpgroups();
  return true;
}

}  // namespace tess
