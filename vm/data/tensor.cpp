#include "vm/data/tensor.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "isa/diag/data.h"
#include "isa/numerics.h"

namespace tess {
namespace {

constexpr uint64_t kMaxElements = uint64_t{1} << 56;  // so that 64-bit elements count < 2^63 bits
constexpr uint64_t kAlignment = 64;
constexpr uint64_t kMaxAllocation = uint64_t{1} << 39;  // half a terabyte: beyond it is a mistake

// Offset, in elements, of the element with row-major number `index`.
uint64_t element_offset(const HostTensor& t, uint64_t index) {
  uint64_t offset = 0;
  for (size_t d = t.shape.size(); d-- > 0;) {
    uint64_t n = static_cast<uint64_t>(t.shape[d]);
    offset += index % n * static_cast<uint64_t>(t.strides[d]);
    index /= n;
  }
  return offset;
}

struct AlignedBytes {
  std::shared_ptr<const void> keep;
  uint8_t* data;
};

// calloc takes large blocks straight from zero pages, so untouched ones cost nothing.
std::optional<AlignedBytes> allocate_zeroed(uint64_t bytes) {
  if (bytes > kMaxAllocation) return std::nullopt;
  uint64_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
  void* block = std::calloc(1, padded);
  if (!block) return std::nullopt;
  auto address = reinterpret_cast<uintptr_t>(block);
  uintptr_t aligned = (address + kAlignment - 1) / kAlignment * kAlignment;
  return AlignedBytes{std::shared_ptr<const void>(block, [](void* p) { std::free(p); }),
                      reinterpret_cast<uint8_t*>(aligned)};
}

template <class Copy>
void for_each_row(const HostTensor& t, uint64_t count, const Copy& copy) {
  int64_t inner = t.shape.empty() ? 1 : t.shape.back();
  std::vector<int64_t> at(t.shape.size(), 0);
  uint64_t source = 0;
  for (uint64_t row = 0; row < count; row += static_cast<uint64_t>(inner)) {
    copy(row, source, inner);
    for (size_t d = t.shape.size() - (t.shape.empty() ? 0 : 1); d-- > 0;) {
      source += static_cast<uint64_t>(t.strides[d]);
      if (++at[d] < t.shape[d]) break;
      source -= static_cast<uint64_t>(t.strides[d]) * static_cast<uint64_t>(t.shape[d]);
      at[d] = 0;
    }
  }
}

template <int N>
void copy_rows(const HostTensor& from, uint8_t* to, uint64_t count) {
  uint64_t step = from.shape.empty() ? 0 : static_cast<uint64_t>(from.strides.back());
  for_each_row(from, count, [&](uint64_t row, uint64_t source, int64_t inner) {
    for (int64_t i = 0; i < inner; ++i)
      std::memcpy(to + (row + i) * N, from.bytes + (source + i * step) * N, N);
  });
}

void copy_packed_rows(const HostTensor& from, uint8_t* to, uint64_t count) {
  int w = from.dtype.bits;
  uint64_t step = from.shape.empty() ? 0 : static_cast<uint64_t>(from.strides.back());
  for_each_row(from, count, [&](uint64_t row, uint64_t source, int64_t inner) {
    for (int64_t i = 0; i < inner; ++i)
      write_bits(to, (row + i) * w, w, read_bits(from.bytes, (source + i * step) * w, w));
  });
}

}  // namespace

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}
std::string type_text(DType dtype, std::span<const int64_t> shape) {
  return dtype_name(dtype) + (shape.empty() ? "" : shape_text(shape));
}

Result<uint64_t> element_count(std::span<const int64_t> shape) {
  if (shape.size() > kMaxTensorRank)
    return make_diag(diag::tensor_too_large,
                     fmt::format("a tensor of {} dimensions; at most {} are supported",
                                 shape.size(), kMaxTensorRank));
  uint64_t count = 1;
  bool empty = false;
  for (int64_t n : shape) {
    if (n < 0)
      return make_diag(diag::tensor_too_large,
                       fmt::format("shape {} has a negative dimension", shape_text(shape)));
    if (n == 0) empty = true;
    else if (__builtin_mul_overflow(count, static_cast<uint64_t>(n), &count) ||
             count > kMaxElements)
      return make_diag(diag::tensor_too_large,
                       fmt::format("shape {} has too many elements", shape_text(shape)));
  }
  return empty ? 0 : count;
}

Result<uint64_t> dense_bytes(DType dtype, std::span<const int64_t> shape) {
  TESS_TRY(uint64_t count, element_count(shape));
  return (count * dtype.bits + 7) / 8;
}

std::vector<int64_t> row_major_strides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = step;
    if (shape[d] != 0) step *= shape[d];
  }
  return strides;
}

bool is_dense(const HostTensor& t) {
  int64_t step = 1;
  for (size_t d = t.shape.size(); d-- > 0;) {
    if (t.shape[d] == 0) return true;
    if (t.shape[d] != 1 && t.strides[d] != step) return false;
    step *= t.shape[d];
  }
  return true;
}

Result<HostTensor> make_tensor(DType dtype, std::vector<int64_t> shape) {
  TESS_TRY(uint64_t bytes, dense_bytes(dtype, shape));
  auto block = allocate_zeroed(bytes);
  if (!block)
    return make_diag(diag::tensor_too_large, fmt::format("not enough memory for {} ({} bytes)",
                                                         type_text(dtype, shape), bytes));
  HostTensor t;
  t.dtype = dtype;
  t.strides = row_major_strides(shape);
  t.shape = std::move(shape);
  t.bytes = block->data;
  t.size_bytes = bytes;
  t.keep = std::move(block->keep);
  t.writable = true;
  return t;
}

Result<HostTensor> borrow_tensor(DType dtype, std::vector<int64_t> shape,
                                 std::span<const uint8_t> bytes, std::shared_ptr<const void> keep,
                                 bool writable) {
  TESS_TRY(uint64_t need, dense_bytes(dtype, shape));
  if (bytes.size() < need)
    return make_diag(diag::tensor_shape_mismatch,
                     fmt::format("{} needs {} bytes, but there are {}", type_text(dtype, shape),
                                 need, bytes.size()));
  HostTensor t;
  t.dtype = dtype;
  t.strides = row_major_strides(shape);
  t.shape = std::move(shape);
  t.bytes = bytes.data();
  t.size_bytes = need;
  t.keep = std::move(keep);
  t.writable = writable;
  return t;
}

Result<HostTensor> clone(const HostTensor& t) {
  TESS_TRY(HostTensor copy, make_tensor(t.dtype, t.shape));
  copy.raw = t.raw;
  copy.declared = t.declared;
  TESS_TRY(uint64_t count, element_count(t.shape));
  if (count == 0) return copy;
  uint8_t* to = copy.mutable_bytes();
  if (is_dense(t)) {
    std::memcpy(to, t.bytes, copy.size_bytes);
    return copy;
  }
  switch (t.dtype.bits) {
    case 8:
      copy_rows<1>(t, to, count);
      break;
    case 16:
      copy_rows<2>(t, to, count);
      break;
    case 32:
      copy_rows<4>(t, to, count);
      break;
    case 64:
      copy_rows<8>(t, to, count);
      break;
    default:
      copy_packed_rows(t, to, count);
  }
  return copy;
}

Result<HostTensor> to_dense(const HostTensor& t) {
  if (!is_dense(t)) return clone(t);
  HostTensor dense = t;
  dense.strides = row_major_strides(t.shape);
  return dense;
}

uint64_t element_code(const HostTensor& t, uint64_t index) {
  return read_bits(t.bytes, element_offset(t, index) * t.dtype.bits, t.dtype.bits);
}

double element_value(const HostTensor& t, uint64_t index) {
  uint64_t code = element_code(t, index);
  if (t.dtype.is_float() || t.dtype.kind == Kind::scale) return decode_float(t.dtype, code);
  if (t.dtype.is_bool()) return code != 0;
  int64_t value = decode_int(t.dtype, code);
  return t.dtype.kind == Kind::uint ? static_cast<double>(static_cast<uint64_t>(value))
                                    : static_cast<double>(value);
}

int64_t element_int(const HostTensor& t, uint64_t index) {
  uint64_t code = element_code(t, index);
  if (t.dtype.is_bool()) return code != 0;
  if (t.dtype.is_int()) return decode_int(t.dtype, code);
  return static_cast<int64_t>(cast_code(dt::i64_, t.dtype, code));
}

void set_element_code(HostTensor& t, uint64_t index, uint64_t code) {
  write_bits(t.mutable_bytes(), element_offset(t, index) * t.dtype.bits, t.dtype.bits, code);
}

void set_element_value(HostTensor& t, uint64_t index, double value) {
  uint64_t f64_code;
  std::memcpy(&f64_code, &value, sizeof value);
  set_element_code(t, index, cast_code(t.dtype, dt::f64_, f64_code));
}

}  // namespace tess
