#include "jit/tile/barriers.h"

#include <algorithm>
#include <set>
#include <string>

#include "isa/regions.h"
#include "isa/verify_kernel.h"
#include "jit/tile/shared_plan.h"

namespace tess::jit {
namespace {

// What threads of a strand did to memory. Two accesses with one key touch each element by the same
// thread: the same part in the same register layout, none of its indices assigned since. An empty
// key is equal to none.
struct Touch {
  uint32_t root = 0;
  std::string key;
  std::vector<uint32_t> indices;  // values that the key speaks of
  auto operator<=>(const Touch&) const = default;
};
using Touches = std::set<Touch>;

bool holds_copies(const Layout& l) {
  int64_t elements = 1;
  for (int64_t s : l.shape) elements *= s;
  return input_size(l) > elements;
}

// What they did since they last met.
struct Pending {
  Touches read, written, updated;  // updated: by atomics
  std::set<uint32_t> in_flight;    // destinations of copies that nobody has waited for
  bool reached = true;

  bool operator==(const Pending&) const = default;
  void join(const Pending& o) {
    if (!o.reached) return;
    if (!reached) {
      *this = o;
      return;
    }
    read.insert(o.read.begin(), o.read.end());
    written.insert(o.written.begin(), o.written.end());
    updated.insert(o.updated.begin(), o.updated.end());
    in_flight.insert(o.in_flight.begin(), o.in_flight.end());
  }
  void meet_all() {
    read.clear();
    written.clear();
    updated.clear();
  }
  // `value` is about to change.
  void forget(uint32_t value) {
    for (Touches* set : {&read, &written, &updated}) {
      Touches kept;
      for (Touch t : *set) {
        if (std::find(t.indices.begin(), t.indices.end(), value) != t.indices.end()) {
          t.key.clear();
          t.indices.clear();
        }
        kept.insert(std::move(t));
      }
      *set = std::move(kept);
    }
  }
};

class Placer {
 public:
  // `pairs`: only tiles that take each other's place are looked at; null: all memory, each tile
  // against itself.
  Placer(const Module& m, const Kernel& k, const KernelInfo& info, const SharedPairs* pairs)
      : k_(k), info_(info), pairs_(pairs), regions_(k), layout_(k.values.size(), -1) {
    auto layouts = parse_layouts(m);
    copies_.assign(m.layouts.size(), true);
    for (size_t i = 0; layouts && i < layouts->size(); ++i)
      copies_[i] = holds_copies((*layouts)[i]);
    for (const Inst& inst : k.code)
      if (auto l = k.attr(inst, AttrTag::layout))
        for (Ref r : k.results(inst)) layout_[r.index()] = *l;
  }

  std::vector<uint32_t> run() {
    Pending state;
    walk(0, static_cast<uint32_t>(k_.code.size()), state);
    std::sort(before_.begin(), before_.end());
    before_.erase(std::unique(before_.begin(), before_.end()), before_.end());
    return before_;
  }

 private:
  bool meet(const Touches& a, const Touches& b) const {
    for (const Touch& x : a)
      for (const Touch& y : b) {
        if (pairs_ ? pairs_->contains({std::min(x.root, y.root), std::max(x.root, y.root)})
                   : x.root == y.root && (x.key.empty() || x.key != y.key))
          return true;
      }
    return false;
  }

  bool tracked(uint32_t root) const {
    if (pairs_)
      return std::any_of(pairs_->begin(), pairs_->end(), [&](const auto& pair) {
        return pair.first == root || pair.second == root;
      });
    const Type& t = k_.values[root].type;
    if (t.space == Space::shared) return true;
    if (t.space != Space::global || root >= k_.params.size()) return false;
    return k_.params[root].dir != Direction::in || k_.params[root].may_alias;
  }

  // The register layout in which an instruction moves a tile: its own, or its operand's.
  int64_t layout_of(const Inst& inst) const {
    if (auto l = k_.attr(inst, AttrTag::layout)) return *l;
    for (Ref r : k_.args(inst))
      if (r.is_value() && layout_[r.index()] >= 0) return layout_[r.index()];
    return -1;
  }

  Touch touch(const Inst& inst, const Region& region) {
    Touch t;
    t.root = regions_.root(region.base);
    bool plain = inst.op == Op::load || inst.op == Op::store;
    int64_t layout = layout_of(inst);
    if (!plain || layout < 0 || copies_[static_cast<size_t>(layout)]) return t;
    t.key = std::to_string(layout) + "@" + std::to_string(region.base);
    for (const Index& i : region.indices) {
      t.key += "," + std::to_string(static_cast<int>(i.kind)) + ":" + std::to_string(i.start.bits) +
               ":" + std::to_string(i.stop.bits) + ":" + std::to_string(i.extent);
      for (Ref r : {i.start, i.stop})
        if (r.is_value()) t.indices.push_back(r.index());
    }
    return t;
  }

  void step(uint32_t pc, Pending& s) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    if (inst.op == Op::barrier || inst.op == Op::barrier_reduce || inst.op == Op::grid_sync ||
        inst.op == Op::cluster_sync) {
      s.meet_all();
      return;
    }
    if (inst.op == Op::copy_async_wait) {
      for (uint32_t root : s.in_flight) s.written.insert({root, {}, {}});
      return;
    }
    bool atomic = op.effect == Effect::atomic;
    Touches reads, writes;
    for (size_t a = 0; a < inst.n_args; ++a) {
      auto write = operand_writes(op, a);
      Ref r = k_.args(inst)[a];
      if (atomic && a == 0) write = true;
      if (!write || !(r.is_access() || r.is_value())) continue;
      auto region = regions_.of(r);
      if (!region || regions_.remote(region->base) || !tracked(regions_.root(region->base)))
        continue;
      (*write ? writes : reads).insert(touch(inst, *region));
    }
    // Atomics do not conflict with each other.
    bool conflict = meet(reads, s.written) || meet(reads, s.updated) || meet(writes, s.read) ||
                    meet(writes, s.written) || (!atomic && meet(writes, s.updated));
    if (conflict) {
      if (recording_) before_.push_back(pc);
      s.meet_all();
    }
    s.read.insert(reads.begin(), reads.end());
    if (op.rule == Rule::copy_async_) {
      for (const Touch& t : writes) s.in_flight.insert(t.root);
    } else {
      (atomic ? s.updated : s.written).insert(writes.begin(), writes.end());
    }
    for (Ref r : k_.results(inst)) s.forget(r.index());
  }

  // Instructions [from, to), which nest properly.
  void walk(uint32_t from, uint32_t to, Pending& s) {
    for (uint32_t pc = from; pc < to; ++pc) {
      const Inst& inst = k_.code[pc];
      uint32_t match = info_.match[pc];
      switch (inst.op) {
        case Op::for_:
        case Op::while_: {
          loop(pc, match, s);
          pc = match;
          break;
        }
        case Op::if_: {
          Pending other = s;
          walk(pc + 1, match, s);
          uint32_t end = match;
          if (k_.code[match].op == Op::else_) {
            end = info_.match[match];
            walk(match + 1, end, other);
          }
          s.join(other);
          pc = end;
          break;
        }
        case Op::parallel: {
          // A strand meets the others where it begins and ends.
          for (uint32_t at = pc + 1; k_.code[at].op == Op::warps; at = info_.match[at] + 1) {
            Pending strand;
            walk(at + 1, info_.match[at], strand);
          }
          s.meet_all();
          pc = match;
          break;
        }
        case Op::break_:
          if (!loops_.empty()) loops_.back().out.join(s);
          s.reached = false;
          return;
        case Op::continue_:
          if (!loops_.empty()) loops_.back().next.join(s);
          s.reached = false;
          return;
        case Op::return_:
          s.reached = false;
          return;
        case Op::test:
          if (!loops_.empty()) loops_.back().out.join(s);
          break;
        default:
          step(pc, s);
          break;
      }
    }
  }

  void loop(uint32_t pc, uint32_t end, Pending& s) {
    Pending head = s;
    bool record = recording_;
    recording_ = false;
    for (;;) {
      Pending around = body(pc, end, head, nullptr);
      Pending joined = head;
      joined.join(around);
      if (joined == head) break;
      head = joined;
    }
    recording_ = record;
    Pending out;
    out.reached = false;
    Pending around = body(pc, end, head, &out);
    out.join(head);  // no iteration
    out.join(around);
    s = out;
  }

  Pending body(uint32_t pc, uint32_t end, Pending s, Pending* out) {
    loops_.emplace_back();
    loops_.back().out.reached = loops_.back().next.reached = false;
    for (Ref r : k_.results(k_.code[pc])) s.forget(r.index());
    walk(pc + 1, end, s);
    s.join(loops_.back().next);
    if (out) out->join(loops_.back().out);
    loops_.pop_back();
    return s;
  }

  struct Loop {
    Pending out, next;
  };
  const Kernel& k_;
  const KernelInfo& info_;
  const SharedPairs* pairs_;
  Regions regions_;
  std::vector<int64_t> layout_;  // by value; -1: none
  std::vector<bool> copies_;     // by layout: some element is in several threads
  std::vector<Loop> loops_;
  std::vector<uint32_t> before_;
  bool recording_ = true;
};

void insert_barriers(Kernel& k, const std::vector<uint32_t>& before) {
  std::vector<Inst> code;
  size_t next = 0;
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    if (next < before.size() && before[next] == pc) {
      Inst barrier;
      barrier.op = Op::barrier;
      barrier.first_ref = static_cast<uint32_t>(k.refs.size());
      barrier.first_attr = static_cast<uint32_t>(k.attrs.size());
      barrier.loc = k.code[pc].loc;
      code.push_back(barrier);
      ++next;
    }
    code.push_back(k.code[pc]);
  }
  k.code = std::move(code);
}

}  // namespace

std::vector<uint32_t> barriers_between(const Module& m, const Kernel& k, const KernelInfo& info,
                                       const SharedPairs& pairs) {
  return Placer(m, k, info, &pairs).run();
}

Module place_barriers(const VerifiedModule& module, size_t kernel) {
  Module out = module.module();
  out.kernels = {module.kernel(kernel)};
  Kernel& k = out.kernels[0];
  if (k.sync_manual) return out;
  insert_barriers(k, Placer(out, k, module.info(kernel), nullptr).run());
  // Fences between the proxies are the lowering's: where asynchronous ones occur, `auto` stays.
  k.sync_manual = std::none_of(k.code.begin(), k.code.end(), [](const Inst& i) {
    return op_info(i.op).arch == Arch::sm_90a;
  });
  Diagnostics none;
  std::optional<VerifiedModule> placed = verify(out, none);
  if (!placed) return out;  // the next step says what is wrong
  auto plan = plan_shared_memory(out, k, placed->info(0), OverlapPrice::outside_loops);
  if (!plan) return out;
  insert_barriers(k, barriers_between(out, k, placed->info(0), overlapping(*plan)));
  return out;
}

}  // namespace tess::jit
