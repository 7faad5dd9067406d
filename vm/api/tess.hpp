// The C++ face of tess.h: handles that own, errors as values. Header-only.
//
//   auto engine = tess::api::Engine::create();
//   auto module = engine->load_file("saxpy.vmasm");
//   if (!module) return fputs(module.error().text(), stderr), 1;
//   auto run = module->kernel("saxpy")->run();
//   ...
//
// Everything tess.h says of ownership and threads holds. Value::value() on an error ends the
// program; test it first.
#pragma once
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "vm/api/tess.h"

namespace tess::api {

template <class T, void (*destroy)(T*)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T* p) : p_(p) {}
  Handle(Handle&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Handle& operator=(Handle&& o) noexcept {
    if (this != &o) destroy(p_), p_ = std::exchange(o.p_, nullptr);
    return *this;
  }
  ~Handle() { destroy(p_); }
  T* get() const { return p_; }
  T* release() { return std::exchange(p_, nullptr); }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  T* p_ = nullptr;
};

// What went wrong; false if nothing did.
class Error : public Handle<tess_error, tess_error_destroy> {
 public:
  using Handle::Handle;
  tess_error_kind kind() const { return tess_error_get_kind(get()); }
  const char* code() const { return tess_error_code(get()); }
  const char* message() const { return tess_error_message(get()); }
  const char* text() const { return tess_error_text(get()); }
  const char* text_color() const { return tess_error_text_color(get()); }
  const char* json() const { return tess_error_json(get()); }
  size_t count() const { return tess_error_count(get()); }
  tess_diagnostic diagnostic(size_t i) const {
    tess_diagnostic d{};
    d.size = sizeof d;
    tess_error_diagnostic(get(), i, &d);
    return d;
  }
  // Line 0 and no kernel if the error is not from a running program.
  tess_trap trap() const {
    tess_trap t{};
    t.size = sizeof t;
    tess_error_trap(get(), &t);
    return t;
  }
};

// A value or an Error.
template <class T>
class [[nodiscard]] Value {
 public:
  Value(T value) : v_(std::in_place_index<0>, std::move(value)) {}
  Value(Error error) : v_(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return v_.index() == 0; }
  T& value() { return assert(*this), std::get<0>(v_); }
  T& operator*() { return value(); }
  T* operator->() { return &value(); }
  Error& error() { return assert(!*this), std::get<1>(v_); }

 private:
  std::variant<T, Error> v_;
};

template <class T, class P>
Value<T> made(tess_error* error, P* p) {
  if (error) return Error(error);
  return T(p);
}

using Shape = std::vector<int64_t>;

class Tensor : public Handle<tess_tensor, tess_tensor_destroy> {
 public:
  using Handle::Handle;
  static Value<Tensor> create(const char* dtype, const Shape& shape) {
    tess_tensor* t = nullptr;
    tess_error* e =
        tess_tensor_create(dtype, static_cast<uint32_t>(shape.size()), shape.data(), &t);
    return made<Tensor>(e, t);
  }
  // The caller's memory, which must outlive every use.
  static Value<Tensor> borrow(const char* dtype, const Shape& shape, void* data, size_t bytes,
                              bool writable = true) {
    tess_tensor* t = nullptr;
    tess_error* e = tess_tensor_borrow(dtype, static_cast<uint32_t>(shape.size()), shape.data(),
                                       nullptr, data, bytes, writable, nullptr, nullptr, &t);
    return made<Tensor>(e, t);
  }
  static Value<Tensor> load(const char* source, const char* dtype, const Shape& shape,
                            uint64_t seed = 0) {
    tess_tensor* t = nullptr;
    tess_error* e = tess_tensor_load(source, dtype, static_cast<uint32_t>(shape.size()),
                                     shape.data(), seed, &t);
    return made<Tensor>(e, t);
  }
  static Value<Tensor> open(const char* source) {
    tess_tensor* t = nullptr;
    tess_error* e = tess_tensor_open(source, &t);
    return made<Tensor>(e, t);
  }
  Value<Tensor> copy() const {
    tess_tensor* t = nullptr;
    tess_error* e = tess_tensor_copy(get(), &t);
    return made<Tensor>(e, t);
  }
  Error save(const char* dest) const { return Error(tess_tensor_save(get(), dest)); }
  const char* dtype() const { return tess_tensor_dtype(get()); }
  Shape shape() const {
    const int64_t* s = tess_tensor_shape(get());
    return Shape(s, s + tess_tensor_rank(get()));
  }
  int64_t elements() const { return tess_tensor_elements(get()); }
  const void* data() const { return tess_tensor_data(get()); }
  void* mutable_data() { return tess_tensor_mutable_data(get()); }
  size_t bytes() const { return tess_tensor_bytes(get()); }
  double value(int64_t index) const { return tess_tensor_value(get(), index); }
  uint64_t code(int64_t index) const { return tess_tensor_code(get(), index); }
  const char* text() { return tess_tensor_text(get()); }
};

class Run : public Handle<tess_run, tess_run_destroy> {
 public:
  using Handle::Handle;
  Error set(const char* name, int64_t value) { return Error(tess_run_set_int(get(), name, value)); }
  Error set(const char* name, int value) { return set(name, static_cast<int64_t>(value)); }
  Error set(const char* name, double value) {
    return Error(tess_run_set_float(get(), name, value));
  }
  Error set(const char* name, const char* literal) {
    return Error(tess_run_set_text(get(), name, literal));
  }
  Error set(const char* name, const Tensor& tensor) {
    return Error(tess_run_set_tensor(get(), name, tensor.get()));
  }
  Error set(const char* name, const std::vector<Tensor>& tensors) {
    std::vector<tess_tensor*> list;
    for (const Tensor& t : tensors) list.push_back(t.get());
    return Error(tess_run_set_list(get(), name, list.data(), list.size()));
  }
  Error deduce() { return Error(tess_run_deduce(get())); }
  Error deduce_from(const char* name, const Shape& shape) {
    return Error(
        tess_run_deduce_from(get(), name, static_cast<uint32_t>(shape.size()), shape.data()));
  }
  Value<Shape> shape(const char* name) const {
    uint32_t rank = 0;
    int64_t extents[8];
    if (tess_error* e = tess_run_shape(get(), name, &rank, extents)) return Error(e);
    return Shape(extents, extents + rank);
  }
  Value<int64_t> list_length(const char* name) const {
    int64_t n = 0;
    if (tess_error* e = tess_run_list_length(get(), name, &n)) return Error(e);
    return n;
  }
  Error start() { return Error(tess_run_start(get())); }
  Error wait() { return Error(tess_run_wait(get())); }
  bool poll() const { return tess_run_poll(get()) != 0; }
  void interrupt() { tess_run_interrupt(get()); }
  Error warnings() const { return Error(tess_run_warnings(get())); }
  tess_stats stats() const {
    tess_stats s{};
    s.size = sizeof s;
    tess_run_stats(get(), &s);
    return s;
  }
};

class Kernel : public Handle<tess_kernel, tess_kernel_destroy> {
 public:
  using Handle::Handle;
  const char* name() const { return tess_kernel_name(get()); }
  size_t param_count() const { return tess_kernel_param_count(get()); }
  tess_param param(size_t i) const {
    tess_param p{};
    p.size = sizeof p;
    tess_kernel_param(get(), i, &p);
    return p;
  }
  // `config.size` is filled in.
  Value<Run> run(tess_run_config config = {}) const {
    config.size = sizeof config;
    tess_run* r = nullptr;
    tess_error* e = tess_run_create(get(), &config, &r);
    return made<Run>(e, r);
  }
};

class Module : public Handle<tess_module, tess_module_destroy> {
 public:
  using Handle::Handle;
  Error warnings() const { return Error(tess_module_warnings(get())); }
  size_t kernel_count() const { return tess_module_kernel_count(get()); }
  const char* kernel_name(size_t i) const { return tess_module_kernel_name(get(), i); }
  Value<Kernel> kernel(const char* name = nullptr) const {
    tess_kernel* k = nullptr;
    tess_error* e = tess_module_kernel(get(), name, &k);
    return made<Kernel>(e, k);
  }
};

using Bindings = std::vector<std::pair<std::string, std::string>>;

class Engine : public Handle<tess_engine, tess_engine_destroy> {
 public:
  using Handle::Handle;
  static Value<Engine> create(const std::vector<std::string>& search_paths = {},
                              uint32_t threads = 0) {
    std::vector<const char*> paths;
    for (const std::string& p : search_paths) paths.push_back(p.c_str());
    tess_engine_config config{};
    config.size = sizeof config;
    config.search_paths = paths.data();
    config.n_search_paths = paths.size();
    config.threads = threads;
    tess_engine* engine = nullptr;
    tess_error* e = tess_engine_create(&config, &engine);
    return made<Engine>(e, engine);
  }
  int64_t limit(tess_limit_kind kind, int64_t value = -1) {
    return tess_engine_limit(get(), kind, value);
  }
  Value<Module> load(const char* name, std::string_view bytes, const Bindings& bindings = {}) {
    tess_module* m = nullptr;
    std::vector<tess_binding> list = c_bindings(bindings);
    tess_error* e =
        tess_module_load(get(), name, bytes.data(), bytes.size(), list.data(), list.size(), &m);
    return made<Module>(e, m);
  }
  Value<Module> load_file(const char* path, const Bindings& bindings = {}) {
    tess_module* m = nullptr;
    std::vector<tess_binding> list = c_bindings(bindings);
    tess_error* e = tess_module_load_file(get(), path, list.data(), list.size(), &m);
    return made<Module>(e, m);
  }

 private:
  static std::vector<tess_binding> c_bindings(const Bindings& bindings) {
    std::vector<tess_binding> out;
    for (const auto& [name, value] : bindings) out.push_back({name.c_str(), value.c_str()});
    return out;
  }
};

}  // namespace tess::api
