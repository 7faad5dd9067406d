#include "vm/interp/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vm/interp/gemm.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace tess::interp {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
// No fused multiply-add in the machine: the C library's.
template <class T>
void gemm(const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc, int64_t m, int64_t n,
          int64_t k) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) {
      T x = a[i * lda + p];
      for (int64_t j = 0; j < n; ++j) {
        T& y = c[i * ldc + j];
        if constexpr (std::is_floating_point_v<T>) y = std::fma(x, b[p * ldb + j], y);
        else
          y = static_cast<T>(static_cast<uint32_t>(x) * static_cast<uint32_t>(b[p * ldb + j]) +
                             static_cast<uint32_t>(y));
      }
    }
}
#else

template <class D, class V>
HWY_INLINE V step(D, V x, V y, V sum) {
  if constexpr (std::is_floating_point_v<hn::TFromD<D> >) return hn::MulAdd(x, y, sum);
  else return hn::Add(hn::Mul(x, y), sum);
}

// kRows rows by kVectors vectors, held in registers over all of k. The last vector may be partial.
template <int kRows, int kVectors, bool kPartial, class T>
void block(const T* HWY_RESTRICT a, int64_t lda, const T* HWY_RESTRICT b, int64_t ldb,
           T* HWY_RESTRICT c, int64_t ldc, int64_t k, int64_t last) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  using V = hn::Vec<decltype(d)>;
  const auto mask = hn::FirstN(d, static_cast<size_t>(last));
  auto load = [&](const T* p, int v) HWY_ATTR {
    return kPartial && v == kVectors - 1 ? hn::MaskedLoad(mask, d, p) : hn::LoadU(d, p);
  };
  V sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load(c + r * ldc + v * kLanes, v);
  for (int64_t p = 0; p < k; ++p) {
    V y[kVectors];
    for (int v = 0; v < kVectors; ++v) y[v] = load(b + p * ldb + v * kLanes, v);
    for (int r = 0; r < kRows; ++r) {
      V x = hn::Set(d, a[r * lda + p]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = step(d, x, y[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) {
      T* to = c + r * ldc + v * kLanes;
      if (kPartial && v == kVectors - 1) hn::BlendedStore(sum[r][v], mask, d, to);
      else hn::StoreU(sum[r][v], d, to);
    }
}

constexpr int kRows = 6;
#if HWY_TARGET <= HWY_AVX3
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif

template <int kVec, bool kPartial, class T>
void column(const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc, int64_t m,
            int64_t k, int64_t last) {
  int64_t i = 0;
  for (; i + kRows <= m; i += kRows)
    block<kRows, kVec, kPartial>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, k, last);
  a += i * lda;
  c += i * ldc;
  switch (m - i) {
    case 5:
      return block<5, kVec, kPartial>(a, lda, b, ldb, c, ldc, k, last);
    case 4:
      return block<4, kVec, kPartial>(a, lda, b, ldb, c, ldc, k, last);
    case 3:
      return block<3, kVec, kPartial>(a, lda, b, ldb, c, ldc, k, last);
    case 2:
      return block<2, kVec, kPartial>(a, lda, b, ldb, c, ldc, k, last);
    case 1:
      return block<1, kVec, kPartial>(a, lda, b, ldb, c, ldc, k, last);
    default:
      return;
  }
}

template <class T>
void gemm(const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc, int64_t m, int64_t n,
          int64_t k) {
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  constexpr int64_t kDepth = 256;  // rows of b at a time; the chain goes on from c
  for (int64_t p = 0; p < k; p += kDepth) {
    int64_t depth = std::min(kDepth, k - p);
    const T* ap = a + p;
    const T* bp = b + p * ldb;
    int64_t j = 0;
    for (; j + kVectors * kLanes <= n; j += kVectors * kLanes)
      column<kVectors, false>(ap, lda, bp + j, ldb, c + j, ldc, m, depth, kLanes);
    if constexpr (kVectors > 2)
      for (; j + 2 * kLanes <= n; j += 2 * kLanes)
        column<2, false>(ap, lda, bp + j, ldb, c + j, ldc, m, depth, kLanes);
    for (; j + kLanes <= n; j += kLanes)
      column<1, false>(ap, lda, bp + j, ldb, c + j, ldc, m, depth, kLanes);
    if (j < n) column<1, true>(ap, lda, bp + j, ldb, c + j, ldc, m, depth, n - j);
  }
}
#endif

void run_f32(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
             int64_t m, int64_t n, int64_t k) {
  gemm(a, lda, b, ldb, c, ldc, m, n, k);
}
void run_f64(const double* a, int64_t lda, const double* b, int64_t ldb, double* c, int64_t ldc,
             int64_t m, int64_t n, int64_t k) {
  gemm(a, lda, b, ldb, c, ldc, m, n, k);
}
void run_i32(const int32_t* a, int64_t lda, const int32_t* b, int64_t ldb, int32_t* c, int64_t ldc,
             int64_t m, int64_t n, int64_t k) {
  gemm(a, lda, b, ldb, c, ldc, m, n, k);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tess::interp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tess::interp {
HWY_EXPORT(run_f32);
HWY_EXPORT(run_f64);
HWY_EXPORT(run_i32);

void gemm_f32(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k) {
  HWY_DYNAMIC_DISPATCH(run_f32)(a, lda, b, ldb, c, ldc, m, n, k);
}
void gemm_f64(const double* a, int64_t lda, const double* b, int64_t ldb, double* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k) {
  HWY_DYNAMIC_DISPATCH(run_f64)(a, lda, b, ldb, c, ldc, m, n, k);
}
void gemm_i32(const int32_t* a, int64_t lda, const int32_t* b, int64_t ldb, int32_t* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k) {
  HWY_DYNAMIC_DISPATCH(run_i32)(a, lda, b, ldb, c, ldc, m, n, k);
}
}  // namespace tess::interp
#endif
