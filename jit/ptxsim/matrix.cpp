#include "jit/ptxsim/matrix.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define TESS_WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define TESS_WIDE
#endif

namespace tess::ptxsim {

int elem_bits(Elem e) {
  constexpr int kBits[] = {16, 16, 32, 32, 64, 8, 8, 8, 8, 4, 4, 1, 32};
  return kBits[size_t(e)];
}

bool find_elem(std::string_view name, Elem& e) {
  constexpr std::string_view kNames[] = {"f16", "bf16", "tf32", "f32", "f64", "e4m3", "e5m2",
                                         "s8",  "u8",   "s4",   "u4",  "b1",  "s32"};
  for (size_t i = 0; i < 13; ++i)
    if (kNames[i] == name) {
      e = Elem(i);
      return true;
    }
  return false;
}

float elem_float(Elem e, uint32_t b) {
  switch (e) {
    case Elem::f16:
      return half_to_float(b & 0xffff);
    case Elem::bf16:
      return bf16_to_float(b & 0xffff);
    case Elem::tf32:
      return std::bit_cast<float>(b & 0xffffe000u);  // the low 13 bits are not read
    case Elem::f32:
      return std::bit_cast<float>(b);
    case Elem::e4m3:
      return float(decode_code(kE4M3, b & 0xff));
    case Elem::e5m2:
      return half_to_float((b & 0xff) << 8);
    default:
      return float(elem_int(e, b));
  }
}

int32_t elem_int(Elem e, uint32_t b) {
  switch (e) {
    case Elem::s8:
      return int8_t(b);
    case Elem::u8:
      return uint8_t(b);
    case Elem::s4:
      return int32_t(b << 28) >> 28;
    case Elem::u4:
      return int32_t(b & 15);
    case Elem::b1:
      return int32_t(b & 1);
    default:
      return int32_t(b);
  }
}

namespace {

template <int kCols>
inline void multiply_strip(float* __restrict d, const float* __restrict a,
                           const float* __restrict b, int m, int n, int k) {
  for (int i = 0; i < m; ++i) {
    float acc[kCols];
    for (int j = 0; j < kCols; ++j) acc[j] = d[i * n + j];
    for (int x = 0; x < k; ++x) {
      float v = a[i * k + x];
      for (int j = 0; j < kCols; ++j) acc[j] += v * b[x * n + j];
    }
    for (int j = 0; j < kCols; ++j) d[i * n + j] = acc[j];
  }
}

}  // namespace

TESS_WIDE void multiply_float(float* d, const float* a, const float* b, int m, int n, int k) {
  int j = 0;
  for (; j + 32 <= n; j += 32) multiply_strip<32>(d + j, a, b + j, m, n, k);
  for (; j < n; j += 8) multiply_strip<8>(d + j, a, b + j, m, n, k);
}

TESS_WIDE void multiply_int(int64_t* d, const int32_t* a, const int32_t* b, int m, int n, int k) {
  for (int i = 0; i < m; ++i)
    for (int x = 0; x < k; ++x) {
      int64_t v = a[i * k + x];
      for (int j = 0; j < n; ++j) d[i * n + j] += v * b[x * n + j];
    }
}

}  // namespace tess::ptxsim
