// What integer forms compute, from wide integers.
#include "tests/ptxsim/oracle_parts.h"

namespace tess::ptxsim::oracle_parts {

static uint32_t byte_of(uint32_t a, uint32_t b, uint32_t i) {
  return i < 4 ? a >> (8 * i) & 255 : b >> (8 * (i - 4)) & 255;
}

Expected oracle_int(const std::vector<std::string>& w, const Inputs& in) {
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
    I p = I((unsigned __int128)(x) * (unsigned __int128)(y));
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

}  // namespace tess::ptxsim::oracle_parts
