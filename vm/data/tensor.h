// Host tensors: a dtype, a shape, strides and bytes that are owned or borrowed from a mapped file.
// Plain data; const access is thread-safe. Nothing here prints or throws.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/dtypes.h"
#include "isa/result.h"

namespace tess {

inline constexpr size_t kMaxTensorRank = 64;

// `bytes` stays valid while `keep` lives. Copies share the bytes.
//
// Elements are a dense little-endian bit stream (ISA.md section 2): the element at index i stands
// at bits [o*w, (o+1)*w) with o = sum of i[d]*strides[d], so a sub-byte row need not start at a
// byte. Strides count elements and are >= 0. Owned bytes are aligned to 64 and their tail up to the
// next multiple of 64 is allocated and zero; borrowed bytes promise neither.
struct HostTensor {
  DType dtype;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  const uint8_t* bytes = nullptr;
  uint64_t size_bytes = 0;  // of the whole stream, without the tail
  std::shared_ptr<const void> keep;
  bool writable = false;
  // True for bytes whose elements dtype does not describe: GGUF blocks, npy '|V' items. Such a
  // tensor is of u8, u16, u32 or u64 and `bind` lets it become any type of the same size.
  bool raw = false;
  std::string declared;  // the file's own name of the element type: "Q4_1", "<f4", "F8_E4M3"

  uint8_t* mutable_bytes() { return writable ? const_cast<uint8_t*>(bytes) : nullptr; }
};

// Number of elements; an error if a dimension is negative, the rank is above kMaxTensorRank or the
// product of the non-zero dimensions does not fit 60 bits.
Result<uint64_t> element_count(std::span<const int64_t> shape);
// Bytes of a dense tensor: ceil(count * bits / 8), overflow-checked.
Result<uint64_t> dense_bytes(DType dtype, std::span<const int64_t> shape);
// Row-major strides. The shape must have passed element_count.
std::vector<int64_t> row_major_strides(std::span<const int64_t> shape);
bool is_dense(const HostTensor& t);  // row-major without gaps
// Whether every element of >= 16 bits stands at an address that is a multiple of its size.

// A new writable row-major tensor, all bits zero, of at most 2^39 bytes. Pages are touched only
// when written.
Result<HostTensor> make_tensor(DType dtype, std::vector<int64_t> shape);
// A row-major tensor over bytes that the caller keeps alive through `keep`. An error if there are
// fewer bytes than the shape needs.
Result<HostTensor> borrow_tensor(DType dtype, std::vector<int64_t> shape,
                                 std::span<const uint8_t> bytes, std::shared_ptr<const void> keep,
                                 bool writable = false);
// The same elements, row-major; shares the bytes if they already are, and copies otherwise.
Result<HostTensor> to_dense(const HostTensor& t);
// A writable row-major copy.
Result<HostTensor> clone(const HostTensor& t);

// The code (bits) of element `index`, counted in row-major order whatever the strides. The caller
// keeps index < element_count(shape). Values: floats and e8m0 exactly, integers as double/int64
// (u64 above 2^63 wraps in element_int).
uint64_t element_code(const HostTensor& t, uint64_t index);
double element_value(const HostTensor& t, uint64_t index);
int64_t element_int(const HostTensor& t, uint64_t index);
// Setting rounds as `cast` does (nearest even, small floats saturate; floats to integers toward
// zero, clamped). The tensor must be writable.
void set_element_code(HostTensor& t, uint64_t index, uint64_t code);
void set_element_value(HostTensor& t, uint64_t index, double value);

// Gives a tensor as read from a file the type and shape that a kernel's signature asks for, without
// changing a bit of its elements. Legal are
//   the same type and shape (or one element each, whatever the ranks);
//   raw bytes as anything of the same number of bytes (the last byte's unused bits are ignored);
//   u8 or i8 data as an 8-bit type of the same shape, or as a sub-byte type whose packed bytes it
//   is; 16-bit integers as f16 or bf16, 32-bit ones as f32 or tf32, 64-bit ones as f64; f32 as tf32
//   if every value is one (low 13 bits zero), tf32 as f32; integers of one width as signed or
//   unsigned.
// The result is row-major; its bytes are shared, wherever they lie, unless they were strided or are
// bool bytes other than 0 and 1 (made 1).
Result<HostTensor> bind(HostTensor raw, DType want, std::span<const int64_t> shape);

struct FormatOptions {
  uint64_t threshold = 1000;  // above this many elements only the edges are shown
  int64_t edge = 3;
  int precision = 8;  // most digits after the point
  int line_width = 75;
};
// The tensor as NumPy prints it: aligned columns, shortest digits that identify the value in its
// type.
std::string format_tensor(const HostTensor& t, const FormatOptions& options = {});

// "f32[3,4]"; "f32" alone for rank 0.
std::string type_text(DType dtype, std::span<const int64_t> shape);
std::string shape_text(std::span<const int64_t> shape);  // "[3,4]"

}  // namespace tess
