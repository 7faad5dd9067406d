// Writes block IR: constants are folded, an operation already done in an enclosing block is not
// done again, and a value that is assigned in several places gets a variable.
#pragma once
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {

inline Operand b32(uint64_t v) { return Operand::imm(v & 0xffffffff, RegClass::b32); }
inline Operand b64(uint64_t v) { return Operand::imm(v, RegClass::b64); }
inline Operand pred(bool v) { return Operand::imm(v, RegClass::pred); }
Operand f32(float v);

class Emit {
 public:
  explicit Emit(BlockKernel& kernel) : k_(kernel) {}
  BlockKernel& kernel() { return k_; }

  // What follows comes from this tile instruction (BlockKernel::tiles).
  void at_tile(uint32_t tile) { tile_ = tile; }
  // Registers made from here on are called so, for people.
  void name(std::string_view name);

  // A plain operation with one result; `type` is its class where no operand says it.
  Operand op(BlockOp op, std::initializer_list<Operand> args, RegClass type = RegClass::b32);
  // A PTX instruction. The opcode must be a row of block_forms.def; a wrong one is remembered as an
  // internal error (`problem`).
  std::vector<Operand> form(std::string_view opcode, std::initializer_list<Operand> args) {
    return form(opcode, std::vector<Operand>(args));
  }
  // `n_results` only for forms with open groups.
  std::vector<Operand> form(std::string_view opcode, const std::vector<Operand>& args);
  Operand form1(std::string_view opcode, std::initializer_list<Operand> args);
  // A form whose results are variables that it reads and writes (wgmma).
  void form_in_place(std::string_view opcode, const std::vector<Operand>& variables,
                     const std::vector<Operand>& args);

  // Integer arithmetic, modulo 2^32 or 2^64 by the operands' class.
  Operand add(Operand a, Operand b) { return op(BlockOp::add, {a, b}); }
  Operand sub(Operand a, Operand b) { return op(BlockOp::sub, {a, b}); }
  Operand mul(Operand a, Operand b) { return op(BlockOp::mul, {a, b}); }
  Operand and_(Operand a, Operand b) { return op(BlockOp::and_, {a, b}); }
  Operand or_(Operand a, Operand b) { return op(BlockOp::or_, {a, b}); }
  Operand xor_(Operand a, Operand b) { return op(BlockOp::xor_, {a, b}); }
  Operand not_(Operand a) { return op(BlockOp::not_, {a}); }
  Operand shl(Operand a, uint32_t n) { return op(BlockOp::shl, {a, b32(n)}); }
  Operand lshr(Operand a, uint32_t n) { return op(BlockOp::lshr, {a, b32(n)}); }
  Operand ashr(Operand a, uint32_t n) { return op(BlockOp::ashr, {a, b32(n)}); }
  Operand eq(Operand a, Operand b) { return op(BlockOp::eq, {a, b}); }
  Operand ne(Operand a, Operand b) { return op(BlockOp::ne, {a, b}); }
  Operand slt(Operand a, Operand b) { return op(BlockOp::slt, {a, b}); }
  Operand sle(Operand a, Operand b) { return op(BlockOp::sle, {a, b}); }
  Operand ult(Operand a, Operand b) { return op(BlockOp::ult, {a, b}); }
  Operand sel(Operand p, Operand a, Operand b) { return op(BlockOp::sel, {p, a, b}); }
  Operand zext(Operand a) { return op(BlockOp::zext, {a}); }
  Operand sext(Operand a) { return op(BlockOp::sext, {a}); }
  Operand trunc(Operand a) { return op(BlockOp::trunc, {a}); }
  // Halves of a word, and back.
  std::pair<Operand, Operand> halves(Operand word);  // b32 -> b16 b16, b64 -> b32 b32
  Operand join(Operand low, Operand high);           // b16 b16 -> b32, b32 b32 -> b64
  Operand shared_address(uint32_t byte) { return op(BlockOp::shared_address, {b32(byte)}); }

  // Variables. Assigning is an instruction; reading is the operand itself.
  Operand variable(RegClass type, std::string_view name);
  void assign(Operand variable, Operand value);
  // The value now, in a register that later assignments do not change.
  Operand snapshot(Operand value);
  bool is_variable(Operand o) const { return o.is_reg() && k_.regs[o.id()].variable; }

  void begin_if(Operand condition);
  void begin_else();
  void begin_loop(uint32_t unroll = 0);
  void begin_latch();
  void end();
  void control(BlockOp op, std::initializer_list<Operand> args = {});

  // How many loops around the present place the value may change in; 0: it is the same in all of
  // them. Sums that begin with what changes least are computed once.
  uint32_t variance(Operand o) const;
  // x and c of a b32 value that was made as x + c; itself and 0.
  std::pair<Operand, int32_t> apart(Operand o) const;

  // The innermost open block, and whether one is still open.
  uint32_t scope() const { return scopes_.back().id; }
  bool is_open(uint32_t scope) const;

  const std::string& problem() const { return problem_; }

 private:
  struct Key {
    BlockOp op;
    const Form* form;
    RegClass type;
    std::vector<std::pair<uint8_t, uint64_t>> args;
    auto operator<=>(const Key&) const = default;
  };
  Operand new_reg(RegClass type);
  uint32_t name_index(std::string_view name);
  void push(BlockOp op, const Form* form, const std::vector<Operand>& results,
            const std::vector<Operand>& args);
  std::optional<Operand> fold(BlockOp op, const std::vector<Operand>& args, RegClass type);
  bool key_of(BlockOp op, const Form* form, const std::vector<Operand>& args, RegClass type,
              Key& out) const;
  void open();
  void close();
  void varies(const std::vector<Operand>& results, const std::vector<Operand>& args, bool pure);

  BlockKernel& k_;
  uint32_t tile_ = 0, name_ = 0;
  std::map<std::string, uint32_t, std::less<>> names_;
  std::map<Key, std::vector<Operand>> known_;
  struct Scope {
    uint32_t id = 0;
    std::vector<Key> keys;
  };
  std::vector<Scope> scopes_{1};
  uint32_t next_scope_ = 1;
  std::vector<bool> blocks_;  // the open ones: is it a loop?
  uint32_t loops_ = 0;
  std::map<RegId, uint32_t> variance_;                    // where it is not 0
  std::map<RegId, std::pair<Operand, int32_t>> addends_;  // of b32 sums with a constant
  std::string problem_;
};

}  // namespace tess::jit
