// A libcuda.so.1 whose device memory is the host's and whose kernels are the few below: what
// jit/driver_cuda.cpp says to a driver is tested without one. Numbers and layouts are those of
// CUDA's driver API.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>

namespace {

constexpr int kOutOfMemory = 2, kInvalidPtx = 218, kNotFound = 500, kIllegalAddress = 700,
              kTooLarge = 720;
int sticky = 0;
std::string last_launch;
std::set<std::unique_ptr<std::string>> modules;  // texts; a reset of the context unloads them

struct LaunchAttribute {
  uint32_t id;
  char pad[4];
  uint32_t value[16];
};
struct LaunchConfig {
  uint32_t grid[3], block[3], shared;
  void* stream;
  LaunchAttribute* attributes;
  uint32_t n_attributes;
};

}  // namespace

extern "C" {
int cuInit(unsigned) { return 0; }
int cuGetErrorName(int error, const char** text) {
  *text = error == kIllegalAddress ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : error == kInvalidPtx   ? "CUDA_ERROR_INVALID_PTX"
          : error == kOutOfMemory  ? "CUDA_ERROR_OUT_OF_MEMORY"
                                   : "CUDA_ERROR_OTHER";
  return 0;
}
int cuGetErrorString(int, const char** text) {
  *text = "as the fake driver says";
  return 0;
}
int cuDeviceGet(int* device, int) { return *device = 0; }
int cuDeviceGetCount(int* n) {
  *n = 1;
  return 0;
}
int cuDeviceGetName(char* name, int n, int) {
  strncpy(name, "Fake GPU", static_cast<size_t>(n));
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : 1024;
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = size_t{1} << 30;
  return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &sticky;
  return 0;
}
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuDevicePrimaryCtxReset_v2(int) {
  modules.clear();
  return sticky = 0;
}
int cuCtxSetCurrent(void*) { return 0; }
int cuModuleLoadDataEx(void** module, const void* image, unsigned n, const int* options,
                       void** values) {
  const char* text = static_cast<const char*>(image);
  if (strncmp(text, "bad", 3) == 0) {
    for (unsigned i = 0; i < n; ++i)
      if (options[i] == 5) strcpy(static_cast<char*>(values[i]), "line 1: it is bad");
    return kInvalidPtx;
  }
  *module = modules.insert(std::make_unique<std::string>(text)).first->get();
  return sticky;
}
int cuModuleUnload(void* module) {
  std::erase_if(modules, [&](const auto& m) { return m.get() == module; });
  return sticky;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
  auto* text = static_cast<std::string*>(module);
  size_t at = text->find(name);
  if (at == std::string::npos) return kNotFound;
  *function = text->data() + at;
  return sticky;
}
int cuModuleGetGlobal_v2(uint64_t* at, size_t* bytes, void*, const char* name) {
  static uint64_t variable = 17;
  if (strcmp(name, "seventeen") != 0) return kNotFound;
  *at = reinterpret_cast<uint64_t>(&variable);
  *bytes = sizeof variable;
  return 0;
}
int cuFuncSetAttribute(void*, int attribute, int value) {
  last_launch += " attribute " + std::to_string(attribute) + "=" + std::to_string(value);
  return sticky;
}
int cuMemAlloc_v2(uint64_t* p, size_t bytes) {
  if (bytes > size_t{1} << 30) return kOutOfMemory;
  *p = reinterpret_cast<uint64_t>(aligned_alloc(256, (bytes + 255) / 256 * 256));
  return sticky;
}
int cuMemFree_v2(uint64_t p) {
  free(reinterpret_cast<void*>(p));
  return sticky;
}
int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t n) {
  memcpy(reinterpret_cast<void*>(to), from, n);
  return sticky;
}
int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t n) {
  memcpy(to, reinterpret_cast<void*>(from), n);
  return sticky;
}
int cuMemsetD8_v2(uint64_t at, unsigned char value, size_t n) {
  memset(reinterpret_cast<void*>(at), value, n);
  return sticky;
}
int cuStreamCreate(void** stream, unsigned) {
  *stream = malloc(1);
  return 0;
}
int cuStreamDestroy_v2(void* stream) {
  free(stream);
  return 0;
}
int cuStreamSynchronize(void*) { return sticky; }

// `what PTR`: the launch as text to PTR. `fault`: every later call fails. `saxpy N A X Y`: as its
// name says.
int cuLaunchKernelEx(const LaunchConfig* c, void* function, void** params, void**) {
  std::string name = static_cast<const char*>(function);
  auto text = [](const uint32_t* d) {
    return std::to_string(d[0]) + "," + std::to_string(d[1]) + "," + std::to_string(d[2]);
  };
  last_launch += " grid " + text(c->grid) + " block " + text(c->block) + " shared " +
                 std::to_string(c->shared);
  for (uint32_t i = 0; i < c->n_attributes; ++i) {
    const LaunchAttribute& a = c->attributes[i];
    last_launch += " launch " + std::to_string(a.id) + "=" + std::to_string(a.value[0]);
    if (a.id == 2 && c->grid[0] > 1000) return kTooLarge;
  }
  auto pointer = [&](int i) { return *static_cast<char**>(params[i]); };
  if (name.starts_with("what")) strcpy(pointer(0), last_launch.c_str());
  if (name.starts_with("fault")) sticky = kIllegalAddress;
  if (name.starts_with("saxpy")) {
    int n = *static_cast<int*>(params[0]);
    float a = *static_cast<float*>(params[1]);
    auto *x = reinterpret_cast<float*>(pointer(2)), *y = reinterpret_cast<float*>(pointer(3));
    for (int i = 0; i < n; ++i) y[i] += a * x[i];
  }
  last_launch.clear();
  return 0;
}
int cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* at, const uint64_t* size,
                           const uint64_t* stride, const uint32_t* box, const uint32_t*, int,
                           int swizzle, int, int) {
  uint64_t words[16] = {static_cast<uint64_t>(type),
                        rank,
                        reinterpret_cast<uint64_t>(at),
                        size[0],
                        size[1],
                        stride[0],
                        box[0],
                        box[1],
                        static_cast<uint64_t>(swizzle)};
  memcpy(map, words, sizeof words);
  return 0;
}
}
