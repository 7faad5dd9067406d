#include "tests/ptxsim/oracle.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/ptxsim/oracle_parts.h"

namespace tess::ptxsim {
namespace {

using namespace oracle_parts;

// One element of a floating-point instruction.
uint64_t real_step(const std::vector<std::string>& w, DType t, uint64_t a, uint64_t b, uint64_t c,
                   bool ftz) {
  const std::string& op = w[0];
  if (op != "copysign" && ftz) a = flushed(t, a), b = flushed(t, b), c = flushed(t, c);
  uint64_t sign = 1ull << (t.bits - 1), r;
  if (op == "copysign") return (b & ~sign) | (a & sign);
  if (op == "abs") return is_nan_code(t, a) ? nan_of(t) : a & ~sign;
  if (op == "neg") return is_nan_code(t, a) ? nan_of(t) : a ^ sign;
  if (op == "min" || op == "max") {
    uint64_t s = (a ^ b) & sign;
    bool x = has(w, "xorsign");
    if (x) a &= ~sign, b &= ~sign;
    bool na = is_nan_code(t, a), nb = is_nan_code(t, b);
    if ((na && nb) || ((na || nb) && has(w, "NaN"))) return nan_of(t);
    if (na || nb) {
      r = na ? b : a;
    } else {
      double p = decode_float(t, a), q = decode_float(t, b);
      bool a_less = p < q || (p == q && (a & sign) && !(b & sign));
      r = (op == "min") == a_less ? a : b;
      if (p == q && (a & sign) == (b & sign)) r = a;
    }
    return x ? (r & ~sign) | s : r;
  }
  Round m = mode(w);
  if (op == "fma" || op == "mad") {
    if (has(w, "oob") && ((a & 0xffff) == 0xffff || (b & 0xffff) == 0xffff)) return 0;
    r = fma_code(t, a, b, c, m);
  } else if (op == "rcp") r = arith_code(t, '/', one_code(t), a, m);
  else if (op == "sqrt") r = sqrt_code(t, a, m);
  else r = arith_code(t, op == "add" ? '+' : op == "sub" ? '-' : op == "mul" ? '*' : '/', a, b, m);
  if (ftz) r = flushed(t, r);
  if (has(w, "sat")) return saturated(t, r);
  r = canonical(t, r);
  if (has(w, "relu") && !is_nan_code(t, r) && (r & sign)) r = 0;
  return r;
}

bool compare(const std::string& c, double a, double b) {
  bool u = std::isnan(a) || std::isnan(b);
  if (c == "num") return !u;
  if (c == "nan") return u;
  if (c.size() == 3) {
    if (u) return true;
    return compare(c.substr(0, 2), a, b);
  }
  if (u) return false;
  return c == "eq"   ? a == b
         : c == "ne" ? a != b
         : c == "lt" ? a < b
         : c == "le" ? a <= b
         : c == "gt" ? a > b
                     : a >= b;
}
bool compare_int(const std::string& c, const std::string& t, uint64_t a, uint64_t b) {
  bool plain = c == "lo" || c == "ls" || c == "hi" || c == "hs";
  std::string type = plain ? "u" + std::to_string(bits_of(t)) : t;
  I x = number(type, a), y = number(type, b);
  if (c == "eq") return x == y;
  if (c == "ne") return x != y;
  if (c == "lt" || c == "lo") return x < y;
  if (c == "le" || c == "ls") return x <= y;
  if (c == "gt" || c == "hi") return x > y;
  return x >= y;
}
bool joined(const std::vector<std::string>& w, bool r, bool c) {
  const std::string& m = w.size() > 2 ? w[2] : w[1];
  return m == "and" ? r && c : m == "or" ? r || c : m == "xor" ? r != c : r;
}

double value_of(const std::string& t, uint64_t v, bool ftz) {
  DType d = float_type(t);
  v = low(v, d.bits);
  return decode_float(d, ftz ? flushed(d, v) : v);
}

const std::set<std::string>& known_opcodes() {
  static const std::set<std::string> all = {
      "add",   "addc",  "sub",      "subc", "mul",  "mad",   "madc",  "mul24", "mad24",
      "sad",   "div",   "rem",      "abs",  "neg",  "min",   "max",   "popc",  "clz",
      "bfind", "fns",   "brev",     "bfe",  "bfi",  "szext", "bmsk",  "dp4a",  "dp2a",
      "and",   "or",    "xor",      "not",  "cnot", "lop3",  "shf",   "shl",   "shr",
      "prmt",  "testp", "copysign", "fma",  "rcp",  "sqrt",  "rsqrt", "sin",   "cos",
      "lg2",   "ex2",   "tanh",     "set",  "setp", "selp",  "slct",  "mov",   "cvt"};
  return all;
}

}  // namespace

bool has_oracle(std::string_view b) {
  static const std::set<std::string_view> all = {
      "int_binary",    "int_carry",    "int_wide",    "int_mad",     "int_wide_mad",
      "int_mad_carry", "int_unary",    "int_count",   "int_fns",     "bit_field",
      "bit_insert",    "int_dot",      "pred_logic",  "logic3",      "funnel",
      "int_shift",     "permute",      "real_test",   "real_binary", "real_fma",
      "real_unary",    "half_unary",   "half_binary", "half_fma",    "compare_set",
      "compare_value", "compare_half", "select_pred", "select_sign", "move",
      "convert",       "convert_pair", "convert_pack"};
  return all.count(b) > 0;
}

Expected oracle(const std::string& opcode, const Inputs& in) {
  std::vector<std::string> w = words_of(opcode);
  if (!known_opcodes().count(w[0])) return {};
  const std::string &op = w[0], &t = w.back();
  if (op == "cvt") return oracle_convert(w, in);
  if (op == "mov") {
    if (t == "pred") return flag(in.p, false, 1);
    if (t == "b128") return exact(in.a, 64);
    return exact(in.a, bits_of(t));
  }
  if (t == "pred") {
    bool b = int32_t(in.b) > 0;
    return flag(op == "not"   ? !in.p
                : op == "and" ? in.p && b
                : op == "or"  ? in.p || b
                              : in.p != b,
                false, 1);
  }
  if (op == "selp") return exact(in.p ? in.a : in.b, bits_of(t));
  if (op == "slct") {
    int n = bits_of(w[w.size() - 2]);
    if (t == "s32") return exact(int32_t(in.c) >= 0 ? in.a : in.b, n);
    double c = value_of("f32", in.c, has(w, "ftz"));
    return exact(c >= 0 ? in.a : in.b, n);
  }
  bool real = op != "prmt" && (t[0] == 'f' || (t[0] == 'b' && t[1] == 'f'));
  if (op == "setp" || op == "set") {
    auto one = [&](int shift) {
      bool r = real ? compare(w[1], value_of(t, in.a >> shift, has(w, "ftz")),
                              value_of(t, in.b >> shift, has(w, "ftz")))
                    : compare_int(w[1], t, in.a, in.b);
      return r;
    };
    bool pair = t == "f16x2" || t == "bf16x2", r = one(0), hi = pair && one(16);
    if (op == "setp") return flag(joined(w, r, in.p), joined(w, pair ? hi : !r, in.p), 3);
    const std::string& d = w[w.size() - 2];
    r = joined(w, r, in.p), hi = pair && joined(w, hi, in.p);
    if (d == "f32") return exact(r ? 0x3f800000 : 0, 32);
    if (pair) {
      uint64_t yes = d == "f16x2" ? 0x3c00 : d == "bf16x2" ? 0x3f80 : 0xffff;
      return exact((r ? yes : 0) | (hi ? yes << 16 : 0), 32);
    }
    uint64_t yes = d == "f16"         ? 0x3c00
                   : d == "bf16"      ? 0x3f80
                   : bits_of(d) == 16 ? 0xffff
                                      : 0xffffffff;
    return exact(r ? yes : 0, bits_of(d));
  }
  if (op == "testp") {
    DType d = float_type(t);
    uint64_t v = low(in.a, d.bits);
    double x = decode_float(d, v);
    bool sub = flushed(d, v) != v, zero = x == 0;
    bool r = w[1] == "finite"       ? std::isfinite(x)
             : w[1] == "infinite"   ? std::isinf(x)
             : w[1] == "number"     ? !std::isnan(x)
             : w[1] == "notanumber" ? std::isnan(x)
             : w[1] == "normal"     ? std::isfinite(x) && !sub && !zero
                                    : sub;
    return flag(r, false, 1);
  }
  if (!real) return oracle_int(w, in);
  DType d = float_type(t);
  bool approx = has(w, "approx") || has(w, "full"), ftz = has(w, "ftz");
  if (approx) {
    Expected e;
    e.known = true, e.near = true;
    e.bits = d.bits;
    if (t == "f16x2" || t == "bf16x2")
      e.known = false;  // the halves are covered by the single forms
    double a = value_of(t, in.a, ftz), b = value_of(t, in.b, ftz);
    e.tolerance = d.bits == 16 ? 5e-3 : 1e-6;
    if (op == "div") {
      e.real = a / b;
      if (std::fabs(b) > 0x1p126 || std::fabs(e.real) < 0x1p-120) e.known = false;
    } else if (op == "rcp") e.real = 1 / a;
    else if (op == "sqrt") e.real = std::sqrt(a);
    else if (op == "rsqrt") e.real = 1 / std::sqrt(a);
    else if (op == "sin") e.real = std::sin(a);
    else if (op == "cos") e.real = std::cos(a);
    else if (op == "lg2") e.real = std::log2(a);
    else if (op == "ex2") e.real = std::exp2(a);
    else e.real = std::tanh(a);
    if (std::fabs(e.real) < (d.bits == 16 ? 1e-4 : 1e-37) ||
        std::fabs(e.real) > (d.bits == 16 ? 6e4 : 3e38))
      e.known = false;
    if ((op == "sin" || op == "cos") && std::fabs(a) > 100) e.known = false;
    if (d.bits == 64 && std::fpclassify(a) == FP_SUBNORMAL) e.known = false;
    return e;
  }
  if (t == "f16x2" || t == "bf16x2") {
    uint64_t r = 0;
    for (int i = 0; i < 2; ++i)
      r |= real_step(w, d, in.a >> (16 * i) & 0xffff, in.b >> (16 * i) & 0xffff,
                     in.c >> (16 * i) & 0xffff, ftz)
           << (16 * i);
    return exact(r, 32);
  }
  return exact(real_step(w, d, low(in.a, d.bits), low(in.b, d.bits), low(in.c, d.bits), ftz),
               d.bits);
}

bool near_enough(const Expected& e, uint64_t got) {
  DType d = e.bits == 64 ? dt::f64_ : e.bits == 32 ? dt::f32_ : dt::f16_;
  double v = decode_float(d, low(got, e.bits));
  if (e.bits == 16) {  // f16 or bf16: either reading may be the one
    double w = decode_float(dt::bf16_, low(got, 16));
    if (std::fabs(w - e.real) <= 8e-3 * std::fabs(e.real)) return true;
  }
  if (std::isnan(e.real)) return std::isnan(v);
  return std::fabs(v - e.real) <= std::fabs(e.real) * e.tolerance;
}

std::vector<Inputs> make_inputs(uint64_t seed, const std::string& opcode) {
  uint64_t h = 1469598103934665603ull ^ seed * 77;
  for (char c : opcode) h = (h ^ uint64_t(uint8_t(c))) * 1099511628211ull;
  Random r{h};
  static const uint64_t kSpecial[] = {0,
                                      1,
                                      2,
                                      31,
                                      32,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x7fff,
                                      0x8000,
                                      0xffff,
                                      0x3c00,
                                      0xbc00,
                                      0x7c00,
                                      0xfc00,
                                      0x7e00,
                                      0x03ff,
                                      0x0400,
                                      0x3f80,
                                      0x7f80,
                                      0x7fc0,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x3f800000,
                                      0xbf800000,
                                      0x7f800000,
                                      0xff800000,
                                      0x7fc00000,
                                      0x00400000,
                                      0x007fffff,
                                      0x00800000,
                                      0x477fe000,
                                      0x47800000,
                                      0x43e00000,
                                      0x3f000000,
                                      0x3fc00000,
                                      0x7fffffffffffffff,
                                      0x8000000000000000,
                                      0xffffffffffffffff,
                                      0x3ff0000000000000,
                                      0x7ff0000000000000,
                                      0x7ff8000000000000,
                                      0x000fffffffffffff,
                                      0x3fe0000000000000,
                                      0x3c003c00,
                                      0x7c00fc00,
                                      0x00018001,
                                      0x3f803f80};
  auto value = [&]() -> uint64_t {
    switch (r.below(6)) {
      case 0:
        return kSpecial[r.below(uint32_t(std::size(kSpecial)))];
      case 1:
        return r.below(40);
      case 2: {  // floats of moderate size
        float f = float(int(r.below(20001)) - 10000) / float(1 + r.below(500));
        uint32_t b;
        std::memcpy(&b, &f, 4);
        return b;
      }
      case 3: {
        double f = double(int(r.below(20001)) - 10000) / double(1 + r.below(500));
        uint64_t b;
        std::memcpy(&b, &f, 8);
        return b;
      }
      case 4:
        return encode_float(dt::f16_, double(int(r.below(2001)) - 1000) / 37) * 0x10001;
      default:
        return r.next();
    }
  };
  std::vector<Inputs> out(32);
  for (auto& i : out) {
    i.a = value(), i.b = value(), i.c = value();
    if (r.below(3) == 0) i.b = i.a ^ (r.below(4) == 0 ? 1 : 0);
    i.p = r.below(2);
  }
  return out;
}

}  // namespace tess::ptxsim
