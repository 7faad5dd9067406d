// mbar, mbar.arrive, mbar.expect, mbar.wait, copy.async.arrive.
//
// An arrival of a strand is one arrival of its first thread, behind a barrier of all its threads:
// whatever they did before is ordered before it.
#include "jit/lower/mbar.h"

#include <bit>

#include "jit/lower/copy_guard.h"
#include "jit/lower/guard.h"

namespace tess::jit {

BarrierUse barrier_use(Lowering& l, size_t arg) {
  Emit& e = l.emit();
  const Access& a = l.kernel().accesses[l.arg_ref(arg).index()];
  MemoryView v = l.view_of(a.base);
  BarrierUse b;
  b.slots = static_cast<uint32_t>(l.kernel().values[a.base].type.shape[0]);
  b.remote = v.remote;
  b.use = l.index_of(l.kernel().indices_of(a)[0].start);
  Operand slot = b32(0);
  if (b.slots > 1) {
    Operand slots = Operand::imm(b.slots, b.use.type);
    slot = e.op(BlockOp::urem, {b.use, slots});
    if (slot.type == RegClass::b64) slot = e.trunc(slot);
  }
  b.address = e.add(v.base, e.mul(slot, b32(8)));
  return b;
}

Operand phase_parity(Lowering& l, const BarrierUse& b) {
  Emit& e = l.emit();
  Operand phase = e.op(BlockOp::udiv, {b.use, Operand::imm(b.slots, b.use.type)});
  if (phase.type == RegClass::b64) phase = e.trunc(phase);
  return e.and_(phase, b32(1));
}

void expect_bytes(Lowering& l, const BarrierUse& b, Operand bytes) {
  l.emit().form("mbarrier.expect_tx.relaxed.cta.shared::cta.b64", {b.address, b32(0), bytes});
}

Operand in_another_phase(Lowering& l, const BarrierUse& b, Operand asked) {
  if (!l.options().guard) return pred(false);
  Emit& e = l.emit();
  Operand bad = e.slt(b.use, Operand::imm(0, b.use.type));
  if (!b.remote) {
    // Said to be over: the slot is in a phase of the other parity.
    Operand over = e.form1("mbarrier.test_wait.parity.shared::cta.b64",
                           {b.address, b32(0), phase_parity(l, b)});
    bad = e.or_(bad, e.and_(asked, e.ne(over, b32(0))));
  }
  fault_if(l, bad, diag::run_mbar_phase);
  return bad;
}

namespace {

bool in_cluster(const Lowering& l) { return l.kernel().cluster > 1; }

void arrive(Lowering& l, const BarrierUse& b) {
  unless(l, in_another_phase(l, b), [&] {
    l.emit().form(b.remote || in_cluster(l) ? "mbarrier.arrive.release.cluster.shared::cluster.b64"
                                            : "mbarrier.arrive.shared::cta.b64",
                  {b.address, b32(0)});
  });
}

constexpr uint64_t kMostBytes = (1 << 20) - 1;  // what a barrier can be told to expect

}  // namespace

// Initialised once, before anybody can arrive; neighbours share the barrier that says so.
LOWER(mbar) {
  Emit& e = l.emit();
  uint32_t value = l.result_value();
  MemoryView v;
  v.space = l.result_type().space;
  v.root = value;
  v.base = e.shared_address(l.shared_place(value));
  v.alignment = 8;
  int64_t slots = l.result_type().shape[0], threads = int64_t{l.kernel().warps} * 32;
  Operand count = b32(static_cast<uint64_t>(l.attr(AttrTag::count).value_or(1)));
  for (int64_t first = 0; first < slots; first += threads) {
    Operand slot = e.add(l.thread(), b32(static_cast<uint64_t>(first)));
    e.begin_if(e.ult(slot, b32(static_cast<uint64_t>(slots))));
    e.form("mbarrier.init.shared::cta.b64", {e.add(v.base, e.mul(slot, b32(8))), b32(0), count});
    e.end();
  }
  l.set_view(0, std::move(v));
  Op next = l.pc() + 1 < l.kernel().code.size() ? l.kernel().code[l.pc() + 1].op : Op::end;
  if (next == Op::mbar) return;
  if (l.has_arch(90)) e.form("fence.mbarrier_init.release.cluster", {});
  if (in_cluster(l)) {
    e.form("barrier.cluster.arrive.release.aligned", {});
    e.form("barrier.cluster.wait.acquire.aligned", {});
  } else if (next != Op::parallel) {
    l.barrier();
  }
}

LOWER(mbar_wait) {
  Emit& e = l.emit();
  BarrierUse b = barrier_use(l, 0);
  Operand negative = e.slt(b.use, Operand::imm(0, b.use.type));
  if (negative.is_imm() && negative.bits) return;
  Operand parity = phase_parity(l, b);
  if (!negative.is_imm()) e.begin_if(e.not_(negative));
  // Where the loop spins, no lane may spin for what another lane of its warp has still to do.
  if (!l.has_arch(90) && !l.strand().one_thread) e.form("bar.warp.sync", {b32(0xffffffff)});
  Patience patience(l);
  e.begin_loop();
  std::string opcode = !l.has_arch(90) ? "mbarrier.test_wait.parity.shared::cta.b64"
                       : in_cluster(l) ? "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64"
                                       : "mbarrier.try_wait.parity.shared::cta.b64";
  Operand done = e.form1(opcode, {b.address, b32(0), parity});
  e.control(BlockOp::break_if, {e.ne(done, b32(0))});
  patience.give_up_if_spent();
  e.begin_latch();
  e.end();
  if (!negative.is_imm()) e.end();
}

LOWER(mbar_arrive) {
  BarrierUse b = barrier_use(l, 0);
  l.publish();
  l.barrier();
  in_first_thread(l, [&] { arrive(l, b); });
}

LOWER(mbar_expect) {
  BarrierUse b = barrier_use(l, 0);
  Operand bytes = l.scalar(1);
  in_first_thread(l, [&] {
    Operand bad = in_another_phase(l, b);
    if (l.options().guard) {
      Emit& e = l.emit();
      Operand too_many = e.not_(e.ult(bytes, b32(kMostBytes + 1)));
      fault_if(l, too_many, diag::run_mbar_bytes);
      bad = e.or_(bad, too_many);
    }
    unless(l, bad, [&] { expect_bytes(l, b, bytes); });
  });
}

// Each thread makes the phase wait for its own copies as well (one more arrival, and that arrival
// when they are complete), then the strand arrives once.
LOWER(copy_async_arrive) {
  BarrierUse b = barrier_use(l, 0);
  l.publish();
  l.emit().form("cp.async.mbarrier.arrive.shared::cta.b64", {b.address, b32(0)});
  l.barrier();
  in_first_thread(l, [&] { arrive(l, b); });
}

}  // namespace tess::jit
