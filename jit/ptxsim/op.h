// A linked program: one flat array of operations for a kernel and every function it can reach.
// Operands are rows of 32 lanes: 32 words of 32 bits (types up to 32 bits) or 32 of 64 bits;
// 128-bit registers are two 64-bit rows. A row number >= 0 is an offset in 32-bit units into the
// warp's register file, a negative one is the complement of an offset into the program's constants.
// Predicates are 32-bit lane masks, numbered apart; predicate 0 is false, 1 is true.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "jit/ptxsim/ptx_module.h"

namespace tess::ptxsim {

struct Warp;
struct Op;

enum class Flow : uint8_t {
  next,   // go on behind the operation
  jump,   // the warp's lanes were given new program counters
  wait,   // the executing lanes wait and will go on behind the operation
  retry,  // the executing lanes wait and will execute the operation again
  stall,  // member lanes are missing: let other lanes of the warp run first
  done,   // the executing lanes have ended
  stop,   // a fault was reported: the launch ends
};
using Exec = Flow (*)(Warp&, const Op&, uint32_t mask);

enum class OpClass : uint8_t {
  integer,
  logic,
  real,
  convert,
  move,
  compare,
  control,
  global,
  shared,
  local,
  param,
  atomic,
  barrier,
  warp,
  tensor,
  async,
  other
};
inline constexpr int kOpClasses = 17;
std::string_view op_class_name(OpClass);

enum OpFlag : uint16_t {
  kFlagMoves = 1,  // copies poison instead of reporting it
  kFlagCollective = 2,
  kFlagAligned = 4,      // needs the whole warp
  kFlagPolls = 8,        // a loop of these makes no progress
  kFlagGlobalSync = 16,  // may communicate between blocks
  kFlagProgress = 32,    // changes what other threads see
  kFlagLazyPoison = 64,  // checks its own operands
  kFlagBranch = 128,     // a plain jump to `target`
};

using Row = int32_t;
inline constexpr Row kNoRow = INT32_MIN;

struct Op {
  Exec exec = nullptr;
  Row a[6] = {kNoRow, kNoRow, kNoRow, kNoRow, kNoRow, kNoRow};
  int64_t imm = 0;
  uint32_t args = 0, nargs = 0;  // rows in Program::args
  uint32_t uses = 0, defs = 0;   // into Program::touched, for poison
  uint8_t n_uses = 0, n_defs = 0;
  OpClass cls = OpClass::other;
  uint16_t flags = 0;
  int32_t pred = -1;
  bool pred_negated = false;
  uint8_t k[10] = {};  // what the family makes of them
  uint32_t target = 0;
};

// Touched registers: rows (>= 0), or predicates with this bit.
inline constexpr int32_t kTouchesPred = 1 << 30;

struct Site {
  uint32_t ptx_line = 0, file = 0, line = 0, col = 0;
  uint32_t function = 0;
  std::string_view opcode;
  const Instruction* instruction = nullptr;
};

struct ProgramParam {
  std::string_view name;
  uint32_t offset = 0, bytes = 0, align = 1;
};

struct ProgramFunction {
  const Function* source = nullptr;
  uint32_t first_op = 0, n_ops = 0;
  uint32_t frame_bytes = 0;          // params, returns, .param and .local variables
  std::vector<uint32_t> var_offset;  // of each of source->vars in the frame
  std::vector<Row> rows;             // of each register
  std::vector<int32_t> preds;
  Row first_row = 0, end_row = 0;
  int32_t first_pred = 0, end_pred = 0;
  bool recursive = false;
};

struct Program {
  std::shared_ptr<const Module> module;
  std::vector<Op> ops;
  std::vector<Site> sites;
  std::vector<Row> args;
  std::vector<int32_t> touched;
  std::vector<std::string> touched_names;  // parallel to touched
  std::vector<ProgramFunction> functions;  // [0] is the kernel
  std::vector<std::vector<uint32_t>> branch_tables;
  // Offsets behind the registers of an operation with several addresses, by operand: Op::target.
  std::vector<std::array<int64_t, 4>> address_offsets{{}};
  std::vector<uint32_t, std::allocator<uint32_t>> constants;
  Row reg_words = 0;  // register file size in 32-bit words
  int32_t pred_count = 2;
  std::vector<ProgramParam> params;
  uint32_t param_bytes = 0;
  std::vector<uint32_t> shared_offset;  // by module variable; UINT32_MAX if not shared
  uint32_t static_shared = 0;           // end of static shared memory, from kSharedStart
  uint32_t shared_align = 16;
  bool communicates = false;  // may wait for other blocks
  bool uses_wgmma = false, uses_setmaxnreg = false;
  uint32_t most_registers = 0;  // largest count that setmaxnreg.inc asks for
  struct SpecialRow {
    Special which;
    uint8_t lane;
    Row row;
    bool wide;
  };
  std::vector<SpecialRow> specials;
};

// Shared memory starts here, as on sm_90, where the first KiB is the system's.
inline constexpr uint32_t kSharedStart = 1024;

// Links one kernel. `address_of` gives the device address of module variable i (global and const).
Result<std::shared_ptr<const Program>> link_program(std::shared_ptr<const Module> module,
                                                    std::string_view entry,
                                                    const std::vector<uint64_t>& variable_address);

}  // namespace tess::ptxsim
