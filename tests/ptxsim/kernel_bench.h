// A launch with its buffers, and the inputs that the kernel cases share.
#pragma once
#include <chrono>
#include <cmath>

#include "jit/ptxsim/softfloat.h"
#include "tests/ptxsim/kernel_cases.h"

namespace tess::ptxsim {

// A launch with its buffers.
class Bench {
 public:
  Bench(std::string_view ptx, const LaunchOptions& options) : driver_(simulator_driver(sim_)) {
    sim_.options = options;
    auto m = sim_.load(ptx, "kernel.ptx");
    if (!m) {
      out_.error = m.error().message;
      return;
    }
    module_ = *m;
    out_.loaded = true;
  }
  template <class T>
  uint64_t buffer(const std::vector<T>& data) {
    auto p = driver_.table->allocate(driver_.self, data.size() * sizeof(T));
    (void)!driver_.table->copy_in(driver_.self, *p, std::as_bytes(std::span(data)));
    return *p;
  }
  template <class T>
  uint64_t empty(size_t n) {
    return *driver_.table->allocate(driver_.self, n * sizeof(T));
  }
  template <class T>
  std::vector<T> fetch(uint64_t p, size_t n) {
    std::vector<T> v(n);
    (void)!driver_.table->copy_out(driver_.self, std::as_writable_bytes(std::span(v)), p);
    return v;
  }
  template <class T>
  void param(const T& v) {
    auto b = std::as_bytes(std::span(&v, 1));
    params_.emplace_back(b.begin(), b.end());
  }
  jit::TensorMap map(const jit::TensorMapSpec& s) {
    auto m = driver_.table->encode_tensor_map(driver_.self, s);
    if (!m) out_.error = m.error().message;
    return m ? *m : jit::TensorMap{};
  }
  bool launch(std::string_view entry, jit::Dim3 grid, jit::Dim3 block, uint32_t shared = 0) {
    if (!out_.loaded || !out_.error.empty()) return false;
    std::vector<std::span<const std::byte>> spans(params_.begin(), params_.end());
    jit::LaunchSpec s;
    s.module = module_;
    s.entry = entry;
    s.grid = grid, s.block = block, s.shared_bytes = shared, s.params = spans;
    auto start = std::chrono::steady_clock::now();
    auto r = sim_.run(s);
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!r) {
      out_.error = r.error().message;
      return false;
    }
    out_.findings = std::move(r->findings);
    out_.stats = std::move(r->stats);
    out_.steps = r->steps;
    return true;
  }
  // Written so that NaN counts as wrong.
  void near(double got, double want, double tolerance) {
    if (!(std::fabs(got - want) <= tolerance)) out_.wrong = true;
  }
  Outcome out_;

 private:
  Simulator sim_;
  jit::Driver driver_;
  jit::ModuleId module_{};
  std::vector<std::vector<std::byte>> params_;
};

inline std::vector<uint16_t> halves(size_t n, uint64_t seed, double scale = 1) {
  Random r{seed};
  std::vector<uint16_t> v(n);
  for (auto& x : v)
    x = uint16_t(float_to_half(float((double(r.below(2001)) - 1000) / 1000 * scale)));
  return v;
}
inline double half(uint16_t h) { return half_to_float(h); }

// Sizes change with the seed, so that every guard and every turn of a ring is exercised.
inline int pick(const LaunchOptions& o, std::initializer_list<int> values) {
  return values.begin()[o.seed % values.size()];
}

std::vector<KernelCase> synchronisation_cases();

}  // namespace tess::ptxsim
