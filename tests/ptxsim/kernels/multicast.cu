// A cluster of two blocks. Each block copies half of a 2048-word tile and multicasts it to both; then each
// sums the squares of its half of the words, the partial sums meet through distributed shared memory, and
// block rank 0 writes the total. Runs over `tiles` tiles with a two-slot ring.
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

__device__ __forceinline__ u32 smem_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void wait_cluster(u32 bar, u32 parity) {
  asm volatile(
      "{\n.reg .pred p;\nAGAIN:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1;\n@!p bra AGAIN;\n}" ::"r"(bar),
      "r"(parity)
      : "memory");
}

extern "C" __global__ void __launch_bounds__(128) __cluster_dims__(2, 1, 1) multicast(const u32* x, u32* y, int tiles) {
  __shared__ __align__(128) u32 tile[2][2048];
  __shared__ __align__(8) u64 full[2], empty[2];
  __shared__ u32 partial[4], remote[2];
  int t = threadIdx.x;
  u32 rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (t == 0) {
    for (int i = 0; i < 2; ++i) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(smem_address(&full[i])));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 2;" ::"r"(smem_address(&empty[i])));
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  int group = blockIdx.x / 2, groups = gridDim.x / 2;
  u32 sum = 0;
  for (int i = group, s = 0; i < tiles; i += groups, ++s) {
    int slot = s & 1, round = s >> 1;
    u32 bar = smem_address(&full[slot]);
    if (t == 0) {
      if (round > 0) wait_cluster(smem_address(&empty[slot]), (round - 1) & 1);
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 8192;" ::"r"(bar) : "memory");
      asm volatile(
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], 4096, [%2], %3;" ::"r"(
              smem_address(&tile[slot][rank * 1024])),
          "l"(x + (u64)i * 2048 + rank * 1024), "r"(bar), "h"((u16)3)
          : "memory");
    }
    wait_cluster(bar, round & 1);
    for (int j = t; j < 1024; j += 128) {
      u32 v = tile[slot][(1 - rank) * 1024 + j];
      sum += v * v;
    }
    __syncthreads();
    if (t < 2)  // this block is done with the slot: tell both producers
      asm volatile(
          "{ .reg .b32 there; mapa.shared::cluster.u32 there, %0, %1; mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there]; }" ::"r"(
              smem_address(&empty[slot])),
          "r"(t)
          : "memory");
  }
#pragma unroll
  for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
  if ((t & 31) == 0) partial[t >> 5] = sum;
  __syncthreads();
  if (t == 0) {
    u32 s = partial[0] + partial[1] + partial[2] + partial[3];
    asm volatile("{ .reg .b32 there; mapa.shared::cluster.u32 there, %0, 0; st.shared::cluster.u32 [there], %1; }" ::"r"(
                     smem_address(&remote[rank])),
                 "r"(s)
                 : "memory");
  }
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  if (rank == 0 && t == 0) y[group] = remote[0] + remote[1];
}
