// What `quantize` and `pack` share: element types by name, and the tensor they work on.
#pragma once
#include <string>
#include <vector>

#include "isa/result.h"
#include "vm/data/tensor.h"

namespace tess::cli {

Result<DType> dtype_named(const std::string& name);
// "4096,11008". Empty for an empty text.
Result<std::vector<int64_t>> shape_named(const std::string& text);
// Numbers from a SRC, `as` the type of its elements where the file cannot say it (bf16 in npy; a
// generator), `shape` where it has none. Integers are taken only if `as` names them.
Result<HostTensor> load_weights(const std::string& source, const std::string& as,
                                const std::string& shape);

}  // namespace tess::cli
