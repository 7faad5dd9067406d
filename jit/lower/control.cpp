// Control, ids, and the declaration of shared tiles.
#include "isa/layout_ops.h"
#include "isa/numerics.h"
#include "jit/lower/guard.h"
#include "jit/tile/shared_plan.h"

namespace tess::jit {

// What instructions need for themselves comes behind the tiles.
void Lowering::plan_shared() {
  shared_place_.assign(k_.values.size(), 0);
  auto plan = plan_shared_memory(m_, k_, info_, OverlapPrice::free);
  if (!plan) return fail(plan.error());
  for (const SharedTile& t : plan->tiles) shared_place_[t.value] = static_cast<uint32_t>(t.place);
  scratch_at_ = static_cast<uint32_t>((plan->bytes + 127) / 128 * 128);
}

namespace {

// Zeros in every word of a tile, by all threads of the strand.
void clear(Lowering& l, Operand base, int64_t bytes) {
  Emit& e = l.emit();
  int64_t words = (bytes + 3) / 4, threads = int64_t{l.strand().warps} * 32;
  Operand mine = e.shl(l.thread(), 2);
  l.barrier();
  for (int64_t first = 0; first < words; first += threads) {
    bool all = first + threads <= words;
    if (!all) e.begin_if(e.ult(l.thread(), b32(static_cast<uint64_t>(words - first))));
    e.form("st.shared.b32", {e.add(base, mine), b32(static_cast<uint64_t>(first * 4)), b32(0)});
    if (!all) e.end();
  }
  l.barrier();
}

}  // namespace

LOWER(smem) {
  uint32_t value = l.result_value();
  const Type& type = l.result_type();
  MemoryView v;
  v.space = Space::shared;
  v.type = type.dtype;
  v.root = value;
  v.base = l.emit().shared_address(l.shared_place(value));
  v.alignment = 128;
  v.memory = l.memory_layout(value);
  for (int d = 0; d < type.shape.rank; ++d) {
    v.dim.push_back(d);
    v.extent.push_back(b32(static_cast<uint64_t>(type.shape[d])));
    v.start.push_back(b32(0));
    v.start_divisor.push_back(int64_t{1} << 30);
  }
  if (has_shared_words(type)) clear(l, v.base, (extent_of(*v.memory) * type.dtype.bits + 7) / 8);
  l.set_view(0, std::move(v));
}

namespace {

int64_t as_signed(Operand o) {
  return o.type == RegClass::b32 ? static_cast<int32_t>(o.bits) : static_cast<int64_t>(o.bits);
}

// Whether no index is beyond its type, the one that ends the loop included.
bool never_wraps(Lowering& l, Operand end, Operand step) {
  if (!step.is_imm() || as_signed(step) == 0) return false;
  int64_t by = as_signed(step);
  if (by == 1 || by == -1) return true;
  if (end.is_imm()) {
    __int128 last = static_cast<__int128>(as_signed(end)) + by;
    return end.type == RegClass::b32 ? last == static_cast<int32_t>(last)
                                     : last == static_cast<int64_t>(last);
  }
  return l.facts().divisor(l.arg_ref(0)) % by == 0 && l.facts().divisor(l.arg_ref(1)) % by == 0;
}

// The turns of a loop, as an unsigned number.
Operand turns(Lowering& l, Operand begin, Operand end, Operand step) {
  Emit& e = l.emit();
  Operand zero = Operand::imm(0, step.type), one = Operand::imm(1, step.type);
  Operand down = e.slt(step, zero), still = e.eq(step, zero);
  fault_if(l, still, diag::run_zero_step);
  Operand by = e.sel(still, one, e.sel(down, e.sub(zero, step), step));
  Operand span = e.sel(down, e.sub(begin, end), e.sub(end, begin));
  Operand some = e.sel(down, e.slt(end, begin), e.slt(begin, end));
  Operand n = e.add(e.op(BlockOp::udiv, {e.sub(span, one), by}), one);
  return e.sel(e.and_(some, e.not_(still)), n, zero);
}

void end_without_fuel(Lowering& l) {
  if (l.options().guard) l.emit().control(BlockOp::break_if, {l.emit().not_(has_fuel(l))});
}

}  // namespace

// The index may not wrap on its way past the end. Where it could, it is compared as an unsigned
// number if it begins at one, and else the turns are counted.
LOWER(for_) {
  Emit& e = l.emit();
  DType t = l.result_type().dtype;
  Operand begin = l.arg(0).words[0], end = l.arg(1).words[0];
  Operand step = l.has_arg(2) ? l.arg(2).words[0] : Operand::imm(1, word_class(t));
  bool plain = never_wraps(l, end, step), down = step.is_imm() && as_signed(step) < 0;
  bool natural = !plain && step.is_imm() && as_signed(step) > 0 && begin.is_imm() &&
                 as_signed(begin) >= 0;
  Operand counter = e.variable(word_class(t), "i"), left;
  e.assign(counter, begin);
  if (natural) {
    end = e.form1(step.type == RegClass::b32 ? "max.s32" : "max.s64",
                  {end, Operand::imm(0, step.type)});
  } else if (!plain) {
    left = e.variable(word_class(t), "left");
    e.assign(left, turns(l, begin, end, step));
  }
  l.forget_scalars();
  e.begin_loop(static_cast<uint32_t>(l.attr(AttrTag::unroll).value_or(0)));
  Operand now = e.snapshot(counter);
  Operand done = left.is_reg() ? e.eq(e.snapshot(left), Operand::imm(0, step.type))
                 : natural     ? e.op(BlockOp::ule, {end, now})
                 : down        ? e.sle(now, end)
                               : e.sle(end, now);
  e.control(BlockOp::break_if, {done});
  end_without_fuel(l);
  l.bind(l.result_value(), {now});
  l.open_loop({counter, step, left});
}

LOWER(while_) {
  l.forget_scalars();
  l.emit().begin_loop();
  end_without_fuel(l);
  l.open_loop({});
}

LOWER(test) { l.emit().control(BlockOp::break_if, {l.emit().not_(l.arg(0).words[0])}); }

LOWER(if_) {
  Operand c = l.arg(0).words[0];
  l.forget_scalars();
  l.emit().begin_if(c);
}
LOWER(else_) {
  l.forget_scalars();
  l.emit().begin_else();
}
LOWER(end) {
  Emit& e = l.emit();
  l.forget_scalars();
  const Inst& opener = l.kernel().code[l.info().match[l.pc()]];
  if (opener.op == Op::warps) return l.end_section();
  if (opener.op == Op::parallel) return l.end_parallel();
  if (opener.op == Op::for_ || opener.op == Op::while_) {
    auto [counter, step, left] = l.close_loop();
    e.begin_latch();
    if (counter.is_reg()) e.assign(counter, e.add(counter, step));
    if (left.is_reg()) e.assign(left, e.sub(left, Operand::imm(1, left.type)));
  }
  e.end();
}
LOWER(break_) { l.emit().control(BlockOp::break_); }
LOWER(continue_) { l.emit().control(BlockOp::continue_); }
LOWER(return_) { l.emit().control(BlockOp::ret); }

LOWER(block_x) { l.set(0, {l.emit().op(BlockOp::ctaid_x, {})}); }
LOWER(block_y) { l.set(0, {l.emit().op(BlockOp::ctaid_y, {})}); }
LOWER(block_z) { l.set(0, {l.emit().op(BlockOp::ctaid_z, {})}); }
LOWER(grid_x) { l.set(0, {l.emit().op(BlockOp::nctaid_x, {})}); }
LOWER(grid_y) { l.set(0, {l.emit().op(BlockOp::nctaid_y, {})}); }
LOWER(grid_z) { l.set(0, {l.emit().op(BlockOp::nctaid_z, {})}); }
LOWER(cluster_rank) {
  l.set(0, {l.kernel().cluster > 1 ? l.emit().op(BlockOp::cluster_rank, {}) : b32(0)});
}
LOWER(device_sms) {
  HostExpr e;
  e.tokens = {{HostOp::device_sms, 0}};
  l.set(0, {l.emit().trunc(l.host_value(e))});
}

LOWER(move) {
  Tile t = l.arg(0);
  if (l.result_type().shape.rank == 0) return l.set(0, t.words);
  l.set(0, l.broadcast_words(t, l.result_type().shape, l.result_layout()));
}

}  // namespace tess::jit
