#include "tests/unit/backends_eval.h"

#include <bit>

namespace tess::jit {
namespace {

uint64_t mask(RegClass c) {
  return c == RegClass::pred                        ? 1
         : c == RegClass::b16                       ? 0xffff
         : c == RegClass::b32 || c == RegClass::f32 ? 0xffffffff
                                                    : ~uint64_t{0};
}
int64_t as_signed(uint64_t v, RegClass c) {
  return c == RegClass::b32 ? static_cast<int32_t>(v) : static_cast<int64_t>(v);
}
double as_real(uint64_t v, RegClass c) {
  return c == RegClass::f32 ? std::bit_cast<float>(static_cast<uint32_t>(v))
                            : std::bit_cast<double>(v);
}

}  // namespace

uint64_t eval_plain(BlockOp op, RegClass result, RegClass first, const std::vector<uint64_t>& a) {
  auto s = [&](size_t n) { return as_signed(a[n], first); };
  auto f = [&](size_t n) { return as_real(a[n], first); };
  auto compute = [&]() -> uint64_t {
    switch (op) {
      case BlockOp::add:
        return a[0] + a[1];
      case BlockOp::sub:
        return a[0] - a[1];
      case BlockOp::mul:
        return a[0] * a[1];
      case BlockOp::sdiv:
        return static_cast<uint64_t>(s(0) / s(1));
      case BlockOp::udiv:
        return a[0] / a[1];
      case BlockOp::srem:
        return static_cast<uint64_t>(s(0) % s(1));
      case BlockOp::urem:
        return a[0] % a[1];
      case BlockOp::and_:
        return a[0] & a[1];
      case BlockOp::or_:
        return a[0] | a[1];
      case BlockOp::xor_:
        return a[0] ^ a[1];
      case BlockOp::not_:
        return ~a[0];
      case BlockOp::shl:
        return a[0] << a[1];
      case BlockOp::lshr:
        return a[0] >> a[1];
      case BlockOp::ashr:
        return static_cast<uint64_t>(s(0) >> a[1]);
      case BlockOp::eq:
        return a[0] == a[1];
      case BlockOp::ne:
        return a[0] != a[1];
      case BlockOp::slt:
        return s(0) < s(1);
      case BlockOp::sle:
        return s(0) <= s(1);
      case BlockOp::ult:
        return a[0] < a[1];
      case BlockOp::ule:
        return a[0] <= a[1];
      case BlockOp::feq:
        return f(0) == f(1);
      case BlockOp::fne:
        return f(0) != f(1);
      case BlockOp::flt:
        return f(0) < f(1);
      case BlockOp::fle:
        return f(0) <= f(1);
      case BlockOp::sel:
        return a[0] ? a[1] : a[2];
      case BlockOp::sext:
        return static_cast<uint64_t>(int64_t{static_cast<int32_t>(a[0])});
      default:
        return a[0];  // moves, zero extensions, truncations, reinterpretations
    }
  };
  return compute() & mask(result);
}

bool eval_thread(const BlockKernel& k, Thread& t) {
  // Where each opener's middle (latch, else) and end are, and the opener of each end.
  std::vector<size_t> middle(k.code.size(), 0), end(k.code.size(), 0), opener(k.code.size(), 0);
  std::vector<size_t> open, loop_of(k.code.size(), 0);
  for (size_t n = 0; n < k.code.size(); ++n) {
    BlockOp op = k.code[n].op;
    if (op == BlockOp::loop || op == BlockOp::if_) open.push_back(n);
    if (op == BlockOp::latch || op == BlockOp::else_) middle[open.back()] = n;
    for (size_t o : open)
      if (k.code[o].op == BlockOp::loop) loop_of[n] = o;
    if (op == BlockOp::latch || op == BlockOp::else_ || op == BlockOp::end) opener[n] = open.back();
    if (op == BlockOp::end) {
      end[open.back()] = n;
      open.pop_back();
    }
  }
  std::vector<uint64_t> regs(k.regs.size(), 0);
  for (size_t pc = 0; pc < k.code.size(); ++pc) {
    if (t.fuel-- == 0) return false;
    const BlockInst& i = k.code[pc];
    std::vector<uint64_t> a;
    for (const Operand& o : k.args(i)) a.push_back(o.is_reg() ? regs[o.id()] : o.bits);
    switch (i.op) {
      case BlockOp::ret:
        return true;
      case BlockOp::loop:
      case BlockOp::latch:
        break;
      case BlockOp::if_:
        if (!a[0]) pc = middle[pc] ? middle[pc] : end[pc];
        break;
      case BlockOp::else_:
        pc = end[opener[pc]];
        break;
      case BlockOp::end:
        if (k.code[opener[pc]].op == BlockOp::loop) pc = opener[pc];
        break;
      case BlockOp::break_if:
        if (a[0]) pc = end[loop_of[pc]];
        break;
      case BlockOp::break_:
        pc = end[loop_of[pc]];
        break;
      case BlockOp::continue_:
        pc = middle[loop_of[pc]];
        break;
      case BlockOp::form:
        t.store(a[0] + a[1], a[2]);
        break;
      default: {
        const Operand& r = k.results(i)[0];
        uint64_t v =
            i.op == BlockOp::tid        ? t.tid
            : i.op == BlockOp::ctaid_x  ? t.ctaid
            : i.op == BlockOp::nctaid_x ? t.nctaid
            : i.op == BlockOp::param
                ? t.params[a[0]]
                : eval_plain(i.op, r.type, k.args(i).empty() ? r.type : k.args(i)[0].type, a);
        regs[r.id()] = v;
      }
    }
  }
  return true;
}

}  // namespace tess::jit
