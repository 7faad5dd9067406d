// Row softmax of f32, one block of 128 threads per row, online maximum and sum.
typedef unsigned long long u64;

extern "C" __global__ void __launch_bounds__(128) softmax(const float* x, float* y, int n) {
  __shared__ float maxima[4], sums[4];
  int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  const float* row = x + (u64)blockIdx.x * n;
  float m = -__int_as_float(0x7f800000), s = 0;
  for (int i = t; i < n; i += 128) {
    float v = row[i], next = fmaxf(m, v);
    s = s * exp2f((m - next) * 1.44269504f) + exp2f((v - next) * 1.44269504f);
    m = next;
  }
#pragma unroll
  for (int o = 16; o; o >>= 1) {
    float om = __shfl_xor_sync(~0u, m, o), os = __shfl_xor_sync(~0u, s, o), next = fmaxf(m, om);
    s = next == -__int_as_float(0x7f800000) ? 0.f : s * exp2f((m - next) * 1.44269504f) + os * exp2f((om - next) * 1.44269504f);
    m = next;
  }
  if (lane == 0) maxima[warp] = m, sums[warp] = s;
  __syncthreads();
  float total = 0, top = fmaxf(fmaxf(maxima[0], maxima[1]), fmaxf(maxima[2], maxima[3]));
#pragma unroll
  for (int i = 0; i < 4; ++i) total += sums[i] * exp2f((maxima[i] - top) * 1.44269504f);
  for (int i = t; i < n; i += 128) y[(u64)blockIdx.x * n + i] = exp2f((row[i] - top) * 1.44269504f) / total;
}
