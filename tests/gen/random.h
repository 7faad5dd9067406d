// A small generator of random numbers: the same sequence everywhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace tess::gen {

class Rng {
 public:
  // Seeds are scrambled: streams of neighbouring ones would be shifted copies of each other.
  explicit Rng(uint64_t seed) : state_(seed) { state_ = next() ^ seed << 32; }
  uint64_t next() {  // splitmix64
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  // 0 .. n-1; lo .. hi
  uint64_t below(uint64_t n) { return next() % n; }
  int64_t between(int64_t lo, int64_t hi) {
    return lo + static_cast<int64_t>(below(static_cast<uint64_t>(hi - lo + 1)));
  }
  bool chance(int percent) { return below(100) < static_cast<uint64_t>(percent); }
  template <class Range>
  const auto& pick(const Range& r) {
    return r[below(std::size(r))];
  }

 private:
  uint64_t state_;
};

}  // namespace tess::gen
