// A dot product of rows with a four-stage ring of cp.async groups: two groups stay in flight.
typedef unsigned int u32;
constexpr int kStages = 4;

extern "C" __global__ void __launch_bounds__(64) pipeline(const float* a, const float* b, float* y, int chunks) {
  __shared__ __align__(16) float ra[kStages][256], rb[kStages][256];
  __shared__ float part[2];
  int t = threadIdx.x;
  const float *pa = a + (size_t)blockIdx.x * chunks * 256, *pb = b + (size_t)blockIdx.x * chunks * 256;
  auto load = [&](int c) {
    if (c < chunks) {
      u32 to = (u32)__cvta_generic_to_shared(&ra[c % kStages][t * 4]);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(pa + c * 256 + t * 4) : "memory");
      to = (u32)__cvta_generic_to_shared(&rb[c % kStages][t * 4]);
      asm volatile("cp.async.ca.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(pb + c * 256 + t * 4) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
#pragma unroll
  for (int c = 0; c < kStages - 1; ++c) load(c);
  float sum = 0;
#pragma unroll 1
  for (int c = 0; c < chunks; ++c) {
    asm volatile("cp.async.wait_group 2;" ::: "memory");
    __syncthreads();
    load(c + kStages - 1);
    for (int i = 0; i < 4; ++i) sum += ra[c % kStages][i * 64 + 63 - t] * rb[c % kStages][i * 64 + 63 - t];
  }
  for (int o = 16; o; o >>= 1) sum += __shfl_down_sync(~0u, sum, o);
  if ((t & 31) == 0) part[t >> 5] = sum;
  __syncthreads();
  if (t == 0) y[blockIdx.x] = part[0] + part[1];
}
