#include "vm/interp/transfers.h"

#include <fmt/format.h>

#include "isa/diag/run.h"

namespace tess::interp {

Flow resolve_side(Strand& s, const AccessPlan& plan, Region& r, std::vector<int32_t>& gather) {
  if (resolve(s, plan, r) != Flow::next) return Flow::trap;
  if (r.gather) {
    gather.assign(r.gather, r.gather + r.n[r.gather_dim]);
    r.gather = gather.data();
  }
  return Flow::next;
}

Flow want_inside(Strand& s, const Region& r, uint32_t name) {
  if (r.inside()) return Flow::next;
  return trap(s, diag::run_copy_bounds,
              fmt::format("the copy reaches outside of `{}`", memory_name(s, name)));
}

Flow want_written(Strand& s, const Region& r, uint32_t name) {
  if (!r.written) return Flow::next;
  bool known = true;
  walk(r, [&](const Run& run) { known = known && run_written(*r.written, r.type, run); });
  return known ? Flow::next : report_unwritten(s, name);
}

int64_t bytes_of(const Region& box) { return (box.elements() * box.type.bits + 7) / 8; }

void close_group(Work& w) { w.groups.push_back(w.now++); }
uint32_t clock_before(const Work& w, int64_t n) {
  int64_t closed = static_cast<int64_t>(w.groups.size());
  return n < closed ? w.groups[static_cast<size_t>(closed - 1 - n)] : 0;
}
void forget_groups(Work& w, uint32_t clock) {
  std::erase_if(w.groups, [&](uint32_t group) { return group <= clock; });
}
void knows_done(Strand& s, Agent kind, uint32_t clock) {
  uint32_t& known = s.knows.seen[s.agent + static_cast<uint32_t>(kind)];
  known = std::max(known, clock);
}

Flow issue_load(Strand& s, const SignalledLoad& x, Region to, Transfer t) {
  Unit& u = *s.home->unit;
  uint32_t own = s.home->rank, blocks = static_cast<uint32_t>(u.blocks.size());
  uint64_t mask = uint64_t{1} << own;
  if (x.mask) {
    mask = static_cast<uint32_t>(read_int(s, x.mask));
    if (!mask || mask >> blocks)
      return trap(s, diag::run_cluster_rank,
                  fmt::format("multicast mask 0x{:x} in a cluster of {}", mask, blocks));
  }
  MbarUse mine = use_of(s, x.mbar);
  int64_t bytes = bytes_of(to);
  Flight f;
  bool read_checked = false;
  for (uint32_t rank = 0; rank < blocks; ++rank) {
    if (!(mask >> rank & 1)) continue;
    Block& peer = *u.blocks[rank];
    MbarUse use = mine;
    use.set = peer.mbars[mine.set->value].get();
    if (mine.slot)
      use.slot = &use.set->slots[static_cast<size_t>(mine.slot - mine.set->slots.data())];
    std::string what =
        fmt::format("`{}` signals", op_info(s.launch->program->inst(s.running).op).name);
    if (want_current(s, use, what.c_str()) != Flow::next) return Flow::trap;
    Dated dated = by_mbar(use.slot->agent, use.phase);
    Transfer part = t;
    part.to = to;
    part.to.base = peer.shared.get() + (to.base - s.shared);
    if (to.written)
      part.to.written = &peer.written[static_cast<size_t>(to.written - s.shared_written)];
    if (!read_checked && check_region(s, t.from, Touch::read, dated, x.from.base) != Flow::next)
      return Flow::trap;
    read_checked = true;
    if (check_region(s, part.to, Touch::write, dated, x.to.base) != Flow::next) return Flow::trap;
    if (rank == own) expect(use, bytes);
    f.signals.push_back({use, bytes});
    f.transfers.push_back(std::move(part));
  }
  return launch_flight(s, std::move(f));
}

}  // namespace tess::interp
