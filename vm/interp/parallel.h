// The one parallel interface: jobs over threads. oneTBB behind it, or std::thread when built
// without (sanitizer builds).
#pragma once
#include <cstdint>
#include <functional>

namespace tess {

// How many threads a request for `wanted` gets: 0 means one per core.
uint32_t thread_count(uint32_t wanted);

// Calls job(0) .. job(threads-1), each on a thread of its own where the system gives that many, and
// returns when all have. A job may run after another has returned, so jobs must not wait for a job
// with a higher number. `job` must not throw.
void run_parallel(uint32_t threads, const std::function<void(uint32_t worker)>& job);

}  // namespace tess
