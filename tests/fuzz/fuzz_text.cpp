// Text: parse and lower anything; a program that verifies survives disassembly and formatting.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "frontends/vmasm/format.h"
#include "frontends/vmasm/lower.h"
#include "frontends/vmasm/parser.h"
#include "frontends/vmasm/print_module.h"
#include "isa/bytecode.h"
#include "isa/verify.h"

using namespace tess;

namespace {

std::optional<Module> compiled(const std::string& text) {
  Sources sources;
  Diagnostics found;
  vmasm::CompileOptions options;
  options.allow_no_kernels = true;
  std::optional<Module> module = vmasm::compile({"fuzz.vmasm", text}, options, sources, found);
  for (const Diagnostic& d : found)
    (void)render_diag(d, sources, false), (void)render_diag_json(d, sources);
  return module;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  std::optional<Module> module = compiled(text);
  if (!module) return 0;
  Diagnostics found;
  std::optional<VerifiedModule> verified = verify(std::move(*module), found);
  if (!verified) return 0;
  std::vector<uint8_t> bytes = write_bytecode(verified->module());
  std::optional<Module> again = compiled(vmasm::print_module(verified->module()));
  if (!again || write_bytecode(*again) != bytes) abort();
  Diagnostics none;
  std::string formatted = vmasm::format(vmasm::parse(text, 0, none));
  if (vmasm::format(vmasm::parse(formatted, 0, none)) != formatted || !none.empty()) abort();
  return 0;
}
