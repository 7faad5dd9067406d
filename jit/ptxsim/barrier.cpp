// Barriers of blocks, clusters and warps, fences, and the small synchronising instructions.
#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/barrier.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {

bool whole_warp(Warp& w, const Op& op, uint32_t mask, Flow& f) {
  if (mask == w.live && !w.exited_during_stall) return true;
  uint32_t at = w.group;
  if (mask != at) {
    f = report_fault(
        w, op, std::countr_zero(mask), diag::kSimPartialWarp,
        fmt::format("lanes {:#010x} execute it, lanes {:#010x} of the warp have a false predicate",
                    mask, at & ~mask));
  } else if (w.exited_during_stall) {
    f = report_fault(
        w, op, std::countr_zero(mask), diag::kSimPartialWarp,
        fmt::format("lanes {:#010x} execute it, lanes {:#010x} of the warp ended without it", mask,
                    w.exited_during_stall));
  } else {
    f = Flow::stall;
  }
  return false;
}

namespace {

void set_wait(Warp& w, uint32_t mask, WaitKind kind, uint64_t object, uint32_t detail) {
  w.waiting |= mask;
  each_lane(mask, [&](int l) {
    w.lane[l].wait = kind;
    w.lane[l].wait_object = object;
    w.lane[l].wait_detail = detail;
  });
}

void complete(Block& b, NamedBarrier& bar) {
  if (b.cluster->race) {
    Participants arrived, released;
    for (auto [warp, lanes] : bar.arrivals) arrived.lanes.push_back({&b.warps[warp], lanes});
    for (auto& x : bar.waiters) released.lanes.push_back({&b.warps[x.warp], x.mask});
    race_barrier(*b.cluster->race, arrived, released);
  }
  for (auto& x : bar.waiters) {
    Warp& w = b.warps[x.warp];
    const Op& op = *x.op;
    if (op.k[2] == 1) each_lane(x.mask, [&](int l) { w.row32(op.a[0])[l] = bar.count; });
    else if (op.k[2])
      w.preds[op.a[0]] =
          (w.preds[op.a[0]] & ~x.mask) | ((op.k[2] == 2 ? bar.ands : bar.ors) ? x.mask : 0);
    wake(w, x.mask);
  }
  progress(b.warps[0]);
  uint64_t generation = bar.generation + 1;
  bar = NamedBarrier{};
  bar.generation = generation;
}

// k[0] aligned, k[1] arrive only, k[2] 0 none 1 popc 2 and 3 or, k[3] predicate negated, k[4] has
// count; a[1] id row, a[2] count row, a[0] result, a[3] predicate
Flow barrier(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (op.k[0] && !whole_warp(w, op, mask, f)) return f;
  Block& b = *w.block;
  int first = std::countr_zero(mask);
  uint32_t id = w.row32(op.a[1])[first], expected = 0;
  bool uniform = true;
  each_lane(mask, [&](int l) { uniform &= w.row32(op.a[1])[l] == id; });
  if (op.k[4]) {
    expected = w.row32(op.a[2])[first];
    each_lane(mask, [&](int l) { uniform &= w.row32(op.a[2])[l] == expected; });
  }
  if (!uniform)
    return report_fault(w, op, first, diag::kSimPredicateMismatch,
                        "the barrier or its thread count differs between lanes");
  if (id > 15)
    return report_fault(w, op, first, diag::kSimBarrierCount,
                        fmt::format("there is no barrier {}: they are numbered 0 to 15", id));
  if (op.k[4] && (expected % 32 || expected == 0 || expected > 1024))
    return report_fault(
        w, op, first, diag::kSimBarrierCount,
        fmt::format("barrier {} expects {} threads, which is not a multiple of 32 up to 1024", id,
                    expected));
  NamedBarrier& bar = b.barrier[id];
  if (!bar.arrivals.empty() && bar.expected != expected) {
    Finding x = make_finding(
        w, w.op_index(op), first, diag::kSimBarrierCount,
        fmt::format("barrier {} expects {} here, {} at the other arrival", id,
                    expected ? fmt::format("{} threads", expected) : "all threads",
                    bar.expected ? fmt::format("{} threads", bar.expected) : "all threads"));
    x.others.push_back({place_of(*w.program, bar.first_site), b.id, {}, "the other arrival"});
    report_finding(*w.launch, std::move(x), true, 0);
    return Flow::stop;
  }
  if (bar.arrivals.empty()) bar.first_site = w.op_index(op);
  bar.expected = expected;
  bar.arrived += expected && op.k[0] ? 32 : uint32_t(std::popcount(mask));
  bar.arrivals.push_back({w.index, mask});
  if (op.k[2]) {
    uint32_t p = w.preds[op.a[3]] ^ (op.k[3] ? ~0u : 0);
    bar.count += uint32_t(std::popcount(p & mask));
    bar.ands &= (p & mask) == mask;
    bar.ors |= (p & mask) != 0;
  }
  if (!op.k[1]) {
    bar.waiters.push_back({w.index, mask, &op});
    set_wait(w, mask, WaitKind::barrier, id, 0);
  }
  progress(w);
  uint32_t need = expected ? expected : b.live_threads;
  if (bar.arrived > need)
    return report_fault(w, op, first, diag::kSimBarrierCount,
                        fmt::format("{} threads have arrived at barrier {}, which expects {}",
                                    bar.arrived, id, need));
  if (bar.arrived == need) {
    complete(b, bar);
    return Flow::next;
  }
  return op.k[1] ? Flow::next : Flow::wait;
}

// --- cluster barrier: k[0] aligned, k[1] wait, k[2] orders memory
Flow cluster_barrier(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (op.k[0] && !whole_warp(w, op, mask, f)) return f;
  Cluster& c = *w.cluster;
  int first = std::countr_zero(mask);
  if (!op.k[1]) {
    uint32_t twice = 0;
    each_lane(mask, [&](int l) {
      if (w.cluster_phase[l] == c.barrier_phase + 1) twice |= 1u << l;
      w.cluster_phase[l] = c.barrier_phase + 1;
    });
    if (twice)
      return report_fault(w, op, std::countr_zero(twice), diag::kSimBarrierCount,
                          "the thread arrives twice at barrier.cluster without waiting");
    c.barrier_arrived += uint32_t(std::popcount(mask));
    if (c.race) race_cluster_arrive(w, mask, op.k[2]);
    progress(w);
    check_cluster_barrier(c);
    return Flow::next;
  }
  uint32_t wait = 0;
  bool missing = false;
  each_lane(mask, [&](int l) {
    if (w.cluster_phase[l] == 0) missing = true;
    else if (w.cluster_phase[l] == c.barrier_phase + 1) wait |= 1u << l;
  });
  if (missing)
    return report_fault(w, op, first, diag::kSimBarrierCount,
                        "barrier.cluster.wait without an arrive before it");
  if (wait) {
    set_wait(w, mask, WaitKind::cluster_barrier, 0, 0);
    return Flow::retry;
  }
  if (c.race) race_cluster_wait(w, mask, op.k[2]);
  each_lane(mask, [&](int l) { w.cluster_phase[l] = 0; });
  return Flow::next;
}

Flow warp_barrier(Warp& w, const Op& op, uint32_t mask) {
  Flow f = Flow::next;
  uint32_t todo = mask;
  while (todo) {
    int l = std::countr_zero(todo);
    uint32_t members = w.row32(op.a[0])[l], part = 0;
    each_lane(todo, [&](int k) {
      if (w.row32(op.a[0])[k] == members) part |= 1u << k;
    });
    todo &= ~part;
    if (part & ~members)
      return report_fault(w, op, std::countr_zero(part & ~members), diag::kSimLaneMask,
                          fmt::format("the lane is not in the member mask {:#010x}", members));
    // Lanes may stand at different bar.warp.sync instructions with the same mask.
    uint32_t here = part;
    each_lane(members & w.live & ~w.waiting & ~part, [&](int k) {
      const Op& other = w.program->ops[w.pc[k]];
      if ((w.group >> k & 1) == 0 && (w.stalled >> k & 1) && other.exec == op.exec &&
          w.row32(other.a[0])[k] == members)
        here |= 1u << k;
    });
    if ((members & w.live) & ~here) {
      f = Flow::stall;
      continue;
    }
    if (w.cluster->race) race_warp_barrier(w, here);
    each_lane(here & ~part, [&](int k) { ++w.pc[k]; });
    w.stalled = 0;
    if (here != part) f = f == Flow::next ? Flow::next : f;
  }
  return f;
}

// k[0] scope, k[1] 0 thread fence, 1 proxy fence, 2 mbarrier_init, 3 nothing to do; k[2] ProxyFence
Flow fence(Warp& w, const Op& op, uint32_t mask) {
  if (!w.cluster->race) {
    if (op.k[1] == 2)
      for (auto& [a, bar] : w.cluster->mbarriers) bar.init_async_visible = true;
    return Flow::next;
  }
  switch (op.k[1]) {
    case 0:
      race_fence(w, mask, Scope(op.k[0]));
      break;
    case 1:
      race_proxy_fence(w, mask, ProxyFence(op.k[2]));
      break;
    case 2:
      for (auto& [a, bar] : w.cluster->mbarriers)
        each_lane(mask, [&](int l) {
          if (bar.init_thread == int32_t(w.cluster_index * 32) + l) bar.init_async_visible = true;
        });
      race_fence(w, mask, Scope::cluster);
      break;
    default:
      break;
  }
  return Flow::next;
}

Flow nothing(Warp&, const Op&, uint32_t) { return Flow::next; }

// k[0] inc; imm registers per thread afterwards
Flow set_registers(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  if (w.registers == 0) return Flow::next;  // the kernel does not say how many it starts with
  Block& b = *w.block;
  uint32_t want = uint32_t(op.imm);
  if (op.k[0] ? want < w.registers : want > w.registers)
    return report_fault(w, op, std::countr_zero(mask), diag::kSimRegisterBudget,
                        fmt::format("the warp has {} registers per thread", w.registers));
  uint32_t difference = 32 * (op.k[0] ? want - w.registers : w.registers - want);
  if (op.k[0] && difference > b.free_registers) {
    set_wait(w, mask, WaitKind::registers, 0, difference);
    return Flow::retry;
  }
  w.registers = want;
  if (op.k[0]) {
    b.free_registers -= difference;
  } else {
    b.free_registers += difference;
    wake_waiting_for_registers(b);
  }
  progress(w);
  return Flow::next;
}

}  // namespace

// Each tries again; they are served in the order in which they run.
void wake_waiting_for_registers(Block& b) {
  for (Warp& w : b.warps)
    if (w.waiting && w.lane[std::countr_zero(w.waiting)].wait == WaitKind::registers)
      wake(w, w.waiting);
}

void check_barriers(Block& b) {
  for (NamedBarrier& bar : b.barrier)
    if (!bar.arrivals.empty() && bar.expected == 0 && bar.arrived >= b.live_threads &&
        b.live_threads)
      complete(b, bar);
}

void check_cluster_barrier(Cluster& c) {
  if (c.barrier_arrived == 0 || c.barrier_arrived < c.live_threads) return;
  c.barrier_arrived = 0;
  ++c.barrier_phase;
  if (c.race) race_cluster_release(c);
  for (auto& b : c.blocks)
    for (Warp& w : b->warps) {
      uint32_t lanes = 0;
      each_lane(w.waiting, [&](int l) {
        lanes |= uint32_t(w.lane[l].wait == WaitKind::cluster_barrier) << l;
      });
      if (lanes) wake(w, lanes);
    }
}

bool build_barrier(Builder& b) {
  bool arrive = b.has("arrive");
  if (!b.expect_operands(arrive ? 2 : 1, 2)) return false;
  b.op.a[1] = b.source(0, 32);
  b.op.k[4] = b.count() == 2;
  if (b.count() == 2) b.op.a[2] = b.source(1, 32);
  b.op.k[0] = b.opcode() == "bar" || b.has("aligned");
  b.op.k[1] = arrive;
  b.op.exec = barrier;
  return true;
}

bool build_barrier_reduce(Builder& b) {
  if (!b.expect_operands(3, 4)) return false;
  bool popc = b.has("popc");
  b.op.a[0] = popc ? b.destination(0, 32) : b.predicate_destination(b.in.operands[0]);
  b.op.a[1] = b.source(1, 32);
  b.op.k[4] = b.count() == 4;
  if (b.count() == 4) b.op.a[2] = b.source(2, 32);
  bool n = false;
  b.op.a[3] = b.predicate_source(b.in.operands.back(), &n);
  b.op.k[3] = n;
  b.op.k[2] = popc ? 1 : b.has("and") ? 2 : 3;
  b.op.k[0] = b.opcode() == "bar" || b.has("aligned");
  b.op.exec = barrier;
  return true;
}

bool build_cluster_barrier(Builder& b) {
  if (b.count()) return b.fail("takes no operands");
  b.op.k[0] = b.has("aligned");
  b.op.k[1] = b.has("wait");
  b.op.k[2] = !b.has("relaxed");
  b.op.exec = cluster_barrier;
  return true;
}

bool build_warp_barrier(Builder& b) {
  if (!b.expect_operands(1)) return false;
  b.op.a[0] = b.source(0, 32);
  b.op.exec = warp_barrier;
  return true;
}

bool build_fence(Builder& b) {
  Op& op = b.op;
  op.exec = fence;
  if (b.has("proxy")) {
    op.k[1] = b.has("async") ? 1 : 3;
    op.k[2] = uint8_t(b.has("global")                                    ? ProxyFence::global
                      : b.has("shared::cta") || b.has("shared::cluster") ? ProxyFence::shared
                                                                         : ProxyFence::all);
    b.used.clear();
    return true;
  }
  if (b.count()) return b.fail("takes no operands");
  if (b.has("mbarrier_init")) {
    op.k[1] = 2;
    return true;
  }
  op.k[0] = uint8_t(b.has("gl") ? Scope::gpu : scope_of(b, Scope::gpu));
  if (Scope(op.k[0]) >= Scope::gpu) op.flags |= kFlagGlobalSync;
  return true;
}

bool build_grid_control(Builder& b) {
  b.op.exec = nothing;  // grids run one after another
  return true;
}

bool build_setmaxnreg(Builder& b) {
  if (!b.expect_operands(1) || !b.immediate(0, b.op.imm)) return false;
  if (b.op.imm < 24 || b.op.imm > 256 || b.op.imm % 8)
    return b.fail("the register count must be a multiple of 8 in 24..256");
  b.op.k[0] = b.has("inc");
  b.program.uses_setmaxnreg = true;
  if (b.op.k[0]) b.program.most_registers = std::max(b.program.most_registers, uint32_t(b.op.imm));
  b.op.exec = set_registers;
  return true;
}

}  // namespace tess::ptxsim
