// Kernels of copy.async and its groups, and of copy.bulk.
#include <fmt/format.h>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/transfers.h"

namespace tess::interp {
namespace {

struct CopyAsync {
  AccessPlan to, from;
  MaskView mask;
  int64_t n = 0;
  uint64_t pad = 0;
  bool report = false;
};
Flow run_copy_async(Strand& s, const CopyAsync& x) {
  Transfer t;
  t.pad = x.pad;
  if (resolve_side(s, x.to, t.to, t.to_gather) != Flow::next ||
      resolve_side(s, x.from, t.from, t.from_gather) != Flow::next ||
      want_inside(s, t.to, x.to.base) != Flow::next)
    return Flow::trap;
  if (x.report && !x.mask && !t.from.inside()) return report_bounds(s, x.from.base);
  if (x.mask) {
    t.mask.resize(static_cast<size_t>(x.n));
    for (int64_t i = 0; i < x.n; ++i) t.mask[static_cast<size_t>(i)] = x.mask.at(s, i);
  }
  Dated dated = by_work(s, Agent::copy);
  if ((!x.mask && want_written(s, t.from, x.from.base) != Flow::next) ||
      check_region(s, t.from, Touch::read, dated, x.from.base) != Flow::next ||
      check_region(s, t.to, Touch::write, dated, x.to.base) != Flow::next)
    return Flow::trap;
  Flight f;
  f.kind = Agent::copy;
  f.clock = s.copies.now;
  f.transfers.push_back(std::move(t));
  return launch_flight(s, std::move(f));
}

struct Nothing {};
Flow run_commit(Strand& s, const Nothing&) {
  close_group(s.copies);
  return Flow::next;
}
Flow run_copy_wait(Strand& s, const Operand& n) {
  uint32_t clock = clock_before(s.copies, read_int(s, n));
  if (!clock || !s.tracked) return Flow::next;
  knows_done(s, Agent::copy, clock);
  forget_groups(s.copies, clock);
  return complete_groups(s, Agent::copy, clock);
}

Flow run_copy_arrive(Strand& s, const MbarOperand& o) {
  MbarUse u = use_of(s, o);
  if (want_arrival(s, u, "`copy.async.arrive` at") != Flow::next) return Flow::trap;
  Flight f;
  f.arrival = true;
  f.clock = s.copies.now++;  // later copies are dated after it
  f.knows.seen.assign(s.knows.seen.size(), 0);
  f.knows.seen[s.agent + static_cast<uint32_t>(Agent::copy)] = f.clock;
  f.signals.push_back({u, 0});
  return launch_flight(s, std::move(f));
}

// --- copy.bulk

// One dense run at multiples of 16 bytes, wholly in bounds.
Flow want_bulk(Strand& s, const Region& r, uint32_t name) {
  const char* problem = nullptr;
  uint64_t next = 0, first = 0;
  bool begun = false;
  walk(r, [&](const Run& run) {
    if (run.n > 1 && (run.step != r.type.bits || run.tile_step != 1)) problem = "has gaps";
    if (begun && run.bit != next) problem = "has gaps";
    if (!begun) first = run.bit;
    begun = true;
    next = run.bit + static_cast<uint64_t>(run.n) * r.type.bits;
  });
  if (!r.inside()) problem = "is partly out of bounds";
  else if (!problem && (next - first) % 128) problem = "is no multiple of 16 bytes";
  else if (!problem && (reinterpret_cast<uintptr_t>(r.base) * 8 + first) % 128)
    problem = "does not begin at a multiple of 16 bytes";
  if (!problem) return Flow::next;
  return trap(s, diag::run_bulk,
              fmt::format("this part of `{}` {}", memory_name(s, name), problem));
}

Flow resolve_bulk(Strand& s, const AccessPlan& to, const AccessPlan& from, Transfer& t) {
  bool ok = resolve_side(s, to, t.to, t.to_gather) == Flow::next &&
            resolve_side(s, from, t.from, t.from_gather) == Flow::next &&
            want_bulk(s, t.to, to.base) == Flow::next &&
            want_bulk(s, t.from, from.base) == Flow::next &&
            want_written(s, t.from, from.base) == Flow::next;
  return ok ? Flow::next : Flow::trap;
}

Flow run_bulk_load(Strand& s, const SignalledLoad& x) {
  Transfer t;
  if (resolve_bulk(s, x.to, x.from, t) != Flow::next) return Flow::trap;
  return issue_load(s, x, t.to, t);
}

Flow run_bulk_store(Strand& s, const SignalledLoad& x) {
  Transfer t;
  if (resolve_bulk(s, x.to, x.from, t) != Flow::next ||
      check_region(s, t.from, Touch::read, by_work(s, Agent::bulk_read), x.from.base) !=
          Flow::next ||
      check_region(s, t.to, Touch::write, by_work(s, Agent::bulk_write), x.to.base) != Flow::next)
    return Flow::trap;
  Flight f;
  f.kind = Agent::bulk_write;
  f.clock = s.bulk.now;
  f.transfers.push_back(std::move(t));
  return launch_flight(s, std::move(f));
}

Flow run_bulk_to_peer(Strand& s, const SignalledLoad& x) {
  Transfer t;
  MbarUse use = use_of(s, x.mbar);
  if (resolve_bulk(s, x.to, x.from, t) != Flow::next ||
      want_current(s, use, "`copy.bulk` signals") != Flow::next)
    return Flow::trap;
  Dated dated = by_mbar(use.slot->agent, use.phase);
  if (check_region(s, t.from, Touch::read, dated, x.from.base) != Flow::next ||
      check_region(s, t.to, Touch::write, dated, x.to.base) != Flow::next)
    return Flow::trap;
  Flight f;
  f.signals.push_back({use, bytes_of(t.to)});
  f.transfers.push_back(std::move(t));
  return launch_flight(s, std::move(f));
}

}  // namespace

KERNEL(copy_async) {
  CopyAsync x;
  x.to = b.access(0);
  x.from = b.access(1);
  Shape tile = shape_of(x.to);
  x.n = tile.elements();
  if (b.has_arg(2)) x.mask = MaskView(b.arg(2), tile);
  x.pad = pad_carrier(b, x.to.type);
  x.report = b.options().report_out_of_bounds;
  b.emit<run_copy_async>(x);
}
KERNEL(copy_async_commit) { b.emit<run_commit>(Nothing{}); }
KERNEL(copy_async_wait) { b.emit<run_copy_wait>(b.arg(0)); }
KERNEL(copy_async_arrive) { b.emit<run_copy_arrive>(mbar_operand(b, 0)); }

KERNEL(copy_bulk) {
  SignalledLoad x;
  x.to = b.access(0);
  x.from = b.access(1);
  x.mbar = mbar_operand(b, 2);
  if (b.has_arg(3)) x.mask = b.arg(3);
  bool from_global = x.from.base_type.space == Space::global;
  if (from_global) b.emit<run_bulk_load>(x);
  else if (x.mbar) b.emit<run_bulk_to_peer>(x);
  else b.emit<run_bulk_store>(x);
}

}  // namespace tess::interp
