// Matrix elements: types, decoding, and the product that every matrix instruction uses. Sums are
// formed in f32 (f64 for f64, exact for integers) in ascending k.
#pragma once
#include <string_view>

#include "jit/ptxsim/half.h"

namespace tess::ptxsim {

enum class Elem : uint8_t { f16, bf16, tf32, f32, f64, e4m3, e5m2, s8, u8, s4, u4, b1, s32 };
int elem_bits(Elem e);
bool find_elem(std::string_view name, Elem& e);
inline bool is_integer(Elem e) { return e >= Elem::s8; }

// Small elements to f32 (exact).
float elem_float(Elem e, uint32_t bits);
int32_t elem_int(Elem e, uint32_t bits);

// d[m][n] += sum over k of a[m][k] b[k][n]; row lengths in elements. n is a multiple of 8.
void multiply_float(float* d, const float* a, const float* b, int m, int n, int k);
void multiply_int(int64_t* d, const int32_t* a, const int32_t* b, int m, int n, int k);

}  // namespace tess::ptxsim
