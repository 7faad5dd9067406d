// atomic.*: each element's operation is done by the first of the threads that hold it; the others
// get the result from it. What no instruction does is a loop of compare-and-swap.
#include "jit/lower/atomic.h"

#include <fmt/format.h>

#include "jit/lower/access.h"
#include "jit/lower/arith.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {

const char* order_word(const Lowering& l) {
  if (l.has(AttrTag::acq_rel)) return "acq_rel";
  if (l.has(AttrTag::acquire)) return "acquire";
  return l.has(AttrTag::release) ? "release" : "relaxed";
}

const char* scope_word(const Lowering& l, const MemoryView& v) {
  bool clustered = l.kernel().cluster > 1;
  if (v.space == Space::shared && !clustered) return "cta";
  if (l.has(AttrTag::cta)) return "cta";
  if (l.has(AttrTag::cluster)) return clustered && l.has_arch(90) ? "cluster" : "cta";
  return l.has(AttrTag::sys) ? "sys" : "gpu";
}

namespace {

struct Update {
  Op op;
  DType type;
  std::string order, scope, space;
  std::string bits;  // b16 b32 b64
};

std::string head(const Update& u, const char* verb, bool silent = false) {
  return fmt::format("{}.{}.{}.{}.{}", silent ? "red" : "atom", u.order, u.scope, u.space, verb);
}

// The instruction's words behind the space, if there is one.
std::string native_form(const Lowering& l, const Update& u) {
  DType t = u.type;
  bool wide = t.bits >= 32;
  switch (u.op) {
    case Op::atomic_add:
      if (t == dt::f32_) return "add.f32";
      if (t == dt::f64_) return "add.f64";
      if (t == dt::f16_) return "add.noftz.f16";
      if (t == dt::bf16_) return l.has_arch(90) ? "add.noftz.bf16" : "";
      if (!t.is_int() || !wide) return "";
      return t.bits == 64 ? "add.u64" : "add.u32";
    case Op::atomic_min:
    case Op::atomic_max: {
      if (!t.is_int() || !wide) return "";
      const char* verb = u.op == Op::atomic_min ? "min" : "max";
      return fmt::format("{}.{}{}", verb, t.is_signed() ? "s" : "u", int{t.bits});
    }
    case Op::atomic_and:
      return wide ? "and." + u.bits : "";
    case Op::atomic_or:
      return wide ? "or." + u.bits : "";
    case Op::atomic_xor:
      return wide ? "xor." + u.bits : "";
    case Op::atomic_exch:
      return wide ? "exch." + u.bits : "";
    default:
      return "";
  }
}

// An element as the bits that memory holds, and back.
Operand memory_bits(Lowering& l, DType t, Operand x) {
  Emit& e = l.emit();
  if (t == dt::f32_) return e.op(BlockOp::as_b32, {x});
  if (t == dt::f64_) return e.op(BlockOp::as_b64, {x});
  if (t.bits == 16 && x.type == RegClass::b32) return e.op(BlockOp::trunc16, {x});
  return x;
}
Operand element_of_bits(Lowering& l, DType t, Operand x) {
  Emit& e = l.emit();
  if (t == dt::f32_) return e.op(BlockOp::as_f32, {x});
  if (t == dt::f64_) return e.op(BlockOp::as_f64, {x});
  if (t.bits == 16 && t.is_int()) return normalised(l, t, e.op(BlockOp::zext16, {x}));
  return x;
}

Operand combined(Lowering& l, const Update& u, Operand old, Operand v) {
  switch (u.op) {
    case Op::atomic_add:
      return binary_element(l, Binary::add, u.type, old, v);
    case Op::atomic_min:
      return binary_element(l, Binary::min, u.type, old, v);
    case Op::atomic_max:
      return binary_element(l, Binary::max, u.type, old, v);
    case Op::atomic_and:
      return binary_element(l, Binary::and_, u.type, old, v);
    case Op::atomic_or:
      return binary_element(l, Binary::or_, u.type, old, v);
    case Op::atomic_xor:
      return binary_element(l, Binary::xor_, u.type, old, v);
    default:
      return v;
  }
}

// The element found, if it is wanted.
std::optional<Operand> update(Lowering& l, const Update& u, Address at, Operand v, Operand expected,
                              bool wanted) {
  Emit& e = l.emit();
  Operand offset = b32(static_cast<uint32_t>(at.offset));
  DType t = u.type;
  if (u.op == Op::atomic_cas)
    return element_of_bits(
        l, t,
        e.form1(head(u, "cas.") + u.bits,
                {at.base, offset, memory_bits(l, t, expected), memory_bits(l, t, v)}));
  std::string native = native_form(l, u);
  if (!native.empty()) {
    bool bitwise = native.find(".b") != std::string::npos && u.op != Op::atomic_add;
    Operand x = bitwise ? memory_bits(l, t, v) : v;
    bool can_be_silent = u.op != Op::atomic_exch && (u.order == "relaxed" || u.order == "release");
    if (!wanted && can_be_silent) {
      e.form(head(u, native.c_str(), true), {at.base, offset, x});
      return {};
    }
    Operand old = e.form1(head(u, native.c_str()), {at.base, offset, x});
    return bitwise ? element_of_bits(l, t, old) : old;
  }
  // A plain read would race with the others' exchanges: swapping 0 for 0 reads.
  Operand zero = Operand::imm(0, u.bits == "b16"   ? RegClass::b16
                                 : u.bits == "b32" ? RegClass::b32
                                                   : RegClass::b64);
  Operand seen = e.variable(zero.type, "seen");
  std::string swap = head(u, "cas.") + u.bits;
  Update reading = u;
  reading.order = "relaxed";
  e.assign(seen, e.form1(head(reading, "cas.") + u.bits, {at.base, offset, zero, zero}));
  e.begin_loop();
  Operand was = e.snapshot(seen);
  Operand next = memory_bits(l, t, combined(l, u, element_of_bits(l, t, was), v));
  e.assign(seen, e.form1(swap, {at.base, offset, was, next}));
  e.control(BlockOp::break_if, {e.eq(seen, was)});
  e.begin_latch();
  e.end();
  return element_of_bits(l, t, e.snapshot(seen));
}

// What the first holder of each element found, in all that hold it.
std::vector<Operand> told_to_copies(Lowering& l, DType t, const Shape& shape,
                                    const TileLayout& layout, std::vector<Operand> found,
                                    const std::vector<int64_t>& first) {
  Emit& e = l.emit();
  for (size_t r = 0; r < found.size(); ++r) found[r] = found[static_cast<size_t>(first[r])];
  Operand mine = l.is_first_copy(layout);
  if (mine.is_imm()) return found;
  ScratchArray array(l, t, shape.elements());
  e.begin_if(mine);
  for (int64_t r = 0; r < layout.registers; ++r)
    if (first[static_cast<size_t>(r)] == r)
      array.store(element_number(l, layout, shape, r), found[static_cast<size_t>(r)]);
  e.end();
  l.barrier();
  found = load_elements(l, array, layout, zero_element(t),
                        [&](int64_t r) { return element_number(l, layout, shape, r); });
  l.barrier();
  return found;
}

void lower_atomic(Lowering& l) {
  Emit& e = l.emit();
  bool cas = l.inst().op == Op::atomic_cas, wanted = l.n_results() > 0;
  Part part = l.part_of_arg(0);
  if (part.view.remote) return l.unsupported("atomics in a peer's shared memory", "use red.async");
  Tile v = l.arg(cas ? 2 : 1), expected;
  if (cas) expected = l.arg(1);
  std::optional<Tile> mask;
  size_t mask_arg = cas ? 3 : 2;
  if (l.has_arg(mask_arg)) mask = l.arg(mask_arg);
  const Shape& shape = part.shape;
  const TileLayout* layout = nullptr;
  auto serves = [&](const Tile& t) { return t.layout && t.shape == shape; };
  if (shape.rank == 0) layout = l.intern(Layout{});
  else if (wanted) layout = l.result_layout();
  else if (serves(v)) layout = v.layout;
  else if (mask && serves(*mask)) layout = mask->layout;
  else layout = l.any_layout(shape);
  if (!layout) return;
  auto in_layout = [&](const Tile& t) {
    return l.elements(t.type, l.broadcast_words(t, shape, layout), layout->registers);
  };
  DType type = part.view.type;
  Update u{l.inst().op,
           type,
           order_word(l),
           scope_word(l, part.view),
           part.view.space == Space::global ? "global" : "shared",
           fmt::format("b{}", int{type.bits})};
  std::vector<Operand> values = in_layout(v), old_values, masks;
  if (cas) old_values = in_layout(expected);
  if (mask) masks = in_layout(*mask);
  // What the strand wrote before is released by whichever thread acts.
  if (u.order == "release" || u.order == "acq_rel") l.barrier();
  Addresser where(l, part, *layout);
  where.at(0);  // what all addresses share, before any branch
  Operand acts = l.is_first_copy(*layout);
  std::vector<int64_t> first(static_cast<size_t>(layout->registers));
  std::map<std::vector<int64_t>, int64_t> holder;
  std::vector<Operand> found(static_cast<size_t>(layout->registers)), conditions;
  for (int64_t r = 0; r < layout->registers; ++r) {
    first[static_cast<size_t>(r)] =
        holder.try_emplace(layout->at[static_cast<size_t>(r)], r).first->second;
    Operand c = e.and_(acts, where.inside(r));
    if (mask) c = e.and_(c, masks[static_cast<size_t>(r)]);
    conditions.push_back(c);
  }
  for (int64_t r = 0; r < layout->registers; ++r) {
    size_t i = static_cast<size_t>(r);
    if (first[i] != r) continue;
    Operand kept;
    if (wanted) {
      kept = e.variable(element_class(type), "found");
      e.assign(kept, zero_element(type));
    }
    if (!conditions[i].is_imm()) e.begin_if(conditions[i]);
    if (!(conditions[i].is_imm() && !conditions[i].bits)) {
      auto old = update(l, u, where.at(r), values[i], cas ? old_values[i] : Operand{}, wanted);
      if (wanted && old) e.assign(kept, *old);
    }
    if (!conditions[i].is_imm()) e.end();
    if (wanted) found[i] = e.snapshot(kept);
  }
  bool acquires = u.order == "acquire" || u.order == "acq_rel";
  if (acquires) l.barrier();
  if (!wanted) return;
  if (shape.rank == 0) return l.set(0, {l.from_first_thread(l.pack(type, {found[0]})[0])});
  l.set(0, l.pack(type, told_to_copies(l, type, shape, *layout, std::move(found), first)));
}

}  // namespace

LOWER(atomic_add) { lower_atomic(l); }
LOWER(atomic_min) { lower_atomic(l); }
LOWER(atomic_max) { lower_atomic(l); }
LOWER(atomic_and) { lower_atomic(l); }
LOWER(atomic_or) { lower_atomic(l); }
LOWER(atomic_xor) { lower_atomic(l); }
LOWER(atomic_exch) { lower_atomic(l); }
LOWER(atomic_cas) { lower_atomic(l); }

}  // namespace tess::jit
