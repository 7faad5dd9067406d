// Two tensors compared: bit for bit, or within a tolerance. NaN equals NaN whatever its bits.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isa/diag.h"
#include "vm/api/tess.hpp"

namespace tess::cli {

// |got - want| <= atol + rtol * |want|, or at most `ulp` representable values apart; all zero: the
// same bits. Of the three a difference within any one is accepted.
struct Tolerance {
  double rtol = 0, atol = 0;
  uint64_t ulp = 0;
  bool exact() const { return rtol == 0 && atol == 0 && ulp == 0; }
};

// None if they agree; else how many elements differ, and the worst: "3 of 100 differ; worst at
// [2,1]: 1.5, not 1.25".
std::optional<std::string> compare(const api::Tensor& got, const api::Tensor& want,
                                   const Tolerance& tolerance);
inline std::optional<std::string> compare_exactly(const api::Tensor& got, const api::Tensor& want) {
  return compare(got, want, {});
}

// Every output of two runs, by parameter: one diag::comparison_failed for each tensor that differs.
using Outputs = std::map<std::string, std::vector<api::Tensor>>;
Diagnostics compare_outputs(const std::string& first_engine, const Outputs& first,
                            const std::string& second_engine, const Outputs& second,
                            const Tolerance& tolerance = {});

}  // namespace tess::cli
