#include "vm/interp/parallel.h"

#include <algorithm>
#include <thread>
#include <vector>

#ifdef TESS_TBB
#include <tbb/info.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

namespace tess {

uint32_t thread_count(uint32_t wanted) {
  constexpr uint32_t kMost = 256;
  if (wanted == 0) wanted = std::max(1u, std::thread::hardware_concurrency());
  return std::min(wanted, kMost);
}

void run_parallel(uint32_t threads, const std::function<void(uint32_t worker)>& job) {
  if (threads <= 1) {
    job(0);
    return;
  }
#ifdef TESS_TBB
  // More than there are cores would only make oneTBB complain; the jobs then take turns.
  tbb::task_arena arena(std::min(static_cast<int>(threads), tbb::info::default_concurrency()));
  arena.execute([&] {
    tbb::task_group group;
    for (uint32_t i = 1; i < threads; ++i) group.run([&job, i] { job(i); });
    job(0);
    group.wait();
  });
#else
  std::vector<std::thread> others;
  for (uint32_t i = 1; i < threads; ++i) others.emplace_back(job, i);
  job(0);
  for (std::thread& t : others) t.join();
#endif
}

}  // namespace tess
