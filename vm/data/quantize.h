// Weights rounded to few bits, with scales shared by groups: value = (code - zero) * scale.
// Formulas are in README.md; roundings are those of isa/numerics.h. Pure; thread-safe; errors are
// values (E0720..E0723).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vm/data/npz.h"
#include "vm/data/tensor.h"

namespace tess {

enum class QuantFormat : uint8_t {
  group,  // any type, any group along an axis; scales and zero points as `matmul_a16w` takes them
  mx,     // OCP MX: e8m0 scales for 32 neighbours along the axis
  nvfp4,  // e2m1; e4m3 scales for 16 neighbours along the axis, and one f32 scale of the tensor
  nf4     // codes into the table of NF4; f32 scales for 64 neighbours of the flattened tensor
};

struct QuantizeOptions {
  QuantFormat format = QuantFormat::group;
  DType type = dt::u4_;
  int64_t group = 128;  // 0: the whole axis. Only `group` reads this and the next two
  bool zero = false;    // a zero point for each group
  DType scale = dt::f16_;
  int axis = 0;  // negative: counted from the last; not read by nf4
};
// "mxfp4", "mxfp6", "mxfp8", "nvfp4", "nf4" -> its options; `type` chooses among the variants of
// mxfp6 (e2m3, e3m2) and mxfp8 (e4m3, e5m2).
Result<QuantizeOptions> quantize_format(std::string_view name, std::optional<DType> type = {});

// What rounding did, in double over all weights: e = dequantised - weight, without the rounding of
// the kernel that will multiply.
struct QuantizeError {
  uint64_t weights = 0;
  double max_abs = 0;          // max |e|
  double rms = 0;              // sqrt(mean e^2)
  double relative = 0;         // |e|_2 / |w|_2; 0 if no weight differs
  double snr_db = 0;           // -20 log10(relative); infinite if no weight differs
  double bits_per_weight = 0;  // codes, scales and zero points
};

struct Quantized {
  // w the codes, s the scales; group: z the zero points, of the codes' type, one for each scale
  // (without `zero` all the same); nvfp4: t the tensor's scale, f32[1].
  std::vector<NamedTensor> tensors;
  QuantizeError error;
};
// `weights`: floats or integers of any rank >= 1. The last group of an axis may be short.
Result<Quantized> quantize(const HostTensor& weights, const QuantizeOptions& options);

// The 16 values of NF4, ascending; exact in f32.
extern const float kNf4[16];

}  // namespace tess
