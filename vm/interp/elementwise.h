// How kernels of elementwise instructions are put together: one naive function on element codes,
// which is the meaning, and at most one vectorised loop that agrees with it bit for bit.
#pragma once
#include "isa/numerics.h"
#include "vm/interp/fast_loops.h"
#include "vm/interp/program.h"

namespace tess::interp {

// One element's operands as codes (numerics.h) and their types.
struct Element {
  DType t;  // of the first operand
  uint64_t a, b, c;
  DType b_type, out;  // of the second operand and the result
  bool nan = false, nowrap = false;
  StripError error = StripError::none;  // set by the function
};
using Naive = uint64_t (*)(Element&);

struct Elementwise {
  Naive naive = nullptr;
  FastLoop loop = nullptr;
  FastOp op = FastOp::count;
  DType in[3], out;
  int n_in = 0;
  bool nan = false, nowrap = false;
};

// The instruction as elementwise work with that meaning; `fast` where a loop exists for its type.
void bind_elementwise(Binder& b, Naive naive, FastOp fast = FastOp::count);

// The loop for an Elementwise whose types and `op` are set; fills in what the loop needs.
StripFn choose_loop(Elementwise& e, bool naive);

// The strip loop of any Elementwise that goes by its naive function.
StripError run_naive(const StripArgs& args);

// --- on codes

// -1, 0 or 1 for two values of an integer type, bool, float or e8m0; neither is NaN. -0 equals 0.
int compare_codes(DType t, uint64_t a, uint64_t b);
uint64_t min_code(DType t, uint64_t a, uint64_t b, bool nan);
uint64_t max_code_of(DType t, uint64_t a, uint64_t b, bool nan);
// a op b for the arithmetic types; floats rounded once, integers modulo 2^N. op is one of + - *.
uint64_t arith_any(DType t, char op, uint64_t a, uint64_t b);
uint64_t truncated(DType t, uint64_t code);  // to the type's width

}  // namespace tess::interp
