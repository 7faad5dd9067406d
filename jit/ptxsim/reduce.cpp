#include "jit/ptxsim/reduce.h"

#include <algorithm>
#include <cmath>

#include "jit/ptxsim/half.h"

namespace tess::ptxsim {

bool find_reduce(std::string_view name, Reduce& r) {
  constexpr std::string_view kNames[] = {"and", "or",  "xor", "exch", "cas",
                                         "add", "inc", "dec", "min",  "max"};
  for (size_t i = 0; i < 10; ++i)
    if (kNames[i] == name) {
      r = Reduce(i);
      return true;
    }
  return false;
}

bool find_reduce_type(std::string_view name, ReduceType& t) {
  constexpr std::string_view kNames[] = {"b16", "b32", "b64", "u32",   "u64",  "s32",   "s64",
                                         "f32", "f64", "f16", "f16x2", "bf16", "bf16x2"};
  for (size_t i = 0; i < 13; ++i)
    if (kNames[i] == name) {
      t = ReduceType(i);
      return true;
    }
  return false;
}

int reduce_bytes(ReduceType t) {
  switch (t) {
    case ReduceType::b16:
    case ReduceType::f16:
    case ReduceType::bf16:
      return 2;
    case ReduceType::b64:
    case ReduceType::u64:
    case ReduceType::s64:
    case ReduceType::f64:
      return 8;
    default:
      return 4;
  }
}

namespace {

uint32_t half_step(Reduce r, bool bf, uint32_t a, uint32_t b) {
  return half_operation(r == Reduce::add   ? kHalfAdd
                        : r == Reduce::min ? kHalfMin
                                           : kHalfMax,
                        bf, false, false, a & 0xffff, b & 0xffff);
}

template <class T>
T number_step(Reduce r, T a, T b) {
  if (r == Reduce::add) return canonical(a + b);
  if (a != a) return b;
  if (b != b) return a;
  return r == Reduce::min ? std::min(a, b) : std::max(a, b);
}

}  // namespace

uint64_t reduce_bits(Reduce r, ReduceType t, uint64_t old, uint64_t v, uint64_t compare) {
  switch (r) {
    case Reduce::exch:
      return v;
    case Reduce::cas:
      return old == compare ? v : old;
    case Reduce::and_:
      return old & v;
    case Reduce::or_:
      return old | v;
    case Reduce::xor_:
      return old ^ v;
    case Reduce::inc:
      return uint32_t(old) >= uint32_t(v) ? 0 : old + 1;
    case Reduce::dec:
      return uint32_t(old) == 0 || uint32_t(old) > uint32_t(v) ? v : old - 1;
    default:
      break;
  }
  switch (t) {
    case ReduceType::s32: {
      int32_t a = int32_t(old), b = int32_t(v);
      return r == Reduce::add ? uint32_t(old + v)
                              : uint32_t(r == Reduce::min ? std::min(a, b) : std::max(a, b));
    }
    case ReduceType::b32:
    case ReduceType::u32: {
      uint32_t a = uint32_t(old), b = uint32_t(v);
      return r == Reduce::add ? a + b : r == Reduce::min ? std::min(a, b) : std::max(a, b);
    }
    case ReduceType::s64: {
      int64_t a = int64_t(old), b = int64_t(v);
      return r == Reduce::add ? old + v
                              : uint64_t(r == Reduce::min ? std::min(a, b) : std::max(a, b));
    }
    case ReduceType::b64:
    case ReduceType::u64:
      return r == Reduce::add ? old + v : r == Reduce::min ? std::min(old, v) : std::max(old, v);
    case ReduceType::f32:
      return std::bit_cast<uint32_t>(
          number_step(r, std::bit_cast<float>(uint32_t(old)), std::bit_cast<float>(uint32_t(v))));
    case ReduceType::f64:
      return std::bit_cast<uint64_t>(
          number_step(r, std::bit_cast<double>(old), std::bit_cast<double>(v)));
    case ReduceType::f16:
      return half_step(r, false, uint32_t(old), uint32_t(v));
    case ReduceType::bf16:
      return half_step(r, true, uint32_t(old), uint32_t(v));
    case ReduceType::f16x2:
      return half_step(r, false, uint32_t(old), uint32_t(v)) |
             half_step(r, false, uint32_t(old >> 16), uint32_t(v >> 16)) << 16;
    case ReduceType::bf16x2:
      return half_step(r, true, uint32_t(old), uint32_t(v)) |
             half_step(r, true, uint32_t(old >> 16), uint32_t(v >> 16)) << 16;
    default:
      return v;
  }
}

}  // namespace tess::ptxsim
