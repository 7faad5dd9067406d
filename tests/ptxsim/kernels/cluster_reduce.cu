// A cluster of four blocks sums a row: each sends its partial sum to every other block with st.async, which
// counts the bytes on the receiver's mbarrier; the maximum goes through atomics on distributed shared memory.
typedef unsigned int u32;
typedef unsigned long long u64;
__device__ __forceinline__ u32 smem(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ u32 remote(u32 a, u32 rank) {
  u32 r;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(rank));
  return r;
}

extern "C" __global__ void __launch_bounds__(128) __cluster_dims__(4, 1, 1) cluster_reduce(const u32* x, u32* y, int n) {
  __shared__ u32 warp_sum[4], received[4], top;
  __shared__ __align__(8) u64 bar;
  int t = threadIdx.x;
  u32 rank = blockIdx.x & 3, row = blockIdx.x >> 2, sum = 0, most = 0;
  if (t == 0) {
    top = 0;
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(smem(&bar)));
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 16;" ::"r"(smem(&bar)) : "memory");
  }
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
#pragma unroll 1
  for (int i = rank * 128 + t; i < n; i += 512) {
    u32 v = x[row * n + i];
    sum += v, most = max(most, v);
  }
  sum = __reduce_add_sync(~0u, sum), most = __reduce_max_sync(~0u, most);
  if ((t & 31) == 0) {
    warp_sum[t >> 5] = sum;
    for (u32 r = 0; r < 4; ++r)
      asm volatile("red.relaxed.cluster.shared::cluster.max.u32 [%0], %1;" ::"r"(remote(smem(&top), r)), "r"(most) : "memory");
  }
  __syncthreads();
  if (t < 4) {
    u32 total = warp_sum[0] + warp_sum[1] + warp_sum[2] + warp_sum[3];
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(remote(smem(&received[rank]), t)),
                 "r"(total), "r"(remote(smem(&bar), t))
                 : "memory");
  }
  asm volatile("{\n.reg .pred p;\nW: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0;\n@!p bra W;\n}" ::"r"(smem(&bar)) : "memory");
  u32 all = received[0] + received[1] + received[2] + received[3];
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  if (t == 0) y[blockIdx.x * 2] = all, y[blockIdx.x * 2 + 1] = top;
}
