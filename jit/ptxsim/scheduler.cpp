// Runs launches: which cluster, which warp, which lanes of it, and when nothing can go on.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "isa/diag/sim.h"
#include "jit/ptxsim/async.h"
#include "jit/ptxsim/barrier.h"
#include "jit/ptxsim/control.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/race.h"

namespace tess::ptxsim {

void wake(Warp& w, uint32_t lanes) {
  w.waiting &= ~lanes;
  w.stalled = 0;
  each_lane(lanes, [&](int l) { w.lane[l].wait = WaitKind::none; });
}

void progress(Warp& w) {
  ++w.cluster->changes;
  w.polls = 0;
}

void end_lanes(Warp& w, uint32_t lanes) {
  w.live &= ~lanes;
  if (w.stalled & w.live) {
    each_lane(w.stalled & w.live, [&](int l) {
      if (w.program->ops[w.pc[l]].flags & kFlagAligned) w.exited_during_stall |= lanes;
    });
  }
  w.stalled = 0;
  async_on_exit(w, lanes);
  uint32_t n = uint32_t(std::popcount(lanes));
  w.block->live_threads -= n;
  w.cluster->live_threads -= n;
  progress(w);
  check_barriers(*w.block);
  check_cluster_barrier(*w.cluster);
}

namespace {

constexpr uint32_t kRotateAfter = 64;    // steps of one side of a divergence
constexpr uint32_t kStuckRounds = 4000;  // rounds in which every warp only polls

// Picks the lanes to run: those at the lowest program counter, or the next after the last group
// when one side of a divergence has had its turn. False if no lane can run.
bool pick_group(Warp& w, uint32_t& limit) {
  uint32_t ready = w.live & ~w.waiting, movable = ready & ~w.stalled;
  if (!movable) return false;
  int any = std::countr_zero(ready);
  uint32_t pc = w.pc[any], same = 0;
  for (uint32_t m = ready; m; m &= m - 1) {
    int l = std::countr_zero(m);
    same |= uint32_t(w.pc[l] == pc) << l;
  }
  if (same == ready) {
    w.stalled = 0;
    w.group = ready;
    w.group_pc = pc;
    limit = UINT32_MAX;
    return true;
  }
  uint32_t best = UINT32_MAX, above = UINT32_MAX;
  for (uint32_t m = movable; m; m &= m - 1) {
    uint32_t p = w.pc[std::countr_zero(m)];
    best = std::min(best, p);
    if (p > w.group_pc) above = std::min(above, p);
  }
  if (w.divergent_steps >= kRotateAfter) {
    w.divergent_steps = 0;
    if (above != UINT32_MAX) best = above;
  }
  w.group_pc = best;
  w.group = 0;
  limit = UINT32_MAX;
  for (uint32_t m = ready; m; m &= m - 1) {
    int l = std::countr_zero(m);
    if (w.pc[l] == best) w.group |= 1u << l;
    else if (w.pc[l] > best) limit = std::min(limit, w.pc[l]);
  }
  w.stalled &= ~w.group;  // they try again with whoever has come
  return true;
}

void write_back(Warp& w, uint32_t lanes, uint32_t pc) {
  for (uint32_t m = lanes; m; m &= m - 1) w.pc[std::countr_zero(m)] = pc;
}

std::string register_shown(const Warp& w, const Op& op, uint32_t i) {
  return w.program->touched_names[op.uses + i];
}

// Poison: a use of a register that has no value in an executing lane is reported, moves carry it
// on.
bool check_uses(Warp& w, const Op& op, uint32_t mask) {
  const int32_t* t = w.program->touched.data() + op.uses;
  uint32_t available = ~0u;
  for (uint32_t i = 0; i < op.n_uses; ++i) {
    uint32_t state =
        t[i] & kTouchesPred && t[i] >= 0 ? w.pred_init[t[i] & ~kTouchesPred] : w.init[t[i] >> 5];
    available &= state;
    if ((state & mask) != mask && !(op.flags & kFlagMoves)) {
      int lane = std::countr_zero(mask & ~state);
      report_finding(
          *w.launch,
          make_finding(w, w.op_index(op), lane, diag::kSimUninitRegister,
                       fmt::format("register {} has no value", register_shown(w, op, i))),
          false, uint64_t(w.op_index(op)) | 4ull << 40);
      if (w.launch->stopped) return false;
    }
  }
  if (!w.wg_touched.empty()) {
    if (!wgmma_check_registers(w, op, mask)) return false;
  }
  const int32_t* d = w.program->touched.data() + op.defs;
  uint32_t set = op.flags & kFlagMoves ? available : ~0u;
  for (uint32_t i = 0; i < op.n_defs; ++i) {
    uint32_t& state = d[i] & kTouchesPred ? w.pred_init[d[i] & ~kTouchesPred] : w.init[d[i] >> 5];
    state = (state & ~mask) | (set & mask);
    if (!w.def_epoch.empty() && !(d[i] & kTouchesPred)) w.def_epoch[d[i] >> 5] = w.wg_epoch;
  }
  return true;
}

// Runs one warp for at most `budget` instructions. Returns the number run.
template <bool kChecked>
uint32_t run_warp(Warp& w, uint32_t budget) {
  uint32_t limit, done = 0;
  const Program& p = *w.program;
  const Op* ops = p.ops.data();
  bool stats = w.launch->options.stats;
  Cluster& c = *w.cluster;
  uint32_t polls_before = uint32_t(w.polls);
  while (done < budget && pick_group(w, limit)) {
    bool divergent = w.group != (w.live & ~w.waiting);
    uint32_t pc = w.group_pc, group = w.group;
    for (;;) {
      if (done >= budget) {
        write_back(w, group, pc);
        break;
      }
      const Op& op = ops[pc];
      uint32_t mask = group;
      ++done;
      if (op.pred >= 0) {
        if constexpr (kChecked) {
          if ((w.pred_init[op.pred] & group) != group) {
            report_finding(
                *w.launch,
                make_finding(w, pc, std::countr_zero(group & ~w.pred_init[op.pred]),
                             diag::kSimUninitRegister, "the guard predicate has no value"),
                false, uint64_t(pc) | 5ull << 40);
            w.pred_init[op.pred] |= group;
          }
        }
        mask &= op.pred_negated ? ~w.preds[op.pred] : w.preds[op.pred];
      }
      if (stats) {
        ++c.stats.by_class[size_t(op.cls)];
        SiteStats& s = c.stats.sites[pc];
        ++s.executed;
        uint32_t lanes = uint32_t(std::popcount(mask));
        s.lanes += lanes;
        c.stats.lane_instructions += lanes;
      }
      if (op.flags & kFlagBranch) {
        uint32_t before = pc;
        if (mask == group) {
          pc = op.target;
        } else if (mask == 0) {
          ++pc;
        } else {
          write_back(w, mask, op.target);
          write_back(w, group & ~mask, pc + 1);
          ++w.divergent_steps;
          break;
        }
        if (divergent) {
          w.divergent_steps += 1;
          write_back(w, group, pc);
          break;
        }
        if (pc <= before && w.polls != polls_before) {  // a polling loop gives way
          write_back(w, group, pc);
          return done;
        }
        continue;
      }
      if (mask == 0) {
        ++pc;
      } else {
        if constexpr (kChecked) {
          if (!check_uses(w, op, mask)) return done;
        }
        if (divergent || op.cls >= OpClass::global || op.cls == OpClass::control) {
          // These may look at program counters.
          write_back(w, group, pc);
          w.group_pc = pc;
        }
        w.group = group;
        Flow f = op.exec(w, op, mask);
        if (f == Flow::next) {
          ++pc;
        } else {
          write_back(w, group & ~mask, pc + 1);
          if (f == Flow::wait) write_back(w, mask, pc + 1);
          else if (f == Flow::retry) write_back(w, mask, pc);
          else if (f == Flow::stall) {
            write_back(w, mask, pc);
            w.stalled |= mask;
          } else if (f == Flow::stop) {
            return done;
          }
          if (stats && (f == Flow::wait || f == Flow::retry || f == Flow::stall))
            ++c.stats.sites[pc].stalls;
          break;
        }
        if (op.flags & kFlagPolls && divergent) ++w.divergent_steps;
      }
      if (divergent) {
        if (pc >= limit || ++w.divergent_steps >= kRotateAfter) {
          write_back(w, group, pc);
          break;
        }
      } else if ((w.live & ~w.waiting) != group) {  // somebody woke or left
        write_back(w, group, pc);
        break;
      }
    }
    if (w.launch->stopped.load(std::memory_order_relaxed)) return done;
  }
  return done;
}

std::unique_ptr<Cluster> make_cluster(Launch& l, uint64_t index) {
  auto c = std::make_unique<Cluster>();
  const Program& p = *l.program;
  c->launch = &l;
  c->index = index;
  c->random.state = l.options.seed * 0x2545f4914f6cdd1dull + index * 0x9e3779b97f4a7c15ull + 12345;
  uint32_t threads = uint32_t(l.block.count());
  uint32_t warps = (threads + 31) / 32, blocks = uint32_t(l.cluster.count());
  jit::Dim3 clusters{l.grid.x / l.cluster.x, l.grid.y / l.cluster.y, l.grid.z / l.cluster.z};
  uint64_t cx = index % clusters.x, cy = index / clusters.x % clusters.y,
           cz = index / clusters.x / clusters.y;
  bool check = l.options.check_init;
  if (l.options.stats) c->stats.sites.resize(p.ops.size());
  uint32_t frame = p.functions[0].frame_bytes;
  for (uint32_t r = 0; r < blocks; ++r) {
    auto b = std::make_unique<Block>();
    b->launch = &l;
    b->cluster = c.get();
    b->rank = r;
    uint32_t rx = r % l.cluster.x, ry = r / l.cluster.x % l.cluster.y,
             rz = r / l.cluster.x / l.cluster.y;
    b->id = {uint32_t(cx * l.cluster.x + rx), uint32_t(cy * l.cluster.y + ry),
             uint32_t(cz * l.cluster.z + rz)};
    b->linear = b->id.x + uint64_t(l.grid.x) * (b->id.y + uint64_t(l.grid.y) * b->id.z);
    b->threads = threads;
    b->live_threads = threads;
    b->shared.assign(l.shared_end + 16, check ? 0xcd : 0);
    if (check) b->shared_valid.assign(l.shared_end + 16, 0);
    if (l.options.check_races) b->shared_shadow = std::make_unique<ShadowRegion>(l.shared_end);
    b->warps.resize(warps);
    for (uint32_t i = 0; i < warps; ++i) {
      Warp& w = b->warps[i];
      w.launch = &l, w.cluster = c.get(), w.block = b.get(), w.program = &p;
      w.constants = p.constants.data();
      w.index = i;
      w.cluster_index = r * warps + i;
      w.check_init = check;
      w.registers = l.registers;
      w.reg_storage.reset(new uint32_t[size_t(p.reg_words) + 64 + 16]());
      w.regs = reinterpret_cast<uint32_t*>((reinterpret_cast<uintptr_t>(w.reg_storage.get()) + 63) &
                                           ~uintptr_t(63));
      w.preds.assign(size_t(p.pred_count), 0);
      w.preds[1] = ~0u;
      w.init.assign(size_t(p.reg_words / 32) + 4, 0);
      w.pred_init.assign(size_t(p.pred_count), 0);
      if (check && p.uses_wgmma) w.def_epoch.assign(w.init.size(), 0);
      w.pred_init[0] = w.pred_init[1] = ~0u;
      w.lane.resize(32);
      uint32_t n = std::min(32u, threads - i * 32);
      w.live = w.started = n == 32 ? ~0u : (1u << n) - 1;
      init_local(w, std::max(frame, 16u));
      for (const auto& s : p.specials) {
        w.init[s.row >> 5] = ~0u;
        for (uint32_t lane = 0; lane < 32; ++lane) {
          uint32_t t = i * 32 + lane;
          auto pick = [&](uint32_t x, uint32_t y, uint32_t z) {
            return s.lane == 0 ? x : s.lane == 1 ? y : s.lane == 2 ? z : 0;
          };
          uint64_t v = 0;
          switch (s.which) {
            case Special::tid:
              v = pick(t % l.block.x, t / l.block.x % l.block.y, t / l.block.x / l.block.y);
              break;
            case Special::ntid:
              v = pick(l.block.x, l.block.y, l.block.z);
              break;
            case Special::ctaid:
              v = pick(b->id.x, b->id.y, b->id.z);
              break;
            case Special::nctaid:
              v = pick(l.grid.x, l.grid.y, l.grid.z);
              break;
            case Special::laneid:
              v = lane;
              break;
            case Special::warpid:
              v = i;
              break;
            case Special::nwarpid:
              v = warps;
              break;
            case Special::smid:
              v = uint32_t(b->linear % 132);
              break;
            case Special::nsmid:
              v = 132;
              break;
            case Special::gridid:
              v = 1;
              break;
            case Special::clusterid:
              v = pick(uint32_t(cx), uint32_t(cy), uint32_t(cz));
              break;
            case Special::nclusterid:
              v = pick(clusters.x, clusters.y, clusters.z);
              break;
            case Special::cluster_ctaid:
              v = pick(rx, ry, rz);
              break;
            case Special::cluster_nctaid:
              v = pick(l.cluster.x, l.cluster.y, l.cluster.z);
              break;
            case Special::cluster_ctarank:
              v = r;
              break;
            case Special::cluster_nctarank:
              v = blocks;
              break;
            case Special::is_explicit_cluster:
              v = l.explicit_cluster;
              break;
            case Special::lanemask_eq:
              v = 1u << lane;
              break;
            case Special::lanemask_lt:
              v = (1u << lane) - 1;
              break;
            case Special::lanemask_le:
              v = (2ull << lane) - 1;
              break;
            case Special::lanemask_gt:
              v = ~uint32_t((2ull << lane) - 1);
              break;
            case Special::lanemask_ge:
              v = ~((1u << lane) - 1);
              break;
            case Special::dynamic_smem_size:
              v = l.dynamic_shared;
              break;
            case Special::total_smem_size:
            case Special::aggr_smem_size:
              v = l.shared_end - kSharedStart;
              break;
            case Special::reserved_smem_end:
            case Special::reserved_smem_cap:
              v = kSharedStart;
              break;
            default:
              break;
          }
          if (s.wide) w.row64(s.row)[lane] = v;
          else w.row32(s.row)[lane] = uint32_t(v);
        }
      }
    }
    b->live_warps = warps;
    c->blocks.push_back(std::move(b));
  }
  c->threads = c->live_threads = threads * blocks;
  if (l.options.check_races) c->race = make_race_domain(*c, warps * blocks, blocks);
  return c;
}

struct Turn {
  uint64_t ran = 0;
  bool only_polls = true;
};

// One round over the warps of a cluster.
Turn run_round(Cluster& c) {
  Turn t;
  Launch& l = *c.launch;
  bool checked = l.options.check_init;
  std::vector<Warp*> order;
  for (auto& b : c.blocks)
    for (Warp& w : b->warps)
      if (w.live) order.push_back(&w);
  uint32_t quantum = 512;
  if (l.options.shuffle_warps)
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[c.random.below(uint32_t(i))]);
  for (Warp* w : order) {
    if (w->sleep_until > c.steps && order.size() > 1) {
      t.ran += 1;  // it will go on
      c.steps += 8;
      continue;
    }
    if (l.options.shuffle_warps) quantum = 1 + c.random.below(c.random.below(4) == 0 ? 512 : 48);
    uint64_t changes = c.changes, polls = w->polls;
    uint32_t n = checked ? run_warp<true>(*w, quantum) : run_warp<false>(*w, quantum);
    t.ran += n;
    c.steps += n;
    w->steps += n;
    c.stats.warp_instructions += n;
    if (n && (w->polls == polls || c.changes != changes)) t.only_polls = false;
    if (l.stopped.load(std::memory_order_relaxed)) return t;
    async_tick(c);
  }
  return t;
}

std::string wait_text(const Warp& w, int lane) {
  const Lane& x = w.lane[lane];
  switch (x.wait) {
    case WaitKind::barrier: {
      const NamedBarrier& b = w.block->barrier[x.wait_object & 15];
      return fmt::format("waits at barrier {}: {} of {} threads have arrived", x.wait_object,
                         b.arrived, b.expected ? b.expected : w.block->live_threads);
    }
    case WaitKind::cluster_barrier:
      return fmt::format("waits at barrier.cluster: {} of {} threads have arrived",
                         w.cluster->barrier_arrived, w.cluster->live_threads);
    case WaitKind::mbarrier:
      return describe_mbarrier(w, lane);
    case WaitKind::registers:
      return fmt::format("waits for {} registers, of which the block has {} free", x.wait_detail,
                         w.block->free_registers);
    case WaitKind::warpgroup:
      return "waits for the other warps of its warpgroup at a wgmma instruction";
    default:
      break;
  }
  if (w.stalled >> lane & 1) {
    const Op& op = w.program->ops[w.pc[lane]];
    uint32_t here = 0;
    for (int l = 0; l < 32; ++l) here |= uint32_t((w.live >> l & 1) && w.pc[l] == w.pc[lane]) << l;
    return fmt::format(
        "waits at {} for lanes {:#010x} of its warp",
        std::string(op.flags & kFlagAligned ? "an aligned instruction" : "a warp collective"),
        w.live & ~here);
  }
  return "polls memory that nobody changes";
}

void report_deadlock(Launch& l, std::vector<Cluster*>& clusters, bool livelock) {
  Finding f;
  f.code = diag::kSimDeadlock;
  f.message = livelock ? "no thread makes progress: all wait or poll" : "no thread can go on";
  bool first = true;
  size_t more = 0;
  bool partial = false;
  for (Cluster* c : clusters)
    for (auto& b : c->blocks)
      for (Warp& w : b->warps) {
        uint32_t left = w.live;
        while (left) {
          int lane = std::countr_zero(left);
          uint32_t same = 0;
          for (int k = 0; k < 32; ++k)
            same |= uint32_t((left >> k & 1) && w.pc[k] == w.pc[lane] &&
                             w.lane[k].wait == w.lane[lane].wait)
                    << k;
          left &= ~same;
          uint32_t at = w.pc[lane];
          // A waiting lane's counter is already behind the barrier it waits at.
          if (w.lane[lane].wait == WaitKind::barrier && at) --at;
          if (w.stalled >> lane & 1 && w.program->ops[w.pc[lane]].flags & kFlagAligned)
            partial = true;
          Finding one = make_finding(w, at, lane, f.code, "");
          one.where.what =
              fmt::format("warp {} lanes {:#010x} {}", w.index, same, wait_text(w, lane));
          if (first) f.where = one.where, first = false;
          if (f.others.size() < 64) f.others.push_back(one.where);
          else ++more;
        }
      }
  if (partial) f.message += "; an aligned instruction is executed by part of a warp";
  if (more) f.others.push_back({{}, {}, {}, fmt::format("and {} more", more)});
  report_finding(l, std::move(f), true, 0);
}

void finish_cluster(Cluster& c) {
  Launch& l = *c.launch;
  async_on_end(c);
  std::lock_guard lock(l.mutex);
  l.stats.add(c.stats);
}

bool limits(Launch& l, uint64_t ran) {
  uint64_t total = l.steps.fetch_add(ran) + ran;
  if (l.options.interrupt && l.options.interrupt->load(std::memory_order_relaxed)) {
    Finding f;
    f.code = diag::kSimInterrupted;
    f.message = "interrupted";
    report_finding(l, std::move(f), true, 0);
    return false;
  }
  if (total > l.options.max_steps) {
    Finding f;
    f.code = diag::kSimLimit;
    f.message =
        fmt::format("the step limit of {} warp instructions is reached", l.options.max_steps);
    report_finding(l, std::move(f), true, 0);
    return false;
  }
  return !l.stopped;
}

// Runs the given clusters together until all have ended, starting `next()` when one ends.
template <class Next>
void run_together(Launch& l, uint32_t at_once, Next next) {
  std::vector<std::unique_ptr<Cluster>> running;
  uint32_t idle_rounds = 0, poll_rounds = 0;
  uint64_t progress_seen = 0, ended = 0;  // changes seen; changes of clusters that have ended
  bool more = true;
  while (true) {
    while (more && running.size() < at_once) {
      uint64_t index;
      if (!(more = next(index))) break;
      running.push_back(make_cluster(l, index));
    }
    if (running.empty()) return;
    uint64_t ran = 0;
    bool only_polls = true;
    for (auto& c : running) {
      Turn t = run_round(*c);
      ran += t.ran;
      only_polls &= t.only_polls || t.ran == 0;
      if (l.stopped) return;
    }
    if (!limits(l, ran + 1)) return;
    for (size_t i = 0; i < running.size();) {
      if (running[i]->live_threads == 0) {
        finish_cluster(*running[i]);
        ended += running[i]->changes + 1;
        running.erase(running.begin() + ptrdiff_t(i));
        ran = 1, only_polls = false;
      } else {
        ++i;
      }
    }
    if (l.stopped) return;
    uint64_t now = ended;
    for (auto& c : running) now += c->changes;
    if (now != progress_seen) idle_rounds = poll_rounds = 0;
    progress_seen = now;
    if (ran && !only_polls) continue;
    // Nothing happens by itself: let an asynchronous operation complete.
    bool completed = false;
    for (auto& c : running) completed |= async_complete_one(*c);
    if (completed) {
      idle_rounds = 0;
      continue;
    }
    if (ran == 0) {
      // A try_wait may time out; give programs that count on it the chance.
      bool woken = false;
      if (idle_rounds++ < 3)
        for (auto& c : running) woken |= mbarrier_time_out(*c);
      if (woken) continue;
      std::vector<Cluster*> list;
      for (auto& c : running) list.push_back(c.get());
      report_deadlock(l, list, false);
      return;
    }
    if (++poll_rounds > kStuckRounds) {
      std::vector<Cluster*> list;
      for (auto& c : running) list.push_back(c.get());
      report_deadlock(l, list, true);
      return;
    }
  }
}

}  // namespace

void run_launch(Launch& l) {
  const Program& p = *l.program;
  uint64_t clusters = l.grid.count() / std::max<uint64_t>(1, l.cluster.count());
  std::atomic<uint64_t> next{0};
  if (l.options.stats) l.stats.sites.resize(p.ops.size());
  if (l.options.check_races)
    for (auto& [base, a] : l.memory->all())
      if (!a->read_only) a->shadow = std::make_unique<ShadowRegion>(a->bytes);
  auto take = [&](uint64_t& index) {
    index = next.fetch_add(1);
    return index < clusters;
  };
  if (p.communicates) {
    uint64_t resident = l.options.resident_clusters;
    if (!resident) {
      uint64_t per_sm = std::max<uint64_t>(
          1, std::min<uint64_t>(2048 / std::max<uint64_t>(32, l.block.count()),
                                (227u << 10) / std::max<uint32_t>(1024, l.shared_end)));
      resident = std::max<uint64_t>(1, 132 * std::min<uint64_t>(per_sm, 4) / l.cluster.count());
      // Keep the host's memory in bounds.
      uint64_t bytes =
          (uint64_t(p.reg_words) * 4 * ((l.block.count() + 31) / 32) + l.shared_end * 4) *
          l.cluster.count();
      resident = std::max<uint64_t>(
          1, std::min<uint64_t>(resident, (2ull << 30) / std::max<uint64_t>(1, bytes)));
    }
    run_together(l, uint32_t(std::min<uint64_t>(resident, 1u << 16)), take);
  } else {
    int threads = l.options.threads > 0 ? l.options.threads
                                        : int(std::max(1u, std::thread::hardware_concurrency()));
    threads = int(std::min<uint64_t>(uint64_t(threads), clusters));
    std::vector<std::thread> pool;
    for (int i = 1; i < threads; ++i) pool.emplace_back([&] { run_together(l, 1, take); });
    run_together(l, 1, take);
    for (auto& t : pool) t.join();
  }
  l.memory->clear_shadow();
}

}  // namespace tess::ptxsim
