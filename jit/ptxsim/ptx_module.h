// PTX text as data: what the parser makes and the linker (link.h) turns into operations. Names are
// resolved: a register is an index into its function's `regs`, a variable an index into the
// module's or the function's table. Views point into Module::text, so a Module is kept behind a
// shared_ptr.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace tess::ptxsim {

enum class Space : uint8_t { generic, global, shared, local, param, constant, reg };

struct ScalarType {
  char kind = 'b';  // b u s f p
  uint16_t bits = 0;
  uint8_t lanes = 1;  // 2 for f16x2, bf16x2
  bool bf = false;
};

struct Variable {
  std::string_view name;
  Space space = Space::global;
  uint64_t bytes = 0;
  uint32_t align = 1;
  bool external = false;  // .extern: dynamic shared memory, or defined elsewhere
  uint32_t line = 0;
  std::vector<uint8_t> init;
  struct Fixup {
    uint64_t offset;
    uint8_t bytes;
    std::string_view symbol;
    int64_t addend;
  };
  std::vector<Fixup> fixups;
};

enum class OpKind : uint8_t {
  reg,      // index
  integer,  // value (bits)
  f32,
  f64,      // value (bits of the literal)
  special,  // index into special registers
  module_var,
  local_var,  // index + value as byte offset
  function,   // text, resolved at link
  label,      // index
  address,    // [base + value]: elems[0] is the base (reg, var or integer)
  vector,     // {a, b, ...} or [tensorMap, {coords}] as address with elems
  sink,       // _
};

struct Operand {
  OpKind kind = OpKind::sink;
  bool negated = false;  // !p or -r
  uint8_t lane = 0;      // r.x .y .z .w as 0..3 for special registers
  int32_t index = -1;
  int64_t value = 0;
  std::string_view text;
  std::vector<Operand> elems;
  int32_t pair = -1;  // d|p: index of the second register; -2 for d|_
};

struct Instruction {
  std::string_view opcode;
  std::vector<std::string_view> mods;
  std::vector<Operand> operands;
  int32_t pred = -1;
  bool pred_negated = false;
  uint32_t line = 0;                                 // of the PTX text
  uint32_t loc_file = 0, loc_line = 0, loc_col = 0;  // of the last .loc; 0 if none
};

struct Function {
  std::string_view name;
  bool entry = false, defined = false, external = false;
  uint32_t line = 0;
  std::vector<ScalarType> regs;
  std::vector<std::string> reg_names;
  std::vector<Variable> vars;  // .param, .local, and block-scoped ones; .shared go to the module
  std::vector<int32_t> params, returns;  // indices into vars
  std::vector<Instruction> body;
  std::vector<uint32_t> labels;                    // instruction index
  std::vector<std::vector<int32_t>> branch_lists;  // .branchtargets: labels
  std::vector<std::string_view> label_names;
  uint32_t reqntid[3] = {}, maxntid[3] = {}, cluster[3] = {};
  uint32_t maxnreg = 0, minnctapersm = 0;
  bool explicit_cluster = false;
};

struct Module {
  std::string text, name;
  int version = 0, sm = 0;
  bool sm_specific = false;  // sm_90a
  std::vector<std::pair<uint32_t, std::string>> files;
  std::vector<Variable> vars;
  std::vector<Function> functions;

  std::string_view file_name(uint32_t number) const;
};

// Every special register that the parser knows, by name without '%'.
enum class Special : uint8_t {
#define SPECIAL(id, name) id,
#include "jit/ptxsim/specials.def"
#undef SPECIAL
};
int find_special(std::string_view name);
std::string_view special_name(Special);

// Fails with the first error. Never crashes, whatever the text. The text is at most kMaxPtxBytes.
Result<std::shared_ptr<const Module>> parse_ptx(std::string text, std::string name);

inline constexpr uint64_t kMaxPtxBytes = 64u << 20;
inline constexpr uint32_t kMaxRegisters = 1u << 18;      // per function
inline constexpr uint64_t kMaxVariableBytes = 1u << 30;  // per variable

}  // namespace tess::ptxsim
