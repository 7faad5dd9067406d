#include "jit/lower/scratch_array.h"

#include <fmt/format.h>

#include "jit/lower/arith.h"

namespace tess::jit {

int64_t element_bytes(DType type) {
  return type.is_bool() || type.bits <= 8 ? 1 : type.bits / 8;
}

ScratchArray::ScratchArray(Lowering& l, DType type, int64_t elements, uint32_t byte)
    : ScratchArray(l, type, b32(0)) {
  end_ = (byte + static_cast<uint32_t>(elements * bytes_) + 7) / 8 * 8;
  base_ = l.emit().add(l.scratch(end_), b32(byte));
}

ScratchArray::ScratchArray(Lowering& l, DType type, Operand base)
    : l_(l), type_(type), bytes_(static_cast<int>(element_bytes(type))), base_(base) {
  word_ = bytes_ == 1 ? "u8" : bytes_ == 2 ? "b16" : std::string(class_name(word_class(type)));
}

void ScratchArray::store(Operand index, Operand x) {
  Emit& e = l_.emit();
  if (type_.is_bool()) x = e.sel(x, b32(1), b32(0));
  if (bytes_ == 2 && x.type == RegClass::b32) x = e.op(BlockOp::trunc16, {x});
  Operand at = e.add(base_, e.mul(index, b32(static_cast<uint64_t>(bytes_))));
  e.form("st.shared." + word_, {at, b32(0), x});
}

Operand ScratchArray::load(Operand index) {
  Emit& e = l_.emit();
  Operand at = e.add(base_, e.mul(index, b32(static_cast<uint64_t>(bytes_))));
  Operand x = e.form1("ld.shared." + word_, {at, b32(0)});
  if (type_.is_bool()) return e.ne(x, b32(0));
  if (bytes_ == 2 && type_.is_int()) x = e.op(BlockOp::zext16, {x});
  return bytes_ <= 2 ? normalised(l_, type_, x) : x;
}

Operand element_coordinate(Lowering& l, const TileLayout& layout, int64_t reg, int dim) {
  Emit& e = l.emit();
  Operand own =
      b32(static_cast<uint64_t>(layout.at[static_cast<size_t>(reg)][static_cast<size_t>(dim)]));
  Operand moving = l.thread_coordinate(layout, dim);
  return layout.linear ? e.xor_(moving, own) : e.add(moving, own);
}

Operand element_number(Lowering& l, const TileLayout& layout, const Shape& shape, int64_t reg) {
  Emit& e = l.emit();
  // What depends on the thread alone comes first, so that registers share it.
  Operand moving = b32(0);
  uint64_t own = 0;
  for (int d = 0; d < shape.rank; ++d) {
    uint64_t extent = static_cast<uint64_t>(shape[d]);
    Operand c =
        layout.linear ? element_coordinate(l, layout, reg, d) : l.thread_coordinate(layout, d);
    moving = e.add(e.mul(moving, b32(extent)), c);
    own = own * extent;
    if (!layout.linear)
      own += static_cast<uint64_t>(layout.at[static_cast<size_t>(reg)][static_cast<size_t>(d)]);
  }
  return e.add(moving, b32(own));
}

void store_tile(Lowering& l, ScratchArray& to, const Tile& t) {
  Emit& e = l.emit();
  std::vector<Operand> held = l.elements(t.type, t.words, t.layout->registers);
  Operand mine = l.is_first_copy(*t.layout);
  if (!mine.is_imm()) e.begin_if(mine);
  for (int64_t r = 0; r < t.layout->registers; ++r)
    to.store(element_number(l, *t.layout, t.shape, r), held[static_cast<size_t>(r)]);
  if (!mine.is_imm()) e.end();
  l.barrier();
}

Operand shuffle(Lowering& l, const char* how, Operand word, Operand lane) {
  Emit& e = l.emit();
  std::string opcode = std::string("shfl.sync.") + how + ".b32";
  Operand clamp = b32(std::string_view(how) == "up" ? 0 : 31);
  auto one = [&](Operand w) { return e.form1(opcode, {w, lane, clamp, b32(0xffffffff)}); };
  switch (word.type) {
    case RegClass::pred:
      return e.ne(one(e.sel(word, b32(1), b32(0))), b32(0));
    case RegClass::f32:
      return e.op(BlockOp::as_f32, {one(e.op(BlockOp::as_b32, {word}))});
    case RegClass::f64:
    case RegClass::b64: {
      bool is_float = word.type == RegClass::f64;
      auto [low, high] = e.halves(is_float ? e.op(BlockOp::as_b64, {word}) : word);
      Operand low_there = one(low), high_there = one(high);
      Operand whole = e.join(low_there, high_there);
      return is_float ? e.op(BlockOp::as_f64, {whole}) : whole;
    }
    default:
      return one(word);
  }
}

Words one_element(Lowering& l, const Tile& a, const std::vector<Operand>& index) {
  Emit& e = l.emit();
  const TileLayout& layout = *a.layout;
  std::vector<Operand> held = l.elements(a.type, a.words, layout.registers);
  Operand value = held[0], found = pred(false);
  std::vector<std::vector<int64_t>> seen;
  for (int64_t r = 0; r < layout.registers; ++r) {
    const std::vector<int64_t>& own = layout.at[static_cast<size_t>(r)];
    if (std::find(seen.begin(), seen.end(), own) != seen.end()) continue;
    seen.push_back(own);
    Operand here = pred(true);
    for (int d = 0; d < a.shape.rank; ++d)
      here = e.and_(here, e.eq(element_coordinate(l, layout, r, d), index[static_cast<size_t>(d)]));
    value = e.sel(here, held[static_cast<size_t>(r)], value);
    found = e.or_(found, here);
  }
  bool everywhere = layout.replicated && found.is_imm() && found.bits;
  if (everywhere) return l.pack(a.type, {value});
  ScratchArray one(l, a.type, 1);
  e.begin_if(e.and_(found, l.is_first_copy(layout)));
  one.store(b32(0), value);
  e.end();
  l.barrier();
  Operand got = one.load(b32(0));
  l.barrier();
  return l.pack(a.type, {got});
}

}  // namespace tess::jit
