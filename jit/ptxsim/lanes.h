// Elementwise operations on rows of 32 lanes. Results go through a local row, so that source and
// destination may be the same register and the loop over all lanes still vectorises.
#pragma once
#include <bit>
#include <cstring>
#include <type_traits>

#include "jit/ptxsim/decode.h"
#include "jit/ptxsim/machine.h"

namespace tess::ptxsim {

template <class T>
using Word = std::conditional_t<(sizeof(T) > 4), uint64_t, uint32_t>;

template <class T>
inline T lane_get(Word<T> w) {
  if constexpr (std::is_floating_point_v<T>) return std::bit_cast<T>(w);
  else return T(w);
}
template <class T>
inline Word<T> lane_put(T v) {
  if constexpr (std::is_floating_point_v<T>) return std::bit_cast<Word<T>>(v);
  else return Word<T>(std::make_unsigned_t<T>(v));
}
template <class T>
inline Word<T>* row_of(const Warp& w, Row r) {
  return reinterpret_cast<Word<T>*>(w.row32(r));
}

template <class F>
inline void each_lane(uint32_t mask, F f) {
  for (uint32_t m = mask; m; m &= m - 1) f(int(std::countr_zero(m)));
}

template <class W>
inline void store_row(W* to, const W* from, uint32_t mask) {
  if (mask == ~0u) std::memcpy(to, from, 32 * sizeof(W));
  else each_lane(mask, [&](int l) { to[l] = from[l]; });
}

// d = f(a) for every lane; f must be total, inactive lanes are computed and dropped.
template <class D, class A, class F>
inline Flow map_row(Warp& w, const Op& op, uint32_t mask, F f) {
  const Word<A>* a = row_of<A>(w, op.a[1]);
  alignas(64) Word<D> t[32];
  for (int l = 0; l < 32; ++l) t[l] = lane_put<D>(f(lane_get<A>(a[l])));
  store_row(row_of<D>(w, op.a[0]), t, mask);
  return Flow::next;
}
template <class D, class A, class B, class F>
inline Flow map_row(Warp& w, const Op& op, uint32_t mask, F f) {
  const Word<A>* a = row_of<A>(w, op.a[1]);
  const Word<B>* b = row_of<B>(w, op.a[2]);
  alignas(64) Word<D> t[32];
  for (int l = 0; l < 32; ++l) t[l] = lane_put<D>(f(lane_get<A>(a[l]), lane_get<B>(b[l])));
  store_row(row_of<D>(w, op.a[0]), t, mask);
  return Flow::next;
}
template <class D, class A, class B, class C, class F>
inline Flow map_row(Warp& w, const Op& op, uint32_t mask, F f) {
  const Word<A>* a = row_of<A>(w, op.a[1]);
  const Word<B>* b = row_of<B>(w, op.a[2]);
  const Word<C>* c = row_of<C>(w, op.a[3]);
  alignas(64) Word<D> t[32];
  for (int l = 0; l < 32; ++l)
    t[l] = lane_put<D>(f(lane_get<A>(a[l]), lane_get<B>(b[l]), lane_get<C>(c[l])));
  store_row(row_of<D>(w, op.a[0]), t, mask);
  return Flow::next;
}

// The instance of an elementwise operation for an integer type.
template <class Body>
inline Exec pick6(std::string_view t) {
  if (t == "u16" || t == "b16") return Body::template run<uint16_t>;
  if (t == "u32" || t == "b32") return Body::template run<uint32_t>;
  if (t == "u64" || t == "b64") return Body::template run<uint64_t>;
  if (t == "s16") return Body::template run<int16_t>;
  if (t == "s32") return Body::template run<int32_t>;
  if (t == "s64") return Body::template run<int64_t>;
  return nullptr;
}

}  // namespace tess::ptxsim
