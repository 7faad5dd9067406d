#include "tests/unit/jit_harness.h"

#include <doctest/doctest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "frontends/vmasm/lower.h"

namespace tess::test {

VerifiedModule assemble_program(const std::string& text) {
  Sources sources;
  Diagnostics out;
  auto module = vmasm::compile({"test.vmasm", text}, {}, sources, out);
  std::optional<VerifiedModule> verified;
  if (module) verified = verify(std::move(*module), out);
  std::string messages;
  for (const Diagnostic& d : out) messages += render_diag(d, sources, false);
  if (!verified) FAIL(messages << "\n" << text);
  return *verified;
}

StandIn& stand_in() {
  static StandIn s;
  return s;
}

namespace {

void write_facts(Kernel& k, const jit::LaunchFacts& facts) {
  for (size_t p = 0; p < facts.alignment.size(); ++p) {
    k.params[p].aligned = std::max(k.params[p].aligned, facts.alignment[p]);
    if (facts.divisor[p] > 1)
      k.params[p].divisible = std::lcm(k.params[p].divisible, facts.divisor[p]);
  }
}

// The text goes from the lowering to the back end in the name of a file, which nothing reads.
Result<jit::Lowered> lower(const VerifiedModule& m, size_t kernel, const jit::LowerOptions&) {
  ++stand_in().lowered;
  const Kernel& k = m.kernel(kernel);
  jit::Lowered out;
  if (stand_in().lower) out = stand_in().lower(k);
  out.block.name = k.name;
  out.block.threads = k.warps * 32;
  out.block.files = {stand_in().ptx(k)};
  return out;
}

Status available() { return ok(); }
Result<std::string> source(const jit::BlockKernel& k, int) { return k.name; }
Result<jit::Compiled> compile(const jit::BlockKernel& k, int, bool) {
  ++stand_in().compiled;
  std::this_thread::sleep_for(std::chrono::milliseconds(stand_in().slow_ms));
  return jit::Compiled{k.files[0], k.name, "by hand", 0};
}

}  // namespace

const jit::Toolchain& stand_in_tools() {
  static const jit::BackendRow rows[] = {{jit::Backend::nvptx, "llvm", available, source, compile}};
  static const jit::Toolchain tools{write_facts, {}, lower, rows};
  return tools;
}

jit::BlockParam pointer_param(uint32_t source) {
  return {jit::ParamKind::pointer, jit::RegClass::b64, source, {}, "p"};
}
jit::BlockParam list_param(uint32_t source) {
  return {jit::ParamKind::list, jit::RegClass::b64, source, {}, "l"};
}
jit::BlockParam scalar_param(uint32_t source, jit::RegClass type) {
  return {jit::ParamKind::scalar, type, source, {}, "s"};
}
jit::BlockParam expression_param(HostExpr e) {
  return {jit::ParamKind::expression, jit::RegClass::b64, 0, std::move(e), "e"};
}
jit::BlockParam hidden_param(jit::ParamKind kind) { return {kind, jit::RegClass::b64, 0, {}, "h"}; }

jit::LaunchOutcome launch(jit::Jit& jit, const VerifiedModule& m,
                          const std::vector<LaunchArg>& args, const jit::RunOptions& options) {
  Result<BoundLaunch> bound = bind_launch(m.kernel(0), args, options.facts);
  if (!bound) FAIL(bound.error().message);
  return jit::launch_kernel(jit, jit::module_key(m), m, 0, *bound, options);
}

}  // namespace tess::test
