// What compiled kernels tell the host, by the simulator: faults of guard mode, what `print` shows,
// what an architecture lacks. Each case does nothing where no back end is there.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "isa/diag/jit.h"
#include "isa/diag/run.h"
#include "vm/api/tess.hpp"

using namespace tess;
using namespace tess::api;

namespace {

Kernel kernel_of(const char* text) {
  auto e = Engine::create();
  REQUIRE(e);
  auto m = e->load("test.vmasm", text, {});
  REQUIRE_MESSAGE(m, std::string(m.error().text()));
  auto k = m->kernel(nullptr);
  REQUIRE(k);
  return std::move(*k);
}
Tensor tensor(const char* source, const char* dtype, Shape shape) {
  auto t = Tensor::load(source, dtype, shape);
  REQUIRE(t);
  return std::move(*t);
}
tess_run_config on_simulator(const char* arch = "sm_90a") {
  tess_run_config config{};
  config.engine = "sim";
  config.jit = "nvptx";
  config.arch = arch;
  return config;
}
Run run_of(const Kernel& k, const tess_run_config& config) {
  auto r = k.run(config);
  REQUIRE_MESSAGE(r, std::string(r.error().text()));
  return std::move(*r);
}
bool nothing_compiles(const Error& e) {
  return e && std::string_view(e.code()) == diag_id(diag::nvptx_missing);
}

// Lines of what was shown, in order.
void note(const tess_shown* s, void* user) {
  std::string line = std::to_string(s->block[0]) + "," + std::to_string(s->block[1]) + "/" +
                     std::to_string(s->strand) + " " + s->name + " " + s->instruction_name + "@" +
                     std::to_string(s->line) + " " + tess_tensor_text(const_cast<tess_tensor*>(s->value));
  static_cast<std::vector<std::string>*>(user)->push_back(line);
}

}  // namespace

TEST_CASE("guard mode: the first fault carries its place, and the next launch is none the worse") {
  const char* text =
      "kernel k(n: i32, y: inout i32[3]) grid(3) warps(2)\n{\n    parallel {\n"
      "        warps 0..1 {\n            store n, y[block.x]\n        }\n"
      "        warps 1..2 {\n            if block.x == 2 {\n                assert n < 5\n"
      "            }\n        }\n    }\n    barrier\n}\n";
  Kernel k = kernel_of(text);
  tess_run_config config = on_simulator();
  config.guard = 1;
  Tensor y = tensor("zeros", "i32", {3});
  for (int64_t n : {7, 4}) {
    Run run = run_of(k, config);
    CHECK_FALSE(run.set("n", n));
    CHECK_FALSE(run.set("y", y));
    CHECK_FALSE(run.start());
    Error e = run.wait();
    if (nothing_compiles(e)) return;
    if (n < 5) {
      CHECK_FALSE(e);
      for (int i = 0; i < 3; ++i) CHECK(y.value(i) == 4);
      continue;
    }
    REQUIRE(e);
    CHECK(e.kind() == TESS_ERROR_TRAP);
    CHECK(e.code() == diag_id(diag::run_assert));
    tess_trap t = e.trap();
    CHECK(std::string(t.kernel) == "k");
    CHECK(t.block[0] == 2);
    CHECK(t.strand == 2);
    CHECK(t.instruction > 0);
    CHECK(std::string(t.file) == "test.vmasm");
    CHECK(t.line == 9);
    CHECK(t.col == 17);
    for (int i = 0; i < 3; ++i) CHECK(y.value(i) == 0);  // nothing comes back from a fault
  }
}

TEST_CASE("guard mode: loops and waits that do not end run out of fuel, and barriers meet") {
  // The first strand waits for an arrival that never comes; both then meet at the end of `parallel`.
  const char* waits =
      "kernel k(y: out i32[1]) grid(1) warps(2)\n{\n    %b = mbar[1] count(1)\n    parallel {\n"
      "        warps 0..1 {\n            mbar.wait %b[0]\n        }\n        warps 1..2 {\n"
      "            if block.x > 0 {\n                mbar.arrive %b[0]\n            }\n        }\n"
      "    }\n    store 1, y[0]\n}\n";
  const char* loops =
      "kernel k(y: out i32[1]) grid(1) warps(2)\n{\n    %i = 0\n    while %i >= 0 {\n"
      "        %i = and (%i + 1), 1023\n        barrier\n    }\n    store %i, y[0]\n}\n";
  struct {
    const char* text;
    Diag code;
    uint32_t line;
    uint64_t steps;
  } cases[] = {{waits, diag::run_deadlock, 6, 0}, {loops, diag::run_step_limit, 4, 1u << 14}};
  for (const auto& c : cases) {
    Kernel k = kernel_of(c.text);
    tess_run_config config = on_simulator();
    config.guard = 1;
    config.limit_steps = c.steps;
    Run run = run_of(k, config);
    CHECK_FALSE(run.set("y", tensor("zeros", "i32", {1})));
    CHECK_FALSE(run.start());
    Error e = run.wait();
    if (nothing_compiles(e)) return;
    REQUIRE(e);
    CHECK(e.code() == diag_id(c.code));
    CHECK(e.trap().line == c.line);
  }
}

TEST_CASE("print shows the same on the simulator as on the interpreter") {
  const char* text =
      "kernel k(x: in f16[5,6]) grid(2, 2) warps(2)\n{\n    %x = load x[:, :]\n    print %x\n"
      "    %y = cast %x : e2m3\n    print %y\n    print 2.5\n    %n = block.x + 2 * block.y\n"
      "    if %n > 1 {\n        print %n\n        print (lt %x, 11)\n    }\n"
      "    %i = cast (iota : i32[70]) : i7\n    print %i\n    print (cast %n : f64)\n}\n";
  Kernel k = kernel_of(text);
  std::vector<std::string> shown[4];
  for (int i = 0; i < 4; ++i) {
    const char* archs[] = {"", "sm_80", "sm_89", "sm_90a"};
    tess_run_config config{};
    if (i) config = on_simulator(archs[i]);
    config.on_print = note;
    config.user = &shown[i];
    Run run = run_of(k, config);
    CHECK_FALSE(run.set("x", tensor("iota", "f16", {5, 6})));
    CHECK_FALSE(run.start());
    Error e = run.wait();
    if (nothing_compiles(e)) return;
    REQUIRE_MESSAGE(!e, std::string(e.text()));
    if (i) CHECK(shown[i] == shown[0]);
  }
  CHECK(shown[0].size() == 4 * 5 + 2 * 2);
}

TEST_CASE("what is printed beyond the room for it is dropped with a warning") {
  Kernel k = kernel_of(
      "kernel k() grid(40) warps(1)\n{\n    %x = iota : i32[1024]\n    for %i in 0..30 {\n"
      "        print %x\n    }\n}\n");
  std::vector<std::string> shown;
  tess_run_config config = on_simulator();
  config.sim_no_checks = 1;
  config.on_print = [](const tess_shown*, void* user) {
    static_cast<std::vector<std::string>*>(user)->emplace_back();
  };
  config.user = &shown;
  Run run = run_of(k, config);
  CHECK_FALSE(run.start());
  Error e = run.wait();
  if (nothing_compiles(e)) return;
  REQUIRE_MESSAGE(!e, std::string(e.text()));
  CHECK(shown.size() > 1000);
  CHECK(shown.size() < 1200);
  Error warnings = run.warnings();
  REQUIRE(warnings);
  CHECK(warnings.code() == diag_id(diag::prints_dropped));
}

TEST_CASE("what an architecture lacks is refused before anything runs") {
  Kernel k = kernel_of("kernel k() grid(2) warps(1) cluster(2)\n{\n    cluster.sync\n}\n");
  for (const char* arch : {"sm_80", "sm_89", "sm_90a"}) {
    Run run = run_of(k, on_simulator(arch));
    CHECK_FALSE(run.start());
    Error e = run.wait();
    if (nothing_compiles(e)) return;
    if (std::string_view(arch) == "sm_90a") {
      CHECK_FALSE(e);
      continue;
    }
    REQUIRE(e);
    CHECK(e.code() == diag_id(diag::arch_lacks));
  }
}
