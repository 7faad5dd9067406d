// The decoders of instruction forms: each turns one parsed instruction into one operation. A
// Builder gives access to the instruction's modifiers and operands and records which registers it
// touches.
#pragma once
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "jit/ptxsim/op.h"

namespace tess::ptxsim {

struct LinkState {
  std::map<std::pair<uint64_t, int>, Row> constants;  // value, bits
  std::map<std::pair<int, int>, Row> specials;        // special, lane
  std::map<std::string_view, int> function_index;     // into Program::functions
  std::map<std::string_view, int> module_function;    // into Module::functions
  const std::vector<uint64_t>* variable_address = nullptr;
};

// How an address is formed: Op::k[9].
enum AddressBase : uint8_t { kBaseNone, kBase32, kBase64, kBaseFrame };

class Builder {
 public:
  Builder(Program& p, LinkState& s, ProgramFunction& f, const Instruction& in, Op& op)
      : program(p), state(s), function(f), in(in), op(op) {}

  Program& program;
  LinkState& state;
  ProgramFunction& function;
  const Instruction& in;
  Op& op;
  std::string message;
  bool wide_constants = false;

  bool fail(std::string text) {
    if (message.empty()) message = std::move(text);
    return false;
  }
  bool ok() const { return message.empty(); }
  std::string_view opcode() const { return in.opcode; }
  size_t count() const { return in.operands.size(); }
  bool expect_operands(size_t low, size_t high = 0);
  bool has(std::string_view mod) const {
    for (auto m : in.mods)
      if (m == mod) return true;
    return false;
  }
  std::string_view mod(size_t i) const {
    return i < in.mods.size() ? in.mods[i] : std::string_view();
  }
  std::string_view last_mod(size_t back = 0) const {
    return back < in.mods.size() ? in.mods[in.mods.size() - 1 - back] : std::string_view();
  }
  // Index of the first of `names` that is a modifier, or -1.
  int which(std::initializer_list<std::string_view> names) const {
    int i = 0;
    for (auto n : names) {
      if (has(n)) return i;
      ++i;
    }
    return -1;
  }
  // Bits of a type modifier ("f16x2" is 32), 0 if it is not one.
  static int bits_of(std::string_view type);

  // Rows. `bits` is the width of the instruction's type; registers must have the same row width.
  Row source(size_t i, int bits, bool real = false) { return source(in.operands[i], bits, real); }
  Row source(const Operand& o, int bits, bool real = false);
  Row destination(size_t i, int bits) { return destination(in.operands[i], bits); }
  Row destination(const Operand& o, int bits);
  int32_t predicate_source(const Operand& o, bool* negated = nullptr);
  int32_t predicate_destination(const Operand& o);
  Row constant(uint64_t value, int bits);
  Row scratch(int bits);
  int32_t scratch_predicate();
  // Width in bits of the register operand (64 or at most 32), 0 if not a register.
  int register_bits(const Operand& o) const;
  bool is_register(const Operand& o) const { return o.kind == OpKind::reg; }

  // [base + offset]: fills op.a[slot], op.imm, op.k[9]. Space by the modifier, generic if none.
  bool address(size_t i, int slot = 0, Space space = Space::generic);
  // A source that is an address expression without offset slot (second addresses): a 64-bit or
  // 32-bit row.
  Row address_row(const Operand& o, int bits);
  Space space() const;
  // [base + offset] as one of up to four addresses: op.a[slot], op.k[slot], slot 0..3, op.target.
  bool address_operand(const Operand& o, int slot);
  bool immediate(size_t i, int64_t& value);

  void use(Row r, const std::string& name) { touch(r, name, true); }
  void add_args(std::initializer_list<Row> rows);
  void add_arg(Row r);

  std::vector<std::pair<int32_t, std::string>> used, defined;

 private:
  void touch(int32_t what, const std::string& name, bool is_use);
};

// One declaration per decoder named in forms.def.
#define FORM(builder, pattern) bool build_##builder(Builder& b);
#define REFUSED(reason, pattern)
#include "jit/ptxsim/forms.def"
#undef FORM
#undef REFUSED

}  // namespace tess::ptxsim
