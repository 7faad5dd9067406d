#include "tests/ptxsim/oracle.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "isa/numerics.h"

namespace tess::ptxsim {
namespace {

using I = __int128;

bool has(const std::vector<std::string>& w, const char* m) {
  return std::find(w.begin() + 1, w.end(), m) != w.end();
}

int bits_of(const std::string& t) {
  if (t == "pred") return 1;
  if (t == "f16x2" || t == "bf16x2" || t == "u16x2" || t == "s16x2" || t == "tf32") return 32;
  if (t == "bf16") return 16;
  return std::atoi(t.c_str() + 1);
}
uint64_t low(uint64_t v, int n) { return n >= 64 ? v : v & ((1ull << n) - 1); }
I number(const std::string& t, uint64_t v) {
  int n = bits_of(t);
  v = low(v, n);
  if (t[0] == 's' && n < 64 && (v >> (n - 1))) return I(v) - (I(1) << n);
  if (t[0] == 's' && n == 64) return I(int64_t(v));
  return I(v);
}
I clamp_to(const std::string& t, I v) {
  int n = bits_of(t);
  I hi = t[0] == 's' ? (I(1) << (n - 1)) - 1 : (I(1) << n) - 1,
    lo = t[0] == 's' ? -(I(1) << (n - 1)) : 0;
  return v > hi ? hi : v < lo ? lo : v;
}
DType float_type(const std::string& t) {
  if (t == "f64") return dt::f64_;
  if (t == "f32") return dt::f32_;
  if (t == "bf16" || t == "bf16x2") return dt::bf16_;
  if (t == "tf32") return dt::tf32_;
  return dt::f16_;
}
Round mode(const std::vector<std::string>& w) {
  return has(w, "rz")   ? Round::rz
         : has(w, "rp") ? Round::ru
         : has(w, "rm") ? Round::rd
                        : Round::rne;
}
Expected exact(uint64_t v, int n) {
  Expected e;
  e.known = true;
  e.value = low(v, n);
  return e;
}
Expected flag(bool p, bool q, uint32_t mask) {
  Expected e;
  e.known = true;
  e.mask = 0;
  e.flags = uint32_t(p) | uint32_t(q) << 1;
  e.flags_mask = mask;
  return e;
}

// The canonical NaNs of PTX.
uint64_t nan_of(DType t) {
  return t.bits == 64 ? 0x7fffffffffffffffull : t.bits == 32 ? 0x7fffffffull : 0x7fffull;
}
uint64_t canonical(DType t, uint64_t v) { return is_nan_code(t, v) ? nan_of(t) : v; }
uint64_t flushed(DType t, uint64_t v) {
  uint64_t sign = 1ull << (t.bits - 1), exponent = ((1ull << t.exp) - 1) << t.man;
  return (v & exponent) == 0 ? v & sign : v;
}
uint64_t saturated(DType t, uint64_t v) {
  double d = decode_float(t, v);
  if (!(d > 0)) return 0;
  return d > 1 ? one_code(t) : v;
}

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

uint32_t byte_of(uint32_t a, uint32_t b, uint32_t i) {
  return i < 4 ? a >> (8 * i) & 255 : b >> (8 * (i - 4)) & 255;
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

static Expected oracle_int(const std::vector<std::string>& w, const Inputs& in) {
  const std::string &op = w[0], &t = w.back();
  int n = bits_of(t);
  uint64_t a = low(in.a, n), b = low(in.b, n), c = low(in.c, n);
  uint32_t rb = uint32_t(in.b), rc = uint32_t(in.c);
  I x = number(t, in.a), y = number(t, in.b), z = number(t, in.c);
  bool carry = ((uint64_t(rb) + rc) >> 32) != 0;
  auto wrap = [&](I v) { return exact(uint64_t(v), n); };
  if (t == "u16x2" || t == "s16x2") {
    std::string h = t.substr(0, 3);
    uint64_t r = 0;
    for (int i = 0; i < 2; ++i) {
      I p = number(h, a >> (16 * i)), q = number(h, b >> (16 * i)),
        v = op == "add"   ? p + q
            : op == "min" ? std::min(p, q)
                          : std::max(p, q);
      if (has(w, "relu") && v < 0) v = 0;
      r |= low(uint64_t(v), 16) << (16 * i);
    }
    return exact(r, 32);
  }
  if (op == "add") return has(w, "sat") ? wrap(clamp_to(t, x + y)) : wrap(x + y);
  if (op == "sub") return has(w, "sat") ? wrap(clamp_to(t, x - y)) : wrap(x - y);
  if (op == "addc") return wrap(x + y + carry);
  if (op == "subc") return wrap(x - y - carry);
  if (op == "mul" || op == "mad" || op == "madc") {
    I p = x * y;
    unsigned __int128 up = (unsigned __int128)(a)*b;
    if (has(w, "wide")) return exact(uint64_t(p) + (op == "mad" ? low(in.c, 2 * n) : 0), 2 * n);
    I part = has(w, "hi") ? (t[0] == 's' ? p >> n : I(up >> n)) : p;
    if (op == "mul") return wrap(part);
    if (has(w, "sat")) return wrap(clamp_to(t, I(int32_t(part)) + z));
    return wrap(I(low(uint64_t(part), n)) + I(c) + (op == "madc" ? carry : 0));
  }
  if (op == "mul24" || op == "mad24") {
    auto part = [&](uint64_t v) {
      return t == "s32" ? I(int32_t(uint32_t(v) << 8) >> 8) : I(v & 0xffffff);
    };
    I p = part(a) * part(b),
      r = has(w, "hi") ? I(int32_t(uint32_t(p >> 16))) : I(int32_t(uint32_t(p)));
    if (op == "mul24") return wrap(r);
    return has(w, "sat") ? wrap(clamp_to(t, r + z)) : wrap(r + z);
  }
  if (op == "sad") return wrap(z + (x < y ? y - x : x - y));
  if (op == "div" || op == "rem") {
    if (y == 0) return {};
    return wrap(op == "div" ? x / y : x % y);
  }
  if (op == "abs") return wrap(x < 0 ? -x : x);
  if (op == "neg") return wrap(-x);
  if (op == "min" || op == "max") {
    I v = op == "min" ? std::min(x, y) : std::max(x, y);
    return wrap(has(w, "relu") && v < 0 ? 0 : v);
  }
  if (op == "and") return exact(a & b, n);
  if (op == "or") return exact(a | b, n);
  if (op == "xor") return exact(a ^ b, n);
  if (op == "not") return exact(~a, n);
  if (op == "cnot") return exact(a == 0, n);
  if (op == "popc" || op == "clz" || op == "brev" || op == "bfind") {
    int count = 0, lead = n, top = -1;
    uint64_t reversed = 0, v = op == "bfind" && x < 0 ? low(~a, n) : a;
    for (int i = 0; i < n; ++i) {
      count += v >> i & 1;
      if (v >> i & 1) lead = n - 1 - i, top = i;
      if (v >> i & 1) reversed |= 1ull << (n - 1 - i);
    }
    if (op == "popc") return exact(uint64_t(count), 32);
    if (op == "clz") return exact(uint64_t(lead), 32);
    if (op == "brev") return exact(reversed, n);
    if (top < 0) return exact(0xffffffff, 32);
    return exact(uint64_t(has(w, "shiftamt") ? n - 1 - top : top), 32);
  }
  if (op == "fns") {
    uint32_t v = uint32_t(in.a), base = rb;
    int k = int(rc), found = -1;
    if (base > 31) return exact(0xffffffff, 32);
    if (k == 0) found = v >> base & 1 ? int(base) : -1;
    else {
      int64_t left = k > 0 ? int64_t(k) : -int64_t(k);
      for (int i = int(base); i >= 0 && i<32; i += k> 0 ? 1 : -1)
        if (v >> i & 1 && --left == 0) {
          found = i;
          break;
        }
    }
    return exact(uint64_t(uint32_t(found)), 32);
  }
  if (op == "bfe") {
    int pos = int(rb & 255), len = int(rc & 255);
    uint64_t r = 0;
    bool sign = len && t[0] == 's' && (a >> std::min(pos + len - 1, n - 1) & 1);
    for (int i = 0; i < n; ++i) {
      bool bit = i < len && pos + i < n ? a >> (pos + i) & 1 : sign;
      r |= uint64_t(bit) << i;
    }
    return exact(r, n);
  }
  if (op == "bfi") {
    int pos = int(rc & 255), len = int(uint32_t(in.c >> 8) & 255);
    uint64_t r = b;
    for (int i = 0; i < len && pos + i < n; ++i) {
      r &= ~(1ull << (pos + i));
      r |= (i < n ? a >> i & 1 : 0) << (pos + i);
    }
    return exact(r, n);
  }
  if (op == "szext") {
    uint32_t len = rb;
    if (has(w, "clamp")) len = std::min(len, 32u);
    else len &= 31;
    if (len == 0) return exact(0, 32);
    uint32_t v = uint32_t(low(a, int(len)));
    if (t == "s32" && len < 32 && (v >> (len - 1))) v |= ~uint32_t(low(~0ull, int(len)));
    return exact(v, 32);
  }
  if (op == "bmsk") {
    uint32_t pos = uint32_t(in.a), len = rb;
    if (!has(w, "clamp")) pos &= 31, len &= 31;
    uint32_t r = 0;
    for (uint64_t i = 0; i < std::min<uint64_t>(len, 64); ++i)
      if (pos + i < 32) r |= 1u << (pos + i);
    return exact(r, 32);
  }
  if (op == "dp4a" || op == "dp2a") {
    std::string ta = w[w.size() - 2], tb = w.back();
    I s = I(rc);
    for (int i = 0; i < (op == "dp4a" ? 4 : 2); ++i) {
      int wa = op == "dp4a" ? 8 : 16;
      I p = number(std::string(1, ta[0]) + std::to_string(wa), in.a >> (wa * i)),
        q = number(std::string(1, tb[0]) + "8",
                   uint32_t(in.b) >> (8 * (i + (op == "dp2a" && has(w, "hi") ? 2 : 0))));
      s += p * q;
    }
    return exact(uint64_t(s), 32);
  }
  if (op == "shl") return exact(rb >= uint32_t(n) ? 0 : a << rb, n);
  if (op == "shr") return wrap(rb >= uint32_t(n) ? (x < 0 ? -1 : 0) : x >> rb);
  if (op == "shf") {
    uint32_t k = has(w, "clamp") ? std::min(rc, 32u) : rc & 31;
    I v = I(rb) << 32 | I(uint32_t(in.a));
    return exact(uint64_t(has(w, "l") ? v << k >> 32 : v >> k), 32);
  }
  if (op == "lop3") {
    uint32_t r = 0;
    for (int i = 0; i < 32; ++i) {
      int index = int(in.a >> i & 1) * 4 + int(in.b >> i & 1) * 2 + int(in.c >> i & 1);
      r |= uint32_t(0x6a >> index & 1) << i;
    }
    Expected e = exact(r, 32);
    if (has(w, "and")) e.flags = r != 0 && in.p, e.flags_mask = 1;
    if (has(w, "or")) e.flags = r != 0 || in.p, e.flags_mask = 1;
    return e;
  }
  if (op == "prmt") {
    uint32_t r = 0, p = uint32_t(in.a), q = rb, k = rc & 3;
    const std::string& m = w.back();
    for (uint32_t i = 0; i < 4; ++i) {
      uint32_t v;
      if (m == "b32") {
        uint32_t s = rc >> (4 * i);
        v = byte_of(p, q, s & 7);
        if (s & 8) v = v & 0x80 ? 255 : 0;
      } else {
        static const int kTable[6][4][4] = {
            {{0, 1, 2, 3}, {1, 2, 3, 4}, {2, 3, 4, 5}, {3, 4, 5, 6}},
            {{0, 7, 6, 5}, {1, 0, 7, 6}, {2, 1, 0, 7}, {3, 2, 1, 0}},
            {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}},
            {{0, 1, 2, 3}, {1, 1, 2, 3}, {2, 2, 2, 3}, {3, 3, 3, 3}},
            {{0, 0, 0, 0}, {0, 1, 1, 1}, {0, 1, 2, 2}, {0, 1, 2, 3}},
            {{0, 1, 0, 1}, {2, 3, 2, 3}, {0, 1, 0, 1}, {2, 3, 2, 3}}};
        int which = m == "f4e"   ? 0
                    : m == "b4e" ? 1
                    : m == "rc8" ? 2
                    : m == "ecl" ? 3
                    : m == "ecr" ? 4
                                 : 5;
        v = byte_of(p, q, uint32_t(kTable[which][k][i]));
      }
      r |= v << (8 * i);
    }
    return exact(r, 32);
  }
  return {};
}

static Expected oracle_convert(const std::vector<std::string>& w, const Inputs& in) {
  std::string to = w[w.size() - 2], from = w.back();
  if (has(w, "pack")) {
    bool three = from == "b32";
    if (three) to = w[w.size() - 3];
    uint64_t hi = uint64_t(clamp_to(to, I(int32_t(in.a)))),
             lo = uint64_t(clamp_to(to, I(int32_t(in.b))));
    int n = bits_of(to);
    return exact((three ? in.c << (2 * n) : 0) | low(hi, n) << n | low(lo, n), 32);
  }
  static const std::pair<const char*, DType> kSmall[] = {{"e4m3x2", dt::e4m3_},
                                                         {"e5m2x2", dt::e5m2_},
                                                         {"e2m3x2", *find_dtype("e2m3")},
                                                         {"e3m2x2", *find_dtype("e3m2")},
                                                         {"e2m1x2", *find_dtype("e2m1")},
                                                         {"f16x2", dt::f16_},
                                                         {"bf16x2", dt::bf16_}};
  auto packed = [&](const std::string& t, DType& d) {
    for (auto& [name, type] : kSmall)
      if (t == name) {
        d = type;
        return true;
      }
    return false;
  };
  bool satfinite = has(w, "satfinite"), relu = has(w, "relu");
  if (to == "ue8m0x2" || from == "ue8m0x2") {
    auto code = [&](double v) -> uint32_t {
      if (std::isnan(v)) return 255;
      v = std::fabs(v);
      if (v == 0) return 0;
      if (std::isinf(v)) return satfinite ? 254 : 255;
      int e = std::ilogb(v);
      if (has(w, "rp") && std::ldexp(1.0, e) != v) ++e;
      int c = e + 127;
      return c < 0 ? 0 : c > 254 ? (satfinite || !has(w, "rp") ? 254 : 255) : uint32_t(c);
    };
    if (from == "ue8m0x2") {
      auto back = [](uint32_t c) {
        return c == 255 ? 0x7fffull : encode_float(dt::bf16_, std::ldexp(1.0, int(c) - 127));
      };
      return exact(back(in.a >> 8 & 255) << 16 | back(in.a & 255), 32);
    }
    double hi = from == "f32" ? decode_float(dt::f32_, uint32_t(in.a))
                              : decode_float(dt::bf16_, in.a >> 16 & 0xffff);
    double lo = from == "f32" ? decode_float(dt::f32_, uint32_t(in.b))
                              : decode_float(dt::bf16_, in.a & 0xffff);
    return exact(code(hi) << 8 | code(lo), 16);
  }
  DType dto, dfrom;
  if (packed(to, dto)) {
    int n = dto.bits <= 4 ? 4 : dto.bits <= 8 ? 8 : 16, total = 2 * n;
    double hi, lo;
    if (from == "f32")
      hi = decode_float(dt::f32_, uint32_t(in.a)), lo = decode_float(dt::f32_, uint32_t(in.b));
    else {
      packed(from, dfrom);
      int m = dfrom.bits <= 4 ? 4 : dfrom.bits <= 8 ? 8 : 16;
      hi = decode_float(dfrom, low(in.a >> m, dfrom.bits)),
      lo = decode_float(dfrom, low(in.a, dfrom.bits));
    }
    auto one = [&](double v) {
      uint64_t c;
      if (std::isnan(v)) c = dto.bits == 16 ? 0x7fff : dto.bits == 8 ? 0x7f : nan_code(dto);
      else c = encode_float(dto, v, mode(w), satfinite ? Overflow::saturate : Overflow::nosat);
      if (satfinite && std::isinf(decode_float(dto, c)))
        c = max_code(dto) | (v < 0 ? 1ull << (dto.bits - 1) : 0);
      if (satfinite && dto.bits == 16 && std::isinf(v))
        c = max_code(dto) | (v < 0 ? 1ull << 15 : 0);
      if (relu && !std::isnan(v) && (c >> (dto.bits - 1) & 1)) c = 0;
      return c;
    };
    return exact(one(hi) << n | one(lo), total);
  }
  bool to_float = to[0] == 'f' || to[0] == 'b' || to == "tf32",
       from_float = from[0] == 'f' || from[0] == 'b';
  int n = bits_of(to);
  if (!to_float && !from_float) {
    I v = number(from, in.a);
    if (has(w, "sat")) v = clamp_to(to, v);
    // A narrow destination sits in a wider register, sign- or zero-extended; the register has its
    // width here.
    if (to == "s8") return exact(uint64_t(int64_t(int8_t(uint8_t(uint64_t(v))))), 16);
    return exact(uint64_t(v), n);
  }
  if (!from_float) {
    I v = number(from, in.a);
    bool neg = v < 0;
    DType d = float_type(to);
    uint64_t code =
        encode_parts(d, neg, uint64_t(neg ? -v : v), 0, false, mode(w), Overflow::nosat);
    if (v == 0) code = 0;
    if (has(w, "sat")) code = saturated(d, code);
    return exact(code, n);
  }
  DType s = float_type(from);
  uint64_t raw = low(in.a, s.bits);
  if (has(w, "ftz") && from == "f32") raw = flushed(s, raw);
  double v = decode_float(s, raw);
  bool nan = std::isnan(v);
  if (!nan && !std::isinf(v)) {
    if (has(w, "rni")) v = std::nearbyint(v);
    if (has(w, "rzi")) v = std::trunc(v);
    if (has(w, "rmi")) v = std::floor(v);
    if (has(w, "rpi")) v = std::ceil(v);
  }
  if (!to_float) {
    if (nan) {
      if (n == 64) return {};
      return exact(0, n);
    }
    long double lo = to[0] == 's' ? -std::ldexp(1.0L, n - 1) : 0,
                hi = to[0] == 's' ? std::ldexp(1.0L, n - 1) - 1 : std::ldexp(1.0L, n) - 1;
    long double x = std::clamp((long double)(v), lo, hi);
    return exact(uint64_t(I(x)), to == "s8" ? 16 : n);
  }
  DType d = float_type(to);
  uint64_t code;
  if (has(w, "sat")) {
    if (nan || !(v > 0)) return exact(0, n);
    if (v > 1) v = 1;
  }
  if (nan) return exact(to == "tf32" ? 0x7fffe000 : nan_of(d), n);
  if (to == "tf32") {
    if (has(w, "rna")) {
      uint32_t b = uint32_t(raw), r = std::isinf(v) ? b : (b + 0x1000) & ~0x1fffu;
      if (satfinite && (r & 0x7fffffff) >= 0x7f800000) r = (r & 0x80000000u) | 0x7f7fe000u;
      return exact(r, 32);
    }
    code = encode_float(dt::f32_, v);
    uint32_t b = uint32_t(code), r = b & ~0x1fffu, rest = b & 0x1fff;
    if (!std::isinf(v) && mode(w) == Round::rne &&
        (rest > 0x1000 || (rest == 0x1000 && (r & 0x2000))))
      r += 0x2000;
    if (satfinite && (r & 0x7fffffff) >= 0x7f800000) r = (r & 0x80000000u) | 0x7f7fe000u;
    if (relu && r >> 31) r = 0;
    return exact(r, 32);
  }
  code = encode_float(d, v, mode(w), Overflow::nosat);
  if (satfinite && std::isinf(decode_float(d, code)))
    code = max_code(d) | (v < 0 ? 1ull << (d.bits - 1) : 0);
  if (relu && (code >> (d.bits - 1) & 1)) code = 0;
  if (has(w, "ftz") && to == "f32") code = flushed(d, code);
  return exact(code, n);
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
