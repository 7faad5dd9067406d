// Elements, matrices and fragments for the checks of matrix instructions.
#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "isa/numerics.h"
#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {

struct ElementType {
  const char* name;
  int bits;
  DType type;
};
inline const ElementType kTypes[] = {
    {"f16", 16, dt::f16_},  {"bf16", 16, dt::bf16_}, {"tf32", 32, dt::f32_}, {"e4m3", 8, dt::e4m3_},
    {"e5m2", 8, dt::e5m2_}, {"f32", 32, dt::f32_},   {"f64", 64, dt::f64_},  {"s8", 8, dt::i8_},
    {"u8", 8, dt::u8_},     {"s4", 4, dt::i4_},      {"u4", 4, dt::u4_},     {"b1", 1, dt::u1_},
    {"s32", 32, dt::i32_}};
inline const ElementType& type_named(const std::string& n) {
  for (auto& t : kTypes)
    if (n == t.name) return t;
  return kTypes[0];
}
inline double value(const ElementType& t, uint64_t code) {
  return t.type.is_float() ? decode_float(t.type, code) : double(decode_int(t.type, code));
}
inline uint64_t random_code(const ElementType& t, Random& r) {
  if (t.type.is_float()) {
    double v = (double(r.below(33)) - 16) / 8;
    return encode_float(t.type, v);
  }
  return r.next() & ((1ull << (t.bits == 32 ? 10 : t.bits)) - 1);
}

struct Matrix {
  int rows, cols;
  std::vector<uint64_t> at;
  Matrix(int r, int c) : rows(r), cols(c), at(size_t(r) * size_t(c)) {}
  uint64_t& operator()(int r, int c) { return at[size_t(r * cols + c)]; }
};
inline Matrix random_matrix(int r, int c, const ElementType& t, Random& rng) {
  Matrix m(r, c);
  for (auto& v : m.at) v = random_code(t, rng);
  return m;
}

// Registers per lane, as 64-bit slots.
using Fragment = std::vector<std::array<uint64_t, 32>>;

// Element i of a lane of A (rows x k, row-major), B^T or C, by the ISA's tables.
template <class F>
Fragment deal(Matrix& m, int bits, int regs, F place) {
  Fragment f(size_t(regs), std::array<uint64_t, 32>{});
  int per = bits >= 32 ? 1 : 32 / bits;
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < regs * per; ++i) {
      auto [r, c] = place(l, i);
      f[size_t(i / per)][size_t(l)] |= m(r, c) << (bits * (i % per) % 64);
    }
  return f;
}

std::vector<NamedCheck> wgmma_checks();
std::vector<NamedCheck> wmma_checks();

}  // namespace tess::ptxsim
