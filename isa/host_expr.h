// Host expressions: integer expressions over a launch's scalar parameters, evaluated once before
// the kernel starts (grid, extents, strides, lets, workspace sizes). Postfix; arithmetic is in i64
// and overflow or division by zero is an error with a code.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "isa/result.h"

namespace tess {

// Frozen codes, in bytecode. cdiv(a,b) = ceil(a/b) for b > 0; div and rem truncate.
enum class HostOp : uint8_t {
  constant = 0,  // value
  param = 1,     // value: index into Kernel::values of an integer scalar parameter or let
  add = 2,
  sub = 3,
  mul = 4,
  div = 5,
  rem = 6,
  cdiv = 7,
  min = 8,
  max = 9,
  neg = 10,
  device_sms = 11,
  occupancy = 12,
};
struct HostToken {
  HostOp op = HostOp::constant;
  int64_t value = 0;
  bool operator==(const HostToken&) const = default;
};
struct HostExpr {
  std::vector<HostToken> tokens;
  bool operator==(const HostExpr&) const = default;

  bool is_constant() const { return tokens.size() == 1 && tokens[0].op == HostOp::constant; }
  int64_t constant() const { return tokens[0].value; }
  static HostExpr of(int64_t v) { return {{{HostOp::constant, v}}}; }
};
int host_op_arity(HostOp op);  // operands taken from the stack: 0, 1 or 2
const char* host_op_name(HostOp op);

// True if the tokens leave exactly one value and never take from an empty stack.
bool well_formed(const HostExpr& e);
// Appends `op` applied to the operands, folding constants.
HostExpr host_apply(HostOp op, HostExpr a, HostExpr b = {});

struct HostEnv {
  std::function<int64_t(uint32_t value)> value_of;  // of a scalar parameter or let
  int64_t device_sms = 132, occupancy = 1;
};
Result<int64_t> evaluate(const HostExpr& e, const HostEnv& env);

// Infix text that parses back to the same tokens; `name_of` gives a value's name.
std::string host_text(const HostExpr& e, const std::function<std::string(uint32_t)>& name_of);

}  // namespace tess
