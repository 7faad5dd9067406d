// Kernels of TMA, its groups, and red.async.
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/transfers.h"

namespace tess::interp {
namespace {

Flow run_tma_load(Strand& s, const SignalledLoad& x) {
  Transfer t;
  if (resolve_side(s, x.to, t.to, t.to_gather) != Flow::next ||
      resolve_side(s, x.from, t.from, t.from_gather) != Flow::next ||
      want_inside(s, t.to, x.to.base) != Flow::next ||
      want_written(s, t.from, x.from.base) != Flow::next)
    return Flow::trap;
  return issue_load(s, x, t.to, t);
}

struct TmaStore {
  AccessPlan to, from;
  std::optional<Op> combine;
};
Flow run_tma_store(Strand& s, const TmaStore& x) {
  Transfer t;
  t.combine = x.combine;
  if (resolve_side(s, x.to, t.to, t.to_gather) != Flow::next ||
      resolve_side(s, x.from, t.from, t.from_gather) != Flow::next ||
      want_inside(s, t.from, x.from.base) != Flow::next ||
      want_written(s, t.from, x.from.base) != Flow::next ||
      (x.combine && want_written(s, t.to, x.to.base) != Flow::next))
    return Flow::trap;
  Touch how = x.combine ? Touch::atomic : Touch::write;
  if (check_region(s, t.from, Touch::read, by_work(s, Agent::bulk_read), x.from.base) !=
          Flow::next ||
      check_region(s, t.to, how, by_work(s, Agent::bulk_write), x.to.base) != Flow::next)
    return Flow::trap;
  Flight f;
  f.kind = Agent::bulk_write;
  f.clock = s.bulk.now;
  f.transfers.push_back(std::move(t));
  return launch_flight(s, std::move(f));
}

struct Nothing {};
Flow run_commit(Strand& s, const Nothing&) {
  close_group(s.bulk);
  return Flow::next;
}
struct Wait {
  Operand n;
  bool read;
};
Flow run_wait(Strand& s, const Wait& x) {
  uint32_t clock = clock_before(s.bulk, read_int(s, x.n));
  if (!clock || !s.tracked) return Flow::next;
  knows_done(s, Agent::bulk_read, clock);
  if (!x.read) {
    knows_done(s, Agent::bulk_write, clock);
    forget_groups(s.bulk, clock);
  }
  return complete_groups(s, Agent::bulk_write, clock);
}

struct RedAsync {
  AccessPlan to;
  Operand value;
  MaskView value_at;
  int64_t n = 0;
  MbarOperand mbar;
  Op op{};
};
Flow run_red_async(Strand& s, const RedAsync& x) {
  Transfer t;
  t.combine = x.op;
  MbarUse use = use_of(s, x.mbar);
  if (resolve_side(s, x.to, t.to, t.to_gather) != Flow::next ||
      want_inside(s, t.to, x.to.base) != Flow::next ||
      want_current(s, use, "`red.async` signals") != Flow::next)
    return Flow::trap;
  if (check_region(s, t.to, Touch::atomic, by_mbar(use.slot->agent, use.phase), x.to.base) !=
      Flow::next)
    return Flow::trap;
  if (want_written(s, t.to, x.to.base) != Flow::next) return Flow::trap;
  size_t bytes = static_cast<size_t>(x.value.bytes());
  t.value.resize(static_cast<size_t>(x.n) * bytes);
  for (int64_t i = 0; i < x.n; ++i)
    std::memcpy(t.value.data() + static_cast<size_t>(i) * bytes,
                x.value.at(s) + static_cast<size_t>(x.value_at.offset(i)) * bytes, bytes);
  Flight f;
  f.signals.push_back({use, bytes_of(t.to)});
  f.transfers.push_back(std::move(t));
  return launch_flight(s, std::move(f));
}

std::optional<Op> combination(const Binder& b) {
  constexpr std::pair<AttrTag, Op> kOps[] = {
      {AttrTag::op_add, Op::atomic_add}, {AttrTag::op_min, Op::atomic_min},
      {AttrTag::op_max, Op::atomic_max}, {AttrTag::op_and, Op::atomic_and},
      {AttrTag::op_or, Op::atomic_or},   {AttrTag::op_xor, Op::atomic_xor}};
  for (auto [tag, op] : kOps)
    if (b.has(tag)) return op;
  return {};
}

}  // namespace

KERNEL(tma_load) {
  SignalledLoad x;
  x.to = b.access(0);
  x.from = b.access(1);
  x.mbar = mbar_operand(b, 2);
  if (b.has_arg(3)) x.mask = b.arg(3);
  b.emit<run_tma_load>(x);
}
KERNEL(tma_store) { b.emit<run_tma_store>(TmaStore{b.access(0), b.access(1), {}}); }
KERNEL(tma_reduce) { b.emit<run_tma_store>(TmaStore{b.access(0), b.access(1), combination(b)}); }
KERNEL(tma_commit) { b.emit<run_commit>(Nothing{}); }
KERNEL(tma_wait) { b.emit<run_wait>(Wait{b.arg(0), b.has(AttrTag::read)}); }
KERNEL(red_async) {
  RedAsync x;
  x.to = b.access(0);
  x.value = b.arg(1);
  Shape tile = shape_of(x.to);
  x.n = tile.elements();
  x.value_at = MaskView(x.value, tile);
  x.mbar = mbar_operand(b, 2);
  x.op = combination(b).value_or(Op::atomic_add);
  b.emit<run_red_async>(std::move(x));
}

}  // namespace tess::interp
