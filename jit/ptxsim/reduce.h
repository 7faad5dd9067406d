// One read-modify-write step on bits, shared by atom, red, multimem and the reducing copies.
#pragma once
#include <cstdint>
#include <string_view>

namespace tess::ptxsim {

enum class Reduce : uint8_t { and_, or_, xor_, exch, cas, add, inc, dec, min, max };
enum class ReduceType : uint8_t {
  b16,
  b32,
  b64,
  u32,
  u64,
  s32,
  s64,
  f32,
  f64,
  f16,
  f16x2,
  bf16,
  bf16x2
};

bool find_reduce(std::string_view name, Reduce& r);
bool find_reduce_type(std::string_view name, ReduceType& t);
int reduce_bytes(ReduceType t);
// old op v; for cas: `compare` is what old must be.
uint64_t reduce_bits(Reduce r, ReduceType t, uint64_t old, uint64_t v, uint64_t compare = 0);

}  // namespace tess::ptxsim
