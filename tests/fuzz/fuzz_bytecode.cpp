// Bytecode with the checksum off: whatever is read must verify or be refused; what is read can be
// written, and reads back the same; what verifies can be printed.
#include <cstdint>
#include <cstdlib>

#include "isa/bytecode.h"
#include "isa/verify.h"

using namespace tess;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Result<Module> module = read_bytecode({data, size}, {.check_checksum = false});
  if (!module) return 0;
  std::vector<uint8_t> bytes = write_bytecode(*module);
  Result<Module> again = read_bytecode(bytes);
  if (!again || write_bytecode(*again) != bytes) abort();
  Diagnostics found;
  (void)verify(std::move(*module), found);
  for (const Diagnostic& d : found) (void)render_diag(d, {}, true);
  return 0;
}
