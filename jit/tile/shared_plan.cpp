#include "jit/tile/shared_plan.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "isa/layout_ops.h"
#include "isa/regions.h"
#include "isa/verify_kernel.h"

namespace tess::jit {
namespace {

constexpr uint32_t kNone = ~0u;

// A tile whose last use may still be in flight, and what settles it.
enum class Settle : uint8_t { at_once, async_wait, wgmma_wait, bulk_wait, never };

Settle settled_by(const Inst& inst, bool writes) {
  switch (op_info(inst.op).rule) {
    case Rule::copy_async_:
      return Settle::async_wait;
    case Rule::wgmma_:
      return Settle::wgmma_wait;
    case Rule::tma_:
    case Rule::copy_bulk_:
      return writes ? Settle::never : Settle::bulk_wait;
    default:
      return Settle::at_once;
  }
}

Op wait_of(Settle s) {
  return s == Settle::async_wait   ? Op::copy_async_wait
         : s == Settle::wgmma_wait ? Op::wgmma_wait
                                   : Op::tma_wait;
}

class Lives {
 public:
  Lives(const Kernel& k, const KernelInfo& info)
      : k_(k), info_(info), regions_(k), around_(k.code.size(), kNone), declared_(k.values.size()) {
    std::vector<uint32_t> open;
    for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
      Op op = k.code[pc].op;
      if (op == Op::end || op == Op::else_) open.pop_back();
      around_[pc] = open.empty() ? kNone : open.back();
      if (op == Op::else_ || opens(op)) open.push_back(pc);
    }
  }

  std::map<uint32_t, LiveRange> run() {
    find_roots();
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) visit(pc);
    return std::move(live_);
  }

 private:
  static bool opens(Op op) {
    return op == Op::for_ || op == Op::while_ || op == Op::if_ || op == Op::parallel ||
           op == Op::warps;
  }
  static bool in_memory(const Type& t) {
    return t.space == Space::shared || t.space == Space::mbar;
  }
  uint32_t end_of(uint32_t opener) const {
    uint32_t end = info_.match[opener];
    return k_.code[end].op == Op::else_ ? info_.match[end] : end;
  }

  void find_roots() {
    std::map<uint32_t, uint32_t> root_of_view;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      const Inst& inst = k_.code[pc];
      if (!inst.n_results) continue;
      uint32_t v = k_.results(inst)[0].index();
      if (inst.op == Op::smem || inst.op == Op::mbar) {
        declared_[v] = pc;
        live_[v] = {pc, pc};
        if (inst.op == Op::mbar || has_shared_words(k_.values[v].type)) stay(v);
      } else if (in_memory(k_.values[v].type) && inst.n_args) {
        // A name for parts of several tiles: each of them may be meant.
        Ref r = k_.args(inst)[0];
        if (!r.is_value() && !r.is_access()) continue;
        uint32_t base = r.is_access() ? k_.accesses[r.index()].base : r.index();
        auto origin = root_of_view.contains(base) ? root_of_view[base] : base;
        auto [known, fresh] = root_of_view.emplace(v, origin);
        if (!fresh && known->second != origin) {
          stay(origin);
          stay(known->second);
        }
        if (inst.op == Op::cluster_map) stay(origin);
      }
    }
  }

  void stay(uint32_t root) {
    auto it = live_.find(root);
    if (it != live_.end()) it->second = {0, static_cast<uint32_t>(k_.code.size())};
  }

  void visit(uint32_t pc) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    if (inst.n_results && in_memory(k_.values[k_.results(inst)[0].index()].type)) return;
    for (size_t a = 0; a < inst.n_args; ++a) {
      auto region = regions_.of(k_.args(inst)[a]);
      if (!region || !in_memory(k_.values[region->base].type)) continue;
      uint32_t root = regions_.root(region->base);
      if (!live_.contains(root)) continue;
      std::optional<bool> writes = operand_writes(op, a);
      bool atomic = op.effect == Effect::atomic && a == 0;
      if (regions_.remote(region->base) || (!writes && !atomic)) {
        stay(root);
        continue;
      }
      use(root, pc, settled_by(inst, writes.value_or(true)));
    }
  }

  void use(uint32_t root, uint32_t pc, Settle settle) {
    LiveRange r{pc, pc};
    uint32_t declared = declared_[root], outermost = pc;
    for (uint32_t o = around_[pc]; o != kNone; o = around_[o]) {
      Op op = k_.code[o].op;
      bool holds = op == Op::parallel || ((op == Op::for_ || op == Op::while_) &&
                                          !(o < declared && declared < end_of(o)));
      if (!holds) continue;
      r = {o, end_of(o)};
      outermost = o;
    }
    if (settle != Settle::at_once) {
      auto wait = settle == Settle::never ? std::nullopt : wait_after(r.last, outermost, settle);
      if (!wait) return stay(root);
      r.last = *wait;
      for (uint32_t o = around_[*wait]; o != kNone; o = around_[o])
        if (k_.code[o].op == Op::parallel) r.last = std::max(r.last, end_of(o));
    }
    LiveRange& live = live_[root];
    bool unused = live.first == live.last && live.first == declared;
    live = unused ? r : LiveRange{std::min(live.first, r.first), std::max(live.last, r.last)};
  }

  // The next wait for everything that is sure to be reached from behind `place`.
  std::optional<uint32_t> wait_after(uint32_t from, uint32_t place, Settle settle) const {
    for (uint32_t pc = from + 1; pc < k_.code.size(); ++pc) {
      const Inst& inst = k_.code[pc];
      if (inst.op == Op::break_ || inst.op == Op::continue_ || inst.op == Op::test) return {};
      if (inst.op != wait_of(settle) || constant_of(k_, k_.args(inst)[0]) != 0) continue;
      for (uint32_t o = around_[place];; o = around_[o]) {
        if (o == around_[pc]) return pc;
        if (o == kNone) break;
      }
    }
    return {};
  }

  const Kernel& k_;
  const KernelInfo& info_;
  Regions regions_;
  std::vector<uint32_t> around_;    // by instruction: what opened the block it is in
  std::vector<uint32_t> declared_;  // by value
  std::map<uint32_t, LiveRange> live_;
};

Result<std::vector<SharedTile>> shared_tiles(const Module& m, const Kernel& k,
                                             const KernelInfo& info) {
  std::vector<SharedTile> out;
  TESS_TRY(std::deque<Layout> layouts, parse_layouts(m));
  std::map<uint32_t, LiveRange> lives = Lives(k, info).run();
  for (const Inst& inst : k.code) {
    if (inst.op != Op::smem && inst.op != Op::mbar) continue;
    SharedTile t;
    t.value = k.results(inst)[0].index();
    t.live = lives[t.value];
    const Type& type = k.values[t.value].type;
    if (inst.op == Op::mbar) {
      t.alignment = 8;
      t.bytes = type.shape[0] * 8;
      out.push_back(t);
      continue;
    }
    int64_t elements = 1;
    for (int64_t n : type.shape) elements *= n;
    t.alignment = 128;
    if (auto i = k.attr(inst, AttrTag::layout)) {
      const Layout& layout = layouts[static_cast<size_t>(*i)];
      elements = extent_of(layout);
      if (type.ring && layout.dims + 1 == type.shape.rank) elements *= type.shape[0];
      if (!layout.bits.identity()) t.alignment = 1024;
    }
    int bits = type.dtype.is_bool() ? 8 : type.dtype.bits;
    t.bytes = (elements * bits + 7) / 8;
    out.push_back(t);
  }
  return out;
}

class Fit {
 public:
  Fit(const Module& m, const Kernel& k, const KernelInfo& info, OverlapPrice price)
      : m_(m), k_(k), info_(info), price_(price) {}

  // Largest first; each at the lowest place that is free.
  void run(std::vector<SharedTile>& tiles) {
    std::vector<size_t> order(tiles.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return tiles[a].bytes > tiles[b].bytes; });
    std::vector<const SharedTile*> placed;
    for (size_t i : order) {
      SharedTile& t = tiles[i];
      std::vector<const SharedTile*> taken;
      for (const SharedTile* o : placed)
        if (!may_share(t, *o)) taken.push_back(o);
      std::sort(taken.begin(), taken.end(),
                [](const SharedTile* a, const SharedTile* b) { return a->place < b->place; });
      for (const SharedTile* o : taken)
        if (t.shares_bytes(*o)) t.place = (o->end() + t.alignment - 1) / t.alignment * t.alignment;
      placed.push_back(&t);
    }
  }

 private:
  bool may_share(const SharedTile& a, const SharedTile& b) const {
    if (a.live.meets(b.live)) return false;
    std::vector<uint32_t> missing =
        barriers_between(m_, k_, info_, {{std::min(a.value, b.value), std::max(a.value, b.value)}});
    return std::all_of(missing.begin(), missing.end(), [&](uint32_t pc) {
      return price_ == OverlapPrice::outside_loops && !in_loop(pc);
    });
  }
  bool in_loop(uint32_t pc) const {
    for (uint32_t o = 0; o < pc; ++o)
      if ((k_.code[o].op == Op::for_ || k_.code[o].op == Op::while_) && info_.match[o] > pc)
        return true;
    return false;
  }

  const Module& m_;
  const Kernel& k_;
  const KernelInfo& info_;
  OverlapPrice price_;
};

}  // namespace

Result<SharedPlan> plan_shared_memory(const Module& m, const Kernel& k, const KernelInfo& info,
                                      OverlapPrice price) {
  SharedPlan plan;
  TESS_TRY(plan.tiles, shared_tiles(m, k, info));
  Fit(m, k, info, price).run(plan.tiles);
  for (const SharedTile& t : plan.tiles) plan.bytes = std::max(plan.bytes, t.end());
  return plan;
}

bool has_shared_words(const Type& tile) {
  return tile.space == Space::shared && !tile.dtype.is_bool() && tile.dtype.bits < 8 &&
         tile.shape.rank > 0 && tile.shape[tile.shape.rank - 1] * tile.dtype.bits % 32 != 0;
}

SharedPairs overlapping(const SharedPlan& plan) {
  SharedPairs out;
  for (const SharedTile& a : plan.tiles)
    for (const SharedTile& b : plan.tiles)
      if (a.value < b.value && a.shares_bytes(b)) out.emplace(a.value, b.value);
  return out;
}

}  // namespace tess::jit
