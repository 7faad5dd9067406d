// Launches: arguments by name, then one run on a thread of its own.
#include <fmt/format.h>

#include <charconv>
#include <thread>

#include "isa/launch.h"
#include "isa/numerics.h"
#include "vm/api/deduce.h"
#include "vm/api/engines.h"
#include "vm/api/objects.h"
#include "vm/data/number.h"

using namespace tess;
using namespace tess::api;

namespace {

Result<uint32_t> find_param(const tess_run& run, const char* name, bool scalar) {
  const Kernel& k = run.kernel();
  for (const GivenParam& given : run.kernel_state->given) {
    if (std::string_view(k.values[given.index].name) != name) continue;
    bool is_scalar = k.params[given.index].dir == Direction::scalar;
    if (is_scalar != scalar)
      return make_diag(diag::argument_kind,
                       fmt::format("`{}` is {} ({})", name, is_scalar ? "a scalar" : "a tensor",
                                   given.declaration));
    return given.index;
  }
  std::vector<std::string_view> names;
  for (const GivenParam& given : run.kernel_state->given)
    names.push_back(k.values[given.index].name);
  std::string near = nearest_name(name, names);
  return make_diag(diag::unknown_parameter,
                   fmt::format("kernel `{}` has no parameter `{}`", k.name, name), {},
                   near.empty() ? "" : fmt::format("did you mean `{}`?", near));
}

Known known_scalars(const tess_run& run) {
  const Kernel& k = run.kernel();
  Known known(k.params.size());
  for (size_t p = 0; p < k.params.size(); ++p)
    if (run.arguments[p].scalar && k.values[p].type.dtype.is_int())
      known[p] = decode_int(k.values[p].type.dtype, *run.arguments[p].scalar);
  add_lets(k, known, run.device_sms());
  return known;
}

Diagnostic not_a_literal(const std::string& name, DType t, std::string_view text) {
  return make_diag(diag::scalar_literal,
                   fmt::format("`{}` is {}; `{}` is no value of it", name, dtype_name(t), text));
}

// The code of an integer, if the type has it.
std::optional<uint64_t> integer_code(DType t, bool negative, uint64_t bits) {
  if (t.is_float())
    return encode_float(
        t, negative ? static_cast<double>(static_cast<int64_t>(bits)) : static_cast<double>(bits));
  if (t.is_bool()) return bits <= 1 && !negative ? std::optional(bits) : std::nullopt;
  if (!t.is_int()) return {};
  uint64_t mask = t.bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1;
  uint64_t code = bits & mask;
  int64_t back = decode_int(t, code);
  bool same = static_cast<uint64_t>(back) == bits;
  // Above 2^63 the two readings share their bits: the sign must agree as well.
  if (!same || (t.is_signed() && (back < 0) != negative) || (!t.is_signed() && negative)) return {};
  return code;
}

tess_error* set_code(tess_run* run, const char* name,
                     const std::function<std::optional<uint64_t>(DType)>& code_in,
                     std::string_view text) {
  return guarded([&]() -> tess_error* {
    if (!run || !name) return misuse("tess_run_set: the run or the name is NULL");
    if (run->stage != Stage::setting) return misuse("tess_run_set: the run was started already");
    Result<uint32_t> p = find_param(*run, name, true);
    if (!p) return make_error(std::move(p).error());
    DType t = run->kernel().values[*p].type.dtype;
    std::optional<uint64_t> code = code_in(t);
    if (!code) return make_error(not_a_literal(name, t, text));
    run->arguments[*p].scalar = code;
    run->arguments[*p].given = true;
    return nullptr;
  });
}

void launch(tess_run* run, const BoundLaunch& bound) noexcept {
  try {
    run->outcome = run->engine->launch(*run, bound);
  } catch (const std::bad_alloc&) {
    run->no_memory = true;
  } catch (const std::exception& e) {
    run->failed = e.what();
  } catch (...) {
    run->failed = "an exception";
  }
  run->ended.store(true, std::memory_order_release);
}

// A tensor that lies in a file at any offset is used there, unless the kernel declares an
// alignment.
Status settle(HostTensor& t, const Param& p, DType dtype) {
  bool copied = p.dir == Direction::in && !p.may_alias && !t.writable && is_dense(t);
  if (copied && reinterpret_cast<uintptr_t>(t.bytes) % base_alignment(p, dtype) != 0) {
    TESS_TRY(t, clone(t));
  }
  return ok();
}

Result<std::vector<LaunchArg>> launch_arguments(tess_run& run) {
  const Kernel& k = run.kernel();
  std::vector<LaunchArg> out;
  for (const GivenParam& given : run.kernel_state->given) {
    Argument& a = run.arguments[given.index];
    if (!a.given)
      return make_diag(
          diag::missing_argument,
          fmt::format("`{}` is not set ({})", k.values[given.index].name, given.declaration));
    LaunchArg arg;
    arg.scalar = a.scalar.value_or(0);
    for (HostTensor& t : a.tensors) {
      TESS_CHECK(settle(t, k.params[given.index], k.values[given.index].type.dtype));
      arg.tensors.push_back(
          {t.dtype, const_cast<uint8_t*>(t.bytes), t.size_bytes, t.shape, t.strides, t.writable});
    }
    out.push_back(std::move(arg));
  }
  return out;
}

}  // namespace

tess_error* tess_run_create(tess_kernel* kernel, const tess_run_config* config, tess_run** out) {
  return guarded([&]() -> tess_error* {
    if (!out) return misuse("tess_run_create: `out` is NULL");
    *out = nullptr;
    if (!kernel) return misuse("tess_run_create: the kernel is NULL");
    auto run = std::make_unique<tess_run>();
    run->config = read_config(config);
    std::string_view name = run->config.engine ? run->config.engine : "interp";
    run->engine = find_engine(name);
    if (!run->engine)
      return make_error(make_diag(diag::engine_unknown,
                                  fmt::format("there is no engine `{}`", name), {},
                                  "engines: " + engine_names()));
    run->kernel_state = kernel->state;
    run->arguments.resize(run->kernel().params.size());
    if (Status good = run->engine->configure(*run); !good)
      return make_error(std::move(good).error());
    // The caller's strings need not live on.
    run->config.engine = run->config.async = run->config.jit = run->config.arch = nullptr;
    *out = run.release();
    return nullptr;
  });
}

void tess_run_destroy(tess_run* run) {
  if (!run) return;
  if (run->thread.joinable()) {
    run->interrupt.store(true);
    run->thread.join();
  }
  delete run;
}

tess_error* tess_run_set_int(tess_run* run, const char* name, int64_t value) {
  return set_code(
      run, name, [&](DType t) { return integer_code(t, value < 0, static_cast<uint64_t>(value)); },
      fmt::format("{}", value));
}
tess_error* tess_run_set_uint(tess_run* run, const char* name, uint64_t value) {
  return set_code(
      run, name, [&](DType t) { return integer_code(t, false, value); }, fmt::format("{}", value));
}
tess_error* tess_run_set_float(tess_run* run, const char* name, double value) {
  return set_code(
      run, name,
      [&](DType t) -> std::optional<uint64_t> {
        if (!t.is_float() && t.kind != Kind::scale) return {};
        return encode_float(t, value);
      },
      fmt::format("{}", value));
}
tess_error* tess_run_set_text(tess_run* run, const char* name, const char* literal) {
  std::string_view text = literal ? literal : "";
  return set_code(
      run, name,
      [&](DType t) -> std::optional<uint64_t> {
        if (t.is_bool() && (text == "true" || text == "false")) return text == "true";
        if (auto i = parse_integer(text)) return integer_code(t, i->negative, i->bits);
        if (t.is_float() || t.kind == Kind::scale)
          if (auto x = parse_real(text)) return encode_float(t, *x);
        return {};
      },
      text);
}

tess_error* tess_run_set_list(tess_run* run, const char* name, tess_tensor* const* tensors,
                              size_t count) {
  return guarded([&]() -> tess_error* {
    if (!run || !name || (count && !tensors))
      return misuse("tess_run_set_tensor: the run, the name or the tensors are NULL");
    if (run->stage != Stage::setting)
      return misuse("tess_run_set_tensor: the run was started already");
    Result<uint32_t> p = find_param(*run, name, false);
    if (!p) return make_error(std::move(p).error());
    std::vector<HostTensor> given;
    for (size_t i = 0; i < count; ++i) {
      if (!tensors[i]) return misuse(fmt::format("tess_run_set_tensor: tensor {} is NULL", i));
      given.push_back(tensors[i]->tensor);
    }
    run->arguments[*p].tensors = std::move(given);
    run->arguments[*p].given = true;
    return nullptr;
  });
}
tess_error* tess_run_set_tensor(tess_run* run, const char* name, tess_tensor* tensor) {
  return tess_run_set_list(run, name, &tensor, 1);
}

namespace {

// One pass over the extents of parameter p with this shape; true if a scalar was found.
bool deduce_once(tess_run& run, uint32_t p, std::span<const int64_t> shape) {
  const Kernel& k = run.kernel();
  if (k.params[p].shape.size() != shape.size()) return false;
  bool found = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    auto solution = solve(k, k.params[p].shape[i], shape[i], known_scalars(run), run.device_sms());
    if (!solution) continue;
    DType t = k.values[solution->first].type.dtype;
    auto code = integer_code(t, solution->second < 0, static_cast<uint64_t>(solution->second));
    if (!code) continue;
    run.arguments[solution->first].scalar = code;
    run.arguments[solution->first].given = true;
    found = true;
  }
  return found;
}

}  // namespace

tess_error* tess_run_deduce_from(tess_run* run, const char* name, uint32_t rank,
                                 const int64_t* shape) {
  return guarded([&]() -> tess_error* {
    if (!run || !name || (rank && !shape))
      return misuse("tess_run_deduce_from: the run, the name or the shape is NULL");
    if (run->stage != Stage::setting)
      return misuse("tess_run_deduce_from: the run was started already");
    Result<uint32_t> p = find_param(*run, name, false);
    if (!p) return make_error(std::move(p).error());
    while (deduce_once(*run, *p, {shape, rank})) {
    }
    return nullptr;
  });
}

tess_error* tess_run_deduce(tess_run* run) {
  return guarded([&]() -> tess_error* {
    if (!run) return misuse("tess_run_deduce: the run is NULL");
    if (run->stage != Stage::setting) return misuse("tess_run_deduce: the run was started already");
    for (bool found = true; found;) {
      found = false;
      for (uint32_t p = 0; p < run->arguments.size(); ++p)
        for (const HostTensor& t : run->arguments[p].tensors)
          found |= deduce_once(*run, p, t.shape);
    }
    return nullptr;
  });
}

namespace {

Result<int64_t> known_value(const tess_run& run, const HostExpr& e, const Known& known,
                            const char* name) {
  const Kernel& k = run.kernel();
  if (auto v = evaluate_known(k, e, known, run.device_sms())) return *v;
  if (auto missing = first_unknown(k, e, known))
    return make_diag(diag::missing_argument,
                     fmt::format("`{}` is not set, and the shape of `{}` depends on it",
                                 k.values[*missing].name, name));
  return make_diag(diag::missing_argument,
                   fmt::format("the shape of `{}` cannot be computed with these arguments", name));
}

}  // namespace

tess_error* tess_run_shape(const tess_run* run, const char* name, uint32_t* rank, int64_t* shape) {
  return guarded([&]() -> tess_error* {
    if (!run || !name || !rank || !shape) return misuse("tess_run_shape: an argument is NULL");
    Result<uint32_t> p = find_param(*run, name, false);
    if (!p) return make_error(std::move(p).error());
    const std::vector<HostExpr>& extents = run->kernel().params[*p].shape;
    Known known = known_scalars(*run);
    for (size_t i = 0; i < extents.size() && i < limits::max_rank; ++i) {
      Result<int64_t> v = known_value(*run, extents[i], known, name);
      if (!v) return make_error(std::move(v).error());
      shape[i] = *v;
    }
    *rank = static_cast<uint32_t>(extents.size());
    return nullptr;
  });
}

tess_error* tess_run_list_length(const tess_run* run, const char* name, int64_t* count) {
  return guarded([&]() -> tess_error* {
    if (!run || !name || !count) return misuse("tess_run_list_length: an argument is NULL");
    Result<uint32_t> p = find_param(*run, name, false);
    if (!p) return make_error(std::move(p).error());
    const HostExpr& list = run->kernel().params[*p].list;
    if (list.tokens.empty()) return *count = 1, nullptr;
    Result<int64_t> v = known_value(*run, list, known_scalars(*run), name);
    if (!v) return make_error(std::move(v).error());
    *count = *v;
    return nullptr;
  });
}

tess_error* tess_run_start(tess_run* run) {
  return guarded([&]() -> tess_error* {
    if (!run) return misuse("tess_run_start: the run is NULL");
    if (run->stage != Stage::setting) return misuse("tess_run_start: the run was started already");
    const auto& sources = run->kernel_state->module->sources;
    Result<std::vector<LaunchArg>> args = launch_arguments(*run);
    if (!args) return make_error(std::move(args).error());
    Result<BoundLaunch> bound = bind_launch(run->kernel(), *args, {run->device_sms(), 1});
    if (!bound) return make_error(std::move(bound).error(), sources);
    run->ended.store(false);
    try {
      run->thread =
          std::thread([run, launch_data = std::move(*bound)] { launch(run, launch_data); });
    } catch (const std::system_error&) {
      run->ended.store(true);
      return out_of_memory_error();
    }
    run->stage = Stage::running;
    return nullptr;
  });
}

tess_error* tess_run_wait(tess_run* run) {
  return guarded([&]() -> tess_error* {
    if (!run) return misuse("tess_run_wait: the run is NULL");
    if (run->stage == Stage::setting) return misuse("tess_run_wait: the run was not started");
    if (run->stage == Stage::ended) return misuse("tess_run_wait: the run was waited for already");
    run->thread.join();
    run->stage = Stage::ended;
    if (run->no_memory) return out_of_memory_error();
    if (!run->failed.empty()) return make_error(make_diag(diag::internal_error, run->failed));
    if (!run->outcome.error) return nullptr;
    Diagnostic d = std::move(*run->outcome.error);
    const ModuleState& m = *run->kernel_state->module;
    Trap trap;
    trap.kernel = run->kernel_state->name;
    for (int i = 0; i < 3; ++i) trap.block[i] = run->outcome.block[i];
    trap.strand = run->outcome.strand;
    trap.instruction = run->outcome.instruction;
    trap.line = d.span.line;
    trap.col = d.span.col;
    if (d.span.line && d.span.file < m.module.module().files.size())
      trap.file = m.module.module().files[d.span.file];
    tess_error* error = make_error(std::move(d), m.sources);
    error->trap = std::move(trap);
    return error;
  });
}

tess_error* tess_run_warnings(const tess_run* run) {
  return guarded([&]() -> tess_error* {
    if (!run || run->stage != Stage::ended || run->outcome.warnings.empty()) return nullptr;
    return make_error(run->outcome.warnings, run->kernel_state->module->sources);
  });
}

int tess_run_poll(const tess_run* run) {
  return !run || run->ended.load(std::memory_order_acquire);
}
void tess_run_interrupt(tess_run* run) {
  if (run) run->interrupt.store(true);
}

int tess_run_stats(const tess_run* run, tess_stats* out) {
  if (!run || !out || run->stage != Stage::ended) return 0;
  write_struct(out, run->outcome.stats);
  return 1;
}
