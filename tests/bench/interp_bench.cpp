// What the interpreter and the bytecode reader cost, in process. Times are wall times; `run.py`
// sets them against NumPy and against a plain read of memory.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "isa/bytecode.h"
#include "vm/api/load.h"
#include "vm/api/tess.hpp"

namespace {
using namespace tess;

void must(const api::Error& error) {
  if (!error) return;
  fmt::print(stderr, "{}", error.text());
  std::exit(1);
}
template <class T>
T must(api::Value<T> value) {
  if (!value) must(value.error());
  return std::move(*value);
}

api::Tensor uniform(const char* dtype, const api::Shape& shape) {
  return must(api::Tensor::load("uniform(1)", dtype, shape));
}

// One launch per iteration; the time is that of the run alone.
struct Launch {
  api::Engine engine;
  api::Module module;
  api::Kernel kernel;
  std::vector<std::pair<std::string, int64_t>> sizes;
  std::vector<std::pair<std::string, api::Tensor>> tensors;

  tess_stats run() {
    api::Run run = must(kernel.run());
    for (auto& [name, value] : sizes) must(run.set(name.c_str(), value));
    for (auto& [name, tensor] : tensors) must(run.set(name.c_str(), tensor));
    must(run.start());
    must(run.wait());
    return run.stats();
  }
};
Launch launch_of(std::string_view text, uint32_t threads = 0) {
  Launch l;
  l.engine = must(api::Engine::create({}, threads));
  l.module = must(l.engine.load("bench.vmasm", text));
  l.kernel = must(l.module.kernel());
  return l;
}
Launch launch_of_file(const char* path, const char* kernel, const api::Bindings& bindings) {
  Launch l;
  l.engine = must(api::Engine::create());
  std::string full = std::string(TESS_SOURCE_ROOT "/") + path;
  l.module = must(l.engine.load_file(full.c_str(), bindings));
  l.kernel = must(l.module.kernel(kernel));
  return l;
}

// --- dispatch: one block, a loop over tile instructions of 1 KB

void dispatch(benchmark::State& state, std::string_view body) {
  std::string text = fmt::format(
      "kernel k(x: inout f32[256]) grid(1) warps(4) {{\n"
      "    %s = smem f32[256]\n    %x = load x[:]\n    store %x, %s[:]\n"
      "    for %i in 0..10000 {{\n{}    }}\n    store %x, x[:]\n}}\n",
      body);
  Launch l = launch_of(text, 1);
  l.tensors.emplace_back("x", uniform("f32", {256}));
  uint64_t steps = 0;
  double seconds = 0;
  for (auto _ : state) {
    tess_stats s = l.run();
    state.SetIterationTime(s.seconds);
    steps += s.steps;
    seconds += s.seconds;
  }
  state.counters["ns_per_instruction"] = seconds / static_cast<double>(steps) * 1e9;
}
void dispatch_chain(benchmark::State& state) {
  dispatch(state,
           "        %y = mul %x, %x; %z = add %y, %x; %u = max %z, %y; %v = min %u, 4.0\n"
           "        %x = sub %v, 1.0\n");
}
void dispatch_memory(benchmark::State& state) {
  dispatch(state, "        %x = load %s[:]\n        store %x, %s[:]\n");
}
void dispatch_reduce(benchmark::State& state) {
  dispatch(state, "        %r = reduce.add %x {dim 0, keep}\n        %x = sub %x, %r\n");
}
void dispatch_scalar(benchmark::State& state) {
  dispatch(state, "        %a = %i * 3\n        %b = %a + %i\n        %c = %b / 7\n");
}
BENCHMARK(dispatch_chain)->UseManualTime();
BENCHMARK(dispatch_memory)->UseManualTime();
BENCHMARK(dispatch_reduce)->UseManualTime();
BENCHMARK(dispatch_scalar)->UseManualTime();

// --- kernels

void matmul(benchmark::State& state) {
  Launch l = launch_of_file("samples/matmul.vmasm", nullptr, {});
  for (const char* n : {"m", "n", "k"}) l.sizes.emplace_back(n, 1024);
  for (const char* t : {"a", "b", "c"}) l.tensors.emplace_back(t, uniform("f32", {1024, 1024}));
  for (auto _ : state) state.SetIterationTime(l.run().seconds);
  state.counters["flops"] =
      benchmark::Counter(2.0 * 1024 * 1024 * 1024, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(matmul)->UseManualTime()->Unit(benchmark::kMillisecond);

void gemv(benchmark::State& state, const char* kernel, int64_t block_bytes) {
  constexpr int64_t kRows = 49152, kColumns = 576;
  Launch l = launch_of_file("stdlib/matvec_gguf.vmasm", kernel, {{"KB", "18"}});
  l.sizes = {{"n", kRows}, {"k", kColumns}};
  l.tensors.emplace_back("w", uniform("u8", {kRows, kColumns / 32 * block_bytes}));
  // Random bytes as f16 scales would be NaN at times: keep their exponents moderate.
  auto* bytes = static_cast<uint8_t*>(l.tensors[0].second.mutable_data());
  for (int64_t b = 0; b < kRows * (kColumns / 32); ++b) {
    bytes[b * block_bytes + 1] = 0x28;
    if (block_bytes == 20) bytes[b * block_bytes + 3] = 0x28;
  }
  l.tensors.emplace_back("x", uniform("f32", {kColumns}));
  l.tensors.emplace_back("y", must(api::Tensor::create("f32", {kRows})));
  for (auto _ : state) state.SetIterationTime(l.run().seconds);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kRows * (kColumns / 32) *
                          block_bytes);
}
BENCHMARK_CAPTURE(gemv, q4_1, "matvec_q4_1", 20)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, q8_0, "matvec_q8_0", 34)->UseManualTime()->Unit(benchmark::kMillisecond);

// Two threads add up the words of 1 GB, half each.
void read_memory(benchmark::State& state) {
  constexpr size_t kWords = size_t{1} << 27;
  std::vector<uint64_t> words(kWords, 1);
  for (auto _ : state) {
    uint64_t sums[2] = {};
    auto half = [&](int i) {
      const uint64_t* p = words.data() + static_cast<size_t>(i) * (kWords / 2);
      uint64_t s[8] = {};
      for (size_t j = 0; j < kWords / 2; j += 8)
        for (int k = 0; k < 8; ++k) s[k] += p[j + static_cast<size_t>(k)];
      for (uint64_t v : s) sums[i] += v;
    };
    std::thread other(half, 1);
    half(0);
    other.join();
    if (sums[0] + sums[1] != kWords) std::exit(1);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kWords * sizeof(uint64_t)));
}
BENCHMARK(read_memory)->UseRealTime()->Unit(benchmark::kMillisecond);

// --- text and bytecode

// Kernels like those that people write, as many as make up `bytes` of text.
std::string program_text(size_t bytes) {
  std::string out;
  for (int i = 0; out.size() < bytes; ++i) {
    out += fmt::format(R"(// {0}: several passes of y = a*x + y over rows, with a running sum
kernel k{0}(m: i32, n: i32, a: f32, x: in f16[m,n], y: inout f32[m,n], s: out f32[m])
    grid(cdiv(m, 8)) warps(4)
{{
    %r = block.x * 8
    %sum = fill 0 : f32[8]
)",
                       i);
    for (int pass = 0; pass < 5; ++pass)
      out += fmt::format(R"(    for %c in 0..n step 64 {{
        %x = cast (load x[%r:+8, %c:+64]) : f32
        %y = load y[%r:+8, %c:+64] {{pad 0}}
        %z = fma a, %x, (mul %y, {}.5)
        if %c < n - 64 {{
            %sum = add %sum, (reduce.add %z {{dim 1}})
        }} else {{
            %t = select (gt %z, 0.0), %z, (neg %z)
            %sum = max %sum, (reduce.max %t {{dim 1}})
        }}
        store %z, y[%r:+8, %c:+64]
    }}
)",
                         i + pass);
    out += "    store %sum, s[%r:+8]\n}\n";
  }
  return out;
}

void assemble(benchmark::State& state) {
  std::string text = program_text(static_cast<size_t>(state.range(0)) << 20);
  for (auto _ : state) {
    Loaded loaded = load_program("bench.vmasm", text, {});
    if (!loaded.module) std::exit(1);
    benchmark::DoNotOptimize(write_bytecode(loaded.module->module()));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(assemble)->Arg(1)->Unit(benchmark::kMillisecond);

// Whether free() keeps memory for the next round, as in a process that reads one module after
// another, or gives it back, so that each round also pays the kernel for fresh pages.
void keep_freed_memory(bool keep) {
  constexpr int kMuch = 1 << 30;
  mallopt(M_TRIM_THRESHOLD, keep ? kMuch : 128 << 10);
  mallopt(M_MMAP_THRESHOLD, keep ? kMuch : 128 << 10);
}

enum class Bytecode { write, read, read_and_free };
void bytecode(benchmark::State& state, Bytecode what, bool keep) {
  keep_freed_memory(keep);
  Loaded loaded = load_program("bench.vmasm", program_text(16 << 20), {});
  if (!loaded.module) std::exit(1);
  std::vector<uint8_t> bytes = write_bytecode(loaded.module->module());
  for (auto _ : state) {
    if (what == Bytecode::write) {
      benchmark::DoNotOptimize(write_bytecode(loaded.module->module()));
      continue;
    }
    Result<Module> module = read_bytecode(bytes);
    if (!module) std::exit(1);
    if (what == Bytecode::read_and_free) continue;
    state.PauseTiming();
    module = Module();
    state.ResumeTiming();
  }
  state.counters["megabytes"] = static_cast<double>(bytes.size()) / 1e6;
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
// Last, because the allocator's settings stay.
BENCHMARK_CAPTURE(bytecode, read_fresh_pages, Bytecode::read_and_free, false)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bytecode, write, Bytecode::write, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bytecode, read, Bytecode::read, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(bytecode, read_and_free, Bytecode::read_and_free, true)
    ->Unit(benchmark::kMillisecond);

}  // namespace

// `interp_bench --text MEGABYTES` writes such a program to standard output.
int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--text") {
    std::string text = program_text(std::strtoull(argv[2], nullptr, 10) * 1000000);
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
