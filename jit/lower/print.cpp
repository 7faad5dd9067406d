// print: the strand reserves room for a record, its first thread writes the head, and every element
// is written by the first of the threads that hold it. The values arrive as codes, so the text is
// the host's business and the same on every engine.
#include <algorithm>
#include <cstddef>

#include "jit/lower/scratch_array.h"
#include "jit/print_record.h"

namespace tess::jit {
namespace {

// An element's code as a word of 64 bits.
Operand code_word(Lowering& l, DType t, Operand x) {
  Emit& e = l.emit();
  if (t.is_bool()) return e.sel(x, b64(1), b64(0));
  switch (x.type) {
    case RegClass::b16:
      return e.zext(e.op(BlockOp::zext16, {x}));
    case RegClass::f32:
      return e.zext(e.op(BlockOp::as_b32, {x}));
    case RegClass::f64:
      return e.op(BlockOp::as_b64, {x});
    case RegClass::b32:
      return e.zext(t.bits < 32 ? e.and_(x, b32((1u << t.bits) - 1)) : x);
    default:
      return x;
  }
}

// Which of the kernel's `print` this is.
uint32_t number_of(const Lowering& l) {
  auto begin = l.kernel().code.begin();
  return static_cast<uint32_t>(
      std::count_if(begin, begin + l.pc(), [](const Inst& i) { return i.op == Op::print; }));
}

}  // namespace

LOWER(print) {
  Emit& e = l.emit();
  Tile value = l.arg(0);
  const TileLayout* layout = value.layout;
  uint64_t n = 1;
  for (int64_t extent : value.shape) n *= static_cast<uint64_t>(extent);
  constexpr uint64_t kHead = sizeof(PrintRecord) / 8;
  Operand head = e.op(BlockOp::param, {b32(l.hidden_param(ParamKind::print, 0, "print"))},
                      RegClass::b64);
  Operand reserved = e.variable(RegClass::b64, "reserved");
  e.assign(reserved, b64(0));
  Operand first = e.eq(l.thread(), b32(0));
  if (!first.is_imm()) e.begin_if(first);
  e.assign(reserved, e.form1("atom.relaxed.gpu.global.add.u64",
                             {head, b32(offsetof(PrintHead, used)), b64(kHead + n)}));
  if (!first.is_imm()) e.end();
  Operand begin = l.from_first_thread(e.snapshot(reserved));
  Operand room = e.form1("ld.global.b64", {head, b32(offsetof(PrintHead, room))});
  Operand fits = e.op(BlockOp::ule, {e.add(begin, b64(kHead + n)), room});
  Operand record = e.add(e.add(head, b64(sizeof(PrintHead))), e.shl(begin, 3));
  std::vector<Operand> held = l.elements(value.type, value.words, value.elements());
  Operand mine = layout ? l.is_first_copy(*layout) : first;

  e.begin_if(fits);
  if (!first.is_imm()) e.begin_if(first);
  auto put = [&](size_t offset, Operand word) {
    e.form("st.global.b32", {record, b32(offset), word});
  };
  put(offsetof(PrintRecord, number), b32(number_of(l)));
  put(offsetof(PrintRecord, strand), e.add(l.strand().number, b32(l.strand().first_number)));
  BlockOp block[] = {BlockOp::ctaid_x, BlockOp::ctaid_y, BlockOp::ctaid_z};
  for (size_t i = 0; i < 3; ++i) put(offsetof(PrintRecord, block) + 4 * i, e.op(block[i], {}));
  put(offsetof(PrintRecord, elements), b32(n));
  if (!first.is_imm()) e.end();
  if (!mine.is_imm()) e.begin_if(mine);
  for (size_t r = 0; r < held.size(); ++r) {
    Operand at = layout ? element_number(l, *layout, value.shape, static_cast<int64_t>(r)) : b32(0);
    Operand place = e.add(record, e.shl(e.zext(at), 3));
    e.form("st.global.b64", {place, b32(sizeof(PrintRecord)), code_word(l, value.type, held[r])});
  }
  if (!mine.is_imm()) e.end();
  e.end();
}

}  // namespace tess::jit
