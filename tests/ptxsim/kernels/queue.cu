// A bounded queue of eight slots with sequence numbers: even blocks enqueue, odd blocks dequeue and add up
// what they get. Plain data in the slots, ordered by release and acquire of the sequence.
typedef unsigned int u32;
struct Slot { u32 sequence, value[3]; };
__device__ __forceinline__ u32 acquire(const u32* p) {
  u32 v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
__device__ __forceinline__ void release(u32* p, u32 v) { asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }

extern "C" __global__ void __launch_bounds__(32) queue(Slot* slots, u32* head, u32* tail, u32* sums, int each) {
  if (threadIdx.x) return;
  bool producer = (blockIdx.x & 1) == 0;
  u32 sum = 0;
#pragma unroll 1
  for (int i = 0; i < each; ++i) {
    u32* end = producer ? tail : head;
    u32 at, seen;
#pragma unroll 1
    for (;;) {
      asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(at) : "l"(end) : "memory");
      seen = acquire(&slots[at & 7].sequence);
      u32 want = producer ? at : at + 1;
      if (seen == want && atomicCAS(end, at, at + 1) == at) break;
      __nanosleep(40);
    }
    Slot& s = slots[at & 7];
    if (producer) {
#pragma unroll 1
      for (int j = 0; j < 3; ++j) s.value[j] = blockIdx.x * 1000 + i * 3 + j;
      release(&s.sequence, at + 1);
    } else {
#pragma unroll 1
      for (int j = 0; j < 3; ++j) sum += s.value[j];
      release(&s.sequence, at + 8);
    }
  }
  if (!producer) sums[blockIdx.x >> 1] = sum;
}
