// What layout inference costs, in process: the goal is 5 ms for the flash-attention kernel. The
// time that counts is the processor's, since other load only makes the wall's longer.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>

#include "isa/layout_judge.h"
#include "jit/tile/infer.h"
#include "vm/api/load.h"

namespace {
using namespace tess;

VerifiedModule load(const std::string& file, const std::vector<LoadBinding>& bindings) {
  std::string path = std::string(TESS_SOURCE_ROOT "/stdlib/") + file;
  auto text = read_program_file(path);
  LoadOptions options;
  options.bindings = bindings;
  Loaded l = load_program(path, text ? *text : std::string(), options);
  if (!l.module) {
    fmt::print(stderr, "{} does not load\n", path);
    std::exit(1);
  }
  return std::move(*l.module);
}

void infer(benchmark::State& state, const char* file, std::vector<LoadBinding> bindings) {
  VerifiedModule m = load(file, bindings);
  uint64_t judged = judge_count();
  for (auto _ : state) benchmark::DoNotOptimize(jit::infer_layouts(m, 0, {}));
  state.counters["judged"] = static_cast<double>(judge_count() - judged);
}

BENCHMARK_CAPTURE(infer, flash_attention, "attention.vmasm", {})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(infer, matmul_f16, "matmul.vmasm", {{"T", "f16"}})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(infer, matmul_a16w, "matmul_a16w.vmasm", {})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(infer, softmax, "softmax.vmasm", {})->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
