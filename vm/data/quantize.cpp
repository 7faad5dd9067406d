#include "vm/data/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "isa/diag/data.h"
#include "isa/numerics.h"

namespace tess {

const float kNf4[16] = {-1.0f,
                        -0.6961928009986877f,
                        -0.5250730514526367f,
                        -0.39491748809814453f,
                        -0.28444138169288635f,
                        -0.18477343022823334f,
                        -0.09105003625154495f,
                        0.0f,
                        0.07958029955625534f,
                        0.16093020141124725f,
                        0.24611230194568634f,
                        0.33791524171829224f,
                        0.44070982933044434f,
                        0.5626170039176941f,
                        0.7229568362236023f,
                        1.0f};

namespace {

constexpr DType kE2M1{Kind::flt, 4, 2, 1};
constexpr int64_t kMxBlock = 32, kNvBlock = 16, kNfBlock = 64;
constexpr uint64_t kNfZero = 7;  // the code of 0
// Types of wide range are filled up to here: scales stay in f16's normal range, and the 16 binades
// below are more than weights have.
constexpr double kMostLarge = 448;

Diagnostic bad_type(std::string message, std::string hint = {}) {
  return make_diag(diag::quantize_type, std::move(message), {}, std::move(hint));
}
Diagnostic bad_option(std::string message) {
  return make_diag(diag::quantize_option, std::move(message));
}

double decode(DType t, uint64_t code) {
  return t.is_int() ? static_cast<double>(decode_int(t, code)) : decode_float(t, code);
}

// Nearest integer, ties to even, whatever the rounding mode is set to.
double nearest(double x) {
  double down = std::floor(x), rest = x - down;
  bool up = rest > 0.5 || (rest == 0.5 && std::fmod(down, 2.0) != 0);
  return up ? down + 1 : down;
}

// Dense weights one by one, in row-major order.
struct Weights {
  const uint8_t* bytes;
  DType type;
  double operator[](uint64_t n) const {
    if (type == dt::f32_) {
      float x;
      std::memcpy(&x, bytes + n * 4, 4);
      return x;
    }
    return decode(type, read_bits(bytes, n * type.bits, type.bits));
  }
};

// A tensor as [outer, axis, inner], its axis in groups; group (o, g, i) has number
// (o * groups + g) * inner + i, the row-major order of the scales.
struct Groups {
  uint64_t outer = 1, axis = 1, inner = 1, size = 1, groups = 0;
  std::vector<int64_t> shape;  // of the scales
  uint64_t count() const { return outer * groups * inner; }

  template <class Visit>
  void each(const Visit& visit) const {  // visit(element, group)
    uint64_t n = 0;
    for (uint64_t o = 0; o < outer; ++o)
      for (uint64_t a = 0; a < axis; ++a) {
        uint64_t first = (o * groups + a / size) * inner;
        for (uint64_t i = 0; i < inner; ++i) visit(n++, first + i);
      }
  }
};

Result<Groups> groups_of(const HostTensor& t, int axis, int64_t size) {
  int rank = static_cast<int>(t.shape.size());
  int at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank)
    return bad_option(fmt::format("axis {} of a tensor {}", axis, shape_text(t.shape)));
  if (size < 0) return bad_option(fmt::format("groups of {}", size));
  Groups g;
  for (int d = 0; d < rank; ++d)
    (d < at ? g.outer : d == at ? g.axis : g.inner) *= static_cast<uint64_t>(t.shape[d]);
  g.size = size == 0 ? std::max<uint64_t>(1, g.axis) : static_cast<uint64_t>(size);
  g.groups = (g.axis + g.size - 1) / g.size;
  g.shape = t.shape;
  g.shape[at] = static_cast<int64_t>(g.groups);
  return g;
}

struct Range {
  double low = 0, high = 0;  // 0 included
  double magnitude() const { return std::max(-low, high); }
};

Result<std::vector<Range>> ranges_of(const Weights& w, const Groups& groups) {
  std::vector<Range> ranges(groups.count());
  constexpr uint64_t kNone = ~uint64_t{0};
  uint64_t bad = kNone;
  groups.each([&](uint64_t n, uint64_t g) {
    double x = w[n];
    if (!std::isfinite(x)) bad = std::min(bad, n);
    Range& r = ranges[g];
    r.low = std::min(r.low, x);
    r.high = std::max(r.high, x);
  });
  if (bad != kNone)
    return make_diag(diag::quantize_not_finite,
                     fmt::format("weight {} (row-major) is {}", bad, w[bad]));
  return ranges;
}

struct ErrorSum {
  double max_abs = 0, error = 0, signal = 0;
  void add(double weight, double stands_for) {
    double e = stands_for - weight;
    max_abs = std::max(max_abs, std::fabs(e));
    error += e * e;
    signal += weight * weight;
  }
};

QuantizeError statistics(const ErrorSum& sum, uint64_t weights, uint64_t bits) {
  QuantizeError e;
  e.weights = weights;
  if (weights == 0) return e;
  double n = static_cast<double>(weights);
  e.max_abs = sum.max_abs;
  e.rms = std::sqrt(sum.error / n);
  e.relative = sum.error == 0 ? 0 : std::sqrt(sum.error / sum.signal);
  e.snr_db = sum.error == 0 ? std::numeric_limits<double>::infinity()
                            : 10 * std::log10(sum.signal / sum.error);
  e.bits_per_weight = static_cast<double>(bits) / n;
  return e;
}

void put(HostTensor& t, uint64_t n, uint64_t code) {
  write_bits(t.mutable_bytes(), n * t.dtype.bits, t.dtype.bits, code);
}

uint64_t mask(DType t) { return (uint64_t{1} << t.bits) - 1; }

// --- group: the codes of one type and how a group's range becomes a scale and a zero point

struct Codes {
  DType type;
  double least, most;  // of integers: the codes; of floats: what the largest weight becomes

  static Codes of(DType t) {
    if (t.is_int()) {
      double n = std::ldexp(1, t.bits - (t.is_signed() ? 1 : 0));
      return {t, t.is_signed() ? -n : 0, n - 1};
    }
    double large = std::min(decode_float(t, max_code(t)), kMostLarge);
    double most = decode_float(t, encode_float(t, large, Round::rz));
    return {t, -most, most};
  }
  double symmetric_scale(const Range& r) const {
    // One bit has no two signs: the scale carries that of the largest weight.
    if (type.bits == 1) {
      double largest = r.high >= -r.low ? r.high : r.low;
      return type.is_signed() ? -largest : largest;
    }
    return r.magnitude() / (type.kind == Kind::uint ? std::floor(most / 2) : most);
  }
  double symmetric_zero() const {
    return type.kind == Kind::uint && type.bits > 1 ? std::ldexp(1, type.bits - 1) : 0;
  }
  double zero_of(const Range& r, double scale) const {
    if (scale == 0) return std::clamp(0.0, least, most);
    if (type.is_int()) return std::clamp(nearest(least - r.low / scale), least, most);
    double middle = (r.low + r.high) / 2;
    return decode_float(type, encode_float(type, -middle / scale));
  }
  uint64_t code_of(double x) const {
    if (type.is_float()) return encode_float(type, x);
    return static_cast<uint64_t>(static_cast<int64_t>(std::clamp(x, least, most))) & mask(type);
  }
  // x / scale + zero; integers are rounded before the zero point is added.
  uint64_t quantise(double x, double scale, double zero) const {
    if (scale == 0) return code_of(zero);
    double q = x / scale;
    return code_of((type.is_int() ? nearest(q) : q) + zero);
  }
};

Result<uint64_t> scale_code(DType t, double scale) {
  if (std::fabs(scale) > decode_float(t, max_code(t)))
    return make_diag(diag::quantize_scale_range,
                     fmt::format("a scale of {} is too large for {}", scale, dtype_name(t)), {},
                     "--scale f32");
  return encode_float(t, scale, t.kind == Kind::scale ? Round::ru : Round::rne);
}

bool is_code_type(DType t) { return t.bits <= 8 && (t.is_int() || t.is_float()); }
bool is_scale_type(DType t) {
  return t == dt::f32_ || t == dt::f16_ || t == dt::bf16_ || t == dt::e8m0_ ||
         (t.is_float() && t.bits == 8);
}

Result<Quantized> quantize_groups(const HostTensor& dense, const QuantizeOptions& o) {
  if (!is_code_type(o.type))
    return bad_type(fmt::format("weights cannot be quantised to {}", dtype_name(o.type)));
  if (!is_scale_type(o.scale))
    return bad_type(fmt::format("{} is no type of scales", dtype_name(o.scale)));
  if (o.scale.kind == Kind::scale && o.type.bits == 1 && !o.zero)
    return bad_option("codes of one bit need scales with a sign, which e8m0 has not");
  TESS_TRY(Groups groups, groups_of(dense, o.axis, o.group));
  Weights w{dense.bytes, dense.dtype};
  TESS_TRY(std::vector<Range> ranges, ranges_of(w, groups));
  TESS_TRY(HostTensor codes, make_tensor(o.type, dense.shape));
  TESS_TRY(HostTensor scales, make_tensor(o.scale, groups.shape));
  TESS_TRY(HostTensor zeros, make_tensor(o.type, groups.shape));
  Codes kind = Codes::of(o.type);
  std::vector<double> scale(ranges.size()), zero(ranges.size());
  for (uint64_t g = 0; g < ranges.size(); ++g) {
    const Range& r = ranges[g];
    double exact = o.zero ? (r.high - r.low) / (kind.most - kind.least) : kind.symmetric_scale(r);
    TESS_TRY(uint64_t code, scale_code(o.scale, exact));
    put(scales, g, code);
    scale[g] = decode_float(o.scale, code);
    zero[g] = o.zero ? kind.zero_of(r, scale[g]) : kind.symmetric_zero();
    put(zeros, g, kind.code_of(zero[g]));
  }
  ErrorSum sum;
  uint64_t count = 0;
  groups.each([&](uint64_t n, uint64_t g) {
    double x = w[n];
    uint64_t code = kind.quantise(x, scale[g], zero[g]);
    put(codes, n, code);
    sum.add(x, (decode(o.type, code) - zero[g]) * scale[g]);
    ++count;
  });
  uint64_t bytes = codes.size_bytes + scales.size_bytes + (o.zero ? zeros.size_bytes : 0);
  Quantized q;
  q.error = statistics(sum, count, bytes * 8);
  q.tensors.push_back({"w", std::move(codes)});
  q.tensors.push_back({"s", std::move(scales)});
  q.tensors.push_back({"z", std::move(zeros)});
  return q;
}

// --- block formats whose value is code * scale

// scale_code_of(group's magnitude) gives the code, scale_value(code) what codes are multiplied by.
template <class ScaleCode, class ScaleValue>
Result<Quantized> quantize_blocks(const HostTensor& dense, const Groups& groups,
                                  const std::vector<Range>& ranges, DType type, DType scale_type,
                                  const ScaleCode& scale_code_of, const ScaleValue& scale_value,
                                  uint64_t extra_bytes) {
  Weights w{dense.bytes, dense.dtype};
  TESS_TRY(HostTensor codes, make_tensor(type, dense.shape));
  TESS_TRY(HostTensor scales, make_tensor(scale_type, groups.shape));
  std::vector<double> scale(ranges.size());
  for (uint64_t g = 0; g < ranges.size(); ++g) {
    uint64_t code = scale_code_of(ranges[g].magnitude());
    put(scales, g, code);
    scale[g] = scale_value(code);
  }
  ErrorSum sum;
  uint64_t count = 0;
  groups.each([&](uint64_t n, uint64_t g) {
    double x = w[n];
    uint64_t code = scale[g] == 0 ? 0 : encode_float(type, x / scale[g]);
    put(codes, n, code);
    sum.add(x, decode_float(type, code) * scale[g]);
    ++count;
  });
  Quantized q;
  q.error = statistics(sum, count, (codes.size_bytes + scales.size_bytes + extra_bytes) * 8);
  q.tensors.push_back({"w", std::move(codes)});
  q.tensors.push_back({"s", std::move(scales)});
  return q;
}

// OCP MX 1.0, section 6.3: the scale is 2^(floor(log2 max|x|) - emax), emax that of the element.
Result<Quantized> quantize_mx(const HostTensor& dense, const QuantizeOptions& o) {
  TESS_TRY(Groups groups, groups_of(dense, o.axis, kMxBlock));
  TESS_TRY(std::vector<Range> ranges, ranges_of({dense.bytes, dense.dtype}, groups));
  int largest = std::ilogb(decode_float(o.type, max_code(o.type))), bias = dt::e8m0_.bias();
  auto code_of = [&](double magnitude) -> uint64_t {
    if (magnitude == 0) return 0;
    return static_cast<uint64_t>(std::clamp(std::ilogb(magnitude) - largest, -bias, bias) + bias);
  };
  auto value = [](uint64_t code) { return decode_float(dt::e8m0_, code); };
  return quantize_blocks(dense, groups, ranges, o.type, dt::e8m0_, code_of, value, 0);
}

Result<Quantized> quantize_nvfp4(const HostTensor& dense, const QuantizeOptions& o) {
  TESS_TRY(Groups groups, groups_of(dense, o.axis, kNvBlock));
  TESS_TRY(std::vector<Range> ranges, ranges_of({dense.bytes, dense.dtype}, groups));
  double most_code = decode_float(kE2M1, max_code(kE2M1)),
         most_scale = decode_float(dt::e4m3_, max_code(dt::e4m3_)), magnitude = 0;
  for (const Range& r : ranges) magnitude = std::max(magnitude, r.magnitude());
  TESS_TRY(uint64_t tensor_code, scale_code(dt::f32_, magnitude / (most_code * most_scale)));
  double tensor_scale = decode_float(dt::f32_, tensor_code);
  auto code_of = [&](double m) -> uint64_t {
    return tensor_scale == 0 ? 0 : encode_float(dt::e4m3_, m / most_code / tensor_scale);
  };
  auto value = [&](uint64_t code) { return decode_float(dt::e4m3_, code) * tensor_scale; };
  TESS_TRY(Quantized q,
           quantize_blocks(dense, groups, ranges, kE2M1, dt::e4m3_, code_of, value, sizeof(float)));
  TESS_TRY(HostTensor scale, make_tensor(dt::f32_, {1}));
  put(scale, 0, tensor_code);
  q.tensors.push_back({"t", std::move(scale)});
  return q;
}

// The nearest entry; halfway the lower one, as bitsandbytes has it.
uint64_t nf4_code(double x) {
  uint64_t code = 0;
  while (code < 15 && x > (static_cast<double>(kNf4[code]) + kNf4[code + 1]) / 2) ++code;
  return code;
}

Result<Quantized> quantize_nf4(const HostTensor& dense) {
  TESS_TRY(uint64_t count, element_count(dense.shape));
  HostTensor flat = dense;
  flat.shape = {static_cast<int64_t>(count)};
  TESS_TRY(Groups blocks, groups_of(flat, 0, kNfBlock));
  Weights w{dense.bytes, dense.dtype};
  TESS_TRY(std::vector<Range> ranges, ranges_of(w, blocks));
  TESS_TRY(HostTensor codes,
           make_tensor(dt::u8_, {static_cast<int64_t>(blocks.groups), kNfBlock / 2}));
  TESS_TRY(HostTensor scales, make_tensor(dt::f32_, blocks.shape));
  ErrorSum sum;
  for (uint64_t b = 0; b < blocks.groups; ++b) {
    TESS_TRY(uint64_t scale_bits, scale_code(dt::f32_, ranges[b].magnitude()));
    put(scales, b, scale_bits);
    double scale = decode_float(dt::f32_, scale_bits);
    for (uint64_t i = 0; i < kNfBlock; ++i) {
      uint64_t n = b * kNfBlock + i, code = kNfZero;
      if (n < count) {
        if (scale != 0) code = nf4_code(w[n] / scale);
        sum.add(w[n], kNf4[code] * scale);
      }
      codes.mutable_bytes()[n / 2] |= static_cast<uint8_t>(code << (n % 2 ? 0 : 4));
    }
  }
  Quantized q;
  q.error = statistics(sum, count, (codes.size_bytes + scales.size_bytes) * 8);
  q.tensors.push_back({"w", std::move(codes)});
  q.tensors.push_back({"s", std::move(scales)});
  return q;
}

}  // namespace

Result<QuantizeOptions> quantize_format(std::string_view name, std::optional<DType> type) {
  struct Row {
    std::string_view name;
    QuantFormat format;
    std::vector<DType> types;  // the first is the default
  };
  auto small = [](std::string_view t) { return *find_dtype(t); };
  const Row rows[] = {{"mxfp4", QuantFormat::mx, {small("e2m1")}},
                      {"mxfp6", QuantFormat::mx, {small("e2m3"), small("e3m2")}},
                      {"mxfp8", QuantFormat::mx, {dt::e4m3_, dt::e5m2_}},
                      {"nvfp4", QuantFormat::nvfp4, {small("e2m1")}},
                      {"nf4", QuantFormat::nf4, {dt::u4_}}};
  std::vector<std::string_view> names;
  for (const Row& row : rows) {
    names.push_back(row.name);
    if (row.name != name) continue;
    QuantizeOptions o;
    o.format = row.format;
    o.type = type.value_or(row.types[0]);
    if (std::ranges::find(row.types, o.type) == row.types.end())
      return bad_type(fmt::format("{} has no codes of type {}", name, dtype_name(o.type)));
    return o;
  }
  std::string near = nearest_name(name, names);
  return make_diag(
      diag::quantize_option, fmt::format("there is no format '{}'", name), {},
      near.empty() ? "mxfp4, mxfp6, mxfp8, nvfp4, nf4" : fmt::format("did you mean '{}'?", near));
}

Result<Quantized> quantize(const HostTensor& weights, const QuantizeOptions& options) {
  if (weights.raw || weights.dtype.is_bool() || weights.dtype.kind == Kind::none)
    return bad_type("weights are numbers, not blocks or bool", "name their type, as `--as bf16`");
  if (weights.shape.empty()) return bad_option("a single number has no groups");
  TESS_TRY(HostTensor dense, to_dense(weights));
  switch (options.format) {
    case QuantFormat::mx:
      return quantize_mx(dense, options);
    case QuantFormat::nvfp4:
      return quantize_nvfp4(dense, options);
    case QuantFormat::nf4:
      return quantize_nf4(dense);
    case QuantFormat::group:
      break;
  }
  return quantize_groups(dense, options);
}

}  // namespace tess
