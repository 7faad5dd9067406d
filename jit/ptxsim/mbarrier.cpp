// mbarrier objects: phases of arrivals and transactions.
#include "isa/diag/sim.h"

#include <fmt/format.h>
#include "jit/ptxsim/async.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {

uint32_t cluster_address(const Located& at) {
  return (at.owner ? at.owner->rank + 1 : 1) << kRankShift | at.shared_address;
}

Mbarrier* find_mbarrier(Cluster& c, uint32_t address) {
  auto it = c.mbarriers.find(address);
  return it == c.mbarriers.end() ? nullptr : &it->second;
}

namespace {

constexpr int64_t kMaxTx = (1 << 20) - 1;
constexpr uint32_t kMaxCount = (1 << 20) - 1;

bool missing(Warp& w, const Op& op, int lane, uint32_t address) {
  report_fault(w, op, lane, diag::kSimMbarrier,
               fmt::format("there is no initialised mbarrier at {}",
                           describe_address(w, Space::shared, address)));
  return false;
}

// Completes the phase if everything has arrived.
void settle(Cluster& c, Warp& w, uint32_t address, Mbarrier& bar) {
  if (bar.pending != 0 || bar.tx != 0) return;
  if (c.race) race_mbarrier_phase(c, bar);
  ++bar.phase;
  bar.pending = bar.expected;
  progress(w);
  for (auto& b : c.blocks)
    for (Warp& x : b->warps) {
      uint32_t lanes = 0;
      for (uint32_t m = x.waiting; m; m &= m - 1) {
        int l = std::countr_zero(m);
        if (x.lane[l].wait == WaitKind::mbarrier && x.lane[l].wait_object == address)
          lanes |= 1u << l;
      }
      if (lanes) wake(x, lanes);
    }
}

}  // namespace

bool mbarrier_complete_tx(Cluster& c, Warp& w, const Op& op, int lane, uint32_t address,
                          int64_t bytes) {
  Mbarrier* bar = find_mbarrier(c, address);
  if (!bar) return missing(w, op, lane, address);
  bar->tx -= bytes;
  if (bar->tx > kMaxTx || bar->tx < -kMaxTx) {
    report_fault(w, op, lane, diag::kSimMbarrierBytes,
                 fmt::format("the transaction count {} is out of range", bar->tx));
    return false;
  }
  if (bytes > 0) settle(c, w, address, *bar);
  return true;
}

bool mbarrier_arrive(Cluster& c, Warp& w, const Op& op, int lane, uint32_t address, uint32_t count,
                     bool drop) {
  Mbarrier* bar = find_mbarrier(c, address);
  if (!bar) return missing(w, op, lane, address);
  if (count == 0 || count > bar->pending) {
    report_fault(w, op, lane, diag::kSimMbarrier,
                 fmt::format("{} arrivals, but the phase expects only {} more of {}", count,
                             bar->pending, bar->expected));
    return false;
  }
  bar->pending -= count;
  if (drop) bar->expected -= std::min(bar->expected, count);
  settle(c, w, address, *bar);
  return true;
}

bool mbarrier_time_out(Cluster& c) {
  bool any = false;
  for (auto& b : c.blocks)
    for (Warp& w : b->warps) {
      uint32_t lanes = 0;
      each_lane(w.waiting, [&](int l) {
        if (w.lane[l].wait == WaitKind::mbarrier) lanes |= 1u << l;
      });
      if (!lanes) continue;
      wake(w, lanes);
      each_lane(lanes, [&](int l) { w.lane[l].timed_out = true; });
      any = true;
    }
  return any;
}

std::string describe_mbarrier(const Warp& w, int lane) {
  const Lane& x = w.lane[lane];
  Mbarrier* bar = find_mbarrier(*w.cluster, uint32_t(x.wait_object));
  std::string where = describe_address(w, Space::shared, x.wait_object);
  if (!bar) return fmt::format("waits on the mbarrier in {}, which is gone", where);
  return fmt::format(
      "waits on the mbarrier in {} for phase {}: {} of {} arrivals and {} bytes are missing", where,
      bar->phase, bar->pending, bar->expected, bar->tx);
}

namespace {

bool touch(Warp& w, const Op& op, int l, const Located& at, bool write_only = false) {
  if (w.cluster->race && at.shadow)
    race_access(w, op, l, at, 8, write_only ? Touch::write : Touch::atomic, Scope::cluster);
  return true;
}

// k[0] 1 inval; a[2] count row
Flow init(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), 8, 8, Intent::write, at))
      return Flow::stop;
    uint32_t address = cluster_address(at);
    touch(w, op, l, at, true);
    if (op.k[0]) {
      if (!w.cluster->mbarriers.erase(address)) {
        missing(w, op, l, address);
        return Flow::stop;
      }
      std::memset(at.bytes, 0, 8);
      if (at.valid) std::memset(at.valid, 0, 8);
      continue;
    }
    uint32_t count = w.row32(op.a[2])[l];
    if (count == 0 || count > kMaxCount)
      return report_fault(w, op, l, diag::kSimMbarrier,
                          fmt::format("the arrival count {} is not in 1..{}", count, kMaxCount));
    for (auto& b : w.cluster->blocks)
      for (Warp& x : b->warps)
        for (uint32_t q = x.waiting; q; q &= q - 1) {
          int k = std::countr_zero(q);
          if (x.lane[k].wait == WaitKind::mbarrier && x.lane[k].wait_object == address)
            return report_fault(w, op, l, diag::kSimMbarrier,
                                "the object is initialised while a thread waits on it");
        }
    if (w.cluster->mbarriers.size() > (1u << 18))
      return report_fault(w, op, l, diag::kSimLimit, "too many mbarrier objects");
    Mbarrier bar;
    bar.expected = bar.pending = count;
    bar.init_site = w.op_index(op);
    bar.init_thread = int32_t(w.cluster_index * 32) + l;
    if (w.cluster->race) race_mbarrier_init(w, l, bar);
    w.cluster->mbarriers[address] = bar;
    uint64_t content = 0x4d42415252000000ull | count;
    std::memcpy(at.bytes, &content, 8);
    mark_valid(at, 8);
    progress(w);
  }
  return Flow::next;
}

// The state that arrive returns: phase and pending count before the arrival.
uint64_t state_of(const Mbarrier& bar) { return bar.phase << 20 | bar.pending; }

// k[0] complete, k[3] space; a[2] bytes
Flow tx(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), 8, 8, Intent::update, at))
      return Flow::stop;
    touch(w, op, l, at);
    int64_t bytes = w.row32(op.a[2])[l];
    if (!mbarrier_complete_tx(*w.cluster, w, op, l, cluster_address(at), op.k[0] ? bytes : -bytes))
      return Flow::stop;
  }
  return Flow::next;
}

// k[0] drop, k[1] has count, k[2] has state, k[4] expect_tx, k[5] releases, k[6] noComplete; a[2]
// count or bytes, a[3] state
Flow arrive(Warp& w, const Op& op, uint32_t mask) {
  Cluster& c = *w.cluster;
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), 8, 8, Intent::update, at))
      return Flow::stop;
    touch(w, op, l, at);
    uint32_t address = cluster_address(at);
    Mbarrier* bar = find_mbarrier(c, address);
    if (!bar) {
      missing(w, op, l, address);
      return Flow::stop;
    }
    if (c.race) race_mbarrier_arrive(w, l, *bar, op.k[5]);
    if (op.k[2]) w.row64(op.a[3])[l] = state_of(*bar);
    uint32_t count = 1;
    if (op.k[4]) {
      if (!mbarrier_complete_tx(c, w, op, l, address, -int64_t(w.row32(op.a[2])[l])))
        return Flow::stop;
    } else if (op.k[1]) {
      count = w.row32(op.a[2])[l];
    }
    if (op.k[6] && count >= bar->pending)
      return report_fault(w, op, l, diag::kSimMbarrier,
                          "an arrive with .noComplete completes the phase");
    if (!mbarrier_arrive(c, w, op, l, address, count, op.k[0])) return Flow::stop;
    progress(w);
  }
  return Flow::next;
}

// k[0] try, k[1] parity, k[5] acquires, a[1] predicate, a[2] state or parity
Flow wait(Warp& w, const Op& op, uint32_t mask) {
  Cluster& c = *w.cluster;
  uint32_t done = 0, suspend = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), 8, 8, Intent::read, at))
      return Flow::stop;
    uint32_t address = cluster_address(at);
    Mbarrier* bar = find_mbarrier(c, address);
    if (!bar) {
      missing(w, op, l, address);
      return Flow::stop;
    }
    touch(w, op, l, at);
    bool ready;
    uint64_t phase;
    if (op.k[1]) {
      uint32_t parity = w.row32(op.a[2])[l];
      if (parity > 1)
        return report_fault(w, op, l, diag::kSimMbarrier,
                            fmt::format("the phase parity is {}, not 0 or 1", parity));
      ready = (bar->phase & 1) != parity;
      phase = bar->phase;
    } else {
      uint64_t of = w.row64(op.a[2])[l] >> 20;
      if (of != bar->phase && of + 1 != bar->phase)
        return report_fault(
            w, op, l, diag::kSimMbarrier,
            fmt::format("the state is of phase {}, the object is in phase {}", of, bar->phase));
      ready = bar->phase > of;
      phase = bar->phase;
    }
    if (ready) {
      done |= 1u << l;
      bar->waited_phase = std::max(bar->waited_phase, phase);
      if (c.race) race_mbarrier_wait(w, l, *bar, phase, op.k[5]);
    } else if (op.k[0] && !w.lane[l].timed_out) {
      suspend |= 1u << l;
      w.lane[l].wait_object = address;
    } else {
      ++bar->failed_polls;
      if (w.launch->options.async == AsyncMode::lazy && bar->failed_polls % 4 == 0)
        async_complete_for(c, address);
    }
    w.lane[l].timed_out = false;
  }
  if (suspend && !done) {
    w.waiting |= suspend;
    each_lane(suspend, [&](int l) { w.lane[l].wait = WaitKind::mbarrier; });
    if (suspend == mask) return Flow::retry;
  }
  w.preds[op.a[1]] = (w.preds[op.a[1]] & ~mask) | done;
  w.waiting &= ~suspend;
  if (done != mask) ++w.polls;
  return Flow::next;
}

Flow pending_count(Warp& w, const Op& op, uint32_t mask) {
  each_lane(mask, [&](int l) { w.row32(op.a[0])[l] = uint32_t(w.row64(op.a[1])[l] & kMaxCount); });
  return Flow::next;
}

}  // namespace

bool build_mbarrier_init(Builder& b) {
  bool inval = b.has("inval");
  if (!b.expect_operands(inval ? 1 : 2) || !b.address(0)) return false;
  if (!inval) b.op.a[2] = b.source(1, 32);
  b.op.k[0] = inval;
  b.op.k[3] = uint8_t(b.space());
  b.op.exec = init;
  return b.ok();
}

bool build_mbarrier_tx(Builder& b) {
  if (!b.expect_operands(2) || !b.address(0)) return false;
  b.op.a[2] = b.source(1, 32);
  b.op.k[0] = b.has("complete_tx");
  b.op.k[3] = uint8_t(b.space());
  b.op.exec = tx;
  return b.ok();
}

bool build_mbarrier_arrive(Builder& b) {
  bool expect = b.has("expect_tx");
  if (!b.expect_operands(1, 3)) return false;
  size_t i = 0;
  if (b.in.operands[0].kind != OpKind::address) {
    if (b.in.operands[0].kind != OpKind::sink) {
      b.op.a[3] = b.destination(0, 64);
      b.op.k[2] = 1;
    }
    i = 1;
  }
  if (!b.address(i)) return false;
  b.op.k[1] = b.count() > i + 1;
  if (expect && !b.op.k[1]) return b.fail("needs the byte count");
  if (b.op.k[1]) b.op.a[2] = b.source(i + 1, 32);
  b.op.k[0] = b.has("arrive_drop");
  b.op.k[3] = uint8_t(b.space());
  b.op.k[4] = expect;
  b.op.k[5] = !b.has("relaxed");
  b.op.k[6] = b.has("noComplete");
  if (b.op.k[6] && !b.op.k[1]) return b.fail(".noComplete needs a count");
  b.op.exec = arrive;
  return b.ok();
}

bool build_mbarrier_wait(Builder& b) {
  bool is_try = b.has("try_wait");
  if (!b.expect_operands(3, is_try ? 4 : 3)) return false;
  b.op.a[1] = b.predicate_destination(b.in.operands[0]);
  if (!b.address(1)) return false;
  b.op.k[0] = is_try;
  b.op.k[1] = b.has("parity");
  b.op.a[2] = b.source(2, b.op.k[1] ? 32 : 64);
  if (b.count() == 4) b.source(3, 32);
  b.op.k[3] = uint8_t(b.space());
  b.op.k[5] = !b.has("relaxed");
  b.op.flags |= kFlagPolls;
  b.op.exec = wait;
  return b.ok();
}

bool build_mbarrier_pending(Builder& b) {
  if (!b.expect_operands(2)) return false;
  b.op.a[0] = b.destination(0, 32);
  b.op.a[1] = b.source(1, 64);
  b.op.exec = pending_count;
  return true;
}

}  // namespace tess::ptxsim
