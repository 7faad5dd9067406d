// The reader of cubins against what ptxas makes of one PTX instruction each, and ptxas's own
// account.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

#include "isa/diag/jit.h"
#include "jit/cubin/ptxas.h"
#include "jit/cubin/sass.h"
#include "tests/unit/ptxas_there.h"

using namespace tess;
using namespace tess::jit;

namespace {

// A kernel that reads and writes registers of all classes around `body`.
std::string kernel(int arch, const std::string& body) {
  return fmt::format(R"(.version 8.5
.target {}
.address_size 64
.extern .shared .align 1024 .b8 sm[];
.visible .entry k(.param .u64 p, .param .u64 q)
.maxntid 128,1,1
.minnctapersm 1
{{ .reg .b32 %r<99>; .reg .b64 %d<99>; .reg .f32 %f<99>; .reg .f64 %g<40>; .reg .b16 %h<99>; .reg .pred %p<9>;
ld.param.u64 %d1,[p]; ld.param.u64 %d2,[q]; cvta.to.global.u64 %d1,%d1; mov.u32 %r1,sm; mov.u32 %r50,%tid.x;
mad.lo.u32 %r1,%r50,16,%r1; mul.wide.u32 %d3,%r50,16; add.s64 %d1,%d1,%d3;
ld.volatile.global.v4.u32 {{%r2,%r3,%r4,%r5}},[%d1]; ld.volatile.global.v4.f32 {{%f2,%f3,%f4,%f5}},[%d1+4096];
ld.volatile.global.v2.f64 {{%g2,%g3}},[%d1+8192]; ld.volatile.global.u16 %h2,[%d1]; ld.volatile.global.v2.u64 {{%d4,%d5}},[%d1];
{}
st.volatile.global.v4.u32 [%d1],{{%r2,%r3,%r4,%r5}}; st.volatile.global.v4.f32 [%d1],{{%f2,%f3,%f4,%f5}};
st.volatile.global.v2.f64 [%d1],{{%g2,%g3}}; st.volatile.global.u16 [%d1],%h2; st.volatile.global.v2.u64 [%d1],{{%d4,%d5}};ret; }}
)",
                     arch == 901 ? "sm_90a" : fmt::format("sm_{}", arch), body);
}

SassKernel assembled(const std::string& ptx, int arch, KernelUse* use = nullptr) {
  auto r = assemble_ptx(ptx, {.path = test::ptxas_path(), .arch = arch});
  REQUIRE_MESSAGE(r, r.error().message);
  REQUIRE(r->kernels.size() == 1);
  if (use) *use = r->kernels[0];
  auto k = read_cubin(r->cubin);
  REQUIRE_MESSAGE(k, k.error().message);
  REQUIRE(k->size() == 1);
  return (*k)[0];
}

struct Observation {
  int arch;
  std::string_view body, name;
  int bytes = -1;
};
constexpr Observation kObserved[] = {
    {80, "cp.async.ca.shared.global [%r1],[%d1],4;", "LDGSTS", 4},
    {80, "cp.async.ca.shared.global [%r1],[%d1],8;", "LDGSTS", 8},
    {80, "cp.async.cg.shared.global [%r1],[%d1],16;", "LDGSTS", 16},
    {80, "cp.async.commit_group; cp.async.wait_group 0;", "LDGDEPBAR"},
    {80, "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2},[%r1];", "LDSM", 1},
    {80, "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r2,%r3,%r4,%r5},[%r1];", "LDSM", 4},
    {80, "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r2,%r3},[%r1];", "LDSM", 2},
    {901, "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%r1],{%r2,%r3,%r4,%r5};", "STSM", 4},
    {80, "ld.volatile.shared.v4.u32 {%r2,%r3,%r4,%r5},[%r1];", "LDS", 16},
    {80, "st.volatile.shared.v2.u32 [%r1],{%r2,%r3};", "STS", 8},
    {80, "ld.volatile.global.u8 %r2,[%d1];", "LDG", 1},
    {80, "ld.volatile.global.u32 %r2,[%d1+64];", "LDG", 4},
    {80, "st.volatile.global.u32 [%d1+64],%r2;", "STG", 4},
    {80,
     "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
     "{%f2,%f3,%f4,%f5},{%r2,%r3,%r4,%r5},{%r2,%r3},{%f2,%f3,%f4,%f5};",
     "HMMA"},
    {80,
     "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
     "{%r2,%r3,%r4,%r5},{%r2,%r3,%r4,%r5},{%r2,%r3},{%r2,%r3,%r4,%r5};",
     "IMMA"},
    {80, "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%g2,%g3},{%g2},{%g3},{%g2,%g3};",
     "DMMA"},
    {80, "lop3.b32 %r2,%r3,%r4,%r5,0xe8;", "LOP3"},
    {80, "prmt.b32 %r2,%r3,%r4,%r5;", "PRMT"},
    {80, "fma.rn.f16x2 %r2,%r3,%r4,%r5;", "HFMA2_MMA"},
    {80, "fma.rn.bf16x2 %r2,%r3,%r4,%r5;", "HFMA2"},
    {80, "add.rn.f16x2 %r2,%r3,%r4;", "HADD2"},
    {80, "mul.rn.f16x2 %r2,%r3,%r4;", "HMUL2"},
    {80, "max.f16x2 %r2,%r3,%r4;", "HMNMX2"},
    {80, "add.rn.f32 %f2,%f3,%f4;", "FADD"},
    {80, "mul.rn.f32 %f2,%f3,%f4;", "FMUL"},
    {80, "fma.rn.f32 %f2,%f3,%f4,%f5;", "FFMA"},
    {80, "max.f32 %f2,%f3,%f4;", "FMNMX"},
    {80, "add.u32 %r2,%r3,%r4;", "IADD3"},
    {80, "mad.lo.u32 %r2,%r3,%r4,%r5;", "IMAD"},
    {80, "mul.wide.u32 %d4,%r3,%r4;", "IMAD_WIDE"},
    {80, "mul.hi.u32 %r2,%r3,%r4;", "IMAD_HI"},
    {80, "dp4a.s32.s32 %r2,%r3,%r4,%r5;", "IDP"},
    {80, "shf.l.wrap.b32 %r2,%r3,%r4,%r5;", "SHF"},
    {80, "bfe.u32 %r2,%r3,4,4;", "SGXT"},
    {80, "min.s32 %r2,%r3,%r4;", "IMNMX"},
    {901, "min.s32 %r2,%r3,%r4;", "VIMNMX"},
    {80, "abs.s32 %r2,%r3;", "IABS"},
    {80, "popc.b32 %r2,%r3;", "POPC"},
    {80, "clz.b32 %r2,%r3;", "FLO"},
    {80, "setp.lt.s32 %p1,%r3,%r4; selp.b32 %r2,%r4,%r5,%p1;", "ISETP"},
    {80, "setp.lt.s32 %p1,%r3,%r4; selp.b32 %r2,%r4,%r5,%p1;", "SEL"},
    {80, "setp.lt.f32 %p1,%f3,%f4; selp.f32 %f2,%f4,%f5,%p1;", "FSETP"},
    {80, "setp.lt.f32 %p1,%f3,%f4; selp.f32 %f2,%f4,%f5,%p1;", "FSEL"},
    {80, "cvt.rn.f16x2.f32 %r2,%f3,%f4;", "F2FP"},
    {80, "cvt.rn.f32.s32 %f2,%r3;", "I2F"},
    {901, "cvt.rn.f32.s32 %f2,%r3;", "I2FP"},
    {80, "cvt.rzi.s32.f32 %r2,%f3;", "F2I"},
    {80, "cvt.rni.f32.f32 %f2,%f3;", "FRND"},
    {80, "cvt.f64.f32 %g2,%f3;", "F2F_64"},
    {80, "ex2.approx.ftz.f32 %f2,%f3;", "MUFU"},
    {80, "add.rn.f64 %g2,%g3,%g2;", "DADD"},
    {80, "mul.rn.f64 %g2,%g3,%g2;", "DMUL"},
    {80, "fma.rn.f64 %g2,%g3,%g2,%g2;", "DFMA"},
    {80, "shfl.sync.bfly.b32 %r2,%r3,1,31,-1;", "SHFL"},
    {80, "redux.sync.add.s32 %r2,%r3,-1;", "REDUX"},
    {80, "vote.sync.ballot.b32 %r2,%p1,-1;", "VOTE"},
    {80, "bar.sync 0;", "BAR"},
    {80, "atom.global.add.u32 %r2,[%d1],%r3;", "ATOMG"},
    {80, "atom.global.cas.b32 %r2,[%d1],%r3,%r4;", "ATOMG_CAS"},
    {80, "red.global.add.u32 [%d1],%r3;", "RED"},
    {80, "atom.shared.add.u32 %r2,[%r1],%r3;", "ATOMS"},
    {80, "fence.acq_rel.gpu;", "MEMBAR"},
    {80, "nanosleep.u32 100;", "NANOSLEEP"},
    {80, "mov.u64 %d4,%clock64;", "CS2R"},
    {901, "fence.proxy.async;", "FENCE"},
    {901, "mbarrier.init.shared.b64 [%r1],1;", "SYNCS_INIT"},
    {901, "mbarrier.arrive.expect_tx.shared::cta.b64 _,[%r1],%r3;", "SYNCS"},
    {901,
     "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
     "[%r1],[%d2,{%r3,%r4}],[%r5];",
     "UTMALDG"},
    {901, "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%d2,{%r3,%r4}],[%r5];",
     "UTMASTG"},
    {901,
     "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1],[%d1],%r3,[%r5];",
     "UBLKCP"},
    {901, "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;", "UTMACMDFLUSH"},
    {901, "setmaxnreg.dec.sync.aligned.u32 40;", "USETMAXREG"},
    {901,
     "wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 "
     "{%f2,%f3,%f4,%f5},%d4,%d5,1,1,1,0,0; wgmma.commit_group.sync.aligned; "
     "wgmma.wait_group.sync.aligned 0;",
     "HGMMA"},
    {901,
     "wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 "
     "{%r2,%r3,%r4,%r5},%d4,%d5,1; wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned "
     "0;",
     "IGMMA"},
    {901,
     "wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 "
     "{%f2,%f3,%f4,%f5},%d4,%d5,1,1,1; wgmma.commit_group.sync.aligned; "
     "wgmma.wait_group.sync.aligned 0;",
     "QGMMA"},
    {80,
     "{ .local .align 4 .b8 loc[512]; .reg .b64 l; mov.u64 l,loc; and.b32 %r9,%r2,124; cvt.u64.u32 "
     "%d9,%r9; add.s64 l,l,%d9; st.local.u32 [l],%r3; bar.sync 0; ld.local.u32 %r2,[l]; }",
     "LDL"},
    {80,
     "{ .local .align 4 .b8 loc[512]; .reg .b64 l; mov.u64 l,loc; and.b32 %r9,%r2,124; cvt.u64.u32 "
     "%d9,%r9; add.s64 l,l,%d9; st.local.u32 [l],%r3; bar.sync 0; ld.local.u32 %r2,[l]; }",
     "STL"},
};

}  // namespace

TEST_CASE("each PTX instruction is found in the machine code, and only where it is") {
  if (test::ptxas_path().empty()) return;
  std::map<int, SassKernel> without;
  for (int arch : {80, 901}) {
    without[arch] = assembled(kernel(arch, ""), arch);
    CHECK(without[arch].sm == (arch == 80 ? 80 : 90));
    CHECK(without[arch].entry == "k");
    CHECK(without[arch].loops.empty());
    CHECK(without[arch].count_bytes("LDG", 16) == 4);
    CHECK(without[arch].count_bytes("STG", 2) == 1);
    CHECK(without[arch].count(SassClass::local) == 0);
  }
  for (const Observation& o : kObserved) {
    CAPTURE(o.body);
    SassKernel k = assembled(kernel(o.arch, std::string(o.body)), o.arch);
    CHECK_MESSAGE(
        k.count_bytes(o.name, o.bytes) == without[o.arch].count_bytes(o.name, o.bytes) + 1,
        std::string(o.name) << "\n"
                            << sass_summary(k));
  }
}

TEST_CASE("loops are backward branches") {
  if (test::ptxas_path().empty()) return;
  // Two nested loops whose bodies hold 3 and 1 barriers; nothing can be unrolled.
  std::string body =
      "mov.u32 %r7,0; OUTER: bar.sync 0; mov.u32 %r8,0; INNER: bar.sync 0; bar.sync 0; bar.sync 0; "
      "add.u32 %r8,%r8,1; setp.lt.u32 %p2,%r8,%r3; .pragma \"nounroll\"; @%p2 bra INNER; "
      "add.u32 %r7,%r7,1; setp.lt.u32 %p1,%r7,%r2; @%p1 bra OUTER;";
  for (int arch : {80, 89, 90, 901}) {
    CAPTURE(arch);
    SassKernel k = assembled(kernel(arch, body), arch);
    std::vector<SassLoop> inner;
    for (const SassLoop& l : k.loops)
      if (l.innermost) inner.push_back(l);
    REQUIRE(inner.size() == 1);
    CHECK(k.count("BAR", inner[0].first, inner[0].last + 1) == 3);
    REQUIRE(k.loops.size() == 2);
    CHECK(k.count("BAR", k.loops[0].first, k.loops[0].last + 1) == 4);
    CHECK_FALSE(k.loops[0].innermost);
  }
}

TEST_CASE("what ptxas says of a kernel") {
  std::vector<KernelUse> uses = parse_ptxas_log(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'tess_a' for 'sm_90a'\n"
      "ptxas info    : Function properties for tess_a\n"
      "    1032 bytes stack frame, 24 bytes spill stores, 36 bytes spill loads\n"
      "ptxas info    : Used 168 registers, used 16 barriers, 1032 bytes cumulative stack size, "
      "49152 bytes smem, 400 bytes cmem[0]\n"
      "ptxas info    : Compile time = 27.229 ms\n"
      "ptxas info    : Compiling entry function 'b' for 'sm_90a'\n"
      "ptxas info    : Used 8 registers\n");
  REQUIRE(uses.size() == 2);
  CHECK(uses[0].entry == "tess_a");
  CHECK(uses[0].registers == 168);
  CHECK(uses[0].stack == 1032);
  CHECK(uses[0].spill_stores == 24);
  CHECK(uses[0].spill_loads == 36);
  CHECK(uses[0].shared == 49152);
  CHECK(uses[0].barriers == 16);
  CHECK(uses[1].entry == "b");
  CHECK(uses[1].registers == 8);
  CHECK(uses[1].spill_loads == 0);
  if (test::ptxas_path().empty()) return;
  KernelUse use;
  assembled(kernel(80, "bar.sync 0;"), 80, &use);
  CHECK(use.entry == "k");
  CHECK(use.registers >= 16);
  CHECK(use.registers <= 64);
  CHECK(use.barriers == 1);
  CHECK(use.spill_stores == 0);
}

TEST_CASE("what cannot be assembled or read has a code") {
  auto none = find_ptxas({"/nowhere/ptxas"});
  REQUIRE_FALSE(none);
  CHECK(none.error().code == diag::ptxas_missing);
  CHECK(none.error().message.find("/nowhere/ptxas") != std::string::npos);
  auto unstarted = assemble_ptx("", {.path = "/nowhere/ptxas"});
  REQUIRE_FALSE(unstarted);
  CHECK(diag_id(unstarted.error().code)[0] == 'E');
  for (std::string text : {std::string("hello"),
                           std::string("\x7f"
                                       "ELF\x02\x01"),
                           std::string(500, '\0')}) {
    auto r = read_cubin(text);
    REQUIRE_FALSE(r);
    CHECK(r.error().code == diag::cubin_malformed);
  }
  if (test::ptxas_path().empty()) return;
  auto wrong = assemble_ptx(kernel(80, "frobnicate;"), {.path = test::ptxas_path(), .arch = 80});
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == diag::ptxas_failed);
  CHECK(wrong.error().message.find("frobnicate") != std::string::npos);
  auto good = assemble_ptx(kernel(80, ""), {.path = test::ptxas_path(), .arch = 80});
  REQUIRE(good);
  // Every prefix and every damaged header is refused, or holds the whole kernel.
  auto whole = read_cubin(good->cubin);
  REQUIRE(whole);
  for (size_t n = 0; n < good->cubin.size(); n += 61) {
    auto r = read_cubin(std::string_view(good->cubin).substr(0, n));
    CHECK((!r || (*r)[0].code.size() == (*whole)[0].code.size()));
    if (n < good->cubin.size() / 2) CHECK_FALSE(r);
  }
  for (size_t n = 0; n < 64; ++n) {
    std::string damaged = good->cubin;
    damaged[n] = static_cast<char>(~damaged[n]);
    auto r = read_cubin(damaged);
    CHECK((!r || r->size() <= 1));
  }
}
