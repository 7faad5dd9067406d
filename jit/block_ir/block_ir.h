// The block IR: what one thread of a block does. A kernel is a flat list of instructions over typed
// registers, with structured control that `end` closes (as in isa/module.h). An instruction is
// either one of the plain operations of block_ops.def, which both back ends say in their own words,
// or one PTX instruction of block_forms.def, printed by both as the same inline assembly.
//
// A register is assigned once, by an instruction whose block encloses every use, unless it is a
// variable. Sub-word values are packed: two f16 in a b32, the first one low.
// Plain data: copyable, no pointers but into the constant tables, not synchronised.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/module.h"
#include "isa/result.h"

namespace tess::jit {

enum class RegClass : uint8_t { pred, b16, b32, b64, f32, f64 };
std::string_view class_name(RegClass c);
int class_bytes(RegClass c);  // 1 for pred

enum class BlockOp : uint8_t {
#define BLOCK_OP(id, name, signature, effect) id,
#include "jit/block_ir/block_ops.def"
#undef BLOCK_OP
  form,  // a PTX instruction
};
enum class Effect : uint8_t { pure, fetch, read, write, sync, control };

struct BlockOpInfo {
  BlockOp op;
  std::string_view name, signature;
  Effect effect;
};
const BlockOpInfo& block_op_info(BlockOp op);

// --- PTX forms

enum class GroupKind : uint8_t {
  value,    // one register or constant
  list,     // several in braces
  tied,     // several in braces, variables read and written; they count as results
  address,  // [register + byte offset]: two operands
  imm,      // a constant, printed as such
};
struct Group {
  GroupKind kind = GroupKind::value;
  RegClass type = RegClass::b32;
  int count = 1;  // registers; 0: as many as are given
  bool result = false;
};
struct Form {
  std::string opcode;  // "ld.global.v4.b32"
  std::vector<Group> groups;
  std::string pattern_template;  // OP, $n
  Effect effect = Effect::pure;
  int arch = 80;  // 901: sm_90a
};
// The form of this opcode, spelt with dots (and ~words at the end); null if no row allows it. The
// pointer is valid for ever; thread-safe.
const Form* find_form(std::string_view opcode);
// One opcode for every combination of words in every row, `n*` shown with n = 8 and 256: what the
// tests assemble.
std::vector<std::string> all_forms();

// --- kernels

using RegId = uint32_t;
struct Operand {
  enum class Kind : uint8_t { none, reg, imm };
  Kind kind = Kind::none;
  RegClass type = RegClass::b32;
  uint64_t bits = 0;  // the register, or the constant's bits (pred: 0 or 1)
  static Operand reg(RegId r, RegClass c) { return {Kind::reg, c, r}; }
  static Operand imm(uint64_t bits, RegClass c) { return {Kind::imm, c, bits}; }
  bool is_reg() const { return kind == Kind::reg; }
  bool is_imm() const { return kind == Kind::imm; }
  RegId id() const { return static_cast<RegId>(bits); }
  bool operator==(const Operand&) const = default;
};

struct RegInfo {
  RegClass type = RegClass::b32;
  bool variable = false;
  uint32_t name = 0;  // in BlockKernel::names; 0: none
};

struct BlockInst {
  BlockOp op{};
  uint8_t n_results = 0;
  uint16_t n_args = 0;
  uint32_t first = 0;          // in BlockKernel::operands: results, then arguments
  const Form* form = nullptr;  // of BlockOp::form
  uint32_t tile = 0;           // the tile instruction it comes from, in BlockKernel::tiles; 0: none
};

// A kernel parameter and where the launch takes it from.
enum class ParamKind : uint8_t {
  pointer,     // b64: address of the tensor of parameter `source` (byte 0)
  list,        // b64: address of a table of such addresses, for a list parameter
  scalar,      // parameter or let `source` itself
  expression,  // b64: the host expression `expr`: extents and strides
  tensor_map,  // 128 bytes, by value
  grid_state,  // b64: zeroed words for grid.sync
  fault,       // b64: the fault record of guard mode
  print,       // b64: where `print` leaves values (jit/print_record.h)
};
std::string_view param_kind_name(ParamKind kind);
struct BlockParam {
  ParamKind kind = ParamKind::scalar;
  RegClass type = RegClass::b64;
  uint32_t source =
      0;  // value number of the tile kernel's parameter; tensor maps: index of the map
  HostExpr expr;
  std::string name;  // for people
};

// A tile instruction, for comments and line numbers.
struct TileNote {
  Loc loc;
  std::string text;
};

struct BlockKernel {
  std::string name;
  int arch = 80;  // 80, 89, 90; 901 for sm_90a
  uint32_t threads = 128, cluster = 1, blocks_per_sm = 0;
  uint32_t max_registers = 0;  // 0: as threads allow; set with setmaxnreg
  uint32_t shared_bytes = 0;   // dynamic shared memory, aligned to 1024
  std::vector<BlockParam> params;
  std::vector<RegInfo> regs;
  std::vector<std::string> names{""};
  std::vector<Operand> operands;
  std::vector<BlockInst> code;
  std::vector<TileNote> tiles{{}};
  std::vector<std::string> files;

  std::span<const Operand> results(const BlockInst& i) const {
    return {operands.data() + i.first, i.n_results};
  }
  std::span<const Operand> args(const BlockInst& i) const {
    return {operands.data() + i.first + i.n_results, i.n_args};
  }
};

// `name` as an identifier of C++, LLVM and PTX: letters, digits and single underscores, beginning
// with a letter; empty if nothing of it can stay. Never a keyword once a number follows it.
std::string generated_name(std::string_view name);
// The name under which both back ends define the kernel.
std::string entry_name(const BlockKernel& k);

// The assembly text of a form: OP and every group filled in. `operand(i)` is the text of operand i,
// results first.
std::string form_text(const Form& form, size_t n_results, size_t n_args,
                      const std::function<std::string(size_t)>& operand);
// How many operands each group takes, in order of groups; empty if the numbers do not fit.
std::vector<int> group_sizes(const Form& form, size_t n_results, size_t n_args);

// Text of a kernel, which parse_block reads back to the same kernel, but that the notes come in the
// order of the text.
std::string print_block(const BlockKernel& k);
// Errors: E1150, with the line. What is read may still be rejected by check_block.
Result<BlockKernel> parse_block(std::string_view text);

// Signatures, classes, one assignment per register that is no variable, definitions that enclose
// their uses, control that nests, forms within the kernel's arch. An error is a mistake of the
// compiler, not of the user.
Status check_block(const BlockKernel& k);

}  // namespace tess::jit
