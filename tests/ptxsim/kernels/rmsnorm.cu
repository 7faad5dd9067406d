// y = x * rsqrt(mean(x^2) + eps) * w for rows of n f16 elements (n a multiple of 8), one block per row.
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

__device__ __forceinline__ float low(u32 v) {
  float f;
  asm("{ .reg .b16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l; }" : "=f"(f) : "r"(v));
  return f;
}

extern "C" __global__ void __launch_bounds__(256) rmsnorm(const u16* x, const u16* w, u16* y, int n, float eps) {
  __shared__ float partial[8];
  int t = threadIdx.x;
  const uint4* row = (const uint4*)(x + (u64)blockIdx.x * n);
  float sum = 0;
  for (int i = t; i < n / 8; i += 256) {
    uint4 v = row[i];
    u32 q[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float a = low(q[j]), b = low(q[j] >> 16);
      sum += a * a + b * b;
    }
  }
#pragma unroll
  for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
  if ((t & 31) == 0) partial[t >> 5] = sum;
  __syncthreads();
  if (t < 32) {
    float s = t < 8 ? partial[t] : 0.f;
#pragma unroll
    for (int o = 4; o; o >>= 1) s += __shfl_xor_sync(~0u, s, o);
    if (t == 0) partial[0] = rsqrtf(s / n + eps);
  }
  __syncthreads();
  float scale = partial[0];
  for (int i = t; i < n / 8; i += 256) {
    uint4 v = row[i], g = ((const uint4*)w)[i];
    u32 q[4] = {v.x, v.y, v.z, v.w}, p[4] = {g.x, g.y, g.z, g.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float a = low(q[j]) * scale * low(p[j]), b = low(q[j] >> 16) * scale * low(p[j] >> 16);
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(q[j]) : "f"(b), "f"(a));
    }
    ((uint4*)(y + (u64)blockIdx.x * n))[i] = make_uint4(q[0], q[1], q[2], q[3]);
  }
}
