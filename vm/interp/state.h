// The machine's state while a launch runs: the launch, its blocks, their strands.
//
// A strand is resumable: its whole state is `pc`, its register file (which also holds the counters
// of its loops) and its views. A step that must wait leaves `pc` on itself and says `suspend`;
// being run again is how it looks whether it may go on. A block starts as one strand; `parallel`
// starts more (unit.h).
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vm/interp/clocks.h"
#include "vm/interp/interp.h"
#include "vm/interp/memory.h"

namespace tess::interp {

struct Program;
struct Strand;
struct Block;
struct Unit;
struct MbarSet;

enum class Flow : uint8_t {
  next,     // go on at strand.pc
  suspend,  // cannot go on now; strand.pc names the step to try again
  done,     // the strand's program has ended
  trap,     // strand.trap says why
};

// What a step does is a function and its decoded operands, made once per launch (program.h).
using Exec = Flow (*)(Strand&, const void* decoded);

// Storage aligned for vectors; null if there is no memory for it. Pages are not touched before use.
struct FreeAligned {
  void operator()(uint8_t* p) const;
};
using Buffer = std::unique_ptr<uint8_t[], FreeAligned>;
Buffer make_buffer(uint64_t bytes);

// What a block leaves to be done in block order: prints, and float atomics whose order shows.
struct Deferred {
  struct Atomic {
    const void* decoded;  // of the step
    Region region;
    std::vector<int32_t> gather;  // owned copy of Region::gather
    std::vector<uint8_t> value, mask;
  };
  struct Note {
    bool is_trace;
    uint32_t pc, strand;
    std::string name;
    Type type;
    std::vector<uint8_t> data;
  };
  struct Item {
    std::unique_ptr<Atomic> atomic;  // or a note
    std::unique_ptr<Note> note;
  };
  std::vector<Item> items;
  uint64_t bytes = 0;
};

struct LaunchState {
  const Program* program = nullptr;
  const Options* options = nullptr;
  const BoundLaunch* bound = nullptr;
  std::vector<std::vector<View>> params;  // by parameter; several for a list
  int64_t grid[3] = {1, 1, 1}, blocks = 1;
  bool ordered = false;  // blocks run one at a time, in a fixed order
  // grid.sync: how many blocks have arrived over all rounds.
  int64_t grid_arrivals = 0;
  uint64_t memory_changes = 0;  // ordered runs: counts what can end a wait
};

// One kind of asynchronous work of a strand: copies, bulk copies, wgmma. Operations are dated with
// a clock; closing a group moves it on, so that a group is all up to its clock.
struct Work {
  uint32_t now = 1;
  uint32_t done = 0, done_reading = 0;  // by this strand's waits
  std::vector<uint32_t> groups;         // closed and not waited for
};

struct Strand {
  uint32_t pc = 0;
  uint32_t running = 0;  // instruction, for traps inside a fused group
  bool tracked = false;  // accesses are checked against other strands' and copies'
  uint8_t* regs = nullptr;
  View* views = nullptr;  // by value; those that are memory
  LaunchState* launch = nullptr;
  int64_t index = 0;  // of the block, linear
  int64_t block[3] = {0, 0, 0};
  uint8_t* shared = nullptr;
  Written* shared_written = nullptr;  // by shared tile
  Deferred* deferred = nullptr;
  int64_t grid_rounds = 0;  // grid.sync: how often this block has arrived
  bool at_grid_sync = false;
  std::string waits_for;  // of a suspended strand
  Diagnostic trap;

  uint64_t executed = 0;  // instructions

  Block* home = nullptr;
  uint32_t number = 0, warps = 0;  // in its block; 0 is the strand that a block starts with
  bool forked = false;             // at `parallel`, whose strands run
  bool arrived = false;            // at a barrier over strands, in `generation`
  uint64_t generation = 0;
  MbarSet** mbars = nullptr;  // by value; those that are mbarriers
  uint32_t agent = 0;
  Moment knows;    // in `seen` also the strand's own clock
  Moment fenced;   // what it knew at its last memory fence
  Moment relaxed;  // what its relaxed reads saw, for the next fence
  Work copies, bulk, wgmma;
};

// Ends the strand with an error; place and context are added by the machine.
Flow trap(Strand& s, Diag code, std::string message, std::string hint = {});

}  // namespace tess::interp
