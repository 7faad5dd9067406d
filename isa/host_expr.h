// Host expressions: integer expressions over a launch's scalar parameters, evaluated once before
// the kernel starts (grid, extents, strides, lets, workspace sizes). Postfix; arithmetic is in i64
// and overflow or division by zero is an error with a code.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
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
// One token is kept in place, since most expressions are a number or a name and a module holds
// many; more of them are in a vector.
class HostTokens {
 public:
  HostTokens() = default;
  HostTokens(std::initializer_list<HostToken> tokens) : HostTokens(tokens.begin(), tokens.end()) {}
  HostTokens(const HostToken* first, const HostToken* last) {
    for (; first != last; ++first) push_back(*first);
  }
  size_t size() const { return many_.empty() ? size_t{has_one_} : many_.size(); }
  bool empty() const { return size() == 0; }
  const HostToken* data() const { return many_.empty() ? (has_one_ ? &one_ : nullptr) : many_.data(); }
  const HostToken* begin() const { return data(); }
  const HostToken* end() const { return data() + size(); }
  const HostToken& operator[](size_t i) const { return data()[i]; }
  void reserve(size_t n) {
    if (n > 1) many_.reserve(n);
  }
  void push_back(HostToken t) {
    if (empty()) {
      one_ = t;
      has_one_ = true;
      return;
    }
    if (has_one_) many_.push_back(one_);
    one_ = {};
    has_one_ = false;
    many_.push_back(t);
  }
  bool operator==(const HostTokens&) const = default;

 private:
  HostToken one_;  // if there is just one
  bool has_one_ = false;
  std::vector<HostToken> many_;
};
struct HostExpr {
  HostTokens tokens;
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
