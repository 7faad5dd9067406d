#include <fmt/format.h>

#include <atomic>
#include <chrono>

#include "isa/diag/tool.h"
#include "isa/numerics.h"
#include "vm/cli/commands.h"
#include "vm/cli/compare.h"
#include "vm/cli/session.h"
#include "vm/data/source.h"

namespace tess::cli {
namespace {

struct Progress {
  const Console* console;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::atomic<int64_t> done{0}, all{0};
  bool shown = false;

  // From the second second on.
  void tick() {
    if (!console->progress || all == 0 ||
        std::chrono::steady_clock::now() - start < std::chrono::seconds(1))
      return;
    console->raw(
        fmt::format("\r{} of {} blocks ({:.0f} %)", done.load(), all.load(), 100.0 * done / all));
    shown = true;
  }
  void clear() {
    if (shown) console->raw("\r\x1b[K");
    shown = false;
  }
};

struct Context {
  const Console* console;
  Progress* progress;
};

void on_print(const tess_shown* shown, void* user) {
  const Context& c = *static_cast<Context*>(user);
  c.progress->clear();
  auto* value = const_cast<tess_tensor*>(shown->value);
  std::string place =
      fmt::format("{}:{}:{}: block {},{},{}: {}", shown->file, shown->line, shown->col,
                  shown->block[0], shown->block[1], shown->block[2], shown->name);
  std::string text = tess_tensor_text(value);
  std::string type = tess_tensor_dtype(value);
  uint32_t rank = tess_tensor_rank(value);
  for (uint32_t i = 0; i < rank; ++i)
    type +=
        fmt::format("{}{}{}", i ? "," : "[", tess_tensor_shape(value)[i], i + 1 == rank ? "]" : "");
  c.console->say(fmt::format("{}: {} ={}{}", place, type,
                             text.find('\n') == std::string::npos ? " " : "\n", text));
}

void on_progress(int64_t done, int64_t all, void* user) {
  Progress& p = *static_cast<Context*>(user)->progress;
  p.done = done;
  p.all = all;
}

// What stands in an output, in one line: without --out something must be seen.
std::string summary_of(const std::string& name, api::Tensor& t) {
  std::string shape;
  for (int64_t d : t.shape()) shape += (shape.empty() ? "" : ",") + fmt::format("{}", d);
  int64_t n = t.elements();
  std::string head;
  for (int64_t i = 0; i < std::min<int64_t>(n, 4); ++i)
    head += fmt::format("{}{}", i ? " " : "", t.value(i));
  double least = 0, most = 0;
  int64_t nans = 0, seen = 0;
  for (int64_t i = 0; i < n; ++i) {
    double v = t.value(i);
    if (v != v) {
      ++nans;
      continue;
    }
    least = seen ? std::min(least, v) : v;
    most = seen ? std::max(most, v) : v;
    ++seen;
  }
  return fmt::format("{}: {}[{}] = {}{}{}{}", name, t.dtype(), shape, head, n > 4 ? " .." : "",
                     n > 4 && seen ? fmt::format("  (from {} to {})", least, most) : "",
                     nans ? fmt::format("  {} NaN", nans) : "");
}

struct Output {
  std::string name;
  Dest dest;
};

Result<std::vector<Output>> parse_outputs(const std::vector<std::string>& options,
                                          const api::Kernel& kernel) {
  TESS_TRY(Pairs pairs, parse_pairs(options, "--out"));
  std::vector<Output> out;
  for (const auto& [name, text] : pairs) {
    bool written = false;
    std::vector<std::string> outputs;
    for (size_t i = 0; i < kernel.param_count(); ++i) {
      tess_param p = kernel.param(i);
      if (p.kind != TESS_PARAM_OUT && p.kind != TESS_PARAM_INOUT) continue;
      outputs.emplace_back(p.name);
      written |= p.name == name;
    }
    if (!written) {
      std::vector<std::string_view> names(outputs.begin(), outputs.end());
      std::string near = nearest_name(name, names);
      return make_diag(diag::unknown_parameter,
                       fmt::format("kernel `{}` has no output `{}`", kernel.name(), name), {},
                       near.empty() ? "" : fmt::format("did you mean `{}`?", near));
    }
    TESS_TRY(Dest dest, parse_dest(text));
    out.push_back({name, std::move(dest)});
  }
  return out;
}

// Element i of a list goes to file.I.npy or file.npz#key.I.
Dest item_dest(Dest d, size_t item, size_t count) {
  if (count == 1) return d;
  if (d.kind == DestKind::npz) d.key += fmt::format(".{}", item);
  if (d.kind == DestKind::npy) d.path.insert(d.path.size() - 4, fmt::format(".{}", item));
  return d;
}

int write_outputs(const api::Kernel& kernel, Prepared& done, const std::vector<Output>& outputs,
                  const Console& console) {
  for (size_t i = 0; i < kernel.param_count(); ++i) {
    tess_param p = kernel.param(i);
    if (p.kind != TESS_PARAM_OUT && p.kind != TESS_PARAM_INOUT) continue;
    std::vector<api::Tensor>& tensors = done.tensors[p.name];
    bool asked = false;
    for (const Output& o : outputs) {
      if (o.name != p.name) continue;
      asked = true;
      for (size_t t = 0; t < tensors.size(); ++t) {
        Dest dest = item_dest(o.dest, t, tensors.size());
        if (dest.kind == DestKind::print) {
          if (Status s = console.write(fmt::format("{}\n", tensors[t].text())); !s)
            return console.report(s.error());
          continue;
        }
        std::string where = dest.kind == DestKind::npz ? dest.path + "#" + dest.key : dest.path;
        if (api::Error e = tensors[t].save(where.c_str()))
          return report_error(std::move(e), console);
      }
    }
    if (!asked && outputs.empty())
      for (size_t t = 0; t < tensors.size(); ++t) {
        std::string name =
            tensors.size() == 1 ? std::string(p.name) : fmt::format("{}{{{}}}", p.name, t);
        if (Status s = console.write(summary_of(name, tensors[t]) + "\n"); !s)
          return console.report(s.error());
      }
  }
  return kOk;
}

}  // namespace

int run_command(const RunOptions& o, const Console& console) {
  Result<Pairs> scalars = parse_pairs(o.sets, "--set"), inputs = parse_pairs(o.ins, "--in");
  if (!scalars) return console.report(scalars.error());
  if (!inputs) return console.report(inputs.error());
  for (size_t i = 0; i < scalars->size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if ((*scalars)[i].first == (*scalars)[j].first)
        return console.report(
            make_diag(diag::bad_setting, fmt::format("--set {}: set twice", (*scalars)[i].first)));

  OpenedKernel opened = open_kernel(o, console);
  if (opened.exit_code) return opened.exit_code;
  const api::Kernel& kernel = opened.kernel;
  Result<std::vector<Output>> outputs = parse_outputs(o.outs, kernel);
  if (!outputs) return console.report(outputs.error());

  Progress progress{&console};
  Context context{&console, &progress};
  tess_run_config config = config_of(o);
  EngineChoice engine = engine_of(o);
  engine.write(config);
  config.on_print = on_print;
  config.on_progress = on_progress;
  config.user = &context;
  Arguments arguments{*scalars, *inputs, o.seed};
  auto prepared = prepare(kernel, arguments, config);
  if (!prepared) return report_error(std::move(prepared.error()), console);
  api::Error error = start_and_wait(prepared->run, [&] { progress.tick(); });
  progress.clear();
  if (error) return report_error(std::move(error), console);
  if (api::Error warnings = prepared->run.warnings()) report_error(std::move(warnings), console);

  if (!o.compare.empty()) {
    EngineChoice other = parse_engine(o.compare);
    if (other.jit.empty()) other.jit = o.jit;
    if (other.arch.empty()) other.arch = o.arch;
    other.write(config);
    config.on_print = nullptr;
    auto second = prepare(kernel, arguments, config);
    if (!second) return report_error(std::move(second.error()), console);
    if (api::Error e = start_and_wait(second->run)) return report_error(std::move(e), console);
    Diagnostics different = compare_outputs(engine.text, prepared->tensors, o.compare,
                                            second->tensors, {o.rtol, o.atol, o.ulp});
    if (!different.empty()) return console.report(std::move(different), {});
    console.say(fmt::format("{} and {} agree on every output", engine.text, o.compare));
  }
  int code = write_outputs(kernel, *prepared, *outputs, console);
  if (code == kOk && o.time) {
    tess_stats s = prepared->run.stats();
    console.say(fmt::format("{}: {} blocks, {} instructions, {:.3f} ms", kernel.name(), s.blocks,
                            s.steps, s.seconds * 1e3));
    if (engine.compiles())
      console.say(fmt::format("{}: compiled in {:.1f} ms", kernel.name(), s.compile_seconds * 1e3));
  }
  return code;
}

}  // namespace tess::cli
