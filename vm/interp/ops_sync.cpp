// Kernels of locks and waits, and of the barriers inside of a strand: its instructions run one
// after another, so that those hold by themselves.
#include <fmt/format.h>

#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/elementwise.h"
#include "vm/interp/memory_ops.h"

namespace tess::interp {
namespace {

struct Nothing {};
Flow run_nothing(Strand&, const Nothing&) { return Flow::next; }

struct Word {
  AccessPlan plan;
  Operand value;
  AttrTag compare = AttrTag::eq;
  bool relaxed = false;
};

// The one element of the access as a code, and where it is; traps if it is out of bounds.
Flow find_word(Strand& s, const Word& x, uint8_t*& place) {
  Region r;
  if (resolve(s, x.plan, r) != Flow::next) return Flow::trap;
  place = nullptr;
  walk(r, [&](const Run& run) { place = r.base + run.bit / 8; });
  if (place) return touch(s, r, Touch::atomic, x.plan.base);
  return trap(s, diag::run_sync_bounds,
              fmt::format("`{}` is indexed out of bounds", memory_name(s, x.plan.base)));
}

Flow run_lock(Strand& s, const Word& x) {
  uint8_t* place;
  if (find_word(s, x, place) != Flow::next) return Flow::trap;
  if (carrier_code(dt::i32_, place, 0) != 0) {
    s.waits_for = fmt::format("`lock {}` is held", memory_name(s, x.plan.base));
    return Flow::suspend;
  }
  set_carrier(dt::i32_, place, 0, 1);
  if (s.tracked) acquire_word(s, place, false);
  ++s.launch->memory_changes;
  return Flow::next;
}
Flow run_unlock(Strand& s, const Word& x) {
  uint8_t* place;
  if (find_word(s, x, place) != Flow::next) return Flow::trap;
  if (carrier_code(dt::i32_, place, 0) == 0)
    return trap(s, diag::run_unlock,
                fmt::format("`unlock` of `{}`, which is not locked", memory_name(s, x.plan.base)));
  set_carrier(dt::i32_, place, 0, 0);
  if (s.tracked) release_word(s, place, false);
  ++s.launch->memory_changes;
  return Flow::next;
}

bool holds(AttrTag compare, int order) {
  switch (compare) {
    case AttrTag::eq:
      return order == 0;
    case AttrTag::ne:
      return order != 0;
    case AttrTag::lt:
      return order < 0;
    case AttrTag::le:
      return order <= 0;
    case AttrTag::gt:
      return order > 0;
    default:
      return order >= 0;
  }
}
Flow run_wait(Strand& s, const Word& x) {
  uint8_t* place;
  if (find_word(s, x, place) != Flow::next) return Flow::trap;
  DType t = x.value.type;
  uint64_t found = carrier_code(t, place, 0), wanted = carrier_code(t, x.value.at(s), 0);
  if (holds(x.compare, compare_codes(t, found, wanted))) {
    if (s.tracked) acquire_word(s, place, x.relaxed);
    return Flow::next;
  }
  auto text = [&](uint64_t code) {
    int64_t v = decode_int(t, code);
    return t.is_signed() ? fmt::format("{}", v) : fmt::format("{}", static_cast<uint64_t>(v));
  };
  s.waits_for = fmt::format("`{}` {} {}, it is {}", memory_name(s, x.plan.base),
                            find_attr(x.compare)->name, text(wanted), text(found));
  return Flow::suspend;
}

// Round n is over when every block has arrived n times.
Flow run_grid_sync(Strand& s, const Nothing&) {
  LaunchState& launch = *s.launch;
  if (!launch.program->cooperative)
    return trap(s, diag::run_grid_sync, "`grid.sync` in a kernel that is not `cooperative`");
  if (!s.at_grid_sync) {
    s.at_grid_sync = true;
    ++s.grid_rounds;
    ++launch.grid_arrivals;
    ++launch.memory_changes;
    if (s.tracked) release_word(s, &launch.grid_arrivals, false);
  }
  if (launch.grid_arrivals < s.grid_rounds * launch.blocks) {
    s.waits_for =
        fmt::format("`grid.sync`, where {} of {} blocks are",
                    launch.grid_arrivals - (s.grid_rounds - 1) * launch.blocks, launch.blocks);
    return Flow::suspend;
  }
  s.at_grid_sync = false;
  if (s.tracked) acquire_word(s, &launch.grid_arrivals, false);
  return Flow::next;
}

StripError copy_strip(const StripArgs& args) {
  std::memmove(args.d, args.in[0],
               args.n * static_cast<size_t>(carrier_bytes(carrier_of(args.result))));
  return StripError::none;
}

Word word(Binder& b) {
  Word x;
  x.plan = b.access(0);
  if (b.n_args() > 1) x.value = b.arg(1);
  for (AttrTag tag : {AttrTag::eq, AttrTag::ne, AttrTag::lt, AttrTag::le, AttrTag::gt, AttrTag::ge})
    if (b.has(tag)) x.compare = tag;
  x.relaxed = b.has(AttrTag::relaxed);
  return x;
}

}  // namespace

KERNEL(barrier) { b.emit<run_nothing>(Nothing{}); }
// The strand holds one value of a scalar, so the combination is that value.
KERNEL(barrier_reduce) {
  Micro m;
  m.fn = copy_strip;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = m.d.type;
  b.elementwise(m);
}
KERNEL(lock) { b.emit<run_lock>(word(b)); }
KERNEL(unlock) { b.emit<run_unlock>(word(b)); }
KERNEL(wait) { b.emit<run_wait>(word(b)); }
KERNEL(grid_sync) { b.emit<run_grid_sync>(Nothing{}); }
KERNEL(inputs_wait) { b.emit<run_nothing>(Nothing{}); }
KERNEL(outputs_ready) { b.emit<run_nothing>(Nothing{}); }

}  // namespace tess::interp
