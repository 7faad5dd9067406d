// What conversions compute, from isa/numerics.
#include <cmath>

#include "tests/ptxsim/oracle_parts.h"

namespace tess::ptxsim::oracle_parts {

Expected oracle_convert(const std::vector<std::string>& w, const Inputs& in) {
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

}  // namespace tess::ptxsim::oracle_parts
