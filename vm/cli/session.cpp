#include "vm/cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "isa/diag/tool.h"
#include "vm/api/load.h"
#include "vm/data/source.h"

namespace tess::cli {

int report_error(api::Error error, const Console& console) {
  console.raw(console.json ? error.json() : console.color_err ? error.text_color() : error.text());
  return error.kind();
}

OpenedKernel open_kernel(const RunOptions& o, const Console& console) {
  OpenedKernel out;
  auto fail = [&](int exit_code) {
    out.exit_code = exit_code;
    return std::move(out);
  };
  api::Bindings bindings;
  for (const std::string& text : o.program.bindings) {
    Result<LoadBinding> b = parse_binding(text);
    if (!b) return fail(console.report(b.error()));
    bindings.emplace_back(b->name, b->value);
  }
  auto engine = api::Engine::create(o.program.search_paths, o.threads);
  if (!engine) return fail(report_error(std::move(engine.error()), console));
  out.engine = std::move(*engine);
  Result<std::string> bytes = read_input(o.program.file);
  if (!bytes) return fail(console.report(bytes.error()));
  auto module = out.engine.load(o.program.file == "-" ? "standard input" : o.program.file.c_str(),
                                *bytes, bindings);
  if (!module) return fail(report_error(std::move(module.error()), console));
  out.module = std::move(*module);
  if (api::Error warnings = out.module.warnings()) report_error(std::move(warnings), console);
  auto kernel = out.module.kernel(o.kernel.empty() ? nullptr : o.kernel.c_str());
  if (!kernel) return fail(report_error(std::move(kernel.error()), console));
  out.kernel = std::move(*kernel);
  return out;
}

EngineChoice parse_engine(std::string_view text) {
  EngineChoice out{std::string(text), {}, {}, {}};
  for (std::string* part : {&out.engine, &out.jit, &out.arch}) {
    size_t n = part == &out.arch ? text.size() : std::min(text.find(':'), text.size());
    *part = text.substr(0, n);
    text.remove_prefix(std::min(n + 1, text.size()));
  }
  return out;
}

void EngineChoice::write(tess_run_config& config) const {
  config.engine = engine.c_str();
  config.jit = jit.empty() ? nullptr : jit.c_str();
  config.arch = arch.empty() ? nullptr : arch.c_str();
}

EngineChoice engine_of(const RunOptions& o) {
  EngineChoice out = parse_engine(o.engine);
  if (o.naive && out.engine == "interp") out.engine = out.text = "interp-naive";
  if (out.jit.empty()) out.jit = o.jit;
  if (out.arch.empty()) out.arch = o.arch;
  return out;
}

tess_run_config config_of(const RunOptions& o) {
  tess_run_config config{};
  config.limit_steps = o.steps;
  config.limit_memory_bytes = o.memory;
  if (o.seconds > 0)
    config.limit_milliseconds =
        std::max<uint64_t>(1, static_cast<uint64_t>(std::min(o.seconds, 1e15) * 1000));
  config.seed = o.seed;
  config.async = o.async.c_str();
  config.report_out_of_bounds = o.report_out_of_bounds;
  config.opt_level = o.level;
  config.guard = o.guard;
  config.sim_runs = o.sim_runs;
  config.sim_no_checks = o.no_sim_checks;
  return config;
}

Result<Pairs> parse_pairs(const std::vector<std::string>& options, std::string_view option) {
  Pairs out;
  for (const std::string& text : options) {
    size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      return make_diag(diag::bad_setting, fmt::format("{} {}: not NAME=VALUE", option, text));
    out.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

namespace {

struct OwnedParam {
  std::string name, dtype;
  tess_param_kind kind;
  bool is_list;
  uint32_t rank;
};

std::vector<OwnedParam> params_of(const api::Kernel& kernel) {
  std::vector<OwnedParam> out;
  for (size_t i = 0; i < kernel.param_count(); ++i) {
    tess_param p = kernel.param(i);
    out.push_back({p.name, p.dtype, p.kind, p.is_list != 0, p.rank});
  }
  return out;
}

bool is_file(const std::string& source) {
  Result<Source> parsed = parse_source(source);
  return parsed && parsed->kind != SourceKind::generator;
}

// Packed bytes and raw blocks do not have the parameter's shape.
bool shape_tells(const api::Tensor& file, const OwnedParam& param) {
  if (file.shape().size() != param.rank) return false;
  std::optional<DType> have = find_dtype(file.dtype()), want = find_dtype(param.dtype);
  return have && want && have->bits == want->bits;
}

}  // namespace

api::Value<Prepared> prepare(const api::Kernel& kernel, const Arguments& arguments,
                             const tess_run_config& config) {
  api::Value<api::Run> created = kernel.run(config);
  if (!created) return std::move(created.error());
  Prepared out;
  out.run = std::move(*created);
  for (const auto& [name, literal] : arguments.scalars)
    if (api::Error e = out.run.set(name.c_str(), literal.c_str())) return e;

  std::vector<OwnedParam> params = params_of(kernel);
  std::map<std::string, std::vector<std::string>> sources;
  for (const auto& [name, source] : arguments.inputs) sources[name].push_back(source);

  // Sizes that follow from files, until nothing more follows: one tensor's n may be another's n/2.
  for (int pass = 0; pass < 2; ++pass)
    for (const OwnedParam& p : params) {
      auto given = sources.find(p.name);
      if (given == sources.end() || !is_file(given->second[0])) continue;
      api::Value<api::Tensor> file = api::Tensor::open(given->second[0].c_str());
      if (!file) return std::move(file.error());
      if (!shape_tells(*file, p)) continue;
      if (api::Error e = out.run.deduce_from(p.name.c_str(), file->shape())) return e;
    }

  for (const OwnedParam& p : params) {
    if (p.kind == TESS_PARAM_SCALAR) continue;
    api::Value<api::Shape> shape = out.run.shape(p.name.c_str());
    if (!shape) return std::move(shape.error());
    auto given = sources.find(p.name);
    std::vector<api::Tensor>& tensors = out.tensors[p.name];
    if (given == sources.end()) {
      if (p.kind == TESS_PARAM_IN) continue;  // tess_run_start says that it is missing
      api::Value<int64_t> count = out.run.list_length(p.name.c_str());
      if (!count) return std::move(count.error());
      for (int64_t i = 0; i < *count; ++i) {
        api::Value<api::Tensor> t = api::Tensor::create(p.dtype.c_str(), *shape);
        if (!t) return std::move(t.error());
        tensors.push_back(std::move(*t));
      }
    } else {
      for (size_t i = 0; i < given->second.size(); ++i) {
        // The tensors of a list get different numbers from one generator.
        api::Value<api::Tensor> t = api::Tensor::load(given->second[i].c_str(), p.dtype.c_str(),
                                                      *shape, arguments.seed + i);
        if (!t) return std::move(t.error());
        if (p.kind != TESS_PARAM_IN && !t->mutable_data()) {
          t = t->copy();
          if (!t) return std::move(t.error());
        }
        tensors.push_back(std::move(*t));
      }
      sources.erase(given);
    }
    if (api::Error e = out.run.set(p.name.c_str(), tensors)) return e;
  }
  // A name that is no tensor parameter: let the interface say so.
  for (const auto& [name, list] : sources) {
    if (api::Error e = out.run.set(name.c_str(), std::vector<api::Tensor>{})) return e;
  }
  return out;
}

api::Error start_and_wait(api::Run& run, const std::function<void()>& tick) {
  InterruptScope scope;
  if (api::Error e = run.start()) return e;
  auto wait = std::chrono::microseconds(20);
  bool asked = false;
  while (!run.poll()) {
    std::this_thread::sleep_for(wait);
    if (wait < std::chrono::milliseconds(20)) wait *= 2;
    else if (tick) tick();
    if (interrupted() && !asked) run.interrupt(), asked = true;
  }
  return run.wait();
}

}  // namespace tess::cli
