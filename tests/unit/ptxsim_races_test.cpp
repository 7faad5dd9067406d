// No false report: random programs that are free of races by construction; and each made racy by
// removing one piece of synchronisation that it needs.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "jit/ptxsim/sim_tool.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

// Phases over a shared array of 128 words and its half-words; in each, every thread writes places
// of its own and the next phase reads others'. Between phases stands something that orders them.
struct RandomProgram {
  std::string text;
  std::string without;  // with one needed synchronisation left out
};

RandomProgram make_program(uint64_t seed) {
  Random r{seed * 7919 + 13};
  int threads = 128, phases = 2 + int(r.below(4)), drop = int(r.below(uint32_t(phases)));
  std::string s =
      ".version 8.6\n.target sm_90a\n.address_size 64\n.shared .align 128 .b8 tile[1024];\n.shared "
      ".align 8 .b64 bars[8];\n.visible .entry k(.param .u64 p) {\n"
      ".reg .pred %p<8>;\n.reg .b16 %h<4>;\n.reg .b32 %r<32>;\n.reg .b64 %rd<16>;\n"
      "ld.param.u64 %rd0, [p];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, tile;\nmov.u32 %r9, "
      "0;\nsetp.eq.u32 %p0, %r0, 0;\n";
  for (int i = 0; i < 8; ++i)
    s += fmt::format("@%p0 mbarrier.init.shared.b64 [bars+{}], 128;\n", 8 * i);
  s += "shl.b32 %r2, %r0, 2;\nadd.u32 %r3, %r1, %r2;\nst.shared.u32 [%r3], %r0;\nbar.sync 0;\n";
  std::string t = s;
  for (int i = 0; i < phases; ++i) {
    // Thread t of this phase owns word (t ^ mask); the masks differ so that owners change.
    uint32_t mask = r.below(128);
    if (i == drop) mask = 32 + r.below(96);
    std::string body =
        fmt::format("xor.b32 %r4, %r0, {};\nshl.b32 %r4, %r4, 2;\nadd.u32 %r5, %r1, %r4;\n", mask);
    switch (r.below(4)) {
      case 0:
        body += "ld.shared.u32 %r6, [%r5];\nadd.u32 %r9, %r9, %r6;\nst.shared.u32 [%r5], %r9;\n";
        break;
      case 1:
        body +=
            "ld.shared.u16 %h0, [%r5];\nst.shared.u16 [%r5+2], %h0;\nst.shared.u16 [%r5], %h0;\n";
        break;
      case 2:
        body +=
            "ld.shared.u8 %r6, [%r5+1];\nst.shared.u8 [%r5+3], %r6;\nst.shared.u8 [%r5+0], %r6;\n";
        break;
      default:
        body += "atom.shared.add.u32 %r6, [%r5], 3;\nadd.u32 %r9, %r9, %r6;\n";
        break;
    }
    std::string sync;
    switch (r.below(4)) {
      case 0:
        sync = "bar.sync 0;\n";
        break;
      case 1:
        sync = fmt::format("barrier.sync {};\n", 1 + r.below(15));
        break;
      case 2:
        sync = fmt::format(
            "{{ .reg .b64 st; mbarrier.arrive.shared.b64 st, [bars+{0}];\nW{1}: "
            "mbarrier.try_wait.shared.b64 %p1, [bars+{0}], st;\n@!%p1 bra W{1}; }}\n",
            8 * r.below(8), i);
        break;
      default:  // a flag in shared memory per thread pair would be long: a reducing barrier instead
        sync = "barrier.red.popc.u32 %r7, 0, %p0;\n";
        break;
    }
    s += body + sync;
    t += i == drop ? body : body + sync;
  }
  // Whoever comes last reads everything.
  std::string end =
      "xor.b32 %r4, %r0, 77;\nshl.b32 %r4, %r4, 2;\nadd.u32 %r5, %r1, %r4;\nld.shared.u32 %r6, "
      "[%r5];\nmul.wide.u32 %rd1, %r0, 4;\nadd.s64 %rd1, %rd1, %rd0;\nst.global.u32 [%rd1], "
      "%r6;\nret;\n}\n";
  (void)threads;
  return {s + end, t + end};
}

Result<SimToolResult> run(const std::string& ptx, AsyncMode, uint64_t seed) {
  SimToolOptions o;
  o.ptx = ptx;
  o.file = "random.ptx";
  o.block = {128, 1, 1};
  o.params = {"buf:512"};
  o.seed = seed;
  o.max_steps = 500000;
  return sim_main(o);
}

}  // namespace

TEST_CASE("two hundred random race-free programs are clean") {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    RandomProgram p = make_program(seed);
    auto r = run(p.text, AsyncMode::eager, seed % 5);
    REQUIRE_MESSAGE(bool(r), (r ? "" : r.error().message));
    CHECK_MESSAGE(r->clean, "seed " << seed << ": " << r->output);
  }
}

TEST_CASE("the same programs without one synchronisation are reported") {
  int reported = 0, equal = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    RandomProgram p = make_program(seed);
    auto r = run(p.without, AsyncMode::eager, seed % 5);
    REQUIRE(bool(r));
    // Two neighbouring phases may happen to use the same owners, or only atomics: no race then.
    r->clean ? ++equal : ++reported;
  }
  MESSAGE(reported << " of 100 reported, " << equal << " have no race left to find");
  CHECK(reported >= 85);
}

namespace {

// One block writes, another reads after a flag; `fence` patterns of release and acquire.
std::string message_passing(const std::string& publish, const std::string& observe) {
  return ".version 8.6\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 p) {\n.reg "
         ".pred %p<4>;\n.reg .b32 %r<8>;\n.reg .b64 %rd<4>;\n"
         "ld.param.u64 %rd0, [p];\nmov.u32 %r0, %ctaid.x;\nsetp.ne.u32 %p0, %r0, 0;\nmov.u32 %r1, "
         "1;\nmov.u32 %r2, 7;\n@%p0 bra READ;\n"
         "st.global.u32 [%rd0], %r2;\n" +
         publish + "\nret;\nREAD:\n" + observe + "\nsetp.eq.u32 %p1, %r3, 0;\n@%p1 bra READ;\n" +
         (observe.find("//after:") != std::string::npos
              ? observe.substr(observe.find("//after:") + 8)
              : "") +
         "\nld.global.u32 %r4, [%rd0];\nst.global.u32 [%rd0+128], %r4;\nret;\n}\n";
}

std::string pass(const std::string& publish, const std::string& observe) {
  SimToolOptions o;
  o.ptx = message_passing(publish, observe);
  o.file = "mp.ptx";
  o.grid = {2, 1, 1};
  o.block = {1, 1, 1};
  o.params = {"buf:256"};
  o.max_steps = 100000;
  auto r = sim_main(o);
  if (!r) return r.error().message;
  return r->clean ? "clean" : r->output.find("[T1026]") != std::string::npos ? "race" : r->output;
}

}  // namespace

TEST_CASE("message passing between blocks needs release and acquire of sufficient scope") {
  std::string st_rel = "st.release.gpu.global.u32 [%rd0+64], %r1;",
              ld_acq = "ld.acquire.gpu.global.u32 %r3, [%rd0+64];";
  CHECK(pass(st_rel, ld_acq) == "clean");
  CHECK(pass("red.release.gpu.global.add.u32 [%rd0+64], 1;", ld_acq) == "clean");
  CHECK(pass("st.release.sys.global.u32 [%rd0+64], %r1;",
             "ld.acquire.sys.global.u32 %r3, [%rd0+64];") == "clean");
  CHECK(pass("membar.gl;\nst.volatile.global.u32 [%rd0+64], %r1;",
             "ld.volatile.global.u32 %r3, [%rd0+64];\nmembar.gl;") == "clean");
  CHECK(pass("fence.acq_rel.gpu;\nst.relaxed.gpu.global.u32 [%rd0+64], %r1;",
             "ld.relaxed.gpu.global.u32 %r3, [%rd0+64];\nfence.acq_rel.gpu;") == "clean");
  CHECK(pass(st_rel, "ld.relaxed.gpu.global.u32 %r3, [%rd0+64];\nfence.acq_rel.gpu;") == "clean");
  CHECK(pass("membar.gl;\natom.global.exch.b32 %r5, [%rd0+64], 1;",
             "atom.global.or.b32 %r3, [%rd0+64], 0;\nmembar.gl;") == "clean");
  CHECK(pass("st.relaxed.gpu.global.u32 [%rd0+64], %r1;", ld_acq) == "race");
  CHECK(pass(st_rel, "ld.relaxed.gpu.global.u32 %r3, [%rd0+64];") == "race");
  CHECK(pass("st.release.cta.global.u32 [%rd0+64], %r1;", ld_acq) == "race");
  CHECK(pass(st_rel, "ld.acquire.cta.global.u32 %r3, [%rd0+64];") == "race");
  CHECK(pass("fence.acq_rel.cta;\nst.relaxed.gpu.global.u32 [%rd0+64], %r1;", ld_acq) == "race");
  CHECK(pass("st.volatile.global.u32 [%rd0+64], %r1;",
             "ld.volatile.global.u32 %r3, [%rd0+64];\nmembar.gl;") == "race");
  CHECK(pass("membar.gl;\nst.global.u32 [%rd0+64], %r1;",
             "ld.volatile.global.u32 %r3, [%rd0+64];\nmembar.gl;") == "race");
}
