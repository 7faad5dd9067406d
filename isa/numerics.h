// Bit-exact arithmetic on single elements of every scalar type: what ISA.md section 2 says, written so
// that it is obviously right. Bulk, SIMD versions stand in vm/interp and are tested against these.
// A `code` is the element's bits in the low bits of a u64 (integers: two's complement, truncated to
// the width). All functions are pure and thread-safe; none fails.
#pragma once
#include <cstdint>

#include "isa/dtypes.h"

namespace tess {

enum class Round : uint8_t { rne, rz, ru, rd };

// How a float of <= 8 bits answers overflow: saturate (the default of `cast`), or `{nosat}`: e4m3 gives
// NaN, e5m2 infinity, finite-only types still saturate. Types of >= 16 bits always follow IEEE.
enum class Overflow : uint8_t { saturate, nosat };

// The exact value of a float or e8m0 code (every one fits a double); NaN for NaN. The low 13 bits of a
// tf32 code are ignored, as the matrix units do, but they still make a NaN.
double decode_float(DType t, uint64_t code);
// The value of an integer code, sign- or zero-extended.
int64_t decode_int(DType t, uint64_t code);

// x rounded once to t. x may be any double; the result is canonical (a NaN has one code per type:
// positive quiet; types without NaN give +max). e8m0 rounds |x| per ISA.md (rz or ru; rne means rz).
uint64_t encode_float(DType t, double x, Round round = Round::rne, Overflow overflow = Overflow::saturate);

// (-1)^negative * mantissa * 2^exponent, plus a nonzero tail below the last bit if sticky: rounded once.
// The one place where rounding is done; everything else comes here. With sticky the mantissa must have
// at least two bits more than the type (55 for f64), or be 0 for a value below every half quantum.
// Ties go to the even *code*: for man >= 1 that is the even mantissa, and it extends to man = 0.
// Finite overflow follows the direction, as IEEE and OCP have it: toward zero gives the largest finite.
uint64_t encode_parts(DType t, bool negative, uint64_t mantissa, int exponent, bool sticky, Round round,
                      Overflow overflow);

// a*b+c rounded once, in any float type; small floats saturate, an invalid operation is nan_code.
uint64_t fma_code(DType t, uint64_t a, uint64_t b, uint64_t c, Round round = Round::rne);
// a op b rounded once, for arithmetic floats; op is one of + - * /.
uint64_t arith_code(DType t, char op, uint64_t a, uint64_t b, Round round = Round::rne);
uint64_t sqrt_code(DType t, uint64_t a, Round round = Round::rne);

struct CastMode {
  Round round = Round::rne;
  Overflow overflow = Overflow::saturate;
  bool saturate_int = false;  // {sat}: integer to integer clamps instead of wrapping
};
// Any type to any type, as the `cast` instruction does. Float to integer: toward zero whatever `round`
// says, clamped, NaN -> 0. To bool: nonzero (NaN too); from bool: any nonzero byte is 1.
uint64_t cast_code(DType to, DType from, uint64_t code, CastMode mode = {});

bool is_nan_code(DType t, uint64_t code);
// The code of NaN (or of +max where there is none; 0 for integers), of the largest finite value, of 1.
uint64_t nan_code(DType t);
uint64_t max_code(DType t);
uint64_t one_code(DType t);

// Dense little-endian bit streams (ISA.md section 2): element n at bits [start + n*width, ...), width 1..64.
// Reads and writes touch no byte outside those bits.
uint64_t read_bits(const uint8_t* bytes, uint64_t bit, int width);
void write_bits(uint8_t* bytes, uint64_t bit, int width, uint64_t value);

}  // namespace tess
