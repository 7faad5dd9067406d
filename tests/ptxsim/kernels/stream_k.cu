// Blocks share the steps of all tiles evenly; a block that ends within a tile leaves its partial sums in the
// workspace and raises a flag with legacy fences, and the block that began the tile collects them.
extern "C" __global__ void __launch_bounds__(64) stream_k(const int* x, int* y, int* workspace, unsigned int* flags, int tiles, int steps) {
  int t = threadIdx.x, blocks = gridDim.x, total = tiles * steps, share = (total + blocks - 1) / blocks;
  int at = blockIdx.x * share, end = min(at + share, total);
  while (at < end) {
    int tile = at / steps, stop = min(end, (tile + 1) * steps), sum = 0;
    bool begins = at % steps == 0, ends = stop == (tile + 1) * steps;
#pragma unroll 1
    for (int s = at; s < stop; ++s) sum += x[s * 64 + t] * (s % steps + 1);
    if (!begins) {
      workspace[blockIdx.x * 64 + t] = sum;
      __threadfence();
      __syncthreads();
      if (t == 0) atomicExch(flags + blockIdx.x, 1u);
    } else {
      if (!ends) {
        int next = blockIdx.x + 1;
#pragma unroll 1
        for (int have = stop; have < (tile + 1) * steps; have += share, ++next) {
          if (t == 0)
            while (atomicAdd(flags + next, 0u) == 0u) __nanosleep(20);
          __syncthreads();
          __threadfence();
          sum += workspace[next * 64 + t];
        }
      }
      y[tile * 64 + t] = sum;
    }
    at = stop;
  }
}
