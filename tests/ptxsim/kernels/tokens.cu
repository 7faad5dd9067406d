// Warps pass a value around through a ring of mailboxes; arrivals return tokens, waits name them, in loops
// with a suspend time.
typedef unsigned int u32;
typedef unsigned long long u64;
__device__ __forceinline__ u32 smem(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ u64 arrive(u32 bar) {
  u64 token;
  asm volatile("mbarrier.arrive.shared::cta.b64 %0, [%1];" : "=l"(token) : "r"(bar) : "memory");
  return token;
}
__device__ __forceinline__ void wait(u32 bar, u64 token) {
  u32 done = 0;
  while (!done)
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.shared::cta.b64 p, [%1], %2, 1000;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done) : "r"(bar), "l"(token) : "memory");
}

extern "C" __global__ void __launch_bounds__(128) tokens(u32* y, int rounds) {
  __shared__ u32 mail[128];
  __shared__ __align__(8) u64 written, taken;
  int t = threadIdx.x;
  if (t == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 128;" ::"r"(smem(&written)));
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 128;" ::"r"(smem(&taken)));
  }
  __syncthreads();
  u32 value = t + 1;
#pragma unroll 1
  for (int i = 0; i < rounds; ++i) {
    mail[(t + 33) & 127] = value;
    wait(smem(&written), arrive(smem(&written)));
    value = mail[t] * 5 + i;
    wait(smem(&taken), arrive(smem(&taken)));
  }
  y[blockIdx.x * 128 + t] = value;
}
