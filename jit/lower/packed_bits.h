// Fields of a packed bit stream, brought to where packed arithmetic wants them.
#pragma once
#include <optional>

#include "jit/lower/lowering.h"

namespace tess::jit {

// The words of a thread's stream, and what has been shifted out of it so far.
class BitStream {
 public:
  BitStream(Lowering& l, const Words& words, int64_t bits) : l_(l), words_(words), bits_(bits) {}

  // Bits [k, k + used) of the stream at the bottom of a word; k may be negative. Nothing is
  // promised of the bits above.
  Operand from(int64_t k, int64_t used);

  // A word with bits [a, a + width) at `at_low` of its lower half, and [b, b + width) at `at_high`
  // of its upper half, for some at_low and at_high of 0..slack; other bits are whatever they are.
  struct Halves {
    Operand word;
    int at_low = 0, at_high = 0;
  };
  Halves halves(int64_t a, int64_t b, int width, int slack);

  // A byte of a word whose top bit is that of bits [a, a + width), at most 8; the bits below them are
  // whatever they are.
  struct Byte {
    Operand word;
    uint32_t number = 0;
  };
  Byte top_byte(int64_t a, int width);

 private:
  std::optional<Halves> one_shift(int64_t a, int64_t b, int width, int slack);
  std::optional<Halves> whole_bytes(int64_t a, int64_t b, int width, int slack);
  bool is_cheap(int64_t k) const;
  Lowering& l_;
  const Words& words_;
  int64_t bits_;
  std::vector<int64_t> shifted_;  // the k of words already made
};

// Packed bytes in another order: byte i of the result's is byte order[i].
Words bytes_in_order(Lowering& l, const Words& words, const std::vector<int64_t>& order);

}  // namespace tess::jit
