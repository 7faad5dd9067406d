// Results of asynchronous instructions that are read before they are there. Only what is certain is
// an error: an item is kept over a merge of paths only if it is unfinished on each of them, and two
// places are one only if their indices are the same values or constants.
//
// Two passes over the linear code: in the first a loop starts with the state before it, in the
// second with the state at the end of its body. Both are states of a run, so what either finds is
// real.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "isa/diag/verify.h"
#include "isa/verify_kernel.h"

namespace tess {
namespace {

enum class Engine : uint8_t {
  wgmma,
  copy,
  arrived
};  // `arrived`: an mbarrier says when it is there
constexpr int kOpen = -1;
constexpr size_t kMostItems = 64;  // the oldest are forgotten: the check stays linear

struct Item {
  Engine kind;
  int age;         // groups closed since its own, or kOpen
  uint32_t value;  // wgmma: the result; arrived: the mbarriers
  Region region;   // the destination in shared memory
  uint32_t pc;

  bool same(const Item& o) const {
    return kind == o.kind && value == o.value && region.base == o.region.base &&
           region.indices == o.region.indices;
  }
};

using State = std::optional<std::vector<Item>>;  // none: not reached

// What is unfinished on both paths, as far on as on the further one.
State meet(const State& a, const State& b) {
  if (!a) return b;
  if (!b) return a;
  State out{std::vector<Item>{}};
  for (const Item& x : *a)
    for (const Item& y : *b) {
      if (!x.same(y)) continue;
      out->push_back(x);
      out->back().age = std::max(x.age, y.age);
      break;
    }
  return out;
}

struct Frame {
  Op op;
  uint32_t pc;
  State before;  // if: before the branches; loops: before the loop
  State then;    // if: at the end of the first branch
  State exit;    // loops: where `break`, `test` and the end of the range leave it
  State next;    // loops: where `continue` goes on
};

// Which operands of the row read the memory that they name.
bool reads_memory(const OpInfo& op, size_t operand) {
  switch (op.rule) {
    case Rule::load_:
    case Rule::gather_:
    case Rule::atomic_:
      return operand == 0;
    case Rule::mma_:
    case Rule::wgmma_:
    case Rule::mma_scaled_:
      return true;
    case Rule::tma_:
    case Rule::copy_bulk_:
      return operand == 1;
    default:
      return false;
  }
}

Engine kind_of_group(Op op) {
  return op == Op::wgmma_commit || op == Op::wgmma_wait ? Engine::wgmma : Engine::copy;
}

}  // namespace

// Groups that are waited for in vain, or never.
static std::string group_family(Op wait) {
  return wait == Op::wgmma_wait ? "wgmma" : wait == Op::copy_async_wait ? "copy.async" : "tma";
}

void KernelVerifier::check_group_counts() {
  struct Family {
    Op start, commit, wait;
  };
  constexpr Family kFamilies[] = {
      {Op::wgmma, Op::wgmma_commit, Op::wgmma_wait},
      {Op::copy_async, Op::copy_async_commit, Op::copy_async_wait},
      {Op::tma_store, Op::tma_commit, Op::tma_wait},
  };
  // Per section (or the code outside of sections) and family.
  struct Count {
    int64_t commits = 0;
    bool in_loop = false, waited = false;
    uint32_t started = kNoSection;
  };
  std::map<std::pair<uint32_t, int>, Count> counts;
  auto walk = [&](auto visit) {
    int loops = 0;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      Op op = k_.code[pc].op;
      Op opened = op == Op::end ? k_.code[info_.match[pc]].op : op;
      bool loop = opened == Op::for_ || opened == Op::while_;
      if (op == Op::end && loop) --loops;
      for (int f = 0; f < 3; ++f)
        visit(pc, op, kFamilies[f], counts[{info_.section[pc], f}], loops);
      if (op != Op::end && loop) ++loops;
    }
  };
  walk([&](uint32_t pc, Op op, const Family& f, Count& c, int loops) {
    if (op == f.commit) ++c.commits, c.in_loop |= loops > 0;
    if (op == f.start && c.started == kNoSection) c.started = pc;
    c.waited |= op == f.wait || (f.start == Op::copy_async && op == Op::copy_async_arrive);
  });
  walk([&](uint32_t pc, Op op, const Family& f, Count& c, int) {
    if (op != f.wait || c.in_loop) return;
    int64_t n = constant_of(k_, k_.args(k_.code[pc])[0]).value_or(0);
    if (n < c.commits) return;
    report_at(pc, diag::wait_in_vain,
              fmt::format("`{} {}` waits for nothing: at most {} group{} can be unfinished",
                          op_info(op).name, n, c.commits, c.commits == 1 ? "" : "s"),
              c.commits ? fmt::format("`{} {}`", op_info(op).name, c.commits - 1)
                        : fmt::format("`{}.commit` closes a group", group_family(op)));
  });
  for (auto& [where, c] : counts) {
    const Family& f = kFamilies[where.second];
    if (c.started == kNoSection || c.waited || f.start == Op::tma_store) continue;
    report_at(
        c.started, diag::never_waited,
        fmt::format("no `{}` follows this `{}`", op_info(f.wait).name, op_info(f.start).name));
  }
}

void KernelVerifier::check_groups(const Regions& regions) {
  check_group_counts();
  std::map<uint32_t, State> at_end_of_body;
  std::vector<uint8_t> reported(k_.code.size(), 0);
  bool async_arrivals =
      std::ranges::any_of(k_.code, [](const Inst& i) { return i.op == Op::copy_async_arrive; });
  for (int pass = 0; pass < 2; ++pass) {
    State state{std::vector<Item>{}};
    std::vector<Frame> frames;
    auto drop = [&](auto condition) {
      if (state) std::erase_if(*state, condition);
    };
    auto innermost_loop = [&]() -> Frame& {
      return *std::find_if(frames.rbegin(), frames.rend(),
                           [](const Frame& f) { return f.op == Op::for_ || f.op == Op::while_; });
    };
    auto error = [&](uint32_t pc, const Item& item, std::string message, std::string hint) {
      if (std::exchange(reported[pc], 1)) return;
      size_t before = out_.size();
      report_at(pc, diag::not_waited, std::move(message), std::move(hint));
      if (out_.size() > before)
        out_.back().notes.push_back({"it is started here", span_of(k_.code[item.pc])});
    };
    auto check_reads = [&](uint32_t pc) {
      const Inst& inst = k_.code[pc];
      const OpInfo& op = op_info(inst.op);
      auto args = k_.args(inst);
      for (size_t a = 0; a < args.size(); ++a)
        for (const Item& i : *state) {
          bool accumulates = inst.op == Op::wgmma && a == 2;
          if (i.kind == Engine::wgmma && args[a] == Ref::value(i.value) && !accumulates) {
            error(pc, i, fmt::format("{} is read before its `wgmma` is complete", shown(i.value)),
                  i.age == kOpen ? "`wgmma.commit`, then `wgmma.wait 0`"
                                 : fmt::format("`wgmma.wait {}` before it", i.age));
          } else if (i.kind != Engine::wgmma && reads_memory(op, a)) {
            auto region = regions.of(args[a]);
            if (!region || overlap(k_, *region, i.region) != Overlap::always) continue;
            error(
                pc, i,
                fmt::format("{} is read before the copy into it is complete", shown(i.region.base)),
                i.kind == Engine::arrived ? "`mbar.wait` for its barrier"
                : i.age == kOpen          ? "`copy.async.commit`, then `copy.async.wait 0`"
                                          : fmt::format("`copy.async.wait {}` before it", i.age));
          }
        }
    };

    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      const Inst& inst = k_.code[pc];
      auto args = k_.args(inst);
      if (state) check_reads(pc);
      switch (inst.op) {
        case Op::if_:
          frames.push_back({inst.op, pc, state, {}, {}, {}});
          continue;
        case Op::else_:
          frames.back().then = std::move(state);
          frames.back().op = Op::else_;
          state = frames.back().before;
          continue;
        case Op::for_:
        case Op::while_: {
          Frame f{inst.op, pc, state, {}, {}, {}};
          if (inst.op == Op::for_) f.exit = state;  // it may run zero times
          if (pass && at_end_of_body.contains(pc)) state = at_end_of_body[pc];
          for (Ref r : k_.results(inst))
            drop([&](const Item& i) { return mentions(i.region, r.index()); });
          frames.push_back(std::move(f));
          continue;
        }
        case Op::test:
          innermost_loop().exit = meet(innermost_loop().exit, state);
          continue;
        case Op::break_:
          innermost_loop().exit = meet(innermost_loop().exit, state);
          state = {};
          continue;
        case Op::continue_:
          innermost_loop().next = meet(innermost_loop().next, state);
          state = {};
          continue;
        case Op::return_:
        case Op::trap:
          state = {};
          continue;
        case Op::parallel:
        case Op::warps:  // groups belong to a strand
          frames.push_back({inst.op, pc, {}, {}, {}, {}});
          state = State{std::vector<Item>{}};
          continue;
        case Op::end: {
          Frame f = std::move(frames.back());
          frames.pop_back();
          if (f.op == Op::if_) state = meet(f.before, state);
          else if (f.op == Op::else_) state = meet(f.then, state);
          else if (f.op == Op::parallel || f.op == Op::warps) state = State{std::vector<Item>{}};
          else {
            State next = meet(f.next, state);
            at_end_of_body[f.pc] = next;
            state = f.op == Op::for_ ? meet(f.exit, next) : f.exit;
          }
          continue;
        }
        default:
          break;
      }
      if (!state) continue;
      switch (inst.op) {
        case Op::wgmma_commit:
        case Op::copy_async_commit:
          for (Item& i : *state)
            if (i.kind == kind_of_group(inst.op)) ++i.age;
          break;
        case Op::wgmma_wait:
        case Op::copy_async_wait: {
          int64_t n = constant_of(k_, args[0]).value_or(0);
          drop([&](const Item& i) {
            return i.kind == kind_of_group(inst.op) && i.age != kOpen && i.age >= n;
          });
          break;
        }
        case Op::mbar_wait: {
          uint32_t barriers = regions.root(k_.accesses[args[0].index()].base);
          drop([&](const Item& i) {
            return (i.kind == Engine::arrived && i.value == barriers) ||
                   (i.kind == Engine::copy && async_arrivals);
          });
          break;
        }
        default:
          break;
      }
      if (state->size() >= kMostItems) state->erase(state->begin());
      for (Ref r : k_.results(inst)) {
        uint32_t v = r.index();
        drop([&](const Item& i) {
          return (i.kind == Engine::wgmma && i.value == v) || mentions(i.region, v);
        });
      }
      if (inst.op == Op::wgmma) {
        state->push_back({Engine::wgmma, kOpen, k_.results(inst)[0].index(), {}, pc});
      } else if (inst.op == Op::copy_async) {
        if (auto to = regions.of(args[0])) state->push_back({Engine::copy, kOpen, 0, *to, pc});
      } else if ((inst.op == Op::tma_load || inst.op == Op::copy_bulk) && !args[2].is_none()) {
        uint32_t barriers = regions.root(k_.accesses[args[2].index()].base);
        auto to = regions.of(args[0]);
        if (to && !regions.remote(to->base))
          state->push_back({Engine::arrived, 0, barriers, *to, pc});
      }
    }
  }
}

}  // namespace tess
