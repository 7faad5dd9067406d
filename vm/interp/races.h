// Accesses of a unit's strands and of their asynchronous work, checked against one another: two
// that touch the same bits, one of them writing, must be ordered (clocks.h). The check does not
// depend on the schedule or on when copies complete. Memory is kept as intervals of absolute bit
// addresses, each with its last write and the reads since.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "vm/interp/clocks.h"
#include "vm/interp/memory.h"
#include "vm/interp/state.h"

namespace tess::interp {

enum class Touch : uint8_t { read, write, atomic };

// Who touched: an agent at a clock, for the strand that issued it.
struct Mark {
  uint32_t agent = 0, clock = 0;  // clock 0: nobody
  uint32_t pc = 0;
  uint16_t rank = 0, strand = 0;  // of the issuing strand
  Touch touch = Touch::read;
  bool asynchronous = false;
  bool by_engine = false;  // not seen by, and not seeing, ordinary accesses without a proxy fence
};

class Shadow {
 public:
  // The first mark, in bits [begin, end), that `knows` does not cover; then `mark` is put there.
  struct Conflict {
    bool found = false, only_fence = false;
    Mark other;
  };
  template <class Ordered>
  void touch(uint64_t begin, uint64_t end, const Mark& mark, const Ordered& ordered, Conflict& out);
  // Forgets what `least` covers, what all strands know; with `fences` also as the engines see it.
  bool crowded() const { return cells_.size() > limit_; }
  void forget(const Moment& least, bool fences);
  void clear() { cells_.clear(); }

 private:
  struct Cell {
    uint64_t end = 0;
    Mark write;
    std::vector<Mark> reads;
  };
  using Cells = std::map<uint64_t, Cell>;
  void split(uint64_t at);
  Cells cells_;
  size_t limit_ = 1024;
};

// How an access is dated: by the strand itself, or by asynchronous work that it issued.
struct Dated {
  uint32_t agent = 0, clock = 0;
  bool asynchronous = false, by_engine = false;
};
Dated by_strand(const Strand& s);
Dated by_work(const Strand& s, Agent kind);
Dated by_mbar(uint32_t agent, uint64_t phase);

// Every part of the region that is in bounds. `name` is the value that was named.
Flow check_region(Strand& s, const Region& r, Touch touch, const Dated& dated, uint32_t name);
Flow check_run(Strand& s, const Region& r, const Run& run, Touch touch, const Dated& dated,
               uint32_t name);
// Bytes of the strand's unit outside of any instruction's operand.
Flow check_bytes(Strand& s, const uint8_t* from, uint64_t bytes, Touch touch, const Dated& dated,
                 uint32_t name);
// At the end of a block: nothing may use its shared memory any more.
Flow check_end(Strand& s);

// --- order
// What the strand knows is handed over; its own clock moves on, so that what it does later is not
// part.
void release(Strand& s, Moment& to);
void acquire(Strand& s, const Moment& from);
// Words that order: locks, waits, atomics. `place` is the word's address.
void release_word(Strand& s, const void* place, bool fenced_only);
void acquire_word(Strand& s, const void* place, bool at_next_fence);
void memory_fence(Strand& s);
void proxy_fence(Strand& s);
void forget_old(Unit& u);

}  // namespace tess::interp
