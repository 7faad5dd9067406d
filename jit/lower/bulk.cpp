// copy.bulk and red.async: runs of bytes, and single words, sent to a barrier that counts them.
#include "jit/lower/access.h"
#include "jit/lower/copy_guard.h"
#include "jit/lower/guard.h"

namespace tess::jit {
namespace {

// One side of a bulk copy, the same in every thread: where it begins.
struct Run {
  Address first;
  Operand bad;  // as in copy_guard.h
};

// Whether the elements lie one behind the other, in shared memory: which layout decides.
bool dense_in_shared(const Part& part) {
  const MemoryView& v = part.view;
  if (!v.memory->bits.identity()) return false;
  int64_t step = 1;
  for (int d = v.rank(); d-- > 0;) {
    int64_t left = part.shape[d];
    for (const Digit& g : v.memory->digits) {
      if (left == 1) break;
      if (g.label != Label::dim || g.dim != static_cast<size_t>(v.dim[static_cast<size_t>(d)]) ||
          g.size == 1)
        continue;
      if (g.out[0] != step) return false;
      int64_t part_of_digit = std::min(left, g.size);
      if (left % part_of_digit) return false;
      step *= part_of_digit;
      left /= part_of_digit;
    }
  }
  return true;
}

// Whole tiles, without padding, that lie alike: their bytes are the same in any order.
bool twins(const Part& a, const Part& b) {
  auto whole = [](const Part& p) { return p.shape.elements() == extent_of(*p.view.memory); };
  return whole(a) && whole(b) && a.view.dim == b.view.dim && *a.view.memory == *b.view.memory;
}

// The same in global memory: strides decide.
Operand has_gaps(Lowering& l, const Part& part) {
  Emit& e = l.emit();
  const MemoryView& v = part.view;
  Operand bad = pred(false);
  int64_t step = 1;
  for (int d = v.rank(); d-- > 0; step *= part.shape[d])
    if (part.shape[d] > 1)
      bad = e.or_(bad, e.ne(l.wide(v.stride[static_cast<size_t>(v.dim[static_cast<size_t>(d)])]),
                            b64(static_cast<uint64_t>(step))));
  return bad;
}

Run run_of(Lowering& l, const Part& part) {
  Emit& e = l.emit();
  TileLayout one;
  size_t rank = static_cast<size_t>(part.view.rank());
  one.at = {std::vector<int64_t>(rank, 0)};
  one.layout.offset.assign(rank, 0);
  one.layout.shape.assign(rank, 1);
  Addresser where(l, part, one);
  Run run{where.at(0), pred(false)};
  if (!l.options().guard) return run;
  const MemoryView& v = part.view;
  Operand place = e.add(run.first.base,
                        Operand::imm(static_cast<uint64_t>(run.first.offset), run.first.base.type));
  Operand past = e.and_(place, Operand::imm(15, place.type));
  run.bad = e.or_(partly_outside(l, part), e.ne(past, Operand::imm(0, past.type)));
  if (v.space == Space::global) run.bad = e.or_(run.bad, has_gaps(l, part));
  if (v.ends()) {
    Operand first = e.sub(where.element_at(0), v.room_begin);
    Operand last = e.add(first, b64(static_cast<uint64_t>(part.shape.elements() - 1)));
    for (Operand at : {first, last}) run.bad = e.or_(run.bad, e.not_(e.ult(at, v.room)));
  }
  fault_if(l, run.bad, diag::run_bulk);
  return run;
}

const char* reduction(const Lowering& l) {
  constexpr std::pair<AttrTag, const char*> kOps[] = {
      {AttrTag::op_add, "add"}, {AttrTag::op_min, "min"}, {AttrTag::op_max, "max"},
      {AttrTag::op_and, "and"}, {AttrTag::op_or, "or"},   {AttrTag::op_xor, "xor"}};
  for (auto [tag, word] : kOps)
    if (l.has(tag)) return word;
  return "";
}

}  // namespace

LOWER(copy_bulk) {
  Emit& e = l.emit();
  Part to = l.part_of_arg(0), from = l.part_of_arg(1);
  int64_t bits = to.view.type.is_bool() ? 8 : to.view.type.bits;
  if (!from.shape.is_static()) return l.unsupported("a run of a length known only at run time");
  Operand bytes = b32(static_cast<uint64_t>(from.shape.elements() * bits / 8));
  std::optional<BarrierUse> b;
  if (l.has_arg(2)) b = barrier_use(l, 2);
  std::optional<Operand> mask;
  if (l.has_arg(3)) mask = l.scalar(3);
  auto in_order = [](const Part& p) { return p.view.space != Space::shared || dense_in_shared(p); };
  bool between_tiles = to.view.space == Space::shared && from.view.space == Space::shared;
  if (!(in_order(to) && in_order(from)) && !(between_tiles && twins(to, from)))
    return l.unsupported("a part of shared memory that is no contiguous run in its layout",
                         "leave the layout out");
  in_first_thread(l, [&] {
    Run target = run_of(l, to), source = run_of(l, from);
    const Address &t = target.first, &s = source.first;
    Operand bad = e.or_(target.bad, source.bad);
    auto offset = [](const Address& a) { return b32(static_cast<uint32_t>(a.offset)); };
    if (to.view.space == Space::global) {
      return unless(l, bad, [&] {
        e.form("cp.async.bulk.global.shared::cta.bulk_group",
               {t.base, offset(t), s.base, offset(s), bytes});
      });
    }
    if (from.view.space == Space::shared) {  // to a peer, which expects the bytes itself
      return unless(l, e.or_(bad, in_another_phase(l, *b)), [&] {
        e.form("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes",
               {t.base, offset(t), s.base, offset(s), bytes, b->address, b32(0)});
      });
    }
    std::string opcode = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes";
    std::vector<Operand> args{t.base, offset(t), s.base, offset(s), bytes, b->address, b32(0)};
    if (mask) {
      opcode += ".multicast::cluster";
      args.push_back(e.op(BlockOp::trunc16, {*mask}));
    }
    start_load(l, *b, mask, bytes, bad, [&] { e.form(opcode, args); });
  });
}

LOWER(red_async) {
  Emit& e = l.emit();
  Part to = l.part_of_arg(0);
  Tile v = l.arg(1);
  BarrierUse b = barrier_use(l, 2);
  std::string op = reduction(l);
  bool bitwise = op == "and" || op == "or" || op == "xor";
  DType t = v.type;
  if (!t.is_int() || t.bits < 32 || (t.bits == 64 && (op != "add" || bitwise)))
    return l.unsupported("this type and reduction", "i32 and u32, or add of 64-bit integers");
  std::string word = bitwise ? "b32" : t.bits == 64 ? "u64" : t.is_signed() ? "s32" : "u32";
  std::string opcode =
      "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes." + op + "." + word;
  const TileLayout* layout = v.layout;
  if (!layout || !(v.shape == to.shape)) {
    layout = to.shape.rank ? l.any_layout(to.shape) : l.intern(Layout{});
    if (!layout) return;
    v.words = l.broadcast_words(v, to.shape, layout);
  }
  Addresser where(l, to, *layout);
  Operand bad = e.or_(outside_of_shared(l, to), in_another_phase(l, b));
  Operand mine = e.and_(l.is_first_copy(*layout), e.not_(bad));
  bool some = !mine.is_imm();
  if (some) e.begin_if(mine);
  for (int64_t r = 0; r < layout->registers; ++r) {
    Address at = where.at(r);
    e.form(opcode, {at.base, b32(static_cast<uint32_t>(at.offset)), v.words[static_cast<size_t>(r)],
                    b.address, b32(0)});
  }
  if (some) e.end();
}

}  // namespace tess::jit
