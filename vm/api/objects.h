// The objects behind the C interface's opaque handles. Handles are small; what they share is held by
// shared_ptr, so that the order of destruction is free.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "isa/diag/tool.h"
#include "isa/verify.h"
#include "jit/launch.h"
#include "vm/api/tess.h"
#include "vm/data/tensor.h"

namespace tess::api {

struct EngineState {
  std::vector<std::string> search_paths;
  uint32_t threads = 0;
  std::atomic<int64_t> limits[3] = {0, 0, 0};
  std::shared_ptr<jit::Jit> jit = jit::make_jit();  // compiled kernels, the GPU once used
};

struct ModuleState {
  std::shared_ptr<EngineState> engine;
  VerifiedModule module;
  std::shared_ptr<const Sources> load_sources;  // of the warnings
  std::shared_ptr<const Sources> sources;       // of the module's own places
  Diagnostics warnings;
  std::vector<std::string> kernel_names;
  mutable std::once_flag key_made;
  mutable jit::ModuleKey key;  // see module_key

  ModuleState(std::shared_ptr<EngineState> e, VerifiedModule m, std::shared_ptr<const Sources> loading,
              std::shared_ptr<const Sources> places, Diagnostics w)
      : engine(std::move(e)),
        module(std::move(m)),
        load_sources(std::move(loading)),
        sources(std::move(places)),
        warnings(std::move(w)) {}
};
const jit::ModuleKey& module_key(const ModuleState& m);  // made when first asked for

// A parameter that the caller gives.
struct GivenParam {
  uint32_t index = 0;  // in Kernel::params
  std::string dtype, declaration;
};
struct KernelState {
  std::shared_ptr<ModuleState> module;
  size_t index = 0;
  std::string name;
  std::vector<GivenParam> given;
  const Kernel& kernel() const { return module->module.kernel(index); }
};

struct Trap {
  std::string kernel, file;
  int64_t block[3] = {0, 0, 0};
  uint32_t strand = 0, instruction = 0, line = 0, col = 0;
};

// What an error is of.
tess_error_kind kind_of(Diag code);
tess_error* make_error(Diagnostics diagnostics, std::shared_ptr<const Sources> sources = nullptr);
tess_error* make_error(Diagnostic diagnostic, std::shared_ptr<const Sources> sources = nullptr);
tess_error* misuse(std::string message);
// The one error that needs no memory.
tess_error* out_of_memory_error();

// No exception crosses the interface.
template <class F>
tess_error* guarded(F&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return out_of_memory_error();
  } catch (const std::exception& e) {
    try {
      return make_error(make_diag(diag::internal_error, e.what()));
    } catch (...) {
      return out_of_memory_error();
    }
  }
}

// The fields of a caller's struct, as far as its `size` reaches.
template <class T>
T read_config(const T* given) {
  T out{};
  if (!given) return out;
  size_t n = given->size < sizeof(T) ? given->size : sizeof(T);
  __builtin_memcpy(static_cast<void*>(&out), given, n);
  return out;
}
template <class T>
void write_struct(T* to, T value) {
  size_t n = to->size < sizeof(T) ? to->size : sizeof(T);
  value.size = to->size;
  __builtin_memcpy(static_cast<void*>(to), &value, n);
}

}  // namespace tess::api

struct tess_error {
  tess_error_kind kind = TESS_ERROR_INPUT;
  tess::Diagnostics diagnostics;
  std::shared_ptr<const tess::Sources> sources;
  std::vector<std::string> codes;  // "E0303", of each diagnostic
  std::optional<tess::api::Trap> trap;
  std::string text, text_color, json;  // made when first asked for
};
struct tess_engine {
  std::shared_ptr<tess::api::EngineState> state;
};
struct tess_module {
  std::shared_ptr<tess::api::ModuleState> state;
};
struct tess_kernel {
  std::shared_ptr<const tess::api::KernelState> state;
};
struct tess_tensor {
  tess::HostTensor tensor;
  std::string dtype, text;
  explicit tess_tensor(tess::HostTensor t) : tensor(std::move(t)), dtype(tess::dtype_name(tensor.dtype)) {}
};
