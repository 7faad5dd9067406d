// From f32, all 2^32 inputs: every float of at most 16 bits, tf32 and e8m0, in every rounding mode.
//
// What rounding gives changes only at values of the type, at midpoints between them, and (to keep
// the inner loops simple) at powers of two. Between two such points, and on each, the naive oracle
// gives one code for each mode; the program must give it for every single input there:
//
//   the rounding code with the type as a constant       every input, every mode
//   the bulk conversion that the interpreter runs       every input, nearest even, both overflows
//   encode_float, as a call                             the ends of every stretch, every mode
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <optional>

#include "isa/numerics.h"
#include "tests/unit/numerics_oracle.h"
#include "tests/unit/numerics_sweep.h"
#include "tests/unit/sweep_threads.h"
#include "vm/interp/bulk.h"

using namespace tess;
using oracle::Mismatches;

namespace {

constexpr uint32_t kInfinity = 0x7F800000, kSign = 0x80000000;

float f32_of(uint32_t code) { return std::bit_cast<float>(code); }

struct Oracle {
  DType t;
  std::optional<oracle::Nearest> nearest;
  bool exact = true;             // every point is an f32
  std::vector<uint32_t> starts;  // of stretches, among the codes without sign; the last is kSign

  explicit Oracle(DType type) : t(type) {
    auto alone = [this](double x) {
      float narrow = static_cast<float>(x);
      exact = exact && (narrow == x || x == 0x1p128);
      uint32_t code = std::bit_cast<uint32_t>(narrow);
      starts.push_back(code);
      starts.push_back(code + 1);
    };
    for (uint32_t field = 0; field <= 0xFF; ++field) starts.push_back(field << 23);
    alone(INFINITY);
    if (t.kind == Kind::scale) {
      for (int e = -149; e < 128; ++e) alone(std::ldexp(1.0, e));
    } else {
      nearest.emplace(t);
      const std::vector<double>& values = nearest->table;
      for (double x : values) alone(x);
      for (size_t i = 0; i + 1 < values.size(); ++i) alone((values[i] + values[i + 1]) / 2);
    }
    starts.push_back(kSign);
    std::sort(starts.begin(), starts.end());
    starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  }

  uint64_t wanted(uint32_t code, sweep::Mode mode) const {
    float x = f32_of(code);
    return nearest ? (*nearest)(x, mode.round, mode.overflow) : oracle::scale(x, mode.round);
  }

  // Calls visit(first, last) for the parts of stretches in the codes first..last, of one sign.
  template <class Visit>
  void stretches(uint32_t first, uint32_t last, Visit visit) const {
    uint32_t sign = first & kSign;
    auto at = std::upper_bound(starts.begin(), starts.end(), first - sign) - 1;
    for (; (*at | sign) <= last && *at < kSign; ++at)
      visit(std::max(first, *at | sign), std::min(last, (at[1] - 1) | sign));
  }
};

void check_block(const Oracle& oracle, uint32_t first, Mismatches& m) {
  DType t = oracle.t;
  m.expect(oracle.exact, [&] { return fmt::format("a point of {} is no f32", dtype_name(t)); });
  uint32_t last = first + (sweep::kBlock - 1);
  std::vector<sweep::Mode> modes = sweep::modes(t);

  std::vector<uint32_t> in(sweep::kBlock);
  for (uint32_t i = 0; i < sweep::kBlock; ++i) in[i] = first + i;
  std::vector<std::vector<uint32_t>> bulk;
  for (sweep::Mode mode : modes)
    if (mode.round == Round::rne) {
      bulk.emplace_back(sweep::kBlock);
      cast_bulk(t, dt::f32_, in.data(), bulk.back().data(), sweep::kBlock,
                {mode.round, mode.overflow});
    }

  oracle.stretches(first, last, [&](uint32_t from, uint32_t to) {
    auto describe = [&] {
      return fmt::format("{} of one of {:#x}..{:#x}", dtype_name(t), from, to);
    };
    std::vector<uint64_t> wanted;
    size_t nearest = 0;
    for (sweep::Mode mode : modes) {
      uint64_t code = oracle.wanted(from, mode);
      wanted.push_back(code);
      bool ends = oracle.wanted(to, mode) == code &&
                  encode_float(t, f32_of(from), mode.round, mode.overflow) == code &&
                  encode_float(t, f32_of(to), mode.round, mode.overflow) == code;
      m.expect(ends, [&] { return "at an end: " + describe(); });
      if (mode.round != Round::rne) continue;
      m.expect(sweep::all_equal(t, bulk[nearest++].data(), from - first, to - from + 1, code),
               [&] { return "in bulk: " + describe(); });
    }
    m.expect(sweep::rounds_to(t, from, to, wanted), describe);
  });
}

Mismatches total(const std::vector<Mismatches>& parts) {
  Mismatches all;
  for (const Mismatches& part : parts) {
    all.count += part.count;
    all.cases += part.cases;
    all.first += part.first;
  }
  return all;
}

bool is_swept(DType t) {
  return t.kind == Kind::scale || (t.is_float() && (t.bits <= 16 || t.is_tf32()));
}

}  // namespace

TEST_CASE("the sweep over f32 leaves out no type, and tells a wrong code") {
  std::vector<DType> swept = sweep::types();
  size_t n = 0;
  for (DType t : all_dtypes()) {
    if (!is_swept(t)) continue;
    ++n;
    CAPTURE(dtype_name(t));
    CHECK(std::find(swept.begin(), swept.end(), t) != swept.end());
    // Right, and then wrong in each mode.
    Oracle oracle(t);
    for (uint32_t code :
         {0x3F7FFFFFu, 0x3F800000u, 0xC0490FDBu, 0x00000001u, 0x7F7FFFFFu, 0xFFC00000u}) {
      std::vector<uint64_t> wanted;
      for (sweep::Mode mode : sweep::modes(t)) wanted.push_back(oracle.wanted(code, mode));
      CHECK(sweep::rounds_to(t, code, code, wanted));
      for (uint64_t& w : wanted) {
        w ^= 1;
        CHECK(!sweep::rounds_to(t, code, code, wanted));
        w ^= 1;
      }
    }
    std::vector<uint32_t> carriers(3);
    for (size_t i = 0; i < 3; ++i) set_carrier(t, carriers.data(), i, one_code(t));
    CHECK(sweep::all_equal(t, carriers.data(), 0, 3, one_code(t)));
    set_carrier(t, carriers.data(), 2, max_code(t));
    CHECK(!sweep::all_equal(t, carriers.data(), 0, 3, one_code(t)));
    CHECK(sweep::all_equal(t, carriers.data(), 0, 2, one_code(t)));
  }
  CHECK(n == swept.size());
}

TEST_CASE("the sweep on a few blocks of f32 inputs") {
  std::vector<Mismatches> found(1);
  for (DType t : sweep::types()) {
    Oracle oracle(t);
    for (uint32_t first : {0x00000000u, 0x3F700000u, 0xC3D00000u, 0x7F700000u})
      check_block(oracle, first, found[0]);
  }
  Mismatches m = total(found);
  CHECK_SWEEP(m);
}

TEST_CASE("long: all 2^32 f32 inputs to every float of at most 16 bits, tf32 and e8m0, all modes") {
  unsigned workers = sweep::worker_count();
  std::vector<Mismatches> found(workers);
  sweep::each_block(workers, [&](uint32_t first, unsigned w) {
    uint32_t field = first >> 23 & 0xFF;
    if (field == 0 || field == 0xFF) return;
    found[w].expect(sweep::f32_takes_apart(first, first + (sweep::kBlock - 1)),
                    [&] { return fmt::format("f32 from {:#x} on", first); });
  });
  size_t done = 0;
  for (DType t : sweep::types()) {
    sweep::show_progress(
        fmt::format("all f32 to {}: type {} of {}", dtype_name(t), ++done, sweep::types().size()));
    Oracle oracle(t);
    sweep::each_block(workers,
                      [&](uint32_t first, unsigned w) { check_block(oracle, first, found[w]); });
  }
  sweep::show_progress("");
  Mismatches m = total(found);
  CHECK_SWEEP(m);
}
