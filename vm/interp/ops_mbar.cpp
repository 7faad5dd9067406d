// Kernels of mbarriers.
#include <fmt/format.h>

#include "isa/diag/run.h"
#include "vm/interp/memory_ops.h"
#include "vm/interp/unit.h"

namespace tess::interp {
namespace {

struct Declared {
  uint32_t value;
};
// The slots are made when the block begins (unit.cpp): peers may signal them from then on.
Flow run_mbar(Strand& s, const Declared& x) {
  s.mbars[x.value] = s.home->mbars[x.value].get();
  return declare(s, *s.mbars[x.value]);
}

Flow run_arrive(Strand& s, const MbarOperand& o) {
  MbarUse u = use_of(s, o);
  if (want_arrival(s, u, "`mbar.arrive` at") != Flow::next) return Flow::trap;
  Moment knows;
  release(s, knows);
  arrive(u, knows);
  return Flow::next;
}

struct Expect {
  MbarOperand mbar;
  Operand bytes;
};
Flow run_expect(Strand& s, const Expect& x) {
  MbarUse u = use_of(s, x.mbar);
  if (want_current(s, u, "`mbar.expect` at") != Flow::next) return Flow::trap;
  int64_t bytes = read_int(s, x.bytes);
  constexpr int64_t kMost = (1 << 20) - 1;  // what the hardware's counter holds
  if (bytes < 0 || bytes > kMost)
    return trap(s, diag::run_mbar_bytes,
                fmt::format("`mbar.expect` of {} bytes; 0 to {} can be expected", bytes, kMost));
  expect(u, bytes);
  return Flow::next;
}

// The phase before the current one is over, the current one is waited for. Others cannot be told by
// a parity bit, which is what the hardware has.
Flow run_wait(Strand& s, const MbarOperand& o) {
  MbarUse u = use_of(s, o);
  if (!u.slot) return Flow::next;
  if (u.slot->phase == u.phase + 1) {
    acquire(s, u.slot->done);
    return Flow::next;
  }
  if (u.slot->phase != u.phase)
    return trap(
        s, diag::run_mbar_phase,
        fmt::format("`mbar.wait` for {}: use {} is phase {} of slot {}, which is in phase {}; only "
                    "the current phase and the one before it can be waited for",
                    use_text(s, u), u.use, u.phase,
                    static_cast<uint64_t>(u.use) % u.set->slots.size(), u.slot->phase));
  s.waits_for = fmt::format("{}, use {} (slot {}, phase {}): {} of {} arrivals", use_text(s, u),
                            u.use, static_cast<uint64_t>(u.use) % u.set->slots.size(), u.phase,
                            u.slot->arrived, u.set->count);
  if (u.slot->missing > 0) s.waits_for += fmt::format(", {} bytes are missing", u.slot->missing);
  if (u.slot->missing < 0)
    s.waits_for += fmt::format(", {} bytes came that nothing expects", -u.slot->missing);
  return Flow::suspend;
}

}  // namespace

KERNEL(mbar) { b.emit<run_mbar>(Declared{b.result_value()}); }
KERNEL(mbar_arrive) { b.emit<run_arrive>(mbar_operand(b, 0)); }
KERNEL(mbar_expect) { b.emit<run_expect>(Expect{mbar_operand(b, 0), b.arg(1)}); }
KERNEL(mbar_wait) { b.emit<run_wait>(mbar_operand(b, 0)); }

}  // namespace tess::interp
