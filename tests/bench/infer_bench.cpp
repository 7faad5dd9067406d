// What layout inference costs, in process: the goal is 5 ms for the flash-attention kernel. The
// time that counts is the processor's, since other load only makes the wall's longer.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>

#include "isa/layout.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"
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

// Layouts of cosize 2^40, far too large to enumerate; the goal is 1 ms.
void compose_large(benchmark::State& state, const char* a, const char* b) {
  auto outer = parse_layout_expr(a), inner = parse_layout_expr(b);
  if (!outer || !inner) std::exit(1);
  uint64_t judged = judge_count();
  for (auto _ : state) benchmark::DoNotOptimize(compose(*outer, *inner));
  state.counters["judged"] = static_cast<double>(judge_count() - judged);
}
BENCHMARK_CAPTURE(compose_large, modes, "(4096,4096):(268435456,65536)",
                  "local(256,256) * mma.m16n8k16.f16.A");
BENCHMARK_CAPTURE(compose_large, swizzle, "Sw<3,16,3> o (4096,4096):(268435456,65536)",
                  "local(256,256) * mma.m16n8k16.f16.A");
BENCHMARK_CAPTURE(compose_large, bits, "(4096,4096):(268435456,65536)",
                  "{d0:[4096:(0,1)] d1:[4096:(1,0)] -> 4096,4096}");

}  // namespace

BENCHMARK_MAIN();
