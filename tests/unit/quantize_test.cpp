// Quantised weights against formulas written out again, every code found by trying all of them; and
// packing against the fragment tables of mma.
#include "vm/data/quantize.h"

#include <cmath>
#include <limits>

#include "data_test.h"
#include "isa/diag/data.h"
#include "isa/layout_atoms.h"
#include "isa/numerics.h"
#include "vm/data/pack.h"

using namespace tess;

namespace {

std::vector<DType> code_types() {
  std::vector<DType> types;
  for (DType t : all_dtypes())
    if (t.bits <= 8 && (t.is_int() || t.is_float())) types.push_back(t);
  return types;
}

// Weights with zeros, a group of zeros and both signs.
HostTensor some_weights(std::vector<int64_t> shape, uint64_t seed = 1) {
  HostTensor t = must(make_tensor(dt::f32_, shape));
  uint64_t n = *element_count(shape), state = seed;
  for (uint64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    double u = static_cast<double>(state >> 11) * 0x1p-53;
    set_element_value(t, i, i % 13 == 0 ? 0 : std::pow(2 * u - 1, 3) * (1 + double(i % 5)));
  }
  return t;
}

// The value of a code from its fields; NaN where there is none.
double value_of(DType t, int code) {
  if (t.is_int()) return t.is_signed() && code >> (t.bits - 1) ? code - (1 << t.bits) : code;
  int e = code >> t.man & ((1 << t.exp) - 1), m = code & ((1 << t.man) - 1);
  int bias = (1 << (t.exp - 1)) - 1;
  bool all = e == (1 << t.exp) - 1;
  if ((t.exp == 5 && t.man == 2 && all) || (t.exp == 4 && t.man == 3 && all && m == 7))
    return std::nan("");
  double f = m * std::ldexp(1, -t.man);
  double v = e == 0 ? std::ldexp(f, 1 - bias) : std::ldexp(1 + f, e - bias);
  return code >> (t.bits - 1) ? -v : v;
}
// The nearest code of all; on a tie the even one. -0 counts as 0.
int nearest_code(DType t, double x) {
  int best = -1;
  double distance = 0;
  for (int c = 0; c < 1 << t.bits; ++c) {
    double v = value_of(t, c);
    if (std::isnan(v) || (t.is_float() && std::signbit(v) != std::signbit(x))) continue;
    double d = std::fabs(v - x);
    bool even = t.is_int() ? std::fmod(v, 2) == 0 : c % 2 == 0;
    if (best < 0 || d < distance || (d == distance && even)) best = c, distance = d;
  }
  return best;
}
double largest_of(DType t) {
  double most = 0;
  for (int c = 0; c < 1 << t.bits; ++c) {
    double v = value_of(t, c);
    if (!std::isnan(v)) most = std::max(most, v);
  }
  return most;
}
double least_of(DType t) {
  double least = 0;
  for (int c = 0; c < 1 << t.bits; ++c) least = std::min(least, value_of(t, c));
  return least;
}

const HostTensor& part(const Quantized& q, std::string_view name) {
  for (const NamedTensor& t : q.tensors)
    if (t.name == name) return t.tensor;
  FAIL("no tensor of that name");
  return q.tensors[0].tensor;
}

// The statistics over, from the tensors alone.
template <class Value>
void check_statistics(const Quantized& q, const HostTensor& w, const Value& value) {
  double most = 0, error = 0, signal = 0;
  uint64_t n = *element_count(w.shape);
  for (uint64_t i = 0; i < n; ++i) {
    double x = element_value(w, i), e = value(i) - x;
    most = std::max(most, std::fabs(e));
    error += e * e;
    signal += x * x;
  }
  CHECK(q.error.weights == n);
  CHECK(q.error.max_abs == doctest::Approx(most));
  CHECK(q.error.rms == doctest::Approx(std::sqrt(error / double(n))));
  if (error == 0) return;
  CHECK(q.error.relative == doctest::Approx(std::sqrt(error / signal)));
  CHECK(q.error.snr_db == doctest::Approx(-20 * std::log10(std::sqrt(error / signal))));
}

constexpr int64_t kRows = 37, kCols = 11, kGroup = 8, kGroups = 5;
uint64_t group_of(uint64_t i) { return (i / kCols / kGroup) * kCols + i % kCols; }

}  // namespace

TEST_CASE("groups: every type of 1 to 8 bits, with and without a zero point") {
  HostTensor w = some_weights({kRows, kCols});
  for (uint64_t r = 8; r < 16; ++r) set_element_value(w, r * kCols + 3, 0);  // a group of zeros
  size_t types = 0;
  for (DType t : code_types()) {
    ++types;
    for (bool zero : {false, true}) {
      CAPTURE(dtype_name(t));
      CAPTURE(zero);
      QuantizeOptions o;
      o.type = t;
      o.group = kGroup;
      o.zero = zero;
      o.scale = dt::f32_;
      Quantized q = must(quantize(w, o));
      const HostTensor &codes = part(q, "w"), &s = part(q, "s"), &z = part(q, "z");
      REQUIRE(codes.dtype == t);
      REQUIRE(codes.shape == w.shape);
      REQUIRE(s.shape == std::vector<int64_t>{kGroups, kCols});
      REQUIRE(z.shape == s.shape);
      REQUIRE(z.dtype == t);
      double most = largest_of(t), least = least_of(t);
      if (t.is_float() && most > 448) most = t.man == 0 ? 256 : t.man == 1 ? 384 : 448;
      if (t.is_float()) least = -most;
      for (uint64_t g = 0; g < kGroups * kCols; ++g) {
        double low = 0, high = 0;
        for (uint64_t i = 0; i < kRows * kCols; ++i)
          if (group_of(i) == g)
            low = std::min(low, element_value(w, i)), high = std::max(high, element_value(w, i));
        double scale, zero_point = 0;
        if (zero) {
          scale = (high - low) / (most - least);
        } else if (t.bits == 1) {
          scale = (high >= -low ? high : low) * (t.is_signed() ? -1 : 1);
        } else {
          scale = std::max(high, -low) / (t.kind == Kind::uint ? (1 << (t.bits - 1)) - 1 : most);
          if (t.kind == Kind::uint) zero_point = 1 << (t.bits - 1);
        }
        double stored = static_cast<float>(scale);
        REQUIRE(element_value(s, g) == stored);
        if (zero && stored != 0)
          zero_point = t.is_int() ? std::clamp(std::nearbyint(least - low / stored), least, most)
                                  : value_of(t, nearest_code(t, -(low + high) / 2 / stored));
        REQUIRE(value_of(t, int(element_code(z, g))) == zero_point);
      }
      auto value = [&](uint64_t i) {
        uint64_t g = group_of(i);
        return (value_of(t, int(element_code(codes, i))) - value_of(t, int(element_code(z, g)))) *
               element_value(s, g);
      };
      for (uint64_t i = 0; i < kRows * kCols; ++i) {
        double scale = element_value(s, group_of(i)), x = element_value(w, i),
               zp = value_of(t, int(element_code(z, group_of(i))));
        double q_exact = scale == 0 ? zp : x / scale;
        double target = scale == 0 ? zp : t.is_int() ? std::nearbyint(q_exact) + zp : q_exact + zp;
        REQUIRE(value_of(t, int(element_code(codes, i))) == value_of(t, nearest_code(t, target)));
      }
      check_statistics(q, w, value);
    }
  }
  CHECK(types == 16 + 27);
}

TEST_CASE("axes, whole axes, scale types, and what is counted") {
  HostTensor w = some_weights({6, 5, 7});
  for (int axis : {0, 1, 2, -1, -3}) {
    QuantizeOptions o;
    o.type = dt::i4_;
    o.group = 0;
    o.axis = axis;
    Quantized q = must(quantize(w, o));
    std::vector<int64_t> shape{6, 5, 7};
    shape[size_t(axis < 0 ? axis + 3 : axis)] = 1;
    CHECK(part(q, "s").shape == shape);
    CHECK(part(q, "s").dtype == dt::f16_);
    double scales = double(*element_count(shape));
    CHECK(q.error.bits_per_weight == doctest::Approx((105 * 8 + scales * 16) / 210));
  }
  for (DType scale : {dt::f32_, dt::f16_, dt::bf16_, dt::e4m3_, dt::e5m2_, dt::e8m0_}) {
    QuantizeOptions o;
    o.type = dt::i8_;
    o.group = 3;
    o.axis = 2;
    o.scale = scale;
    Quantized q = must(quantize(w, o));
    REQUIRE(part(q, "s").shape == std::vector<int64_t>{6, 5, 3});
    double magnitude = 0;
    for (uint64_t i = 3; i < 6; ++i)
      magnitude = std::max(magnitude, std::fabs(element_value(w, i)));
    double exact = magnitude / 127, have = element_value(part(q, "s"), 1);
    if (scale.kind == Kind::scale) {  // upwards, so that nothing saturates
      CHECK(have >= exact);
      CHECK(have < 2 * exact);
    } else {
      CHECK(have == element_value(part(q, "s"), 1));
      CHECK(element_code(part(q, "s"), 1) == encode_float(scale, exact));
    }
  }
}

TEST_CASE("error statistics of known numbers") {
  HostTensor w = must(make_tensor(dt::f64_, {4, 1}));
  double x[] = {1, 0.4, -1, 0.6};
  for (uint64_t i = 0; i < 4; ++i) set_element_value(w, i, x[i]);
  QuantizeOptions o;
  o.type = dt::i2_;
  o.group = 4;
  Quantized q = must(quantize(w, o));
  int codes[] = {1, 0, 3, 1};  // scale 1
  for (uint64_t i = 0; i < 4; ++i) CHECK(int(element_code(part(q, "w"), i)) == codes[i]);
  CHECK(element_value(part(q, "s"), 0) == 1);
  CHECK(q.error.max_abs == doctest::Approx(0.4));
  CHECK(q.error.rms == doctest::Approx(std::sqrt(0.08)));
  CHECK(q.error.relative == doctest::Approx(std::sqrt(0.32 / 2.52)));
  CHECK(q.error.snr_db == doctest::Approx(10 * std::log10(2.52 / 0.32)));
  CHECK(q.error.bits_per_weight == doctest::Approx(6));  // one byte and one f16 for four

  for (uint64_t i = 0; i < 4; ++i) set_element_value(w, i, double(i));
  o.type = dt::u2_;
  o.zero = true;
  q = must(quantize(w, o));
  for (uint64_t i = 0; i < 4; ++i) CHECK(element_code(part(q, "w"), i) == i);
  CHECK(q.error.max_abs == 0);
  CHECK(q.error.relative == 0);
  CHECK(std::isinf(q.error.snr_db));
}

TEST_CASE("MX: the scale is a power of two, 32 neighbours share it") {
  HostTensor w = some_weights({70, 3});
  struct Row {
    const char *format, *type;
    int largest_exponent;
  };
  for (Row row : {Row{"mxfp4", "e2m1", 2},
                  {"mxfp6", "e2m3", 2},
                  {"mxfp6", "e3m2", 4},
                  {"mxfp8", "e4m3", 8},
                  {"mxfp8", "e5m2", 15}}) {
    CAPTURE(row.type);
    DType t = *find_dtype(row.type);
    Quantized q = must(quantize(w, must(quantize_format(row.format, t))));
    REQUIRE(part(q, "s").dtype == dt::e8m0_);
    REQUIRE(part(q, "s").shape == std::vector<int64_t>{3, 3});
    auto scale = [&](uint64_t i) {
      return std::ldexp(1, int(element_code(part(q, "s"), i / 3 / 32 * 3 + i % 3)) - 127);
    };
    for (uint64_t g = 0; g < 9; ++g) {
      double most = 0;
      for (uint64_t r = g / 3 * 32; r < std::min<uint64_t>(70, g / 3 * 32 + 32); ++r)
        most = std::max(most, std::fabs(element_value(w, r * 3 + g % 3)));
      int e = 0;
      std::frexp(most, &e);  // most = f * 2^e, f in [1/2, 1)
      REQUIRE(int(element_code(part(q, "s"), g)) == e - 1 - row.largest_exponent + 127);
    }
    for (uint64_t i = 0; i < 210; ++i)
      REQUIRE(value_of(t, int(element_code(part(q, "w"), i))) ==
              value_of(t, nearest_code(t, element_value(w, i) / scale(i))));
    check_statistics(q, w, [&](uint64_t i) {
      return value_of(t, int(element_code(part(q, "w"), i))) * scale(i);
    });
  }
}

TEST_CASE("NVFP4 and NF4") {
  HostTensor w = some_weights({33, 5});
  DType e2m1 = *find_dtype("e2m1");
  Quantized q = must(quantize(w, must(quantize_format("nvfp4"))));
  double most = 0;
  for (uint64_t i = 0; i < 165; ++i) most = std::max(most, std::fabs(element_value(w, i)));
  double tensor = static_cast<float>(most / (6.0 * 448));
  CHECK(element_value(part(q, "t"), 0) == tensor);
  REQUIRE(part(q, "s").shape == std::vector<int64_t>{3, 5});
  auto scale = [&](uint64_t i) {
    return value_of(dt::e4m3_, int(element_code(part(q, "s"), i / 5 / 16 * 5 + i % 5))) * tensor;
  };
  for (uint64_t g = 0; g < 15; ++g) {
    double m = 0;
    for (uint64_t r = g / 5 * 16; r < std::min<uint64_t>(33, g / 5 * 16 + 16); ++r)
      m = std::max(m, std::fabs(element_value(w, r * 5 + g % 5)));
    REQUIRE(int(element_code(part(q, "s"), g)) == nearest_code(dt::e4m3_, m / 6 / tensor));
  }
  for (uint64_t i = 0; i < 165; ++i) {
    double target = scale(i) == 0 ? 0 : element_value(w, i) / scale(i);
    REQUIRE(value_of(e2m1, int(element_code(part(q, "w"), i))) ==
            value_of(e2m1, nearest_code(e2m1, target)));
  }

  q = must(quantize(w, must(quantize_format("nf4"))));
  REQUIRE(part(q, "w").shape == std::vector<int64_t>{3, 32});
  REQUIRE(part(q, "s").shape == std::vector<int64_t>{3});
  auto code = [&](uint64_t i) { return element_code(part(q, "w"), i / 2) >> (i % 2 ? 0 : 4) & 15; };
  for (uint64_t i = 165; i < 192; ++i) CHECK(code(i) == 7);  // what is not there is 0
  for (uint64_t i = 0; i < 165; ++i) {
    double s = element_value(part(q, "s"), i / 64), x = element_value(w, i) / s;
    uint64_t best = 0;
    for (uint64_t c = 1; c < 16; ++c)
      if (std::fabs(kNf4[c] - x) < std::fabs(kNf4[best] - x)) best = c;
    REQUIRE(code(i) == best);
  }
  check_statistics(q, w, [&](uint64_t i) {
    return double(kNf4[code(i)]) * element_value(part(q, "s"), i / 64);
  });
}

TEST_CASE("weights that are all zero, tiny, or none at all") {
  HostTensor zeros = must(make_tensor(dt::f32_, {40, 2})),
             none = must(make_tensor(dt::f32_, {0, 2}));
  HostTensor tiny = must(make_tensor(dt::f32_, {40, 2}));
  for (uint64_t i = 0; i < 80; ++i) set_element_value(tiny, i, 1e-42);
  std::vector<QuantizeOptions> all;
  for (const char* f : {"mxfp4", "mxfp6", "mxfp8", "nvfp4", "nf4"})
    all.push_back(must(quantize_format(f)));
  for (DType t : code_types())
    for (bool zero : {false, true}) {
      QuantizeOptions o;
      o.type = t;
      o.zero = zero;
      all.push_back(o);
    }
  for (const QuantizeOptions& o : all) {
    CAPTURE(dtype_name(o.type));
    CHECK(must(quantize(zeros, o)).error.max_abs == 0);
    CHECK(must(quantize(none, o)).error.weights == 0);
    CHECK(must(quantize(tiny, o)).error.max_abs <= element_value(tiny, 0));
  }
}

TEST_CASE("what cannot be quantised is refused") {
  HostTensor w = some_weights({4, 3});
  auto code = [](const auto& r) { return r ? Diag{} : r.error().code; };
  QuantizeOptions o;
  o.axis = 2;
  CHECK(code(quantize(w, o)) == diag::quantize_option);
  o.axis = -3;
  CHECK(code(quantize(w, o)) == diag::quantize_option);
  o = {};
  o.group = -1;
  CHECK(code(quantize(w, o)) == diag::quantize_option);
  o = {};
  o.type = dt::u1_;
  o.scale = dt::e8m0_;
  CHECK(code(quantize(w, o)) == diag::quantize_option);
  for (DType t : {dt::bool_, dt::i16_, dt::f16_, dt::e8m0_}) {
    o = {};
    o.type = t;
    CHECK(code(quantize(w, o)) == diag::quantize_type);
  }
  o = {};
  o.scale = dt::f64_;
  CHECK(code(quantize(w, o)) == diag::quantize_type);
  CHECK(code(quantize(must(make_tensor(dt::bool_, {4, 3})), {})) == diag::quantize_type);
  CHECK(code(quantize(must(make_tensor(dt::f32_, {})), {})) == diag::quantize_option);
  CHECK(code(quantize_format("mxfp5")) == diag::quantize_option);
  CHECK(code(quantize_format("mxfp8", dt::u4_)) == diag::quantize_type);

  set_element_value(w, 5, 1e10);
  CHECK(code(quantize(w, {})) == diag::quantize_scale_range);
  o = {};
  o.scale = dt::f32_;
  CHECK(code(quantize(w, o)) == Diag{});
  for (double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    set_element_value(w, 7, bad);
    CHECK(error_of(quantize(w, o)).starts_with("E0722: weight 7 (row-major) is "));
    for (const char* f : {"mxfp4", "nvfp4", "nf4"})
      CHECK(code(quantize(w, must(quantize_format(f)))) == diag::quantize_not_finite);
  }
}

// --- packing

namespace {

Layout layout_of(const std::string& text) { return must(parse_layout_expr(text)); }

void check_round_trip(DType t, std::vector<int64_t> shape, const Layout& layout,
                      const PackOptions& options = {}) {
  PackPlan plan = must(plan_pack(t, shape, layout, options));
  HostTensor w = scrambled(t, shape, 7 + t.bits);
  HostTensor packed = must(pack(plan, w));
  REQUIRE(packed.shape == plan.packed_shape);
  REQUIRE(same_elements(must(unpack(plan, packed)), w));
}

}  // namespace

TEST_CASE("packing and back is the identity for every type, odd sizes, any layout") {
  const char* layouts[] = {
      "mma.m16n8k16.f16.B",        "local(2,4) * mma.m16n8k16.f16.B",
      "wgmma.m64k16.f16.A",        "warps(1,2) * local(3,1) * mma.m16n8k8.f16.B",
      "spatial(3,5) * local(2,1)", "replicate(2) * spatial(4,4) * local(1,3)"};
  for (DType t : all_dtypes()) {
    if (t.bits > 8 || t.is_bool()) continue;
    CAPTURE(dtype_name(t));
    for (const char* text : layouts) {
      CAPTURE(text);
      Layout layout = layout_of(text);
      check_round_trip(t, {37, 11}, layout);
      check_round_trip(t, {1, 1}, layout);
      PackOptions o;
      o.unit_bytes = 16;
      o.last_outermost = false;
      check_round_trip(t, {3, 65, 9}, layout, o);
    }
    check_round_trip(t, {0, 5}, layout_of(layouts[0]));
  }
}

TEST_CASE("a packed fragment is where the format says, for every width") {
  // Operand B of m16n8k16: register r of lane l holds row 2*(l%4) + r%2 + 8*(r/2), column l/4.
  for (DType t : all_dtypes()) {
    if (t.bits > 8 || t.is_bool()) continue;
    CAPTURE(dtype_name(t));
    PackOptions o;
    o.combine[0] = 4, o.combine[1] = 8;
    o.unit_bytes = 16;
    const int64_t rows = 77, cols = 131;
    PackPlan plan = must(plan_pack(t, std::vector{rows, cols}, layout_of("mma.m16n8k16.f16.B"), o));
    REQUIRE(plan.units == t.bits);
    REQUIRE(plan.unit_bytes == 16);
    REQUIRE(plan.packed_dtype == dt::u32_);
    REQUIRE(plan.packed_shape == std::vector<int64_t>{3, 2, t.bits, 32, 4});
    HostTensor w = scrambled(t, {rows, cols}), packed = must(pack(plan, w));
    for (int64_t nt = 0; nt < 3; ++nt)
      for (int64_t kt = 0; kt < 2; ++kt)
        for (int64_t lane = 0; lane < 32; ++lane)
          for (int64_t r = 0; r < 128; ++r) {
            int64_t fragment = r / 4;
            int64_t row = kt * 64 + fragment / 8 * 16 + 2 * (lane % 4) + r % 2 + 8 * (r / 2 % 2),
                    col = nt * 64 + fragment % 8 * 8 + lane / 4;
            uint64_t want =
                row < rows && col < cols ? element_code(w, uint64_t(row * cols + col)) : 0;
            uint64_t have = 0;
            for (int b = 0; b < t.bits; ++b) {
              int64_t bit = r * t.bits + b, word = bit / 32;
              uint64_t code = element_code(
                  packed,
                  uint64_t((((nt * 2 + kt) * t.bits + word / 4) * 32 + lane) * 4 + word % 4));
              have |= (code >> (bit % 32) & 1) << b;
            }
            REQUIRE(have == want);
          }
  }
}

TEST_CASE("as few fragments are combined as whole units take") {
  struct Row {
    const char* type;
    int least_unit, combined, unit, units;
  };
  for (Row row : {Row{"u4", 1, 1, 2, 1},
                  {"u8", 1, 1, 4, 1},
                  {"u3", 1, 2, 1, 3},
                  {"u1", 1, 2, 1, 1},
                  {"u5", 1, 2, 1, 5},
                  {"u6", 1, 1, 1, 3},
                  {"u4", 16, 8, 16, 1},
                  {"u3", 16, 32, 16, 3},
                  {"u6", 4, 4, 4, 3},
                  {"u7", 2, 4, 2, 7}}) {
    CAPTURE(row.type);
    PackOptions o;
    o.unit_bytes = row.least_unit;
    PackPlan plan = must(plan_pack(*find_dtype(row.type), std::vector<int64_t>{16, 8},
                                   layout_of("mma.m16n8k16.f16.B"), o));
    CHECK(plan.combined[0] == row.combined);
    CHECK(plan.combined[1] == 1);
    CHECK(plan.unit_bytes == row.unit);
    CHECK(plan.units == row.units);
    CHECK(parse_layout_expr(pack_recipe(plan).substr(14, pack_recipe(plan).find('\n') - 14)));
  }
}

TEST_CASE("what cannot be packed is refused") {
  auto code = [](const auto& r) { return r ? Diag{} : r.error().code; };
  Layout b = layout_of("mma.m16n8k16.f16.B");
  std::vector<int64_t> shape{32, 16};
  PackOptions o;
  CHECK(code(plan_pack(dt::u16_, shape, b)) == diag::quantize_type);
  CHECK(code(plan_pack(dt::bool_, shape, b)) == diag::quantize_type);
  CHECK(code(plan_pack(dt::u4_, std::vector<int64_t>{32}, b)) == diag::tensor_shape_mismatch);
  CHECK(code(plan_pack(dt::u4_, std::vector<int64_t>{32, -1}, b)) == diag::tensor_too_large);
  CHECK(code(plan_pack(dt::u4_, std::vector<int64_t>{int64_t{1} << 61, 1 << 9}, b)) ==
        diag::tensor_too_large);
  CHECK(code(plan_pack(dt::u4_, shape, layout_of("(16,8):(8,1)"))) == diag::pack_layout);
  CHECK(code(plan_pack(dt::u4_, shape, layout_of("spatial(32) * local(4)"))) == diag::pack_layout);
  o.combine[0] = 1, o.combine[1] = 1;
  CHECK(code(plan_pack(dt::u3_, shape, b, o)) == diag::pack_layout);
  o.combine[1] = 1 << 20;
  CHECK(code(plan_pack(dt::u3_, shape, b, o)) == diag::pack_layout);
  o.combine[1] = -4;
  CHECK(code(plan_pack(dt::u3_, shape, b, o)) == diag::quantize_option);
  o = {};
  o.unit_bytes = 3;
  CHECK(code(plan_pack(dt::u3_, shape, b, o)) == diag::quantize_option);
  PackPlan plan = must(plan_pack(dt::u4_, shape, b));
  CHECK(code(pack(plan, scrambled(dt::u4_, {32, 15}))) == diag::tensor_shape_mismatch);
  CHECK(code(unpack(plan, scrambled(dt::u16_, {1, 2, 1, 32, 1}))) == diag::tensor_shape_mismatch);
}
