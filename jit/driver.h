// The launch interface shared by every engine that runs PTX: module, memory, stream, launch, tensor
// map, shaped like the CUDA driver API. A Driver is plain data: a state pointer and a table of
// functions; jit/ptxsim implements it on the CPU, jit/driver_cuda on a GPU.
// Thread-safety: calls on one Driver must not overlap. Errors are values; after a failed launch the
// context stays usable. Ownership: handles belong to the driver until freed or the driver is
// closed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "isa/result.h"

namespace tess::jit {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
  bool operator==(const Dim3&) const = default;
};

using DevicePtr = uint64_t;  // an address on the device, in bytes; 0 is null
enum class ModuleId : uint32_t { none = 0 };
enum class StreamId : uint32_t { standard = 0 };  // work on one stream runs in order

struct DeviceInfo {
  std::string name;
  int sm = 0;  // 90 for compute capability 9.0
  int sm_count = 0;
  uint64_t global_bytes = 0;
  uint32_t shared_bytes_per_block = 0;  // with opt-in
  uint32_t max_threads_per_block = 0;
};

struct LaunchSpec {
  ModuleId module = ModuleId::none;
  std::string_view entry;
  Dim3 grid, block;
  Dim3 cluster{0, 0, 0};      // 0: as the entry says, else one block
  uint32_t shared_bytes = 0;  // dynamic shared memory per block
  bool cooperative = false;   // all blocks must be resident at once
  bool dependent = false;  // programmatic dependent launch: may start before its predecessor ends
  StreamId stream = StreamId::standard;
  // One span per kernel parameter: its bytes, exactly as many as the parameter has.
  std::span<const std::span<const std::byte>> params;
};

enum class TensorType : uint8_t {
  u8,
  u16,
  u32,
  s32,
  u64,
  s64,
  f16,
  f32,
  f64,
  bf16,
  f32_ftz,
  tf32,
  tf32_ftz
};
enum class TensorInterleave : uint8_t { none, b16, b32 };
enum class TensorSwizzle : uint8_t { none, b32, b64, b128 };
enum class TensorPromotion : uint8_t { none, b64, b128, b256 };
enum class TensorFill : uint8_t { zeros, nan };

// What cuTensorMapEncodeTiled takes. Dimension 0 is innermost and dense; strides are in bytes of
// dimensions 1..rank-1; boxes and element strides in elements.
struct TensorMapSpec {
  TensorType type = TensorType::f16;
  int rank = 0;  // 1..5
  DevicePtr address = 0;
  uint64_t size[5] = {};
  uint64_t stride[4] = {};
  uint32_t box[5] = {};
  uint32_t element_stride[5] = {1, 1, 1, 1, 1};
  TensorInterleave interleave = TensorInterleave::none;
  TensorSwizzle swizzle = TensorSwizzle::none;
  TensorPromotion promotion = TensorPromotion::none;
  TensorFill fill = TensorFill::zeros;
};
// Opaque, to be passed by value as a 64-byte aligned kernel parameter or stored in device memory.
struct alignas(64) TensorMap {
  std::byte bytes[128];
};

struct DriverTable {
  Result<DeviceInfo> (*device)(void*);
  Result<ModuleId> (*load_module)(void*, std::string_view image,
                                  std::string_view name);  // PTX text or cubin
  Status (*unload_module)(void*, ModuleId);
  // Address and size of a module's .global variable.
  Result<std::pair<DevicePtr, uint64_t>> (*global_symbol)(void*, ModuleId, std::string_view name);
  Result<DevicePtr> (*allocate)(void*, uint64_t bytes);  // contents undefined; aligned to 256 bytes
  Status (*release)(void*, DevicePtr);
  Status (*copy_in)(void*, DevicePtr to, std::span<const std::byte> from);
  Status (*copy_out)(void*, std::span<std::byte> to,
                     DevicePtr from);  // waits for the standard stream
  Status (*fill)(void*, DevicePtr, uint8_t value, uint64_t bytes);
  Result<StreamId> (*create_stream)(void*);
  Status (*destroy_stream)(void*, StreamId);
  Status (*launch)(void*, const LaunchSpec&);
  Status (*synchronize)(void*,
                        StreamId);  // the first error of the stream's work since the last call
  Result<TensorMap> (*encode_tensor_map)(void*, const TensorMapSpec&);
  void (*close)(void*);
};

struct Driver {
  void* self = nullptr;
  const DriverTable* table = nullptr;
};

}  // namespace tess::jit
