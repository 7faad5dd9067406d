// Softmax of rows of up to 512 values, one warp per row and several rows per warp: the next row is copied
// while this one is computed, in two buffers that belong to the warp.
typedef unsigned int u32;

extern "C" __global__ void __launch_bounds__(64) softmax2(const float* x, float* y, int rows, int n) {
  __shared__ __align__(16) float buffer[2][2][512];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, stride = gridDim.x * 2;
  auto load = [&](int row, int slot) {
    if (row < rows)
#pragma unroll 1
      for (int j = lane * 4; j < n; j += 128) {
        u32 to = (u32)__cvta_generic_to_shared(&buffer[warp][slot][j]);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(x + (size_t)row * n + j) : "memory");
      }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  int row = blockIdx.x * 2 + warp, slot = 0;
  load(row, 0);
#pragma unroll 1
  for (; row < rows; row += stride, slot ^= 1) {
    load(row + stride, slot ^ 1);
    asm volatile("cp.async.wait_group 1;" ::: "memory");
    __syncwarp();
    const float* v = buffer[warp][slot];
    float top = -1e30f, sum = 0;
#pragma unroll 1
    for (int j = lane; j < n; j += 32) top = fmaxf(top, v[j]);
    for (int o = 16; o; o >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, o));
#pragma unroll 1
    for (int j = lane; j < n; j += 32) sum += __expf(v[j] - top);
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
#pragma unroll 1
    for (int j = lane; j < n; j += 32) y[(size_t)row * n + j] = __expf(v[j] - top) / sum;
    __syncwarp();
  }
}
