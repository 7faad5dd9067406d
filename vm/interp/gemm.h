// c += a · b with every element of c a chain of fused multiply-adds over k in ascending order,
// starting from what c holds: the same bits as one std::fma after another. Vectorised over rows and
// columns, never over k. Integers are modulo 2^32.
#pragma once
#include <cstdint>

namespace tess::interp {

// Row-major; lda, ldb, ldc are row strides in elements. c overlaps neither operand.
void gemm_f32(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k);
void gemm_f64(const double* a, int64_t lda, const double* b, int64_t ldb, double* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k);
void gemm_i32(const int32_t* a, int64_t lda, const int32_t* b, int64_t ldb, int32_t* c, int64_t ldc,
              int64_t m, int64_t n, int64_t k);

}  // namespace tess::interp
