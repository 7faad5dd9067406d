#include "vm/api/deduce.h"

namespace tess::api {
namespace {

bool all_known(const HostExpr& e, const Known& known) {
  for (const HostToken& t : e.tokens)
    if (t.op == HostOp::param &&
        (static_cast<uint64_t>(t.value) >= known.size() || !known[static_cast<size_t>(t.value)]))
      return false;
  return true;
}

HostEnv env_of(const Known& known, int64_t device_sms) {
  HostEnv env;
  env.device_sms = device_sms;
  env.value_of = [&known](uint32_t v) { return known[v].value_or(0); };
  return env;
}

// Where the operand that ends at token `end` (inclusive) begins.
size_t begin_of_operand(const HostExpr& e, size_t end) {
  int wanted = 1;
  for (size_t i = end + 1; i-- > 0;) {
    wanted += host_op_arity(e.tokens[i].op) - 1;
    if (wanted == 0) return i;
  }
  return 0;
}

HostExpr part(const HostExpr& e, size_t begin, size_t end) {
  return {{e.tokens.begin() + static_cast<ptrdiff_t>(begin),
           e.tokens.begin() + static_cast<ptrdiff_t>(end) + 1}};
}

}  // namespace

std::optional<int64_t> evaluate_known(const Kernel& kernel, const HostExpr& e, const Known& known,
                                      int64_t device_sms) {
  if (!well_formed(e) || !all_known(e, known)) return {};
  Result<int64_t> v = evaluate(e, env_of(known, device_sms));
  return v ? std::optional<int64_t>(*v) : std::nullopt;
}

void add_lets(const Kernel& kernel, Known& known, int64_t device_sms) {
  for (size_t p = 0; p < kernel.params.size(); ++p)
    if (kernel.params[p].dir == Direction::let && !known[p])
      known[p] = evaluate_known(kernel, kernel.params[p].let, known, device_sms);
}

std::optional<uint32_t> first_unknown(const Kernel& kernel, const HostExpr& e, const Known& known) {
  // Lets are followed to the scalars that they need; each is looked at once.
  std::vector<uint8_t> seen(kernel.params.size());
  std::vector<const HostExpr*> open = {&e};
  while (!open.empty()) {
    const HostExpr* x = open.back();
    open.pop_back();
    for (const HostToken& t : x->tokens) {
      uint64_t v = static_cast<uint64_t>(t.value);
      if (t.op != HostOp::param || v >= kernel.params.size() || known[v] || seen[v]++) continue;
      if (kernel.params[v].dir != Direction::let) return static_cast<uint32_t>(v);
      open.push_back(&kernel.params[v].let);
    }
  }
  return {};
}

std::optional<std::pair<uint32_t, int64_t>> solve(const Kernel& kernel, const HostExpr& e,
                                                  int64_t value, const Known& known,
                                                  int64_t device_sms) {
  if (!well_formed(e)) return {};
  std::optional<size_t> unknown;  // its token
  for (size_t i = 0; i < e.tokens.size(); ++i) {
    if (e.tokens[i].op != HostOp::param) continue;
    uint64_t v = static_cast<uint64_t>(e.tokens[i].value);
    if (v >= kernel.params.size() || known[v]) continue;
    if (unknown || kernel.params[v].dir != Direction::scalar ||
        !kernel.values[v].type.dtype.is_int())
      return {};
    unknown = i;
  }
  if (!unknown) return {};
  uint32_t param = static_cast<uint32_t>(e.tokens[*unknown].value);
  // From the outermost operator inwards, undoing each.
  size_t end = e.tokens.size() - 1;
  while (end != *unknown) {
    HostOp op = e.tokens[end].op;
    if (op == HostOp::neg) {
      if (__builtin_sub_overflow(int64_t{0}, value, &value)) return {};
      --end;
      continue;
    }
    if (host_op_arity(op) != 2) return {};
    size_t b_begin = begin_of_operand(e, end - 1), a_end = b_begin - 1;
    size_t a_begin = begin_of_operand(e, a_end);
    bool unknown_in_a = *unknown < b_begin;
    auto other = unknown_in_a ? evaluate_known(kernel, part(e, b_begin, end - 1), known, device_sms)
                              : evaluate_known(kernel, part(e, a_begin, a_end), known, device_sms);
    if (!other) return {};
    bool overflow = false;
    switch (op) {
      case HostOp::add:
        overflow = __builtin_sub_overflow(value, *other, &value);
        break;
      case HostOp::sub:
        overflow = unknown_in_a ? __builtin_add_overflow(value, *other, &value)
                                : __builtin_sub_overflow(*other, value, &value);
        break;
      case HostOp::mul:
        if (*other == 0 || (*other == -1 && value == INT64_MIN) || value % *other != 0) return {};
        value /= *other;
        break;
      case HostOp::div:
      case HostOp::cdiv:
        // One solution only if the dividend is a multiple of the divisor: n itself, declared so.
        if (!unknown_in_a || *other <= 0 || a_end != *unknown ||
            kernel.params[param].divisible % *other != 0)
          return {};
        overflow = __builtin_mul_overflow(value, *other, &value);
        break;
      default:
        return {};
    }
    if (overflow) return {};
    end = unknown_in_a ? a_end : end - 1;
  }
  return std::pair{param, value};
}

}  // namespace tess::api
