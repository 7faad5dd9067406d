#include "vm/cli/compare.h"

#include <fmt/format.h>

#include <cmath>

#include "isa/diag/tool.h"
#include "isa/numerics.h"

namespace tess::cli {
namespace {

// The place of a float's code among its type's values in ascending order; both zeros at 0.
int64_t float_rank(DType t, uint64_t code) {
  uint64_t sign = uint64_t{1} << (t.bits - 1);
  int64_t magnitude = static_cast<int64_t>(code & (sign - 1));
  return code & sign ? -magnitude : magnitude;
}

bool within_ulp(DType t, uint64_t a, uint64_t b, uint64_t ulp) {
  if (!ulp || !t.is_float()) return false;
  __int128 d = static_cast<__int128>(float_rank(t, a)) - float_rank(t, b);
  return (d < 0 ? -d : d) <= static_cast<__int128>(ulp);
}

std::string value_text(const api::Tensor& t, DType type, int64_t i) {
  if (type.is_int() && type.bits == 64) {
    uint64_t code = t.code(i);
    return type.is_signed() ? fmt::format("{}", static_cast<int64_t>(code))
                            : fmt::format("{}", code);
  }
  return fmt::format("{}", t.value(i));
}

std::string index_text(const api::Shape& shape, int64_t flat) {
  std::string out;
  for (size_t d = shape.size(); d-- > 0;) {
    out = fmt::format("{}{}{}", flat % shape[d], out.empty() ? "" : ",", out);
    flat /= shape[d];
  }
  return "[" + out + "]";
}

}  // namespace

std::optional<std::string> compare(const api::Tensor& got, const api::Tensor& want,
                                   const Tolerance& tolerance) {
  if (std::string_view(got.dtype()) != want.dtype() || got.shape() != want.shape())
    return fmt::format("{} and {} are not of one type and shape", got.dtype(), want.dtype());
  std::optional<DType> type = find_dtype(got.dtype());
  if (!type) return fmt::format("`{}` is not a type", got.dtype());
  DType t = *type;
  int64_t n = got.elements(), differing = 0, worst = -1;
  double worst_error = -1;
  for (int64_t i = 0; i < n; ++i) {
    uint64_t a = got.code(i), b = want.code(i);
    if (a == b) continue;
    bool a_nan = is_nan_code(t, a), b_nan = is_nan_code(t, b);
    if (a_nan && b_nan) continue;
    double x = got.value(i), y = want.value(i);
    double error = a_nan || b_nan ? HUGE_VAL : std::fabs(x - y);
    if (!tolerance.exact() && !a_nan && !b_nan) {
      if (x == y) continue;  // -0 and 0
      if (std::isfinite(y) && error <= tolerance.atol + tolerance.rtol * std::fabs(y)) continue;
      if (within_ulp(t, a, b, tolerance.ulp)) continue;
    }
    ++differing;
    if (!(error <= worst_error)) worst = i, worst_error = error;
  }
  if (!differing) return {};
  std::string note;
  if (value_text(got, t, worst) == value_text(want, t, worst))
    note = fmt::format(" (bits {:#x} and {:#x})", got.code(worst), want.code(worst));
  return fmt::format("{} of {} differ; worst at {}: {}, not {}{}", differing, n,
                     index_text(got.shape(), worst), value_text(got, t, worst),
                     value_text(want, t, worst), note);
}

Diagnostics compare_outputs(const std::string& first_engine, const Outputs& first,
                            const std::string& second_engine, const Outputs& second,
                            const Tolerance& tolerance) {
  Diagnostics out;
  for (const auto& [name, tensors] : first) {
    auto other = second.find(name);
    size_t count = other == second.end() ? 0 : other->second.size();
    for (size_t i = 0; i < tensors.size(); ++i) {
      std::optional<std::string> difference = i < count
                                                  ? compare(tensors[i], other->second[i], tolerance)
                                                  : std::optional<std::string>("only one has it");
      if (difference)
        out.push_back(make_diag(
            diag::comparison_failed,
            fmt::format("`{}` on {} and {}: {}", name, first_engine, second_engine, *difference)));
    }
  }
  return out;
}

}  // namespace tess::cli
