// The one parallel interface: jobs over threads. oneTBB behind it, or std::thread when built
// without (sanitizer builds).
#pragma once
#include <cstdint>
#include <functional>

namespace tess {

// How many threads a request for `wanted` gets: 0 means one per core.
uint32_t thread_count(uint32_t wanted);

// Calls job(0) .. job(threads-1) and returns when all have. At least one runs at any time; how many do
// at once is up to the system, so a job may wait only for what a job that has begun will do. `job` must
// not throw.
void run_parallel(uint32_t threads, const std::function<void(uint32_t worker)>& job);

}  // namespace tess
