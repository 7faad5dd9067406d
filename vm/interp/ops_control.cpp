// Kernels of the control instructions. A loop keeps its end and step in hidden registers, so that a
// strand can stop anywhere and go on.
#include <fmt/format.h>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/program.h"

namespace tess::interp {
namespace {

struct Jump {
  uint32_t to;  // instruction
};
Flow jump_to(Strand& s, uint32_t inst) {
  s.pc = s.launch->program->first_step[inst];
  return Flow::next;
}
Flow run_jump(Strand& s, const Jump& j) { return jump_to(s, j.to); }
Flow run_nothing(Strand&, const Jump&) { return Flow::next; }

struct Branch {
  Operand condition;
  uint32_t otherwise;
};
Flow run_branch(Strand& s, const Branch& x) {
  return *x.condition.at(s) ? Flow::next : jump_to(s, x.otherwise);
}

struct For {
  Operand index, begin, end, step;
  uint64_t hidden;  // end, step
  uint32_t body, after;
};
void set_index(Strand& s, const Operand& o, int64_t v) {
  if (o.type.bits == 32) *o.in<int32_t>(s) = static_cast<int32_t>(v);
  else *o.in<int64_t>(s) = v;
}
int64_t* hidden_of(Strand& s, const For& x) {
  return reinterpret_cast<int64_t*>(s.regs + x.hidden);
}
Flow run_for(Strand& s, const For& x) {
  int64_t begin = read_int(s, x.begin), end = read_int(s, x.end), step = read_int(s, x.step);
  if (step == 0) return trap(s, diag::run_zero_step, "the step of this `for` is 0");
  if (step > 0 ? begin >= end : begin <= end) return jump_to(s, x.after);
  hidden_of(s, x)[0] = end;
  hidden_of(s, x)[1] = step;
  set_index(s, x.index, begin);
  return Flow::next;
}
Flow run_next_iteration(Strand& s, const For& x) {
  int64_t end = hidden_of(s, x)[0], step = hidden_of(s, x)[1], next;
  if (__builtin_add_overflow(read_int(s, x.index), step, &next)) return Flow::next;
  if (step > 0 ? next >= end : next <= end) return Flow::next;
  set_index(s, x.index, next);
  return jump_to(s, x.body);
}

struct Check {
  Operand condition;
  bool assume;
};
Flow run_check(Strand& s, const Check& x) {
  const uint8_t* c = x.condition.at(s);
  int64_t bad = 0;
  while (bad < x.condition.n && c[bad]) ++bad;
  if (bad == x.condition.n) return Flow::next;
  std::string where;
  const Shape& shape = x.condition.shape;
  for (int d = shape.rank - 1; d >= 0; --d) {
    where = fmt::format("{}{}{}", bad % shape[d], where.empty() ? "" : ",", where);
    bad /= shape[d];
  }
  if (!where.empty()) where = fmt::format(" at [{}]", where);
  return x.assume ? trap(s, diag::run_assume, "the assumption does not hold")
                  : trap(s, diag::run_assert, "the assertion does not hold" + where);
}
Flow run_trap(Strand& s, const Jump&) {
  return trap(s, diag::run_trap, "the program executed `trap`");
}
Flow run_return(Strand&, const Jump&) { return Flow::done; }

For for_loop(const Binder& b, uint32_t pc) {
  const Kernel& k = b.kernel();
  const Inst& inst = k.code[pc];
  auto args = k.args(inst);
  For x;
  x.index = b.operand(k.results(inst)[0]);
  x.begin = b.operand(args[0]);
  x.end = b.operand(args[1]);
  x.step = b.operand(args[2]);
  x.hidden = b.loop_registers(pc);
  x.body = pc + 1;
  x.after = b.match_of(pc) + 1;
  return x;
}

}  // namespace

KERNEL(for_) { b.emit<run_for>(for_loop(b, b.pc())); }
KERNEL(while_) { b.emit<run_nothing>(Jump{}); }
KERNEL(test) { b.emit<run_branch>(Branch{b.arg(0), b.match_of(b.match()) + 1}); }
KERNEL(if_) { b.emit<run_branch>(Branch{b.arg(0), b.match() + 1}); }
KERNEL(else_) { b.emit<run_jump>(Jump{b.match() + 1}); }
KERNEL(end) {
  uint32_t opened_by = b.match();
  switch (b.kernel().code[opened_by].op) {
    case Op::for_:
      return b.emit<run_next_iteration>(for_loop(b, opened_by));
    case Op::while_:
      return b.emit<run_jump>(Jump{opened_by + 1});
    case Op::warps:
      return b.emit<run_return>(Jump{});
    default:
      return b.emit<run_nothing>(Jump{});
  }
}
KERNEL(break_) { b.emit<run_jump>(Jump{b.match_of(b.match()) + 1}); }
KERNEL(continue_) { b.emit<run_jump>(Jump{b.match_of(b.match())}); }
KERNEL(return_) { b.emit<run_return>(Jump{}); }
KERNEL(assert_) { b.emit<run_check>(Check{b.arg(0), false}); }
KERNEL(assume) { b.emit<run_check>(Check{b.arg(0), true}); }
KERNEL(trap) { b.emit<run_trap>(Jump{}); }

}  // namespace tess::interp
