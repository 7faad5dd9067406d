// Dense bit streams to carrier arrays and back.
#include <atomic>
#include <cstring>

#include "vm/interp/bulk.h"
#include "vm/interp/bulk_simd.h"

namespace tess {
namespace {

using u128 = unsigned __int128;

constexpr uint64_t low_mask(int width) { return width >= 64 ? ~0ull : (1ull << width) - 1; }
bool is_byte_aligned(DType t, uint64_t first_bit) { return t.bits >= 8 && first_bit % 8 == 0; }

void normalise_bools(DType t, uint8_t* p, size_t n) {
  if (!t.is_bool()) return;
  for (size_t i = 0; i < n; ++i) p[i] = p[i] != 0;
}

// Replaces the bits of `mask`; others may be changing the rest of the byte.
void merge_byte(uint8_t& byte, uint8_t mask, uint8_t value) {
  std::atomic_ref<uint8_t> shared(byte);
  uint8_t old = shared.load(std::memory_order_relaxed);
  while (!shared.compare_exchange_weak(old, static_cast<uint8_t>((old & ~mask) | (value & mask)),
                                       std::memory_order_relaxed)) {
  }
}

// Appends bits; the first and the last byte may belong to others in part.
struct BitWriter {
  uint8_t* p;
  int foreign;  // low bits of *p that are not ours
  u128 hold = 0;
  int held;

  BitWriter(uint8_t* bytes, uint64_t first_bit)
      : p(bytes + first_bit / 8), foreign(first_bit % 8), held(foreign) {}

  void push(uint64_t value, int width) {
    hold |= static_cast<u128>(value) << held;
    for (held += width; held >= 8; held -= 8, hold >>= 8) {
      uint8_t byte = static_cast<uint8_t>(hold);
      if (foreign) merge_byte(*p, static_cast<uint8_t>(0xFF << foreign), byte);
      else *p = byte;
      foreign = 0;
      ++p;
    }
  }
  void finish() {
    auto mask = static_cast<uint8_t>(low_mask(held) & ~low_mask(foreign));
    if (mask) merge_byte(*p, mask, static_cast<uint8_t>(hold));
  }
};

// The low `width` bits of eight bytes, closed up: in pairs, then in fours, then all. Each step
// keeps the lower half of a lane and moves the upper one down to it.
struct Closer {
  int width;
  uint64_t ones, lower1, lower2, lower4;
  explicit Closer(int w)
      : width(w),
        ones(low_mask(w) * 0x0101010101010101),
        lower1(low_mask(w) * 0x0001000100010001),
        lower2(low_mask(2 * w) * 0x0000000100000001),
        lower4(low_mask(4 * w)) {}
  uint64_t operator()(const uint8_t* bytes) const {
    uint64_t x;
    std::memcpy(&x, bytes, 8);
    x &= ones;
    x = (x & lower1) | (x & ~lower1) >> (8 - width);
    x = (x & lower2) | (x & ~lower2) >> (16 - 2 * width);
    return (x & lower4) | (x & ~lower4) >> (32 - 4 * width);
  }
};

void pack_narrow(const uint8_t* src, uint8_t* bytes, uint64_t first_bit, int width, size_t n) {
  BitWriter writer(bytes, first_bit);
  const Closer close(width);
  const uint8_t* owned_end = bytes + (first_bit + n * width) / 8;  // of the bytes wholly ours
  size_t i = 0;
  if (n >= 8) {  // the first eight settle the byte shared with whoever stands before
    writer.push(close(src), 8 * width);
    i = 8;
  }
  // From here on every eight elements are `width` whole bytes, after the bits left from those
  // before.
  uint64_t carry = static_cast<uint64_t>(writer.hold);
  uint8_t* p = writer.p;
  for (; i + 8 <= n; i += 8, p += width) {
    uint64_t v = carry | close(src + i) << writer.held;
    if (owned_end - p >= 8) std::memcpy(p, &v, 8);
    else std::memcpy(p, &v, width);
    carry = v >> (8 * width);
  }
  writer.p = p;
  writer.hold = carry;
  for (; i < n; ++i) writer.push(src[i] & low_mask(width), width);
  writer.finish();
}

}  // namespace

void unpack_bulk_naive(DType t, const uint8_t* bytes, uint64_t first_bit, size_t n,
                       void* carriers) {
  for (size_t i = 0; i < n; ++i) {
    uint64_t code = read_bits(bytes, first_bit + i * t.bits, t.bits);
    set_carrier(t, carriers, i, t.is_bool() ? code != 0 : code);
  }
}

void unpack_bulk(DType t, const uint8_t* bytes, uint64_t first_bit, size_t n, void* carriers) {
  if (n == 0) return;
  bytes += first_bit / 8;
  int offset = first_bit % 8;
  if (t.bits < 8) {
    bulk::unpack_narrow(bytes, offset, t.bits, t.is_signed(), static_cast<uint8_t*>(carriers), n);
  } else if (offset == 0) {
    std::memcpy(carriers, bytes, n * (t.bits / 8));
  } else {  // whole bytes across byte boundaries
    auto out = static_cast<uint8_t*>(carriers);
    size_t count = n * (t.bits / 8);
    for (size_t i = 0; i < count; ++i)
      out[i] = static_cast<uint8_t>((bytes[i] | bytes[i + 1] << 8) >> offset);
  }
  normalise_bools(t, static_cast<uint8_t*>(carriers), n);
}

void pack_bulk_naive(DType t, const void* carriers, uint8_t* bytes, uint64_t first_bit, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    uint64_t code = carrier_code(t, carriers, i);
    write_bits(bytes, first_bit + i * t.bits, t.bits, t.is_bool() ? code != 0 : code);
  }
}

void pack_bulk(DType t, const void* carriers, uint8_t* bytes, uint64_t first_bit, size_t n) {
  if (n == 0) return;
  auto src = static_cast<const uint8_t*>(carriers);
  if (t.bits < 8) return pack_narrow(src, bytes, first_bit, t.bits, n);
  if (is_byte_aligned(t, first_bit)) {
    std::memcpy(bytes + first_bit / 8, src, n * (t.bits / 8));
    return normalise_bools(t, bytes + first_bit / 8, n);
  }
  BitWriter writer(bytes, first_bit);
  size_t count = n * (t.bits / 8);
  for (size_t i = 0; i < count; ++i) writer.push(t.is_bool() ? src[i] != 0 : src[i], 8);
  writer.finish();
}

}  // namespace tess
