#include <fmt/format.h>

#include <charconv>

#include "isa/diag/tool.h"
#include "jit/ptxsim/sim_tool.h"
#include "vm/cli/commands.h"

namespace tess::cli {
namespace {

// "X", "X,Y" or "X,Y,Z"; what is left out is 1.
std::optional<jit::Dim3> parse_dim(std::string_view s) {
  uint32_t n[3] = {1, 1, 1};
  for (int i = 0; i < 3; ++i) {
    size_t comma = std::min(s.find(','), s.size());
    auto [end, error] = std::from_chars(s.data(), s.data() + comma, n[i]);
    if (error != std::errc() || end != s.data() + comma) return {};
    if (comma == s.size()) return jit::Dim3{n[0], n[1], n[2]};
    s.remove_prefix(comma + 1);
  }
  return {};
}

}  // namespace

int run_command(const SimOptions& o, const Console& console) {
  Result<std::string> text = read_input(o.file);
  if (!text) return console.report(text.error());
  ptxsim::SimToolOptions sim;
  sim.ptx = *text;
  sim.file = o.file == "-" ? "standard input" : o.file;
  sim.entry = o.entry;
  auto dim = [](const std::string& s, jit::Dim3& into) {
    auto d = parse_dim(s);
    if (d) into = *d;
    return d.has_value();
  };
  for (auto [option, value, into] :
       {std::tuple("--grid", &o.grid, &sim.grid), std::tuple("--block", &o.block, &sim.block),
        std::tuple("--cluster", &o.cluster, &sim.cluster)})
    if (!value->empty() && !dim(*value, *into))
      return console.report(
          make_diag(diag::bad_option, fmt::format("{} {}: not X,Y,Z", option, *value)));
  sim.shared_bytes = o.shared_bytes;
  sim.params = o.params;
  sim.dumps = o.dumps;
  sim.runs = o.runs;
  sim.seed = o.seed;
  sim.async = o.async;
  sim.check = !o.no_check;
  sim.json = console.json;
  sim.stats = o.stats;
  sim.max_steps = o.max_steps;
  sim.threads = o.threads;
  sim.interrupt = interrupt_flag();
  sim.read_file = read_input;
  InterruptScope scope;
  Result<ptxsim::SimToolResult> result = ptxsim::sim_main(sim);
  if (!result) return console.report(result.error(), {{sim.file, sim.ptx}});
  if (Status written = console.write(result->output); !written)
    return console.report(written.error());
  return interrupted() ? kInterrupted : result->clean ? kOk : kTrapped;
}

}  // namespace tess::cli
