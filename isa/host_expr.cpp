#include "isa/host_expr.h"

#include <fmt/format.h>

#include <limits>

#include "isa/diag/run.h"

namespace tess {
namespace {

struct HostOpInfo {
  const char* name;
  int arity;
};
// By HostOp.
constexpr HostOpInfo kHostOps[] = {{"constant", 0}, {"param", 0}, {"+", 2},   {"-", 2},
                                   {"*", 2},        {"/", 2},     {"rem", 2}, {"cdiv", 2},
                                   {"min", 2},      {"max", 2},   {"-", 1},   {"device.sms", 0},
                                   {"occupancy", 0}};

enum class Outcome : uint8_t { fine, overflow, zero_divisor };

// `a` alone is the operand of a unary operator.
Outcome apply(HostOp op, int64_t a, int64_t b, int64_t& out) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  auto checked = [](bool overflow) { return overflow ? Outcome::overflow : Outcome::fine; };
  switch (op) {
    case HostOp::add:
      return checked(__builtin_add_overflow(a, b, &out));
    case HostOp::sub:
      return checked(__builtin_sub_overflow(a, b, &out));
    case HostOp::mul:
      return checked(__builtin_mul_overflow(a, b, &out));
    case HostOp::neg:
      return checked(__builtin_sub_overflow(int64_t{0}, a, &out));
    case HostOp::min:
      out = a < b ? a : b;
      return Outcome::fine;
    case HostOp::max:
      out = a > b ? a : b;
      return Outcome::fine;
    case HostOp::div:
    case HostOp::rem:
    case HostOp::cdiv:
      if (b == 0) return Outcome::zero_divisor;
      if (a == kMin && b == -1) {
        if (op == HostOp::rem) return out = 0, Outcome::fine;
        return Outcome::overflow;
      }
      out = op == HostOp::rem ? a % b : a / b;
      // Truncation is already the ceiling of a negative quotient.
      if (op == HostOp::cdiv && a % b != 0 && (a < 0) == (b < 0)) ++out;
      return Outcome::fine;
    default:
      out = a;
      return Outcome::fine;
  }
}

// How tightly a piece of text binds.
enum Precedence : int { kSum = 1, kProduct = 2, kUnary = 3, kAtom = 4 };

struct Piece {
  std::string text;
  Precedence precedence = kAtom;
};

std::string in_parentheses_below(Piece piece, Precedence needed) {
  return piece.precedence < needed ? "(" + std::move(piece.text) + ")" : std::move(piece.text);
}

Piece constant_piece(int64_t v) {
  // The magnitude of the least integer is no literal.
  if (v == std::numeric_limits<int64_t>::min()) return {fmt::format("{} - 1", v + 1), kSum};
  return {fmt::format("{}", v), v < 0 ? kUnary : kAtom};
}

}  // namespace

int host_op_arity(HostOp op) { return kHostOps[static_cast<int>(op)].arity; }
const char* host_op_name(HostOp op) { return kHostOps[static_cast<int>(op)].name; }

bool well_formed(const HostExpr& e) {
  size_t depth = 0;
  for (const HostToken& t : e.tokens) {
    if (static_cast<size_t>(t.op) >= std::size(kHostOps)) return false;
    size_t arity = static_cast<size_t>(host_op_arity(t.op));
    if (depth < arity) return false;
    depth += 1 - arity;
  }
  return depth == 1;
}

HostExpr host_apply(HostOp op, HostExpr a, HostExpr b) {
  int arity = host_op_arity(op);
  if (arity > 0 && a.is_constant() && (arity == 1 || b.is_constant())) {
    int64_t value = 0;
    if (apply(op, a.constant(), arity == 2 ? b.constant() : 0, value) == Outcome::fine)
      return HostExpr::of(value);
  }
  if (arity == 2)
    for (const HostToken& t : b.tokens) a.tokens.push_back(t);
  a.tokens.push_back({op, 0});
  return a;
}

Result<int64_t> evaluate(const HostExpr& e, const HostEnv& env) {
  if (!well_formed(e))
    return make_diag(diag::host_malformed, "a host expression takes more operands than it has");
  std::vector<int64_t> stack;
  for (const HostToken& t : e.tokens) {
    int64_t value = 0;
    switch (t.op) {
      case HostOp::constant:
        value = t.value;
        break;
      case HostOp::param:
        value = env.value_of(static_cast<uint32_t>(t.value));
        break;
      case HostOp::device_sms:
        value = env.device_sms;
        break;
      case HostOp::occupancy:
        value = env.occupancy;
        break;
      default: {
        int64_t b = 0;
        if (host_op_arity(t.op) == 2) {
          b = stack.back();
          stack.pop_back();
        }
        int64_t a = stack.back();
        stack.pop_back();
        Outcome outcome = apply(t.op, a, b, value);
        if (outcome == Outcome::zero_divisor)
          return make_diag(diag::host_zero_divisor,
                           fmt::format("{} divided by zero in a host expression", a));
        if (outcome == Outcome::overflow)
          return make_diag(diag::host_overflow,
                           host_op_arity(t.op) == 1
                               ? fmt::format("-({}) does not fit i64 in a host expression", a)
                               : fmt::format("{} {} {} does not fit i64 in a host expression", a,
                                             host_op_name(t.op), b));
      }
    }
    stack.push_back(value);
  }
  return stack.back();
}

std::string host_text(const HostExpr& e, const std::function<std::string(uint32_t)>& name_of) {
  if (!well_formed(e)) return "?";
  std::vector<Piece> stack;
  auto pop = [&] {
    Piece p = std::move(stack.back());
    stack.pop_back();
    return p;
  };
  for (const HostToken& t : e.tokens) switch (t.op) {
      case HostOp::constant:
        stack.push_back(constant_piece(t.value));
        break;
      case HostOp::param:
        stack.push_back({name_of(static_cast<uint32_t>(t.value)), kAtom});
        break;
      case HostOp::device_sms:
      case HostOp::occupancy:
        stack.push_back({host_op_name(t.op), kAtom});
        break;
      case HostOp::neg:
        stack.push_back({"-" + in_parentheses_below(pop(), kAtom), kUnary});
        break;
      case HostOp::add:
      case HostOp::sub: {
        // Operators associate to the left; a sign after an operator is put in parentheses.
        std::string b = in_parentheses_below(pop(), kProduct);
        if (b.starts_with('-')) b = "(" + b + ")";
        std::string a = in_parentheses_below(pop(), kSum);
        a += fmt::format(" {} ", host_op_name(t.op));
        a += b;
        stack.push_back({std::move(a), kSum});
        break;
      }
      case HostOp::mul:
      case HostOp::div: {
        std::string b = in_parentheses_below(pop(), kAtom);
        std::string a = in_parentheses_below(pop(), kProduct);
        a += host_op_name(t.op);
        a += b;
        stack.push_back({std::move(a), kProduct});
        break;
      }
      case HostOp::rem:
      case HostOp::cdiv:
      case HostOp::min:
      case HostOp::max: {
        std::string b = pop().text, a = pop().text;
        stack.push_back({fmt::format("{}({}, {})", host_op_name(t.op), a, b), kAtom});
        break;
      }
    }
  return std::move(stack.back().text);
}

}  // namespace tess
