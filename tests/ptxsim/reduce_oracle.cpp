#include "tests/ptxsim/reduce_oracle.h"

#include "isa/numerics.h"
#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {
namespace {

DType float_type(const std::string& t) {
  return t == "f64" ? dt::f64_ : t == "f32" ? dt::f32_ : t[0] == 'b' ? dt::bf16_ : dt::f16_;
}
bool is_real(const std::string& t) { return t[0] == 'f' || t.substr(0, 2) == "bf"; }

}  // namespace

uint64_t reduced(const std::string& op, const std::string& type, uint64_t a, uint64_t b,
                 uint64_t c) {
  int n = type_bits(type);
  uint64_t mask = n >= 64 ? ~0ull : (1ull << n) - 1;
  if (op == "and") return a & b;
  if (op == "or") return a | b;
  if (op == "xor") return a ^ b;
  if (op == "exch") return b;
  if (op == "cas") return a == b ? c : a;
  if (op == "inc") return a >= b ? 0 : a + 1;
  if (op == "dec") return a == 0 || a > b ? b : a - 1;
  if (is_real(type)) {
    if (type.find("x2") != type.npos) {
      std::string half = type.substr(0, type.size() - 2);
      return reduced(op, half, a >> 16 & 0xffff, b >> 16 & 0xffff) << 16 |
             reduced(op, half, a & 0xffff, b & 0xffff);
    }
    DType t = float_type(type);
    if (op == "add") return arith_code(t, '+', a, b);
    return (op == "min") == (decode_float(t, a) < decode_float(t, b)) ? a : b;
  }
  if (op == "add") return (a + b) & mask;
  auto number = [&](uint64_t v) {
    return type[0] == 's' ? __int128(n == 64 ? int64_t(v) : int64_t(int32_t(v))) : __int128(v);
  };
  return (op == "min") == (number(a) < number(b)) ? a : b;
}

uint64_t small_value(const std::string& type, uint64_t random) {
  int n = type_bits(type);
  if (is_real(type)) {
    if (type.find("x2") != type.npos) {
      std::string half = type.substr(0, type.size() - 2);
      return small_value(half, random) << 16 | small_value(half, random >> 8);
    }
    return encode_float(float_type(type), (double(random % 65) - 32) / 4);
  }
  uint64_t v = random % 4 == 0 ? random * 0x9e3779b97f4a7c15ull : random >> 3 & 15;
  return n >= 64 ? v : v & ((1ull << n) - 1);
}

}  // namespace tess::ptxsim
