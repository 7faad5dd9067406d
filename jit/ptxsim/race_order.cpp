// The order side of the race detector: what barriers, releases, acquires, fences, mbarriers and
// group waits do to the clocks.
#include <algorithm>

#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/race_clocks.h"

namespace tess::ptxsim {

void RaceDomain::add(Clocks& to, const Clocks* from) const {
  if (!from) return;
  if (to.at.empty()) to.at.assign(size, 0);
  uint32_t* __restrict a = to.at.data();
  const uint32_t* __restrict b = from->at.data();
  size_t n = std::min(to.at.size(), from->at.size());
  for (size_t i = 0; i < n; ++i) a[i] = a[i] > b[i] ? a[i] : b[i];
  for (auto& [c, v] : from->others) {
    if (c == cluster->index) {
      for (size_t i = 0; i < std::min(to.at.size(), v->at.size()); ++i)
        to.at[i] = std::max(to.at[i], v->at[i]);
      continue;
    }
    ClocksRef& mine = to.others[c];
    if (!mine) {
      mine = v;
    } else if (mine != v) {
      auto joined = std::make_shared<Clocks>(*mine);
      for (size_t i = 0; i < std::min(joined->at.size(), v->at.size()); ++i)
        joined->at[i] = std::max(joined->at[i], v->at[i]);
      mine = joined;
    }
  }
}

ClocksRef RaceDomain::join(const ClocksRef& a, const ClocksRef& b) {
  if (!b || a == b) return a;
  if (!a) return b;
  for (Joined& j : cache)
    if (j.a == a && j.b == b) return j.result;
  auto r = std::make_shared<Clocks>(*a);
  add(*r, b.get());
  cache[cache_at++ % cache.size()] = {a, b, r};
  return r;
}

void RaceDomain::add_own(Clocks& to, const Warp& w, int lane,
                         const std::array<uint32_t, kAgents>& own) const {
  if (to.at.empty()) to.at.assign(size, 0);
  for (uint32_t a = 0; a < kAgents; ++a) {
    if (!own[a]) continue;
    if (Agent(a) == Agent::wgmma) {  // finished for the whole warpgroup
      for (uint32_t q = 0; q < 4; ++q) {
        uint32_t warp = (w.cluster_index - w.index % 4) + q;
        if (warp >= warps) break;
        uint32_t& c = to.at[size_t(agent_slot(*this, Agent::wgmma, warp)) * 32];
        c = std::max(c, own[a]);
      }
      continue;
    }
    uint32_t& c = to.at[size_t(agent_slot(*this, Agent(a), w.cluster_index)) * 32 + size_t(lane)];
    c = std::max(c, own[a]);
  }
}

Launch::Launch() : global_sync(std::make_unique<SyncVars>()) {}
Launch::~Launch() = default;

void race_domain_deleter(RaceDomain* d) { delete d; }

RaceDomainPtr make_race_domain(Cluster& c, uint32_t warps, uint32_t blocks) {
  RaceDomainPtr d(new RaceDomain, race_domain_deleter);
  d->cluster = &c;
  d->warps = warps;
  d->copy_base = kAgents * warps;
  d->copy_clock.assign(size_t(kCopySlots) * blocks, 0);
  d->size = (d->copy_base + kCopySlots / 32 * blocks) * 32;
  d->threads.resize(size_t(warps) * 32);
  return d;
}

namespace {

// Joins the distinct vectors of many threads: most share one.
class Union {
 public:
  Union(const RaceDomain& d) : d_(d) {}
  void see(const ClocksRef& r) {
    if (!r || r.get() == last_) return;
    last_ = r.get();
    for (auto& k : kept_)
      if (k == r) return;
    kept_.push_back(r);
  }
  std::shared_ptr<Clocks> make() const {
    auto out = kept_.empty() ? std::make_shared<Clocks>() : std::make_shared<Clocks>(*kept_[0]);
    if (out->at.empty()) out->at.assign(d_.size, 0);
    for (size_t i = 1; i < kept_.size(); ++i) d_.add(*out, kept_[i].get());
    return out;
  }
  ClocksRef only() const {
    return kept_.empty() ? nullptr : kept_.size() == 1 ? kept_[0] : ClocksRef(make());
  }

 private:
  const RaceDomain& d_;
  std::vector<ClocksRef> kept_;
  const Clocks* last_ = nullptr;
};

Moment snapshot(RaceDomain& d, const Warp& w, int lane, const Moment& now,
                const std::array<uint32_t, kAgents>& own) {
  Moment m = now;
  auto seen = now.seen ? std::make_shared<Clocks>(*now.seen) : std::make_shared<Clocks>();
  d.add_own(*seen, w, lane, own);
  m.seen = seen;
  return m;
}

void acquire_moment(RaceDomain& d, ThreadClocks& t, const Moment& m, uint64_t from_cluster) {
  if (from_cluster == d.cluster->index) {
    t.now.seen = d.join(t.now.seen, m.seen);
    t.now.async[0] = d.join(t.now.async[0], m.async[0]);
    t.now.async[1] = d.join(t.now.async[1], m.async[1]);
    return;
  }
  // Another cluster's vector becomes an entry of `others`.
  auto lift = [&](const ClocksRef& v) -> ClocksRef {
    if (!v) return nullptr;
    auto r = std::make_shared<Clocks>();
    r->at.assign(d.size, 0);
    for (auto& [c, o] : v->others)
      if (c == d.cluster->index) {
        for (size_t i = 0; i < std::min(r->at.size(), o->at.size()); ++i)
          r->at[i] = std::max(r->at[i], o->at[i]);
      } else {
        r->others[c] = o;
      }
    auto own = std::make_shared<Clocks>();
    own->at = v->at;
    r->others[from_cluster] = own;
    return r;
  };
  t.now.seen = d.join(t.now.seen, lift(m.seen));
  t.now.async[0] = d.join(t.now.async[0], lift(m.async[0]));
  t.now.async[1] = d.join(t.now.async[1], lift(m.async[1]));
}

void add_to(RaceDomain& d, MbarrierClocks& b, const Warp& w, int lane) {
  ThreadClocks& t = d.of(w, lane);
  const ClocksRef* from[3] = {&t.now.seen, &t.now.async[0], &t.now.async[1]};
  for (int i = 0; i < 3; ++i)
    if (from[i]->get() != b.last[i]) {
      d.add(b.sum[i], from[i]->get());
      b.last[i] = from[i]->get();
      b.last_keep[i] = *from[i];
    }
  d.add_own(b.sum[0], w, lane, t.own);
  ++t.own[0];
}

void close(MbarrierClocks& b) {
  b.done.seen = b.sum[0].at.empty() ? nullptr : std::make_shared<Clocks>(b.sum[0]);
  for (int i = 0; i < 2; ++i)
    b.done.async[i] = b.sum[1 + i].at.empty() ? nullptr : std::make_shared<Clocks>(b.sum[1 + i]);
}

MbarrierClocks& clocks_of(Mbarrier& bar) {
  if (!bar.race) bar.race = std::make_shared<MbarrierClocks>();
  return *bar.race;
}

bool covers(Scope s, const SyncEntry& e, const Warp& w) {
  switch (s) {
    case Scope::none:
      return false;
    case Scope::cta:
      return e.block == w.block->linear;
    case Scope::cluster:
      return e.cluster == w.cluster->index;
    default:
      return true;
  }
}

SyncVar* sync_of(Warp& w, uint64_t object, bool make) {
  auto& map = object >> 63 ? w.cluster->race->shared_sync : w.launch->global_sync->map;
  auto it = map.find(object);
  if (it != map.end()) return &it->second;
  return make ? &map[object] : nullptr;
}

// The common idiom fences in every thread, meets at a barrier, and lets one thread signal (or look
// for the signal, meet, and fence in every thread): a fence counts for all whom a barrier joins.
void carry_fences(RaceDomain& d, const Participants& arrived, const Participants& released) {
  for (size_t s = 0; s < 4; ++s) {
    Union seen(d), async0(d), async1(d);
    bool any = false, news = false;
    const Clocks* shared = nullptr;
    for (auto [w, lanes] : arrived.lanes)
      each_lane(lanes, [&, w = w](int l) {
        const ThreadClocks::FenceMark& f = d.of(*w, l).fences[s];
        if (!f.set) return;
        news |= any && f.at.seen.get() != shared;
        news |= f.own != std::array<uint32_t, kAgents>{};
        any = true;
        shared = f.at.seen.get();
        seen.see(f.at.seen), async0.see(f.at.async[0]), async1.see(f.at.async[1]);
      });
    if (!any) continue;
    ThreadClocks::FenceMark mark;
    mark.set = true;
    if (news) {
      auto made = seen.make();
      for (auto [w, lanes] : arrived.lanes)
        each_lane(lanes, [&, w = w](int l) {
          const ThreadClocks::FenceMark& f = d.of(*w, l).fences[s];
          if (f.set) d.add_own(*made, *w, l, f.own);
        });
      mark.at = {made, {async0.only(), async1.only()}};
    } else {
      mark.at = {seen.only(), {async0.only(), async1.only()}};
    }
    for (auto [w, lanes] : released.lanes)
      each_lane(lanes, [&, w = w](int l) { d.of(*w, l).fences[s] = mark; });
  }
}

void carry_reads(RaceDomain& d, const Participants& arrived, const Participants& released) {
  constexpr size_t kMost = 256;
  std::vector<std::shared_ptr<const std::vector<SyncEntry>>> lists;
  std::shared_ptr<std::vector<SyncEntry>> made;
  auto keep = [&](const SyncEntry& e) {
    for (const SyncEntry& old : *made)
      if (old.at.seen == e.at.seen && old.scope == e.scope) return;
    if (made->size() >= kMost) made->erase(made->begin());
    made->push_back(e);
  };
  for (auto [w, lanes] : arrived.lanes)
    each_lane(lanes, [&, w = w](int l) {
      ThreadClocks& t = d.of(*w, l);
      if (t.carried && std::find(lists.begin(), lists.end(), t.carried) == lists.end())
        lists.push_back(t.carried);
      if (t.read_relaxed.empty()) return;
      if (!made) made = std::make_shared<std::vector<SyncEntry>>();
      for (const SyncEntry& e : t.read_relaxed) keep(e);
      t.read_relaxed.clear();
    });
  if (!made && lists.empty()) return;
  std::shared_ptr<const std::vector<SyncEntry>> carried;
  if (!made && lists.size() == 1) {
    carried = lists[0];
  } else {
    if (!made) made = std::make_shared<std::vector<SyncEntry>>();
    for (auto& list : lists)
      for (const SyncEntry& e : *list) keep(e);
    carried = made;
  }
  for (auto participants : {&arrived, &released})
    for (auto [w, lanes] : participants->lanes)
      each_lane(lanes, [&, w = w](int l) { d.of(*w, l).carried = carried; });
}

}  // namespace

void race_barrier(RaceDomain& d, const Participants& arrived, const Participants& released) {
  Union seen(d), async0(d), async1(d);
  for (auto [w, lanes] : arrived.lanes)
    each_lane(lanes, [&, w = w](int l) {
      ThreadClocks& t = d.of(*w, l);
      seen.see(t.now.seen);
      async0.see(t.now.async[0]);
      async1.see(t.now.async[1]);
    });
  auto made = seen.make();
  for (auto [w, lanes] : arrived.lanes)
    each_lane(lanes, [&, w = w](int l) {
      ThreadClocks& t = d.of(*w, l);
      d.add_own(*made, *w, l, t.own);
      ++t.own[0];
    });
  ClocksRef a = async0.only(), b = async1.only();
  Moment m{made, {a, b}};
  for (auto [w, lanes] : released.lanes)
    each_lane(lanes, [&, w = w](int l) { d.of(*w, l).now = m; });
  if (d.has_fences) carry_fences(d, arrived, released);
  if (d.has_relaxed_reads) carry_reads(d, arrived, released);
}

void race_warp_barrier(Warp& w, uint32_t lanes) {
  Participants p;
  p.lanes.push_back({&w, lanes});
  race_barrier(*w.cluster->race, p, p);
}

void race_release(Warp& w, int lane, uint64_t object, Scope scope, bool rmw, bool releases) {
  RaceDomain& d = *w.cluster->race;
  ThreadClocks& t = d.of(w, lane);
  int fence = -1;
  if (!releases)
    for (int s = 3; s >= 0 && fence < 0; --s)
      if (t.fences[size_t(s)].set) fence = s;
  SyncVar* v = sync_of(w, object, releases || fence >= 0);
  if (!v) return;
  if (!rmw) v->entries.clear();
  if (!releases && fence < 0) return;
  auto push = [&](Scope s, Moment m) {
    SyncEntry e;
    e.cluster = w.cluster->index, e.block = w.block->linear;
    e.scope = s;
    e.at = std::move(m);
    // Later releases of one block replace what they include: keep the list short.
    if (v->entries.size() >= 64) v->entries.erase(v->entries.begin());
    v->entries.push_back(std::move(e));
  };
  if (releases) {
    push(scope, snapshot(d, w, lane, t.now, t.own));
    ++t.own[0];
  } else {
    for (int s = 0; s < 4; ++s)
      if (t.fences[size_t(s)].set)
        push(std::min(scope, Scope(s + 1)),
             snapshot(d, w, lane, t.fences[size_t(s)].at, t.fences[size_t(s)].own));
  }
}

void race_acquire(Warp& w, int lane, uint64_t object, Scope scope, bool acquires) {
  SyncVar* v = sync_of(w, object, false);
  if (!v) return;
  RaceDomain& d = *w.cluster->race;
  ThreadClocks& t = d.of(w, lane);
  for (const SyncEntry& e : v->entries) {
    if (!covers(e.scope, e, w) || !covers(scope, e, w)) continue;
    if (acquires) {
      acquire_moment(d, t, e.at, e.cluster);
    } else {
      if (t.read_relaxed.size() >= 128) t.read_relaxed.erase(t.read_relaxed.begin());
      SyncEntry kept = e;
      kept.scope = std::min(scope, e.scope);
      t.read_relaxed.push_back(std::move(kept));
      d.has_relaxed_reads = true;
    }
  }
}

void race_fence(Warp& w, uint32_t lanes, Scope scope) {
  RaceDomain& d = *w.cluster->race;
  d.has_fences = true;
  each_lane(lanes, [&](int l) {
    ThreadClocks& t = d.of(w, l);
    for (const SyncEntry& e : t.read_relaxed)
      if (covers(scope, e, w)) acquire_moment(d, t, e.at, e.cluster);
    if (t.carried)
      for (const SyncEntry& e : *t.carried)
        if (covers(scope, e, w)) acquire_moment(d, t, e.at, e.cluster);
    if (scope >= Scope::gpu) t.read_relaxed.clear(), t.carried.reset();
    auto& f = t.fences[size_t(scope) - 1];
    f.at = t.now;
    f.own = t.own;
    f.set = true;
    ++t.own[0];
  });
}

void race_proxy_fence(Warp& w, uint32_t lanes, ProxyFence what) {
  RaceDomain& d = *w.cluster->race;
  // Everything the thread has seen, and its own accesses, become visible to the async proxy.
  each_lane(lanes, [&](int l) {
    ThreadClocks& t = d.of(w, l);
    auto mine = t.now.seen ? std::make_shared<Clocks>(*t.now.seen) : std::make_shared<Clocks>();
    d.add_own(*mine, w, l, t.own);
    for (int s = 0; s < 2; ++s) {
      if (what == ProxyFence::global && s == 0) continue;
      if (what == ProxyFence::shared && s == 1) continue;
      if (t.now.async[s]) {
        auto both = std::make_shared<Clocks>(*mine);
        d.add(*both, t.now.async[s].get());
        t.now.async[s] = both;
      } else {
        t.now.async[s] = mine;
      }
    }
    ++t.own[0];
  });
}

void race_mbarrier_arrive(Warp& w, int lane, Mbarrier& bar, bool releases) {
  if (releases) add_to(*w.cluster->race, clocks_of(bar), w, lane);
}

void race_mbarrier_phase(Cluster&, Mbarrier& bar) {
  if (bar.race) close(*bar.race);
}

void race_mbarrier_wait(Warp& w, int lane, Mbarrier& bar, uint64_t phase, bool acquires) {
  if (!acquires || !bar.race || phase == 0) return;
  acquire_moment(*w.cluster->race, w.cluster->race->of(w, lane), bar.race->done, w.cluster->index);
}

void race_mbarrier_init(Warp& w, int lane, Mbarrier& bar) {
  bar.init_clock = w.cluster->race->of(w, lane).own[0];
}

bool race_mbarrier_init_ordered(Warp& w, int lane, const Mbarrier& bar, bool) {
  if (bar.init_thread < 0) return true;
  RaceDomain& d = *w.cluster->race;
  const ClocksRef& v = d.of(w, lane).now.async[0];
  return v && size_t(bar.init_thread) < v->at.size() &&
         v->at[size_t(bar.init_thread)] >= bar.init_clock;
}

void race_agent_done(Warp& w, int lane, Agent agent, uint32_t clock) {
  uint32_t& c = w.cluster->race->of(w, lane).own[size_t(agent)];
  c = std::max(c, clock);
}

void race_cp_async_arrive(Warp& w, int lane, Mbarrier& bar, uint32_t group) {
  RaceDomain& d = *w.cluster->race;
  MbarrierClocks& b = clocks_of(bar);
  if (b.sum[0].at.empty()) b.sum[0].at.assign(d.size, 0);
  uint32_t& c =
      b.sum[0].at[size_t(agent_slot(d, Agent::cp_async, w.cluster_index)) * 32 + size_t(lane)];
  c = std::max(c, group);
}

CopySlot race_copy_slot(Warp& w, int) {
  RaceDomain& d = *w.cluster->race;
  uint32_t i = d.next_copy++ % uint32_t(d.copy_clock.size());
  CopySlot s;
  s.slot = d.copy_base + i / 32;
  s.lane = i % 32;
  s.clock = ++d.copy_clock[i];
  return s;
}

void race_copy_complete(Cluster& c, const CopySlot& slot, Mbarrier& bar) {
  RaceDomain& d = *c.race;
  MbarrierClocks& b = clocks_of(bar);
  if (b.sum[0].at.empty()) b.sum[0].at.assign(d.size, 0);
  uint32_t& v = b.sum[0].at[size_t(slot.slot) * 32 + slot.lane];
  v = std::max(v, slot.clock);
}

void race_cluster_arrive(Warp& w, uint32_t lanes, bool releases) {
  if (releases)
    each_lane(lanes,
              [&](int l) { add_to(*w.cluster->race, w.cluster->race->cluster_barrier, w, l); });
}
void race_cluster_release(Cluster& c) { close(c.race->cluster_barrier); }
void race_cluster_wait(Warp& w, uint32_t lanes, bool acquires) {
  if (!acquires) return;
  RaceDomain& d = *w.cluster->race;
  each_lane(lanes, [&](int l) {
    acquire_moment(d, d.of(w, l), d.cluster_barrier.done, w.cluster->index);
  });
}

}  // namespace tess::ptxsim
