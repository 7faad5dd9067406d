// Bits: counts, fields, logic, shifts and permutations.
#include <algorithm>

#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

template <class T>
using U = std::make_unsigned_t<T>;

template <class T>
struct Popc {
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<uint32_t, T>(w, op, mask, [](T a) { return uint32_t(std::popcount(a)); });
  }
};
template <class T>
struct Clz {
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<uint32_t, T>(w, op, mask, [](T a) { return uint32_t(std::countl_zero(a)); });
  }
};
template <class T>
Flow bfind(Warp& w, const Op& op, uint32_t mask) {
  bool shift = op.k[0];
  return map_row<uint32_t, T>(w, op, mask, [shift](T a) -> uint32_t {
    constexpr int kBits = 8 * sizeof(T);
    U<T> v = std::is_signed_v<T> && a < 0 ? U<T>(~U<T>(a)) : U<T>(a);
    if (v == 0) return ~0u;
    uint32_t top = uint32_t(kBits - 1 - std::countl_zero(v));
    return shift ? uint32_t(kBits - 1) - top : top;
  });
}
Flow fns(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint32_t, uint32_t, int32_t>(
      w, op, mask, [](uint32_t v, uint32_t base, int32_t n) -> uint32_t {
        if (base > 31) return ~0u;
        if (n == 0) return (v >> base) & 1 ? base : ~0u;
        int step = n > 0 ? 1 : -1, left = n > 0 ? n : (n == INT32_MIN ? INT32_MAX : -n);
        for (int i = int(base); i >= 0 && i < 32; i += step)
          if ((v >> i) & 1 && --left == 0) return uint32_t(i);
        return ~0u;
      });
}

// --- bit fields
template <class T>
Flow bfe(Warp& w, const Op& op, uint32_t mask) {
  return map_row<T, T, uint32_t, uint32_t>(w, op, mask, [](T a, uint32_t pos, uint32_t len) -> T {
    constexpr uint32_t kBits = 8 * sizeof(T);
    pos &= 0xff, len &= 0xff;
    if (len == 0) return T(0);
    bool sign = std::is_signed_v<T> && ((U<T>(a) >> std::min(pos + len - 1, kBits - 1)) & 1);
    U<T> field = pos >= kBits ? 0 : U<T>(U<T>(a) >> pos);
    uint32_t have = pos >= kBits ? 0 : std::min(len, kBits - pos);
    U<T> keep = have >= kBits ? ~U<T>(0) : U<T>((U<T>(1) << have) - 1);
    field &= keep;
    if (sign) field |= U<T>(~keep);
    return T(field);
  });
}
template <class T>
Flow bfi(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>*a = row_of<T>(w, op.a[1]), *b = row_of<T>(w, op.a[2]);
  const uint32_t *c = w.row32(op.a[3]), *n = w.row32(op.a[4]);
  alignas(64) Word<T> t[32];
  for (int l = 0; l < 32; ++l) {
    constexpr uint32_t kBits = 8 * sizeof(T);
    uint32_t pos = c[l] & 0xff, len = std::min(n[l] & 0xff, kBits);
    T ones = len >= kBits ? ~T(0) : T((T(1) << len) - 1);
    T keep = pos >= kBits ? T(0) : T(ones << pos), field = pos >= kBits ? T(0) : T(T(a[l]) << pos);
    t[l] = (b[l] & ~keep) | (field & keep);
  }
  store_row(row_of<T>(w, op.a[0]), t, mask);
  return Flow::next;
}

// --- logic
template <int lut>
Flow logic_lut(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint32_t, uint32_t, uint32_t>(
      w, op, mask, [](uint32_t a, uint32_t b, uint32_t c) {
        uint32_t r = 0;
        for (int i = 0; i < 8; ++i)
          if (lut >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
        return r;
      });
}
Flow logic_any(Warp& w, const Op& op, uint32_t mask) {
  uint32_t lut = uint32_t(op.imm), m[8];
  for (int i = 0; i < 8; ++i) m[i] = lut >> i & 1 ? ~0u : 0;
  Flow f = map_row<uint32_t, uint32_t, uint32_t, uint32_t>(
      w, op, mask, [&](uint32_t a, uint32_t b, uint32_t c) {
        uint32_t hi = (b & ((c & m[7]) | (~c & m[6]))) | (~b & ((c & m[5]) | (~c & m[4])));
        uint32_t lo = (b & ((c & m[3]) | (~c & m[2]))) | (~b & ((c & m[1]) | (~c & m[0])));
        return (a & hi) | (~a & lo);
      });
  if (op.k[0]) {  // the predicate d != 0 combined with q
    const uint32_t* d = w.row32(op.a[0]);
    uint32_t bits = 0;
    for (int l = 0; l < 32; ++l) bits |= uint32_t(d[l] != 0) << l;
    uint32_t q = w.preds[op.a[5]] ^ (op.k[1] ? ~0u : 0);
    bits = op.k[0] == 1 ? bits & q : bits | q;
    w.preds[op.a[4]] = (w.preds[op.a[4]] & ~mask) | (bits & mask);
  }
  return f;
}

// k[0] the operator; k[1], k[2] operand negated
Flow predicate_logic(Warp& w, const Op& op, uint32_t mask) {
  uint32_t a = w.preds[op.a[1]] ^ (op.k[1] ? ~0u : 0), r;
  if (op.k[0] == 3) {
    r = ~a;
  } else {
    uint32_t b = w.preds[op.a[2]] ^ (op.k[2] ? ~0u : 0);
    r = op.k[0] == 0 ? a & b : op.k[0] == 1 ? a | b : a ^ b;
  }
  uint32_t& d = w.preds[op.a[0]];
  d = (d & ~mask) | (r & mask);
  return Flow::next;
}

struct Shl {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T, uint32_t>(w, op, mask, [](T a, uint32_t n) -> T {
      return n >= 8 * sizeof(T) ? T(0) : T(U<T>(a) << n);
    });
  }
};
struct Shr {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T, uint32_t>(w, op, mask, [](T a, uint32_t n) -> T {
      if (n >= 8 * sizeof(T)) return std::is_signed_v<T> && a < 0 ? T(-1) : T(0);
      return T(a >> n);
    });
  }
};
template <bool left, bool clamp>
Flow funnel(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint32_t, uint32_t, uint32_t>(
      w, op, mask, [](uint32_t lo, uint32_t hi, uint32_t n) {
        n = clamp ? std::min(n, 32u) : n & 31;
        uint64_t v = uint64_t(hi) << 32 | lo;
        return left ? uint32_t((v << n) >> 32) : uint32_t(v >> n);
      });
}

uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t r = 0;
  for (int i = 0; i < 4; ++i) {
    uint32_t s = selector >> (4 * i);
    uint32_t v = uint32_t(bytes >> (8 * (s & 7))) & 0xff;
    if (s & 8) v = v & 0x80 ? 0xff : 0;
    r |= v << (8 * i);
  }
  return r;
}
Flow prmt(Warp& w, const Op& op, uint32_t mask) {
  int mode = op.k[0];
  return map_row<uint32_t, uint32_t, uint32_t, uint32_t>(
      w, op, mask, [mode](uint32_t a, uint32_t b, uint32_t c) {
        if (mode == 0) return permute_bytes(a, b, c);
        uint32_t n = c & 3, sel = 0;
        for (uint32_t i = 0; i < 4; ++i) {
          uint32_t s = 0;
          switch (mode) {
            case 1:
              s = n + i;
              break;  // f4e
            case 2:
              s = (n - i) & 7;
              break;  // b4e
            case 3:
              s = n;
              break;  // rc8
            case 4:
              s = std::max(i, n);
              break;  // ecl
            case 5:
              s = std::min(i, n);
              break;  // ecr
            default:
              s = (n & 1) * 2 + (i & 1);
              break;  // rc16
          }
          sel |= s << (4 * i);
        }
        return permute_bytes(a, b, sel);
      });
}

}  // namespace

bool build_int_count(Builder& b) {
  if (!b.expect_operands(2)) return false;
  std::string_view t = b.last_mod(), o = b.opcode();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, 32);
  b.op.a[1] = b.source(1, bits);
  b.op.k[0] = b.has("shiftamt");
  bool wide = bits == 64;
  if (o == "popc") b.op.exec = wide ? Popc<uint64_t>::run : Popc<uint32_t>::run;
  else if (o == "clz") b.op.exec = wide ? Clz<uint64_t>::run : Clz<uint32_t>::run;
  else
    b.op.exec = t == "u32"   ? bfind<uint32_t>
                : t == "s32" ? bfind<int32_t>
                : t == "u64" ? bfind<uint64_t>
                             : bfind<int64_t>;
  return true;
}

bool build_int_fns(Builder& b) {
  if (!b.expect_operands(4)) return false;
  b.op.a[0] = b.destination(0, 32);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, 32);
  b.op.exec = fns;
  return true;
}

bool build_bit_field(Builder& b) {
  if (!b.expect_operands(4)) return false;
  std::string_view t = b.last_mod();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, 32);
  b.op.a[3] = b.source(3, 32);
  b.op.exec = t == "u32"   ? bfe<uint32_t>
              : t == "s32" ? bfe<int32_t>
              : t == "u64" ? bfe<uint64_t>
                           : bfe<int64_t>;
  return true;
}

bool build_bit_insert(Builder& b) {
  if (!b.expect_operands(5)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, bits);
  b.op.a[3] = b.source(3, 32);
  b.op.a[4] = b.source(4, 32);
  b.op.exec = bits == 64 ? bfi<uint64_t> : bfi<uint32_t>;
  return true;
}

bool build_pred_logic(Builder& b) {
  bool unary = b.opcode() == "not";
  if (!b.expect_operands(unary ? 2 : 3)) return false;
  b.op.a[0] = b.predicate_destination(b.in.operands[0]);
  bool n = false;
  b.op.a[1] = b.predicate_source(b.in.operands[1], &n);
  b.op.k[1] = n;
  n = false;
  if (!unary) b.op.a[2] = b.predicate_source(b.in.operands[2], &n);
  b.op.k[2] = n;
  b.op.k[0] = unary ? 3 : b.opcode() == "and" ? 0 : b.opcode() == "or" ? 1 : 2;
  b.op.exec = predicate_logic;
  return true;
}

bool build_logic3(Builder& b) {
  bool with_pred = b.has("and") || b.has("or");
  if (!b.expect_operands(with_pred ? 6 : 5)) return false;
  const Operand& d = b.in.operands[0];
  b.op.a[0] = b.destination(0, 32);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, 32);
  if (!b.immediate(4, b.op.imm)) return false;
  if (b.op.imm < 0 || b.op.imm > 255) return b.fail("the look-up table is a constant 0..255");
  b.op.exec = logic_any;
  if (with_pred) {
    b.op.k[0] = b.has("and") ? 1 : 2;
    Operand p;
    p.kind = d.pair >= 0 ? OpKind::reg : OpKind::sink;
    p.index = d.pair;
    b.op.a[4] = b.predicate_destination(p);
    bool n = false;
    b.op.a[5] = b.predicate_source(b.in.operands[5], &n);
    b.op.k[1] = n;
    return true;
  }
  switch (b.op.imm) {
    case 0xc0:
      b.op.exec = logic_lut<0xc0>;
      break;
    case 0xfc:
      b.op.exec = logic_lut<0xfc>;
      break;
    case 0x3c:
      b.op.exec = logic_lut<0x3c>;
      break;
    case 0xea:
      b.op.exec = logic_lut<0xea>;
      break;
    case 0x96:
      b.op.exec = logic_lut<0x96>;
      break;
    case 0x80:
      b.op.exec = logic_lut<0x80>;
      break;
    case 0xfe:
      b.op.exec = logic_lut<0xfe>;
      break;
    default:
      break;
  }
  return true;
}

bool build_funnel(Builder& b) {
  if (!b.expect_operands(4)) return false;
  b.op.a[0] = b.destination(0, 32);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, 32);
  b.op.exec = b.has("l") ? (b.has("clamp") ? funnel<true, true> : funnel<true, false>)
                         : (b.has("clamp") ? funnel<false, true> : funnel<false, false>);
  return true;
}

bool build_int_shift(Builder& b) {
  if (!b.expect_operands(3)) return false;
  std::string_view t = b.last_mod();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, 32);
  b.op.exec = b.opcode() == "shl" ? pick6<Shl>(t) : pick6<Shr>(t);
  return b.op.exec != nullptr;
}

bool build_permute(Builder& b) {
  if (!b.expect_operands(4)) return false;
  b.op.a[0] = b.destination(0, 32);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, 32);
  b.op.k[0] = uint8_t(1 + b.which({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}));
  b.op.exec = prmt;
  return true;
}

}  // namespace tess::ptxsim
