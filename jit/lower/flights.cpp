#include "jit/lower/flights.h"

#include <algorithm>

#include "isa/regions.h"

namespace tess::jit {
namespace {

// Groups committed since a wgmma's own; -1: its own is still open. Where paths meet the youngest
// counts, which is waited for last.
struct State {
  std::map<uint32_t, int> age;
  bool reached = true;
  bool operator==(const State&) const = default;
  void join(const State& o) {
    if (!o.reached) return;
    if (!reached) {
      *this = o;
      return;
    }
    for (auto [pc, a] : o.age) {
      auto [it, fresh] = age.try_emplace(pc, a);
      if (!fresh) it->second = std::min(it->second, a);
    }
  }
};

class Walk {
 public:
  Walk(const Kernel& k, const KernelInfo& info, Flights& out) : k_(k), info_(info), out_(out) {}

  void run(uint32_t from, uint32_t to, State& s) {
    for (uint32_t pc = from; pc < to && s.reached; ++pc) {
      const Inst& inst = k_.code[pc];
      uint32_t match = info_.match[pc];
      switch (inst.op) {
        case Op::for_:
        case Op::while_:
          loop(pc, match, s);
          pc = match;
          break;
        case Op::if_: {
          State other = s;
          run(pc + 1, match, s);
          uint32_t end = match;
          if (k_.code[match].op == Op::else_) {
            end = info_.match[match];
            run(match + 1, end, other);
          }
          s.join(other);
          pc = end;
          break;
        }
        case Op::warps: {
          State strand;
          run(pc + 1, match, strand);
          pc = match;
          break;
        }
        case Op::break_:
        case Op::continue_:
          if (!loops_.empty())
            (inst.op == Op::break_ ? loops_.back().out : loops_.back().next).join(s);
          s.reached = false;
          break;
        case Op::return_:
          s.reached = false;
          break;
        case Op::test:
          if (!loops_.empty()) loops_.back().out.join(s);
          break;
        default:
          step(pc, s);
      }
    }
  }

 private:
  void step(uint32_t pc, State& s) {
    const Inst& inst = k_.code[pc];
    if (inst.op == Op::wgmma) {
      if (auto it = s.age.find(pc); it != s.age.end()) out_.again[pc] = it->second;
      std::vector<uint32_t> before;
      for (auto [other, a] : s.age) before.push_back(other);
      out_.before[pc] = std::move(before);
      s.age[pc] = -1;
    } else touch(pc, inst, s);
    if (inst.op == Op::wgmma_commit)
      for (auto& [site, a] : s.age) ++a;
    if (inst.op == Op::wgmma_wait) {
      int n = static_cast<int>(constant_of(k_, k_.args(inst)[0]).value_or(0));
      std::vector<uint32_t> landed;
      for (auto [site, a] : s.age)
        if (a >= n) landed.push_back(site);
      for (uint32_t site : landed) s.age.erase(site);
      out_.landed[pc] = std::move(landed);
    }
  }

  void touch(uint32_t pc, const Inst& inst, State& s) {
    int groups = -1;
    auto look = [&](Ref r) {
      if (!r.is_value()) return;
      for (auto [site, a] : s.age)
        if (k_.results(k_.code[site])[0].index() == r.index() && a >= 0)
          groups = groups < 0 ? a : std::min(groups, a);
    };
    for (Ref r : k_.args(inst)) look(r);
    for (Ref r : k_.results(inst)) look(r);
    if (groups < 0) return;
    Flights::Settle settle{static_cast<uint32_t>(groups), {}};
    for (auto [site, a] : s.age)
      if (a >= groups) settle.landed.push_back(site);
    for (uint32_t site : settle.landed) s.age.erase(site);
    out_.settle[pc] = std::move(settle);
  }

  void loop(uint32_t pc, uint32_t end, State& s) {
    State head = s;
    for (;;) {
      loops_.emplace_back();
      loops_.back().out.reached = loops_.back().next.reached = false;
      State body = head;
      run(pc + 1, end, body);
      body.join(loops_.back().next);
      State out = loops_.back().out;
      loops_.pop_back();
      State joined = head;
      joined.join(body);
      if (joined == head) {
        out.join(head);
        s = out;
        return;
      }
      head = joined;
    }
  }

  struct Loop {
    State out, next;
  };
  const Kernel& k_;
  const KernelInfo& info_;
  Flights& out_;
  std::vector<Loop> loops_;
};

}  // namespace

Flights find_flights(const Kernel& k, const KernelInfo& info) {
  Flights out;
  State start;
  Walk(k, info, out).run(0, static_cast<uint32_t>(k.code.size()), start);
  return out;
}

}  // namespace tess::jit
