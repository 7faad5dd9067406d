#include "tests/unit/numerics_sweep.h"

#include <array>
#include <utility>

#include "isa/numerics_parts.h"

namespace tess::sweep {
namespace {

using numerics::Parts;

constexpr DType kNamed[] = {dt::f16_, dt::bf16_, dt::tf32_, dt::e8m0_};
constexpr int kNamedCount = 4, kLeastBits = 3, kMostBits = 8;

constexpr int small_count() {
  int n = 0;
  for (int bits = kLeastBits; bits <= kMostBits; ++bits) n += bits - 1;
  return n;
}
// Every eXmY, by bits, then exponent; then the named ones.
constexpr auto kTypes = [] {
  std::array<DType, small_count() + kNamedCount> all{};
  size_t i = 0;
  for (int bits = kLeastBits; bits <= kMostBits; ++bits)
    for (int exp = 1; exp < bits; ++exp)
      all[i++] = {Kind::flt, static_cast<uint8_t>(bits), static_cast<uint8_t>(exp),
                  static_cast<uint8_t>(bits - 1 - exp)};
  for (DType t : kNamed) all[i++] = t;
  return all;
}();

constexpr Round kRounds[] = {Round::rne, Round::rz, Round::ru, Round::rd};
constexpr bool minds_overflow(DType t) {
  return t.is_small_float() && t.specials() != Specials::none;
}

template <const DType& t, bool negative>
bool normals(uint32_t first, uint32_t last, const uint64_t* wanted) {
  const int exponent = static_cast<int>(first >> 23 & 0xFF) - 127 - 63;
  auto one = [exponent](uint64_t mantissa, Round round, Overflow overflow) {
    if constexpr (t.kind == Kind::scale)
      return numerics::encode_scale(mantissa, exponent, false, round);
    else return numerics::round_normalised(t, negative, mantissa, exponent, false, round, overflow);
  };
  uint32_t begin = 1u << 23 | (first & 0x7FFFFF), n = last - first + 1;
  uint64_t bad = 0;
  auto compare = [&](Overflow overflow, const uint64_t* w) {
    const uint64_t rne = w[0], rz = w[1], ru = w[2], rd = w[3];
    for (uint32_t i = 0; i < n; ++i) {
      uint64_t mantissa = uint64_t{begin + i} << 40;
      bad |= one(mantissa, Round::rne, overflow) ^ rne;
      bad |= one(mantissa, Round::rz, overflow) ^ rz;
      bad |= one(mantissa, Round::ru, overflow) ^ ru;
      bad |= one(mantissa, Round::rd, overflow) ^ rd;
    }
  };
  compare(Overflow::saturate, wanted);
  if constexpr (minds_overflow(t)) compare(Overflow::nosat, wanted + 4);
  return !bad;
}

template <const DType& t>
bool others(uint32_t first, uint32_t last, const uint64_t* wanted) {
  uint64_t bad = 0;
  for (uint32_t code = first;; ++code) {
    Parts p = numerics::split_float(dt::f32_, code);
    for (int k = 0; k < (minds_overflow(t) ? 8 : 4); ++k) {
      Overflow overflow = k < 4 ? Overflow::saturate : Overflow::nosat;
      bad |= numerics::join_float(t, p, kRounds[k % 4], overflow) ^ wanted[k];
    }
    if (code == last) return !bad;
  }
}

// Flattened: with all of the rounding in the loops, what depends on the type, the binade and the
// sign alone leaves them.
template <size_t i>
[[gnu::flatten]] bool round_type(uint32_t first, uint32_t last, const uint64_t* wanted) {
  uint32_t field = first >> 23 & 0xFF;
  if (field == 0 || field == 0xFF) return others<kTypes[i]>(first, last, wanted);
  return first >> 31 ? normals<kTypes[i], true>(first, last, wanted)
                     : normals<kTypes[i], false>(first, last, wanted);
}

template <class Carrier>
bool all_equal_to(const void* carriers, size_t at, size_t n, uint64_t code) {
  auto values = static_cast<const Carrier*>(carriers) + at;
  Carrier wanted = static_cast<Carrier>(code), bad = 0;
  for (size_t i = 0; i < n; ++i) bad |= static_cast<Carrier>(values[i] ^ wanted);
  return !bad;
}

}  // namespace

std::vector<DType> types() { return {kTypes.begin(), kTypes.end()}; }

std::vector<Mode> modes(DType t) {
  std::vector<Mode> all;
  for (Round r : kRounds) all.push_back({r, Overflow::saturate});
  if (minds_overflow(t))
    for (Round r : kRounds) all.push_back({r, Overflow::nosat});
  return all;
}

bool rounds_to(DType t, uint32_t first, uint32_t last, std::span<const uint64_t> wanted) {
  bool right = false;
  [&]<size_t... i>(std::index_sequence<i...>) {
    ((kTypes[i] == t && (right = round_type<i>(first, last, wanted.data()), true)) || ...);
  }
  (std::make_index_sequence<kTypes.size()>());
  return right;
}

bool f32_takes_apart(uint32_t first, uint32_t last) {
  int exponent = static_cast<int>(first >> 23 & 0xFF) - 127 - 63;
  uint64_t bad = 0;
  for (uint32_t code = first;; ++code) {
    Parts p = numerics::split_float(dt::f32_, code);
    int leading = std::countl_zero(p.mantissa);
    uint64_t wanted = uint64_t{1} << 63 | uint64_t{code & 0x7FFFFF} << 40;
    bad |= p.cls != Parts::Class::finite || p.negative != static_cast<bool>(code >> 31) ||
           p.mantissa << leading != wanted || p.exponent - leading != exponent;
    if (code == last) return !bad;
  }
}

bool all_equal(DType t, const void* carriers, size_t at, size_t n, uint64_t code) {
  switch (carrier_bytes(carrier_of(t))) {
    case 1:
      return all_equal_to<uint8_t>(carriers, at, n, code);
    case 2:
      return all_equal_to<uint16_t>(carriers, at, n, code);
    default:
      return all_equal_to<uint32_t>(carriers, at, n, code);
  }
}

}  // namespace tess::sweep
