// Tiles of 32x32 f32 come by TMA, are scaled in place of a second buffer, and leave by TMA; a store's buffer
// is used again only when the store has read it.
typedef unsigned int u32;
typedef unsigned long long u64;
struct alignas(64) Map { char bytes[128]; };
__device__ __forceinline__ u32 smem(const void* p) { return (u32)__cvta_generic_to_shared(p); }

extern "C" __global__ void __launch_bounds__(128) tma_epilogue(const __grid_constant__ Map in, const __grid_constant__ Map out, int tiles) {
  __shared__ __align__(1024) float source[2][1024], result[2][1024];
  __shared__ __align__(8) u64 full[2];
  int t = threadIdx.x;
  if (t < 2) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(smem(&full[t])));
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  __syncthreads();
  auto load = [&](int i) {
    u32 bar = smem(&full[i & 1]);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 4096;" ::"r"(bar) : "memory");
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
                     smem(source[i & 1])), "l"(&in), "r"(i * 32), "r"((int)blockIdx.x * 32), "r"(bar)
                 : "memory");
  };
  if (t == 0 && tiles > 0) load(0);
  for (int i = 0; i < tiles; ++i) {
    if (t == 0) {
      if (i + 1 < tiles) load(i + 1);
      asm volatile("cp.async.bulk.wait_group.read 1;" ::: "memory");
    }
    asm volatile("{\n.reg .pred p;\nW: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra W;\n}" ::"r"(smem(&full[i & 1])), "r"(i >> 1 & 1)
                 : "memory");
    __syncthreads();
    for (int j = t; j < 1024; j += 128) result[i & 1][j] = source[i & 1][j] * 2 + (float)i;
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (t == 0) {
      asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&out), "r"(i * 32),
                   "r"((int)blockIdx.x * 32), "r"(smem(result[i & 1]))
                   : "memory");
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    }
  }
  if (t == 0) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}
