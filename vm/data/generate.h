// Tensors from a rule instead of a file. Every value is a function of the rule, the element type
// and the element's row-major number alone: the same on every platform and whatever the thread
// count. README.md gives the arithmetic.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vm/data/tensor.h"

namespace tess {

enum class Generator : uint8_t { zeros, ones, iota, uniform, normal, constant };

struct GeneratorCall {
  Generator generator = Generator::zeros;
  std::vector<std::string> arguments;  // as written; their meaning depends on the element type
};

// Random123's Philox4x32-10.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);
// A standard normal deviate from two uniform ones (Box-Muller), of + - * / sqrt on doubles alone.
double box_muller(double uniform_above_zero, double uniform_below_one);

// `default_seed` is used where uniform or normal is written without one. An error if a number does
// not suit the type (diag::generator_value).
Result<HostTensor> generate(const GeneratorCall& call, DType dtype, std::vector<int64_t> shape,
                            uint64_t default_seed = 0);

}  // namespace tess
