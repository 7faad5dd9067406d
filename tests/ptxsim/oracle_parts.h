// What the parts of the arithmetic oracle share: types by name, exact integers, canonical NaNs.
#pragma once
#include <algorithm>

#include "isa/numerics.h"
#include "tests/ptxsim/oracle.h"

namespace tess::ptxsim::oracle_parts {

using I = __int128;

inline bool has(const std::vector<std::string>& w, const char* m) {
  return std::find(w.begin() + 1, w.end(), m) != w.end();
}

inline int bits_of(const std::string& t) {
  if (t == "pred") return 1;
  if (t == "f16x2" || t == "bf16x2" || t == "u16x2" || t == "s16x2" || t == "tf32") return 32;
  if (t == "bf16") return 16;
  return std::atoi(t.c_str() + 1);
}
inline uint64_t low(uint64_t v, int n) { return n >= 64 ? v : v & ((1ull << n) - 1); }
inline I number(const std::string& t, uint64_t v) {
  int n = bits_of(t);
  v = low(v, n);
  if (t[0] == 's' && n < 64 && (v >> (n - 1))) return I(v) - (I(1) << n);
  if (t[0] == 's' && n == 64) return I(int64_t(v));
  return I(v);
}
inline I clamp_to(const std::string& t, I v) {
  int n = bits_of(t);
  I hi = t[0] == 's' ? (I(1) << (n - 1)) - 1 : (I(1) << n) - 1,
    lo = t[0] == 's' ? -(I(1) << (n - 1)) : 0;
  return v > hi ? hi : v < lo ? lo : v;
}
inline DType float_type(const std::string& t) {
  if (t == "f64") return dt::f64_;
  if (t == "f32") return dt::f32_;
  if (t == "bf16" || t == "bf16x2") return dt::bf16_;
  if (t == "tf32") return dt::tf32_;
  return dt::f16_;
}
inline Round mode(const std::vector<std::string>& w) {
  return has(w, "rz")   ? Round::rz
         : has(w, "rp") ? Round::ru
         : has(w, "rm") ? Round::rd
                        : Round::rne;
}
inline Expected exact(uint64_t v, int n) {
  Expected e;
  e.known = true;
  e.value = low(v, n);
  return e;
}
inline Expected flag(bool p, bool q, uint32_t mask) {
  Expected e;
  e.known = true;
  e.mask = 0;
  e.flags = uint32_t(p) | uint32_t(q) << 1;
  e.flags_mask = mask;
  return e;
}

// The canonical NaNs of PTX.
inline uint64_t nan_of(DType t) {
  return t.bits == 64 ? 0x7fffffffffffffffull : t.bits == 32 ? 0x7fffffffull : 0x7fffull;
}
inline uint64_t canonical(DType t, uint64_t v) { return is_nan_code(t, v) ? nan_of(t) : v; }
inline uint64_t flushed(DType t, uint64_t v) {
  uint64_t sign = 1ull << (t.bits - 1), exponent = ((1ull << t.exp) - 1) << t.man;
  return (v & exponent) == 0 ? v & sign : v;
}
inline uint64_t saturated(DType t, uint64_t v) {
  double d = decode_float(t, v);
  if (!(d > 0)) return 0;
  return d > 1 ? one_code(t) : v;
}

Expected oracle_int(const std::vector<std::string>& w, const Inputs& in);
Expected oracle_convert(const std::vector<std::string>& w, const Inputs& in);

}  // namespace tess::ptxsim::oracle_parts
