// Kernels that are about synchronisation: splits of k, rings, named barriers, clusters, queues and
// barriers of the grid. Integers where the order of sums would show.
#include <algorithm>

#include "tests/ptxsim/kernel_bench.h"

namespace tess::ptxsim {
namespace {

std::vector<int> numbers(size_t n, uint64_t seed) {
  Random r{seed};
  std::vector<int> v(n);
  for (int& x : v) x = int(r.below(2001)) - 1000;
  return v;
}

template <class T>
void same(Bench& b, const std::vector<T>& got, const std::vector<T>& want) {
  if (got != want) b.out_.wrong = true;
}

Outcome split_k_case(std::string_view ptx, const LaunchOptions& o) {
  const int n = 64, k = pick(o, {200, 65, 66, 67, 68, 69, 70, 71}), slice = 64,
            splits = (k + slice - 1) / slice;
  Bench b(ptx, o);
  auto a = numbers(size_t(32 * k), 1), w = numbers(size_t(k * n), 2);
  uint64_t pa = b.buffer(a), pb = b.buffer(w), pc = b.empty<int>(32 * n),
           ps = b.buffer(std::vector<int>(2));
  b.param(pa), b.param(pb), b.param(pc), b.param(ps), b.param(n), b.param(k), b.param(slice);
  if (!b.launch("split_k", {2, uint32_t(splits), 1}, {128, 1, 1})) return std::move(b.out_);
  std::vector<int> want(32 * n);
  for (int i = 0; i < 32; ++i)
    for (int j = 0; j < n; ++j)
      for (int x = 0; x < k; ++x)
        want[size_t(i * n + j)] += a[size_t(i * k + x)] * w[size_t(x * n + j)];
  same(b, b.fetch<int>(pc, want.size()), want);
  return std::move(b.out_);
}

Outcome stream_k_case(std::string_view ptx, const LaunchOptions& o) {
  const int tiles = 3, steps = pick(o, {7, 4, 10, 1}), blocks = 4;
  Bench b(ptx, o);
  auto x = numbers(size_t(tiles * steps * 64), 3);
  uint64_t px = b.buffer(x), py = b.empty<int>(tiles * 64), pw = b.empty<int>(blocks * 64),
           pf = b.buffer(std::vector<uint32_t>(blocks));
  b.param(px), b.param(py), b.param(pw), b.param(pf), b.param(tiles), b.param(steps);
  if (!b.launch("stream_k", {blocks, 1, 1}, {64, 1, 1})) return std::move(b.out_);
  std::vector<int> want(tiles * 64);
  for (int i = 0; i < tiles * steps; ++i)
    for (int t = 0; t < 64; ++t)
      want[size_t(i / steps * 64 + t)] += x[size_t(i * 64 + t)] * (i % steps + 1);
  same(b, b.fetch<int>(py, want.size()), want);
  return std::move(b.out_);
}

Outcome named_barriers_case(std::string_view ptx, const LaunchOptions& o) {
  const int rounds = pick(o, {7, 1, 2, 4});
  Bench b(ptx, o);
  auto x = numbers(size_t(rounds * 96), 4);
  uint64_t px = b.buffer(x), py = b.empty<int>(2 * 96);
  b.param(px), b.param(py), b.param(rounds);
  if (!b.launch("named_barriers", {2, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  std::vector<int> want(2 * 96);
  for (size_t j = 0; j < want.size(); ++j)
    for (int i = 0; i < rounds; ++i) want[j] += x[size_t(i) * 96 + 95 - j % 96] * 3 * (i + 1);
  same(b, b.fetch<int>(py, want.size()), want);
  return std::move(b.out_);
}

Outcome pipeline_case(std::string_view ptx, const LaunchOptions& o) {
  const int rows = 2, chunks = pick(o, {9, 1, 2, 3, 4, 5, 6, 8});
  Bench b(ptx, o);
  Random r{5};
  std::vector<float> a(size_t(rows * chunks * 256)), w(a.size());
  for (auto& v : a) v = float(int(r.below(17)) - 8);
  for (auto& v : w) v = float(int(r.below(17)) - 8);
  uint64_t pa = b.buffer(a), pw = b.buffer(w), py = b.empty<float>(rows);
  b.param(pa), b.param(pw), b.param(py), b.param(chunks);
  if (!b.launch("pipeline", {rows, 1, 1}, {64, 1, 1})) return std::move(b.out_);
  std::vector<float> want(rows);
  for (size_t i = 0; i < a.size(); ++i) want[i / size_t(chunks * 256)] += a[i] * w[i];
  same(b, b.fetch<float>(py, rows), want);
  return std::move(b.out_);
}

Outcome cluster_reduce_case(std::string_view ptx, const LaunchOptions& o) {
  const int rows = 2, n = pick(o, {1100, 512, 40, 2049});
  Bench b(ptx, o);
  Random r{6};
  std::vector<uint32_t> x(size_t(rows * n));
  for (auto& v : x) v = uint32_t(r.next());
  uint64_t px = b.buffer(x), py = b.empty<uint32_t>(rows * 8);
  b.param(px), b.param(py), b.param(n);
  if (!b.launch("cluster_reduce", {rows * 4, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  std::vector<uint32_t> want;
  for (int i = 0; i < rows; ++i) {
    uint32_t sum = 0, top = 0;
    for (int j = 0; j < n; ++j)
      sum += x[size_t(i * n + j)], top = std::max(top, x[size_t(i * n + j)]);
    for (int k = 0; k < 4; ++k) want.insert(want.end(), {sum, top});
  }
  same(b, b.fetch<uint32_t>(py, want.size()), want);
  return std::move(b.out_);
}

Outcome tma_epilogue_case(std::string_view ptx, const LaunchOptions& o) {
  const int rows = 50, tiles = pick(o, {5, 1, 2, 4}), cols = tiles * 32 - 8;
  Bench b(ptx, o);
  Random r{7};
  std::vector<float> x(size_t(rows * cols));
  for (auto& v : x) v = float(int(r.below(1001)) - 500);
  uint64_t px = b.buffer(x), py = b.empty<float>(x.size());
  for (uint64_t p : {px, py}) {
    jit::TensorMapSpec s;
    s.type = jit::TensorType::f32, s.rank = 2, s.address = p;
    s.size[0] = uint64_t(cols), s.size[1] = uint64_t(rows);
    s.stride[0] = uint64_t(cols) * 4;
    s.box[0] = s.box[1] = 32;
    b.param(b.map(s));
  }
  b.param(tiles);
  if (!b.launch("tma_epilogue", {2, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  std::vector<float> want(x.size());
  for (size_t i = 0; i < x.size(); ++i) want[i] = x[i] * 2 + float(int(i) % cols / 32);
  same(b, b.fetch<float>(py, want.size()), want);
  return std::move(b.out_);
}

Outcome tokens_case(std::string_view ptx, const LaunchOptions& o) {
  const int rounds = pick(o, {5, 1, 2, 0});
  Bench b(ptx, o);
  uint64_t py = b.empty<uint32_t>(2 * 128);
  b.param(py), b.param(rounds);
  if (!b.launch("tokens", {2, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  std::vector<uint32_t> value(128), mail(128);
  for (uint32_t t = 0; t < 128; ++t) value[t] = t + 1;
  for (uint32_t i = 0; i < uint32_t(rounds); ++i) {
    for (uint32_t t = 0; t < 128; ++t) mail[(t + 33) % 128] = value[t];
    for (uint32_t t = 0; t < 128; ++t) value[t] = mail[t] * 5 + i;
  }
  std::vector<uint32_t> want(value);
  want.insert(want.end(), value.begin(), value.end());
  same(b, b.fetch<uint32_t>(py, 256), want);
  return std::move(b.out_);
}

Outcome softmax2_case(std::string_view ptx, const LaunchOptions& o) {
  const int rows = pick(o, {11, 4, 1, 7}), n = pick(o, {260, 512, 4, 128, 100});
  Bench b(ptx, o);
  Random r{8};
  std::vector<float> x(size_t(rows * n));
  for (auto& v : x) v = float(int(r.below(2001)) - 1000) / 100;
  uint64_t px = b.buffer(x), py = b.empty<float>(x.size());
  b.param(px), b.param(py), b.param(rows), b.param(n);
  if (!b.launch("softmax2", {2, 1, 1}, {64, 1, 1})) return std::move(b.out_);
  auto y = b.fetch<float>(py, x.size());
  for (int i = 0; i < rows; ++i) {
    const float* row = &x[size_t(i * n)];
    double top = *std::max_element(row, row + n), s = 0;
    for (int j = 0; j < n; ++j) s += std::exp(row[j] - top);
    for (int j = 0; j < n; ++j) {
      double want = std::exp(row[j] - top) / s;
      b.near(y[size_t(i * n + j)], want, 5e-5 * want + 1e-9);
    }
  }
  return std::move(b.out_);
}

Outcome queue_case(std::string_view ptx, const LaunchOptions& o) {
  const int pairs = pick(o, {3, 1, 2}), each = pick(o, {12, 20, 5, 1});
  Bench b(ptx, o);
  std::vector<uint32_t> slots(8 * 4);
  for (uint32_t i = 0; i < 8; ++i) slots[i * 4] = i;
  uint64_t ps = b.buffer(slots), ph = b.buffer(std::vector<uint32_t>(1)),
           pt = b.buffer(std::vector<uint32_t>(1)), py = b.empty<uint32_t>(size_t(pairs));
  b.param(ps), b.param(ph), b.param(pt), b.param(py), b.param(each);
  if (!b.launch("queue", {uint32_t(2 * pairs), 1, 1}, {32, 1, 1})) return std::move(b.out_);
  uint64_t want = 0, got = 0;
  for (int p = 0; p < pairs; ++p)
    for (int i = 0; i < each * 3; ++i) want += uint64_t(2 * p * 1000 + i);
  for (uint32_t v : b.fetch<uint32_t>(py, size_t(pairs))) got += v;
  if (got != want) b.out_.wrong = true;
  return std::move(b.out_);
}

Outcome grid_barrier_case(std::string_view ptx, const LaunchOptions& o) {
  const int n = pick(o, {250, 64, 200}), sweeps = pick(o, {3, 4, 1, 2});
  Bench b(ptx, o);
  auto a = numbers(size_t(n), 9);
  uint64_t pa = b.buffer(a), pb = b.empty<int>(a.size()), pc = b.buffer(std::vector<uint32_t>(1));
  b.param(pa), b.param(pb), b.param(pc), b.param(n), b.param(sweeps);
  if (!b.launch("grid_barrier", {uint32_t(n + 63) / 64, 1, 1}, {64, 1, 1}))
    return std::move(b.out_);
  std::vector<int> before(a);
  for (int s = 0; s < sweeps; ++s) {
    before = a;
    std::vector<int> next(a);
    for (size_t i = 0; i < a.size(); ++i)
      next[i] += (i ? a[i - 1] : 0) + (i + 1 < a.size() ? a[i + 1] : 0);
    a = next;
  }
  same(b, b.fetch<int>(sweeps % 2 ? pb : pa, a.size()), a);
  same(b, b.fetch<int>(sweeps % 2 ? pa : pb, a.size()), before);
  return std::move(b.out_);
}

}  // namespace

std::vector<KernelCase> synchronisation_cases() {
  return {{"split_k", "sm_80", split_k_case},
          {"stream_k", "sm_80", stream_k_case},
          {"named_barriers", "sm_80", named_barriers_case},
          {"pipeline", "sm_80", pipeline_case},
          {"cluster_reduce", "sm_90a", cluster_reduce_case},
          {"tma_epilogue", "sm_90a", tma_epilogue_case},
          {"tokens", "sm_90", tokens_case},
          {"softmax2", "sm_80", softmax2_case},
          {"queue", "sm_80", queue_case},
          {"grid_barrier", "sm_80", grid_barrier_case}};
}

}  // namespace tess::ptxsim
