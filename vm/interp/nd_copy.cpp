#include "vm/interp/nd_copy.h"

#include <algorithm>
#include <cstring>

namespace tess::interp {

void NdCopy::prepare() {
  int out = 0;
  for (int d = 0; d < rank; ++d) {
    if (n[d] == 1) continue;
    if (out && to[out - 1] == to[d] * n[d] && from[out - 1] == from[d] * n[d]) {
      n[out - 1] *= n[d];
      to[out - 1] = to[d];
      from[out - 1] = from[d];
      continue;
    }
    n[out] = n[d];
    to[out] = to[d];
    from[out++] = from[d];
  }
  rank = out;
  if (rank == 0) dim(1, 1, 1);
  // The dimension that the source has next to each other comes second from inside.
  if (rank >= 3 && from[rank - 1] != 1) {
    for (int d = 0; d < rank - 2; ++d)
      if (from[d] == 1) {
        std::swap(n[d], n[rank - 2]);
        std::swap(to[d], to[rank - 2]);
        std::swap(from[d], from[rank - 2]);
        break;
      }
  }
}

namespace {

template <class T>
void copy_run(T* d, int64_t to, const T* s, int64_t from, int64_t n) {
  if (to == 1 && from == 1) {
    std::memcpy(d, s, static_cast<size_t>(n) * sizeof(T));
  } else if (to == 1 && from == 0) {
    T v = *s;
    for (int64_t i = 0; i < n; ++i) d[i] = v;
  } else {
    for (int64_t i = 0; i < n; ++i) d[i * to] = s[i * from];
  }
}

// Rows of a size known to the compiler.
template <size_t kBytes>
void copy_rows(uint8_t* d, int64_t to, const uint8_t* s, int64_t from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(d + i * to, s + i * from, kBytes);
}
bool copy_short_rows(uint8_t* d, int64_t to, const uint8_t* s, int64_t from, int64_t n,
                     int64_t bytes) {
  switch (bytes) {
    case 2:
      copy_rows<2>(d, to, s, from, n);
      return true;
    case 4:
      copy_rows<4>(d, to, s, from, n);
      return true;
    case 8:
      copy_rows<8>(d, to, s, from, n);
      return true;
    case 12:
      copy_rows<12>(d, to, s, from, n);
      return true;
    case 16:
      copy_rows<16>(d, to, s, from, n);
      return true;
    case 32:
      copy_rows<32>(d, to, s, from, n);
      return true;
    case 64:
      copy_rows<64>(d, to, s, from, n);
      return true;
    default:
      return false;
  }
}

// Two dimensions, in blocks when the one is contiguous here and the other there.
template <class T>
void copy_plane(T* d, const T* s, const int64_t* n, const int64_t* to, const int64_t* from) {
  constexpr int64_t kBlock = 16;
  bool crossed = to[1] == 1 && from[0] == 1 && from[1] != 1;
  if (!crossed && to[1] == 1 && from[1] == 1) {
    constexpr int64_t kSize = sizeof(T);
    if (copy_short_rows(reinterpret_cast<uint8_t*>(d), to[0] * kSize,
                        reinterpret_cast<const uint8_t*>(s), from[0] * kSize, n[0], n[1] * kSize))
      return;
  }
  if (!crossed) {
    for (int64_t i = 0; i < n[0]; ++i)
      copy_run(d + i * to[0], to[1], s + i * from[0], from[1], n[1]);
    return;
  }
  for (int64_t i0 = 0; i0 < n[0]; i0 += kBlock)
    for (int64_t j0 = 0; j0 < n[1]; j0 += kBlock) {
      int64_t i1 = std::min(i0 + kBlock, n[0]), j1 = std::min(j0 + kBlock, n[1]);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t j = j0; j < j1; ++j) d[i * to[0] + j] = s[i + j * from[1]];
    }
}

template <class T>
void copy_box(const NdCopy& c, T* d, const T* s) {
  d += c.to_offset;
  s += c.from_offset;
  if (c.rank == 1) return copy_run(d, c.to[0], s, c.from[0], c.n[0]);
  int outer = c.rank - 2;
  int64_t at[limits::max_rank + 2] = {};
  for (;;) {
    copy_plane(d, s, c.n + outer, c.to + outer, c.from + outer);
    int dim = outer - 1;
    for (; dim >= 0; --dim) {
      d += c.to[dim];
      s += c.from[dim];
      if (++at[dim] < c.n[dim]) break;
      d -= at[dim] * c.to[dim];
      s -= at[dim] * c.from[dim];
      at[dim] = 0;
    }
    if (dim < 0) return;
  }
}

}  // namespace

void run_nd_copy(const NdCopy& c, void* d, const void* s) {
  switch (c.bytes) {
    case 1:
      return copy_box(c, static_cast<uint8_t*>(d), static_cast<const uint8_t*>(s));
    case 2:
      return copy_box(c, static_cast<uint16_t*>(d), static_cast<const uint16_t*>(s));
    case 4:
      return copy_box(c, static_cast<uint32_t*>(d), static_cast<const uint32_t*>(s));
    default:
      return copy_box(c, static_cast<uint64_t*>(d), static_cast<const uint64_t*>(s));
  }
}

}  // namespace tess::interp
