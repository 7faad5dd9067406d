#include <fmt/format.h>

#include <limits>

#include "vm/api/objects.h"
#include "vm/data/source.h"

using namespace tess;
using namespace tess::api;

namespace {

// The type and shape a caller names, checked.
Result<DType> dtype_named(const char* name) {
  std::optional<DType> t = name ? find_dtype(name) : std::nullopt;
  if (!t)
    return make_diag(diag::api_misuse, fmt::format("`{}` is not a type", name ? name : "NULL"));
  return *t;
}
Result<std::vector<int64_t>> shape_given(uint32_t rank, const int64_t* shape) {
  if (rank > kMaxTensorRank || (rank && !shape))
    return make_diag(diag::api_misuse, "the shape is NULL or has too many dimensions");
  std::vector<int64_t> out(shape, shape + rank);
  TESS_TRY(uint64_t count, element_count(out));
  (void)count;
  return out;
}

tess_error* give(Result<HostTensor> tensor, tess_tensor** out) {
  if (!tensor) return make_error(std::move(tensor).error());
  *out = new tess_tensor(std::move(*tensor));
  return nullptr;
}

#define TESS_API_TRY(decl, expr)                                          \
  auto TESS_CONCAT(result_, __LINE__) = (expr);                           \
  if (!TESS_CONCAT(result_, __LINE__))                                    \
    return make_error(std::move(TESS_CONCAT(result_, __LINE__)).error()); \
  decl = std::move(*TESS_CONCAT(result_, __LINE__))

}  // namespace

tess_error* tess_tensor_create(const char* dtype, uint32_t rank, const int64_t* shape,
                               tess_tensor** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_tensor_create: `out` is NULL");
    *out = nullptr;
    TESS_API_TRY(DType type, dtype_named(dtype));
    TESS_API_TRY(std::vector<int64_t> extents, shape_given(rank, shape));
    return give(make_tensor(type, std::move(extents)), out);
  });
}

tess_error* tess_tensor_borrow(const char* dtype, uint32_t rank, const int64_t* shape,
                               const int64_t* strides, void* data, size_t bytes, int writable,
                               void (*release)(void* user), void* user, tess_tensor** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_tensor_borrow: `out` is NULL");
    *out = nullptr;
    TESS_API_TRY(DType type, dtype_named(dtype));
    TESS_API_TRY(std::vector<int64_t> extents, shape_given(rank, shape));
    if (!data && bytes) return misuse("tess_tensor_borrow: `data` is NULL");
    HostTensor t;
    t.dtype = type;
    t.shape = extents;
    t.strides =
        strides ? std::vector<int64_t>(strides, strides + rank) : row_major_strides(extents);
    // The last element must lie within the bytes.
    __int128 last = 0;
    bool empty = false;
    for (uint32_t i = 0; i < rank; ++i) {
      if (t.strides[i] < 0)
        return misuse(fmt::format("tess_tensor_borrow: stride {} is negative", i));
      empty |= extents[i] == 0;
      last += __int128{extents[i] - 1} * t.strides[i];
      if (last > (__int128{1} << 90)) break;
    }
    if (!empty && ((last + 1) * type.bits + 7) / 8 > static_cast<__int128>(bytes))
      return misuse(fmt::format("tess_tensor_borrow: {} bytes are too few for {}", bytes,
                                type_text(type, extents)));
    t.bytes = static_cast<const uint8_t*>(data);
    t.size_bytes = bytes;
    t.writable = writable != 0;
    auto tensor = std::make_unique<tess_tensor>(std::move(t));
    // Last, so that a failure above leaves the memory with the caller.
    if (release)
      tensor->tensor.keep =
          std::shared_ptr<const void>(data, [release, user](const void*) { release(user); });
    *out = tensor.release();
    return nullptr;
  });
}

tess_error* tess_tensor_load(const char* source, const char* dtype, uint32_t rank,
                             const int64_t* shape, uint64_t seed, tess_tensor** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_tensor_load: `out` is NULL");
    *out = nullptr;
    if (!source) return misuse("tess_tensor_load: `source` is NULL");
    TESS_API_TRY(DType type, dtype_named(dtype));
    TESS_API_TRY(std::vector<int64_t> extents, shape_given(rank, shape));
    TESS_API_TRY(Source parsed, parse_source(source));
    return give(load_source(parsed, type, extents, seed), out);
  });
}

tess_error* tess_tensor_open(const char* source, tess_tensor** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_tensor_open: `out` is NULL");
    *out = nullptr;
    if (!source) return misuse("tess_tensor_open: `source` is NULL");
    TESS_API_TRY(Source parsed, parse_source(source));
    if (parsed.kind == SourceKind::generator)
      return misuse("tess_tensor_open: a generator has no shape of its own");
    return give(open_source(parsed), out);
  });
}

tess_error* tess_tensor_copy(const tess_tensor* tensor, tess_tensor** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_tensor_copy: `out` is NULL");
    *out = nullptr;
    if (!tensor) return misuse("tess_tensor_copy: the tensor is NULL");
    return give(clone(tensor->tensor), out);
  });
}

tess_error* tess_tensor_save(const tess_tensor* tensor, const char* dest) {
  return guarded([&]() -> tess_error* {
    if (!tensor || !dest) return misuse("tess_tensor_save: the tensor or the destination is NULL");
    TESS_API_TRY(Dest parsed, parse_dest(dest));
    if (parsed.kind == DestKind::print) return misuse("tess_tensor_save: `-` is no file");
    Status saved = save_dest(parsed, tensor->tensor);
    return saved ? nullptr : make_error(std::move(saved).error());
  });
}
void tess_tensor_destroy(tess_tensor* tensor) { delete tensor; }

const char* tess_tensor_dtype(const tess_tensor* tensor) {
  return tensor ? tensor->dtype.c_str() : "";
}
uint32_t tess_tensor_rank(const tess_tensor* tensor) {
  return tensor ? static_cast<uint32_t>(tensor->tensor.shape.size()) : 0;
}
const int64_t* tess_tensor_shape(const tess_tensor* tensor) {
  return tensor ? tensor->tensor.shape.data() : nullptr;
}
const int64_t* tess_tensor_strides(const tess_tensor* tensor) {
  return tensor ? tensor->tensor.strides.data() : nullptr;
}
int64_t tess_tensor_elements(const tess_tensor* tensor) {
  if (!tensor) return 0;
  int64_t n = 1;
  for (int64_t d : tensor->tensor.shape) n *= d;  // bounded when the tensor was made
  return n;
}
const void* tess_tensor_data(const tess_tensor* tensor) {
  return tensor ? tensor->tensor.bytes : nullptr;
}
void* tess_tensor_mutable_data(tess_tensor* tensor) {
  return tensor ? tensor->tensor.mutable_bytes() : nullptr;
}
size_t tess_tensor_bytes(const tess_tensor* tensor) {
  return tensor ? tensor->tensor.size_bytes : 0;
}
double tess_tensor_value(const tess_tensor* tensor, int64_t index) {
  return index < 0 || index >= tess_tensor_elements(tensor)
             ? 0
             : element_value(tensor->tensor, static_cast<uint64_t>(index));
}
uint64_t tess_tensor_code(const tess_tensor* tensor, int64_t index) {
  return index < 0 || index >= tess_tensor_elements(tensor)
             ? 0
             : element_code(tensor->tensor, static_cast<uint64_t>(index));
}
const char* tess_tensor_text(tess_tensor* tensor) {
  if (!tensor) return "";
  try {
    tensor->text = format_tensor(tensor->tensor);
    return tensor->text.c_str();
  } catch (...) {
    return "(not enough memory)";
  }
}
