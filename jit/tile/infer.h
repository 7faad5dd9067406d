// Layout inference: the first tile pass. Takes one verified kernel and gives back a module of that
// kernel alone in which every register tile's defining instruction carries a `layout`, every `smem`
// a memory layout, every conversion is a `relayout` (or, for a tile that was loaded from global
// memory, an explicit trip through a shared tile), and a name whose def-use webs want different
// layouts has become several names. The result prints, verifies and computes the same.
//
// The layout of an instruction with two results (`sort`, `topk`) is that of both. A register layout
// may name fewer threads than the strand has: a warp beyond its `warp` digits, and a lane beyond
// its `lane` digits, holds nothing.
//
// Inside a strand of `parallel`, where no shared tile can be declared, nothing is staged:
// conversions are `relayout`s, and the operands of a product by multiply and add stay in registers.
//
// Written layouts are constraints. Everything is deterministic and pure; errors are values
// (isa/diag/layout.def, E0620 and E0621).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/layout_query.h"
#include "isa/verify.h"

namespace tess::jit {

enum class Sm : uint8_t { sm_80, sm_89, sm_90a };
std::optional<Sm> find_sm(std::string_view name);  // "sm_80"
std::string_view sm_name(Sm sm);

struct Target {
  Sm sm = Sm::sm_80;
};

// Why one web of a name has its layout.
struct Decision {
  uint32_t inst = 0;  // in the result: the first instruction that defines it
  std::string value;  // "%acc"; "%3" for a temporary, as printed
  Type type;
  std::string layout;       // its spelling
  std::string rule;         // "written", "mma accumulator", "wide access", ...
  Loc loc;                  // of the definition
  Loc forced_by;            // of the instruction the rule speaks of
  std::string alternative;  // the next best layout; empty if there was none
  int64_t extra_cost = 0;   // issue slots of one warp that it would have cost more
};

enum class ConversionKind : uint8_t { rename, shuffle, shared, cluster };
std::string_view conversion_name(ConversionKind kind);

// One conversion that was inserted.
struct InsertedConversion {
  uint32_t inst = 0;  // in the result: the `relayout`, or the `smem` of a staged one
  std::string value;
  std::string from, to;
  ConversionKind kind = ConversionKind::rename;
  bool staged = false;  // through an explicit shared tile
  int64_t cost = 0;     // issue slots of one warp, once
  int64_t shared_bytes = 0;
  int64_t ways = 1;  // bank conflicts of the trip through shared memory
  Loc loc;           // of the instruction that needs it
  uint32_t loop_depth = 0;
  bool in_loop() const { return loop_depth > 0; }
};

// One access of memory by a register tile.
struct AccessFact {
  uint32_t inst = 0;  // in the result
  Loc loc;
  std::string what;  // "load x", "store %tile"
  Space space = Space::global;
  int64_t bytes = 0;       // widest access a thread can make with aligned extents and base
  int64_t accesses = 0;    // instructions per thread of that width
  int64_t ways = 1;        // shared: bank conflicts
  bool matrix = false;     // shared: ldmatrix or stmatrix can serve it
  bool unaligned = false;  // sub-byte, or an offset that no fact aligns
};

struct InferenceReport {
  std::vector<Decision> decisions;
  std::vector<InsertedConversion> conversions;
  std::vector<AccessFact> accesses;
  int64_t shared_bytes = 0;  // all shared tiles alive at once
  int64_t cost = 0;          // the estimate that was minimised
};

struct Inferred {
  Module module;  // one kernel
  InferenceReport report;
};

Result<Inferred> infer_layouts(const VerifiedModule& module, size_t kernel, const Target& target);

}  // namespace tess::jit
