#include "tests/ptxsim/kernel_cases.h"

#include "tests/ptxsim/kernel_bench.h"

namespace tess::ptxsim {
namespace {

Outcome gemm_case(std::string_view ptx, const LaunchOptions& o) {
  return run_gemm(ptx, o, pick(o, {100, 108, 116, 124, 64 + 33, 64 + 17, 65}), 128,
                  pick(o, {224, 32, 64, 96, 128}), true);
}

Outcome w4a16_case(std::string_view ptx, const LaunchOptions& o) {
  const int m = pick(o, {24, 20}), n = 128, k = pick(o, {192, 32, 64});
  Bench b(ptx, o);
  auto a = halves(size_t(m) * k, 3), scales = halves(size_t(k / 32) * n, 4);
  Random r{5};
  std::vector<uint32_t> words(size_t(n) * k / 8);
  for (auto& w : words) w = uint32_t(r.next());
  uint64_t pa = b.buffer(a), pb = b.buffer(words), ps = b.buffer(scales),
           pc = b.empty<uint16_t>(size_t(m) * n);
  b.param(pa), b.param(pb), b.param(ps), b.param(pc), b.param(m), b.param(n), b.param(k);
  if (!b.launch("w4a16", {uint32_t(n / 64), uint32_t((m + 15) / 16), 1}, {128, 1, 1}))
    return std::move(b.out_);
  auto c = b.fetch<uint16_t>(pc, size_t(m) * n);
  // Nibble of each of a lane's eight codes: positions k within 32.
  constexpr int kAt[8] = {0, 8, 16, 24, 1, 9, 17, 25};
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double s = 0, magnitude = 1;
      for (int step = 0; step < k / 32; ++step)
        for (int q = 0; q < 4; ++q) {
          uint32_t w = words[size_t(j) * (k / 8) + size_t(step * 4 + q)];
          for (int e = 0; e < 8; ++e) {
            double weight = half(uint16_t(float_to_half(
                float((int(w >> (4 * e) & 15) - 8) * half(scales[size_t(step) * n + size_t(j)])))));
            double p = half(a[size_t(i) * k + size_t(step * 32 + 2 * q + kAt[e])]) * weight;
            s += p, magnitude += std::fabs(p);
          }
        }
      b.near(half(c[size_t(i) * n + size_t(j)]), s, magnitude * 1e-3);
    }
  return std::move(b.out_);
}

Outcome rmsnorm_case(std::string_view ptx, const LaunchOptions& o) {
  const int rows = 3, n = pick(o, {2320, 8208, 2048, 10240, 1000});
  const float eps = 1e-5f;
  Bench b(ptx, o);
  auto x = halves(size_t(rows) * n, 7, 4), w = halves(size_t(n), 8);
  uint64_t px = b.buffer(x), pw = b.buffer(w), py = b.empty<uint16_t>(size_t(rows) * n);
  b.param(px), b.param(pw), b.param(py), b.param(n), b.param(eps);
  if (!b.launch("rmsnorm", {rows, 1, 1}, {256, 1, 1})) return std::move(b.out_);
  auto y = b.fetch<uint16_t>(py, size_t(rows) * n);
  for (int i = 0; i < rows; ++i) {
    double s = 0;
    for (int j = 0; j < n; ++j) s += half(x[size_t(i * n + j)]) * half(x[size_t(i * n + j)]);
    double scale = 1 / std::sqrt(s / n + eps);
    for (int j = 0; j < n; ++j) {
      double want = half(x[size_t(i * n + j)]) * scale * half(w[size_t(j)]);
      b.near(half(y[size_t(i * n + j)]), want, 1e-3 * std::fabs(want) + 1e-5);
    }
  }
  return std::move(b.out_);
}

Outcome softmax_case(std::string_view ptx, const LaunchOptions& o) {
  const int rows = 3, n = pick(o, {333, 1600, 384, 512, 1});
  Bench b(ptx, o);
  Random r{11};
  std::vector<float> x(size_t(rows) * n);
  for (auto& v : x) v = float(int(r.below(2001)) - 1000) / 100;
  uint64_t px = b.buffer(x), py = b.empty<float>(x.size());
  b.param(px), b.param(py), b.param(n);
  if (!b.launch("softmax", {rows, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  auto y = b.fetch<float>(py, x.size());
  for (int i = 0; i < rows; ++i) {
    double top = -1e30, s = 0;
    for (int j = 0; j < n; ++j) top = std::max(top, double(x[size_t(i * n + j)]));
    for (int j = 0; j < n; ++j) s += std::exp(x[size_t(i * n + j)] - top);
    for (int j = 0; j < n; ++j) {
      double want = std::exp(x[size_t(i * n + j)] - top) / s;
      b.near(y[size_t(i * n + j)], want, 2e-5 * want + 1e-9);
    }
  }
  return std::move(b.out_);
}

Outcome persistent_case(std::string_view ptx, const LaunchOptions& o) {
  const int tasks = 13;
  Bench b(ptx, o);
  uint64_t next = b.buffer(std::vector<uint32_t>(1)),
           flags = b.buffer(std::vector<uint32_t>(tasks)), rows = b.empty<uint32_t>(tasks * 128);
  b.param(next), b.param(flags), b.param(rows), b.param(tasks);
  if (!b.launch("persistent", {4, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  auto y = b.fetch<uint32_t>(rows, tasks * 128);
  uint32_t want = 1;
  for (uint32_t i = 0; i < uint32_t(tasks); ++i) {
    want = want * 3 + i;
    for (uint32_t t = 0; t < 128; ++t)
      if (y[i * 128 + t] != want) b.out_.wrong = true;
  }
  return std::move(b.out_);
}

Outcome spinlock_case(std::string_view ptx, const LaunchOptions& o) {
  const int rounds = pick(o, {3, 0, 1});
  Bench b(ptx, o);
  uint64_t lock = b.buffer(std::vector<int>(1)), counter = b.buffer(std::vector<int>(1));
  b.param(lock), b.param(counter), b.param(rounds);
  if (!b.launch("spinlock", {2, 1, 1}, {64, 1, 1})) return std::move(b.out_);
  if (b.fetch<int>(counter, 1)[0] != 2 * 64 * rounds || b.fetch<int>(lock, 1)[0] != 0)
    b.out_.wrong = true;
  return std::move(b.out_);
}

Outcome hopper_case(std::string_view ptx, const LaunchOptions& o) {
  const int m = 100, n = 128, k = pick(o, {448, 832, 64, 128, 192, 256, 640});
  Bench b(ptx, o);
  auto a = halves(size_t(m) * k, 21), w = halves(size_t(n) * k, 22);
  uint64_t pa = b.buffer(a), pb = b.buffer(w), pc = b.empty<uint16_t>(size_t(m) * n);
  auto map = [&](uint64_t p, int rows, int cols, jit::TensorSwizzle swizzle) {
    jit::TensorMapSpec s;
    s.type = jit::TensorType::f16;
    s.rank = 2;
    s.address = p;
    s.size[0] = uint64_t(cols), s.size[1] = uint64_t(rows);
    s.stride[0] = uint64_t(cols) * 2;
    s.box[0] = 64, s.box[1] = 64;
    s.swizzle = swizzle;
    return b.map(s);
  };
  b.param(map(pa, m, k, jit::TensorSwizzle::b128)),
      b.param(map(pb, n, k, jit::TensorSwizzle::b128)),
      b.param(map(pc, m, n, jit::TensorSwizzle::none));
  b.param(k);
  if (!b.launch("hopper_gemm", {uint32_t(n / 64), uint32_t((m + 63) / 64), 1}, {256, 1, 1},
                7 * 8192))
    return std::move(b.out_);
  auto c = b.fetch<uint16_t>(pc, size_t(m) * n);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double s = 0, magnitude = 1;
      for (int x = 0; x < k; ++x) {
        double p = half(a[size_t(i * k + x)]) * half(w[size_t(j * k + x)]);
        s += p, magnitude += std::fabs(p);
      }
      b.near(half(c[size_t(i * n + j)]), s, magnitude * 1e-3);
    }
  return std::move(b.out_);
}

Outcome multicast_case(std::string_view ptx, const LaunchOptions& o) {
  const int tiles = pick(o, {11, 1, 12, 2}), groups = 2;
  Bench b(ptx, o);
  Random r{31};
  std::vector<uint32_t> x(size_t(tiles) * 2048);
  for (auto& v : x) v = uint32_t(r.next());
  uint64_t px = b.buffer(x), py = b.empty<uint32_t>(groups);
  b.param(px), b.param(py), b.param(tiles);
  if (!b.launch("multicast", {2 * groups, 1, 1}, {128, 1, 1})) return std::move(b.out_);
  auto y = b.fetch<uint32_t>(py, groups);
  for (int g = 0; g < groups; ++g) {
    uint32_t s = 0;
    for (int i = g; i < tiles; i += groups)
      for (int j = 0; j < 2048; ++j) s += x[size_t(i * 2048 + j)] * x[size_t(i * 2048 + j)];
    if (y[size_t(g)] != s) b.out_.wrong = true;
  }
  return std::move(b.out_);
}

}  // namespace

Outcome run_gemm(std::string_view ptx, const LaunchOptions& o, int m, int n, int k, bool check) {
  Bench b(ptx, o);
  auto a = halves(size_t(m) * size_t(k), 1), w = halves(size_t(k) * size_t(n), 2);
  uint64_t pa = b.buffer(a), pb = b.buffer(w), pc = b.empty<uint16_t>(size_t(m) * size_t(n));
  b.param(pa), b.param(pb), b.param(pc), b.param(m), b.param(n), b.param(k);
  if (!b.launch("gemm", {uint32_t(n / 64), uint32_t((m + 63) / 64), 1}, {128, 1, 1}) || !check)
    return std::move(b.out_);
  auto c = b.fetch<uint16_t>(pc, size_t(m) * size_t(n));
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double s = 0, magnitude = 1;
      for (int x = 0; x < k; ++x) {
        double p =
            half(a[size_t(i) * size_t(k) + size_t(x)]) * half(w[size_t(x) * size_t(n) + size_t(j)]);
        s += p, magnitude += std::fabs(p);
      }
      b.near(half(c[size_t(i) * size_t(n) + size_t(j)]), s, magnitude * 1e-3);
    }
  return std::move(b.out_);
}

const std::vector<KernelCase>& kernel_cases() {
  static const std::vector<KernelCase> cases = [] {
    std::vector<KernelCase> all = {
        {"gemm", "sm_80", gemm_case},
        {"w4a16", "sm_80", w4a16_case},
        {"rmsnorm", "sm_80", rmsnorm_case},
        {"softmax", "sm_80", softmax_case},
        {"persistent", "sm_80", persistent_case},
        {"spinlock", "sm_80", spinlock_case},
        {"hopper_gemm", "sm_90a", hopper_case},
        {"multicast", "sm_90a", multicast_case},
    };
    for (const KernelCase& c : synchronisation_cases()) all.push_back(c);
    return all;
  }();
  return cases;
}

}  // namespace tess::ptxsim
