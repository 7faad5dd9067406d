#include "vm/api/engines.h"

#include <fmt/format.h>

#include "frontends/vmasm/print_module.h"
#include "isa/diag/tool.h"
#include "isa/numerics.h"
#include "isa/shown_name.h"
#include "vm/interp/interp.h"

using namespace tess;

namespace tess::api {
namespace {

// When asynchronous operations complete, as the configuration names it.
constexpr std::string_view kMoments[] = {"early", "late", "random"};

Result<int> completion_of(const tess_run& run) {
  std::string_view name = run.config.async ? run.config.async : "early";
  for (size_t i = 0; i < std::size(kMoments); ++i)
    if (kMoments[i] == name) return static_cast<int>(i);
  return make_diag(diag::async_unknown, fmt::format("copies do not complete `{}`", name), {},
                   "early, late, random");
}

uint64_t limit(const tess_run& run, uint64_t own, tess_limit_kind kind) {
  const EngineState& engine = *run.kernel_state->module->engine;
  return own ? own : static_cast<uint64_t>(engine.limits[kind].load());
}
double seconds_limit(const tess_run& run) {
  return static_cast<double>(limit(run, run.config.limit_milliseconds, TESS_LIMIT_MILLISECONDS)) /
         1000;
}

// --- the interpreter

// A value of the interpreter's carriers as a tensor.
Result<HostTensor> tensor_of(const interp::Shown& shown) {
  std::vector<int64_t> shape(shown.type.shape.begin(), shown.type.shape.end());
  TESS_TRY(HostTensor t, make_tensor(shown.type.dtype, shape));
  int width = carrier_bytes(carrier_of(shown.type.dtype));
  int bits = shown.type.dtype.bits;
  uint64_t mask = bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  int64_t n = shown.type.shape.elements();
  const uint8_t* from = static_cast<const uint8_t*>(shown.data);
  for (int64_t i = 0; i < n; ++i) {
    uint64_t code = 0;
    __builtin_memcpy(&code, from + i * width, static_cast<size_t>(width));
    set_element_code(t, static_cast<uint64_t>(i), code & mask);
  }
  return t;
}

// Where a value was shown, and what it is called.
struct ShownAt {
  int64_t block[3];
  uint32_t strand, instruction;
  std::string name;
};
void show(const tess_run& run, const ShownAt& at, Result<HostTensor> tensor,
          void (*callback)(const tess_shown*, void*)) {
  if (!tensor) return;
  tess_tensor value(std::move(*tensor));
  const Kernel& k = run.kernel();
  const Module& m = run.kernel_state->module->module.module();
  tess_shown out{};
  out.size = sizeof out;
  out.kernel = run.kernel_state->name.c_str();
  for (int i = 0; i < 3; ++i) out.block[i] = at.block[i];
  out.strand = at.strand;
  out.instruction = at.instruction;
  std::string op_name;
  if (at.instruction < k.code.size()) {
    Loc loc = k.code[at.instruction].loc;
    out.file = loc.line && loc.file < m.files.size() ? m.files[loc.file].c_str() : "";
    out.line = loc.line;
    out.col = loc.col;
    op_name = op_info(k.code[at.instruction].op).name;
  } else {
    out.file = "";
  }
  out.name = at.name.c_str();
  out.instruction_name = op_name.c_str();
  out.value = &value;
  callback(&out, run.config.user);
}
void show(const tess_run& run, const interp::Shown& s, void (*callback)(const tess_shown*, void*)) {
  show(run, {{s.block[0], s.block[1], s.block[2]}, s.strand, s.pc, s.name}, tensor_of(s), callback);
}

interp::Options interp_options(tess_run& run) {
  const EngineState& engine = *run.kernel_state->module->engine;
  const tess_run_config& c = run.config;
  interp::Options o;
  o.limits.steps = limit(run, c.limit_steps, TESS_LIMIT_STEPS);
  o.limits.memory_bytes = limit(run, c.limit_memory_bytes, TESS_LIMIT_MEMORY_BYTES);
  o.limits.seconds = seconds_limit(run);
  o.threads = engine.threads;
  o.report_out_of_bounds = c.report_out_of_bounds != 0;
  o.trace_every_value = c.trace_every_value != 0;
  for (int i = 0; i < 3; ++i) o.trace_block[i] = c.trace_block[i];
  o.seed = c.seed;
  o.async = static_cast<interp::Async>(run.completion);
  o.device_sms = run.device_sms();
  o.interrupt = &run.interrupt;
  if (c.on_print)
    o.on_print = [&run](const interp::Shown& s) { show(run, s, run.config.on_print); };
  if (c.on_trace)
    o.on_trace = [&run](const interp::Shown& s) { show(run, s, run.config.on_trace); };
  if (c.on_progress)
    o.on_progress = [&run](int64_t done, int64_t all) {
      run.config.on_progress(done, all, run.config.user);
    };
  return o;
}

Status configure_interp(tess_run& run) {
  TESS_TRY(run.completion, completion_of(run));
  return ok();
}

RunOutcome launch_interp(tess_run& run, const BoundLaunch& bound, bool naive) {
  interp::Options options = interp_options(run);
  options.naive = naive;
  interp::Outcome o =
      interp::run(run.kernel_state->module->module, run.kernel_state->index, bound, options);
  RunOutcome out;
  out.error = std::move(o.error);
  out.warnings = std::move(o.warnings);
  for (int i = 0; i < 3; ++i) out.block[i] = o.place.block[i];
  out.strand = o.place.strand;
  out.instruction = o.place.pc;
  out.stats.steps = o.stats.steps;
  out.stats.blocks = o.stats.blocks;
  out.stats.seconds = o.stats.seconds;
  return out;
}
RunOutcome launch_fast(tess_run& run, const BoundLaunch& bound) {
  return launch_interp(run, bound, false);
}
RunOutcome launch_naive(tess_run& run, const BoundLaunch& bound) {
  return launch_interp(run, bound, true);
}

// --- compiled kernels

void show_printed(const tess_run& run, const jit::Printed& p) {
  const Kernel& k = run.kernel();
  Ref shown = k.args(k.code[p.instruction])[0];
  Type type{Space::reg, false, {}, {}};
  if (shown.is_value()) type = k.values[shown.index()].type;
  else type.dtype = k.constants[shown.index()].type;
  auto tensor = [&]() -> Result<HostTensor> {
    std::vector<int64_t> shape(type.shape.begin(), type.shape.end());
    TESS_TRY(HostTensor t, make_tensor(type.dtype, shape));
    for (size_t i = 0; i < p.codes.size(); ++i) set_element_code(t, i, p.codes[i]);
    return t;
  };
  show(run, {{p.block[0], p.block[1], p.block[2]}, p.strand, p.instruction,
             shown_name(k, shown)},
       tensor(), run.config.on_print);
}

Status configure_jit(tess_run& run, jit::DeviceKind device) {
  const tess_run_config& c = run.config;
  jit::RunOptions& o = run.jit;
  const EngineState& engine = *run.kernel_state->module->engine;
  o.device = device;
  if (c.jit) {
    o.backend = jit::find_backend(c.jit);
    if (!o.backend)
      return make_diag(diag::jit_unknown, fmt::format("there is no back end `{}`", c.jit), {},
                       "nvrtc, nvptx");
  }
  if (c.arch) {
    o.arch = jit::find_arch(c.arch);
    if (!o.arch)
      return make_diag(diag::arch_unknown, fmt::format("kernels are not compiled for `{}`", c.arch),
                       {}, "sm_80, sm_89, sm_90a");
  }
  o.level = static_cast<int>(std::min(c.opt_level, 3u));
  o.guard = c.guard || c.report_out_of_bounds;
  o.report_out_of_bounds = c.report_out_of_bounds != 0;
  if (!c.device_sms) {
    TESS_TRY(run.config.device_sms, jit::device_sms(*engine.jit, device));
  }
  o.facts.sms = run.config.device_sms;
  o.seconds = seconds_limit(run);
  o.interrupt = &run.interrupt;
  TESS_TRY(int completion, completion_of(run));
  o.completion = static_cast<jit::Completion>(completion);
  o.seed = c.seed;
  o.steps = limit(run, c.limit_steps, TESS_LIMIT_STEPS);
  o.runs = std::max(c.sim_runs, 1u);
  o.threads = engine.threads;
  o.check = !c.sim_no_checks;
  o.describe = vmasm::print_inst;
  if (c.on_print) o.on_print = [&run](const jit::Printed& p) { show_printed(run, p); };
  return ok();
}
Status configure_sim(tess_run& run) { return configure_jit(run, jit::DeviceKind::sim); }
Status configure_cuda(tess_run& run) { return configure_jit(run, jit::DeviceKind::cuda); }

RunOutcome launch_jit(tess_run& run, const BoundLaunch& bound) {
  const ModuleState& m = *run.kernel_state->module;
  jit::LaunchOutcome o = jit::launch_kernel(*m.engine->jit, module_key(m), m.module,
                                            run.kernel_state->index, bound, run.jit);
  RunOutcome out;
  out.error = std::move(o.error);
  out.warnings = std::move(o.warnings);
  for (int i = 0; i < 3; ++i) out.block[i] = o.fault_block[i];
  out.strand = o.fault_strand;
  out.instruction = o.fault_instruction;
  out.stats.steps = o.steps;
  out.stats.blocks = o.blocks;
  out.stats.seconds = o.seconds;
  out.stats.compile_seconds = o.compile_seconds;
  out.stats.compiled = !o.cached;
  return out;
}

constexpr EngineRow kEngines[] = {
    {"interp", configure_interp, launch_fast},
    {"interp-naive", configure_interp, launch_naive},
    {"sim", configure_sim, launch_jit},
    {"cuda", configure_cuda, launch_jit},
};

}  // namespace

const jit::ModuleKey& module_key(const ModuleState& m) {
  std::call_once(m.key_made, [&m] { m.key = jit::module_key(m.module); });
  return m.key;
}

const EngineRow* find_engine(std::string_view name) {
  for (const EngineRow& row : kEngines)
    if (row.name == name) return &row;
  return nullptr;
}

std::string engine_names() {
  std::string out;
  for (const EngineRow& row : kEngines) out += (out.empty() ? "" : ", ") + std::string(row.name);
  return out;
}

}  // namespace tess::api
