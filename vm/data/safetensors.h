// Hugging Face's .safetensors: u64 header length, JSON header, tensor bytes.
// Stated bound: the parsed header takes at most 64 times its bytes in memory; tensor data is
// borrowed.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "vm/data/blob.h"
#include "vm/data/tensor.h"

namespace tess {

inline constexpr uint64_t kMaxSafetensorsHeader =
    100'000'000;  // the reference implementation's own

struct SafetensorsEntry {
  std::string name, declared;  // declared: "F32", "F8_E4M3", ...
  // The element type; none for those that Tessera lacks (C64, the FNUZ floats), whose bytes read as
  // raw u8.
  std::optional<DType> dtype;
  std::vector<int64_t> shape;
  uint64_t offset = 0, size_bytes = 0;  // in the file
};
struct SafetensorsFile {
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<SafetensorsEntry> tensors;  // by offset
};

Result<SafetensorsFile> read_safetensors(const Blob& blob);
Result<HostTensor> safetensors_tensor(const Blob& blob, const SafetensorsFile& file,
                                      std::string_view name);

}  // namespace tess
