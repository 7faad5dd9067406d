#include "jit/tile/within.h"

#include <cstdlib>
#include <numeric>

#include "isa/numerics.h"
#include "isa/regions.h"

namespace tess::jit::tile {
namespace {

constexpr int64_t kMost = (int64_t{1} << 31) - 1;  // what an i32 holds

// A parameter, or a part of one: no larger than its type holds.
bool fits(const Kernel& k, const HostExpr& e) {
  if (e.is_constant()) return e.constant() >= 0 && e.constant() <= kMost;
  const auto& t = e.tokens;
  bool part =
      t.size() == 3 && t[1].op == HostOp::constant && t[1].value > 0 && t[2].op == HostOp::div;
  return (t.size() == 1 || part) && t[0].op == HostOp::param &&
         k.values[static_cast<size_t>(t[0].value)].type.dtype == dt::i32_;
}

// The end and the step of counter + c, where it stands under the condition counter < end - d, c <= d:
// the counter of a loop from 0 whose step divides c. All of them have one definition, so the condition
// and the sum are of the same turn; the loop runs, so end > 0 and end - d does not wrap. This is the
// form in which jit/tile/pipeline.cpp guards its copies.
std::optional<std::pair<HostExpr, int64_t>> behind(const Kernel& k,
                                                   const std::vector<const Inst*>& made,
                                                   const Inst& condition, const Inst& sum) {
  auto value = [](Ref r) { return r.is_value() ? std::optional(r.index()) : std::nullopt; };
  auto maker = [&](Ref r) { return value(r) ? made[*value(r)] : nullptr; };
  if (condition.op != Op::lt || sum.op != Op::add) return {};
  Ref counter = k.args(condition)[0];
  const Inst *loop = maker(counter), *limit = maker(k.args(condition)[1]);
  auto c = constant_of(k, k.args(sum)[1]);
  if (!loop || loop->op != Op::for_ || !limit || limit->op != Op::sub || !c) return {};
  auto args = k.args(*loop);
  auto begin = constant_of(k, args[0]), step = args[2].is_none() ? 1 : constant_of(k, args[2]),
       d = constant_of(k, k.args(*limit)[1]);
  Ref end = args[1];
  if (!(k.args(sum)[0] == counter) || !(k.args(*limit)[0] == end) || !d || *c < 0 || *c > *d ||
      begin != 0 || !step || *step <= 0 || *c % *step)
    return {};
  if (auto n = constant_of(k, end)) return std::pair(HostExpr::of(*n), *step);
  if (!value(end) || *value(end) >= k.params.size()) return {};
  return std::pair(HostExpr{{{HostOp::param, *value(end)}}}, *step);
}

}  // namespace

int64_t host_divisor(const Kernel& k, const HostExpr& e) {
  struct Entry {
    int64_t divisor = 1;
    std::optional<int64_t> value;
  };
  std::vector<Entry> stack;
  for (const HostToken& t : e.tokens) {
    if (t.op == HostOp::constant) {
      stack.push_back({std::abs(t.value), t.value});
      continue;
    }
    if (t.op == HostOp::param) {
      const Param& p = k.params[static_cast<size_t>(t.value)];
      int64_t d = p.divisible;
      if (p.dir == Direction::let) {
        int64_t of = host_divisor(k, p.let);
        d = of == 0 || of % d == 0 ? of : d % of == 0 ? d : std::max(of, d);
      }
      stack.push_back({d, {}});
      continue;
    }
    int arity = host_op_arity(t.op);
    if (arity == 0) {
      stack.push_back({});
      continue;
    }
    Entry b = stack.back();
    if (arity == 2) stack.pop_back();
    Entry a = stack.back();
    stack.pop_back();
    Entry r;
    switch (t.op) {
      case HostOp::add:
      case HostOp::sub:
      case HostOp::min:
      case HostOp::max:
        r.divisor = std::gcd(a.divisor, b.divisor);
        break;
      case HostOp::mul:
        if (__builtin_mul_overflow(a.divisor, b.divisor, &r.divisor))
          r.divisor = std::max(a.divisor, b.divisor);
        break;
      case HostOp::div:
      case HostOp::cdiv:
        if (b.value && *b.value > 0 && a.divisor % *b.value == 0) r.divisor = a.divisor / *b.value;
        break;
      case HostOp::neg:
        r.divisor = a.divisor;
        break;
      default:
        break;
    }
    stack.push_back(r);
  }
  return stack.empty() ? 1 : stack.back().divisor;
}

bool Within::divides(int64_t d, const HostExpr& e) const { return host_divisor(k_, e) % d == 0; }

HostExpr Within::plain(const HostExpr& e) const {
  if (e.tokens.size() != 1 || e.tokens[0].op != HostOp::param) return e;
  const Param& p = k_.params[static_cast<size_t>(e.tokens[0].value)];
  return p.dir == Direction::let ? plain(p.let) : e;
}

bool Within::at_most(const HostExpr& a, const HostExpr& b) const {
  HostExpr x = plain(a), y = plain(b);
  if (x == y) return true;
  if (!x.is_constant()) return false;
  if (y.is_constant()) return x.constant() <= y.constant();
  if (y.tokens.size() != 1 || y.tokens[0].op != HostOp::param) return false;
  const Param& p = k_.params[static_cast<size_t>(y.tokens[0].value)];
  return p.lo && x.constant() <= *p.lo;
}

std::optional<HostExpr> Within::host(Ref r) const {
  if (auto c = constant_of(k_, r)) return HostExpr::of(*c);
  if (!r.is_value() || r.index() >= k_.params.size()) return {};
  return plain({{{HostOp::param, r.index()}}});
}

Within::Maybe Within::of(Ref r) const {
  if (auto c = constant_of(k_, r)) return Known{{}, 1, *c, *c};
  return r.is_value() ? known_[r.index()] : Maybe{};
}

Within::Maybe Within::sum(const Known& a, const Known& b) const {
  if (a.end && b.end) return {};
  Known r = a.end ? a : b;
  if (__builtin_add_overflow(a.lo, b.lo, &r.lo) || __builtin_add_overflow(a.hi, b.hi, &r.hi))
    return {};
  return r;
}

Within::Maybe Within::scaled(const Known& a, int64_t by) const {
  Known r = a;
  if (by <= 0 || __builtin_mul_overflow(a.lo, by, &r.lo) ||
      __builtin_mul_overflow(a.hi, by, &r.hi) || __builtin_mul_overflow(a.step, by, &r.step))
    return {};
  if (!a.end) return r;
  // (x / by) * by <= x; of cdiv only where it is exact.
  HostExpr end = plain(*a.end);
  size_t n = end.tokens.size();
  bool quotient = n >= 3 &&
                  (end.tokens[n - 1].op == HostOp::div || end.tokens[n - 1].op == HostOp::cdiv) &&
                  end.tokens[n - 2] == HostToken{HostOp::constant, by};
  HostExpr whole{
      {end.tokens.begin(), end.tokens.begin() + static_cast<long>(quotient ? n - 2 : n)}};
  if (end.is_constant()) r.end = host_apply(HostOp::mul, end, HostExpr::of(by));
  else if (quotient && well_formed(whole) &&
           (end.tokens[n - 1].op == HostOp::div || divides(by, whole)))
    r.end = plain(whole);
  else return {};
  return r;
}

Within::Maybe Within::divided(const Known& a, int64_t by) const {
  if (by <= 0 || a.lo < 0) return {};
  Known r = a;
  r.lo = a.lo / by;
  r.hi = a.hi / by;
  if (!a.end) return r;
  if (!divides(by, *a.end)) return {};
  r.end = host_apply(HostOp::div, *a.end, HostExpr::of(by));
  if (a.step % by == 0) {
    r.step = a.step / by;
    return r;
  }
  // Several steps have one quotient; all are below the end's.
  if (by % a.step != 0 || a.hi >= a.step) return {};
  r.step = 1;
  r.lo = r.hi = 0;
  return r;
}

Within::Maybe Within::of_block(int dim) const {
  if (dim >= k_.grid_rank) return Known{};
  HostExpr grid = plain(k_.grid[dim]);
  return Known{grid, 1, 0, 0};
}

Within::Maybe Within::of_loop(const Inst& inst) const {
  auto args = k_.args(inst);
  std::optional<int64_t> step = args[2].is_none() ? 1 : constant_of(k_, args[2]);
  auto begin = constant_of(k_, args[0]);
  auto end = host(args[1]);
  if (!step || *step <= 0 || !begin || *begin < 0 || !end) return {};
  if (end->is_constant()) {
    if (end->constant() <= *begin) return Known{};
    return Known{{}, 1, *begin, *begin + (end->constant() - 1 - *begin) / *step * *step};
  }
  if (*begin % *step != 0 || !divides(*step, *end)) return {};
  return Known{*end, *step, 0, 0};
}

Within::Maybe Within::of_inst(const Inst& inst) const {
  auto args = k_.args(inst);
  switch (inst.op) {
    case Op::for_:
      return of_loop(inst);
    case Op::block_x:
      return of_block(0);
    case Op::block_y:
      return of_block(1);
    case Op::block_z:
      return of_block(2);
    case Op::move:
    case Op::cast:
      return of(args[0]);
    case Op::add: {
      Maybe a = of(args[0]), b = of(args[1]);
      return a && b ? sum(*a, *b) : Maybe{};
    }
    case Op::mul: {
      auto a = constant_of(k_, args[0]), b = constant_of(k_, args[1]);
      Maybe other = of(args[b ? 0 : 1]);
      return other && (a || b) ? scaled(*other, b ? *b : *a) : Maybe{};
    }
    case Op::shl:
    case Op::shr:
    case Op::div: {
      auto c = constant_of(k_, args[1]);
      Maybe a = of(args[0]);
      if (!a || !c || *c < 0 || (inst.op != Op::div && *c > 30)) return {};
      int64_t by = inst.op == Op::div ? *c : int64_t{1} << *c;
      return inst.op == Op::shl ? scaled(*a, by) : divided(*a, by);
    }
    case Op::rem: {
      auto c = constant_of(k_, args[1]);
      Maybe a = of(args[0]);
      if (!a || !c || *c <= 0 || a->lo < 0) return {};
      return Known{{}, 1, 0, *c - 1};
    }
    default:
      return {};
  }
}

Within::Within(const Kernel& k) : k_(k), known_(k.values.size()) {
  std::vector<uint32_t> writers(k.values.size(), 0);
  for (const Inst& inst : k.code)
    for (Ref r : k.results(inst)) ++writers[r.index()];
  for (uint32_t v = 0; v < k.params.size(); ++v) {
    const Param& p = k.params[v];
    if (p.dir == Direction::scalar && k.values[v].type.dtype.is_int() && p.lo && p.hi &&
        *p.lo >= -kMost && *p.hi <= kMost)
      known_[v] = Known{{}, 1, *p.lo, *p.hi};
  }
  // Of values with one definition.
  std::vector<const Inst*> made(k.values.size(), nullptr);
  for (const Inst& inst : k.code)
    for (Ref r : k.results(inst)) made[r.index()] = writers[r.index()] == 1 ? &inst : nullptr;
  std::vector<const Inst*> conditions;  // of the open blocks; null: none that is known
  for (const Inst& inst : k.code) {
    if (inst.op == Op::end || inst.op == Op::else_) conditions.pop_back();
    if (op_info(inst.op).form == Form::control && inst.op != Op::end) {
      Ref c = inst.op == Op::if_ ? k.args(inst)[0] : Ref::none();
      conditions.push_back(c.is_value() ? made[c.index()] : nullptr);
    }
    if (inst.n_results != 1) continue;
    uint32_t v = k.results(inst)[0].index();
    const Type& t = k.values[v].type;
    if (!t.is_scalar() || writers[v] != 1) continue;
    // Only where the whole value certainly fits: there nothing wraps.
    if (t.dtype != dt::i32_ && t.dtype != dt::i64_) continue;
    Maybe found = of_inst(inst);
    for (const Inst* condition : conditions)
      if (auto closer = condition ? behind(k, made, *condition, inst) : std::nullopt)
        if (divides(closer->second, closer->first))
          found = Known{closer->first, closer->second, 0, 0};
    if (!found || found->lo < -kMost || found->hi > kMost) continue;
    if (found->end) {
      bool block = inst.op == Op::block_x || inst.op == Op::block_y || inst.op == Op::block_z;
      if (found->lo < 0 || found->hi >= found->step || (!block && !fits(k, plain(*found->end))))
        continue;
    }
    known_[v] = found;
  }
}

bool Within::holds(Ref origin, int64_t n, const HostExpr& extent) const {
  Maybe at = of(origin);
  if (!at || at->lo < 0 || n < 0) return false;
  if (!at->end) return at_most(HostExpr::of(at->hi + n), extent);
  return at->hi + n <= at->step && at_most(*at->end, extent);
}

bool Within::never_negative(Ref r) const {
  Maybe known = of(r);
  return known && known->lo >= 0;
}

}  // namespace tess::jit::tile
