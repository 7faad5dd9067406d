// Reading and writing register tiles in global and shared memory: how wide, at which addresses,
// under which conditions.
#pragma once
#include <string>

#include "jit/lower/lowering.h"

namespace tess::jit {

// One access of a thread: `units` pieces of `unit` bytes, elements [first, first + run) in the
// order `registers`.
struct AccessPlan {
  int64_t run = 1;                 // elements that lie side by side, in every thread
  int unit = 0;                    // bytes an instruction moves; 0: bit by bit (below a byte)
  std::vector<int64_t> registers;  // run after run: the register of each element
};
AccessPlan plan_access(Lowering& l, const Part& part, const TileLayout& layout, bool masked);

// Byte address of the run that begins with register `r`: base register and constant.
struct Address {
  Operand base;
  int32_t offset = 0;
};

// Where the elements of a part lie, register by register, with what they share computed once.
// Bits that the thread's part of a coordinate can have.
uint64_t thread_bits(const TileLayout& l, int dim);

class Addresser {
 public:
  Addresser(Lowering& l, const Part& part, const TileLayout& layout);
  Address at(int64_t reg);          // the byte that element begins in; whole bytes only
  Operand element_at(int64_t reg);  // element number from the base (b32 shared, b64 global)
  // Whether the element is inside the bounds; `run` elements from it are, if it is.
  Operand inside(int64_t reg);

 private:
  struct Coordinate {
    int64_t own = 0;
    Operand start, moving;
    uint64_t start_bits = 0, moving_bits = 0;  // that may be set
  };
  Operand coordinate(int64_t reg, int dim);  // b32, of the part
  Coordinate coordinate_parts(int64_t reg, size_t storage_dim);
  void global_terms(int64_t reg, int64_t unit, std::vector<Operand>& terms, int64_t& constant);
  void shared_terms(int64_t reg, std::vector<Operand>& terms, int64_t& constant);
  Operand times(Operand x, int64_t by);
  Operand sum_of(std::vector<Operand> terms, RegClass type);
  Operand swizzled(Operand v);
  Lowering& l_;
  const Part& part_;
  const TileLayout& layout_;
  std::vector<Operand> thread_;  // by dimension of the part
  std::vector<uint64_t> thread_bits_;
  std::vector<Operand> gathered_;
};

// What lies side by side in memory along dimension d of the part, as far as the storage goes: the
// elements 0, step, ... (count-1)*step, and those count*step further, and so on. Count is a power of
// two; 0: nothing. Global memory's step is 1.
struct StorageRun {
  int64_t count = 0, step = 1;
};
StorageRun storage_run(const MemoryView& v, int d);

// By ldmatrix, where layout and memory allow it (fragment_load.cpp).
std::optional<Words> load_fragments(Lowering& l, const Part& part, const Tile& like);
// So, or else piece by piece: a whole tile without mask or padding.
Words load_tile(Lowering& l, const Part& part, const Tile& like);

// The byte that an element of `bits` bits lies in, counted from element 0; both may be negative.
Operand byte_of(Emit& e, Operand element, int64_t bits);

// Whether no thread's access shares a byte with another's.
bool in_whole_bytes(Lowering& l, const Part& part, const TileLayout& layout);

std::string cache_words(const Lowering& l);
Words load_part(Lowering& l, const Part& part, const Tile& like, const Tile* mask, uint64_t pad);
// `writer`: who stores, if not the first of those that hold a copy.
void store_part(Lowering& l, const Part& part, const Tile& value, const Tile* mask,
                std::optional<Operand> writer = {});

}  // namespace tess::jit
