// C[M,N] = A[M,K] B[K,N], f16 in, f32 accumulate, f16 out: cp.async ring of 3 stages, ldmatrix, mma.
// Blocks of 64x64x32, four warps of 32x32. M may be ragged; N and K are multiples of 64 and 32.
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

__device__ __forceinline__ u32 smem_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void copy16(u32 to, const void* from, bool inside) {
  int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ u32 pack_half(float lo, float hi) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}

constexpr int kStages = 3, kTile = 64, kDepth = 32;

extern "C" __global__ void __launch_bounds__(128) gemm(const u16* a, const u16* b, u16* c, int m, int n, int k) {
  __shared__ __align__(128) u16 sa[kStages][kTile * kDepth];
  __shared__ __align__(128) u16 sb[kStages][kDepth * kTile];
  int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  int row0 = blockIdx.y * kTile, col0 = blockIdx.x * kTile;
  int wm = (warp >> 1) * 32, wn = (warp & 1) * 32;
  float acc[2][4][4] = {};

  // Rows of A take 4 chunks of 16 bytes, of B 8; chunks are permuted by the row.
  auto load = [&](int stage, int kk) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      int q = t + i * 128, r = q >> 2, ch = q & 3;
      copy16(smem_address(&sa[stage][r * kDepth + ((ch ^ ((r >> 1) & 3)) << 3)]), a + (u64)(row0 + r < m ? row0 + r : 0) * k + kk + ch * 8,
             row0 + r < m);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      int q = t + i * 128, r = q >> 3, ch = q & 7;
      copy16(smem_address(&sb[stage][r * kTile + ((ch ^ (r & 7)) << 3)]), b + (u64)(kk + r) * n + col0 + ch * 8, true);
    }
  };

  int steps = k / kDepth;
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) load(s, s * kDepth);
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  for (int step = 0; step < steps; ++step) {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
    __syncthreads();
    int next = step + kStages - 1;
    if (next < steps) load(next % kStages, next * kDepth);
    asm volatile("cp.async.commit_group;" ::: "memory");
    int stage = step % kStages;
#pragma unroll
    for (int kk = 0; kk < kDepth; kk += 16) {
      u32 fa[2][4], fb[4][2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        int r = wm + i * 16 + (lane & 15), ch = (kk >> 3) + (lane >> 4);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(fa[i][0]), "=r"(fa[i][1]), "=r"(fa[i][2]), "=r"(fa[i][3])
                     : "r"(smem_address(&sa[stage][r * kDepth + ((ch ^ ((r >> 1) & 3)) << 3)]))
                     : "memory");
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        int r = kk + (lane & 15), ch = ((wn + j * 16) >> 3) + (lane >> 4);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(fb[2 * j][0]), "=r"(fb[2 * j][1]), "=r"(fb[2 * j + 1][0]), "=r"(fb[2 * j + 1][1])
                     : "r"(smem_address(&sb[stage][r * kTile + ((ch ^ (r & 7)) << 3)]))
                     : "memory");
      }
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                       : "+f"(acc[i][j][0]), "+f"(acc[i][j][1]), "+f"(acc[i][j][2]), "+f"(acc[i][j][3])
                       : "r"(fa[i][0]), "r"(fa[i][1]), "r"(fa[i][2]), "r"(fa[i][3]), "r"(fb[j][0]), "r"(fb[j][1]));
    }
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        int r = row0 + wm + i * 16 + h * 8 + (lane >> 2), cc = col0 + wn + j * 8 + (lane & 3) * 2;
        if (r < m) *(u32*)(c + (u64)r * n + cc) = pack_half(acc[i][j][2 * h], acc[i][j][2 * h + 1]);
      }
}
