// Which slices are known not to begin below 0, and which uses of a ring are counted from 0; by
// hand.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "jit/tile/signs.h"
#include "tests/unit/infer_harness.h"

namespace tess {
namespace {

struct Known {
  bool never_negative, counts;
};
// Of the index of the first load of x.
Known known_of(const std::string& params, const std::string& body) {
  VerifiedModule m = test::load_text(fmt::format(
      "kernel k({}, x: in i32[64], y: out i32[64]) grid(64) warps(4)\n{{\n{}}}\n", params, body));
  const Kernel& k = m.kernel(0);
  jit::tile::Signs signs(k, jit::tile::Within(k));
  for (const Inst& inst : k.code) {
    if (inst.op != Op::load) continue;
    Ref start = k.indices_of(k.accesses[k.args(inst)[0].index()])[0].start;
    return {signs.never_negative(start), signs.counts(start)};
  }
  FAIL("no load");
  return {};
}
bool never(const std::string& index, const std::string& params = "n: i32") {
  return known_of(params, "store (load x[" + index + "]), y[0]\n").never_negative;
}
bool counts(const std::string& before, const std::string& index, const std::string& after = "") {
  return known_of("n: i32, m: i32 0..100", before + "store (load x[" + index + "]), y[0]\n" + after)
      .counts;
}

}  // namespace

TEST_CASE("signs: what certainly is not negative") {
  CHECK(never("0"));
  CHECK(never("block.x"));
  CHECK(never("block.x * 1024"));
  CHECK(never("max(n, 0)"));
  CHECK(never("n & 7"));
  CHECK(never("rem(block.x, 3)"));
  CHECK(never("n", "n: i32 0..5"));
  CHECK(never("n + 1", "n: i32 0..5"));
  CHECK(known_of("n: i32", "for %i in 3..n {\nstore (load x[%i]), y[0]\n}\n").never_negative);
}
TEST_CASE("signs: what may be") {
  CHECK_FALSE(never("-1"));
  CHECK_FALSE(never("n"));
  CHECK_FALSE(never("n", "n: i32 -1..5"));
  CHECK_FALSE(never("block.x - 1"));
  CHECK_FALSE(never("min(n, 3)"));
  CHECK_FALSE(never("rem(n, 3)"));
  CHECK_FALSE(never("n * n", "n: i32 0..2147483647"));  // it wraps around
  CHECK_FALSE(known_of("n: i32", "for %i in n..5 {\nstore (load x[%i]), y[0]\n}\n").never_negative);
  CHECK_FALSE(
      known_of("n: i32", "for %i in 3..n step n {\nstore (load x[%i]), y[0]\n}\n").never_negative);
  // A counter wraps around too, after 2^31 turns.
  CHECK_FALSE(
      known_of("n: i32", "%i = 0\nwhile %i < n {\nstore (load x[%i]), y[0]\n%i = %i + 1\n}\n")
          .never_negative);
}
TEST_CASE("signs: use numbers count") {
  CHECK(counts("%i = 0\nwhile %i < n {\n", "%i", "%i = %i + 1\n}\n"));
  CHECK(counts("%i = 0\nwhile %i < n {\n", "%i + 2", "%i = %i + 1\n}\n"));
  CHECK(counts("%i = 0\n%j = 0\nwhile %i < n {\n", "%j", "%j = %i * m + 3\n%i = %i + 1\n}\n"));
}
TEST_CASE("signs: but not down") {
  CHECK_FALSE(counts("%i = 0\nwhile %i < n {\n", "%i", "%i = %i - 1\n}\n"));
  CHECK_FALSE(counts("%i = 0\nwhile %i < n {\n", "%i - 1", "%i = %i + 1\n}\n"));
  CHECK_FALSE(counts("%i = n\nwhile %i < m {\n", "%i", "%i = %i + 1\n}\n"));
  // A definition that comes later, in a loop, counts as well.
  CHECK_FALSE(counts("%i = 0\n%j = 0\nwhile %i < n {\n", "%j", "%j = n\n%i = %i + 1\n}\n"));
}

}  // namespace tess
