// Sweeps of a three-point stencil over two arrays with a barrier of the whole grid between them: a counter
// and legacy fences, as cooperative kernels had before the acquire forms.
extern "C" __global__ void __launch_bounds__(64) grid_barrier(int* a, int* b, unsigned int* arrived, int n, int sweeps) {
  int i = blockIdx.x * 64 + threadIdx.x;
#pragma unroll 1
  for (int s = 0; s < sweeps; ++s) {
    const int* from = s & 1 ? b : a;
    int* to = s & 1 ? a : b;
    if (i < n) to[i] = from[i] + (i ? from[i - 1] : 0) + (i + 1 < n ? from[i + 1] : 0);
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(arrived, 1u);
      while (*(volatile unsigned int*)arrived < (unsigned int)((s + 1) * gridDim.x)) {
      }
      __threadfence();
    }
    __syncthreads();
  }
}
