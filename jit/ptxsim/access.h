// One memory access of one lane: from an address to bytes on the host, with every check on the way.
#pragma once
#include "jit/ptxsim/decode.h"
#include "jit/ptxsim/machine.h"
#include "jit/ptxsim/race.h"

namespace tess::ptxsim {

struct Located {
  uint8_t* bytes = nullptr;
  uint8_t* valid = nullptr;        // null: all written
  ShadowRegion* shadow = nullptr;  // null: no races possible or not checked
  uint64_t offset = 0;             // in the shadow
  uint64_t object = 0;             // identity of the location for synchronisation
  Space space = Space::global;
  Block* owner = nullptr;  // of shared memory
  Allocation* allocation = nullptr;
  uint32_t shared_address = 0;  // in the owner
};

enum class Intent : uint8_t { read, write, update };

inline uint64_t lane_address(const Warp& w, const Op& op, int lane, int slot = 0) {
  switch (op.k[9]) {
    case kBase64:
      return w.row64(op.a[slot])[lane] + uint64_t(op.imm);
    case kBase32:
      return uint64_t(uint32_t(w.row32(op.a[slot])[lane] + uint32_t(op.imm)));
    case kBaseFrame:
      return uint64_t(op.imm) + w.lane[lane].frame;
    default:
      return uint64_t(op.imm);
  }
}

// Operations with several addresses: operand `slot` (0..3) is in a[slot], its kind in k[slot].
inline uint64_t operand_address(const Warp& w, const Op& op, int slot, int lane) {
  int64_t offset = w.program->address_offsets[op.target][size_t(slot)];
  if (op.k[slot] == kBase64) return w.row64(op.a[slot])[lane] + uint64_t(offset);
  return uint32_t(w.row32(op.a[slot])[lane] + uint32_t(offset));
}

// False after a fault was reported. `space` may be generic.
bool locate(Warp& w, const Op& op, int lane, Space space, uint64_t address, uint32_t bytes,
            uint32_t align, Intent intent, Located& out);
// The block that owns a shared::cluster address, or null.
Block* shared_owner(Warp& w, uint64_t address);

std::string describe_address(const Warp& w, Space space, uint64_t address);
bool all_valid(const Located& at, uint32_t bytes);
// Simulated memory is read and written in words, without order: blocks run on several threads of
// the host, and a program that races must not make the simulator race.
using Word8 = uint8_t;
using Word16 [[gnu::may_alias]] = uint16_t;
using Word32 [[gnu::may_alias]] = uint32_t;
using Word64 [[gnu::may_alias]] = uint64_t;
template <class Word>
inline Word load_word(const uint8_t* p) {
  return __atomic_load_n(reinterpret_cast<const Word*>(p), __ATOMIC_RELAXED);
}
template <class Word>
inline void store_word(uint8_t* p, Word v) {
  __atomic_store_n(reinterpret_cast<Word*>(p), v, __ATOMIC_RELAXED);
}

inline void mark_valid(const Located& at, uint32_t bytes) {
  if (!at.valid) return;
  uint8_t *p = at.valid, *end = p + bytes;
  for (; end - p >= 8 && reinterpret_cast<uintptr_t>(p) % 8 == 0; p += 8)
    store_word<Word64>(p, 0x0101010101010101);
  if (end - p >= 4 && reinterpret_cast<uintptr_t>(p) % 4 == 0) {
    store_word<Word32>(p, 0x01010101);
    p += 4;
  }
  for (; p < end; ++p) store_word<Word8>(p, 1);
}
// Marks registers as poisoned in a lane.
inline void poison(Warp& w, Row r, int lane) {
  if (w.check_init && r >= 0) w.init[r >> 5] &= ~(1u << lane);
}
Flow report_uninit_memory(Warp& w, const Op& op, int lane, Space space, uint64_t address);

inline Scope scope_of(const Builder& b, Scope otherwise) {
  int s = b.which({"cta", "cluster", "gpu", "sys"});
  return s < 0 ? otherwise : Scope(s + 1);
}

}  // namespace tess::ptxsim
