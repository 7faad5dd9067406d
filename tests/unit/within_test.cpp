// Which accesses need no check of bounds, and which do; every case by hand.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "jit/tile/within.h"
#include "tests/unit/infer_harness.h"

namespace tess {
namespace {

// Whether the first load of `x`, of shape (m, n), is inside along its first dimension.
bool rows_inside(const std::string& params, const std::string& grid, const std::string& body,
                 const std::string& rows = "m") {
  VerifiedModule m = test::load_text(fmt::format(
      "kernel k({}, n: i32, x: in f32[{},n], y: out f32[n])\n    grid({}) warps(1)\n{{\n{}}}\n",
      params, rows, grid, body));
  const Kernel& k = m.kernel(0);
  jit::tile::Within within(k);
  for (const Inst& inst : k.code) {
    if (inst.op != Op::load) continue;
    const Access& a = k.accesses[k.args(inst)[0].index()];
    const Index& i = k.indices_of(a)[0];
    return within.holds(i.start, i.kind == IndexKind::range ? i.extent : 1,
                        k.params[a.base].shape[0]);
  }
  FAIL("no load");
  return false;
}
std::string load(const std::string& rows) {
  return "store (reduce.add (load x[" + rows + ", 0:+4]) {dim 0}), y[0:+4]\n";
}
bool loop(const std::string& params, const std::string& range, const std::string& rows) {
  return rows_inside(params, "1", "for %i in " + range + " {\n" + load(rows) + "}\n");
}
bool blocks(const std::string& params, const std::string& grid, const std::string& rows) {
  return rows_inside(params, grid, load(rows));
}

}  // namespace

TEST_CASE("within: a loop whose end the step divides") {
  CHECK(loop("m: i32 divisible(32)", "0..m step 32", "%i:+32"));
  CHECK(loop("m: i32 divisible(32)", "0..m step 16", "%i:+16"));
  CHECK(loop("m: i32 divisible(32)", "64..m step 32", "%i:+32"));
  CHECK(loop("m: i32 divisible(96)", "0..m step 48", "%i:+48"));
  CHECK(loop("m: i32 divisible(32)", "0..m step 32", "%i+16:+16"));
}
TEST_CASE("within: not without that fact") {
  CHECK_FALSE(loop("m: i32", "0..m step 32", "%i:+32"));
  CHECK_FALSE(loop("m: i32 divisible(16)", "0..m step 32", "%i:+32"));
  CHECK_FALSE(loop("m: i32 divisible(32)", "0..m step 32", "%i:+33"));
  CHECK_FALSE(loop("m: i32 divisible(32)", "0..m step 32", "%i+16:+32"));
  CHECK_FALSE(loop("m: i32 divisible(32)", "0..m step 32", "%i-16:+16"));
  CHECK_FALSE(loop("m: i32 divisible(32)", "16..m step 32", "%i:+32"));
  CHECK_FALSE(loop("m: i32 divisible(32), o: i32 divisible(32)", "0..o step 32", "%i:+32"));
  CHECK_FALSE(loop("m: i32 divisible(32), o: i32", "o..m step 32", "%i:+32"));
  CHECK_FALSE(rows_inside("m: i32 divisible(32)", "1",
                          "%j = 0\nfor %i in 0..m step 32 {\n%j = %i + 32\n}\n" + load("%j:+32")));
}
TEST_CASE("within: block numbers") {
  CHECK(blocks("m: i32 divisible(64)", "cdiv(m, 64)", "block.x*64:+64"));
  CHECK(blocks("m: i32", "m / 64", "block.x*64:+64"));
  CHECK(blocks("m: i32", "m", "block.x:+1"));
  CHECK_FALSE(blocks("m: i32", "cdiv(m, 64)", "block.x*64:+64"));
  CHECK_FALSE(blocks("m: i32 divisible(64)", "cdiv(m, 64)", "block.x*64:+65"));
  CHECK_FALSE(blocks("m: i32 divisible(64)", "cdiv(m, 32)", "block.x*64:+64"));
  CHECK_FALSE(blocks("m: i32 divisible(64)", "cdiv(n, 64)", "block.x*64:+64"));
}
TEST_CASE("within: ranges of parameters") {
  CHECK(blocks("m: i32 64..128, o: i32 0..32", "1", "o:+32"));
  CHECK_FALSE(blocks("m: i32 64..128, o: i32 0..33", "1", "o:+32"));
  CHECK_FALSE(blocks("m: i32, o: i32 0..32", "1", "o:+32"));
}
TEST_CASE("within: groups of rows") {
  auto groups = [](const std::string& params, int step, int group, int n) {
    std::string rows = fmt::format("%i/{}:+{}", group, n);
    return rows_inside(params, "1",
                       fmt::format("for %i in 0..o step {} {{\n{}}}\n", step, load(rows)),
                       fmt::format("o/{}", group));
  };
  CHECK(groups("o: i32 divisible(128)", 64, 128, 1));
  CHECK(groups("o: i32 divisible(256)", 256, 128, 2));
  CHECK_FALSE(groups("o: i32 divisible(64)", 64, 128, 1));
  CHECK_FALSE(groups("o: i32 divisible(128)", 64, 128, 2));
}

}  // namespace tess
