// C[M,N] = A[M,K] B[N,K]^T, f16, f32 accumulate. TMA with 128-byte swizzle into an mbarrier ring of 3
// stages, one producer warpgroup (one thread of it), one consumer warpgroup with wgmma 64x64x16, and a
// TMA store of the result. Tiles of 64x64x64; ragged M is cut by the tensor maps.
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;
struct alignas(64) Map { char bytes[128]; };

__device__ __forceinline__ u32 smem_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void wait(u32 bar, u32 parity) {
  asm volatile(
      "{\n.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra DONE;\nbra WAIT;\nDONE:\n}" ::"r"(bar), "r"(parity)
      : "memory");
}
__device__ __forceinline__ void load_tile(u32 to, const Map* map, int x, int y, u32 bar) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to), "l"(map),
               "r"(x), "r"(y), "r"(bar)
               : "memory");
}
__device__ __forceinline__ u64 descriptor(u32 address) {  // K-major, 128-byte swizzle, 1024 bytes per 8 rows
  return (u64)((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62;
}

constexpr int kStages = 3;

extern "C" __global__ void __launch_bounds__(256, 1)
    hopper_gemm(const __grid_constant__ Map a, const __grid_constant__ Map b, const __grid_constant__ Map c, int k) {
  extern __shared__ __align__(1024) u16 smem[];  // stages of A then B (8 KiB each), then C
  __shared__ __align__(8) u64 full[kStages], empty[kStages];
  int t = threadIdx.x, steps = k / 64;
  u32 sa = smem_address(smem), sb = sa + kStages * 8192, sc = sb + kStages * 8192;
  if (t == 0) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&a) : "memory");
    asm volatile("prefetch.tensormap [%0];" ::"l"(&b) : "memory");
    for (int i = 0; i < kStages; ++i) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(&full[i])), "r"(1));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(&empty[i])), "r"(128));
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (t < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (t == 0) {
      for (int s = 0; s < steps; ++s) {
        int i = s % kStages, round = s / kStages;
        u32 bar = smem_address(&full[i]);
        if (round > 0) wait(smem_address(&empty[i]), (round - 1) & 1);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(16384) : "memory");
        load_tile(sa + i * 8192, &a, s * 64, blockIdx.y * 64, bar);
        load_tile(sb + i * 8192, &b, s * 64, blockIdx.x * 64, bar);
      }
    }
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  float d[32];
#pragma unroll
  for (int i = 0; i < 32; ++i) d[i] = 0;
  for (int s = 0; s < steps; ++s) {
    int i = s % kStages, round = s / kStages;
    wait(smem_address(&full[i]), round & 1);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int kk = 0; kk < 4; ++kk) {
      u64 da = descriptor(sa + i * 8192 + kk * 32), db = descriptor(sb + i * 8192 + kk * 32);
      asm volatile(
          "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
          "%32, %33, 1, 1, 1, 0, 0;"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]),
            "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]),
            "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
            "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
          : "l"(da), "l"(db)
          : "memory");
    }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(smem_address(&empty[i])) : "memory");
  }
  int lane = t & 31, warp = (t - 128) >> 5;
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      u32 v;
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(d[j * 4 + h * 2 + 1]), "f"(d[j * 4 + h * 2]));
      int row = warp * 16 + h * 8 + (lane >> 2), col = j * 8 + (lane & 3) * 2;
      asm volatile("st.shared.u32 [%0], %1;" ::"r"(sc + (row * 64 + col) * 2), "r"(v) : "memory");
    }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  asm volatile("bar.sync 1, 128;" ::: "memory");
  if (t == 128) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&c), "r"((int)blockIdx.x * 64),
                 "r"((int)blockIdx.y * 64), "r"(sc)
                 : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
  }
}
