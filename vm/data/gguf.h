// GGUF versions 2 and 3, little-endian: metadata, tensors, block types.
// Stated bound: the parsed header takes at most 32 times the bytes it stands in, plus 1 MiB; tensor
// data and long metadata values are borrowed.
#pragma once
#include <string>
#include <vector>

#include "vm/data/blob.h"
#include "vm/data/tensor.h"

namespace tess {

struct GgufType {
  std::string_view name;
  uint32_t number;
  uint32_t block_elements, block_bytes;
  DType dtype;  // of single elements; Kind::none for block types
};
std::span<const GgufType> gguf_types();
const GgufType* find_gguf_type(uint32_t number);  // null if unknown

// The metadata value types, by their numbers in the file.
enum class GgufValue : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};
std::string_view gguf_value_name(GgufValue type);
inline constexpr int kMaxGgufNesting = 8;  // arrays within arrays

struct GgufEntry {
  std::string key;
  GgufValue type{};
  GgufValue element{};                  // of an array
  uint64_t count = 1;                   // of an array
  uint64_t offset = 0, size_bytes = 0;  // of the value in the file
  std::string text;                     // the value; a long string or array is cut off with "..."
};
struct GgufTensor {
  std::string name;
  uint32_t type = 0;                    // number; GgufType if known
  std::vector<int64_t> shape;           // elements, outermost first (GGUF writes innermost first)
  uint64_t offset = 0, size_bytes = 0;  // in the file; size 0 if the type is unknown
};
struct GgufFile {
  uint32_t version = 0;
  uint64_t alignment = 32;
  std::vector<GgufEntry> metadata;
  std::vector<GgufTensor> tensors;  // in the file's order
};

Result<GgufFile> read_gguf(const Blob& blob);
// An ordinary type has its shape. A block type is raw u8 [..., bytes of a row], declared as its
// name.
Result<HostTensor> gguf_tensor(const Blob& blob, const GgufFile& file, std::string_view name);
// Of a numeric or boolean value; of a string in full.
std::optional<double> gguf_number(const Blob& blob, const GgufFile& file, std::string_view key);
std::optional<std::string_view> gguf_string(const Blob& blob, const GgufFile& file,
                                            std::string_view key);

}  // namespace tess
