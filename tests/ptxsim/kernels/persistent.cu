// A persistent task loop: blocks take tasks from a counter; task i > 0 needs task i-1's row, published by
// release on flag i-1 and taken by acquire. Row i = row i-1 * 3 + i, elementwise, 128 elements.
typedef unsigned int u32;

extern "C" __global__ void __launch_bounds__(128) persistent(u32* next, u32* flags, u32* rows, int tasks) {
  __shared__ u32 task;
  int t = threadIdx.x;
  for (;;) {
    if (t == 0) task = atomicAdd(next, 1);
    __syncthreads();
    u32 i = task;
    if (i >= tasks) return;
    u32 before = 1;
    if (i > 0) {
      if (t == 0) {
        u32 seen;
        do {
          asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(flags + i - 1) : "memory");
        } while (seen == 0);
      }
      __syncthreads();
      before = rows[(i - 1) * 128 + t];
    }
    rows[i * 128 + t] = before * 3 + i;
    __syncthreads();
    if (t == 0) asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(flags + i) : "memory");
  }
}
