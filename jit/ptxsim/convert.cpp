// mov, cvt, cvta, isspacep, mapa.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "isa/diag/sim.h"
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/half.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

// --- moves
Flow move32(Warp& w, const Op& op, uint32_t mask) {
  store_row(w.row32(op.a[0]), w.row32(op.a[1]), mask);
  return Flow::next;
}
Flow move64(Warp& w, const Op& op, uint32_t mask) {
  store_row(w.row64(op.a[0]), w.row64(op.a[1]), mask);
  return Flow::next;
}
Flow move128(Warp& w, const Op& op, uint32_t mask) {
  store_row(w.row64(op.a[0]), w.row64(op.a[1]), mask);
  store_row(w.row64(op.a[0] + 64), w.row64(op.a[1] + 64), mask);
  return Flow::next;
}
Flow move_pred(Warp& w, const Op& op, uint32_t mask) {
  uint32_t s = w.preds[op.a[1]] ^ (op.k[0] ? ~0u : 0);
  w.preds[op.a[0]] = (w.preds[op.a[0]] & ~mask) | (s & mask);
  return Flow::next;
}
Flow frame_address(Warp& w, const Op& op, uint32_t mask) {
  each_lane(mask, [&](int l) {
    uint64_t v = uint64_t(op.imm) + w.lane[l].frame;
    if (op.k[0]) w.row64(op.a[0])[l] = v;
    else w.row32(op.a[0])[l] = uint32_t(v);
  });
  return Flow::next;
}
Flow clock_value(Warp& w, const Op& op, uint32_t mask) {
  uint64_t now = w.cluster->steps * 4;
  Special s = Special(op.k[0]);
  if (s == Special::globaltimer || s == Special::globaltimer_lo || s == Special::globaltimer_hi)
    now = 1'000'000'000ull + w.cluster->steps * 2;
  if (s == Special::clock_hi || s == Special::globaltimer_hi) now >>= 32;
  each_lane(mask, [&](int l) {
    if (op.k[1]) w.row64(op.a[0])[l] = now;
    else w.row32(op.a[0])[l] = uint32_t(now);
  });
  return Flow::next;
}
// k[0] bits of one part, k[1] parts
Flow pack(Warp& w, const Op& op, uint32_t mask) {
  const Row* rows = w.args(op);
  int bits = op.k[0], n = op.k[1];
  each_lane(mask, [&](int l) {
    unsigned __int128 v = 0;
    for (int i = 0; i < n; ++i)
      v |= (unsigned __int128)(bits == 64
                                   ? w.row64(rows[i])[l]
                                   : w.row32(rows[i])[l] & (bits == 32 ? ~0u : (1u << bits) - 1))
           << (bits * i);
    int total = bits * n;
    if (total == 32) w.row32(op.a[0])[l] = uint32_t(v);
    else w.row64(op.a[0])[l] = uint64_t(v);
    if (total == 128) w.row64(op.a[0] + 64)[l] = uint64_t(v >> 64);
  });
  return Flow::next;
}
Flow unpack(Warp& w, const Op& op, uint32_t mask) {
  const Row* rows = w.args(op);
  int bits = op.k[0], n = op.k[1], total = bits * n;
  each_lane(mask, [&](int l) {
    unsigned __int128 v = total == 32 ? w.row32(op.a[0])[l] : w.row64(op.a[0])[l];
    if (total == 128) v |= (unsigned __int128)(w.row64(op.a[0] + 64)[l]) << 64;
    for (int i = 0; i < n; ++i) {
      uint64_t part = uint64_t(v >> (bits * i));
      if (bits == 64) w.row64(rows[i])[l] = part;
      else w.row32(rows[i])[l] = uint32_t(part) & (bits == 32 ? ~0u : (1u << bits) - 1);
    }
  });
  return Flow::next;
}

// --- conversions
enum Ty : uint8_t { u8, u16, u32, u64, s8, s16, s32, s64, f16, bf16, f32, f64, tf32 };
int type_code(std::string_view t) {
  constexpr std::string_view kNames[] = {"u8",  "u16", "u32",  "u64", "s8",  "s16", "s32",
                                         "s64", "f16", "bf16", "f32", "f64", "tf32"};
  for (int i = 0; i < 13; ++i)
    if (kNames[i] == t) return i;
  return -1;
}
bool is_float(int t) { return t >= f16; }
bool is_signed(int t) { return t >= s8 && t <= s64; }
int width(int t) {
  constexpr int kBits[] = {8, 16, 32, 64, 8, 16, 32, 64, 16, 16, 32, 64, 32};
  return kBits[t];
}
const Format& format_of(int t) {
  return t == f16 ? kF16 : t == bf16 ? kBF16 : t == f64 ? kF64 : t == tf32 ? kTF32 : kF32;
}

// k[0] to, k[1] from, k[2] rounding (Rnd), k[3] integer rounding, k[4] ftz, k[5] sat, k[6] relu,
// k[7] satfinite, k[8] bit 0: wide destination row, bit 1: wide source row
uint64_t convert_one(const Op& op, uint64_t bits) {
  int to = op.k[0], from = op.k[1];
  Rnd r = Rnd(op.k[2]);
  if (!is_float(from)) {
    int n = width(from);
    uint64_t u = n == 64 ? bits : bits & ((1ull << n) - 1);
    int64_t s = is_signed(from) ? int64_t(u << (64 - n)) >> (64 - n) : int64_t(u);
    bool neg = is_signed(from) && s < 0;
    if (is_float(to)) {
      uint64_t code =
          round_parts(format_of(to), neg, neg ? 0 - uint64_t(s) : uint64_t(s), 0, false, r, false);
      if (op.k[5]) {
        double v = decode_code(format_of(to), code);
        code = round_double(format_of(to), v <= 0 ? 0 : v > 1 ? 1 : v, Rnd::rn, false);
      }
      return code;
    }
    int m = width(to);
    uint64_t v = uint64_t(s);
    if (op.k[5]) {
      if (is_signed(to)) {
        int64_t hi = m == 64 ? INT64_MAX : (1ll << (m - 1)) - 1, lo = -hi - 1;
        if (!is_signed(from) && u > uint64_t(hi)) v = uint64_t(hi);
        else if (is_signed(from)) v = uint64_t(s > hi ? hi : s < lo ? lo : s);
      } else {
        uint64_t hi = m == 64 ? UINT64_MAX : (1ull << m) - 1;
        v = neg ? 0 : uint64_t(s) > hi ? hi : uint64_t(s);
      }
    }
    if (m < 64) {
      v &= (1ull << m) - 1;
      if (is_signed(to)) v = uint64_t(int64_t(v << (64 - m)) >> (64 - m));
    }
    return v;
  }
  double v;
  switch (from) {
    case f16:
      v = half_to_float(uint32_t(bits));
      break;
    case bf16:
      v = bf16_to_float(uint32_t(bits));
      break;
    case f64:
      v = std::bit_cast<double>(bits);
      break;
    default: {
      float f = std::bit_cast<float>(uint32_t(bits));
      v = op.k[4] ? flush(f) : f;
    }
  }
  if (op.k[3]) {  // to an integral value
    switch (op.k[3]) {
      case 1:
        v = std::nearbyint(v);
        break;
      case 2:
        v = std::trunc(v);
        break;
      case 3:
        v = std::floor(v);
        break;
      default:
        v = std::ceil(v);
    }
  }
  if (!is_float(to)) {
    int m = width(to);
    if (v != v)
      return is_signed(to) && m == 64 ? 0x8000000000000000ull : m == 64 ? 0x8000000000000000ull : 0;
    if (is_signed(to)) {
      double hi = std::ldexp(1.0, m - 1);
      int64_t i = v >= hi   ? (m == 64 ? INT64_MAX : (1ll << (m - 1)) - 1)
                  : v < -hi ? (m == 64 ? INT64_MIN : -(1ll << (m - 1)))
                            : int64_t(v);
      return uint64_t(i);
    }
    double hi = std::ldexp(1.0, m);
    return v >= hi ? (m == 64 ? UINT64_MAX : (1ull << m) - 1) : v < 0 ? 0 : uint64_t(v);
  }
  if (op.k[5]) v = v != v || v <= 0 ? 0 : v > 1 ? 1 : v;
  const Format& f = format_of(to);
  uint64_t code = round_double(f, v, r, op.k[7]);
  if (op.k[7] && v != v) code = f.nan_code;
  bool nan = (code & ~(1ull << (f.bits() - 1))) > (f.inf_code ? f.inf_code : f.max_code);
  if (op.k[6] && !nan && (code >> (f.bits() - 1))) code = 0;
  if (op.k[4] && to == f32)
    code = std::bit_cast<uint32_t>(flush(std::bit_cast<float>(uint32_t(code))));
  return to == tf32 ? code << 13 : code;
}

Flow convert_any(Warp& w, const Op& op, uint32_t mask) {
  int n = width(op.k[0]);
  each_lane(mask, [&](int l) {
    uint64_t s = op.k[8] & 2 ? w.row64(op.a[1])[l] : w.row32(op.a[1])[l];
    uint64_t v = convert_one(op, s);
    if (op.k[8] & 1) w.row64(op.a[0])[l] = v;
    else if (op.k[9] == 16 || (n == 16 && op.k[9] != 32))
      w.row32(op.a[0])[l] = uint32_t(v) & 0xffff;
    else w.row32(op.a[0])[l] = uint32_t(v);
  });
  return Flow::next;
}
Flow s32_to_s64(Warp& w, const Op& op, uint32_t mask) {
  return map_row<int64_t, int32_t>(w, op, mask, [](int32_t a) { return int64_t(a); });
}
Flow u32_to_u64(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint64_t, uint32_t>(w, op, mask, [](uint32_t a) { return uint64_t(a); });
}
Flow u64_to_u32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint64_t>(w, op, mask, [](uint64_t a) { return uint32_t(a); });
}
Flow f16_to_f32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, uint32_t>(w, op, mask,
                                  [](uint32_t a) { return canonical(half_to_float(a)); });
}
Flow bf16_to_f32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, uint32_t>(w, op, mask,
                                  [](uint32_t a) { return canonical(bf16_to_float(a)); });
}
Flow f32_to_f16(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, float>(w, op, mask, [](float a) { return float_to_half(a); });
}
Flow f32_to_bf16(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, float>(w, op, mask, [](float a) { return float_to_bf16(a); });
}
Flow s32_to_f32(Warp& w, const Op& op, uint32_t mask) {
  return map_row<float, int32_t>(w, op, mask, [](int32_t a) { return float(a); });
}
Flow f32_pair_to_f16x2(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, float, float>(
      w, op, mask, [](float hi, float lo) { return float_to_half(hi) << 16 | float_to_half(lo); });
}
Flow f32_pair_to_bf16x2(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, float, float>(
      w, op, mask, [](float hi, float lo) { return float_to_bf16(hi) << 16 | float_to_bf16(lo); });
}

const Format* small_format(std::string_view t) {
  if (t == "e4m3x2") return &kE4M3;
  if (t == "e5m2x2") return &kE5M2;
  if (t == "e2m3x2") return &kE2M3;
  if (t == "e3m2x2") return &kE3M2;
  if (t == "e2m1x2") return &kE2M1;
  return nullptr;
}
constexpr const Format* kPairFormats[] = {&kF16, &kBF16, &kE4M3, &kE5M2, &kE2M3, &kE3M2, &kE2M1};
int pair_code(const Format* f) {
  for (int i = 0; i < 7; ++i)
    if (kPairFormats[i] == f) return i;
  return 0;
}

// e8m0: 2^(code-127), 255 is NaN; rounding to zero or up.
uint32_t to_e8m0(double v, bool up, bool satfinite) {
  if (v != v) return 255;
  v = std::fabs(v);
  if (std::isinf(v)) return satfinite ? 254 : 255;
  if (v == 0) return 0;
  int e;
  double m = std::frexp(v, &e);  // v = m 2^e, m in [0.5, 1)
  int code = e - 1 + 127 + (up && m != 0.5 ? 1 : 0);
  return code < 0 ? 0 : code > 254 ? (satfinite || !up ? 254 : 255) : uint32_t(code);
}

// k[0] destination format, k[1] source: 0 two f32, 1 packed format k[3], 2 two f32 to e8m0,
// 3 packed bf16 to e8m0, 4 e8m0 to bf16x2; k[2] Rnd, k[6] relu, k[7] satfinite
Flow convert_pair(Warp& w, const Op& op, uint32_t mask) {
  uint32_t* d = w.row32(op.a[0]);
  const uint32_t *a = w.row32(op.a[1]), *b = op.a[2] == kNoRow ? nullptr : w.row32(op.a[2]);
  each_lane(mask, [&](int l) {
    double hi, lo;
    if (b) {
      hi = std::bit_cast<float>(a[l]), lo = std::bit_cast<float>(b[l]);
    } else if (op.k[1] == 4) {
      auto code = [](uint32_t c) { return c == 255 ? 0x7fffu : c == 0 ? 0x0040u : c << 7; };
      d[l] = code(a[l] >> 8 & 255) << 16 | code(a[l] & 255);
      return;
    } else {
      const Format& f = *kPairFormats[op.k[3]];
      int n = f.bits() <= 4 ? 4 : f.bits() <= 8 ? 8 : 16;
      hi = decode_code(f, a[l] >> n & ((1u << f.bits()) - 1)),
      lo = decode_code(f, a[l] & ((1u << f.bits()) - 1));
    }
    if (op.k[1] == 2 || op.k[1] == 3) {
      bool up = Rnd(op.k[2]) == Rnd::rp;
      d[l] = to_e8m0(hi, up, op.k[7]) << 8 | to_e8m0(lo, up, op.k[7]);
      return;
    }
    const Format& f = *kPairFormats[op.k[0]];
    int n = f.bits() <= 4 ? 4 : f.bits() <= 8 ? 8 : 16;
    auto one = [&](double v) {
      uint32_t code = uint32_t(round_double(f, v, Rnd(op.k[2]), op.k[7]));
      if (op.k[6] && v == v && (code >> (f.bits() - 1) & 1)) code = 0;
      return code;
    };
    d[l] = one(hi) << n | one(lo);
  });
  return Flow::next;
}

// k[0] bits of one result, k[1] signed
Flow convert_pack(Warp& w, const Op& op, uint32_t mask) {
  uint32_t* d = w.row32(op.a[0]);
  const uint32_t *a = w.row32(op.a[1]), *b = w.row32(op.a[2]),
                 *c = op.a[3] == kNoRow ? nullptr : w.row32(op.a[3]);
  int n = op.k[0];
  each_lane(mask, [&](int l) {
    auto sat = [&](int32_t v) {
      int32_t hi = op.k[1] ? (1 << (n - 1)) - 1 : (1 << n) - 1, lo = op.k[1] ? -(1 << (n - 1)) : 0;
      return uint32_t(std::clamp(v, lo, hi)) & ((1u << n) - 1);
    };
    uint32_t packed = sat(int32_t(a[l])) << n | sat(int32_t(b[l]));
    d[l] = c ? c[l] << (2 * n) | packed : packed;
  });
  return Flow::next;
}

// --- address spaces: k[0] window, k[1] to the space, k[2] wide
uint64_t window_of(int s) {
  return Space(s) == Space::shared  ? kSharedWindow
         : Space(s) == Space::local ? kLocalWindow
         : Space(s) == Space::param ? kParamWindow
                                    : 0;
}
Flow address_convert(Warp& w, const Op& op, uint32_t mask) {
  uint64_t window = window_of(op.k[0]);
  each_lane(mask, [&](int l) {
    uint64_t a = op.k[2] ? w.row64(op.a[1])[l] : w.row32(op.a[1])[l];
    uint64_t v = op.k[1] ? a - window : a + window;
    if (op.k[2]) w.row64(op.a[0])[l] = v;
    else w.row32(op.a[0])[l] = uint32_t(v);
  });
  return Flow::next;
}
Flow param_frame_convert(Warp& w, const Op& op, uint32_t mask) {
  each_lane(mask, [&](int l) { w.row64(op.a[0])[l] = kLocalWindow + w.row64(op.a[1])[l]; });
  return Flow::next;
}
Flow is_space(Warp& w, const Op& op, uint32_t mask) {
  uint32_t bits = 0;
  each_lane(mask, [&](int l) {
    uint64_t a = w.row64(op.a[1])[l];
    bool yes = false;
    switch (Space(op.k[0])) {
      case Space::shared:
        yes = a - kSharedWindow < (1ull << 32) &&
              (op.k[1] || (a - kSharedWindow) >> kRankShift == 0 ||
               (a - kSharedWindow) >> kRankShift == w.block->rank + 1);
        break;
      case Space::local:
        yes = a - kLocalWindow < (1ull << 32);
        break;
      case Space::param:
        yes = a - kParamWindow < (1ull << 32);
        break;
      case Space::constant: {
        Allocation* al = w.launch->memory->find(a);
        yes = al && al->read_only && a - al->base < al->bytes;
        break;
      }
      default:
        yes = a >= kArenaBase;
    }
    bits |= uint32_t(yes) << l;
  });
  w.preds[op.a[0]] = (w.preds[op.a[0]] & ~mask) | bits;
  return Flow::next;
}
// k[0] 1: getctarank, k[1] wide, k[2] generic addresses
Flow map_rank(Warp& w, const Op& op, uint32_t mask) {
  Flow f = Flow::next;
  each_lane(mask, [&](int l) {
    uint64_t a = op.k[1] ? w.row64(op.a[1])[l] : w.row32(op.a[1])[l], base = 0;
    if (a >= kSharedWindow) base = kSharedWindow;
    a -= base;
    if (op.k[0]) {
      w.row32(op.a[0])[l] = a >> kRankShift ? uint32_t(a >> kRankShift) - 1 : w.block->rank;
      return;
    }
    uint32_t rank = w.row32(op.a[2])[l];
    if (rank >= w.cluster->blocks.size() && f == Flow::next) {
      f = report_fault(w, op, l, diag::kSimOutOfBounds,
                       fmt::format("mapa of block rank {} in a cluster of {} blocks", rank,
                                   w.cluster->blocks.size()));
      return;
    }
    uint64_t v = base + ((uint64_t(rank) + 1) << kRankShift | (a & ((1u << kRankShift) - 1)));
    if (op.k[1]) w.row64(op.a[0])[l] = v;
    else w.row32(op.a[0])[l] = uint32_t(v);
  });
  return f;
}

}  // namespace

bool build_move(Builder& b) {
  if (!b.expect_operands(2)) return false;
  const Operand &d = b.in.operands[0], &s = b.in.operands[1];
  b.op.flags |= kFlagMoves;
  if (b.has("pred")) {
    b.op.a[0] = b.predicate_destination(d);
    bool n = false;
    b.op.a[1] = b.predicate_source(s, &n);
    b.op.k[0] = n;
    b.op.exec = move_pred;
    return true;
  }
  int bits = Builder::bits_of(b.last_mod());
  if (s.kind == OpKind::vector || d.kind == OpKind::vector) {
    const Operand &v = s.kind == OpKind::vector ? s : d, &one = s.kind == OpKind::vector ? d : s;
    int n = int(v.elems.size());
    if ((n != 2 && n != 4) || bits % n || bits / n < 8)
      return b.fail("the parts do not make up the type");
    int part = bits / n;
    b.op.k[0] = uint8_t(part);
    b.op.k[1] = uint8_t(n);
    bool packs = s.kind == OpKind::vector;
    b.op.a[0] = packs ? b.destination(one, bits) : b.source(one, bits);
    for (const Operand& e : v.elems) b.add_arg(packs ? b.source(e, part) : b.destination(e, part));
    b.op.exec = packs ? pack : unpack;
    return true;
  }
  b.op.a[0] = b.destination(d, bits);
  if (s.kind == OpKind::special) {
    Special which = Special(s.index);
    if (which >= Special::clock && which <= Special::globaltimer_hi) {
      b.op.k[0] = uint8_t(which);
      b.op.k[1] = bits == 64;
      b.op.exec = clock_value;
      return true;
    }
  }
  if (s.kind == OpKind::local_var) {
    bool kernel_param = false;
    if (b.function.source->entry)
      for (int32_t p : b.function.source->params) kernel_param |= p == s.index;
    if (!kernel_param) {
      b.op.imm = int64_t(b.function.var_offset[s.index]) + s.value;
      b.op.k[0] = bits == 64;
      b.op.exec = frame_address;
      return true;
    }
  }
  b.op.a[1] = b.source(s, bits);
  b.op.exec = bits == 128 ? move128 : bits == 64 ? move64 : move32;
  return true;
}

bool build_convert(Builder& b) {
  if (!b.expect_operands(2)) return false;
  int to = type_code(b.last_mod(1)), from = type_code(b.last_mod());
  Op& op = b.op;
  op.k[0] = uint8_t(to);
  op.k[1] = uint8_t(from);
  int r = b.which({"rn", "rz", "rm", "rp", "rna"});
  op.k[2] = uint8_t(r < 0 ? 0 : r);
  op.k[3] = uint8_t(1 + b.which({"rni", "rzi", "rmi", "rpi"}));
  op.k[4] = b.has("ftz");
  op.k[5] = b.has("sat");
  op.k[6] = b.has("relu");
  op.k[7] = b.has("satfinite");
  const Operand &d = b.in.operands[0], &s = b.in.operands[1];
  int dw = b.register_bits(d), sw = b.register_bits(s);
  if (d.kind == OpKind::reg && dw < width(to))
    return b.fail("the destination register is too narrow");
  if (s.kind == OpKind::reg && sw < width(from)) return b.fail("the source register is too narrow");
  bool wide_d = dw > 32 || (dw == 0 && width(to) > 32),
       wide_s = sw > 32 || (sw == 0 && width(from) > 32);
  op.a[0] = b.destination(d, wide_d ? 64 : 32);
  op.a[1] =
      b.source(s, wide_s ? 64 : std::max(width(from), sw), is_float(from) && width(from) >= 32);
  op.k[8] = uint8_t(wide_d | wide_s << 1);
  op.k[9] = uint8_t(dw == 16 ? 16 : dw == 32 ? 32 : 0);
  op.exec = convert_any;
  if (to <= s64 && from <= s64 && !op.k[5] && width(to) >= width(from)) op.flags |= kFlagMoves;
  bool plain = !op.k[2] && !op.k[3] && !op.k[4] && !op.k[5] && !op.k[6] && !op.k[7];
  if (plain) {
    if (from == s32 && (to == s64 || to == u64) && wide_d && !wide_s) op.exec = s32_to_s64;
    if (from == u32 && (to == s64 || to == u64) && wide_d && !wide_s) op.exec = u32_to_u64;
    if ((from == u64 || from == s64) && (to == u32 || to == s32) && !wide_d) op.exec = u64_to_u32;
    if (!wide_d && !wide_s) {
      if (from == f16 && to == f32) op.exec = f16_to_f32;
      if (from == bf16 && to == f32) op.exec = bf16_to_f32;
      if (from == f32 && to == f16) op.exec = f32_to_f16;
      if (from == f32 && to == bf16) op.exec = f32_to_bf16;
      if (from == s32 && to == f32) op.exec = s32_to_f32;
    }
  }
  return true;
}

bool build_convert_pair(Builder& b) {
  std::string_view to = b.last_mod(1), from = b.last_mod();
  bool from_f32 = from == "f32";
  if (!b.expect_operands(from_f32 ? 3 : 2)) return false;
  Op& op = b.op;
  auto bits = [](std::string_view t) {
    return t == "f16x2" || t == "bf16x2" ? 32 : t == "e2m1x2" ? 8 : 16;
  };
  op.a[0] = b.destination(0, bits(to));
  op.a[1] = b.source(1, from_f32 ? 32 : bits(from), from_f32);
  if (from_f32) op.a[2] = b.source(2, 32, true);
  int r = b.which({"rn", "rz", "rm", "rp", "rna"});
  op.k[2] = uint8_t(r < 0 ? 0 : r);
  op.k[6] = b.has("relu");
  op.k[7] = b.has("satfinite") || to == "e4m3x2" || to == "e5m2x2";
  const Format* f = to == "f16x2" ? &kF16 : to == "bf16x2" ? &kBF16 : small_format(to);
  const Format* s = from == "f16x2" ? &kF16 : from == "bf16x2" ? &kBF16 : small_format(from);
  if (f) op.k[0] = uint8_t(pair_code(f));
  if (s) op.k[3] = uint8_t(pair_code(s));
  op.k[1] = to == "ue8m0x2" ? (from_f32 ? 2 : 3) : from == "ue8m0x2" ? 4 : from_f32 ? 0 : 1;
  op.exec = convert_pair;
  if (from_f32 && !op.k[2] && !op.k[6] && !op.k[7]) {
    if (to == "f16x2") op.exec = f32_pair_to_f16x2;
    if (to == "bf16x2") op.exec = f32_pair_to_bf16x2;
  }
  return true;
}

bool build_convert_pack(Builder& b) {
  bool three = b.last_mod() == "b32";
  if (!b.expect_operands(three ? 4 : 3)) return false;
  std::string_view t = b.last_mod(three ? 2 : 1);
  b.op.a[0] = b.destination(0, 32);
  b.op.a[1] = b.source(1, 32);
  b.op.a[2] = b.source(2, 32);
  if (three) b.op.a[3] = b.source(3, 32);
  b.op.k[0] = uint8_t(t.size() == 3 ? 16 : t[1] - '0');
  b.op.k[1] = t[0] == 's';
  b.op.exec = convert_pack;
  return true;
}

bool build_address_convert(Builder& b) {
  if (!b.expect_operands(2)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.flags |= kFlagMoves;
  b.op.a[0] = b.destination(0, bits);
  Space s = b.space();
  const Operand& o = b.in.operands[1];
  // The address of a variable of the frame (local, or an argument of a device function).
  if (o.kind == OpKind::local_var && !(b.function.source->entry && s == Space::param)) {
    b.op.imm = int64_t(b.function.var_offset[o.index]) + o.value +
               (b.has("to") ? 0 : int64_t(kLocalWindow));
    b.op.k[0] = bits == 64;
    b.op.exec = frame_address;
    return true;
  }
  b.op.a[1] = b.source(1, bits);
  b.op.k[0] = uint8_t(s);
  b.op.k[1] = b.has("to");
  b.op.k[2] = bits == 64;
  b.op.exec = address_convert;
  if (s == Space::param && !b.function.source->entry && bits == 64 && !b.has("to"))
    b.op.exec = param_frame_convert;
  if ((s == Space::global || s == Space::constant) && bits == 64) b.op.exec = move64;
  return true;
}

bool build_is_space(Builder& b) {
  if (!b.expect_operands(2)) return false;
  b.op.a[0] = b.predicate_destination(b.in.operands[0]);
  if (b.register_bits(b.in.operands[1]) == 32) return b.fail("generic addresses have 64 bits");
  b.op.a[1] = b.source(1, 64);
  b.op.k[0] = uint8_t(b.space());
  b.op.k[1] = b.has("shared::cluster");
  b.op.exec = is_space;
  return true;
}

bool build_map_rank(Builder& b) {
  bool get = b.opcode() == "getctarank";
  if (!b.expect_operands(get ? 2 : 3)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, get ? 32 : bits);
  b.op.a[1] = b.source(1, bits);
  if (!get) b.op.a[2] = b.source(2, 32);
  b.op.k[0] = get;
  b.op.k[1] = bits == 64;
  b.op.exec = map_rank;
  return true;
}

}  // namespace tess::ptxsim
