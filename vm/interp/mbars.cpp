#include "vm/interp/mbars.h"

#include <fmt/format.h>

#include "isa/diag/run.h"
#include "vm/interp/memory_ops.h"
#include "vm/interp/unit.h"

namespace tess::interp {

MbarOperand mbar_operand(const Binder& b, size_t i) {
  if (!b.has_arg(i)) return {};
  AccessPlan plan = b.access(i);
  return {plan.base, plan.position[0].start};
}

MbarUse use_of(Strand& s, const MbarOperand& o) {
  MbarUse u;
  u.set = s.mbars[o.value];
  u.use = read_int(s, o.use);
  if (u.use < 0) return u;
  uint64_t n = u.set->slots.size(), use = static_cast<uint64_t>(u.use);
  u.slot = &u.set->slots[use % n];
  u.phase = use / n;
  return u;
}

std::string use_text(const Strand& s, const MbarUse& u) {
  std::string of_block;
  if (u.set->rank != s.home->rank)
    of_block = fmt::format(" of block {} of the cluster", u.set->rank);
  return fmt::format("`{}[{}]`{}", memory_name(s, u.set->value), u.use, of_block);
}

Flow declare(Strand& s, MbarSet& set) {
  return check_bytes(s, reinterpret_cast<const uint8_t*>(&set), 1, Touch::write, by_strand(s),
                     set.value);
}

Flow want_current(Strand& s, const MbarUse& u, const char* what) {
  // A peer's barriers are there once it has declared them, which something must order.
  if (u.set->rank != s.home->rank &&
      check_bytes(s, reinterpret_cast<const uint8_t*>(u.set), 1, Touch::atomic, by_strand(s),
                  u.set->value) != Flow::next)
    return Flow::trap;
  if (!u.slot)
    return trap(s, diag::run_mbar_phase,
                fmt::format("{} {}: a negative use can only be waited for", what, use_text(s, u)));
  if (u.slot->phase == u.phase) return Flow::next;
  return trap(s, diag::run_mbar_phase,
              fmt::format("{} {}: use {} is phase {} of slot {}, which is in phase {}", what,
                          use_text(s, u), u.use, u.phase,
                          static_cast<uint64_t>(u.use) % u.set->slots.size(), u.slot->phase));
}

Flow want_arrival(Strand& s, const MbarUse& u, const char* what) {
  if (want_current(s, u, what) != Flow::next) return Flow::trap;
  if (u.slot->arrived < u.set->count) return Flow::next;
  return trap(s, diag::run_mbar_phase,
              fmt::format("{} {}: all {} arrivals of phase {} have come already", what,
                          use_text(s, u), u.set->count, u.phase));
}

namespace {

void end_phase_if_complete(const MbarUse& u) {
  MbarSlot& slot = *u.slot;
  if (slot.arrived != u.set->count || slot.missing != 0) return;
  ++slot.phase;
  slot.arrived = 0;
  if (slot.agent < slot.sum.seen.size()) {
    uint32_t& copies = slot.sum.seen[slot.agent];
    copies = std::max(copies, static_cast<uint32_t>(slot.phase));
  }
  slot.done = slot.sum;
}

}  // namespace

void arrive(const MbarUse& u, const Moment& knows, uint32_t arrivals) {
  u.slot->sum.join(knows);
  u.slot->arrived += arrivals;
  end_phase_if_complete(u);
}
void expect(const MbarUse& u, int64_t bytes) {
  u.slot->missing += bytes;
  end_phase_if_complete(u);
}

}  // namespace tess::interp
