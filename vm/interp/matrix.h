// Shared by the kernels of matrix products.
#pragma once
#include "vm/interp/elementwise.h"
#include "vm/interp/memory_ops.h"

namespace tess::interp {

// An operand in registers, or in shared memory and then copied to scratch first.
struct MatrixSource {
  Operand o;
  bool in_memory = false;
  AccessPlan plan;
};
MatrixSource matrix_source(Binder& b, size_t i);
Flow fetch(Strand& s, const MatrixSource& x, const Dated& dated);

// A strip loop that the kernels call themselves.
struct MatrixLoop {
  Elementwise e;
  StripFn fn = nullptr;
  void run(void* d, const void* a, const void* b, const void* c, int64_t n) const {
    fn({d, {a, b, c}, static_cast<size_t>(n), e.in[0], e.out, &e, nullptr});
  }
};

struct Mma {
  MatrixSource a, b;
  Operand c, d;
  int64_t batch = 1, m = 0, n = 0, k = 0, promote = 0;
  bool naive = false;
  MatrixLoop fma, add;
  // Operands in the accumulator's type, a row of products, a partial sum: scratch, or kNoRegister.
  uint64_t wide_a = kNoRegister, wide_b = kNoRegister, row = kNoRegister, part = kNoRegister;
};
Mma mma_of(Binder& b);
// `dated`: as whose the reads of shared operands count.
Flow run_mma(Strand& s, const Mma& x, const Dated& dated);

}  // namespace tess::interp
