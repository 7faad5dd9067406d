// The pieces of the command line that no command shows by itself: comparison, directives.
#include <doctest/doctest.h>

#include <cmath>

#include "isa/diag/tool.h"
#include "isa/numerics.h"
#include "vm/cli/compare.h"
#include "vm/cli/test_file.h"

using namespace tess;
using namespace tess::cli;

namespace {

api::Tensor tensor_of(const char* dtype, const std::vector<uint64_t>& codes,
                      api::Shape shape = {}) {
  if (shape.empty()) shape = {static_cast<int64_t>(codes.size())};
  auto t = api::Tensor::create(dtype, shape);
  REQUIRE(t);
  DType type = *find_dtype(dtype);
  for (size_t i = 0; i < codes.size(); ++i)
    write_bits(static_cast<uint8_t*>(t->mutable_data()), i * type.bits, type.bits, codes[i]);
  return std::move(*t);
}
api::Tensor floats(const std::vector<double>& values) {
  std::vector<uint64_t> codes;
  for (double v : values) codes.push_back(encode_float(dt::f32_, v));
  return tensor_of("f32", codes);
}

}  // namespace

TEST_CASE("exact comparison is of bits, but NaN is NaN") {
  CHECK_FALSE(compare_exactly(floats({1, 2}), floats({1, 2})));
  CHECK_FALSE(compare_exactly(tensor_of("f32", {0x7fc00000}), tensor_of("f32", {0xffc00001})));
  CHECK(*compare_exactly(floats({0.0}), floats({-0.0})) ==
        "1 of 1 differ; worst at [0]: 0, not -0");
  CHECK(*compare_exactly(tensor_of("u4", {1, 2, 3, 4, 5, 7}, {2, 3}),
                         tensor_of("u4", {1, 2, 3, 4, 5, 6}, {2, 3})) ==
        "1 of 6 differ; worst at [1,2]: 7, not 6");
  CHECK(compare_exactly(floats({NAN}), floats({0})));
  CHECK(*compare_exactly(floats({1}), tensor_of("f16", {0})) ==
        "f32 and f16 are not of one type and shape");
  CHECK(*compare_exactly(tensor_of("u64", {~uint64_t{0}}), tensor_of("u64", {~uint64_t{0} - 1})) ==
        "1 of 1 differ; worst at [0]: 18446744073709551615, not 18446744073709551614");
}

TEST_CASE("a tolerance admits what it says and no more") {
  float up = std::nextafterf(1.0f, 2.0f), up2 = std::nextafterf(up, 2.0f);
  Tolerance one_ulp{0, 0, 1};
  CHECK_FALSE(compare(floats({up}), floats({1}), one_ulp));
  CHECK(compare(floats({up2}), floats({1}), one_ulp));
  CHECK_FALSE(compare(tensor_of("f32", {1}), floats({-0.0}), one_ulp));  // across zero
  CHECK_FALSE(compare(floats({1.01}), floats({1}), {0.011, 0, 0}));
  CHECK(compare(floats({1.02}), floats({1}), {0.011, 0, 0}));
  CHECK_FALSE(compare(floats({0.5}), floats({0}), {0, 0.5, 0}));
  CHECK(compare(floats({INFINITY}), floats({1e38}), {0.1, 1, 5}));
  CHECK(compare(floats({1}), floats({INFINITY}), {0.1, 1, 5}));
  CHECK_FALSE(compare(floats({INFINITY}), floats({INFINITY}), {0.1, 0, 0}));
  CHECK(compare(floats({NAN}), floats({1}), {1, 1, 100}));
  CHECK(compare(tensor_of("i32", {2}), tensor_of("i32", {1}), one_ulp));  // integers have no ulp
}

TEST_CASE("outputs that differ are named, with both engines") {
  Outputs a, b;
  a["y"].push_back(floats({1, 2}));
  b["y"].push_back(floats({1, 3}));
  a["z"].push_back(floats({1}));
  b["z"].push_back(floats({1}));
  Diagnostics d = compare_outputs("interp", a, "interp-naive", b);
  REQUIRE(d.size() == 1);
  CHECK(d[0].code == diag::comparison_failed);
  CHECK(d[0].message == "`y` on interp and interp-naive: 1 of 2 differ; worst at [1]: 2, not 3");
  b.erase("z");
  CHECK(compare_outputs("interp", a, "interp-naive", b).size() == 2);
}

TEST_CASE("directives are read whole") {
  Diagnostics bad;
  TestFile f = parse_test_file(
      "//; test: exec two words kernel=k\n//; on: interp\n//; -D N=4 W=u3\n//; set n=3 a=-1.5\n"
      "//; in x: uniform(1, -2, 2)\n//; in y: [[1, 2],\n  //;   [0x3 -4]]\nkernel k() grid(1) {}\n"
      "//; out z: a/b.npz#k, rtol=1e-3, atol=2\n//; out w: skip\n//; seed 7\n//; steps 9\n//; "
      "report-out-of-bounds\n"
      "//; trap: T0821 at 9:3: a message: with a colon\n// error: not a code\n//;\n",
      bad);
  REQUIRE(bad.empty());
  CHECK(f.exact_diags.empty());
  REQUIRE(f.tests.size() == 1);
  const TestCase& t = f.tests[0];
  CHECK(t.name == "two words");
  CHECK(t.kernel == "k");
  CHECK(t.engines == std::vector<std::string>{"interp"});
  CHECK(t.bindings[1] == std::pair<std::string, std::string>{"W", "u3"});
  CHECK(t.scalars[1].second == "-1.5");
  CHECK(t.inputs[0].source == "uniform(1, -2, 2)");
  CHECK(t.inputs[1].literal == std::vector<std::string>{"1", "2", "0x3", "-4"});
  CHECK(t.outputs[0].source == "a/b.npz#k");
  CHECK(t.outputs[0].tolerance.rtol == 1e-3);
  CHECK(t.outputs[0].tolerance.atol == 2);
  CHECK(t.outputs[1].skip);
  CHECK(t.seed == 7);
  CHECK(t.steps == 9);
  CHECK(t.report_out_of_bounds);
  CHECK(t.diags[0].code == "T0821");
  CHECK(t.diags[0].at_col == 3);
  CHECK(*t.diags[0].message == "a message: with a colon");
}

TEST_CASE("a test with loops is one test for each combination") {
  Diagnostics bad;
  TestFile f = parse_test_file(
      "//; test: exec sizes of {W} kernel=k_{W}\n//; for W in u3 i5\n//; for N in 1 20\n"
      "//; -D W={W} B={N}\n//; set n={N}\n//; in x: a.npz#x_{W}_{N}\n//; in y: [{N} {M}]\n"
      "//; out z: [{N}], ulp=1\n//; print: 0,0,0 %x {W}\n//; test: exec plain\n",
      bad);
  REQUIRE(bad.empty());
  REQUIRE(f.tests.size() == 5);
  const TestCase& t = f.tests[1];
  CHECK(t.name == "sizes of u3 20");
  CHECK(t.kernel == "k_u3");
  CHECK(t.bindings[0].second == "u3");
  CHECK(t.bindings[1].second == "20");
  CHECK(t.scalars[0].second == "20");
  CHECK(t.inputs[0].source == "a.npz#x_u3_20");
  CHECK(t.inputs[1].literal == std::vector<std::string>{"20", "{M}"});
  CHECK(t.outputs[0].literal == std::vector<std::string>{"20"});
  CHECK(t.outputs[0].tolerance.ulp == 1);
  CHECK(t.prints[0] == "0,0,0 %x u3");
  CHECK(f.tests[2].name == "sizes of i5 1");
  CHECK(f.tests[4].name == "plain");

  std::string many = "//; test: exec\n";
  for (char name : std::string_view("abcdefghijklmnop"))
    many += std::string("//; for ") + name + " in 1 2 3\n";
  CHECK(parse_test_file(many, bad).tests.size() <= 10000);
  REQUIRE(bad.size() == 1);
  CHECK(bad[0].message == "loops amount to more than 10000 tests");
}

TEST_CASE("malformed directives are reported, whatever they are") {
  for (const char* text :
       {"//; test: exec\n//; out y: [1 2", "//; test: exec\n//; out y: [1 2\nkernel",
        "//; out y: [1]", "//; test:", "//; test: exec\n//; set n", "//; test: exec\n//; in : [1]",
        "//; test: exec\n//; in x:", "//; test: exec\n//; out y: ones, ulp",
        "//; test: exec\n//; out y: ones, ulp=-1", "//; test: exec\n//; trap: T9999",
        "//; test: exec\n//; trap: T0821 at 3", "//; test: exec\n//; steps x",
        "//; test: exec\n//; for W", "//; test: exec\n//; for W on 1",
        "//; test: exec\n//; for W in",
        "//; test: exec\n//; on:", "//; test: exec\n//; in x: ones, exact", "// error: E0103 here",
        "//; test: exec\n//; in x: [[[[[[[[[[[[[[[[[[1"}) {
    Diagnostics bad;
    (void)parse_test_file(text, bad);
    REQUIRE_MESSAGE(!bad.empty(), std::string(text));
    CHECK(bad[0].code == diag::bad_directive);
  }
}
