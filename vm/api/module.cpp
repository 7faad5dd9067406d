// Engine, module, kernel.
#include <fmt/format.h>

#include "isa/host_expr.h"
#include "vm/api/load.h"
#include "vm/api/objects.h"

using namespace tess;
using namespace tess::api;

#ifndef TESS_VERSION
#error "the build defines TESS_VERSION"
#endif

const char* tess_version(void) { return TESS_VERSION; }
uint32_t tess_abi_version(void) { return TESS_ABI_VERSION; }

tess_error* tess_engine_create(const tess_engine_config* config, tess_engine** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_engine_create: `out` is NULL");
    *out = nullptr;
    tess_engine_config c = read_config(config);
    if (c.n_search_paths && !c.search_paths)
      return misuse("tess_engine_create: `search_paths` is NULL");
    auto state = std::make_shared<EngineState>();
    for (size_t i = 0; i < c.n_search_paths; ++i) {
      if (!c.search_paths[i])
        return misuse(fmt::format("tess_engine_create: search path {} is NULL", i));
      state->search_paths.emplace_back(c.search_paths[i]);
    }
    state->threads = c.threads;
    *out = new tess_engine{std::move(state)};
    return nullptr;
  });
}
void tess_engine_destroy(tess_engine* engine) { delete engine; }

int64_t tess_engine_limit(tess_engine* engine, tess_limit_kind limit, int64_t value) {
  unsigned kind = static_cast<unsigned>(limit);
  if (!engine || kind > TESS_LIMIT_MILLISECONDS) return -1;
  std::atomic<int64_t>& slot = engine->state->limits[kind];
  return value < 0 ? slot.load() : slot.exchange(value);
}

namespace {

tess_error* load(tess_engine* engine, std::string name, std::string bytes,
                 const tess_binding* bindings, size_t n_bindings, tess_module** out) {
  LoadOptions options;
  options.search_paths = engine->state->search_paths;
  if (n_bindings && !bindings) return misuse("tess_module_load: `bindings` is NULL");
  for (size_t i = 0; i < n_bindings; ++i) {
    if (!bindings[i].name || !bindings[i].value)
      return misuse(fmt::format("tess_module_load: binding {} has a NULL name or value", i));
    options.bindings.push_back({bindings[i].name, bindings[i].value});
  }
  Loaded loaded = load_program(std::move(name), std::move(bytes), options);
  auto sources = std::make_shared<const Sources>(std::move(loaded.sources));
  if (!loaded.module) return make_error(std::move(loaded.diagnostics), sources);
  auto places = std::make_shared<const Sources>(module_sources(loaded.module->module(), *sources));
  auto state = std::make_shared<ModuleState>(engine->state, std::move(*loaded.module), sources,
                                             places, std::move(loaded.diagnostics));
  for (const Kernel& k : state->module.module().kernels)
    state->kernel_names.push_back(kernel_key(k));
  *out = new tess_module{std::move(state)};
  return nullptr;
}

std::string declaration_of(const Kernel& k, uint32_t p) {
  const Param& param = k.params[p];
  const Type& type = k.values[p].type;
  auto text = [&](const HostExpr& e) {
    return host_text(
        e, [&](uint32_t v) { return std::string(v < k.values.size() ? k.values[v].name : "?"); });
  };
  auto list = [&](const std::vector<HostExpr>& exprs) {
    std::string out;
    for (const HostExpr& e : exprs) out += (out.empty() ? "" : ",") + text(e);
    return out;
  };
  std::string out = k.values[p].name + ": ";
  constexpr const char* kDirections[] = {"", "in ", "out ", "inout ", "", ""};
  out += kDirections[static_cast<int>(param.dir)];
  out += dtype_name(type.dtype);
  if (param.dir == Direction::scalar) {
    if (param.lo || param.hi)
      out += fmt::format(" {}..{}", param.lo ? fmt::format("{}", *param.lo) : "",
                         param.hi ? fmt::format("{}", *param.hi) : "");
    if (param.divisible > 1) out += fmt::format(" divisible({})", param.divisible);
    return out;
  }
  out += "[" + list(param.shape) + "]";
  if (!param.strides.empty()) out += " : (" + list(param.strides) + ")";
  if (!param.list.tokens.empty()) out += fmt::format(" list({})", text(param.list));
  if (param.aligned) out += fmt::format(" aligned({})", param.aligned);
  if (param.may_alias) out += " may_alias";
  return out;
}

std::string names_text(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& n : names) out += fmt::format("{}`{}`", out.empty() ? "" : ", ", n);
  return out;
}

}  // namespace

tess_error* tess_module_load(tess_engine* engine, const char* name, const void* bytes, size_t size,
                             const tess_binding* bindings, size_t n_bindings, tess_module** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_module_load: `out` is NULL");
    *out = nullptr;
    if (!engine || (!bytes && size))
      return misuse("tess_module_load: the engine or the bytes are NULL");
    return load(engine, name ? name : "module", std::string(static_cast<const char*>(bytes), size),
                bindings, n_bindings, out);
  });
}

tess_error* tess_module_load_file(tess_engine* engine, const char* path,
                                  const tess_binding* bindings, size_t n_bindings,
                                  tess_module** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_module_load_file: `out` is NULL");
    *out = nullptr;
    if (!engine || !path) return misuse("tess_module_load_file: the engine or the path is NULL");
    Result<std::string> bytes = read_program_file(path);
    if (!bytes) return make_error(std::move(bytes).error());
    return load(engine, path, std::move(*bytes), bindings, n_bindings, out);
  });
}
void tess_module_destroy(tess_module* module) { delete module; }

tess_error* tess_module_warnings(const tess_module* module) {
  return guarded([&]() -> tess_error* {
    if (!module || module->state->warnings.empty()) return nullptr;
    return make_error(module->state->warnings, module->state->load_sources);
  });
}
size_t tess_module_kernel_count(const tess_module* module) {
  return module ? module->state->kernel_names.size() : 0;
}
const char* tess_module_kernel_name(const tess_module* module, size_t index) {
  return module && index < module->state->kernel_names.size()
             ? module->state->kernel_names[index].c_str()
             : nullptr;
}

tess_error* tess_module_kernel(tess_module* module, const char* name, tess_kernel** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_module_kernel: `out` is NULL");
    *out = nullptr;
    if (!module) return misuse("tess_module_kernel: the module is NULL");
    const std::vector<Kernel>& kernels = module->state->module.module().kernels;
    const std::vector<std::string>& keys = module->state->kernel_names;
    std::vector<size_t> found;
    for (size_t i = 0; i < kernels.size(); ++i)
      if (!name || kernels[i].name == name || keys[i] == name) found.push_back(i);
    for (size_t i = 0; name && i < kernels.size(); ++i)
      if (keys[i] == name) found = {i};
    if (found.empty()) {
      std::vector<std::string_view> names;
      for (const Kernel& k : kernels) names.push_back(k.name);
      std::string near = name ? nearest_name(name, names) : "";
      return make_error(make_diag(
          diag::kernel_not_found,
          name ? fmt::format("there is no kernel `{}`", name) : "the program has no kernel", {},
          !near.empty()     ? fmt::format("did you mean `{}`?", near)
          : kernels.empty() ? ""
                            : "kernels: " + names_text(keys)));
    }
    if (found.size() > 1) {
      std::vector<std::string> some;
      for (size_t i = 0; i < found.size() && i < 8; ++i) some.push_back(keys[found[i]]);
      return make_error(make_diag(diag::kernel_ambiguous,
                                  fmt::format("the program has {} kernels{}: {}{}", found.size(),
                                              name ? fmt::format(" named `{}`", name) : "",
                                              names_text(some), found.size() > 8 ? ", .." : "")));
    }
    auto state = std::make_shared<KernelState>();
    state->module = module->state;
    state->index = found[0];
    state->name = keys[found[0]];
    const Kernel& k = state->kernel();
    for (uint32_t p = 0; p < k.params.size(); ++p) {
      if (k.params[p].dir == Direction::workspace || k.params[p].dir == Direction::let) continue;
      state->given.push_back({p, dtype_name(k.values[p].type.dtype), declaration_of(k, p)});
    }
    *out = new tess_kernel{std::move(state)};
    return nullptr;
  });
}
void tess_kernel_destroy(tess_kernel* kernel) { delete kernel; }
const char* tess_kernel_name(const tess_kernel* kernel) {
  return kernel ? kernel->state->name.c_str() : "";
}
size_t tess_kernel_param_count(const tess_kernel* kernel) {
  return kernel ? kernel->state->given.size() : 0;
}

int tess_kernel_param(const tess_kernel* kernel, size_t index, tess_param* out) {
  if (!kernel || !out || index >= kernel->state->given.size()) return 0;
  const GivenParam& given = kernel->state->given[index];
  const Kernel& k = kernel->state->kernel();
  const Param& p = k.params[given.index];
  tess_param result{};
  result.name = k.values[given.index].name.c_str();
  result.kind = static_cast<tess_param_kind>(p.dir);
  result.dtype = given.dtype.c_str();
  result.rank = static_cast<uint32_t>(p.shape.size());
  result.is_list = !p.list.tokens.empty();
  result.declaration = given.declaration.c_str();
  write_struct(out, result);
  return 1;
}
