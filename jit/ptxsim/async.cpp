// The queue of asynchronous operations, and non-bulk cp.async.
#include "jit/ptxsim/async.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/sim.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {

bool async_start(Warp& w, std::unique_ptr<AsyncOp> a) {
  Cluster& c = *w.cluster;
  AsyncMode mode = w.launch->options.async;
  if (mode == AsyncMode::eager) return a->run();
  if (mode == AsyncMode::random) {
    a->due = c.steps + c.random.below(c.random.below(3) == 0 ? 4096 : 96);
    // A warpgroup's wgmma add to their accumulators one after the other.
    if (a->ends == AsyncOp::Ends::wgmma_group)
      for (const auto& earlier : c.pending)
        if (earlier->warp == a->warp && earlier->ends == a->ends)
          a->due = std::max(a->due, earlier->due);
    c.next_async = std::min(c.next_async, a->due);
  }
  c.pending.push_back(std::move(a));
  return true;
}

namespace {

// Takes an operation out of the queue and runs it.
bool run_at(Cluster& c, size_t i) {
  auto a = std::move(c.pending[i]);
  c.pending.erase(c.pending.begin() + ptrdiff_t(i));
  return a->run();
}

// An arrive that follows copies runs after them.
bool run_with_copies(Cluster& c, size_t i) {
  AsyncOp* a = c.pending[i].get();
  if (a->after_arrive) {
    for (size_t j = 0; j < i && j < c.pending.size();) {
      AsyncOp* b = c.pending[j].get();
      if (b->warp == a->warp && b->lane == a->lane && b->ends == AsyncOp::Ends::cp_group) {
        if (!run_at(c, j)) return false;
        --i;
      } else {
        ++j;
      }
    }
  }
  return run_at(c, i);
}

}  // namespace

bool async_finish_group(Warp& w, int lane, AsyncOp::Ends ends, uint32_t group) {
  Cluster& c = *w.cluster;
  for (size_t i = 0; i < c.pending.size();) {
    AsyncOp* a = c.pending[i].get();
    if (a->warp == &w && (lane < 0 || a->lane == lane) && a->ends == ends && a->group <= group) {
      if (!run_at(c, i)) return false;
    } else {
      ++i;
    }
  }
  return true;
}

void async_tick(Cluster& c) {
  if (c.steps < c.next_async || c.pending.empty()) return;
  c.next_async = UINT64_MAX;
  for (size_t i = 0; i < c.pending.size();) {
    if (c.pending[i]->due <= c.steps) {
      if (!run_with_copies(c, i)) return;
      i = 0;
    } else {
      ++i;
    }
  }
  for (auto& a : c.pending) c.next_async = std::min(c.next_async, a->due);
}

// When nothing else happens: the oldest operation that others may be waiting for.
bool async_complete_one(Cluster& c) {
  for (size_t i = 0; i < c.pending.size(); ++i)
    if (c.pending[i]->ends == AsyncOp::Ends::mbarrier) {
      run_with_copies(c, i);
      return true;
    }
  return false;
}

bool async_complete_for(Cluster& c, uint32_t mbarrier) {
  for (size_t i = 0; i < c.pending.size(); ++i)
    if (c.pending[i]->ends == AsyncOp::Ends::mbarrier && c.pending[i]->mbarrier == mbarrier) {
      run_with_copies(c, i);
      return true;
    }
  return false;
}

void async_on_exit(Warp& w, uint32_t lanes) {
  if (!w.launch->options.check_async || w.launch->stopped) return;
  each_lane(lanes, [&](int l) {
    const Op& op = w.program->ops[std::min<size_t>(w.pc[l], w.program->ops.size() - 1)];
    uint64_t key = uint64_t(w.op_index(op));
    if (w.cp_last[l] > w.cp_done[l])
      report_finding(*w.launch,
                     make_finding(w, w.cp_site[l], l, diag::kSimAsyncLeft,
                                  "the thread ends without waiting for this cp.async"),
                     false, uint64_t(w.cp_site[l]) | 6ull << 40);
    if (w.bulk_last[l] > w.bulk_read_done[l])
      report_finding(
          *w.launch,
          make_finding(w, w.bulk_site[l], l, diag::kSimAsyncLeft,
                       "the thread ends without waiting until this bulk copy has read its source"),
          false, uint64_t(w.bulk_site[l]) | 7ull << 40);
    (void)key;
  });
  if (w.live == 0 && w.wg_last > w.wg_done)
    report_finding(*w.launch,
                   make_finding(w, w.wg_site, 0, diag::kSimAsyncLeft,
                                "the warp ends without waiting for this wgmma"),
                   false, uint64_t(w.wg_site) | 8ull << 40);
}

void async_on_end(Cluster& c) {
  // Whatever nobody waited for still happens.
  while (!c.pending.empty() && !c.launch->stopped)
    if (!run_at(c, 0)) return;
  if (!c.launch->options.check_async || c.launch->stopped) return;
  for (auto& [address, bar] : c.mbarriers)
    if (bar.copied_phase > bar.waited_phase) {
      Warp& w = c.blocks[0]->warps[0];
      report_finding(*c.launch,
                     make_finding(w, bar.copy_site, 0, diag::kSimAsyncLeft,
                                  "nobody waits on the mbarrier for this copy"),
                     false, uint64_t(bar.copy_site) | 9ull << 40);
    }
  for (auto& [address, bar] : c.mbarriers)
    if (bar.tx < 0) {
      uint32_t site = bar.copied_phase ? bar.copy_site : bar.init_site;
      report_finding(
          *c.launch,
          make_finding(c.blocks[0]->warps[0], site, 0, diag::kSimMbarrierBytes,
                       fmt::format("{} bytes came to the mbarrier that nothing expected", -bar.tx)),
          false, uint64_t(site) | 14ull << 40);
    }
}

namespace {

// k[4] bytes, k[5] 0 whole, 1 src-size row, 2 ignore predicate, k[6] predicate negated; a[0] to,
// a[1] from, a[2] src size or predicate
Flow cp_async(Warp& w, const Op& op, uint32_t mask) {
  uint32_t bytes = op.k[4];
  uint32_t site = w.op_index(op);
  uint64_t from_addresses[32];
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    uint32_t take = bytes;
    if (op.k[5] == 1) take = std::min(w.row32(op.a[2])[l], bytes);
    if (op.k[5] == 1 && w.row32(op.a[2])[l] > bytes)
      return report_fault(
          w, op, l, diag::kSimOperands,
          fmt::format("src-size {} is greater than cp-size {}", w.row32(op.a[2])[l], bytes));
    if (op.k[5] == 2 && (((w.preds[op.a[2]] >> l) & 1) != op.k[6])) take = 0;
    Located to, from;
    if (!locate(w, op, l, Space::shared, operand_address(w, op, 0, l), bytes, bytes, Intent::write,
                to))
      return Flow::stop;
    uint64_t source = from_addresses[l] = operand_address(w, op, 1, l);
    if (source & (bytes - 1))
      return report_fault(w, op, l, diag::kSimMisaligned,
                          fmt::format("source {} must be a multiple of {}",
                                      describe_address(w, Space::global, source), bytes));
    if (take && !locate(w, op, l, Space::global, source, take, 1, Intent::read, from))
      return Flow::stop;
    bool races = w.cluster->race != nullptr;
    if (races && take && from.shadow)
      race_async_access(w, op, l, from, take, false, Agent::cp_async, false);
    if (races && to.shadow) race_async_access(w, op, l, to, bytes, true, Agent::cp_async, false);
    w.cp_last[l] = w.cp_group[l] + 1;
    w.cp_site[l] = site;
    if (w.launch->options.async == AsyncMode::eager) {
      std::memset(to.bytes, 0, bytes);
      if (take) std::memcpy(to.bytes, from.bytes, take);
      mark_valid(to, bytes);
      if (take && from.valid)
        for (uint32_t i = 0; i < take && to.valid; ++i) to.valid[i] = from.valid[i];
    } else {
      // Until then the destination holds nothing that may be relied on.
      auto a = std::make_unique<AsyncOp>();
      a->warp = &w, a->lane = l, a->op = &op;
      a->ends = AsyncOp::Ends::cp_group;
      a->group = w.cp_group[l];
      a->run = [to, from, take, bytes] {
        std::memset(to.bytes, 0, bytes);
        if (take) std::memcpy(to.bytes, from.bytes, take);
        mark_valid(to, bytes);
        return true;
      };
      async_start(w, std::move(a));
    }
    if (w.launch->options.stats) w.cluster->stats.async_bytes += take;
  }
  if (w.launch->options.stats) {
    SiteStats& s = w.cluster->stats.sites[site];
    ++s.requests;
    uint64_t last = ~0ull;
    each_lane(mask, [&](int l) {
      if (from_addresses[l] >> 5 != last) ++s.sectors, last = from_addresses[l] >> 5;
    });
  }
  progress(w);
  return Flow::next;
}

// k[0] 0 commit, 1 wait_group imm, 2 wait_all
Flow cp_group(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    if (op.k[0] == 0) {
      ++w.cp_group[l];
      continue;
    }
    if (op.k[0] == 2) ++w.cp_group[l];
    int64_t done = int64_t(w.cp_group[l]) - (op.k[0] == 2 ? 0 : op.imm);
    if (done <= int64_t(w.cp_done[l])) continue;
    if (!async_finish_group(w, l, AsyncOp::Ends::cp_group, uint32_t(done) - 1)) return Flow::stop;
    w.cp_done[l] = uint32_t(done);
    if (w.cluster->race) race_agent_done(w, l, Agent::cp_async, uint32_t(done));
  }
  return Flow::next;
}

// Arrives on the mbarrier when the thread's earlier copies are done. k[0] noinc, k[3] space
Flow cp_mbarrier(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), 8, 8, Intent::update, at))
      return Flow::stop;
    uint32_t address = cluster_address(at);
    Cluster& c = *w.cluster;
    Mbarrier* bar = find_mbarrier(c, address);
    if (!bar)
      return report_fault(w, op, l, diag::kSimMbarrier,
                          fmt::format("there is no initialised mbarrier at {}",
                                      describe_address(w, Space::shared, at.shared_address)));
    if (!op.k[0]) ++bar->pending;
    ++w.cp_group[l];
    uint32_t group = w.cp_group[l];
    w.cp_done[l] = std::max(w.cp_done[l], group);  // the mbarrier waits for them
    bar->copied_phase = std::max(bar->copied_phase, bar->phase + 1);
    bar->copy_site = w.op_index(op);
    auto a = std::make_unique<AsyncOp>();
    a->warp = &w, a->lane = l, a->op = &op;
    a->ends = AsyncOp::Ends::mbarrier;
    a->mbarrier = address;
    a->after_arrive = true;
    a->run = [&w, &op, l, address, group] {
      Mbarrier* b = find_mbarrier(*w.cluster, address);
      if (b && w.cluster->race) race_cp_async_arrive(w, l, *b, group);
      return mbarrier_arrive(*w.cluster, w, op, l, address, 1, false);
    };
    if (!async_start(w, std::move(a))) return Flow::stop;
  }
  return Flow::next;
}

}  // namespace

bool build_cp_async(Builder& b) {
  if (!b.expect_operands(3, 5)) return false;
  Op& op = b.op;
  int64_t bytes;
  if (!b.address_operand(b.in.operands[0], 0) || !b.address_operand(b.in.operands[1], 1))
    return false;
  if (!b.immediate(2, bytes)) return false;
  if (!(bytes == 16 || (b.has("ca") && (bytes == 4 || bytes == 8))))
    return b.fail("cp-size must be 4, 8 or 16 (.cg: 16)");
  op.k[4] = uint8_t(bytes);
  size_t rest = b.count() - 3 - (b.has("L2::cache_hint") ? 1 : 0);
  if (rest > 1) return b.fail("too many operands");
  if (rest == 1) {
    const Operand& o = b.in.operands[3];
    bool pred = o.kind == OpKind::reg && b.register_bits(o) == 1;
    op.k[5] = pred ? 2 : 1;
    bool n = false;
    op.a[2] = pred ? b.predicate_source(o, &n) : b.source(o, 32);
    op.k[6] = n;
  }
  op.exec = cp_async;
  return b.ok();
}

bool build_cp_async_group(Builder& b) {
  b.op.k[0] = b.has("commit_group") ? 0 : b.has("wait_group") ? 1 : 2;
  if (b.op.k[0] == 1 && (!b.expect_operands(1) || !b.immediate(0, b.op.imm))) return false;
  if (b.op.k[0] != 1 && b.count()) return b.fail("takes no operands");
  if (b.op.imm < 0) return b.fail("the group count cannot be negative");
  b.op.exec = cp_group;
  return true;
}

bool build_cp_async_mbarrier(Builder& b) {
  if (!b.expect_operands(1) || !b.address(0)) return false;
  b.op.k[0] = b.has("noinc");
  b.op.k[3] = uint8_t(b.space());
  b.op.exec = cp_mbarrier;
  return true;
}

}  // namespace tess::ptxsim
