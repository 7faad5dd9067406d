// PTX as LLVM 19's NVPTX back end writes it (tests/ptxsim/llvm), with and without debug
// information: it loads, computes what the IR says, and findings name the source's lines.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>

#include "jit/ptxsim/sim_driver.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

std::string read(const std::string& name) {
  std::ifstream f(std::string(TESS_SOURCE_ROOT) + "/tests/ptxsim/llvm/" + name);
  return {std::istreambuf_iterator<char>(f), {}};
}

template <class T>
std::span<const std::byte> bytes(const T& v) {
  return std::as_bytes(std::span(&v, 1));
}

SimResult run(Simulator& sim, jit::ModuleId m, std::vector<std::span<const std::byte>> params,
              uint32_t threads) {
  jit::LaunchSpec l;
  l.module = m, l.entry = "k", l.block = {threads, 1, 1}, l.params = params;
  auto r = sim.run(l);
  REQUIRE_MESSAGE(bool(r), (r ? "" : r.error().message));
  return *r;
}

uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

}  // namespace

TEST_CASE("LLVM's PTX with line tables, DWARF sections, calls, printf and inline assembly") {
  for (const char* name : {"rows_debug.ptx", "rows_lines.ptx", "rows_O0.ptx"}) {
    CAPTURE(std::string(name));
    Simulator sim;
    auto m = sim.load(read(name), name);
    REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
    const int n = 40;
    uint64_t p = *sim.memory().allocate(n * 4, "rows", true);
    auto* row = reinterpret_cast<float*>(sim.memory().at(p)->data.get());
    for (int i = 0; i < n; ++i) row[i] = float(i) / 4;
    int32_t big[8] = {100, 200, 300, 400, 0, 0, 0, 0};
    SimResult r = run(sim, *m, {bytes(p), bytes(n), bytes(big)}, n);
    for (auto& f : r.findings) FAIL_CHECK(render_finding(f));
    for (int i = 0; i < n; ++i)
      CHECK(row[i] == float(i) / 2 + float(i + 7) + float(i % 4 + 1 + (i % 4 + 1) * 100));
    CHECK(r.output == "row 0: 108.000000\n");
    auto counter = sim.symbol(*m, "counter");
    REQUIRE(bool(counter));
    int32_t count = 0;
    std::memcpy(&count, sim.memory().at(counter->first)->data.get(), 4);
    CHECK(count == n);
    // One thread too many: the line of the source.
    int more = n + 1;
    SimResult bad = run(sim, *m, {bytes(p), bytes(more), bytes(big)}, 64);
    REQUIRE_FALSE(bad.findings.empty());
    CHECK(bad.findings[0].where.place.file.find("rows.vmasm") != std::string::npos);
    CHECK(bad.findings[0].where.place.line == 12);
  }
}

TEST_CASE("LLVM's PTX for plain code") {
  for (const char* name : {"math_O0.ptx", "math_O2.ptx"}) {
    CAPTURE(std::string(name));
    Simulator sim;
    auto m = sim.load(read(name), name);
    REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
    uint64_t in = *sim.memory().allocate(32 * 16, "in", true),
             out = *sim.memory().allocate(32 * 48, "out", true);
    auto* x = reinterpret_cast<uint32_t*>(sim.memory().at(in)->data.get());
    Random random{5};
    for (int i = 0; i < 128; ++i) x[i] = uint32_t(random.next()) >> (i % 9);
    SimResult r = run(sim, *m, {bytes(in), bytes(out)}, 32);
    for (auto& f : r.findings) FAIL_CHECK(render_finding(f));
    auto* y = reinterpret_cast<uint32_t*>(sim.memory().at(out)->data.get());
    for (uint32_t t = 0; t < 32; ++t) {
      const uint32_t *v = x + t * 4, *got = y + t * 12;
      uint32_t reversed = 0;
      for (int i = 0; i < 32; ++i) reversed |= (v[2] >> i & 1) << (31 - i);
      uint64_t sum = uint64_t(v[2]) + v[3];
      const uint32_t branch[] = {11, fib(9), t > 15 ? 21 : fib(7), uint32_t(int32_t(v[0]) / 7)};
      const uint32_t want[] = {uint32_t(std::popcount(v[0])),
                               uint32_t(std::countl_zero(v[1])),
                               reversed,
                               uint32_t(std::max(int32_t(v[3]), int32_t(v[0]))),
                               std::rotl(v[1], 7),
                               uint32_t(std::min<uint64_t>(sum, 0xffffffff)),
                               (v[0] & 7) * t,
                               branch[t % 4],
                               t * 3,
                               std::bit_cast<uint32_t>(std::sqrt(std::fma(float(t), 2.5f, 1.0f)))};
      for (size_t i = 0; i < std::size(want); ++i) {
        CAPTURE(t);
        CAPTURE(i);
        CHECK(got[i] == want[i]);
      }
    }
  }
}

TEST_CASE("a place in an inlined function is that of the call, the program's own line") {
  const std::string text = R"(.version 8.3
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p) {
.reg .b64 %d;
.reg .b32 %r;
ld.param.u64 %d, [p];
.loc 1 6 1
mov.u32 %r, 5;
.loc 2 41 9, function_name $L__info_string0, inlined_at 1 7 3
st.global.u32 [%d+64], %r;
ret;
}
.file 1 "outer.vmasm"
.file 2 "inner.vmasm", 1700000000, 512
.section .debug_str
{
$L__info_string0:
.b8 102
.b8 0
}
)";
  Simulator sim;
  auto m = sim.load(text, "inlined.ptx");
  REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
  uint64_t p = *sim.memory().allocate(64, "p", true);
  SimResult r = run(sim, *m, {bytes(p)}, 1);
  REQUIRE(r.findings.size() == 1);
  CHECK(r.findings[0].where.place.file == "outer.vmasm");
  CHECK(r.findings[0].where.place.line == 7);
  CHECK(r.findings[0].where.place.col == 3);
}

TEST_CASE("an alias is the function it names") {
  const std::string text = R"(.version 8.3
.target sm_80
.address_size 64
.func (.param .b32 r) five() { st.param.b32 [r], 5; ret; }
.func (.param .b32 r) other();
.visible .entry k(.param .u64 p) {
.reg .b64 %d;
.reg .b32 %r;
.param .b32 x;
ld.param.u64 %d, [p];
call (x), other, ();
ld.param.b32 %r, [x];
st.global.u32 [%d], %r;
ret;
}
.alias other, five;
)";
  Simulator sim;
  auto m = sim.load(text, "alias.ptx");
  REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
  uint64_t p = *sim.memory().allocate(64, "p", true);
  SimResult r = run(sim, *m, {bytes(p)}, 1);
  CHECK(r.findings.empty());
  CHECK(*sim.memory().at(p)->data.get() == 5);
  std::string missing = text;
  missing.replace(missing.find("other, five"), 11, "other, six_");
  auto bad = sim.load(missing, "alias.ptx");
  REQUIRE_FALSE(bool(bad));
  CHECK(diag_id(bad.error().code) == "E1000");
}
