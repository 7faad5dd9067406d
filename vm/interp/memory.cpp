#include "vm/interp/memory.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "isa/numerics.h"
#include "vm/interp/bulk.h"

namespace tess::interp {

bool Written::reset(uint64_t storage_bits, uint32_t granule_bits) {
  granule_bits_ = granule_bits;
  uint64_t granules = (storage_bits + granule_bits - 1) / granule_bits;
  uint64_t words = (granules + 63) / 64;
  if (words != n_words_ || !words_) {
    words_.reset(new (std::nothrow) uint64_t[words]);
    n_words_ = words;
    if (!words_) return false;
  }
  std::memset(words_.get(), 0, words * 8);
  return true;
}

void Written::mark(uint64_t bit, uint64_t n_bits) {
  uint64_t first = bit / granule_bits_, last = (bit + n_bits - 1) / granule_bits_;
  for (uint64_t w = first / 64; w <= last / 64; ++w) {
    uint64_t mask = ~uint64_t{0};
    if (w == first / 64) mask &= ~uint64_t{0} << (first % 64);
    if (w == last / 64) mask &= ~uint64_t{0} >> (63 - last % 64);
    std::atomic_ref<uint64_t> word(words_[w]);
    if (mask == ~uint64_t{0}) word.store(mask, std::memory_order_relaxed);
    else if ((word.load(std::memory_order_relaxed) & mask) != mask)
      word.fetch_or(mask, std::memory_order_relaxed);
  }
}

bool Written::all(uint64_t bit, uint64_t n_bits) const {
  uint64_t first = bit / granule_bits_, last = (bit + n_bits - 1) / granule_bits_;
  for (uint64_t w = first / 64; w <= last / 64; ++w) {
    uint64_t mask = ~uint64_t{0};
    if (w == first / 64) mask &= ~uint64_t{0} << (first % 64);
    if (w == last / 64) mask &= ~uint64_t{0} >> (63 - last % 64);
    if ((std::atomic_ref<uint64_t>(words_[w]).load(std::memory_order_relaxed) & mask) != mask)
      return false;
  }
  return true;
}

bool clip(const Region& r, Run& run) {
  auto bit = [&](int64_t i) {
    return static_cast<int64_t>(run.bit + run.step * static_cast<uint64_t>(i));
  };
  int64_t first = static_cast<int64_t>(r.first_bit),
          last = static_cast<int64_t>(r.last_bit) - r.type.bits;
  int64_t skip = 0;
  while (run.n > 0 && bit(run.n - 1) > last) {
    int64_t over =
        run.step ? (bit(run.n - 1) - last - 1) / static_cast<int64_t>(run.step) + 1 : run.n;
    run.n -= std::min(over, run.n);
  }
  if (run.n > 0 && bit(0) < first)
    skip = run.step ? (first - bit(0) - 1) / static_cast<int64_t>(run.step) + 1 : run.n;
  if (skip >= run.n) return false;
  run = {run.tile + run.tile_step * skip, run.tile_step, static_cast<uint64_t>(bit(skip)), run.step,
         run.n - skip};
  return true;
}

bool Region::inside() const {
  if (limited) {
    int64_t reached = 0;
    walk(*this, [&](const Run& run) { reached += run.n; });
    return reached == elements();
  }
  if (nothing) return elements() == 0;
  for (int d = 0; d < rank; ++d) {
    if (d != gather_dim) {
      if (lo[d] > 0 || hi[d] < n[d]) return false;
      continue;
    }
    for (int64_t j = 0; j < n[d]; ++j)
      if (gather[j] < lo[d] || gather[j] >= hi[d]) return false;
  }
  return true;
}

namespace {

template <class T>
void copy_strided_in(const uint8_t* memory, uint64_t step, T* tile, int64_t tile_step, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(tile + i * tile_step, memory + step * static_cast<uint64_t>(i), sizeof(T));
}

template <class T>
void copy_strided_out(const T* tile, int64_t tile_step, uint8_t* memory, uint64_t step, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(memory + step * static_cast<uint64_t>(i), tile + i * tile_step, sizeof(T));
}

bool whole_bytes(DType t, const Run& run) {
  return t.bits % 8 == 0 && run.bit % 8 == 0 && run.step % 8 == 0;
}

}  // namespace

void load_run(DType t, const uint8_t* base, const Run& run, void* tile) {
  int bytes = carrier_bytes(carrier_of(t));
  uint8_t* out = static_cast<uint8_t*>(tile) + run.tile * bytes;
  bool dense = run.step == t.bits && run.tile_step == 1;
  if (!whole_bytes(t, run) || t.is_bool()) {
    if (dense || run.n == 1) return unpack_bulk(t, base, run.bit, run.n, out);
    for (int64_t i = 0; i < run.n; ++i)
      unpack_bulk(t, base, run.bit + run.step * static_cast<uint64_t>(i), 1,
                  out + i * run.tile_step * bytes);
    return;
  }
  const uint8_t* memory = base + run.bit / 8;
  if (dense) {
    std::memcpy(out, memory, static_cast<size_t>(run.n) * bytes);
    return;
  }
  uint64_t step = run.step / 8;
  // A negative stride's step wraps; divide it as the signed number it is.
  if (static_cast<int64_t>(run.step) < 0)
    step = static_cast<uint64_t>(static_cast<int64_t>(run.step) / 8);
  switch (bytes) {
    case 1:
      return copy_strided_in(memory, step, out, run.tile_step, run.n);
    case 2:
      return copy_strided_in(memory, step, reinterpret_cast<uint16_t*>(out), run.tile_step, run.n);
    case 4:
      return copy_strided_in(memory, step, reinterpret_cast<uint32_t*>(out), run.tile_step, run.n);
    default:
      return copy_strided_in(memory, step, reinterpret_cast<uint64_t*>(out), run.tile_step, run.n);
  }
}

void store_run(DType t, const void* tile, uint8_t* base, const Run& run) {
  int bytes = carrier_bytes(carrier_of(t));
  const uint8_t* in = static_cast<const uint8_t*>(tile) + run.tile * bytes;
  bool dense = run.step == t.bits && run.tile_step == 1;
  if (!whole_bytes(t, run)) {
    if (dense || run.n == 1) return pack_bulk(t, in, base, run.bit, run.n);
    for (int64_t i = 0; i < run.n; ++i)
      pack_bulk(t, in + i * run.tile_step * bytes, base,
                run.bit + run.step * static_cast<uint64_t>(i), 1);
    return;
  }
  uint8_t* memory = base + run.bit / 8;
  if (dense) {
    std::memcpy(memory, in, static_cast<size_t>(run.n) * bytes);
    return;
  }
  uint64_t step = static_cast<uint64_t>(static_cast<int64_t>(run.step) / 8);
  switch (bytes) {
    case 1:
      return copy_strided_out(in, run.tile_step, memory, step, run.n);
    case 2:
      return copy_strided_out(reinterpret_cast<const uint16_t*>(in), run.tile_step, memory, step,
                              run.n);
    case 4:
      return copy_strided_out(reinterpret_cast<const uint32_t*>(in), run.tile_step, memory, step,
                              run.n);
    default:
      return copy_strided_out(reinterpret_cast<const uint64_t*>(in), run.tile_step, memory, step,
                              run.n);
  }
}

void fill_carriers(int bytes, void* tile, int64_t n, const void* value) {
  auto fill = [&]<class T>(T) {
    T v;
    std::memcpy(&v, value, sizeof v);
    T* out = static_cast<T*>(tile);
    for (int64_t i = 0; i < n; ++i) out[i] = v;
  };
  switch (bytes) {
    case 1:
      std::memset(tile, *static_cast<const uint8_t*>(value), static_cast<size_t>(n));
      return;
    case 2:
      return fill(uint16_t{});
    case 4:
      return fill(uint32_t{});
    default:
      return fill(uint64_t{});
  }
}

}  // namespace tess::interp
