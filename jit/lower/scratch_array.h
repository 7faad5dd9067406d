// Arrays of elements in the shared memory that an instruction has for itself, and places of
// elements in a tile. Whoever uses that memory leaves a barrier behind its last read, so that the
// next may write at once.
#pragma once
#include "jit/lower/lowering.h"

namespace tess::jit {

// A lookup chooses among so many entries of a table in registers; more it reads from shared memory.
inline constexpr int64_t kMostSelected = 4;

int64_t element_bytes(DType type);  // of one element of an array

class ScratchArray {
 public:
  // `byte`: where it begins within the instruction's memory; a multiple of 8.
  ScratchArray(Lowering& l, DType type, int64_t elements, uint32_t byte = 0);
  // An array that lies at `base`, a multiple of 8, whose memory is someone else's.
  ScratchArray(Lowering& l, DType type, Operand base);
  uint32_t end() const { return end_; }  // where another array may begin
  // Elements as Lowering::elements gives them; `index` in b32.
  void store(Operand index, Operand element);
  Operand load(Operand index);

 private:
  Lowering& l_;
  DType type_;
  int bytes_ = 4;
  uint32_t end_ = 0;
  Operand base_;
  std::string word_;
};

// Coordinate `dim` of the element in a register, b32.
Operand element_coordinate(Lowering& l, const TileLayout& layout, int64_t reg, int dim);
// Its row-major number in the tile.
Operand element_number(Lowering& l, const TileLayout& layout, const Shape& shape, int64_t reg);
// All elements of a tile to an array, at their row-major numbers, followed by a barrier.
void store_tile(Lowering& l, ScratchArray& to, const Tile& t);
// For every register of `layout` the element with the number that `number(reg)` says; the barrier
// that follows is the caller's. Threads without elements read nothing.
template <class Number>
std::vector<Operand> load_elements(Lowering& l, ScratchArray& from, const TileLayout& layout,
                                   Operand zero, Number number) {
  Emit& e = l.emit();
  Operand holds = l.holds_elements(layout);
  std::vector<Operand> got, kept;
  if (holds.is_imm()) {
    for (int64_t r = 0; r < layout.registers; ++r) got.push_back(from.load(number(r)));
    return got;
  }
  for (int64_t r = 0; r < layout.registers; ++r) {
    kept.push_back(e.variable(zero.type, "element"));
    e.assign(kept.back(), zero);
  }
  e.begin_if(holds);
  for (int64_t r = 0; r < layout.registers; ++r)
    e.assign(kept[static_cast<size_t>(r)], from.load(number(r)));
  e.end();
  for (Operand k : kept) got.push_back(e.snapshot(k));
  return got;
}
inline Operand zero_element(DType t) { return Operand::imm(0, element_class(t)); }

// The word of a lane by shuffle; any class but b16. `how`: bfly idx up down.
Operand shuffle(Lowering& l, const char* how, Operand word, Operand lane);

// One element of a register tile, for all threads; `index`: b32, within its extents.
Words one_element(Lowering& l, const Tile& a, const std::vector<Operand>& index);

}  // namespace tess::jit
