// A producer warp fills two slots of shared memory, three consumer warps read them. Barriers 1 and 2 say
// that a slot is full, 3 and 4 that it is empty: one side arrives, the other waits.
__device__ __forceinline__ void sync(int id) { asm volatile("bar.sync %0, 128;" ::"r"(id) : "memory"); }
__device__ __forceinline__ void arrive(int id) { asm volatile("bar.arrive %0, 128;" ::"r"(id) : "memory"); }

extern "C" __global__ void __launch_bounds__(128) named_barriers(const int* x, int* y, int rounds) {
  __shared__ int slot[2][96];
  int t = threadIdx.x, sum = 0;
  if (t < 32) {
#pragma unroll 1
    for (int i = 0; i < rounds; ++i) {
      int s = i & 1;
      if (i >= 2) sync(3 + s);
#pragma unroll 1
      for (int j = t; j < 96; j += 32) slot[s][j] = x[i * 96 + j] * 3;
      arrive(1 + s);
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < rounds; ++i) {
      int s = i & 1;
      sync(1 + s);
      sum += slot[s][95 - (t - 32)] * (i + 1);
      arrive(3 + s);
    }
    y[blockIdx.x * 96 + t - 32] = sum;
  }
}
