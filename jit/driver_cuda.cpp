#include "jit/driver_cuda.h"

#include <fmt/format.h>

#include "isa/diag/device.h"
#include "isa/diag/run.h"

#ifndef TESS_CUDA_H

namespace tess::jit {
Result<Driver> open_cuda_driver(int) {
  return make_diag(diag::cuda_missing, "this build was made without cuda.h", {},
                   "install the CUDA toolkit's headers (cuda-cudart-dev-13-0) and build again");
}
}  // namespace tess::jit

#else

#include <cuda.h>
#include <dlfcn.h>

#include <cstring>
#include <memory>
#include <vector>

namespace tess::jit {
namespace {

// The functions of the driver that are used, under the names that cuda.h maps them to.
struct Api {
  decltype(&::cuInit) init;
  decltype(&::cuGetErrorName) error_name;
  decltype(&::cuGetErrorString) error_string;
  decltype(&::cuDeviceGet) device_get;
  decltype(&::cuDeviceGetCount) device_count;
  decltype(&::cuDeviceGetName) device_name;
  decltype(&::cuDeviceGetAttribute) device_attribute;
  decltype(&::cuDeviceTotalMem) device_memory;
  decltype(&::cuDevicePrimaryCtxRetain) retain;
  decltype(&::cuDevicePrimaryCtxRelease) release;
  decltype(&::cuDevicePrimaryCtxReset) reset;
  decltype(&::cuCtxSetCurrent) set_current;
  decltype(&::cuModuleLoadDataEx) load;
  decltype(&::cuModuleUnload) unload;
  decltype(&::cuModuleGetFunction) function;
  decltype(&::cuModuleGetGlobal) global;
  decltype(&::cuFuncSetAttribute) set_attribute;
  decltype(&::cuMemAlloc) allocate;
  decltype(&::cuMemFree) free;
  decltype(&::cuMemcpyHtoD) copy_in;
  decltype(&::cuMemcpyDtoH) copy_out;
  decltype(&::cuMemsetD8) fill;
  decltype(&::cuStreamCreate) create_stream;
  decltype(&::cuStreamDestroy) destroy_stream;
  decltype(&::cuStreamSynchronize) synchronize;
  decltype(&::cuLaunchKernelEx) launch;
  decltype(&::cuTensorMapEncodeTiled) encode;
};

struct Symbol {
  const char* name;
  size_t offset;
};
constexpr Symbol kSymbols[] = {
    {"cuInit", offsetof(Api, init)},
    {"cuGetErrorName", offsetof(Api, error_name)},
    {"cuGetErrorString", offsetof(Api, error_string)},
    {"cuDeviceGet", offsetof(Api, device_get)},
    {"cuDeviceGetCount", offsetof(Api, device_count)},
    {"cuDeviceGetName", offsetof(Api, device_name)},
    {"cuDeviceGetAttribute", offsetof(Api, device_attribute)},
    {"cuDeviceTotalMem_v2", offsetof(Api, device_memory)},
    {"cuDevicePrimaryCtxRetain", offsetof(Api, retain)},
    {"cuDevicePrimaryCtxRelease_v2", offsetof(Api, release)},
    {"cuDevicePrimaryCtxReset_v2", offsetof(Api, reset)},
    {"cuCtxSetCurrent", offsetof(Api, set_current)},
    {"cuModuleLoadDataEx", offsetof(Api, load)},
    {"cuModuleUnload", offsetof(Api, unload)},
    {"cuModuleGetFunction", offsetof(Api, function)},
    {"cuModuleGetGlobal_v2", offsetof(Api, global)},
    {"cuFuncSetAttribute", offsetof(Api, set_attribute)},
    {"cuMemAlloc_v2", offsetof(Api, allocate)},
    {"cuMemFree_v2", offsetof(Api, free)},
    {"cuMemcpyHtoD_v2", offsetof(Api, copy_in)},
    {"cuMemcpyDtoH_v2", offsetof(Api, copy_out)},
    {"cuMemsetD8_v2", offsetof(Api, fill)},
    {"cuStreamCreate", offsetof(Api, create_stream)},
    {"cuStreamDestroy_v2", offsetof(Api, destroy_stream)},
    {"cuStreamSynchronize", offsetof(Api, synchronize)},
    {"cuLaunchKernelEx", offsetof(Api, launch)},
    {"cuTensorMapEncodeTiled", offsetof(Api, encode)},
};
static_assert(sizeof(Api) == std::size(kSymbols) * sizeof(void*));

struct Cuda {
  Api api{};
  CUdevice device = 0;
  CUcontext context = nullptr;
  bool faulted = false;
  std::vector<CUmodule> modules;  // by ModuleId less one; null: unloaded
  std::vector<CUstream> streams;  // by StreamId less one
};

Cuda& of(void* self) { return *static_cast<Cuda*>(self); }

// Errors after which the context is lost.
bool is_fault(CUresult r) {
  switch (r) {
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
      return true;
    default:
      return false;
  }
}

Status check(Cuda& c, CUresult r, std::string_view what) {
  if (r == CUDA_SUCCESS) return ok();
  const char *name = nullptr, *text = nullptr;
  c.api.error_name(r, &name);
  c.api.error_string(r, &text);
  c.faulted |= is_fault(r);
  Diag code = is_fault(r)                                    ? diag::cuda_fault
              : r == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE ? diag::launch_cooperative
                                                             : diag::cuda_failed;
  return make_diag(code, fmt::format("{}: {} ({})", what, text ? text : "an error of the driver",
                                     name ? name : fmt::format("{}", static_cast<int>(r))));
}

// Any thread may call, so the context is made current each time.
Result<Cuda*> enter(void* self) {
  Cuda& c = of(self);
  TESS_CHECK(check(c, c.api.set_current(c.context), "the GPU's context"));
  return &c;
}

int attribute(const Cuda& c, CUdevice_attribute a) {
  int v = 0;
  c.api.device_attribute(&v, a, c.device);
  return v;
}

Result<DeviceInfo> device_info(void* self) {
  Cuda& c = of(self);
  DeviceInfo info;
  char name[256] = "";
  c.api.device_name(name, sizeof name, c.device);
  size_t bytes = 0;
  c.api.device_memory(&bytes, c.device);
  info.name = name;
  info.sm = attribute(c, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
            attribute(c, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  info.sm_count = attribute(c, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  info.global_bytes = bytes;
  info.shared_bytes_per_block =
      static_cast<uint32_t>(attribute(c, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
  info.max_threads_per_block =
      static_cast<uint32_t>(attribute(c, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK));
  return info;
}

Result<ModuleId> load_module(void* self, std::string_view image, std::string_view name) {
  TESS_TRY(Cuda * c, enter(self));
  std::string text(image);  // PTX ends with a zero
  char log[8192] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  CUmodule module = nullptr;
  CUresult r = c->api.load(&module, text.c_str(), 2, options, values);
  if (Status s = check(*c, r, fmt::format("loading `{}`", name)); !s) {
    if (*log) s.error().notes.push_back({log, {}});
    return std::move(s).error();
  }
  c->modules.push_back(module);
  return static_cast<ModuleId>(c->modules.size());
}

Result<CUmodule> find_module(Cuda& c, ModuleId id) {
  size_t i = static_cast<size_t>(id);
  if (i == 0 || i > c.modules.size() || !c.modules[i - 1])
    return make_diag(diag::cuda_failed, "no such module is loaded");
  return c.modules[i - 1];
}

Status unload_module(void* self, ModuleId id) {
  TESS_TRY(Cuda * c, enter(self));
  TESS_TRY(CUmodule module, find_module(*c, id));
  c->modules[static_cast<size_t>(id) - 1] = nullptr;
  return check(*c, c->api.unload(module), "unloading a module");
}

Result<std::pair<DevicePtr, uint64_t> > global_symbol(void* self, ModuleId id,
                                                      std::string_view name) {
  TESS_TRY(Cuda * c, enter(self));
  TESS_TRY(CUmodule module, find_module(*c, id));
  CUdeviceptr at = 0;
  size_t bytes = 0;
  TESS_CHECK(check(*c, c->api.global(&at, &bytes, module, std::string(name).c_str()),
                   fmt::format("variable `{}`", name)));
  return std::pair<DevicePtr, uint64_t>(at, bytes);
}

Result<DevicePtr> allocate(void* self, uint64_t bytes) {
  TESS_TRY(Cuda * c, enter(self));
  CUdeviceptr p = 0;
  TESS_CHECK(check(*c, c->api.allocate(&p, bytes ? bytes : 1),
                   fmt::format("{} bytes of device memory", bytes)));
  return DevicePtr{p};
}
Status release(void* self, DevicePtr p) {
  TESS_TRY(Cuda * c, enter(self));
  return check(*c, c->api.free(p), "freeing device memory");
}
Status copy_in(void* self, DevicePtr to, std::span<const std::byte> from) {
  TESS_TRY(Cuda * c, enter(self));
  if (from.empty()) return ok();
  return check(*c, c->api.copy_in(to, from.data(), from.size()), "copying to the GPU");
}
Status copy_out(void* self, std::span<std::byte> to, DevicePtr from) {
  TESS_TRY(Cuda * c, enter(self));
  if (to.empty()) return ok();
  return check(*c, c->api.copy_out(to.data(), from, to.size()), "copying from the GPU");
}
Status fill(void* self, DevicePtr at, uint8_t value, uint64_t bytes) {
  TESS_TRY(Cuda * c, enter(self));
  if (!bytes) return ok();
  return check(*c, c->api.fill(at, value, bytes), "filling device memory");
}

CUstream find_stream(const Cuda& c, StreamId id) {
  size_t i = static_cast<size_t>(id);
  return i && i <= c.streams.size() ? c.streams[i - 1] : nullptr;
}
Result<StreamId> create_stream(void* self) {
  TESS_TRY(Cuda * c, enter(self));
  CUstream s = nullptr;
  TESS_CHECK(check(*c, c->api.create_stream(&s, CU_STREAM_NON_BLOCKING), "a stream"));
  c->streams.push_back(s);
  return static_cast<StreamId>(c->streams.size());
}
Status destroy_stream(void* self, StreamId id) {
  TESS_TRY(Cuda * c, enter(self));
  CUstream s = find_stream(*c, id);
  if (!s) return make_diag(diag::cuda_failed, "no such stream");
  c->streams[static_cast<size_t>(id) - 1] = nullptr;
  return check(*c, c->api.destroy_stream(s), "ending a stream");
}

constexpr uint32_t kPortableCluster = 8, kSharedWithoutAsking = 48 << 10;

Status launch(void* self, const LaunchSpec& s) {
  TESS_TRY(Cuda * c, enter(self));
  TESS_TRY(CUmodule module, find_module(*c, s.module));
  std::string entry(s.entry);
  auto checked = [&](CUresult r) { return check(*c, r, fmt::format("launching `{}`", entry)); };
  CUfunction f = nullptr;
  TESS_CHECK(checked(c->api.function(&f, module, entry.c_str())));
  if (s.shared_bytes > kSharedWithoutAsking)
    TESS_CHECK(checked(c->api.set_attribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                            static_cast<int>(s.shared_bytes))));
  if (s.cluster.count() > kPortableCluster)
    TESS_CHECK(
        checked(c->api.set_attribute(f, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1)));
  std::vector<CUlaunchAttribute> attributes;
  auto attribute = [&](CUlaunchAttributeID id) -> CUlaunchAttributeValue& {
    CUlaunchAttribute& a = attributes.emplace_back();
    std::memset(&a, 0, sizeof a);
    a.id = id;
    return a.value;
  };
  if (s.cluster.x) {
    CUlaunchAttributeValue& v = attribute(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
    v.clusterDim.x = s.cluster.x, v.clusterDim.y = s.cluster.y, v.clusterDim.z = s.cluster.z;
  }
  if (s.cooperative) attribute(CU_LAUNCH_ATTRIBUTE_COOPERATIVE).cooperative = 1;
  if (s.dependent)
    attribute(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
        .programmaticStreamSerializationAllowed = 1;
  CUlaunchConfig config{};
  config.gridDimX = s.grid.x, config.gridDimY = s.grid.y, config.gridDimZ = s.grid.z;
  config.blockDimX = s.block.x, config.blockDimY = s.block.y, config.blockDimZ = s.block.z;
  config.sharedMemBytes = s.shared_bytes;
  config.hStream = find_stream(*c, s.stream);
  config.attrs = attributes.data();
  config.numAttrs = static_cast<unsigned>(attributes.size());
  std::vector<void*> params;
  for (std::span<const std::byte> p : s.params)
    params.push_back(const_cast<void*>(static_cast<const void*>(p.data())));
  return checked(c->api.launch(&config, f, params.data(), nullptr));
}

Status synchronize(void* self, StreamId id) {
  TESS_TRY(Cuda * c, enter(self));
  return check(*c, c->api.synchronize(find_stream(*c, id)), "the kernel");
}

// In the order of TensorType and so on.
constexpr CUtensorMapDataType kTypes[] = {
    CU_TENSOR_MAP_DATA_TYPE_UINT8,       CU_TENSOR_MAP_DATA_TYPE_UINT16,
    CU_TENSOR_MAP_DATA_TYPE_UINT32,      CU_TENSOR_MAP_DATA_TYPE_INT32,
    CU_TENSOR_MAP_DATA_TYPE_UINT64,      CU_TENSOR_MAP_DATA_TYPE_INT64,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT16,     CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT64,     CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ, CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
    CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ};
constexpr CUtensorMapInterleave kInterleaves[] = {
    CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_INTERLEAVE_16B, CU_TENSOR_MAP_INTERLEAVE_32B};
constexpr CUtensorMapSwizzle kSwizzles[] = {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_32B,
                                            CU_TENSOR_MAP_SWIZZLE_64B, CU_TENSOR_MAP_SWIZZLE_128B};
constexpr CUtensorMapL2promotion kPromotions[] = {
    CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_64B,
    CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B};

Result<TensorMap> encode(void* self, const TensorMapSpec& s) {
  TESS_TRY(Cuda * c, enter(self));
  static_assert(sizeof(CUtensorMap) == sizeof(TensorMap));
  CUtensorMap map;
  uint64_t size[5], stride[5] = {};
  std::copy(std::begin(s.size), std::end(s.size), size);
  std::copy(std::begin(s.stride), std::end(s.stride), stride);
  CUresult r = c->api.encode(
      &map, kTypes[static_cast<int>(s.type)], static_cast<cuuint32_t>(s.rank),
      reinterpret_cast<void*>(s.address), size, stride, s.box, s.element_stride,
      kInterleaves[static_cast<int>(s.interleave)], kSwizzles[static_cast<int>(s.swizzle)],
      kPromotions[static_cast<int>(s.promotion)],
      s.fill == TensorFill::nan ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                                : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  TESS_CHECK(check(*c, r, "a tensor map"));
  TensorMap out;
  std::memcpy(out.bytes, &map, sizeof map);
  return out;
}

void close(void* self) {
  std::unique_ptr<Cuda> c(static_cast<Cuda*>(self));
  c->api.set_current(c->context);
  if (c->faulted) {
    c->api.reset(c->device);
  } else {
    for (CUmodule m : c->modules)
      if (m) c->api.unload(m);
    for (CUstream s : c->streams)
      if (s) c->api.destroy_stream(s);
  }
  c->api.set_current(nullptr);
  c->api.release(c->device);
}

constexpr DriverTable kTable{device_info, load_module,   unload_module,  global_symbol,
                             allocate,    release,       copy_in,        copy_out,
                             fill,        create_stream, destroy_stream, launch,
                             synchronize, encode,        close};

Status load_api(Api& api) {
  // Stays open: the driver does not support being unloaded.
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return make_diag(diag::cuda_missing, fmt::format("CUDA's driver is not there: {}", dlerror()),
                     {}, "`--on sim` runs the same kernels without a GPU");
  for (const Symbol& s : kSymbols) {
    void* f = dlsym(library, s.name);
    if (!f)
      return make_diag(diag::cuda_missing,
                       fmt::format("CUDA's driver is too old: it has no {}", s.name), {},
                       "driver 580 or newer");
    std::memcpy(reinterpret_cast<char*>(&api) + s.offset, &f, sizeof f);
  }
  return ok();
}

}  // namespace

Result<Driver> open_cuda_driver(int device) {
  auto c = std::make_unique<Cuda>();
  TESS_CHECK(load_api(c->api));
  auto missing = [&](CUresult r, std::string_view what) -> Status {
    Status s = check(*c, r, what);
    if (!s) s.error().code = diag::cuda_missing;
    return s;
  };
  TESS_CHECK(missing(c->api.init(0), "starting CUDA's driver"));
  int count = 0;
  TESS_CHECK(missing(c->api.device_count(&count), "counting GPUs"));
  if (device >= count)
    return make_diag(diag::cuda_missing,
                     fmt::format("there is no GPU {}: {} found", device, count));
  TESS_CHECK(missing(c->api.device_get(&c->device, device), "the GPU"));
  int major = attribute(*c, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  if (major < 8)
    return make_diag(diag::cuda_missing,
                     fmt::format("the GPU is of compute capability {}.{}; 8.0 is needed", major,
                                 attribute(*c, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)));
  TESS_CHECK(missing(c->api.retain(&c->context, c->device), "the GPU's context"));
  return Driver{c.release(), &kTable};
}

}  // namespace tess::jit

#endif
