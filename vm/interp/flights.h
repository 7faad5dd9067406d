// Asynchronous operations between their issue and their completion. What moves, moves at
// completion: at issue, as late as the program allows, or at a random moment (Options::async).
#pragma once
#include <cstdint>
#include <vector>

#include "vm/interp/mbars.h"
#include "vm/interp/program.h"

namespace tess::interp {

// Elements of `from`, or carriers of `value`, to the same places of `to`.
struct Transfer {
  Region from, to;
  std::vector<int32_t> from_gather, to_gather;  // owned copies of index tiles
  std::vector<uint8_t> value;
  std::vector<uint8_t> mask;  // a byte per element; empty: all
  uint64_t pad = 0;           // a carrier, for what is masked off or out of bounds
  // With an operation elements are combined in place, each atomically.
  std::optional<Op> combine;
};

struct Flight {
  uint64_t id = 0;
  Strand* issuer = nullptr;
  uint32_t pc = 0;
  Agent kind = Agent::copy;  // copy, bulk_write (in groups) or, with signals, none of them
  uint32_t clock = 0;        // of its group
  std::vector<Transfer> transfers;
  struct Signal {
    MbarUse use;
    int64_t bytes = 0;
  };
  std::vector<Signal> signals;
  // An arrival that is made once the issuer's copies up to `clock` are complete.
  bool arrival = false;
  Moment knows;  // of the arrival
};

// Early: completes at once. A trap if the completion does.
Flow launch_flight(Strand& s, Flight f);
// Completes the flights of a strand's groups up to `clock`.
Flow complete_groups(Strand& s, Agent kind, uint32_t clock);
// Completes one flight of the unit; false if there is none. `trapped` is set if that failed.
bool complete_one(Unit& u, bool random, bool& trapped);
}  // namespace tess::interp
