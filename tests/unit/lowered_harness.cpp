#include "tests/unit/lowered_harness.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

namespace tess::test {
namespace {

std::vector<LaunchArg> launch_args(const std::vector<Arg>& args) {
  std::vector<LaunchArg> out;
  for (const Arg& a : args) {
    LaunchArg l;
    l.scalar = a.scalar;
    for (HostTensor* t : a.tensors)
      l.tensors.push_back({t->type, t->bytes.data(), t->bytes.size(), t->shape, {}, true});
    out.push_back(std::move(l));
  }
  return out;
}

std::string text_of(const Diagnostic& d) {
  return fmt::format("{} {} (line {})", diag_id(d.code), d.message, d.span.line);
}

}  // namespace

double ulp_distance(DType t, uint64_t a, uint64_t b) {
  if (is_nan_code(t, a) || is_nan_code(t, b))
    return is_nan_code(t, a) && is_nan_code(t, b) ? 0 : INFINITY;
  auto order = [&](uint64_t code) {
    auto magnitude = static_cast<__int128>(code & ((uint64_t{1} << (t.bits - 1)) - 1));
    return code >> (t.bits - 1) ? -magnitude : magnitude;
  };
  return std::abs(static_cast<double>(order(a) - order(b)));
}

std::string difference(const HostTensor& got, const HostTensor& want, const LoweredOptions& o) {
  double scale = 0;
  if (o.relative > 0)
    for (int64_t i = 0; i < want.elements(); ++i)
      if (std::isfinite(want.value(i))) scale = std::max(scale, std::abs(want.value(i)));
  for (int64_t i = 0; i < want.elements(); ++i) {
    uint64_t g = canonical(want.type, got.at(i)), w = canonical(want.type, want.at(i));
    if (g == w) continue;
    if (o.ulp > 0 && want.type.is_float() && ulp_distance(want.type, g, w) <= o.ulp) continue;
    if (o.relative > 0 && std::abs(got.value(i) - want.value(i)) <= o.relative * scale) continue;
    return fmt::format("element {}: {} ({:#x}) where {} ({:#x}) is right", i, got.value(i), g,
                       want.value(i), w);
  }
  return "";
}

std::string run_lowered(const VerifiedModule& m, const std::vector<Arg>& args,
                        const LoweredOptions& options) {
  auto bound = bind_launch(m.kernel(0), launch_args(args), {});
  if (!bound) return text_of(bound.error());
  static const std::shared_ptr<jit::Jit> engine = jit::make_jit();
  // The back ends take turns, unless one is asked for or missing.
  static int turn = 0;
  jit::Backend next = ++turn % 4 ? jit::Backend::nvptx : jit::Backend::nvrtc;
  const jit::BackendRow* row = jit::find_row(jit::default_toolchain(), next);
  jit::RunOptions run;
  run.arch = options.arch;
  run.backend = options.backend;
  if (!run.backend && row && row->available()) run.backend = next;
  run.guard = options.guard;
  run.threads = 1;
  jit::LaunchOutcome out = jit::launch_kernel(*engine, jit::module_key(m), m, 0, *bound, run);
  return out.error ? text_of(*out.error) : "";
}

std::string assembles(const std::string& text, int arch) {
  const jit::Toolchain& tools = jit::default_toolchain();
  const jit::BackendRow* row = jit::find_row(tools, jit::Backend::nvrtc);
  if (!row || !row->available()) return "";
  jit::CompileOptions options;
  options.target.arch = arch;
  std::vector<jit::StageTime> times;
  auto lowered = jit::compile_to_block(tools, assemble(text), 0, options, times);
  if (!lowered) return text_of(lowered.error());
  auto code = row->compile(lowered->block, 0, true);
  return code ? "" : text_of(code.error());
}

std::string differs(const std::string& text, const std::vector<Arg>& args,
                    const LoweredOptions& options) {
  VerifiedModule m = assemble(text);
  std::vector<HostTensor> copies;
  size_t n = 0;
  for (const Arg& a : args) n += a.tensors.size();
  copies.reserve(n);
  std::vector<Arg> mine = args;
  for (Arg& a : mine)
    for (HostTensor*& t : a.tensors) {
      copies.push_back(*t);
      t = &copies.back();
    }
  interp::Outcome want = run(m, args);
  if (want.error) return "the interpreter: " + text_of(*want.error) + "\n" + text;
  std::string problem = run_lowered(m, mine, options);
  if (!problem.empty()) return problem + "\n" + text;
  for (size_t i = 0; i < args.size(); ++i)
    for (size_t j = 0; j < args[i].tensors.size(); ++j) {
      std::string d = difference(*mine[i].tensors[j], *args[i].tensors[j], options);
      if (!d.empty()) return fmt::format("argument {}: {}\n{}", i, d, text);
    }
  return "";
}

}  // namespace tess::test
