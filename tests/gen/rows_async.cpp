// Strands, and the instructions that only make sense together: a copy and its wait, an arrival and
// a wait, a product and its group. Each is drawn as such a run.
#include <algorithm>

#include "isa/infer.h"
#include "tests/gen/kernel_gen.h"

namespace tess::gen {

// What asynchronous instructions work on, declared at the head of some kernels.
void KernelGen::async_params() {
  has_async_ = !options_.launchable && rng_.chance(60);
  if (!has_async_) return;
  constexpr DType kTypes[] = {dt::i32_,  dt::u32_, dt::i64_, dt::u64_, dt::f16_,
                              dt::bf16_, dt::f32_, dt::f64_, dt::u8_,  dt::e4m3_};
  box_type_ = rng_.pick(kTypes);
  Param p;
  p.dir = Direction::inout;
  p.shape = {HostExpr::of(rng_.between(8, 100)), HostExpr::of(64)};
  p.aligned = 16u << rng_.below(3);
  box_ = b_.param("box", box_type_, std::move(p));
}

void KernelGen::async_declarations() {
  if (!has_async_) return;
  auto declare = [&](Op op, Type type, std::vector<EmitAttr> attrs) {
    Builder::Emitted e = emit({.op = op, .attrs = std::move(attrs), .written = type}, false);
    scope_.back().fixed = true;
    return e.results[0];
  };
  tile_ = declare(Op::smem, tile_type(box_type_, {8, 64}), {});
  bars_ = declare(Op::mbar, Type{Space::reg, false, {}, {rng_.between(1, 4)}},
                  {{AttrTag::count, rng_.between(1, 3)}});
  DType word = rng_.chance(70) ? dt::i32_ : dt::u64_;
  words_ = declare(Op::smem, tile_type(word, {16}), {});
  constexpr DType kFactors[] = {dt::f16_, dt::bf16_, dt::tf32_, dt::e4m3_, dt::i8_};
  factor_ = rng_.pick(kFactors);
  int64_t k = 256 / factor_.bits;
  left_ = declare(Op::smem, tile_type(factor_, {64, k}), {});
  right_ = declare(Op::smem, tile_type(factor_, {k, 8}), {});
  if (k_.cluster == 1) return;
  auto map = [&](uint32_t v) {
    Builder::Emitted e =
        emit({.op = Op::cluster_map, .args = {Ref::value(v), scalar(dt::i32_)}}, false);
    scope_.pop_back();  // few instructions reach a peer's memory
    return e.results[0];
  };
  peer_bars_ = map(bars_), peer_words_ = map(words_), peer_tile_ = map(tile_);
}

// A use number, never a constant: phases of constants are judged.
Ref KernelGen::use_of(uint32_t bars) { return b_.access(bars, {b_.point(scalar(dt::i32_))}); }

bool KernelGen::parallel_statement() {
  if (in_strand_ || depth_ >= 3 || options_.launchable) return false;
  (void)b_.emit({.op = Op::parallel, .loc = place()});
  std::vector<Local> outside = scope_;
  int loops = std::exchange(loops_, 0);
  in_strand_ = true;
  ++depth_;
  int64_t at = 0, warps = k_.warps;
  do {
    int64_t n = rng_.between(1, warps - at);
    if (warps >= 8 && rng_.chance(60)) n = std::min<int64_t>(warps - at, 4);
    Emit e{.op = Op::warps, .args = {Literal::of(at), Literal::of(at + n)}, .loc = place()};
    strand_begin_ = at, strand_warps_ = n;
    if (rng_.chance(40)) {
      int64_t by = n % 4 == 0 && rng_.chance(50) ? 4 : n % 2 == 0 && rng_.chance(50) ? 2 : 1;
      e.attrs.push_back({AttrTag::by, by});
      strand_warps_ = by;
    }
    if (at % 4 == 0 && n % 4 == 0 && rng_.chance(70))
      e.attrs.push_back({AttrTag::regs, 8 * rng_.between(3, 16)});
    if (rng_.chance(60)) e.results = {{{}, local_name()}};
    Builder::Emitted section = b_.emit(e);
    if (!section) break;
    scope_.clear();
    for (const Local& l : outside)  // outer tiles are out of reach, the rest is only read
      if (!k_.values[l.value].type.is_tile()) scope_.push_back({l.value, true});
    if (!e.results.empty()) scope_.push_back({section.results[0], true});
    // Orders the strands, so that no pair of accesses is a certain race.
    (void)emit({.op = Op::barrier_named, .args = {Literal::of(1), Literal::of(warps)}}, false);
    statements(static_cast<int>(rng_.between(1, 4)));
    (void)b_.emit({.op = Op::end, .loc = place()});
    at += n;
  } while (at < warps && rng_.chance(85));
  --depth_;
  in_strand_ = false;
  loops_ = loops;
  scope_ = std::move(outside);
  (void)b_.emit({.op = Op::end, .loc = place()});
  return true;
}

// `mbar.arrive` and `mbar.wait` at one use, behind what brings bytes.
bool KernelGen::arrive_and_wait(Ref use) {
  return emit_row(op_info(Op::mbar_arrive), {use}, {}) &&
         emit_row(op_info(Op::mbar_wait), {use}, {});
}

bool KernelGen::group_of(Op commit, Op wait) {
  return emit_row(op_info(commit), {}, {}) &&
         emit_row(op_info(wait), {Literal::of(0)}, attributes(op_info(wait), 0, {}));
}

// The one flag of the group `reduction` that suits the type.
void KernelGen::fit_reduction(std::vector<EmitAttr>& attrs, bool all) {
  for (EmitAttr& a : attrs)
    if (find_attr(a.tag)->group == AttrGroup::reduction && !all) a.tag = AttrTag::op_add;
}

bool KernelGen::async_row(const OpInfo& op) {
  switch (op.rule) {
    case Rule::group_wait_:
      return emit_row(op, {Literal::of(static_cast<int64_t>(rng_.below(4)))},
                      attributes(op, 0, {}));
    case Rule::named_barrier_:
      return emit_row(op,
                      {rng_.chance(50) ? EmitArg(scalar(dt::i32_))
                                       : EmitArg(Literal::of(static_cast<int64_t>(rng_.below(16)))),
                       Literal::of(k_.warps)},
                      {});
    case Rule::mma_scaled_: {
      auto small = [&] {
        DType t = pick_type(TypeClass::num);
        for (int i = 0; i < 300 && !t.is_small_float(); ++i) t = pick_type(TypeClass::num);
        return t.is_small_float() ? t : dt::e4m3_;
      };
      constexpr DType kScales[] = {dt::e8m0_, dt::e4m3_, dt::e5m2_, dt::f16_, dt::bf16_};
      int64_t m = rng_.between(1, 6), n = rng_.between(1, 6), blocks = rng_.between(1, 3),
              k = blocks * rng_.between(1, 4);
      std::vector<EmitArg> args = {tile(small(), {m, k}), tile(rng_.pick(kScales), {m, blocks}),
                                   tile(small(), {k, n}), tile(rng_.pick(kScales), {blocks, n})};
      bool zero = rng_.chance(30);
      args.push_back(zero ? EmitArg(Literal::of_real(0)) : EmitArg(tile(dt::f32_, {m, n})));
      return emit_row(op, std::move(args), attributes(op, 2, dt::f32_),
                      tile_type(dt::f32_, {m, n}));
    }
    default:
      break;
  }
  if (!has_async_) return false;
  switch (op.rule) {
    case Rule::mbar_: {
      if (depth_) return false;
      Emit e{.op = op.op,
             .attrs = {{AttrTag::count, rng_.between(1, 3)}},
             .written = Type{Space::reg, false, {}, {rng_.between(1, 4)}}};
      if (!emit(e, false)) return false;
      scope_.back().fixed = true;
      return true;
    }
    case Rule::barrier_: {
      bool peer = k_.cluster > 1 && op.op != Op::mbar_wait && op.op != Op::copy_async_arrive &&
                  rng_.chance(30);
      Ref use = use_of(peer ? peer_bars_ : bars_);
      if (op.op == Op::mbar_expect)
        return emit_row(op, {use, Literal::of(rng_.between(1, 99))}, {});
      if (op.op == Op::mbar_wait) return arrive_and_wait(use);
      return emit_row(op, {use}, {});
    }
    case Rule::copy_async_: {
      auto attrs = attributes(op, 0, box_type_);
      int64_t rows = rng_.between(1, 8);
      Index from =
          rng_.chance(30) ? b_.point(tile(dt::i32_, {rows})) : b_.range(scalar(dt::i32_), rows);
      return emit_row(op,
                      {b_.access(tile_, {b_.range(b_.i32(0), rows), b_.all()}),
                       b_.access(box_, {from, b_.all()}), mask({rows, 64})},
                      attrs) &&
             group_of(Op::copy_async_commit, Op::copy_async_wait);
    }
    case Rule::copy_bulk_:
    case Rule::tma_: {
      bool bulk = op.rule == Rule::copy_bulk_;
      Ref there = b_.access(box_, {b_.range(scalar(dt::i32_), 8), b_.all()});
      Ref here = b_.access(tile_, {b_.all(), b_.all()});
      auto attrs = attributes(op, 0, box_type_);
      bool all = box_type_.is_int() && box_type_.bits >= 32;
      fit_reduction(attrs, all);
      if (op.op == Op::tma_reduce && box_type_.bits < 16) return false;
      if (op.op == Op::tma_store || op.op == Op::tma_reduce)
        return emit_row(op, {there, here}, attrs) && group_of(Op::tma_commit, Op::tma_wait);
      for (EmitAttr& a : attrs)
        if (a.tag == AttrTag::pad)
          a.constant = box_type_.is_int() ? Literal::of(0) : Literal::of_real(0);
      if (bulk && rng_.chance(30)) return emit_row(op, {there, here}, attrs);
      if (bulk && k_.cluster > 1 && rng_.chance(50))
        return emit_row(op, {b_.access(peer_tile_, {b_.all(), b_.all()}), here, use_of(peer_bars_)},
                        attrs);
      Ref use = use_of(bars_);
      std::vector<EmitArg> args = {here, there, use};
      if (k_.cluster > 1 && rng_.chance(50))
        args.push_back(rng_.chance(50) ? EmitArg(scalar(dt::i32_)) : EmitArg(Literal::of(3)));
      return emit_row(op, args, attrs) && arrive_and_wait(use);
    }
    case Rule::red_async_: {
      if (k_.cluster == 1) return false;
      DType t = k_.values[words_].type.dtype;
      auto attrs = attributes(op, 0, t);
      fit_reduction(attrs, t.bits == 32);
      return emit_row(op,
                      {b_.access(peer_words_, {b_.range(b_.i32(0), 4)}), value_or_literal(t, {}),
                       use_of(peer_bars_)},
                      attrs);
    }
    case Rule::map_: {
      if (k_.cluster == 1) return false;
      Builder::Emitted e =
          emit({.op = op.op, .args = {Ref::value(words_), scalar(dt::i32_)}}, false);
      if (!e) return false;
      scope_.pop_back();
      return true;
    }
    case Rule::wgmma_: {
      int64_t warps = in_strand_ ? strand_warps_ : k_.warps, begin = in_strand_ ? strand_begin_ : 0;
      if (warps % 4 || begin % 4) return false;
      DType acc = factor_.is_int()                                                  ? dt::i32_
                  : factor_ == dt::bf16_ || factor_ == dt::tf32_ || rng_.chance(60) ? dt::f32_
                                                                                    : dt::f16_;
      bool zero = rng_.chance(50);
      std::vector<EmitArg> args = {Ref::value(left_), Ref::value(right_)};
      if (rng_.chance(40)) args[0] = tile(factor_, k_.values[left_].type.shape);
      args.push_back(zero ? EmitArg(acc.is_int() ? Literal::of(0) : Literal::of_real(0))
                          : EmitArg(tile(acc, {64, 8})));
      return emit_row(op, args, attributes(op, 2, acc), tile_type(acc, {64, 8})) &&
             group_of(Op::wgmma_commit, Op::wgmma_wait);
    }
    default:
      return false;
  }
}

}  // namespace tess::gen
