// C[M,N] = A[M,K] (f16) times B[N,K] of 4-bit codes minus 8, times a scale per 32 codes and column.
// Dequantises with lop3 into f16 pairs (1024 + code) and multiplies with mma. 16x64 tiles, four warps.
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

__device__ __forceinline__ u32 smem_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Codes 0 and 4 of a word (bits 0..3 and 16..19) as f16 pair (1024+c), minus 1032, times the scale.
__device__ __forceinline__ u32 dequant(u32 q, u32 scale) {
  u32 r, bias = 0x64086408u;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(q), "n"(0x000f000f), "n"(0x64006400));
  asm("sub.f16x2 %0, %0, %1;" : "+r"(r) : "r"(bias));
  asm("mul.rn.f16x2 %0, %0, %1;" : "+r"(r) : "r"(scale));
  return r;
}

extern "C" __global__ void __launch_bounds__(128) w4a16(const u16* a, const u32* b, const u16* scales, u16* c, int m, int n, int k) {
  __shared__ __align__(16) u16 sa[2][16 * 32];
  int t = threadIdx.x, lane = t & 31, warp = t >> 5;
  int row0 = blockIdx.y * 16, col = blockIdx.x * 64 + warp * 16 + (lane >> 2);
  float acc[2][4] = {};
  int steps = k / 32;
  auto load = [&](int stage, int step) {
    if (t < 64) {
      int r = t >> 2, ch = t & 3, bytes = row0 + r < m ? 16 : 0;
      asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(smem_address(&sa[stage][r * 32 + ((ch ^ ((r >> 1) & 3)) << 3)])),
                   "l"(a + (u64)(bytes ? row0 + r : 0) * k + step * 32 + ch * 8), "r"(bytes)
                   : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  load(0, 0);
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) {
      load((step + 1) & 1, step + 1);
      asm volatile("cp.async.wait_group 1;" ::: "memory");
    } else {
      asm volatile("cp.async.wait_group 0;" ::: "memory");
    }
    __syncthreads();
    u32 fa[2][4];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      int r = lane & 15, ch = h * 2 + (lane >> 4);
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(fa[h][0]), "=r"(fa[h][1]), "=r"(fa[h][2]), "=r"(fa[h][3])
                   : "r"(smem_address(&sa[step & 1][r * 32 + ((ch ^ ((r >> 1) & 3)) << 3)]))
                   : "memory");
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      int cc = col + j * 8;
      // Word w of a row's 32 codes: code i at nibble i of word i/8, stored so that pairs sit 16 bits apart.
      u32 scale = scales[(u64)step * n + cc];
      scale |= scale << 16;
      u32 q = __ldg(b + (u64)cc * (k / 8) + step * 4 + (lane & 3));
      u32 b0 = dequant(q, scale), b1 = dequant(q >> 4, scale), b2 = dequant(q >> 8, scale), b3 = dequant(q >> 12, scale);
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(acc[j][0]), "+f"(acc[j][1]), "+f"(acc[j][2]), "+f"(acc[j][3])
                   : "r"(fa[0][0]), "r"(fa[0][1]), "r"(fa[0][2]), "r"(fa[0][3]), "r"(b0), "r"(b1));
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(acc[j][0]), "+f"(acc[j][1]), "+f"(acc[j][2]), "+f"(acc[j][3])
                   : "r"(fa[1][0]), "r"(fa[1][1]), "r"(fa[1][2]), "r"(fa[1][3]), "r"(b2), "r"(b3));
    }
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < 2; ++j)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      int r = row0 + h * 8 + (lane >> 2), cc = blockIdx.x * 64 + warp * 16 + j * 8 + (lane & 3) * 2;
      u32 v;
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(acc[j][2 * h + 1]), "f"(acc[j][2 * h]));
      if (r < m) *(u32*)(c + (u64)r * n + cc) = v;
    }
}
