// exp exp2 log log2 sin cos tanh erf pow sigmoid rcp rsqrt: 16-bit types by way of f32.
#include "jit/lower/arith.h"
#include "jit/lower/real_math.h"

namespace tess::jit {
namespace {

template <class Fn>
void each(Lowering& l, Fn fn) {
  const Type& type = l.result_type();
  DType t = type.dtype;
  const TileLayout* layout = type.shape.rank ? l.result_layout() : nullptr;
  int64_t n = layout ? layout->registers : 1;
  RealMath math(l, t == dt::f64_, t.bits == 16 || l.kernel().fast.approx);
  std::vector<std::vector<Operand>> in;
  for (size_t i = 0; i < l.n_args(); ++i) {
    Words words = l.broadcast_words(l.arg(i), type.shape, layout);
    in.push_back(t == dt::f64_ ? words : to_floats(l, t, words, n));
  }
  std::vector<Operand> out, x(in.size());
  for (size_t r = 0; r < static_cast<size_t>(n); ++r) {
    for (size_t i = 0; i < in.size(); ++i) x[i] = in[i][r];
    out.push_back(fn(math, x));
  }
  l.set(0, t == dt::f64_ ? out : from_floats(l, t, out));
}

template <Operand (RealMath::*fn)(Operand)>
void unary(Lowering& l) {
  each(l, [](RealMath& math, const std::vector<Operand>& x) { return (math.*fn)(x[0]); });
}

}  // namespace

LOWER(exp) { unary<&RealMath::exp>(l); }
LOWER(exp2) { unary<&RealMath::exp2>(l); }
LOWER(log) { unary<&RealMath::log>(l); }
LOWER(log2) { unary<&RealMath::log2>(l); }
LOWER(sin) { unary<&RealMath::sin>(l); }
LOWER(cos) { unary<&RealMath::cos>(l); }
LOWER(tanh) { unary<&RealMath::tanh>(l); }
LOWER(erf) { unary<&RealMath::erf>(l); }
LOWER(sigmoid) { unary<&RealMath::sigmoid>(l); }
LOWER(rsqrt) { unary<&RealMath::rsqrt>(l); }
LOWER(rcp) { unary<&RealMath::rcp>(l); }
LOWER(pow) {
  each(l, [](RealMath& math, const std::vector<Operand>& x) { return math.pow(x[0], x[1]); });
}

}  // namespace tess::jit
