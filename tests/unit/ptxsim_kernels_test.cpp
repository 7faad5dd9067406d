// The hand-written kernels: right, and without any report, under every asynchrony mode and eight
// seeds.
#include <doctest/doctest.h>

#include "tests/ptxsim/kernel_cases.h"

using namespace tess;
using namespace tess::ptxsim;

TEST_CASE("kernels are right and clean in every mode and under eight seeds") {
  for (const KernelCase& k : kernel_cases()) {
    PtxSource ptx = kernel_ptx(k.name, k.arch);
    MESSAGE(std::string(k.name) << " from " << ptx.from);
    CAPTURE(k.name);
    for (AsyncMode mode : {AsyncMode::eager, AsyncMode::lazy, AsyncMode::random})
      for (uint64_t seed = 0; seed < 8; ++seed) {
        LaunchOptions o;
        o.async = mode;
        o.seed = seed;
        o.shuffle_warps = seed != 0;
        o.max_steps = 20'000'000;
        Outcome r = k.run(ptx.text, o);
        CAPTURE(int(mode));
        CAPTURE(seed);
        CAPTURE(r.error);
        REQUIRE(r.loaded);
        CHECK(r.error.empty());
        for (const Finding& f : r.findings) FAIL_CHECK(render_finding(f));
        REQUIRE_FALSE(r.wrong);
      }
  }
}

TEST_CASE("long: a GEMM of 1024 cubed takes less than two seconds without checkers") {
  LaunchOptions o;
  o.check_races = o.check_init = o.check_async = o.stats = false;
  Outcome r = run_gemm(kernel_ptx("gemm", "sm_80").text, o, 1024, 1024, 1024, false);
  CHECK(r.clean());
  MESSAGE("1024 cubed: " << r.seconds << " s");
  LaunchOptions all;
  all.threads = 1;
  Outcome c = run_gemm(kernel_ptx("gemm", "sm_80").text, all, 256, 256, 256, true);
  CHECK(c.clean());
  MESSAGE("all checkers: " << double(c.stats.lane_instructions) / c.seconds / 1e6
                           << " M lane instructions per second");
}
