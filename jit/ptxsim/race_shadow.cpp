// The access side of the race detector: shadow cells of 16 bytes, split into words and bytes where
// accesses are smaller. A cell knows the last write and the reads since.
#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/race_clocks.h"

namespace tess::ptxsim {

ShadowRegion::ShadowRegion(uint64_t bytes) : pages((bytes + 1023) / 1024 + 1) {}
ShadowRegion::~ShadowRegion() {
  for (auto& p : pages) delete p.load();
}
ShadowRegion::Page* ShadowRegion::page(uint64_t offset) {
  std::atomic<Page*>& p = pages[offset / 1024];
  Page* have = p.load(std::memory_order_acquire);
  if (have) return have;
  Page* fresh = new Page;
  if (p.compare_exchange_strong(have, fresh, std::memory_order_acq_rel)) return fresh;
  delete fresh;
  return have;
}

namespace {

constexpr size_t kMaxReaders = 40;

struct Toucher {
  Warp& w;
  RaceDomain& d;
  const ThreadClocks& t;
  int lane;
  bool async;  // through the async proxy
  int space;   // 0 shared, 1 global
  Mark mark;
  bool write, strong;
  // Filled when a race is found.
  Mark other;
  bool other_write = false, found = false, proxy_only = false;
};

bool clock_reached(const Clocks* v, uint64_t cluster, const Toucher& x, const Mark& m, int lane) {
  if (!v) return false;
  const Clocks* use = v;
  if (m.cluster != uint32_t(cluster)) {
    auto it = v->others.find(m.cluster);
    if (it == v->others.end()) return false;
    use = it->second.get();
  }
  size_t at = size_t(m.slot) * 32 + size_t(lane);
  return at < use->at.size() && use->at[at] >= m.clock;
}

// Is the earlier access ordered before this one?
bool ordered(Toucher& x, const Mark& m, bool was_write) {
  if (m.clock == 0) return true;
  uint64_t mine = x.w.cluster->index;
  bool cross = x.async && !m.async && was_write;
  const Clocks* v = cross ? x.t.now.async[x.space].get() : x.t.now.seen.get();
  bool same_cluster = m.cluster == uint32_t(mine);
  // The lanes of an aligned read have all finished it when one of them goes on: a single lane that
  // then signals speaks for its warp.
  if (m.collective && !cross) {
    if (same_cluster && m.slot == x.w.cluster_index) return true;
    for (int l = 0; l < 32; ++l)
      if (clock_reached(v, mine, x, m, l)) return true;
    return false;
  }
  bool ok = true;
  for (uint32_t lanes = m.lanes; lanes && ok; lanes &= lanes - 1) {
    int l = std::countr_zero(lanes);
    if (same_cluster && !cross && m.slot < x.d.copy_base) {
      uint32_t agent = m.slot / x.d.warps, warp = m.slot % x.d.warps;
      if (warp == x.w.cluster_index && l == x.lane) {
        if (agent == 0 || x.t.own[agent] >= m.clock) continue;
      }
      if (Agent(agent) == Agent::wgmma && warp / 4 * 4 == x.w.cluster_index - x.w.index % 4 &&
          x.t.own[agent] >= m.clock)
        continue;
      // wgmma operations of one warpgroup follow one another.
      if (Agent(agent) == Agent::wgmma && x.mark.slot / x.d.warps == uint32_t(Agent::wgmma) &&
          warp == x.w.cluster_index)
        continue;
    }
    ok = clock_reached(v, mine, x, m, l);
  }
  if (!ok && cross) {
    // Ordered for the generic proxy: only the fence is missing.
    x.proxy_only = true;
    for (uint32_t lanes = m.lanes; lanes; lanes &= lanes - 1) {
      int l = std::countr_zero(lanes);
      bool own = same_cluster && m.slot == x.w.cluster_index && l == x.lane;
      if (!own && !clock_reached(x.t.now.seen.get(), mine, x, m, l)) x.proxy_only = false;
    }
  }
  return ok;
}

bool strong_pair(const Toucher& x, const Mark& m) {
  if (!x.strong || !m.scope) return false;
  auto reaches = [&](Scope s) {
    if (s == Scope::cta) {
      if (m.cluster != uint32_t(x.w.cluster->index)) return false;
      uint32_t warps_per_block = uint32_t(x.w.block->warps.size());
      return (m.slot % x.d.warps) / warps_per_block == x.w.block->rank;
    }
    return s != Scope::cluster || m.cluster == uint32_t(x.w.cluster->index);
  };
  return reaches(Scope(m.scope)) && reaches(Scope(x.mark.scope));
}

bool same_origin(const Mark& a, const Mark& b) {
  return a.slot == b.slot && a.clock == b.clock && a.cluster == b.cluster && a.scope == b.scope &&
         a.collective == b.collective;
}

void race(Toucher& x, const Mark& m, bool was_write) {
  if (x.found) return;
  x.found = true;
  x.other = m;
  x.other_write = was_write;
}

void touch_cell(Toucher& x, Cell& c) {
  if (!x.write) {
    // Seen before by the same thread since its last synchronisation.
    if (c.read.clock && same_origin(c.read, x.mark) &&
        (c.read.lanes & x.mark.lanes) == x.mark.lanes)
      return;
  }
  if (c.write.clock && !strong_pair(x, c.write)) {
    // Copies that complete on mbarriers differ by their lanes alone.
    bool one_copy = x.mark.slot < x.d.copy_base || c.write.lanes == x.mark.lanes;
    bool same_instruction =
        x.write && same_origin(c.write, x.mark) && c.write.site == x.mark.site && one_copy;
    x.proxy_only = false;
    if (!same_instruction && !ordered(x, c.write, true)) race(x, c.write, true);
  }
  if (x.write) {
    bool proxy = x.proxy_only;
    auto check = [&](const Mark& m) {
      if (!x.found && !strong_pair(x, m) && !ordered(x, m, false)) race(x, m, false);
    };
    check(c.read);
    if (c.reads)
      for (const Mark& m : *c.reads) check(m);
    x.proxy_only = proxy;
    if (c.write.clock && same_origin(c.write, x.mark) && c.write.site == x.mark.site)
      c.write.lanes |= x.mark.lanes;
    else c.write = x.mark;
    c.read.clock = 0;
    if (c.reads) c.reads->clear();
    return;
  }
  if (c.read.clock == 0) {
    c.read = x.mark;
    return;
  }
  if (same_origin(c.read, x.mark)) {
    c.read.lanes |= x.mark.lanes;
    return;
  }
  bool proxy = x.proxy_only;
  if (!c.read.scope && ordered(x, c.read, false)) {
    c.read = x.mark;
  } else {
    if (!c.reads) c.reads = std::make_unique<std::vector<Mark>>();
    for (Mark& m : *c.reads)
      if (same_origin(m, x.mark)) {
        m.lanes |= x.mark.lanes;
        return;
      }
    if (c.reads->size() >= kMaxReaders) {
      size_t kept = 0;
      for (size_t i = 0; i < c.reads->size(); ++i)
        if (!ordered(x, (*c.reads)[i], false)) (*c.reads)[kept++] = (*c.reads)[i];
      c.reads->resize(kept);
      if (kept >= kMaxReaders) (*c.reads)[x.mark.site % kMaxReaders] = x.mark;
      else c.reads->push_back(x.mark);
    } else {
      c.reads->push_back(x.mark);
    }
  }
  x.proxy_only = proxy;
}

void split(Cell& c) {
  if (c.parts) return;
  c.parts.reset(new Cell[4]);
  for (int i = 0; i < 4; ++i) {
    c.parts[i].write = c.write;
    c.parts[i].read = c.read;
    if (c.reads && !c.reads->empty())
      c.parts[i].reads = std::make_unique<std::vector<Mark>>(*c.reads);
  }
}

// Bytes [from, to) of a cell of `size` bytes.
void touch_part(Toucher& x, Cell& c, uint32_t from, uint32_t to, uint32_t size) {
  bool whole = from == 0 && to == size;
  if (!c.parts && (whole || size == 1)) return touch_cell(x, c);
  if (!whole || c.parts) {
    split(c);
    uint32_t part = size / 4;
    for (uint32_t i = from / part; i < 4 && i * part < to; ++i)
      touch_part(x, c.parts[i], std::max(from, i * part) - i * part,
                 std::min(to, (i + 1) * part) - i * part, part);
    if (whole && x.write) {  // one writer again
      c.write = x.mark;
      c.read.clock = 0;
      c.reads.reset();
      c.parts.reset();
    }
  }
}

jit::Dim3 thread_of(const Launch& l, uint32_t t) {
  return {t % l.block.x, t / l.block.x % l.block.y, t / l.block.x / l.block.y};
}

void describe(const Toucher& x, const Mark& m, bool was_write, Access& a) {
  const Launch& l = *x.w.launch;
  a.place = place_of(*x.w.program, m.site);
  uint32_t warps_per_block = uint32_t(x.w.block->warps.size());
  const char* kind = m.async     ? (was_write ? "asynchronous write" : "asynchronous read")
                     : m.scope   ? (was_write ? "atomic or strong write" : "strong read")
                     : was_write ? "write"
                                 : "read";
  a.what = kind;
  uint32_t lane = m.lanes ? uint32_t(std::countr_zero(m.lanes)) : 0;
  uint32_t warp = m.slot < x.d.copy_base ? m.slot % x.d.warps : 0;
  uint32_t rank = warp / warps_per_block;
  uint64_t blocks = l.cluster.count();
  if (blocks == 1) {
    uint64_t i = m.cluster;
    a.block = {uint32_t(i % l.grid.x), uint32_t(i / l.grid.x % l.grid.y),
               uint32_t(i / l.grid.x / l.grid.y)};
  } else if (m.cluster == uint32_t(x.w.cluster->index) && rank < x.w.cluster->blocks.size()) {
    a.block = x.w.cluster->blocks[rank]->id;
  }
  a.thread = thread_of(l, warp % warps_per_block * 32 + lane);
}

void report(Toucher& x, const Op& op, const Located& at, uint32_t bytes) {
  uint64_t key = uint64_t(x.mark.site) | uint64_t(x.other.site) << 20 | 1ull << 45;
  bool proxy = x.proxy_only;
  Finding f =
      make_finding(x.w, x.mark.site, x.lane, proxy ? diag::kSimProxyRace : diag::kSimRace, "");
  Access mine, theirs;
  describe(x, x.mark, x.write, mine);
  describe(x, x.other, x.other_write, theirs);
  uint64_t address =
      at.space == Space::shared ? (at.owner ? uint64_t(at.shared_address) : at.offset) : at.object;
  std::string where =
      describe_address(x.w, at.space == Space::shared ? Space::shared : Space::global, address);
  f.message = fmt::format("{} of {} bytes in {} and {} are not ordered", mine.what, bytes, where,
                          x.other_write ? "an earlier write" : "an earlier read");
  if (proxy)
    f.message = fmt::format(
        "{} of {} bytes in {} follows a write through the generic proxy without fence.proxy.async",
        mine.what, bytes, where);
  f.others.push_back(std::move(theirs));
  report_finding(*x.w.launch, std::move(f), false, key);
  (void)op;
}

void touch(Toucher& x, const Op& op, const Located& at, uint32_t bytes) {
  uint64_t first = at.offset, last = at.offset + bytes;
  while (first < last) {
    ShadowRegion::Page* p = at.shadow->page(first);
    uint64_t end = std::min(last, (first / 1024 + 1) * 1024);
    while (p->lock.test_and_set(std::memory_order_acquire)) {
    }
    for (; first < end;) {
      uint64_t cell = first & ~15ull, stop = std::min(end, cell + 16);
      touch_part(x, p->cells[cell / 16 % 64], uint32_t(first - cell), uint32_t(stop - cell), 16);
      first = stop;
    }
    p->lock.clear(std::memory_order_release);
  }
  if (x.found) report(x, op, at, bytes);
}

}  // namespace

void race_access(Warp& w, const Op& op, int lane, const Located& at, uint32_t bytes, Touch kind,
                 Scope scope) {
  RaceDomain& d = *w.cluster->race;
  const ThreadClocks& t = d.of(w, lane);
  bool strong = kind >= Touch::strong_read;
  Mark m;
  m.clock = t.own[0];
  m.lanes = 1u << lane;
  m.site = w.op_index(op);
  m.cluster = uint32_t(w.cluster->index);
  m.slot = uint16_t(w.cluster_index);
  m.collective = kind == Touch::read &&
                 (op.flags & (kFlagCollective | kFlagAligned)) == (kFlagCollective | kFlagAligned);
  m.scope = strong ? uint8_t(scope == Scope::none ? Scope::gpu : scope) : 0;
  bool write = kind == Touch::write || kind == Touch::strong_write || kind == Touch::atomic;
  Toucher x{w, d, t, lane, false, at.space == Space::shared ? 0 : 1, m, write, strong};
  touch(x, op, at, bytes);
}

void race_async_access(Warp& w, const Op& op, int lane, const Located& at, uint32_t bytes,
                       bool write, Agent agent, bool async_proxy, bool strong) {
  RaceDomain& d = *w.cluster->race;
  const ThreadClocks& t = d.of(w, lane);
  Mark m;
  m.clock = 1 + (agent == Agent::cp_async ? w.cp_group[lane]
                 : agent == Agent::wgmma  ? w.wg_group
                                          : w.bulk_group[lane]);
  m.lanes = 1u << lane;
  m.site = w.op_index(op);
  m.cluster = uint32_t(w.cluster->index);
  m.slot = uint16_t(agent_slot(d, agent, w.cluster_index));
  m.async = async_proxy;
  if (strong) m.scope = uint8_t(Scope::gpu);
  Toucher x{w, d, t, lane, async_proxy, at.space == Space::shared ? 0 : 1, m, write, strong};
  touch(x, op, at, bytes);
}

void race_copy_access(Warp& w, const Op& op, int lane, const CopySlot& slot, const Located& at,
                      uint32_t bytes, bool write, bool async_proxy) {
  RaceDomain& d = *w.cluster->race;
  const ThreadClocks& t = d.of(w, lane);
  Mark m;
  m.clock = slot.clock;
  m.lanes = 1u << slot.lane;
  m.site = w.op_index(op);
  m.cluster = uint32_t(w.cluster->index);
  m.slot = uint16_t(slot.slot);
  m.async = async_proxy;
  Toucher x{w, d, t, lane, async_proxy, at.space == Space::shared ? 0 : 1, m, write, false};
  touch(x, op, at, bytes);
}

}  // namespace tess::ptxsim
