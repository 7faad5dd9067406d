#include "jit/tile/barriers.h"

#include <algorithm>
#include <set>

#include "isa/regions.h"

namespace tess::jit {
namespace {

// Roots that threads of the strand have touched since they last met.
struct Pending {
  std::set<uint32_t> read, written;
  std::set<uint32_t> in_flight;  // destinations of copies that nobody has waited for
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
    in_flight.insert(o.in_flight.begin(), o.in_flight.end());
  }
};

class Placer {
 public:
  Placer(const Kernel& k, const KernelInfo& info) : k_(k), info_(info), regions_(k) {}

  std::vector<uint32_t> run() {
    Pending state;
    walk(0, static_cast<uint32_t>(k_.code.size()), state);
    std::sort(before_.begin(), before_.end());
    before_.erase(std::unique(before_.begin(), before_.end()), before_.end());
    return before_;
  }

 private:
  bool tracked(uint32_t root) const {
    const Type& t = k_.values[root].type;
    if (t.space == Space::shared) return true;
    if (t.space != Space::global || root >= k_.params.size()) return false;
    return k_.params[root].dir != Direction::in || k_.params[root].may_alias;
  }

  void step(uint32_t pc, Pending& s) {
    const Inst& inst = k_.code[pc];
    const OpInfo& op = op_info(inst.op);
    if (inst.op == Op::barrier || inst.op == Op::barrier_reduce || inst.op == Op::grid_sync ||
        inst.op == Op::cluster_sync) {
      s.read.clear();
      s.written.clear();
      return;
    }
    if (inst.op == Op::copy_async_wait) {
      s.written.insert(s.in_flight.begin(), s.in_flight.end());
      return;
    }
    bool atomic = op.effect == Effect::atomic;
    std::set<uint32_t> reads, writes;
    for (size_t a = 0; a < inst.n_args; ++a) {
      auto write = operand_writes(op, a);
      Ref r = k_.args(inst)[a];
      if (atomic && a == 0) write = true;
      if (!write || !(r.is_access() || r.is_value())) continue;
      auto region = regions_.of(r);
      if (!region || regions_.remote(region->base)) continue;
      uint32_t root = regions_.root(region->base);
      if (!tracked(root)) continue;
      (*write ? writes : reads).insert(root);
    }
    auto meets = [](const std::set<uint32_t>& a, const std::set<uint32_t>& b) {
      return std::any_of(a.begin(), a.end(), [&](uint32_t x) { return b.count(x) > 0; });
    };
    // Atomics do not conflict with each other.
    bool conflict = meets(reads, s.written) || meets(writes, s.read) ||
                    (!atomic && meets(writes, s.written)) ||
                    (atomic && meets(writes, plain_writes(s)));
    if (conflict) {
      if (recording_) before_.push_back(pc);
      s.read.clear();
      s.written.clear();
      by_atomics_.clear();
    }
    s.read.insert(reads.begin(), reads.end());
    bool copies = op.rule == Rule::copy_async_;
    for (uint32_t root : writes) {
      if (copies) s.in_flight.insert(root);
      else s.written.insert(root);
      if (atomic) by_atomics_.insert(root);
      else by_atomics_.erase(root);
    }
  }

  std::set<uint32_t> plain_writes(const Pending& s) const {
    std::set<uint32_t> out;
    for (uint32_t root : s.written)
      if (!by_atomics_.count(root)) out.insert(root);
    return out;
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
          s.read.clear();
          s.written.clear();
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
  Regions regions_;
  std::vector<Loop> loops_;
  std::set<uint32_t> by_atomics_;
  std::vector<uint32_t> before_;
  bool recording_ = true;
};

}  // namespace

Module place_barriers(const VerifiedModule& module, size_t kernel) {
  Module out = module.module();
  Kernel k = module.kernel(kernel);
  if (!k.sync_manual) {
    std::vector<uint32_t> before = Placer(k, module.info(kernel)).run();
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
    k.sync_manual = true;
  }
  out.kernels = {std::move(k)};
  return out;
}

}  // namespace tess::jit
