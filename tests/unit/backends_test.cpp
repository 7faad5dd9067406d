// Both back ends on hand-written kernels, in the simulator.
#include <doctest/doctest.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "isa/diag/jit.h"
#include "jit/cubin/sass.h"
#include "jit/cuda/cuda_print.h"
#include "jit/ptxsim/report.h"
#include "tests/unit/backends_harness.h"

using namespace tess;
using namespace tess::jit;

namespace {

// LLVM has no way back from a fatal error, so what it held is lost: no leak of ours.
struct Abandoned {
#ifdef __SANITIZE_ADDRESS__
  Abandoned() { __lsan_disable(); }
  ~Abandoned() { __lsan_enable(); }
#else
  Abandoned() {}
#endif
};

constexpr std::string_view kSaxpy =
    R"(block "saxpy" arch 80 threads 128 cluster 1 blocks 0 registers 0 shared 0 {
  file "saxpy.vmasm"
  param pointer b64 0 "x"
  param pointer b64 1 "y"
  param scalar b32 2 "n"
  param scalar f32 3 "a"
  var %i_20 b32
  ; 0:3:1 %x = load x[b]
  %x_0:b64 = param 0
  %y_1:b64 = param 1
  %n_2:b32 = param 2
  %a_3:f32 = param 3
  %4:b32 = tid
  %5:b32 = ctaid.x
  %6:b32 = shl %5, 9
  %7:b32 = add %6, %4
  ; 0:4:1 for %i in 0 to 4
  %i_20:b32 = mov 0
  loop 0
    %8:pred = slt %i_20, 4
    %9:pred = not %8
    break.if %9
    ; 0:5:1 store y[b], %z
    %10:b32 = shl %i_20, 7
    %11:b32 = add %7, %10
    %12:pred = slt %11, %n_2
    if %12
      %13:b64 = sext %11
      %14:b64 = shl %13, 2
      %15:b64 = add %x_0, %14
      %16:b64 = add %y_1, %14
      %17:f32 = ld.global.nc.f32 %15, 0
      %18:f32 = ld.global.f32 %16, 0
      %19:f32 = fma.rn.f32 %a_3, %17, %18
      st.global.f32 %16, 0, %19
    end
  latch
    %i_20:b32 = add %i_20, 1
  end
}
)";

}  // namespace

TEST_CASE("saxpy by hand through both back ends") {
  BlockKernel k = block_of(kSaxpy);
  std::vector<float> x(1000), y(1000), want(1000);
  for (int i = 0; i < 1000; ++i) x[i] = float(i), y[i] = float(3 * i), want[i] = 2.5f * x[i] + y[i];
  for (const Ptx& p : through_backends(k)) {
    CAPTURE(p.from);
    CAPTURE(p.code.image);
    Buffer bx = Buffer::of(x), by = Buffer::of(y);
    RunResult r = run_ptx(p.code, 2, 128, 0, {&bx, &by}, {scalar_bytes(1000), scalar_bytes(2.5f)});
    CHECK(r.problem == "");
    CHECK(by.as<float>() == want);
  }
}

TEST_CASE(
    "text for people: the tile program in it, plain loops, nothing of the user's that is code") {
  BlockKernel k = block_of(kSaxpy);
  std::string text = print_cuda(k);
  for (const char* part :
       {"// 3: %x = load x[b]", "// 4: for %i in 0 to 4", "#line 5 \"saxpy.vmasm\"",
        "for (i_20 = 0u; (i32)i_20 < (i32)4u; i_20 += 1u) {", "__launch_bounds__(128)",
        "tess_saxpy(u64 x_arg0, u64 y_arg1, u32 n_arg2, float a_arg3)", "fma_rn_f32(a_3, f17, f18)",
        "if (p12) {"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part << "\n" << text);
  // Names, notes and files that would be code if they were not tamed.
  k.name = "x\"; } __global__ void evil(";
  k.files[0] = "a\"\n#error b\\";
  for (TileNote& n : k.tiles) n.text = "ends the line \\\n#error */ \" %x = \xc3\xbc \\";
  k.names.assign(k.names.size(), "int return __x \"\n#error");
  k.names[0] = "";
  for (BlockParam& p : k.params) p.name = "while\n#error";
  for (RegInfo& r : k.regs) r.name = 1;
  if (k.names.size() < 2) k.names.push_back("for");
  CHECK(print_cuda(k).find("\n#error") == std::string::npos);
  std::vector<Ptx> all = through_backends(k);
  std::vector<float> x(128, 1), y(128, 2), want(128, 5);
  for (const Ptx& p : all) {
    CAPTURE(p.from);
    Buffer bx = Buffer::of(x), by = Buffer::of(y);
    CHECK(run_ptx(p.code, 1, 128, 0, {&bx, &by}, {scalar_bytes(128), scalar_bytes(3.f)}).problem ==
          "");
    CHECK(by.as<float>() == want);
  }
}

TEST_CASE("what goes wrong is said of the .vmasm line") {
  BlockKernel k = block_of(kSaxpy);
  for (const Ptx& p : through_backends(k)) {
    CAPTURE(p.from);
    Buffer bx = Buffer::of(std::vector<float>(8)), by = Buffer::of(std::vector<float>(8));
    RunResult r = run_ptx(p.code, 1, 128, 0, {&bx, &by}, {scalar_bytes(128), scalar_bytes(3.f)});
    REQUIRE_FALSE(r.findings.empty());
    CHECK(r.findings[0].where.place.file.find("saxpy.vmasm") != std::string::npos);
    CHECK(r.findings[0].where.place.line == 5);
  }
}

TEST_CASE("tensor maps, shared memory and clusters") {
  // Each block of a cluster of two copies its row of a tensor through shared memory.
  BlockKernel k =
      block_of(R"(block "rows" arch 901 threads 32 cluster 2 blocks 1 registers 0 shared 256 {
  param pointer b64 0 "out"
  param tensor_map b64 0 "map"
  %0:b64 = param 0
  %1:b64 = param.address 1
  %2:b32 = shared.address 128
  %3:b32 = shared.address 0
  %4:b32 = tid
  %5:b32 = ctaid.x
  %6:b32 = cluster.rank
  %7:pred = eq %4, 0
  if %7
    prefetch.tensormap %1
    mbarrier.init.shared::cta.b64 %3, 0, 1
    fence.proxy.async
    mbarrier.arrive.expect_tx.shared::cta.b64 %3, 0, 128
    cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes %2, 0, %1, 0, %5, %3, 0
  end
  barrier.sync.aligned 0, 32
  loop 0
    %8:b32 = mbarrier.try_wait.parity.shared::cta.b64 %3, 0, 0
    %9:pred = ne %8, 0
    break.if %9
  latch
  end
  %10:b32 = shl %4, 2
  %11:b32 = add %2, %10
  %12:b32 = ld.shared.b32 %11, 0
  %13:b32 = mul %6, 1000
  %14:b32 = add %12, %13
  %15:b32 = shl %5, 5
  %16:b32 = add %15, %4
  %17:b32 = shl %16, 2
  %18:b64 = zext %17
  %19:b64 = add %0, %18
  st.global.b32 %19, 0, %14
}
)");
  std::vector<Ptx> all = through_backends(k);
  for (const Ptx& p : all) {
    CAPTURE(p.from);
    CHECK(p.code.image.find(".target sm_90a") != std::string::npos);
    CHECK(p.code.image.find(".maxntid") != std::string::npos);
    CHECK(p.code.image.find(".minnctapersm 1") != std::string::npos);
    CHECK(p.code.image.find(".reqnctapercluster 2") != std::string::npos);
    // The map stays a parameter: no copy of it in local memory.
    CHECK(p.code.image.find(".local") == std::string::npos);
    ptxsim::Simulator s;
    s.options.threads = 1;
    Driver d = ptxsim::simulator_driver(s);
    auto m = s.load(p.code.image, "rows.ptx");
    REQUIRE_MESSAGE(m, m.error().message);
    std::vector<uint32_t> in(4 * 32), got(4 * 32), want(4 * 32);
    for (uint32_t i = 0; i < in.size(); ++i) {
      in[i] = i * 7;
      want[i] = i * 7 + (i / 32) % 2 * 1000;
    }
    auto from = d.table->allocate(d.self, 512), to = d.table->allocate(d.self, 512);
    REQUIRE(from);
    REQUIRE(to);
    REQUIRE(d.table->copy_in(d.self, *from, std::as_bytes(std::span(in))));
    TensorMapSpec spec;
    spec.type = TensorType::u32;
    spec.rank = 2;
    spec.address = *from;
    spec.size[0] = 32;
    spec.size[1] = 4;
    spec.stride[0] = 128;
    spec.box[0] = 32;
    spec.box[1] = 1;
    auto map = d.table->encode_tensor_map(d.self, spec);
    REQUIRE_MESSAGE(map, map.error().message);
    std::vector<std::byte> pointer = scalar_bytes(*to);
    std::vector<std::span<const std::byte>> params = {pointer, std::span(map->bytes)};
    LaunchSpec launch;
    launch.module = *m;
    launch.entry = p.code.entry;
    launch.grid = {4, 1, 1};
    launch.block = {32, 1, 1};
    launch.shared_bytes = 256;
    launch.params = params;
    auto r = s.run(launch);
    REQUIRE_MESSAGE(r, r.error().message);
    for (const ptxsim::Finding& f : r->findings) FAIL_CHECK(ptxsim::render_finding(f));
    REQUIRE(d.table->copy_out(d.self, std::as_writable_bytes(std::span(got)), *to));
    CHECK(got == want);
  }
}

TEST_CASE("register limits and setmaxnreg reach the PTX") {
  BlockKernel k =
      block_of(R"(block "limits" arch 901 threads 384 cluster 1 blocks 0 registers 168 shared 0 {
  setmaxnreg.dec.sync.aligned.u32 40
}
)");
  for (const Ptx& p : through_backends(k)) {
    CAPTURE(p.code.image);
    CHECK(p.code.image.find(".maxnreg 168") != std::string::npos);
    bool sized = p.code.image.find(".maxntid 384") != std::string::npos ||
                 p.code.image.find(".reqntid 384") != std::string::npos;
    CHECK(sized);
  }
  k.max_registers = 0;
  for (const Ptx& p : through_backends(k))
    CHECK(p.code.image.find(".minnctapersm 1") != std::string::npos);
}

TEST_CASE("a compiler that is missing or refuses answers with a code") {
  std::vector<std::string> nowhere = {"/nowhere/libnvrtc.so"};
  auto none = open_nvrtc(nowhere);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == diag::nvrtc_missing);
  CHECK(none.error().message.find("/nowhere/libnvrtc.so") != std::string::npos);
  if (test_nvrtc()) {
    auto r = compile_source(*test_nvrtc(), "#line 7 \"a.vmasm\"\nvoid f() { frobnicate(); }", 80);
    REQUIRE_FALSE(r);
    CHECK(r.error().code == diag::nvrtc_failed);
    CHECK(r.error().message.find("a.vmasm(7)") != std::string::npos);
    auto cubin = compile_cuda(*test_nvrtc(), block_of(kSaxpy), {.cubin = true});
    REQUIRE_MESSAGE(cubin, cubin.error().message);
    auto code = read_cubin(cubin->image);
    REQUIRE_MESSAGE(code, code.error().message);
    CHECK((*code)[0].entry == "tess_saxpy");
    CHECK((*code)[0].count("FFMA") >= 1);
  }
  if (!nvptx_available()) {
    auto r = compile_nvptx(block_of(kSaxpy));
    REQUIRE_FALSE(r);
    CHECK(r.error().code == diag::nvptx_missing);
    return;
  }
  // NVPTX cannot select these; LLVM by itself would end the process.
  const char* impossible[] = {
      "define ptx_kernel void @k(ptr %p) {\n  %v = load atomic i32, ptr %p acquire, align 4\n"
      "  store i32 %v, ptr %p\n  ret void\n}\n",
      "define ptx_kernel void @k() {\n  fence seq_cst\n  ret void\n}\n",
      "define ptx_kernel void @k() {\n  not an instruction\n}\n",
      "define ptx_kernel void @k(ptr %p) {\n  %v = call i32 asm \"\", \"=Z\"()\n"
      "  store i32 %v, ptr %p\n  ret void\n}\n"};
  for (const char* ir : impossible)
    for (bool full : {false, true}) {
      Abandoned by_llvm;
      auto r = compile_llvm_text(ir, 80, {.full = full});
      REQUIRE_FALSE(r);
      CHECK(r.error().code == diag::nvptx_failed);
      CHECK(r.error().message.size() > 5);
    }
  auto after = compile_nvptx(block_of(kSaxpy));
  CHECK(bool(after));
  auto shown = print_llvm(block_of(kSaxpy));
  REQUIRE(shown);
  CHECK(shown->find("define ptx_kernel void @tess_saxpy") != std::string::npos);
}
