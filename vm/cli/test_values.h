// Numbers as directives write them, and tensors of them.
#pragma once
#include <string>
#include <vector>

#include "vm/api/tess.hpp"

namespace tess::cli {

// `problem` says what is wrong with the numbers; the error of the value, with the tensor.
api::Value<api::Tensor> tensor_of_literal(const std::vector<std::string>& numbers,
                                          const char* dtype, const api::Shape& shape,
                                          std::string& problem);
// The shortest text of each element that reads back to it.
std::string literal_of(const api::Tensor& t);

}  // namespace tess::cli
