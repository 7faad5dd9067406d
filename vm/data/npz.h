// NumPy's .npz: a zip archive whose entries NAME.npy are the arrays NAME.
#pragma once
#include <span>
#include <string>

#include "vm/data/tensor.h"
#include "vm/data/zip.h"

namespace tess {

// "x" for "x.npy"; empty for an entry that is no array.
std::string_view npz_key(const ZipEntry& entry);
Result<HostTensor> read_npz(const Blob& npz, std::string_view key);

// Adds or replaces one array. The others are copied as they stand, in their order; a new key comes
// last. The file appears whole or keeps its old content. An existing file that is no valid archive
// is an error.
Status write_npz(const std::string& path, std::string_view key, const HostTensor& tensor);
// The same for several arrays of different names, in one step.
struct NamedTensor {
  std::string name;
  HostTensor tensor;
};
Status write_npz(const std::string& path, std::span<const NamedTensor> arrays);

}  // namespace tess
