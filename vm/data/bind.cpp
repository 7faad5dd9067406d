// `bind`: a file's tensor as the type and shape of a kernel's parameter.
#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/data.h"
#include "vm/data/tensor.h"

namespace tess {
namespace {

// Whether elements of `have` may be read as `want` in place, both of the same width.
bool same_bits(DType have, DType want) {
  if (have == want) return true;
  if (have.bits != want.bits || have.is_bool()) return false;
  if (want.is_bool()) return have == dt::u8_;
  if (have.is_int()) return true;
  return have.is_float() && want.is_float() && have.bits == 32;  // f32 and tf32
}

bool is_bytes(const HostTensor& t) { return t.dtype == dt::u8_ || t.dtype == dt::i8_; }

Diagnostic type_error(const HostTensor& t, DType want, std::span<const int64_t> shape) {
  std::string declared = t.declared.empty() ? "" : fmt::format(" (declared {})", t.declared);
  std::string hint;
  if (is_bytes(t) && want.bits < 8)
    hint = fmt::format("{} is given as its packed bytes: element n at bits [{}n, {}n+{})",
                       dtype_name(want), want.bits, want.bits, want.bits);
  else if (want == dt::bf16_) hint = "store bf16 as 16-bit integers ('<u2') or as '|V2'";
  else if (want.bits == 8) hint = fmt::format("store {} as bytes ('|u1')", dtype_name(want));
  else
    hint = fmt::format("convert the file to {}, or declare the parameter as {}", dtype_name(want),
                       dtype_name(t.dtype));
  return make_diag(diag::tensor_type_mismatch,
                   fmt::format("the file holds {}{}, the parameter is {}",
                               type_text(t.dtype, t.shape), declared, type_text(want, shape)),
                   {}, std::move(hint));
}

Diagnostic shape_error(const HostTensor& t, DType want, std::span<const int64_t> shape,
                       uint64_t want_bytes, bool by_bytes) {
  std::string declared = t.declared.empty() ? "" : fmt::format(" (declared {})", t.declared);
  std::string message = fmt::format("the file holds {}{}, the parameter is {}",
                                    type_text(t.dtype, t.shape), declared, type_text(want, shape));
  std::string hint;
  if (by_bytes)
    hint = fmt::format("{} is {} bytes, the file's tensor has {}", type_text(want, shape),
                       want_bytes, t.size_bytes);
  return make_diag(diag::tensor_shape_mismatch, std::move(message), {}, std::move(hint));
}

bool has_odd_bools(const HostTensor& t) {
  uint8_t seen = 0;
  for (uint64_t i = 0; i < t.size_bytes; ++i) seen |= t.bytes[i];
  return seen > 1;
}

// tf32 in memory is an f32 whose low 13 bits are zero; rounding other values would be a hidden
// cast.
bool has_f32_precision(const HostTensor& t) {
  uint8_t seen = 0;
  for (uint64_t i = 0; i + 3 < t.size_bytes; i += 4) seen |= t.bytes[i] | (t.bytes[i + 1] & 0x1f);
  return seen != 0;
}

// Row-major, bools 0 or 1.
Result<HostTensor> settle(HostTensor t) {
  if (t.dtype.is_bool() && has_odd_bools(t)) {
    TESS_TRY(t, clone(t));
    uint8_t* bytes = t.mutable_bytes();
    for (uint64_t i = 0; i < t.size_bytes; ++i) bytes[i] = bytes[i] != 0;
  }
  return t;
}

}  // namespace

Result<HostTensor> bind(HostTensor raw, DType want, std::span<const int64_t> shape) {
  TESS_TRY(uint64_t want_count, element_count(shape));
  TESS_TRY(uint64_t want_bytes, dense_bytes(want, shape));
  TESS_TRY(uint64_t have_count, element_count(raw.shape));
  TESS_TRY(HostTensor t, to_dense(raw));
  bool by_bytes = t.raw || (is_bytes(t) && want.bits < 8);
  if (by_bytes) {
    if (t.size_bytes != want_bytes) return shape_error(t, want, shape, want_bytes, true);
  } else if (!same_bits(t.dtype, want)) {
    return type_error(t, want, shape);
  } else {
    bool same_shape = std::equal(shape.begin(), shape.end(), t.shape.begin(), t.shape.end());
    if (!same_shape && !(want_count == 1 && have_count == 1))
      return shape_error(t, want, shape, want_bytes, false);
  }
  if (want.is_tf32() && has_f32_precision(t))
    return make_diag(diag::tensor_type_mismatch, "the file holds values that tf32 cannot represent",
                     {}, "declare the parameter as f32 and use `cast` in the kernel");
  t.dtype = want;
  t.shape.assign(shape.begin(), shape.end());
  t.strides = row_major_strides(shape);
  t.raw = false;
  return settle(std::move(t));
}

}  // namespace tess
