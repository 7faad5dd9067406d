// setp, set, selp, slct.
#include <cmath>

#include "jit/ptxsim/half.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

enum Cmp : uint8_t { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

template <class T>
inline bool holds(int c, T a, T b) {
  switch (c) {
    case eq:
      return a == b;
    case ne:
      return std::is_floating_point_v<T> ? (a < b || a > b) : a != b;
    case lt:
      return a < b;
    case le:
      return a <= b;
    case gt:
      return a > b;
    case ge:
      return a >= b;
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    bool unordered = a != a || b != b;
    switch (c) {
      case equ:
        return unordered || a == b;
      case neu:
        return unordered || a != b;
      case ltu:
        return unordered || a < b;
      case leu:
        return unordered || a <= b;
      case gtu:
        return unordered || a > b;
      case geu:
        return unordered || a >= b;
      case num:
        return !unordered;
      default:
        return unordered;
    }
  }
  return false;
}

// k[0] compare, k[1] bool op (0 none, 1 and, 2 or, 3 xor), k[2] c negated, k[3] ftz,
// k[4] p|q given, k[5] half kind (1 f16, 2 bf16), k[6] packed
template <class T>
uint32_t compare_lanes(Warp& w, const Op& op, uint32_t mask, Row ra, Row rb) {
  const Word<T>*a = row_of<T>(w, ra), *b = row_of<T>(w, rb);
  uint32_t bits = 0;
  if constexpr (std::is_integral_v<T>) {
    alignas(64) uint32_t t[32];
    auto run = [&](auto f) {
      for (int l = 0; l < 32; ++l) t[l] = f(lane_get<T>(a[l]), lane_get<T>(b[l]));
    };
    switch (op.k[0]) {
      case eq:
        run([](T x, T y) { return x == y; });
        break;
      case ne:
        run([](T x, T y) { return x != y; });
        break;
      case lt:
        run([](T x, T y) { return x < y; });
        break;
      case le:
        run([](T x, T y) { return x <= y; });
        break;
      case gt:
        run([](T x, T y) { return x > y; });
        break;
      default:
        run([](T x, T y) { return x >= y; });
        break;
    }
    for (int l = 0; l < 32; ++l) bits |= t[l] << l;
  } else {
    for (int l = 0; l < 32; ++l) {
      T x = lane_get<T>(a[l]), y = lane_get<T>(b[l]);
      if (op.k[3]) x = flush(x), y = flush(y);
      bits |= uint32_t(holds<T>(op.k[0], x, y)) << l;
    }
  }
  return bits;
}

uint32_t compare_halves(Warp& w, const Op& op, int shift) {
  const uint32_t *a = w.row32(op.a[2]), *b = w.row32(op.a[3]);
  uint32_t bits = 0;
  for (int l = 0; l < 32; ++l) {
    auto value = [&](uint32_t h) {
      h = (h >> shift) & 0xffff;
      if (op.k[3] && (h & 0x7c00) == 0) h &= 0x8000;
      return half_value(op.k[5] == 2, h);
    };
    bits |= uint32_t(holds<double>(op.k[0], value(a[l]), value(b[l]))) << l;
  }
  return bits;
}

uint32_t combine(const Warp& w, const Op& op, uint32_t bits, int32_t c) {
  if (!op.k[1]) return bits;
  uint32_t q = w.preds[c] ^ (op.k[2] ? ~0u : 0);
  return op.k[1] == 1 ? bits & q : op.k[1] == 2 ? bits | q : bits ^ q;
}

inline void put_pred(Warp& w, int32_t p, uint32_t bits, uint32_t mask) {
  w.preds[p] = (w.preds[p] & ~mask) | (bits & mask);
}

template <class T>
Flow setp(Warp& w, const Op& op, uint32_t mask) {
  uint32_t bits = compare_lanes<T>(w, op, mask, op.a[2], op.a[3]);
  put_pred(w, op.a[0], combine(w, op, bits, op.a[4]), mask);
  if (op.k[4]) put_pred(w, op.a[1], combine(w, op, ~bits, op.a[4]), mask);
  return Flow::next;
}
Flow setp_half(Warp& w, const Op& op, uint32_t mask) {
  uint32_t bits = compare_halves(w, op, 0), c = op.k[1] ? w.preds[op.a[4]] : 0;
  (void)c;
  uint32_t first = combine(w, op, bits, op.a[4]);
  uint32_t second =
      op.k[6] ? combine(w, op, compare_halves(w, op, 16), op.a[4]) : combine(w, op, ~bits, op.a[4]);
  put_pred(w, op.a[0], first, mask);
  if (op.k[4]) put_pred(w, op.a[1], second, mask);
  return Flow::next;
}

// set: k[7] 1 if the result is 1.0f, else all ones
template <class T>
Flow set_value(Warp& w, const Op& op, uint32_t mask) {
  uint32_t bits = combine(w, op, compare_lanes<T>(w, op, mask, op.a[2], op.a[3]), op.a[4]);
  uint32_t* d = w.row32(op.a[0]);
  uint32_t yes = op.k[7] ? 0x3f800000u : ~0u;
  each_lane(mask, [&](int l) { d[l] = (bits >> l) & 1 ? yes : 0; });
  return Flow::next;
}
// k[8] width of one result in bits; k[7] the half's 1.0 or all ones
Flow set_half(Warp& w, const Op& op, uint32_t mask) {
  uint32_t low = combine(w, op, compare_halves(w, op, 0), op.a[4]), high = 0;
  uint32_t one = op.k[7] ? (op.k[5] == 2 ? 0x3f80u : 0x3c00u) : 0xffffu;
  if (op.k[6]) high = combine(w, op, compare_halves(w, op, 16), op.a[4]);
  uint32_t* d = w.row32(op.a[0]);
  each_lane(mask, [&](int l) {
    if (op.k[8] == 32) d[l] = (low >> l) & 1 ? ~0u : 0;
    else d[l] = ((low >> l) & 1 ? one : 0) | ((high >> l) & 1 ? one << 16 : 0);
  });
  return Flow::next;
}

template <class W>
Flow selp(Warp& w, const Op& op, uint32_t mask) {
  const W *a = reinterpret_cast<W*>(w.row32(op.a[1])), *b = reinterpret_cast<W*>(w.row32(op.a[2]));
  uint32_t p = w.preds[op.a[3]] ^ (op.k[2] ? ~0u : 0);
  alignas(64) W t[32];
  for (int l = 0; l < 32; ++l) t[l] = (p >> l) & 1 ? a[l] : b[l];
  store_row(reinterpret_cast<W*>(w.row32(op.a[0])), t, mask);
  if (w.check_init) {  // poison follows the chosen side
    auto state = [&](Row r) { return r >= 0 ? w.init[r >> 5] : ~0u; };
    uint32_t ok = (p & state(op.a[1])) | (~p & state(op.a[2]));
    uint32_t& d = w.init[op.a[0] >> 5];
    d = (d & ~mask) | (ok & mask);
  }
  return Flow::next;
}
template <class W, bool real>
Flow slct(Warp& w, const Op& op, uint32_t mask) {
  const W *a = reinterpret_cast<W*>(w.row32(op.a[1])), *b = reinterpret_cast<W*>(w.row32(op.a[2]));
  W* d = reinterpret_cast<W*>(w.row32(op.a[0]));
  const uint32_t* c = w.row32(op.a[3]);
  each_lane(mask, [&](int l) {
    bool first;
    if (real) {
      float f = std::bit_cast<float>(c[l]);
      if (op.k[3]) f = flush(f);
      first = f >= 0;
    } else {
      first = int32_t(c[l]) >= 0;
    }
    d[l] = first ? a[l] : b[l];
  });
  return Flow::next;
}

int compare_code(std::string_view m, std::string_view type) {
  constexpr std::string_view kNames[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                         "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
  for (int i = 0; i < 14; ++i)
    if (kNames[i] == m) return i;
  return m == "lo" ? lt : m == "ls" ? le : m == "hi" ? gt : ge;
}

bool build_modes(Builder& b, std::string_view type) {
  b.op.k[0] = uint8_t(compare_code(b.mod(0), type));
  std::string_view second = b.mod(1);
  b.op.k[1] = second == "and" ? 1 : second == "or" ? 2 : second == "xor" ? 3 : 0;
  b.op.k[3] = b.has("ftz");
  b.op.k[5] = type.substr(0, 2) == "bf" ? 2 : type.substr(0, 3) == "f16" ? 1 : 0;
  b.op.k[6] = type.size() > 2 && type.substr(type.size() - 2) == "x2";
  // lo, ls, hi, hs compare as unsigned whatever the type.
  return true;
}

std::string_view compare_type(Builder& b, std::string_view type) {
  std::string_view m = b.mod(0);
  bool is_unsigned = m == "lo" || m == "ls" || m == "hi" || m == "hs";
  if (is_unsigned && type.size() == 3 && type[0] == 's')
    return type == "s16" ? "u16" : type == "s32" ? "u32" : "u64";
  return type;
}

bool third(Builder& b, size_t i) {
  b.op.a[4] = 1;
  if (!b.op.k[1]) return b.expect_operands(i);
  if (!b.expect_operands(i + 1)) return false;
  bool n = false;
  b.op.a[4] = b.predicate_source(b.in.operands[i], &n);
  b.op.k[2] = n;
  return true;
}

#define PICK(fn, t)                              \
  ((t) == "u16" || (t) == "b16"   ? fn<uint16_t> \
   : (t) == "s16"                 ? fn<int16_t>  \
   : (t) == "u32" || (t) == "b32" ? fn<uint32_t> \
   : (t) == "s32"                 ? fn<int32_t>  \
   : (t) == "u64" || (t) == "b64" ? fn<uint64_t> \
   : (t) == "s64"                 ? fn<int64_t>  \
   : (t) == "f32"                 ? fn<float>    \
                                  : fn<double>)

}  // namespace

bool build_compare_set(Builder& b) {
  std::string_view t = b.last_mod();
  build_modes(b, t);
  if (!third(b, 3)) return false;
  int bits = Builder::bits_of(t);
  const Operand& d = b.in.operands[0];
  b.op.a[0] = b.predicate_destination(d);
  if (d.pair != -1) {
    Operand q;
    q.kind = d.pair >= 0 ? OpKind::reg : OpKind::sink;
    q.index = d.pair;
    b.op.a[1] = b.predicate_destination(q);
    b.op.k[4] = 1;
  } else if (b.op.k[6]) {
    return b.fail("a packed comparison has two predicate results p|q");
  }
  bool real = t[0] == 'f' || (t[0] == 'b' && t[1] == 'f');
  b.op.a[2] = b.source(1, bits, real && bits >= 32 && !b.op.k[6]);
  b.op.a[3] = b.source(2, bits, real && bits >= 32 && !b.op.k[6]);
  t = compare_type(b, t);
  b.op.exec = b.op.k[5] ? setp_half : PICK(setp, t);
  return true;
}

bool build_compare_value(Builder& b) {
  std::string_view t = b.last_mod(), dt = b.last_mod(1);
  build_modes(b, t);
  if (!third(b, 3)) return false;
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, 32);
  b.op.a[2] = b.source(1, bits, t[0] == 'f');
  b.op.a[3] = b.source(2, bits, t[0] == 'f');
  b.op.k[7] = dt == "f32";
  t = compare_type(b, t);
  b.op.exec = PICK(set_value, t);
  return true;
}

bool build_compare_half(Builder& b) {
  std::string_view t = b.last_mod(), dt = b.last_mod(1);
  build_modes(b, t);
  if (!third(b, 3)) return false;
  int bits = Builder::bits_of(t);
  int dbits = Builder::bits_of(dt);
  b.op.a[0] = b.destination(0, dbits);
  b.op.a[2] = b.source(1, bits);
  b.op.a[3] = b.source(2, bits);
  b.op.k[7] = dt[0] == 'f' || dt[0] == 'b';
  b.op.k[8] = uint8_t(dbits == 32 && !b.op.k[6] ? 32 : 16);
  b.op.exec = set_half;
  return true;
}

bool build_select_pred(Builder& b) {
  if (!b.expect_operands(4)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits, b.last_mod()[0] == 'f');
  b.op.a[2] = b.source(2, bits, b.last_mod()[0] == 'f');
  b.used.clear();
  bool n = false;
  b.op.a[3] = b.predicate_source(b.in.operands[3], &n);
  b.op.k[2] = n;
  b.op.exec = bits == 64 ? selp<uint64_t> : selp<uint32_t>;
  return true;
}

bool build_select_sign(Builder& b) {
  if (!b.expect_operands(4)) return false;
  int bits = Builder::bits_of(b.last_mod(1));
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits, b.last_mod(1)[0] == 'f');
  b.op.a[2] = b.source(2, bits, b.last_mod(1)[0] == 'f');
  bool real = b.last_mod() == "f32";
  b.op.a[3] = b.source(3, 32, real);
  b.op.k[3] = b.has("ftz");
  b.op.exec = bits == 64 ? (real ? slct<uint64_t, true> : slct<uint64_t, false>)
                         : (real ? slct<uint32_t, true> : slct<uint32_t, false>);
  return true;
}

}  // namespace tess::ptxsim
