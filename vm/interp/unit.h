// A unit is what runs together: the blocks of one cluster (one block without clusters), each with
// the strand it starts with and those of `parallel`, their mbarriers, named barriers and copies in
// flight. Units of a kernel that lets no block see another's progress run on any thread, each to
// its end.
#pragma once
#include <array>
#include <map>
#include <random>

#include "vm/interp/flights.h"
#include "vm/interp/mbars.h"
#include "vm/interp/program.h"
#include "vm/interp/races.h"

namespace tess::interp {

// A strand and what it owns; reused by the strands that come after it in the same place.
struct StrandState {
  Strand s;
  Buffer regs;
  std::vector<View> views;
  std::vector<MbarSet*> mbars;
  bool running = false, waiting = false;
};

// A meeting of strands: how much has come (warps, or blocks), and what the last meeting knew.
struct Meeting {
  uint64_t generation = 0;
  uint32_t come = 0, wanted = 0;
  Moment sum, done;
};

struct Block {
  Unit* unit = nullptr;
  uint32_t rank = 0;  // in its cluster
  Buffer shared;
  std::vector<Written> written;
  std::vector<std::unique_ptr<MbarSet>> mbars;  // by value
  std::array<Meeting, 16> named;
  Deferred deferred;
  std::vector<std::unique_ptr<StrandState>> strands;  // [0] is the one a block starts with
  uint32_t children = 0, children_running = 0;        // of the `parallel` under way
  bool ended = false;
};

struct Unit {
  LaunchState* launch = nullptr;
  std::vector<std::unique_ptr<Block>> blocks;
  Shadow shadow;
  std::map<uintptr_t, Moment> words;
  std::vector<Flight> flights;  // in the order of issue
  uint64_t next_flight = 1;
  Meeting cluster;
  std::mt19937_64 random;
  Strand* failed = nullptr;  // of a trap
  bool moved = false;        // in its last turn
  bool waiting = false;      // in an ordered run
  uint64_t seen_changes = 0;
};

// Space for the unit's blocks and strands; false if there is none.
bool prepare_unit(Unit& u, LaunchState& launch);
// What prepare_unit takes.
uint64_t unit_bytes(const Program& p);
// Puts the unit at the start of the blocks first, first + 1, ...
void begin_unit(Unit& u, int64_t first);

// Starts the strands of a `parallel`, and joins them.
struct Section {
  uint32_t first = 0;  // instruction of its body
  uint32_t warps = 0, strands = 1;
  Operand number;  // register of %w
};
void start_strands(Strand& s, const std::vector<Section>& sections);
void join_strands(Strand& s);

std::string block_text(const int64_t block[3]);
// "block (0,0,0)", and the strand if the kernel has several.
std::string strand_text(const Strand& s);

}  // namespace tess::interp
