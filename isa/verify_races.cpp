// Pairs of accesses to one shared tile that nothing orders: between the strands of one `parallel`,
// and under `sync manual` inside a strand.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "isa/diag/verify.h"
#include "isa/verify_kernel.h"

namespace tess {
namespace {

struct Touch {
  Region region;
  bool write;
  uint32_t pc;
};

constexpr size_t kMostTouches = 32;  // per tile and strand: the check stays linear

// Instructions that order a strand with others, apart from mbarriers.
bool synchronises(const OpInfo& op) {
  return op.rule == Rule::named_barrier_ || op.rule == Rule::wait_ || op.rule == Rule::atomic_;
}

}  // namespace

// What the instruction does to shared tiles of the block.
template <class Visit>
static void each_touch(const Kernel& k, const Regions& regions, uint32_t pc, Visit visit) {
  const Inst& inst = k.code[pc];
  const OpInfo& op = op_info(inst.op);
  for (size_t a = 0; a < inst.n_args; ++a) {
    auto write = operand_writes(op, a);
    if (!write) continue;
    auto region = regions.of(k.args(inst)[a]);
    if (!region || k.values[region->base].type.space != Space::shared) continue;
    if (regions.remote(region->base)) continue;
    visit(Touch{std::move(*region), *write, pc}, a);
  }
}

void KernelVerifier::check_races(const Regions& regions) {
  std::map<uint32_t, uint32_t> mapped;  // a peer's mbarriers: the own ones
  std::vector<uint32_t> home(k_.values.size(),
                             kNoSection);  // by value: the section that assigns it
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    for (Ref r : k_.results(inst)) home[r.index()] = info_.section[pc];
    if (inst.op == Op::cluster_map)
      mapped[k_.results(inst)[0].index()] = regions.root(k_.args(inst)[0].index());
  }
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc)
    if (k_.code[pc].op == Op::parallel) check_strand_races(pc, regions, mapped, home);
  if (k_.sync_manual) check_missing_barriers(regions);
}

void KernelVerifier::check_strand_races(uint32_t parallel, const Regions& regions,
                                        const std::map<uint32_t, uint32_t>& mapped,
                                        const std::vector<uint32_t>& home) {
  std::vector<Section> sections;
  for (uint32_t at = parallel + 1; k_.code[at].op == Op::warps; at = info_.match[at] + 1)
    sections.push_back(section_at(at));
  size_t n = sections.size();
  // Sections that anything could order stand in one set.
  std::vector<size_t> set(n);
  std::iota(set.begin(), set.end(), size_t{0});
  auto find = [&](size_t s) {
    while (set[s] != s) s = set[s] = set[set[s]];
    return s;
  };
  auto join = [&](size_t a, size_t b) { set[find(a)] = find(b); };

  std::map<uint32_t, std::vector<size_t>> signals, waits;  // by mbarriers
  std::optional<size_t> other_sync;
  std::vector<uint8_t> syncs(n, 0);
  std::vector<std::map<uint32_t, std::vector<Touch>>> touches(n);  // by tile
  for (size_t s = 0; s < n; ++s)
    for (uint32_t pc = sections[s].pc; pc < info_.match[sections[s].pc]; ++pc) {
      const Inst& inst = k_.code[pc];
      const OpInfo& op = op_info(inst.op);
      for (Ref r : k_.args(inst)) {
        if (!r.is_access()) continue;
        uint32_t base = k_.accesses[r.index()].base;
        if (k_.values[base].type.space != Space::mbar) continue;
        uint32_t root = regions.root(base);
        if (auto it = mapped.find(root); it != mapped.end()) root = it->second;
        (inst.op == Op::mbar_wait ? waits : signals)[root].push_back(s);
        syncs[s] |= inst.op == Op::mbar_wait;
      }
      if (synchronises(op)) {
        if (other_sync) join(*other_sync, s);
        other_sync = s;
        syncs[s] = 1;
      }
      each_touch(k_, regions, pc, [&](Touch t, size_t) {
        auto& list = touches[s][regions.root(t.region.base)];
        if (list.size() < kMostTouches) list.push_back(std::move(t));
      });
    }
  for (auto& [barrier, from] : signals)
    for (size_t to : waits[barrier])
      for (size_t s : from) join(s, to);

  auto report_pair = [&](const Touch& a, const Touch& b, uint32_t tile, bool certain) {
    size_t before = out_.size();
    report_at(b.pc, certain ? diag::strand_race : diag::strand_race_possible,
              fmt::format("{} is {} here and {} in another strand, with nothing between them",
                          shown(tile), b.write ? "written" : "read", a.write ? "written" : "read"),
              "`mbar.arrive` after the one, `mbar.wait` before the other");
    if (out_.size() > before)
      out_.back().notes.push_back({"the other access", span_of(k_.code[a.pc])});
  };
  for (size_t x = 0; x < n; ++x)
    for (size_t y = x + 1; y < n; ++y) {
      if (find(x) == find(y)) continue;
      for (auto& [tile, list] : touches[x]) {
        auto it = touches[y].find(tile);
        if (it == touches[y].end()) continue;
        const Touch *one = nullptr, *other = nullptr;
        bool certain = false;
        for (const Touch& a : list)
          for (const Touch& b : it->second) {
            if (!a.write && !b.write) continue;
            Overlap o = overlap(k_, a.region, b.region);
            if (o == Overlap::never || certain || (one && o != Overlap::always)) continue;
            one = &a, other = &b, certain = o == Overlap::always;
          }
        if (one) report_pair(*one, *other, tile, certain);
      }
    }
  // Strands of one section that write one place: nothing in its index tells them apart.
  for (size_t s = 0; s < n; ++s) {
    if (sections[s].strands() < 2 || syncs[s]) continue;
    for (auto& [tile, list] : touches[s])
      for (const Touch& t : list) {
        bool own = false;
        for (const Index& i : t.region.indices)
          for (Ref r : {i.start, i.stop}) own |= r.is_value() && home[r.index()] == sections[s].pc;
        if (!t.write || own) continue;
        report_at(t.pc, diag::strand_race,
                  fmt::format("{} strands write this part of {}, with nothing between them",
                              sections[s].strands(), shown(tile)),
                  "index it by the strand's number: `by n (%w)`");
        break;
      }
  }
}

// In straight-line code, between two instructions that order the strand's threads.
void KernelVerifier::check_missing_barriers(const Regions& regions) {
  std::vector<Touch> since;
  std::vector<int64_t> layout_of(k_.values.size(), -1);
  auto drop_if = [&](uint32_t v) {
    std::erase_if(since, [&](const Touch& t) { return mentions(t.region, v); });
  };
  // The written layout of the register side of a load or store.
  auto layout = [&](uint32_t pc) {
    const Inst& inst = k_.code[pc];
    if (inst.op == Op::load) return k_.attr(inst, AttrTag::layout).value_or(-1);
    if (inst.op == Op::store && k_.args(inst)[0].is_value())
      return layout_of[k_.args(inst)[0].index()];
    return int64_t{-1};
  };
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    bool orders = inst.op == Op::barrier || inst.op == Op::barrier_reduce ||
                  inst.op == Op::barrier_named || inst.op == Op::mbar_wait ||
                  inst.op == Op::grid_sync || inst.op == Op::cluster_sync ||
                  op.form == Form::control;
    if (orders) since.clear();
    std::vector<Touch> now;
    each_touch(k_, regions, pc, [&](Touch t, size_t) { now.push_back(std::move(t)); });
    for (const Touch& b : now)
      for (const Touch& a : since) {
        if (!a.write && !b.write) continue;
        if (overlap(k_, a.region, b.region) != Overlap::always) continue;
        bool same_threads = layout(a.pc) >= 0 && layout(a.pc) == layout(b.pc) &&
                            a.region.indices == b.region.indices;
        if (same_threads) continue;
        size_t before = out_.size();
        report_at(pc, diag::missing_barrier,
                  fmt::format("{} is {} here and was {} before, with no barrier between them",
                              shown(b.region.base), b.write ? "written" : "read",
                              a.write ? "written" : "read"),
                  "`barrier` between them, or one written layout on both register tiles");
        if (out_.size() > before)
          out_.back().notes.push_back({"the access before", span_of(k_.code[a.pc])});
        break;
      }
    for (Touch& t : now)
      if (since.size() < kMostTouches) since.push_back(std::move(t));
    for (Ref r : k_.results(inst)) {
      drop_if(r.index());
      layout_of[r.index()] = k_.attr(inst, AttrTag::layout).value_or(-1);
    }
  }
}

}  // namespace tess
