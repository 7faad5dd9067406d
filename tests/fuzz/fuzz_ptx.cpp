// PTX: load anything, and run what loads, within a step limit: it ends with an error or a limit.
#include <cstdint>
#include <string>

#include "jit/ptxsim/sim_driver.h"

using namespace tess;
using namespace tess::ptxsim;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Simulator s;
  s.options.max_steps = 3000;
  s.options.threads = 1;
  s.options.max_findings = 4;
  s.options.async = AsyncMode(size % 3);
  std::string text(reinterpret_cast<const char*>(data), size);
  auto module = s.load(text, "fuzz.ptx");
  if (!module) {
    (void)render_diag(module.error(), {}, false);
    return 0;
  }
  auto parsed = parse_ptx(text, "fuzz.ptx");
  if (!parsed) return 0;
  auto buffer = s.memory().allocate(4096, "buffer", true);
  if (!buffer) return 0;
  int entries = 0;
  for (const Function& f : (*parsed)->functions) {
    if (!f.entry || !f.defined || ++entries > 4) continue;
    auto program = s.program(*module, f.name);
    if (!program) continue;
    std::vector<std::vector<std::byte>> values;
    for (const ProgramParam& p : (*program)->params) {
      std::vector<std::byte> v(p.bytes);
      if (p.bytes == 8) std::memcpy(v.data(), &*buffer, 8);
      if (p.bytes == 4) v[0] = std::byte{3};
      values.push_back(std::move(v));
    }
    std::vector<std::span<const std::byte>> spans(values.begin(), values.end());
    jit::LaunchSpec l;
    l.module = *module;
    l.entry = f.name;
    uint32_t cluster = f.cluster[0] && f.cluster[0] < 8 ? f.cluster[0] : 1;
    l.grid = {2 * cluster, 1, 1};
    l.block = {f.reqntid[0] ? f.reqntid[0] : 64, f.reqntid[0] ? f.reqntid[1] : 1,
               f.reqntid[0] ? f.reqntid[2] : 1};
    l.shared_bytes = 1024;
    l.params = spans;
    auto r = s.run(l);
    if (!r) continue;
    for (const Finding& x : r->findings) (void)render_finding(x), (void)finding_json(x);
    (void)stats_text(*r->program, r->stats);
  }
  return 0;
}
