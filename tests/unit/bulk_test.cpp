// The bulk conversions against the loop over numerics.h, bit for bit, on every SIMD target of the
// machine.
#include "vm/interp/bulk.h"

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "tests/unit/numerics_oracle.h"

using namespace tess;
using oracle::Mismatches;

namespace {

using Random = std::mt19937_64;

size_t size_of(DType t) { return static_cast<size_t>(carrier_bytes(carrier_of(t))); }
bool is_number(DType t) { return t.is_float() || t.kind == Kind::scale; }

// Codes that exercise a type: all of them up to 16 bits, else ends, specials and all magnitudes.
std::vector<uint64_t> codes_of(DType t) {
  std::vector<uint64_t> codes;
  if (t.is_bool()) return {0, 1, 2, 0x80, 0xFF};
  if (t.bits <= 16) {
    for (uint64_t c = 0; c < uint64_t{1} << t.bits; ++c) codes.push_back(c);
    return codes;
  }
  Random random(t.bits + t.man);
  uint64_t mask = t.bits == 64 ? ~0ull : (1ull << t.bits) - 1;
  for (int i = 0; i < 40'000; ++i) {
    uint64_t code = random();
    if (t.is_int()) code = static_cast<uint64_t>(static_cast<int64_t>(code) >> random() % 64);
    if (t.is_float() && i % 4) {  // near the range of the small types, with few mantissa bits
      double x = std::ldexp(static_cast<double>(random() % 4096) / 64,
                            static_cast<int>(random() % 48) - 32);
      if (i % 4 == 1) x = std::nextafter(x, random() % 2 ? 0.0 : INFINITY);
      if (i % 4 == 2) x = std::nextafter(static_cast<float>(x), random() % 2 ? 0.0f : INFINITY);
      code = encode_float(t, random() % 2 ? x : -x);
    }
    codes.push_back(code & mask);
  }
  if (t.is_float())
    for (double x : {0.0, -0.0, HUGE_VAL, 1e39, -1e39, 3.4028235677973366e38, 5e-324, 2147483647.0,
                     4294967295.0, 9.2e18, 1.9e19})
      for (double y : {x, -x}) codes.push_back(encode_float(t, y));
  if (t.is_float())
    codes.insert(codes.end(), {nan_code(t), nan_code(t) | 1ull << (t.bits - 1), max_code(t) + 2});
  codes.insert(codes.end(), {0, mask, max_code(t), max_code(t) + 1, max_code(t) - 1});
  return codes;
}

// Bytes with a canary behind them.
struct Guarded {
  std::vector<uint8_t> bytes;
  explicit Guarded(size_t size) : bytes(size + 64, 0xA5) {}
  void* data() { return bytes.data(); }
  bool operator==(const Guarded&) const = default;
};

// Calls `body` once per SIMD target of this machine, with the kernels dispatched to it.
template <class Body>
void on_every_target(Body body) {
  int64_t all = hwy::SupportedTargets();
  for (int64_t rest = all; rest; rest &= rest - 1) {
    int64_t target = rest & -rest;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    CAPTURE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

TEST_CASE("bulk casts equal cast_code for all pairs of types and all modes") {
  Mismatches m;
  for (DType from : all_dtypes()) {
    std::vector<uint64_t> codes = codes_of(from);
    std::vector<uint64_t> src(codes.size());
    for (size_t i = 0; i < codes.size(); ++i) set_carrier(from, src.data(), i, codes[i]);
    if (from.is_bool())  // a nonzero byte is true, also before it is normalised
      for (size_t i = 0; i < codes.size(); ++i)
        reinterpret_cast<uint8_t*>(src.data())[i] = static_cast<uint8_t>(codes[i]);
    for (DType to : all_dtypes())
      for (int k = 0; k < 16; ++k) {
        CastMode mode{static_cast<Round>(k % 4), k & 4 ? Overflow::nosat : Overflow::saturate,
                      (k & 8) != 0};
        bool relevant = is_number(to) ? !mode.saturate_int : mode.round == Round::rne && !(k & 4);
        if (!relevant || (k & 4 && to.bits > 8)) continue;
        // The directed modes are the naive loop but for e8m0: a sample will do.
        size_t n = codes.size();
        if (mode.round != Round::rne && n > 1000 && to.kind != Kind::scale) n = 1000;
        Guarded fast(n * size_of(to)), naive(n * size_of(to));
        cast_bulk(to, from, src.data(), fast.data(), n, mode);
        cast_bulk_naive(to, from, src.data(), naive.data(), n, mode);
        bool equal = fast == naive;
        m.expect(equal, [&] {
          size_t i = 0;
          while (i + 1 < n && carrier_code(to, fast.data(), i) == carrier_code(to, naive.data(), i))
            ++i;
          return fmt::format("{} {:#x} to {} mode {}: {:#x}, expected {:#x}", dtype_name(from),
                             codes[i], dtype_name(to), k, carrier_code(to, fast.data(), i),
                             carrier_code(to, naive.data(), i));
        });
      }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("from f32 in bulk: every value, midpoint and neighbour of every type") {
  Mismatches m;
  for (DType t : all_dtypes()) {
    if (!t.is_float() || (t.bits > 16 && !t.is_tf32())) continue;
    oracle::Nearest nearest(t);
    std::vector<float> src;
    for (size_t i = 0; i + 1 < nearest.table.size(); ++i)
      for (double point : {nearest.table[i], (nearest.table[i] + nearest.table[i + 1]) / 2}) {
        float x = static_cast<float>(point);
        for (float y : {x, std::nextafter(x, -INFINITY), std::nextafter(x, INFINITY)})
          src.insert(src.end(), {y, -y});
      }
    src.insert(src.end(), {INFINITY, -INFINITY, NAN, -NAN, 3.4e38f, -3.4e38f, 1e-45f});
    for (Overflow overflow : {Overflow::saturate, Overflow::nosat}) {
      if (overflow == Overflow::nosat && t.bits > 8) continue;
      std::vector<uint64_t> want;
      for (float x : src) want.push_back(nearest(x, Round::rne, overflow));
      on_every_target([&] {
        std::vector<uint32_t> dst(src.size());
        cast_bulk(t, dt::f32_, src.data(), dst.data(), src.size(), {Round::rne, overflow});
        for (size_t i = 0; i < src.size(); ++i) {
          uint64_t got = carrier_code(t, dst.data(), i);
          m.expect(got == want[i], [&] {
            return fmt::format("{} of {:a}: {:#x}, expected {:#x}", dtype_name(t), src[i], got,
                               want[i]);
          });
        }
      });
    }
  }
  CHECK_SWEEP(m);
}

TEST_CASE("to f32 in bulk: every code up to 16 bits") {
  on_every_target([] {
    Mismatches m;
    for (DType t : all_dtypes()) {
      if (!(t.is_float() || t.kind == Kind::scale) || t.bits > 16) continue;
      std::vector<uint64_t> codes = codes_of(t), carriers(codes.size());
      std::vector<float> dst(codes.size());
      for (size_t i = 0; i < codes.size(); ++i) set_carrier(t, carriers.data(), i, codes[i]);
      to_f32_bulk(t, carriers.data(), dst.data(), codes.size());
      for (size_t i = 0; i < codes.size(); ++i) {
        double want = oracle::value(t, codes[i]);
        uint32_t bits = std::bit_cast<uint32_t>(dst[i]);
        uint32_t expected =
            std::isnan(want) ? 0x7FC00000 : std::bit_cast<uint32_t>(static_cast<float>(want));
        m.expect(bits == expected,
                 [&] { return fmt::format("{} {:#x}: {:#x}", dtype_name(t), codes[i], bits); });
      }
    }
    CHECK_SWEEP(m);
  });
}

TEST_CASE("every length from 0 to 70 leaves what stands behind it alone") {
  on_every_target([] {
    Mismatches m;
    std::vector<float> src(70);
    for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(i) * 0.37f - 9;
    for (DType t : all_dtypes())
      for (size_t n = 0; n <= src.size(); ++n) {
        Guarded fast(n * size_of(t)), naive(n * size_of(t));
        std::vector<float> exact(src.begin(), src.begin() + static_cast<ptrdiff_t>(n));
        from_f32_bulk(t, exact.data(), fast.data(), n);
        cast_bulk_naive(t, dt::f32_, exact.data(), naive.data(), n);
        Guarded back(n * 4), back_naive(n * 4);
        to_f32_bulk(t, naive.data(), static_cast<float*>(back.data()), n);
        cast_bulk_naive(dt::f32_, t, naive.data(), back_naive.data(), n);
        m.expect(fast == naive && back == back_naive,
                 [&] { return fmt::format("{} n {}", dtype_name(t), n); });
      }
    CHECK_SWEEP(m);
  });
}

TEST_CASE("bit streams of every type at every bit offset and length") {
  on_every_target([] {
    Mismatches m;
    Random random(17);
    for (DType t : all_dtypes())
      for (uint64_t first_bit = 0; first_bit < 24; ++first_bit)
        for (size_t n : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 129}) {
          // Exactly as many bytes as hold the elements, for the address sanitizer.
          std::vector<uint8_t> bytes((first_bit + n * t.bits + 7) / 8);
          for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
          Guarded fast(n * size_of(t)), naive(n * size_of(t));
          unpack_bulk(t, bytes.data(), first_bit, n, fast.data());
          unpack_bulk_naive(t, bytes.data(), first_bit, n, naive.data());
          m.expect(fast == naive, [&] {
            return fmt::format("unpack {} at {} n {}", dtype_name(t), first_bit, n);
          });

          std::vector<uint64_t> values(n + 1);
          for (uint64_t& v : values) v = random();
          std::vector<uint8_t> packed = bytes, packed_naive = bytes;
          pack_bulk(t, values.data(), packed.data(), first_bit, n);
          pack_bulk_naive(t, values.data(), packed_naive.data(), first_bit, n);
          m.expect(packed == packed_naive,
                   [&] { return fmt::format("pack {} at {} n {}", dtype_name(t), first_bit, n); });
        }
    CHECK_SWEEP(m);
  });
}

// Each thread writes only its own three bits of one byte and must find them as it left them. Both
// go on until each has seen the other's bits change often, so that they did run at the same time.
TEST_CASE("packs to one byte from two threads never undo each other") {
  uint8_t bytes[1] = {};
  std::atomic<int> satisfied = 0;
  std::atomic<uint64_t> lost = 0;
  auto hammer = [&](uint64_t first_bit, uint64_t other_bit) {
    constexpr uint64_t kEnough = 20'000, kLimit = 400'000'000;
    int last = 0;
    uint64_t changes = 0;
    for (uint64_t i = 0; i < kLimit && satisfied < 2; ++i) {
      uint8_t value = i % 8;
      pack_bulk(dt::u3_, &value, bytes, first_bit, 1);
      uint8_t byte = std::atomic_ref<uint8_t>(bytes[0]).load(std::memory_order_relaxed);
      lost += (byte >> first_bit & 7) != value;
      int others = byte >> other_bit & 7;
      if (others != last && ++changes == kEnough) ++satisfied;
      last = others;
    }
  };
  std::thread other(hammer, 1, 4);
  hammer(4, 1);
  other.join();
  CHECK(lost == 0);
  CHECK((bytes[0] & 0x81) == 0);
}
