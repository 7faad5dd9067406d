// Each block sums a slice of k of a 32x32 tile of C = A B (integers); the slices of a tile are added one
// after another, ordered by a semaphore that a block waits for as a whole.
typedef unsigned int u32;

extern "C" __global__ void __launch_bounds__(128) split_k(const int* a, const int* b, int* c, int* semaphore, int n, int k, int slice) {
  __shared__ int sa[32][33], sb[32][33];
  int t = threadIdx.x, col = t & 31, row0 = (t >> 5) * 8, tile = blockIdx.x;
  int first = blockIdx.y * slice, last = min(first + slice, k), sum[8] = {};
  for (int kk = first; kk < last; kk += 32) {
    for (int i = 0; i < 8; ++i) {
      int r = row0 + i;
      sa[r][col] = kk + col < last ? a[r * k + kk + col] : 0;
      sb[r][col] = kk + r < last ? b[(kk + r) * n + tile * 32 + col] : 0;
    }
    __syncthreads();
    for (int x = 0; x < 32; ++x)
      for (int i = 0; i < 8; ++i) sum[i] += sa[row0 + i][x] * sb[x][col];
    __syncthreads();
  }
  int turn = blockIdx.y, state = -1;
  do {
    if (t == 0) asm volatile("ld.global.acquire.gpu.b32 %0, [%1];" : "=r"(state) : "l"(semaphore + tile) : "memory");
  } while (__syncthreads_and(t != 0 || state != turn));
  for (int i = 0; i < 8; ++i) {
    int* at = c + (row0 + i) * n + tile * 32 + col;
    *at = turn ? *at + sum[i] : sum[i];
  }
  __syncthreads();
  if (t == 0) asm volatile("st.global.release.gpu.b32 [%0], %1;" ::"l"(semaphore + tile), "r"(turn + 1) : "memory");
}
