// Definite assignment: every use is preceded by an assignment on every path, without reasoning
// about values. One forward pass over the linear code; a log of newly assigned values replaces
// copying sets:
//
//   if     each branch logs on top of the state before; what both branches logged stays
//   for    the body may run zero times: nothing it assigns stays
//   warps  nothing a strand assigns stays
//   while  what was assigned at the body's own level before its first exit (test or break) stays
//
// After break, continue, return or trap the rest of the block is dead: it constrains nothing.
#include <fmt/format.h>

#include "isa/diag/verify.h"
#include "isa/limits.h"
#include "isa/verify_kernel.h"

namespace tess {
namespace {

struct Frame {
  Op op;
  size_t start;        // log size when the block began
  size_t exit = 0;     // while: log size at the first exit, at the body's level
  bool exits = false;  // while: an exit was met
  bool dead_before = false;
  std::vector<uint32_t> then;  // if: what the first branch assigned
  bool then_dead = false;
  uint32_t loop_var = 0xffffffff;
};

}  // namespace

void KernelVerifier::check_assignment(const Refused& refused) {
  std::vector<uint8_t> assigned(k_.values.size(), 0), fixed(k_.values.size(), 0),
      reported(k_.values.size(), 0);
  std::vector<uint32_t> log;
  std::vector<Frame> frames;
  bool dead = false, warned = refused.any;  // what is missing may have made the code reachable
  for (uint32_t v = 0; v < k_.params.size(); ++v) assigned[v] = fixed[v] = 1;
  // Locals of functions and strands carry a prefix.
  if (!refused.names.empty())
    for (uint32_t v = 0; v < k_.values.size(); ++v) {
      std::string_view name = k_.values[v].name;
      reported[v] = refused.names.contains(name.substr(name.rfind('.') + 1));
    }

  auto undo_to = [&](size_t size) {
    while (log.size() > size) assigned[log.back()] = 0, log.pop_back();
  };
  auto assign = [&](uint32_t v) {
    if (assigned[v]) return;
    assigned[v] = 1;
    log.push_back(v);
  };
  auto use = [&](uint32_t pc, uint32_t v) {
    if (dead || assigned[v] || reported[v]) return;
    reported[v] = 1;
    report_at(pc, diag::not_assigned,
              fmt::format("`%{}` may be used before it is assigned", k_.values[v].name),
              "assign it on every path, or start with `undef`");
  };
  auto use_ref = [&](uint32_t pc, Ref r) {
    if (r.is_value()) use(pc, r.index());
  };
  auto leave_while = [&] {  // an exit of the innermost while
    size_t level = log.size();
    for (size_t f = frames.size(); f-- > 0;) {
      Frame& frame = frames[f];
      if (frame.op == Op::while_) {
        if (!frame.exits) frame.exits = true, frame.exit = level;
        return;
      }
      if (frame.op == Op::for_) return;  // the break belongs to the for
      level = frame.start;
    }
  };

  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    if (dead && !warned && inst.op != Op::end && inst.op != Op::else_) {
      report_at(pc, diag::unreachable_code, fmt::format("`{}` never runs", op_info(inst.op).name));
      warned = true;
    }
    for (Ref r : k_.args(inst)) {
      use_ref(pc, r);
      if (!r.is_access()) continue;
      const Access& a = k_.accesses[r.index()];
      use(pc, a.base);
      use_ref(pc, a.item);
      for (const Index& i : k_.indices_of(a)) use_ref(pc, i.start), use_ref(pc, i.stop);
    }
    switch (inst.op) {
      case Op::for_:
      case Op::while_:
      case Op::if_:
      case Op::parallel:
      case Op::warps: {
        Frame f{inst.op, log.size()};
        f.dead_before = dead;
        if (inst.op == Op::for_) {
          f.loop_var = k_.results(inst)[0].index();
          if (fixed[f.loop_var]) {
            report_at(pc, diag::assign_fixed,
                      fmt::format("`%{}` is already a parameter or the variable of a running loop",
                                  k_.values[f.loop_var].name));
            f.loop_var = 0xffffffff;
          } else {
            assign(f.loop_var);
            fixed[f.loop_var] = 1;
          }
        }
        if (inst.op == Op::warps)
          for (Ref r : k_.results(inst)) assign(r.index());
        frames.push_back(std::move(f));
        continue;
      }
      case Op::else_: {
        Frame& f = frames.back();
        f.then.assign(log.begin() + f.start, log.end());
        f.then_dead = dead;
        undo_to(f.start);
        f.op = Op::else_;
        dead = f.dead_before;
        continue;
      }
      case Op::end: {
        Frame f = std::move(frames.back());
        frames.pop_back();
        if (f.op == Op::if_) {
          undo_to(f.start);  // the missing else assigns nothing
          dead = f.dead_before;
        } else if (f.op == Op::else_) {
          std::vector<uint32_t> other(log.begin() + f.start, log.end());
          bool else_dead = dead;
          if (f.then_dead && else_dead) {
            undo_to(f.start);
            dead = true;
          } else if (f.then_dead) {
            dead = f.dead_before;  // the else branch's assignments stay
          } else if (else_dead) {
            undo_to(f.start);
            for (uint32_t v : f.then) assign(v);
            dead = f.dead_before;
          } else {
            // Keep what both assigned: mark the then branch's while the else branch's are set.
            std::vector<uint32_t> both;
            for (uint32_t v : f.then)
              if (assigned[v]) both.push_back(v);
            undo_to(f.start);
            for (uint32_t v : both) assign(v);
            dead = f.dead_before;
          }
        } else if (f.op == Op::warps || f.op == Op::parallel) {
          undo_to(f.start);  // what a strand assigns stays inside
          dead = f.dead_before;
        } else if (f.op == Op::for_) {
          undo_to(f.start);
          if (f.loop_var != 0xffffffff) fixed[f.loop_var] = 0;
          dead = f.dead_before;
        } else {  // while
          undo_to(f.exits ? f.exit : f.start);
          dead = f.dead_before || !f.exits;
        }
        continue;
      }
      case Op::test:
        leave_while();
        continue;
      case Op::break_:
        leave_while();
        dead = true;
        continue;
      case Op::continue_:
      case Op::return_:
      case Op::trap:
        dead = true;
        continue;
      default:
        break;
    }
    for (Ref r : k_.results(inst)) {
      if (fixed[r.index()])
        report_at(pc, diag::assign_fixed,
                  fmt::format("`{}` is a parameter or the variable of a running loop",
                              k_.values[r.index()].name),
                  "copy it to another name");
      else assign(r.index());
    }
  }
}

}  // namespace tess
