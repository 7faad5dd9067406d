// NumPy's .npy, format versions 1 to 3.
#pragma once
#include <span>
#include <string>

#include "vm/data/blob.h"
#include "vm/data/tensor.h"

namespace tess {

inline constexpr uint64_t kMaxNpyHeader = 65536;

// What the header says. `item_bytes` is the size in the file.
struct NpyHeader {
  DType dtype;
  std::vector<int64_t> shape;  // '|Vn' with n other than 1, 2, 4, 8 has a last dimension n of bytes
  bool fortran_order = false, big_endian = false, raw = false;
  std::string descr;
  uint64_t data_offset = 0;
};

// From the first bytes of a file: at most kMaxNpyHeader + 12 are looked at.
Result<NpyHeader> parse_npy_header(const Blob& blob);
// Borrows the blob's bytes; Fortran order becomes strides; big-endian data is copied and swapped.
// Objects, structures, strings, dates, complex and long double are errors. Bytes after the array
// are ignored, as NumPy does.
Result<HostTensor> read_npy(const Blob& blob);

// How a tensor is stored: bool and integers of whole bytes, f16 f32 f64 as themselves, tf32 as
// '<f4', bf16 as '<u2', 8-bit floats and e8m0 as '|u1', all with their shape; sub-byte types as
// '|u1' of rank 1, their packed bytes. The header is padded so that the data starts at a multiple
// of 64.
std::string npy_header(DType dtype, std::span<const int64_t> shape);
// Writes the file whole or not at all (atomic_file.h).
Status write_npy(const std::string& path, const HostTensor& tensor);

}  // namespace tess
