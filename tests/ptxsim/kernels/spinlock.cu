// Every thread of every warp takes one lock in turn (needs independent thread scheduling).
extern "C" __global__ void spinlock(int* lock, int* counter, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    int old;
    do {
      asm volatile("atom.acquire.gpu.global.cas.b32 %0, [%1], 0, 1;" : "=r"(old) : "l"(lock) : "memory");
    } while (old != 0);
    *counter = *counter + 1;
    asm volatile("st.release.gpu.global.s32 [%0], 0;" ::"l"(lock) : "memory");
  }
}
