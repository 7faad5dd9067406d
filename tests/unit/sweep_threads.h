// Work over all f32 codes for every core, with a line of progress where a person looks on.
#pragma once
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace tess::sweep {

inline void show_progress(const std::string& text) {
  if (!isatty(STDERR_FILENO)) return;
  fmt::print(stderr, "\r\033[K{}", text);
  std::fflush(stderr);
}

inline constexpr uint32_t kBlock = 1 << 20;

// Calls work(first code, worker) for each block of kBlock codes; `workers` of them at a time.
template <class Work>
void each_block(unsigned workers, Work work) {
  std::atomic<uint32_t> next = 0;
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < workers; ++w)
    threads.emplace_back([&, w] {
      for (uint32_t block; (block = next++) < (uint64_t{1} << 32) / kBlock;)
        work(block * kBlock, w);
    });
  for (std::thread& thread : threads) thread.join();
}
inline unsigned worker_count() { return std::max(1u, std::thread::hardware_concurrency()); }

}  // namespace tess::sweep
