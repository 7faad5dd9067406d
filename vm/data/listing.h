// What a tensor file holds, for `tess data FILE`.
#pragma once
#include <string>
#include <vector>

#include "vm/data/blob.h"
#include "vm/data/tensor.h"

namespace tess {

enum class FileFormat : uint8_t { npy, npz, safetensors, gguf };
std::string_view format_name(FileFormat format);

struct ListedTensor {
  std::string name;      // empty for npy
  std::string declared;  // the file's own type name
  DType dtype;           // Kind::none if it has no scalar type (blocks, foreign types)
  std::vector<int64_t> shape;
  uint64_t offset = 0, size_bytes = 0;  // of the bytes in the file; deflated entries: compressed
  std::string note;  // "deflated", "Fortran order", "big-endian", "blocks of 32 in 20 bytes"
};
struct ListedMetadata {
  std::string key, type, value;
};
struct Listing {
  std::string path;
  FileFormat format{};
  uint64_t file_bytes = 0;
  std::string detail;  // "version 3, alignment 32"
  std::vector<ListedTensor> tensors;
  std::vector<ListedMetadata> metadata;
};

// The format is told by the first bytes. Data is not read: only headers.
Result<FileFormat> detect_format(const Blob& blob);
Result<Listing> list_blob(const Blob& blob);
Result<Listing> list_file(const std::string& path);

// Aligned columns; control characters in names are escaped. Ends with a newline.
std::string listing_text(const Listing& listing);
// One JSON object: path, format, bytes, detail, tensors [{name, dtype, declared, shape, offset,
// bytes, note}], metadata [{key, type, value}]; dtype is null where there is no scalar type.
std::string listing_json(const Listing& listing);

}  // namespace tess
