#include "tests/gen/random_module.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/numerics.h"
#include "tests/gen/kernel_gen.h"

namespace tess::gen {
namespace {

// Extents that are and are not powers of two.
constexpr int64_t kExtents[] = {1, 2, 3, 4, 5, 7, 8, 12, 16};
constexpr double kReals[] = {0,    -0.0, 1,   -1,  0.5, -2,      3.25, 0.1,
                             1e-3, 1e30, 448, 6.5, -17, 1.0 / 3, 100,  -0.0625};

}  // namespace

// --- header

HostExpr KernelGen::host_expr(int depth) {
  std::vector<uint32_t> scalars;
  for (uint32_t i = 0; i < k_.params.size(); ++i) {
    bool usable = k_.params[i].dir == Direction::scalar || k_.params[i].dir == Direction::let;
    if (usable && k_.values[i].type.dtype.is_int()) scalars.push_back(i);
  }
  if (depth == 0 || rng_.chance(30)) {
    if (!scalars.empty() && rng_.chance(60)) return b_.host(rng_.pick(scalars));
    if (!options_.launchable && rng_.chance(10))
      return {{{rng_.chance(50) ? HostOp::device_sms : HostOp::occupancy, 0}}};
    return HostExpr::of(rng_.between(1, 64));
  }
  if (rng_.chance(10)) return host_apply(HostOp::neg, host_expr(depth - 1));
  constexpr HostOp kOps[] = {HostOp::add, HostOp::sub,  HostOp::mul, HostOp::div,
                             HostOp::rem, HostOp::cdiv, HostOp::min, HostOp::max};
  HostExpr a = host_expr(depth - 1), b = host_expr(depth - 1);
  return host_apply(rng_.pick(kOps), std::move(a), std::move(b));
}

void KernelGen::bindings() {
  std::vector<std::string> names = {"BM", "BN", "EPS", "FLAG", "W"};
  for (const std::string& name : names) {
    if (!rng_.chance(15)) continue;
    Binding b;
    b.name = name;
    if (name == "W") b.type = rng_.pick(all_dtypes());
    else if (name == "EPS") b.value = {dt::f64_, encode_float(dt::f64_, rng_.pick(kReals))};
    else if (name == "FLAG") b.value = {dt::bool_, rng_.below(2)};
    else b.value = {dt::i64_, static_cast<uint64_t>(rng_.between(-5, 1 << 20))};
    k_.bindings.push_back(std::move(b));
  }
}

void KernelGen::scalar_params() {
  constexpr DType kTypes[] = {dt::i32_, dt::i32_, dt::f32_,  dt::i64_,
                              dt::f16_, dt::u32_, dt::bool_, dt::u64_};
  int n = static_cast<int>(rng_.below(5));
  for (int i = 0; i < n; ++i) {
    Param p;
    DType t = i == 0 ? dt::i32_ : rng_.pick(kTypes);
    if (t.is_int() && (options_.launchable || rng_.chance(30))) {
      p.lo = options_.launchable ? 1 : rng_.between(-100, 1);
      p.hi = options_.launchable ? 12 : rng_.between(2, 1 << 30);
    }
    if (t.is_int() && rng_.chance(20)) p.divisible = rng_.between(2, 4);
    b_.param(fmt::format("n{}", i), t, std::move(p));
  }
}

HostExpr KernelGen::extent(bool written) {
  if (written && rng_.chance(50)) return HostExpr::of(rng_.between(4, 16));
  std::vector<uint32_t> sizes;
  for (uint32_t i = 0; i < k_.params.size(); ++i)
    if (k_.params[i].dir == Direction::scalar && k_.values[i].type.dtype.is_int())
      sizes.push_back(i);
  if (sizes.empty() || rng_.chance(40)) return HostExpr::of(rng_.pick(kExtents));
  if (options_.launchable) {
    HostExpr n = b_.host(rng_.pick(sizes));
    return rng_.chance(50) ? n : host_apply(HostOp::add, n, HostExpr::of(rng_.between(1, 9)));
  }
  HostExpr e = host_expr(2);
  bool empty = e.is_constant() && e.constant() < 1;
  return empty ? HostExpr::of(rng_.pick(kExtents)) : e;
}

void KernelGen::tensor_params() {
  constexpr Direction kDirections[] = {Direction::in, Direction::in, Direction::inout,
                                       Direction::out};
  constexpr DType kCommon[] = {dt::f32_, dt::f16_, dt::i32_, dt::u8_, dt::f64_, dt::i64_, dt::u32_};
  int n = static_cast<int>(rng_.between(2, 5));
  for (int i = 0; i < n; ++i) {
    Param p;
    p.dir = rng_.pick(kDirections);
    if (options_.launchable && p.dir == Direction::out) p.dir = Direction::inout;
    bool written = p.dir != Direction::in;
    int rank = static_cast<int>(rng_.between(1, 3));
    if (options_.launchable && written) p.shape.push_back(HostExpr::of(blocks_));
    for (int d = 0; d < rank; ++d) p.shape.push_back(extent(written));
    if (!options_.launchable) {
      if (rng_.chance(20))
        for (size_t d = 0; d < p.shape.size(); ++d) p.strides.push_back(host_expr(1));
      if (rng_.chance(20)) p.aligned = 1u << rng_.below(8);
      if (p.dir == Direction::in && rng_.chance(20)) p.may_alias = true;
    }
    if (!written && rng_.chance(15)) p.list = HostExpr::of(rng_.between(1, 3));
    DType t = rng_.chance(50) ? rng_.pick(kCommon) : rng_.pick(all_dtypes());
    uint32_t v = b_.param(fmt::format("x{}", i), t, std::move(p));
    if (options_.launchable && written) own_.push_back(v);
  }
  if (options_.launchable) {
    for (DType t : {dt::f64_, dt::i64_}) {
      Param p;
      p.dir = Direction::inout;
      p.shape = {HostExpr::of(blocks_), HostExpr::of(64)};
      own_.push_back(b_.param(t == dt::f64_ ? "reals" : "integers", t, std::move(p)));
    }
  }
  async_params();
  int header_values = static_cast<int>(rng_.below(3));
  for (int i = 0; i < header_values && !options_.launchable; ++i) {
    Param p;
    p.dir = Direction::let;
    p.let = host_expr(3);
    b_.param(fmt::format("t{}", i), dt::i32_, std::move(p));
  }
  for (DType t : {dt::i32_, rng_.pick(all_dtypes())}) {
    Param p;
    p.dir = Direction::workspace;
    p.kept = !options_.launchable && rng_.chance(30);
    p.shape = {HostExpr::of(blocks_), HostExpr::of(rng_.between(4, 16))};
    uint32_t v = b_.param(lock_word_ == 0 ? "words" : "space", t, std::move(p));
    if (lock_word_ == 0) lock_word_ = v;
    else if (options_.launchable) own_.push_back(v);
  }
}

void KernelGen::header() {
  blocks_ = options_.launchable ? rng_.between(1, 4) : 4;
  bindings();
  scalar_params();
  tensor_params();
  k_.loc = place();
  if (options_.launchable) {
    k_.grid[0] = HostExpr::of(blocks_);
  } else {
    k_.grid_rank = static_cast<uint8_t>(rng_.between(1, 3));
    for (int i = 0; i < k_.grid_rank; ++i) k_.grid[i] = host_expr(2);
  }
  k_.warps = 1u << rng_.below(4);
  k_.sync_manual = !options_.launchable && rng_.chance(15);
  k_.cooperative = rng_.chance(30);
  if (!options_.launchable) {
    if (rng_.chance(15)) k_.cluster = static_cast<uint32_t>(rng_.between(2, 4));
    if (rng_.chance(15)) k_.blocks_per_sm = static_cast<uint32_t>(rng_.between(1, 4));
    k_.fast = {rng_.chance(10), rng_.chance(10), rng_.chance(10)};
  }
}

// --- places and names

Loc KernelGen::place() {
  if (!options_.places) return {};
  line_ = static_cast<uint32_t>(std::max<int64_t>(1, line_ + rng_.between(-2, 4)));
  if (rng_.chance(5)) file_ = static_cast<uint32_t>(rng_.below(m_.files.size()));
  return {file_, line_, static_cast<uint32_t>(rng_.between(1, 80))};
}
std::string KernelGen::local_name() {
  int n = names_++;
  switch (rng_.below(8)) {
    case 0:
    case 1:
    case 2:
      return "";
    case 3:
      return fmt::format("größe{}", n);
    case 4:
      return fmt::format("f{}.x", n);
    default:
      return fmt::format("v{}", n);
  }
}

// --- values

DType KernelGen::pick_type(TypeClass c) {
  constexpr DType kCommon[] = {dt::f32_, dt::f16_, dt::i32_, dt::bf16_,
                               dt::u8_,  dt::f64_, dt::i64_};
  for (int i = 0; i < 200; ++i) {
    DType t = rng_.chance(40) ? rng_.pick(kCommon) : rng_.pick(all_dtypes());
    if (in_class(t, c)) return t;
  }
  return c == TypeClass::bool_ || c == TypeClass::bits ? dt::bool_
         : c == TypeClass::int_                        ? dt::i32_
                                                       : dt::f32_;
}

Shape KernelGen::shape(int least_rank, int most_rank) {
  Shape s;
  int rank = static_cast<int>(rng_.between(least_rank, most_rank));
  if (rng_.chance(2) && most_rank > 2) rank = 8;
  int64_t elements = 1;
  for (int d = 0; d < rank; ++d) {
    int64_t n = rank == 8 ? rng_.between(1, 2) : rng_.pick(kExtents);
    if (elements * n > 512) n = 1;
    elements *= n;
    s.push(n);
  }
  return s;
}
// A shape that broadcasts to s.
Shape KernelGen::narrowed(const Shape& s) {
  Shape out;
  int first = s.rank && rng_.chance(25) ? static_cast<int>(rng_.below(s.rank + 1)) : 0;
  for (int d = first; d < s.rank; ++d) out.push(rng_.chance(15) ? 1 : s[d]);
  return out;
}

Literal KernelGen::literal(DType t) {
  if (t.is_bool()) return Literal::of_bool(rng_.chance(50));
  if (t.is_int()) {
    int64_t most = t.bits >= 4 ? 3 : (int64_t{1} << (t.bits - 1)) - (t.is_signed() ? 1 : 0);
    int64_t least = !t.is_signed() ? 0 : t.bits >= 4 ? -3 : -(int64_t{1} << (t.bits - 1));
    if (!options_.launchable && rng_.chance(10)) {
      int64_t low = t.is_signed() ? std::numeric_limits<int64_t>::min() >> (64 - t.bits) : 0;
      uint64_t high = (~uint64_t{0} >> (64 - t.bits)) >> (t.is_signed() ? 1 : 0);
      if (low < 0 && rng_.chance(50)) return Literal::of(low);
      return {Literal::Kind::integer, false, high, 0};
    }
    return Literal::of(rng_.between(least, most));
  }
  if (options_.launchable)
    return Literal::of_real(t.kind == Kind::scale ? 1 : static_cast<double>(rng_.between(-3, 3)));
  if (rng_.chance(5))
    return Literal::of_real(std::numeric_limits<double>::infinity() * (rng_.chance(50) ? 1 : -1));
  if (rng_.chance(5)) return Literal::of_real(std::numeric_limits<double>::quiet_NaN());
  if (rng_.chance(20)) {  // any code at all
    uint64_t code = rng_.next() >> (64 - t.bits);
    double v = decode_float(t, code);
    return Literal::of_real(v);
  }
  return Literal::of_real(rng_.pick(kReals));
}
Literal KernelGen::nonzero(DType t) {
  if (t.is_int())
    return Literal::of(t.is_signed() && t.bits == 1
                           ? -1
                           : 1 + static_cast<int64_t>(t.bits > 3 ? rng_.below(3) : 0));
  return Literal::of_real(static_cast<double>(rng_.between(1, 3)));
}

Ref KernelGen::scalar(DType t) {
  std::vector<uint32_t> known;
  for (const Local& l : scope_)
    if (k_.values[l.value].type == scalar_type(t)) known.push_back(l.value);
  for (uint32_t i = 0; i < k_.params.size(); ++i)
    if (k_.values[i].type == scalar_type(t)) known.push_back(i);
  if (!known.empty() && rng_.chance(75)) return Ref::value(rng_.pick(known));
  return *emit({.op = Op::fill, .args = {literal(t)}, .written = scalar_type(t)}, false);
}

Ref KernelGen::tile(DType t, const Shape& s) {
  Type want = tile_type(t, s);
  std::vector<uint32_t> known;
  for (const Local& l : scope_)
    if (k_.values[l.value].type == want) known.push_back(l.value);
  if (!known.empty() && rng_.chance(75)) return Ref::value(rng_.pick(known));
  if (in_class(t, TypeClass::arith) && s.rank && rng_.chance(30))
    return *emit({.op = Op::iota, .written = want}, false);
  return *emit({.op = Op::fill, .args = {literal(t)}, .written = want}, false);
}

Ref KernelGen::clean(DType t, const Shape& s) {
  double most = t.is_float() && t.bits <= 16 ? 1 : 3;
  Literal l =
      t.is_int() || t.is_bool()
          ? literal(t)
          : Literal::of_real(static_cast<double>(rng_.between(-1, static_cast<int64_t>(most))));
  if (t.is_float() && s.rank && t.bits > 8) {
    // From 0 1 0 1 … of integers, so that not all elements are alike.
    Ref i = *emit({.op = Op::iota, .written = tile_type(dt::i32_, s)}, false);
    Ref bit = *emit({.op = Op::and_, .args = {i, Literal::of(1)}}, false);
    return *emit({.op = Op::cast, .args = {bit}, .written = tile_type(t, s)}, false);
  }
  return *emit({.op = Op::fill, .args = {l}, .written = tile_type(t, s)}, false);
}

Ref KernelGen::operand(const OpInfo& op, DType t, const Shape& s) {
  bool exact_sum = options_.launchable && op.numerics == NumericsClass::sum && !t.is_int();
  return exact_sum ? clean(t, s) : value(t, s);
}
EmitArg KernelGen::value_or_literal(DType t, const Shape& s) {
  if (s.rank == 0 && rng_.chance(50)) return literal(t);
  return value(t, s);
}
EmitArg KernelGen::index(int64_t below) {
  if (options_.launchable || rng_.chance(50))
    return Literal::of(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(below))));
  return scalar(rng_.chance(80) ? dt::i32_ : dt::i64_);
}

// --- statements

void KernelGen::statements(int n) {
  for (int i = 0; i < n; ++i) statement();
}

void KernelGen::statement() {
  for (int tries = 0; tries < 8; ++tries) {
    const OpInfo& op = all_ops()[rng_.below(all_ops().size())];
    bool concurrent = op.since == "0.2";
    if (options_.launchable &&
        (concurrent || op.numerics == NumericsClass::ulp || op.effect == Effect::debug))
      continue;
    switch (op.op) {
      case Op::parallel:
      case Op::warps:
        if (parallel_statement()) return;
        continue;
      case Op::for_:
        return for_statement();
      case Op::while_:
      case Op::test:
        return while_statement();
      case Op::if_:
      case Op::else_:
      case Op::end:
        return if_statement();
      case Op::break_:
      case Op::continue_:
      case Op::return_:
      case Op::trap:
        return leave();
      default:
        break;
    }
    if (row(op)) return;
  }
}

void KernelGen::if_statement() {
  if (depth_ >= 3) return;
  EmitArg c = rng_.chance(20) ? EmitArg(literal(dt::bool_)) : EmitArg(scalar(dt::bool_));
  (void)b_.emit({.op = Op::if_, .args = {c}, .loc = place()});
  size_t mark = scope_.size();
  ++depth_;
  statements(static_cast<int>(rng_.below(4)));
  scope_.resize(mark);
  if (rng_.chance(50)) {
    (void)b_.emit({.op = Op::else_, .loc = place()});
    statements(static_cast<int>(rng_.below(4)));
    scope_.resize(mark);
  }
  --depth_;
  (void)b_.emit({.op = Op::end, .loc = place()});
}

void KernelGen::for_statement() {
  if (depth_ >= 3) return;
  DType t = rng_.chance(75) ? dt::i32_ : dt::i64_;
  auto number = [&](int64_t v) {
    return b_.constant({t, static_cast<uint64_t>(v) & (~uint64_t{0} >> (64 - t.bits))});
  };
  Emit e{.op = Op::for_, .loc = place()};
  bool down = rng_.chance(15);
  EmitArg end = !options_.launchable && rng_.chance(40)
                    ? EmitArg(scalar(t))
                    : EmitArg(number(down ? -1 : rng_.between(0, 4)));
  e.args = {number(down ? 3 : 0), end, number(down ? -1 : rng_.between(1, 3))};
  e.attrs = attributes(op_info(Op::for_), 0, t);
  e.results = {{{}, local_name()}};
  size_t mark = scope_.size();
  Builder::Emitted loop = b_.emit(e);
  if (!loop) return;
  scope_.push_back({loop.results[0], true});
  ++depth_, ++loops_;
  statements(static_cast<int>(rng_.between(1, 4)));
  if (rng_.chance(20)) leave();
  --depth_, --loops_;
  scope_.resize(mark);
  (void)b_.emit({.op = Op::end, .loc = place()});
}

void KernelGen::while_statement() {
  if (depth_ >= 3) return;
  Ref counter =
      *emit({.op = Op::move, .args = {b_.i32(0)}, .written = scalar_type(dt::i32_)}, false);
  scope_.back().fixed = true;
  (void)b_.emit({.op = Op::while_, .loc = place()});
  size_t mark = scope_.size();
  ++depth_, ++loops_;
  Ref more = *emit({.op = Op::lt, .args = {counter, Literal::of(rng_.between(0, 3))}}, false);
  (void)b_.emit({.op = Op::test, .args = {more}, .loc = place()});
  (void)b_.emit({.op = Op::add,
                 .args = {counter, Literal::of(1)},
                 .results = {{counter.index(), ""}},
                 .loc = place()});
  statements(static_cast<int>(rng_.below(4)));
  if (rng_.chance(30)) leave();
  --depth_, --loops_;
  scope_.resize(mark);
  (void)b_.emit({.op = Op::end, .loc = place()});
}

void KernelGen::leave() {
  bool trap = rng_.chance(25);
  EmitArg c =
      trap && options_.launchable ? EmitArg(Literal::of_bool(false)) : EmitArg(scalar(dt::bool_));
  Op way = trap                             ? Op::trap
           : in_strand_ && loops_ == 0      ? Op::trap
           : in_strand_                     ? Op::break_
           : loops_ == 0 || rng_.chance(20) ? Op::return_
           : rng_.chance(50)                ? Op::break_
                                            : Op::continue_;
  (void)b_.emit({.op = Op::if_, .args = {c}, .loc = place()});
  (void)b_.emit({.op = way, .loc = place()});
  (void)b_.emit({.op = Op::end, .loc = place()});
}

// --- instructions

Builder::Emitted KernelGen::emit(Emit e, bool may_assign) {
  e.loc = place();
  const OpInfo& op = op_info(e.op);
  size_t n = 0;
  for (const SigItem& r : op.sig.outs()) n += !r.optional || rng_.chance(50);
  e.results.clear();
  for (size_t i = 0; i < n; ++i) e.results.push_back({{}, local_name()});
  if (may_assign && n == 1 && !scope_.empty() && rng_.chance(15)) {
    const Local& target = rng_.pick(scope_);
    if (!target.fixed && k_.values[target.value].type.space == Space::reg) {
      Emit assign = e;
      assign.results[0].value = target.value;
      if (Builder::Emitted done = b_.emit(assign)) {
        done.results.clear();
        return done;
      }
    }
  }
  Builder::Emitted done = b_.emit(e);
  if (done)
    for (uint32_t v : done.results) scope_.push_back({v, false});
  return done;
}

int64_t KernelGen::layout_of(const Type& t) {
  std::string extents, strides;
  int64_t stride = 1;
  for (int d = t.shape.rank - 1; d >= 0; --d) {
    strides = fmt::format("{}{}{}", stride, strides.empty() ? "" : ",", strides);
    stride *= t.shape[d];
  }
  for (int64_t d : t.shape) extents += fmt::format("{}{}", extents.empty() ? "" : ",", d);
  std::string text = t.space == Space::reg ? fmt::format("local({})", extents)
                                           : fmt::format("({}):({})", extents, strides);
  std::string name;
  if (rng_.chance(60)) {
    name = t.space == Space::reg ? "r" : "s";
    for (int64_t d : t.shape) name += fmt::format("_{}", d);
  }
  for (size_t i = 0; i < m_.layouts.size(); ++i)
    if (m_.layouts[i] == LayoutDef{name, text}) return static_cast<int64_t>(i);
  m_.layouts.push_back({name, text});
  return static_cast<int64_t>(m_.layouts.size() - 1);
}

// Behind an instruction just emitted: its tag is the least, so it comes first.
void KernelGen::add_layout(uint32_t result) {
  Inst& inst = k_.code.back();
  const Type& t = k_.values[result].type;
  bool fits = t.shape.rank && t.shape.is_static();
  if (!fits || (t.space != Space::reg && t.space != Space::shared)) return;
  k_.attrs.insert(k_.attrs.begin() + inst.first_attr, {AttrTag::layout, layout_of(t)});
  ++inst.n_attrs;
}

bool KernelGen::emit_row(const OpInfo& op, std::vector<EmitArg> args, std::vector<EmitAttr> attrs,
                         std::optional<Type> written) {
  Builder::Emitted e =
      emit({.op = op.op, .args = std::move(args), .attrs = std::move(attrs), .written = written});
  if (!e) return false;
  bool layout = !options_.launchable && op.allows(AttrTag::layout) &&
                !op.requires_attr(AttrTag::layout) && op.rule != Rule::view_;
  if (layout && e.results.size() == 1 && rng_.chance(12)) add_layout(e.results[0]);
  return true;
}

std::vector<EmitAttr> KernelGen::attributes(const OpInfo& op, int rank, DType type) {
  std::vector<EmitAttr> out;
  std::vector<AttrInfo> order(all_attrs().begin(), all_attrs().end());
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng_.below(i)]);
  uint32_t groups = 0;
  for (const AttrInfo& a : order) {
    bool needed = op.requires_attr(a.tag) || is_required(a.group);
    if (!op.allows(a.tag) || !(needed || rng_.chance(35))) continue;
    if (a.group != AttrGroup::none) {
      if (groups >> static_cast<int>(a.group) & 1) continue;
      groups |= 1u << static_cast<int>(a.group);
    }
    EmitAttr e{a.tag};
    switch (a.tag) {
      case AttrTag::layout:
      case AttrTag::count:
        continue;  // the row's own affair
      case AttrTag::dim:
        if (rank == 0) continue;
        e.value = rng_.between(-rank, rank - 1);
        break;
      case AttrTag::perm: {
        std::vector<int> dims(static_cast<size_t>(rank));
        for (int d = 0; d < rank; ++d) dims[static_cast<size_t>(d)] = d;
        for (size_t i = dims.size(); i > 1; --i) std::swap(dims[i - 1], dims[rng_.below(i)]);
        if (rank == 0) continue;
        e.value = make_perm(dims);
        break;
      }
      case AttrTag::pad:
        e.constant = literal(type);
        break;
      case AttrTag::promote:
      case AttrTag::unroll:
      case AttrTag::pipeline:
        e.value = rng_.between(1, 8);
        break;
      case AttrTag::nowrap:
        if (options_.launchable) continue;
        break;
      case AttrTag::ring:
        if (rank < 2) continue;
        break;
      default:
        break;
    }
    out.push_back(e);
  }
  return out;
}

// The last values go to `reals` and `integers`, one element each.
void KernelGen::finish() {
  uint32_t reals = 0, integers = 0;
  for (uint32_t i = 0; i < k_.params.size(); ++i) {
    std::string_view name = k_.values[i].name;
    if (name == "reals") reals = i;
    if (name == "integers") integers = i;
  }
  int64_t at = 0;
  std::vector<Local> locals = scope_;
  for (size_t i = locals.size(); i-- > 0 && at < 64;) {
    const Type t = k_.values[locals[i].value].type;
    if (t.space != Space::reg || t.dtype.kind == Kind::scale) continue;
    Ref v = Ref::value(locals[i].value);
    bool real = t.dtype.is_float();
    DType wide = real ? dt::f64_ : dt::i64_;
    if (t.dtype != wide)
      v = *emit({.op = Op::cast, .args = {v}, .written = Type{Space::reg, false, wide, t.shape}},
                false);
    if (t.shape.rank) v = *emit({.op = real ? Op::reduce_max : Op::reduce_xor, .args = {v}}, false);
    std::vector<Index> where = {b_.point(Ref::value(block_id_)), b_.point(b_.i32(at++))};
    (void)emit({.op = Op::store, .args = {v, b_.access(real ? reals : integers, where)}}, false);
  }
}

void KernelGen::run(const std::string& name) {
  k_.name = name;
  header();
  Builder::Emitted id = emit({.op = Op::block_x}, false);
  block_id_ = id.results[0];
  scope_.back().fixed = true;
  if (rng_.chance(20)) (void)b_.emit({.op = Op::inputs_wait, .loc = place()});
  async_declarations();
  statements(static_cast<int>(rng_.between(options_.statements / 2, options_.statements)));
  if (options_.launchable) finish();
  if (rng_.chance(20)) (void)b_.emit({.op = Op::outputs_ready, .loc = place()});
}

Module random_module(uint64_t seed, const GenOptions& options) {
  Rng rng(seed);
  Module m;
  if (options.places) {
    m.files = {"random.vmasm"};
    if (rng.chance(20)) m.files.push_back("std/ünï \"quoted\"\\.vmasm");
  }
  int n = static_cast<int>(rng.between(1, options.kernels));
  for (int i = 0; i < n; ++i) {
    Kernel k;
    KernelGen(rng, m, k, options).run(fmt::format("kernel{}", i));
    m.kernels.push_back(std::move(k));
  }
  return m;
}

// --- coverage

void Coverage::add(const Module& module) {
  ++modules;
  for (const Kernel& k : module.kernels) {
    ++kernels;
    instructions += k.code.size();
    for (const Inst& i : k.code) ++ops[static_cast<size_t>(i.op)];
    for (const Inst& i : k.code)
      for (const Attr& a : k.attrs_of(i)) ++attrs[a.tag];
    for (const Value& v : k.values) ++types[dtype_name(v.type.dtype)];
    for (const Constant& c : k.constants) ++types[dtype_name(c.type)];
  }
}

std::pair<std::string, uint64_t> Coverage::rarest() const {
  std::pair<std::string, uint64_t> least{"", ~uint64_t{0}};
  auto see = [&](std::string_view name, uint64_t n) {
    if (n < least.second) least = {std::string(name), n};
  };
  for (const OpInfo& op : all_ops()) see(op.name, ops[static_cast<size_t>(op.op)]);
  for (const AttrInfo& a : all_attrs()) see(a.name, attrs.contains(a.tag) ? attrs.at(a.tag) : 0);
  for (DType t : all_dtypes())
    see(dtype_name(t), types.contains(dtype_name(t)) ? types.at(dtype_name(t)) : 0);
  return least;
}

std::string Coverage::table() const {
  std::string s =
      fmt::format("{} modules, {} kernels, {} instructions\nrows:", modules, kernels, instructions);
  for (const OpInfo& op : all_ops())
    s += fmt::format(" {} {}", op.name, ops[static_cast<size_t>(op.op)]);
  s += "\nattributes:";
  for (const AttrInfo& a : all_attrs())
    s += fmt::format(" {} {}", a.name, attrs.contains(a.tag) ? attrs.at(a.tag) : 0);
  s += "\ntypes:";
  for (DType t : all_dtypes())
    s += fmt::format(" {} {}", dtype_name(t),
                     types.contains(dtype_name(t)) ? types.at(dtype_name(t)) : 0);
  return s + "\n";
}

}  // namespace tess::gen
