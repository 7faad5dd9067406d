// The library entry behind `tess sim`, each checker on a kernel that breaks its rule, limits,
// hostile text.
#include <doctest/doctest.h>

#include <atomic>
#include <fstream>
#include <iterator>

#include "jit/ptxsim/sim_tool.h"
#include "tests/ptxsim/kernel_cases.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

std::string kernel(const std::string& body, const std::string& globals = "") {
  return ".version 8.6\n.target sm_90a\n.address_size 64\n" + globals +
         "\n.visible .entry k(.param .u64 p) {\n.reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .b64 "
         "%rd<16>;\n.reg .b64 %rd20;\n.reg .f32 %f<8>;\n"
         "ld.param.u64 %rd0, [p];\nmov.u32 %r0, %tid.x;\nmul.wide.u32 %rd1, %r0, 4;\nadd.s64 %rd2, "
         "%rd0, %rd1;\n" +
         body + "\nret;\n}\n";
}

SimToolOptions options(std::string ptx) {
  SimToolOptions o;
  o.ptx = std::move(ptx);
  o.file = "k.ptx";
  o.params = {"buf:4096=iota"};
  o.block = {64, 1, 1};
  o.max_steps = 200000;
  return o;
}

// The codes that a body provokes, as text; "clean" if none.
std::string verdict(const SimToolOptions& o) {
  auto r = sim_main(o);
  if (!r) return diag_id(r.error().code);
  if (r->clean) return "clean";
  size_t at = r->output.find("] "), start = r->output.find(": [");
  for (start = r->output.find('['); start != std::string::npos;
       start = r->output.find('[', start + 1)) {
    std::string id = r->output.substr(start + 1, 5);
    if ((id[0] == 'T' || id[0] == 'L' || id[0] == 'W' || id[0] == 'E') && isdigit(id[1])) return id;
  }
  (void)at;
  return r->output;
}
std::string verdict(const std::string& body, const std::string& globals = "") {
  return verdict(options(kernel(body, globals)));
}

const char* kShared = ".shared .align 128 .b8 tile[4096];\n.shared .align 8 .b64 bar;";

}  // namespace

TEST_CASE("every checker reports what breaks its rule, and nothing else") {
  CHECK(verdict("ld.global.u32 %r1, [%rd2];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%rd2], %r1;") ==
        "clean");
  CHECK(verdict("st.global.u32 [%rd2+4096], %r0;") == "T1020");
  CHECK(verdict("ld.global.u32 %r1, [%rd2+-8];") == "T1020");
  CHECK(verdict("st.shared.u32 [tile+4096000], %r0;", kShared) == "T1020");
  CHECK(verdict("st.shared.u32 [12], %r0;") == "T1020");
  CHECK(verdict("ld.global.v2.u32 {%r1, %r2}, [%rd0+4];") == "T1021");
  CHECK(verdict("st.global.u32 [%rd0], %r5;") == "T1024");
  CHECK(verdict("ld.shared.u32 %r1, [tile];\nst.global.u32 [%rd2], %r1;", kShared) == "T1024");
  CHECK(verdict("st.global.u32 [table], %r0;", ".const .align 4 .b32 table[2] = {1, 2};") ==
        "T1022");
  // Every thread writes its word and reads its neighbour's: a race without, clean with the barrier.
  std::string write =
                  "mov.u32 %r3, tile;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r5, %r3, %r4;\nst.shared.u32 "
                  "[%r5], %r0;\n",
              read =
                  "xor.b32 %r6, %r4, 4;\nadd.u32 %r6, %r6, %r3;\nld.shared.u32 %r7, "
                  "[%r6];\nst.global.u32 [%rd2], %r7;";
  CHECK(verdict(write + read, kShared) == "T1026");
  CHECK(verdict(write + "bar.sync 0;\n" + read, kShared) == "clean");
  CHECK(verdict(write + "bar.warp.sync -1;\n" + read, kShared) == "clean");
  // Over the whole block a warp barrier is not enough.
  std::string far =
      "xor.b32 %r6, %r4, 128;\nadd.u32 %r6, %r6, %r3;\nld.shared.u32 %r7, [%r6];\nst.global.u32 "
      "[%rd2], %r7;";
  auto torn = sim_main(options(kernel(write + "bar.warp.sync -1;\n" + far, kShared)));
  REQUIRE(bool(torn));
  CHECK(torn->output.find("[T1026]") != std::string::npos);
  CHECK(verdict(write + "bar.sync 0;\n" + far, kShared) == "clean");
  // Half-words of one word by two threads are no race; the same byte is.
  CHECK(verdict(
            "mul.wide.u32 %rd3, %r0, 2;\nadd.s64 %rd3, %rd3, %rd0;\nst.global.u16 [%rd3], %r0;") ==
        "clean");
  CHECK(verdict("and.b32 %r1, %r0, 1;\ncvt.u64.u32 %rd3, %r1;\nadd.s64 %rd3, %rd3, "
                "%rd0;\nst.global.u8 [%rd3], %r0;") == "T1026");
  CHECK(verdict("red.global.add.u32 [%rd0], 1;") == "clean");
  CHECK(verdict("red.global.add.u32 [%rd0], 1;\nld.global.u32 %r1, [%rd0];") == "T1026");
  CHECK(verdict("setp.lt.u32 %p1, %r0, 32;\n@%p1 bar.sync 1, 64;") == "T1028");
  CHECK(verdict("setp.lt.u32 %p1, %r0, 16;\n@%p1 bar.sync 0;") == "T1030");
  CHECK(verdict("setp.lt.u32 %p1, %r0, 32;\n@%p1 bra A;\nbar.sync 1, 64;\nbra.uni B;\nA: bar.sync "
                "1, 96;\nB:") == "T1029");
  CHECK(verdict("bar.sync 1, 33;") == "T1029");
  CHECK(verdict("setp.lt.u32 %p1, %r0, 16;\n@%p1 shfl.sync.idx.b32 %r1, %r0, 0, 31, -1;") ==
        "T1031");
  CHECK(verdict("mbarrier.arrive.shared.b64 %rd3, [bar];", kShared) == "T1032");
  CHECK(verdict(
            "setp.ne.u32 %p1, %r0, 0;\n@!%p1 mbarrier.init.shared.b64 [bar], 1;\nbar.sync "
            "0;\nmbarrier.arrive.shared.b64 %rd3, [bar];\nmbarrier.arrive.shared.b64 %rd3, [bar];",
            kShared) == "clean");
  CHECK(verdict("setp.ne.u32 %p1, %r0, 0;\n@!%p1 mbarrier.init.shared.b64 [bar], 1;\n@!%p1 "
                "mbarrier.arrive.shared.b64 %rd3, [bar], 2;",
                kShared) == "T1032");
  CHECK(verdict("setp.ne.u32 %p1, %r0, 0;\n@!%p1 mbarrier.init.shared.b64 [bar], 2;\nbar.sync "
                "0;\nW: mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0;\n@!%p2 bra W;",
                kShared) == "T1028");
  std::string one = "setp.ne.u32 %p1, %r0, 0;\n@!%p1 mbarrier.init.shared.b64 [bar], 1;\n",
              expect = "@!%p1 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [bar], ",
              complete = "@!%p1 mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [bar], 16;\n";
  CHECK(verdict(one + expect + "16;\n" + complete, kShared) == "clean");
  CHECK(verdict(one + complete, kShared) == "T1045");
  CHECK(verdict(one + expect + "1048575;\n" + expect + "1;\n", kShared) == "T1045");
  CHECK(verdict("mov.u32 %r3, tile;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r5, %r3, "
                "%r4;\ncp.async.ca.shared.global [%r5], [%rd2], 4;",
                kShared) == "T1033");
  CHECK(verdict("mov.u32 %r3, tile;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r5, %r3, "
                "%r4;\ncp.async.ca.shared.global [%r5], [%rd2], "
                "4;\ncp.async.wait_all;\nld.shared.u32 %r6, [%r5];\nst.global.u32 [%rd2], %r6;",
                kShared) == "clean");
  CHECK(verdict("mov.u32 %r3, tile;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r5, %r3, "
                "%r4;\ncp.async.ca.shared.global [%r5], [%rd2], 4;\nld.shared.u32 %r6, "
                "[%r5];\ncp.async.wait_all;",
                kShared) == "T1026");
  CHECK(verdict("trap;") == "T1036");
  CHECK(verdict("mov.u32 %r1, 9;\nT: .branchtargets A, B;\nbrx.idx %r1, T;\nA:\nB:") == "T1037");
  CHECK(verdict("mov.u32 %r1, 0;\ndiv.u32 %r2, %r0, %r1;") == "W1041");
  CHECK(verdict("L: bra L;") == "L1009");
  CHECK(
      verdict("L: ld.volatile.global.u32 %r1, [%rd0+4];\nsetp.eq.u32 %p1, %r1, 1;\n@%p1 bra L;") ==
      "T1028");
  CHECK(verdict("mov.u64 %rd3, 0;\nwgmma.fence.sync.aligned;\nwgmma.wait_group.sync.aligned 0;") ==
        "clean");
}

TEST_CASE("a generic write before an async copy needs the proxy fence") {
  std::string write =
                  "setp.ne.u32 %p1, %r0, 0;\nmov.u32 %r3, tile;\nshl.b32 %r4, %r0, 2;\nadd.u32 "
                  "%r5, %r3, %r4;\nst.shared.u32 [%r5], %r0;\n",
              fence = "fence.proxy.async.shared::cta;\n", sync = "bar.sync 0;\n@%p1 bra E;\n",
              store =
                  "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r3], "
                  "256;\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nE:";
  CHECK(verdict(write + fence + sync + store, kShared) == "clean");
  CHECK(verdict(write + sync + fence + store, kShared) == "clean");
  CHECK(verdict(write + sync + store, kShared) == "T1027");
  CHECK(verdict(write + "fence.proxy.async.global;\n" + sync + store, kShared) == "T1027");
}

TEST_CASE("reports speak of the source line and show both accesses") {
  std::string ptx = kernel(
                        ".loc 1 7 3\nst.shared.u32 [tile], %r0;\n.loc 1 9 5\nld.shared.u32 %r1, "
                        "[tile+0];\nst.global.u32 [%rd2], %r1;",
                        kShared) +
                    ".file 1 \"mine.vmasm\"\n";
  auto r = sim_main(options(ptx));
  REQUIRE(bool(r));
  CHECK_FALSE(r->clean);
  CHECK(r->output.find("mine.vmasm:9:5") != std::string::npos);
  CHECK(r->output.find("mine.vmasm:7:3") != std::string::npos);
  SimToolOptions o = options(ptx);
  o.json = true;
  auto j = sim_main(o);
  REQUIRE(bool(j));
  CHECK(j->output.find("\"file\":\"mine.vmasm\",\"line\":9") != std::string::npos);
  CHECK(j->output.find("\"code\":\"T1026\"") != std::string::npos);
}

TEST_CASE("parameters, dumps and sweeps of the tool") {
  std::string ptx =
      kernel("ld.global.u32 %r1, [%rd2];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%rd2], %r1;");
  SimToolOptions o = options(ptx);
  o.dumps = {"0:u32:4"};
  o.runs = 5;
  o.stats = true;
  auto r = sim_main(o);
  REQUIRE(bool(r));
  CHECK(r->clean);
  CHECK(r->output.find("parameter 0: 1 2 3 4") != std::string::npos);
  CHECK(r->output.find("sectors") != std::string::npos);
  for (const char* wrong : {"buf:", "buf:-1", "buf:8=what", "buf:99999999999999999999",
                            "tmap:0,f16,8,8", "x", "file:none"}) {
    o.params = {wrong};
    CHECK_FALSE(bool(sim_main(o)));
  }
  o.params = {};
  CHECK_FALSE(bool(sim_main(o)));
  o.params = {"buf:64"};
  o.async = "never";
  CHECK_FALSE(bool(sim_main(o)));
}

// Lane 0 leaves the others behind at the branch and arrives first at the next shuffle: lanes that
// waited at one shuffle do not count as waiting at the next.
TEST_CASE("lanes meet at one warp collective after the other, whoever comes first") {
  CHECK(verdict("mov.u32 %r1, 0;\nsetp.eq.u32 %p1, %r0, 0;\nbra.uni LOOP;\n"
                "LAST: add.u32 %r1, %r1, 1;\nsetp.eq.u32 %p2, %r1, 5;\n@%p2 bra DONE;\n"
                "LOOP: @!%p1 bra MEET;\nadd.u32 %r2, %r1, 1;\n"
                "MEET: shfl.sync.idx.b32 %r3, %r0, 0, 31, -1;\n@%p1 bra FIRST;\nbra.uni LAST;\n"
                "FIRST: add.u32 %r2, %r1, 2;\nbra.uni LAST;\nDONE:") == "clean");
}

TEST_CASE("calls, recursion, local memory and printf") {
  std::ifstream f(std::string(TESS_SOURCE_ROOT) + "/tests/fuzz/corpus/ptx/calls.ptx");
  SimToolOptions o = options(std::string((std::istreambuf_iterator<char>(f)), {}));
  o.entry = "f";
  o.block = {1, 1, 1};
  o.params = {"buf:64=iota"};
  o.dumps = {"0:s32:2"};
  auto r = sim_main(o);
  REQUIRE(bool(r));
  CHECK(r->clean);
  // out[0] = o[o[3]] + fib(o[1]); then printf("hi %d %f") of out[0] and 1.5.
  CHECK(r->output.find("hi 4 1.500000") != std::string::npos);
  CHECK(r->output.find("parameter 0: 4 1\n") != std::string::npos);
}

TEST_CASE("limits and interruption end a run") {
  SimToolOptions o = options(kernel("L: bra L;"));
  std::atomic<bool> stop{true};
  o.interrupt = &stop;
  CHECK(verdict(o) == "L1010");
  SimToolOptions huge = options(kernel("st.global.u32 [%rd2], %r0;"));
  huge.grid = {0x7fffffff, 65535, 65535};
  huge.max_steps = 5000;
  CHECK(verdict(huge) != "clean");
  huge.grid = {0, 1, 1};
  CHECK(verdict(huge) == "E1006");
  huge.grid = {1, 1, 1};
  huge.block = {1025, 1, 1};
  CHECK(verdict(huge) == "E1006");
  huge.block = {32, 1, 1};
  huge.shared_bytes = 1 << 20;
  CHECK(verdict(huge) == "E1006");
}

TEST_CASE("errors of loading, launching and the driver have their codes") {
  auto load = [](const std::string& text) {
    Simulator s;
    auto r = s.load(text, "x.ptx");
    return r ? std::string("loaded") : diag_id(r.error().code);
  };
  CHECK(load(".version") == "E1000");
  CHECK(load(kernel("add.u32 %r1, %r2;")) == "E1003");
  CHECK(load(kernel("add.u32 %r1, %r2, %rd1;")) == "E1003");
  CHECK(load(kernel("", ".global .align 8 .b64 x[1] = {nothing};")) == "E1004");
  SimToolOptions o = options(kernel(""));
  o.entry = "nope";
  CHECK(verdict(o) == "E1005");
  o.entry = "";
  o.params = {"what"};
  CHECK(verdict(o) == "E1039");
  Simulator s;
  jit::Driver d = simulator_driver(s);
  auto released = d.table->release(d.self, 4711);
  REQUIRE_FALSE(bool(released));
  CHECK(diag_id(released.error().code) == "E1007");
  auto map = d.table->encode_tensor_map(d.self, {});
  REQUIRE_FALSE(bool(map));
  CHECK(diag_id(map.error().code) == "E1008");
}

TEST_CASE("descriptors, uniform operands, ended blocks, and registers in flight") {
  CHECK(verdict("setp.ne.u32 %p1, %r0, 0;\nfence.proxy.async;\n@%p1 bra E;\nmov.u32 %r3, tile;\n"
                "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r3], "
                "256;\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nE:",
                kShared) == "T1025");
  CHECK(verdict("and.b32 %r1, %r0, 1;\nbar.sync %r1, 64;") == "T1043");
  SimToolOptions o = options(
      kernel("mov.u32 %r3, tile;\nsetp.ne.u32 %p1, %r0, 0;\n@%p1 bra E;\n"
             "cp.async.bulk.tensor.1d.global.shared::cta.bulk_group [%rd0, {%r0}], [%r3];\nE:",
             kShared));
  o.params = {"buf:4096=zeros"};
  CHECK(verdict(o) == "T1035");
  SimToolOptions cluster = options(
      kernel("mov.u32 %r1, %cluster_ctarank;\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 bra E;\nmov.u32 %r3, "
             "tile;\nmapa.shared::cluster.u32 %r4, %r3, 0;\n"
             "nanosleep.u32 1000;\nnanosleep.u32 1000;\nst.shared::cluster.u32 [%r4], %r0;\nE:",
             kShared));
  cluster.grid = {2, 1, 1};
  cluster.cluster = {2, 1, 1};
  CHECK(verdict(cluster) == "T1042");
  // An accumulator is read between issue and wait; written after the fence; or there is no fence.
  auto wgmma = [](const std::string& before, const std::string& between) {
    SimToolOptions w = options(kernel(
        "mov.u32 %r3, tile;\nmov.u32 %r2, 0;\nshl.b32 %r4, %r0, 4;\nadd.u32 %r5, %r3, "
        "%r4;\nst.shared.v4.u32 [%r5], {%r2, %r2, %r2, %r2};\n"
        "st.shared.v4.u32 [%r5+2048], {%r2, %r2, %r2, %r2};\nfence.proxy.async;\nbar.sync "
        "0;\nmov.f32 %f0, 0f00000000;\nmov.f32 %f1, %f0;\nmov.f32 %f2, %f0;\nmov.f32 %f3, %f0;\n" +
            before +
            "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f0, %f1, %f2, %f3}, "
            "0x4000000000080040, 0x4000000000080040, 1, 1, 1, 0, 0;\n"
            "wgmma.commit_group.sync.aligned;\n" +
            between + "wgmma.wait_group.sync.aligned 0;\nst.global.f32 [%rd2], %f0;",
        ".shared .align 1024 .b8 tile[16384];"));
    w.block = {128, 1, 1};
    return verdict(w);
  };
  CHECK(wgmma("wgmma.fence.sync.aligned;\n", "") == "clean");
  CHECK(wgmma("wgmma.fence.sync.aligned;\n", "add.f32 %f4, %f0, %f1;\n") == "T1034");
  CHECK(wgmma("wgmma.fence.sync.aligned;\nmov.f32 %f1, 0f3F800000;\n", "") == "T1034");
  CHECK(wgmma("", "") == "T1034");
}

TEST_CASE("mbarrier counts, drops, transactions and states") {
  // One thread drives an object of four arrivals through its phases and stores what it sees.
  std::string s =
      "setp.ne.u32 %p1, %r0, 0;\n@%p1 bra E;\nmbarrier.init.shared.b64 [bar], 4;\n"
      "mbarrier.arrive.noComplete.shared.b64 %rd3, [bar], 2;\nmbarrier.pending_count.b64 %r1, "
      "%rd3;\nst.global.u32 [%rd0], %r1;\n"
      "mbarrier.arrive_drop.shared.b64 %rd4, [bar];\nmbarrier.pending_count.b64 %r1, "
      "%rd4;\nst.global.u32 [%rd0+4], %r1;\n"
      "mbarrier.test_wait.shared.b64 %p2, [bar], %rd3;\nselp.u32 %r2, 1, 0, %p2;\nst.global.u32 "
      "[%rd0+8], %r2;\n"
      "mbarrier.expect_tx.relaxed.cta.shared.b64 [bar], 64;\nmbarrier.arrive.shared.b64 %rd5, "
      "[bar];\n"
      "mbarrier.test_wait.shared.b64 %p2, [bar], %rd3;\nselp.u32 %r2, 1, 0, %p2;\nst.global.u32 "
      "[%rd0+12], %r2;\n"
      "mbarrier.complete_tx.relaxed.cta.shared.b64 [bar], 64;\n"
      "mbarrier.test_wait.shared.b64 %p2, [bar], %rd3;\nselp.u32 %r2, 1, 0, %p2;\nst.global.u32 "
      "[%rd0+16], %r2;\n"
      "mbarrier.test_wait.parity.shared.b64 %p2, [bar], 0;\nselp.u32 %r2, 1, 0, "
      "%p2;\nst.global.u32 [%rd0+20], %r2;\n"
      "mbarrier.test_wait.parity.shared.b64 %p2, [bar], 1;\nselp.u32 %r2, 1, 0, "
      "%p2;\nst.global.u32 [%rd0+24], %r2;\n"
      "mbarrier.arrive.shared.b64 %rd6, [bar];\nmbarrier.pending_count.b64 %r1, "
      "%rd6;\nst.global.u32 [%rd0+28], %r1;\nmbarrier.inval.shared.b64 [bar];\nE:";
  SimToolOptions o = options(kernel(s, kShared));
  o.dumps = {"0:u32:8"};
  auto r = sim_main(o);
  REQUIRE(bool(r));
  CHECK(r->clean);
  // Pending before each arrival; the drop leaves three for the next phase; bytes hold the phase
  // open.
  CHECK(r->output.find("parameter 0: 4 2 0 0 1 1 0 3\n") != std::string::npos);
  CHECK(verdict("setp.ne.u32 %p1, %r0, 0;\n@%p1 bra E;\nmbarrier.init.shared.b64 [bar], "
                "1;\nmbarrier.arrive.noComplete.shared.b64 %rd3, [bar], 1;\nE:",
                kShared) == "T1032");
  CHECK(verdict("setp.ne.u32 %p1, %r0, 0;\n@%p1 bra E;\nmbarrier.init.shared.b64 [bar], 0;\nE:",
                kShared) == "T1032");
}

TEST_CASE("hostile text ends with an error") {
  for (const char* text :
       {"", ".version", ".version 9.0\n.target sm_90\n.address_size 32",
        ".version 9.9\n.target sm_90", "{{{{{{",
        ".version 8.0 .entry k { .reg .b32 %r<4294967295>; }",
        ".version 8.0 .global .b8 a[99999999999];", ".version 8.0 .entry k { bra ; }",
        ".version 8.0 .entry k { @%p bra x; }",
        ".version 8.0 .entry k() { mov.u32 %r, ((((((((((((((((((((((((((((((((((((((((1)))))))); "
        "}",
        ".version 8.0 .entry k() { add.u32 {{{{{{{a}}}}}}}; }", ".version 8.0 .visible .func f",
        "\x01\x02\xff", ".version 8.0 .entry k() { call f; }",
        ".version 8.0 .entry k(.param .b8 p[99999]) { ret; }"}) {
    Simulator s;
    CAPTURE(text);
    CHECK_FALSE(bool(s.load(text, "x.ptx")));
  }
  // Truncations of a real kernel never crash.
  std::string ptx = kernel_ptx("multicast", "sm_90a").text;
  for (size_t n = 0; n < ptx.size(); n += 97) {
    Simulator s;
    auto r = s.load(ptx.substr(0, n), "x.ptx");
    if (r) continue;
    CHECK_FALSE(r.error().message.empty());
  }
}
