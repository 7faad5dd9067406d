// mbarriers. A slot counts arrivals and bytes; its phase is over when all arrivals have come and no
// byte is missing. A use number u names slot u mod N in phase u / N.
#pragma once
#include <cstdint>
#include <vector>

#include "vm/interp/program.h"

namespace tess::interp {

struct MbarSlot {
  uint32_t agent = 0;
  uint64_t phase = 0;
  uint32_t arrived = 0;
  int64_t missing = 0;  // bytes expected less bytes come
  Moment sum, done;     // what the arrivals knew; what the last phase's waiters get
};
struct MbarSet {
  uint32_t count = 1;
  uint32_t rank = 0;   // of the block it belongs to
  uint32_t value = 0;  // its name
  std::vector<MbarSlot> slots;
};

// Slot and phase of one use; `slot` is null for a negative one.
struct MbarUse {
  MbarSet* set = nullptr;
  MbarSlot* slot = nullptr;
  int64_t use = 0;
  uint64_t phase = 0;
};
struct MbarOperand {
  uint32_t value = 0;
  Operand use;
  explicit operator bool() const { return static_cast<bool>(use); }
};
// What a block's declaration means for its peers: they may signal the barriers behind it.
Flow declare(Strand& s, MbarSet& set);
MbarOperand mbar_operand(const Binder& b, size_t i);
MbarUse use_of(Strand& s, const MbarOperand& o);
// Traps unless the use is of the slot's current phase; for an arrival, unless one is still to come.
Flow want_current(Strand& s, const MbarUse& u, const char* what);
Flow want_arrival(Strand& s, const MbarUse& u, const char* what);
// "`%full[3]`".
std::string use_text(const Strand& s, const MbarUse& u);

void arrive(const MbarUse& u, const Moment& knows, uint32_t arrivals = 1);
// Adds to the missing bytes; negative when bytes have come.
void expect(const MbarUse& u, int64_t bytes);

}  // namespace tess::interp
