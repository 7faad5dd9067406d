// Scalar types as a rule over (kind, bits, exponent, mantissa). A DType is plain data of four
// bytes; the named ones stand in dtypes.def, every other eXmY of 3..8 bits is formed from its name.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tess {

enum class Kind : uint8_t { none, boolean, sint, uint, flt, scale };

// Which codes are not finite numbers.
enum class Specials : uint8_t {
  none,      // every code is finite (eXmY, integers)
  ieee,      // all-ones exponent: infinities and NaNs (f64 f32 tf32 f16 bf16 e5m2)
  nan_only,  // e4m3: S.1111.111 is NaN, no infinity; e8m0: 0xFF is NaN
};

struct DType {
  Kind kind = Kind::none;
  uint8_t bits = 0;  // width in memory; tiles of bool take 8
  uint8_t exp = 0, man = 0;

  constexpr bool operator==(const DType&) const = default;
  constexpr bool is_bool() const { return kind == Kind::boolean; }
  constexpr bool is_int() const { return kind == Kind::sint || kind == Kind::uint; }
  constexpr bool is_signed() const { return kind == Kind::sint; }
  constexpr bool is_float() const {
    return kind == Kind::flt;
  }  // e8m0 is not: it has no sign or zero
  constexpr bool is_small_float() const { return kind == Kind::flt && bits <= 8; }
  constexpr bool is_tf32() const { return kind == Kind::flt && bits == 32 && man == 10; }
  // A float in which add, mul, ... are defined: f64 f32 f16 bf16.
  constexpr bool is_arith_float() const { return kind == Kind::flt && bits >= 16 && !is_tf32(); }
  constexpr int bias() const { return kind == Kind::scale ? 127 : (1 << (exp - 1)) - 1; }
  constexpr Specials specials() const {
    if (kind == Kind::scale) return Specials::nan_only;
    if (kind != Kind::flt) return Specials::none;
    if (bits >= 16 || (exp == 5 && man == 2)) return Specials::ieee;
    return exp == 4 && man == 3 ? Specials::nan_only : Specials::none;
  }
};

namespace dt {
#define DTYPE(name, kind, bits, exp, man, doc) \
  inline constexpr DType name##_{Kind::kind, bits, exp, man};
#include "isa/dtypes.def"
#undef DTYPE
}  // namespace dt

// "u4", "e2m1", "bf16", ...; "?" for an invalid one.
std::string dtype_name(DType t);
// By name; none for anything that is not a type of ISA.md section 2.
std::optional<DType> find_dtype(std::string_view name);
// True for exactly the types that find_dtype can return.
bool is_valid_dtype(DType t);
// Every type: the named ones in table order, then the other eXmY by bits, then exponent.
const std::vector<DType>& all_dtypes();
// One line about the type; for an eXmY one made from its numbers.
std::string dtype_doc(DType t);

// How the interpreter and host code hold one element: its own C++ type, one element each.
// Integers of 1..8 bits by value; f16, bf16, floats of <= 8 bits and e8m0 as their code.
enum class Carrier : uint8_t { u8, i8, u16, i16, u32, i32, u64, i64, f32, f64 };
constexpr Carrier carrier_of(DType t) {
  switch (t.kind) {
    case Kind::sint:
      return t.bits <= 8    ? Carrier::i8
             : t.bits == 16 ? Carrier::i16
             : t.bits == 32 ? Carrier::i32
                            : Carrier::i64;
    case Kind::uint:
      return t.bits <= 8    ? Carrier::u8
             : t.bits == 16 ? Carrier::u16
             : t.bits == 32 ? Carrier::u32
                            : Carrier::u64;
    case Kind::flt:
      return t.bits <= 8    ? Carrier::u8
             : t.bits == 16 ? Carrier::u16
             : t.bits == 32 ? Carrier::f32
                            : Carrier::f64;
    default:
      return Carrier::u8;
  }
}
constexpr int carrier_bytes(Carrier c) {
  constexpr int kBytes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
  return kBytes[static_cast<int>(c)];
}

}  // namespace tess
