// exp exp2 log log2 sin cos tanh erf sigmoid rsqrt rcp pow, on values and on codes.
//
// Accuracy, assuming a C library within 8 ulp in double and in long double (glibc is within 2):
//   f32, f16, bf16   correctly rounded, ties to even. The function is evaluated in double; when the
//                    rounding of y(1-e) and y(1+e), e = 2^-49, differ, again in long double with
//                    e = 2^-60. Over all 2^32 f32 inputs that leaves open only exp2(-150), an exact
//                    tie, and sigmoid next to 1/2, decided by the sign of its series; the others that
//                    need long double (1,500; nearest to a tie is a logarithm, by 2^-57.8) have been
//                    compared with 200-bit arithmetic. is_decided tells; a long test repeats the scan.
//                    pow has 2^64 inputs: exact ties are decided in integers; an input within 2^-60 of
//                    a tie but not on it (none is known) may give the neighbour.
//   f64              evaluated in long double, then rounded: within 0.5 + 2^-8 ulp on x86-64. rcp
//   is
//                    correctly rounded.
// Special values as IEEE 754 clause 9.2 and C annex F; rsqrt(+-0) = +-inf, rsqrt of a negative is
// NaN. A NaN result is the canonical one (nan_code). All functions are pure and thread-safe; none
// fails.
#pragma once
#include <cstdint>

#include "isa/dtypes.h"

namespace tess {

enum class Fn : uint8_t { exp, exp2, log, log2, sin, cos, tanh, erf, sigmoid, rsqrt, rcp };
inline constexpr int kFnCount = static_cast<int>(Fn::rcp) + 1;

float exp_f32(float x);
float exp2_f32(float x);
float log_f32(float x);
float log2_f32(float x);
float sin_f32(float x);
float cos_f32(float x);
float tanh_f32(float x);
float erf_f32(float x);
float sigmoid_f32(float x);  // 1 / (1 + e^-x)
float rsqrt_f32(float x);
float rcp_f32(float x);
float pow_f32(float x, float y);

double exp_f64(double x);
double exp2_f64(double x);
double log_f64(double x);
double log2_f64(double x);
double sin_f64(double x);
double cos_f64(double x);
double tanh_f64(double x);
double erf_f64(double x);
double sigmoid_f64(double x);
double rsqrt_f64(double x);
double rcp_f64(double x);
double pow_f64(double x, double y);

// The same by function.
float unary_f32(Fn f, float x);
double unary_f64(Fn f, double x);

// On codes of f64, f32, f16 and bf16.
uint64_t unary_code(Fn f, DType t, uint64_t a);
uint64_t pow_code(DType t, uint64_t a, uint64_t b);

// Whether the rounding test settled f(x) in f32; if not, the result rests on one of the arguments
// above.
bool is_decided(Fn f, float x);

}  // namespace tess
