// copy.bulk and red.async: runs of bytes, and single words, sent to a barrier that counts them.
#include "jit/lower/access.h"
#include "jit/lower/mbar.h"

namespace tess::jit {
namespace {

// Address of the first element of a part, the same in every thread.
Address first_of(Lowering& l, const Part& part) {
  TileLayout one;
  size_t rank = static_cast<size_t>(part.view.rank());
  one.at = {std::vector<int64_t>(rank, 0)};
  one.layout.offset.assign(rank, 0);
  one.layout.shape.assign(rank, 1);
  return Addresser(l, part, one).at(0);
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
  in_first_thread(l, [&] {
    Address t = first_of(l, to), s = first_of(l, from);
    auto offset = [](const Address& a) { return b32(static_cast<uint32_t>(a.offset)); };
    if (to.view.space == Space::global) {
      e.form("cp.async.bulk.global.shared::cta.bulk_group",
             {t.base, offset(t), s.base, offset(s), bytes});
      return;
    }
    if (from.view.space == Space::shared) {  // to a peer, which expects the bytes itself
      e.form("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes",
             {t.base, offset(t), s.base, offset(s), bytes, b->address, b32(0)});
      return;
    }
    std::string opcode = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes";
    std::vector<Operand> args{t.base, offset(t), s.base, offset(s), bytes, b->address, b32(0)};
    Operand expected = bytes;
    if (mask) {
      opcode += ".multicast::cluster";
      args.push_back(e.op(BlockOp::trunc16, {*mask}));
      Operand rank = l.kernel().cluster > 1 ? e.op(BlockOp::cluster_rank, {}) : b32(0);
      expected = e.mul(e.and_(e.form1("shr.u32", {*mask, rank}), b32(1)), bytes);
    }
    expect_bytes(l, *b, expected);
    e.form(opcode, args);
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
  Operand mine = l.is_first_copy(*layout);
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
