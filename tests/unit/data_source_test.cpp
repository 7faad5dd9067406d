// Sources, destinations, generators.
#include "data_test.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "isa/diag/data.h"
#include "isa/numerics.h"
#include "vm/data/number.h"
#include "vm/data/source.h"

using namespace tess;

namespace {

HostTensor made(std::string_view text, DType dtype, std::vector<int64_t> shape, uint64_t seed = 0) {
  return must(load_source(must(parse_source(text)), dtype, shape, seed));
}

}  // namespace

TEST_CASE("sources are files with keys or generators") {
  Source npy = must(parse_source("dir/a#b.npy"));
  CHECK(npy.kind == SourceKind::npy);
  CHECK(npy.path == "dir/a#b.npy");
  Source npz = must(parse_source("x.npz#layer.0/w#1"));
  CHECK(npz.kind == SourceKind::npz);
  CHECK(npz.path == "x.npz");
  CHECK(npz.key == "layer.0/w#1");
  CHECK(must(parse_source("m.safetensors#model.embed")).kind == SourceKind::safetensors);
  Source gguf = must(parse_source("/m.gguf#blk.0.attn_q.weight"));
  CHECK(gguf.kind == SourceKind::gguf);
  CHECK(gguf.key == "blk.0.attn_q.weight");
  CHECK(must(parse_source("a.npz#b.gguf#c")).path == "a.npz");
  CHECK(must(parse_source("zeros")).call.generator == Generator::zeros);
  CHECK(must(parse_source(" uniform( 7 , -1, 1.5e0 ) ")).call.arguments ==
        std::vector<std::string>{"7", "-1", "1.5e0"});
  CHECK(must(parse_source("const(-0x10)")).call.arguments == std::vector<std::string>{"-0x10"});
  CHECK(must(parse_source("zeros()")).call.arguments.empty());
}

TEST_CASE("bad sources and destinations say what is wrong") {
  auto source = [](std::string_view text) { return error_of(parse_source(text)); };
  CHECK(source("x.npz") ==
        "E0711: \"x.npz\": the file holds several tensors, so one must be named");
  CHECK(source("x.npz#") == "E0711: \"x.npz#\": the name after '#' is missing");
  CHECK(source("unifrom(1)") == "E0711: \"unifrom(1)\": not a source");
  CHECK(parse_source("unifrom(1)").error().hint == "did you mean uniform?");
  CHECK(source("data.csv") == "E0711: \"data.csv\": not a source");
  CHECK(source("") == "E0711: \"\": not a source");
  CHECK(source("const") == "E0711: \"const\": const does not take 0 numbers");
  CHECK(source("uniform(1,2)") == "E0711: \"uniform(1,2)\": uniform does not take 2 numbers");
  CHECK(source("zeros(1)") == "E0711: \"zeros(1)\": zeros does not take 1 numbers");
  CHECK(source("iota(1,2,3,4,5)") == "E0711: \"iota(1,2,3,4,5)\": iota does not take 4 numbers");
  CHECK(source("const(1") == "E0711: \"const(1\": the closing parenthesis is missing");
  CHECK(source("const(one)") == "E0711: \"const(one)\": \"one\" is not a number");
  CHECK(source("uniform(1,)") ==
        "E0711: \"uniform(1,)\": a number is missing after the last comma");
  auto dest = [](std::string_view text) { return error_of(parse_dest(text)); };
  CHECK(must(parse_dest("-")).kind == DestKind::print);
  CHECK(must(parse_dest("y.npz#k")).key == "k");
  CHECK(dest("y.npz") == "E0712: \"y.npz\": the key is missing: FILE.npz#key");
  CHECK(dest("y.npz#") == "E0712: \"y.npz#\": the key after '#' is missing");
  CHECK(dest("y.gguf#k") == "E0712: \"y.gguf#k\": files of this format are not written");
  CHECK(dest("y.txt") == "E0712: \"y.txt\": not a destination");
  CHECK(dest("") == "E0712: \"\": not a destination");
}

TEST_CASE("errors of a bound file name the file") {
  std::string file = data_path("numpy/stored.npz") + "#a";
  auto r = load_source(must(parse_source(file)), dt::f16_, std::vector<int64_t>{3, 5});
  CHECK(error_of(r) ==
        "E0709: " + file + ": the file holds f32[3,5] (declared <f4), the parameter is f16[3,5]");
}

TEST_CASE("numbers") {
  CHECK(parse_integer("18446744073709551615")->bits == ~uint64_t{0});
  CHECK(!parse_integer("18446744073709551616"));
  CHECK(parse_integer("-9223372036854775808")->bits == uint64_t{1} << 63);
  CHECK(!parse_integer("-9223372036854775809"));
  CHECK(parse_integer("-0x1")->bits == ~uint64_t{0});
  CHECK(!parse_integer("-0")->negative);
  for (const char* bad : {"", "-", "+", "0x", "1.5", "--1", "- 1", "1 ", "e"})
    CHECK(!parse_integer(bad));
  CHECK(*parse_real("-1.5e3") == -1500);
  CHECK(*parse_real("0x1.8p1") == 3);
  CHECK(std::isinf(*parse_real("-inf")));
  CHECK(std::isnan(*parse_real("nan")));
  for (const char* bad : {"", "-", ".", "e5", "1e", "1e999", "--1", "infinit", "nan(1)", "1f"})
    CHECK(!parse_real(bad));
}

TEST_CASE("Philox4x32-10 gives the published known answers") {
  using C = std::array<uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == C{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr uint32_t f = 0xffffffff;
  CHECK(philox4x32({f, f, f, f}, {f, f}) == C{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        C{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Box-Muller agrees with the C library") {
  double worst = 0;
  for (int i = 0; i < 20000; ++i) {
    double u = (i + 1) / 20000.0, v = std::fmod(i * 0.61803398874989485, 1.0);
    if (i % 10 == 0) u = std::ldexp(u, -(i % 53));
    double want = std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v);
    worst = std::max(worst, std::abs(box_muller(u, v) - want));
  }
  CHECK(worst < 1e-14);
  CHECK(box_muller(1, 0.3) == 0);
}

TEST_CASE("uniform and normal match a separate implementation") {
  // From tests/data/generators.py.
#include "data_generators.inc"
  HostTensor u = made("uniform(42)", dt::f64_, {4}), n = made("normal(42)", dt::f64_, {4}),
             i = made("uniform(42)", dt::i64_, {4});
  HostTensor r = made("uniform(42, -10, 11)", dt::i32_, {4});
  for (uint64_t k = 0; k < 4; ++k) {
    CHECK(element_value(u, k) == kUniform[k]);
    CHECK(element_value(n, k) == doctest::Approx(kNormal[k]).epsilon(1e-13));
    CHECK(element_int(i, k) == kInteger[k]);
    CHECK(element_int(r, k) == kRanged[k]);
  }
}

TEST_CASE("every generator makes every type") {
  int made_tensors = 0;
  for (DType dtype : all_dtypes()) {
    CAPTURE(dtype_name(dtype));
    for (const char* text : {"zeros", "ones", "iota", "uniform(3)", "normal(3)", "const(0)"}) {
      HostTensor t = made(text, dtype, {3, 7});
      CHECK(t.dtype == dtype);
      CHECK(t.writable);
      CHECK(same_elements(t, made(text, dtype, {3, 7})));
      ++made_tensors;
    }
    HostTensor ones = made("ones", dtype, {5});
    for (uint64_t i = 0; i < 5; ++i)
      CHECK(element_value(ones, i) == (dtype == dt::i1_       ? -1
                                       : one_code(dtype) == 0 ? 0
                                                              : element_value(ones, 0)));
    if (dtype.bits > 2 || dtype == dt::u1_ || dtype == dt::u2_)
      if (!(dtype.is_small_float() && max_code(dtype) < one_code(dtype)))
        CHECK(element_value(ones, 4) > 0);
  }
  CHECK(made_tensors == static_cast<int>(all_dtypes().size()) * 6);
}

TEST_CASE("ones, iota and constants have their values") {
  for (DType dtype : {dt::f64_, dt::f32_, dt::f16_, dt::bf16_, dt::e4m3_, dt::e5m2_, dt::i8_,
                      dt::u3_, dt::bool_, dt::e8m0_})
    CHECK(element_value(made("ones", dtype, {3}), 2) == 1);
  HostTensor iota = made("iota", dt::f32_, {2, 3});
  for (uint64_t i = 0; i < 6; ++i) CHECK(element_value(iota, i) == static_cast<double>(i));
  CHECK(element_int(made("iota", dt::u3_, {11}), 10) == 2);
  CHECK(element_int(made("iota", dt::i4_, {11}), 9) == -7);
  CHECK(element_int(made("iota(5,-2)", dt::i32_, {4}), 3) == -1);
  CHECK(element_value(made("iota(0.5,0.25)", dt::f16_, {4}), 3) == 1.25);
  CHECK(element_value(made("const(-1.5)", dt::f16_, {2}), 1) == -1.5);
  CHECK(element_value(made("const(0.1)", dt::f32_, {2}), 1) == static_cast<double>(0.1f));
  CHECK(element_value(made("const(1e9)", dt::e4m3_, {2}), 1) == 448);
  CHECK(std::isnan(element_value(made("const(nan)", dt::f32_, {1}), 0)));
  CHECK(std::isinf(element_value(made("const(-inf)", dt::bf16_, {1}), 0)));
  CHECK(element_int(made("const(-9223372036854775808)", dt::i64_, {1}), 0) == INT64_MIN);
  CHECK(static_cast<uint64_t>(element_int(made("const(0xffffffffffffffff)", dt::u64_, {1}), 0)) ==
        ~uint64_t{0});
  CHECK(element_int(made("const(true)", dt::bool_, {1}), 0) == 1);
}

TEST_CASE("generator numbers that do not suit the type are errors") {
  auto error = [](std::string_view text, DType dtype) {
    return error_of(load_source(must(parse_source(text)), dtype, std::vector<int64_t>{3}));
  };
  CHECK(error("const(1.5)", dt::i32_) ==
        "E0713: '1.5' is not a whole number of at most 64 bits, as i32 needs");
  CHECK(error("const(8)", dt::i4_) == "E0713: 8 does not fit i4");
  CHECK(error("const(-1)", dt::u8_) == "E0713: -1 does not fit u8");
  CHECK(error("const(true)", dt::f32_) == "E0713: 'true' is not a number");
  CHECK(error("uniform(-1)", dt::f32_) ==
        "E0713: the seed '-1' is not a whole number of 0 to 2^64-1");
  CHECK(error("uniform(1,2,2)", dt::f32_) == "E0713: [2, 2) is no range");
  CHECK(error("uniform(1,-inf,0)", dt::f32_) == "E0713: [-inf, 0) is no range");
  CHECK(error("uniform(1,0,9)", dt::u3_) == "E0713: no u3 lies in [0, 9)");
  CHECK(error("uniform(1,3,3)", dt::u3_) == "E0713: no u3 lies in [3, 3)");
  CHECK(error("normal(1,0,-1)", dt::f32_) ==
        "E0713: mean 0 and deviation -1 are not those of a normal distribution");
  CHECK(error_of(load_source(must(parse_source("zeros")), dt::f32_, std::vector<int64_t>{-3})) ==
        "E0702: shape [-3] has a negative dimension");
}

TEST_CASE("uniform covers whole types and stays within ranges") {
  for (DType dtype : {dt::i1_, dt::u1_, dt::u2_, dt::i3_, dt::u5_, dt::i8_, dt::u8_}) {
    std::set<uint64_t> seen;
    HostTensor t = made("uniform(9)", dtype, {8192});
    for (uint64_t i = 0; i < 8192; ++i) seen.insert(element_code(t, i));
    CHECK(seen.size() == size_t{1} << dtype.bits);
  }
  HostTensor t = made("uniform(9,-2,6)", dt::i4_, {1000});
  std::set<int64_t> values;
  for (uint64_t i = 0; i < 1000; ++i) values.insert(element_int(t, i));
  CHECK(values == std::set<int64_t>{-2, -1, 0, 1, 2, 3, 4, 5});
  HostTensor f = made("uniform(9,-2,6)", dt::f32_, {10000});
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    double x = element_value(f, i);
    CHECK_MESSAGE((x >= -2 && x <= 6), x);
    sum += x;
  }
  CHECK(sum / 10000 == doctest::Approx(2).epsilon(0.05));
}

TEST_CASE("normal has its mean and deviation") {
  HostTensor t = made("normal(5, 3, 2)", dt::f32_, {100000});
  double sum = 0, squares = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    double x = element_value(t, i) - 3;
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / 100000) < 0.03);
  CHECK(std::sqrt(squares / 100000) == doctest::Approx(2).epsilon(0.01));
}

TEST_CASE("seeds: written, given, different") {
  CHECK(same_elements(made("uniform(7)", dt::f32_, {9}), made("uniform", dt::f32_, {9}, 7)));
  CHECK(same_elements(made("uniform(7)", dt::f32_, {9}), made("uniform(7)", dt::f32_, {9}, 8)));
  CHECK(!same_elements(made("uniform(7)", dt::f32_, {9}), made("uniform(8)", dt::f32_, {9})));
  CHECK(!same_elements(made("uniform(7)", dt::f32_, {9}),
                       made("uniform(4294967303)", dt::f32_, {9})));
  HostTensor flat = made("normal(1)", dt::f32_, {12}), square = made("normal(1)", dt::f32_, {3, 4});
  for (uint64_t i = 0; i < 12; ++i) CHECK(element_code(flat, i) == element_code(square, i));
}
