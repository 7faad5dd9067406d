// What the two back ends cost from a block kernel to PTX: `backends_bench [ROUNDS]` prints a table.
// Every round compiles each kernel once through each back end, under a new name, so that nothing
// can be remembered; the first round stands by itself, since it opens libraries.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "jit/block_ir/block_ir.h"
#include "jit/cuda/nvrtc.h"
#include "jit/nvptx/nvptx.h"

namespace {
using namespace tess;
using namespace tess::jit;

std::string block_text(std::string_view name, int arch, uint32_t shared, std::string_view body) {
  return fmt::format(
      "block \"{}\" arch {} threads 128 cluster 1 blocks 0 registers 0 shared {} {{\n"
      "param pointer b64 0 \"x\"\nparam pointer b64 1 \"y\"\nparam scalar b32 2 \"n\"\n"
      "param scalar f32 3 \"a\"\n{}}}\n",
      name, arch, shared, body);
}

std::string saxpy() {
  return block_text("saxpy", 80, 0, R"(%0:b64 = param 0
%1:b64 = param 1
%2:b32 = param 2
%3:f32 = param 3
%4:b32 = tid
%5:b32 = ctaid.x
%6:b32 = shl %5, 7
%7:b32 = add %6, %4
%8:b32 = shl %7, 2
%9:pred = slt %8, %2
if %9
%10:b64 = sext %8
%11:b64 = shl %10, 2
%12:b64 = add %0, %11
%13:b64 = add %1, %11
%14:f32, %15:f32, %16:f32, %17:f32 = ld.global.nc.v4.f32 %12, 0
%18:f32, %19:f32, %20:f32, %21:f32 = ld.global.v4.f32 %13, 0
%22:f32 = fma.rn.f32 %3, %14, %18
%23:f32 = fma.rn.f32 %3, %15, %19
%24:f32 = fma.rn.f32 %3, %16, %20
%25:f32 = fma.rn.f32 %3, %17, %21
st.global.v4.f32 %13, 0, %22, %23, %24, %25
end
)");
}

// Products of a 64x64 tile per warp from shared memory, two steps of k per turn: 64 accumulators.
std::string mma() {
  std::string body;
  for (int v = 1000; v < 1064; ++v) body += fmt::format("var %{} f32\n", v);
  body +=
      "var %999 b32\n%0:b64 = param 0\n%1:b64 = param 1\n%2:b32 = param 2\n%3:b32 = tid\n"
      "%4:b32 = shl %3, 4\n%5:b32 = shared.address 0\n%6:b32 = add %5, %4\n%999:b32 = mov 0\n"
      "%7:b64 = zext %4\n%8:b64 = add %0, %7\n%9:b64 = add %1, %7\n";
  for (int v = 1000; v < 1064; ++v) body += fmt::format("%{}:f32 = mov f32:0x0\n", v);
  body += "loop 1\n%10:pred = sle %2, %999\nbreak.if %10\n";
  int next = 20;
  for (int part = 0; part < 4; ++part)
    body += fmt::format("cp.async.cg.shared.global %6, {}, %8, {}, 16, 16\n", 16384 + part * 2048,
                        part * 2048);
  body += "cp.async.commit_group\ncp.async.wait_group 1\nbarrier.sync.aligned 0, 128\n";
  for (int k = 0; k < 2; ++k) {
    std::vector<std::string> a, b;
    for (int i = 0; i < 8; ++i) {
      std::string regs;
      for (int r = 0; r < 4; ++r) {
        (i < 4 ? a : b).push_back(fmt::format("%{}", next));
        regs += fmt::format("{}%{}:b32", r ? ", " : "", next++);
      }
      body += fmt::format("{} = ldmatrix.sync.aligned.m8n8.x4{}.shared.b16 %6, {}\n", regs,
                          i < 4 ? "" : ".trans", (k * 8 + i) * 512);
    }
    for (int m = 0; m < 4; ++m)
      for (int n = 0; n < 4; ++n) {
        std::string sums, plain;
        for (int r = 0; r < 4; ++r) {
          sums += fmt::format("{}%{}:f32", r ? ", " : "", 1000 + (m * 4 + n) * 4 + r);
          plain += fmt::format(", %{}", 1000 + (m * 4 + n) * 4 + r);
        }
        body += fmt::format(
            "{} = mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {}, {}, {}, {}, {}, {}{}\n",
            sums, a[m * 4], a[m * 4 + 1], a[m * 4 + 2], a[m * 4 + 3], b[n * 4], b[n * 4 + 1],
            plain);
      }
  }
  body += "barrier.sync.aligned 0, 128\nlatch\n%999:b32 = add %999, 1\nend\n";
  for (int v = 1000; v < 1064; v += 4)
    body += fmt::format("st.global.v4.f32 %9, {}, %{}, %{}, %{}, %{}\n", (v - 1000) * 512, v, v + 1,
                        v + 2, v + 3);
  return block_text("gemm", 80, 32768, body);
}

// A ring of tiles that another thread copies in, four wgmma of 64x256x16 per tile.
std::string wgmma() {
  std::string body, sums, mine;
  for (int v = 1000; v < 1128; ++v) {
    body += fmt::format("var %{} f32\n", v);
    sums += fmt::format("{}%{}:f32", v > 1000 ? ", " : "", v);
  }
  body +=
      "var %998 b32\nvar %999 b32\n%0:b64 = param 0\n%1:b64 = param 1\n%2:b32 = param 2\n"
      "%3:b32 = tid\n%4:b32 = shared.address 0\n%5:b32 = shl %3, 4\n%6:b64 = zext %5\n"
      "%7:b64 = add %1, %6\n%8:pred = eq %3, 0\n%999:b32 = mov 0\n%998:b32 = mov 0\n";
  for (int v = 1000; v < 1128; ++v) body += fmt::format("%{}:f32 = mov f32:0x0\n", v);
  body +=
      "if %8\nmbarrier.init.shared::cta.b64 %4, 0, 1\nfence.proxy.async\nend\n"
      "barrier.sync.aligned 0, 128\nloop 1\n%10:pred = sle %2, %999\nbreak.if %10\nif %8\n"
      "mbarrier.arrive.expect_tx.shared::cta.b64 %4, 0, 40960\n"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes %4, 1024, %0, 0, 40960, "
      "%4, 0\nend\nloop 0\n"
      "%11:b32 = mbarrier.try_wait.parity.shared::cta.b64 %4, 0, %998\n%12:pred = ne %11, 0\n"
      "break.if %12\nlatch\nend\nwgmma.fence.sync.aligned\n%13:b32 = lshr %4, 4\n"
      "%14:b64 = zext %13\n%15:b64 = or %14, 4611686293305294848L\n";
  for (int k = 0; k < 4; ++k)
    body += fmt::format(
        "%{0}:b64 = add %15, {1}L\n%{2}:b64 = add %15, {3}L\n{4} = "
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16.~ss %{0}, %{2}, 1, 0, 0\n",
        20 + 2 * k, 64 + 2 * k, 21 + 2 * k, 576 + 2 * k, sums);
  body +=
      "wgmma.commit_group.sync.aligned\nwgmma.wait_group.sync.aligned 0\nlatch\n"
      "%999:b32 = add %999, 1\n%998:b32 = xor %998, 1\nend\n";
  for (int v = 1000; v < 1128; v += 4)
    body += fmt::format("st.global.v4.f32 %7, {}, %{}, %{}, %{}, %{}\n", (v - 1000) * 512, v, v + 1,
                        v + 2, v + 3);
  return block_text("wgmma", 901, 65536, body);
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 20;
  struct Kernel {
    std::string_view what;
    BlockKernel k;
  };
  std::vector<Kernel> kernels;
  for (auto& [what, text] : {std::pair<std::string_view, std::string>{"saxpy, sm_80", saxpy()},
                             {"f16 matmul with mma, sm_80", mma()},
                             {"f16 matmul with wgmma, sm_90a", wgmma()}}) {
    auto k = parse_block(text);
    auto good = k ? check_block(*k) : Status(k.error());
    if (!good) {
      fmt::print(stderr, "{}: {}\n", what, good.error().message);
      return 1;
    }
    kernels.push_back({what, std::move(*k)});
  }
  using Compile = std::function<Result<Compiled>(const BlockKernel&)>;
  std::vector<std::pair<std::string, Compile>> back_ends;
  const char* root = std::getenv("CUDA_HOME");
  auto nvrtc = open_nvrtc(nvrtc_places(root ? root : ""));
  if (nvrtc)
    back_ends.emplace_back(nvrtc_version(**nvrtc),
                           [&](const BlockKernel& k) { return compile_cuda(**nvrtc, k); });
  if (nvptx_available()) {
    back_ends.emplace_back(nvptx_version(), [](const BlockKernel& k) { return compile_nvptx(k); });
    back_ends.emplace_back(nvptx_version() + ", O3",
                           [](const BlockKernel& k) { return compile_nvptx(k, {.full = true}); });
  }
  fmt::print("| kernel | block instructions | back end | first, ms | best, ms | median, ms |\n");
  fmt::print("|---|---|---|---|---|---|\n");
  for (Kernel& kernel : kernels)
    for (auto& [name, compile] : back_ends) {
      std::vector<double> times;
      for (int r = 0; r <= rounds; ++r) {
        kernel.k.name = fmt::format("k{}", r);
        auto out = compile(kernel.k);
        if (!out) {
          fmt::print(stderr, "{}\n", out.error().message);
          return 1;
        }
        times.push_back(1000 * out->seconds);
      }
      double first = times[0];
      times.erase(times.begin());
      std::sort(times.begin(), times.end());
      fmt::print("| {} | {} | {} | {:.1f} | {:.1f} | {:.1f} |\n", kernel.what, kernel.k.code.size(),
                 name, first, times[0], times[times.size() / 2]);
    }
}
