// Type rules of the matrix products.
#include "isa/infer_rules.h"

#include <fmt/format.h>

namespace tess::rules {
namespace {

MaybeError matrix_types(const Context& c, int a_at, int b_at, DType acc) {
  DType a = c.arg(a_at).type.dtype, b = c.arg(b_at).type.dtype;
  if (mma_types_legal(a, b, acc)) return {};
  return fail(diag::mma_types, -1,
              fmt::format("`{}` has no form {} x {} -> {}", c.in.op->name, dtype_name(a),
                          dtype_name(b), dtype_name(acc)),
              "`cast` the operands; `tess explain mma` lists the legal types");
}

// A matrix operand: [.., rows, columns] in registers or shared memory.
MaybeError matrix_operand(const Context& c, int i) {
  const Type& t = c.arg(i).type;
  if (t.space == Space::global)
    return fail(diag::memory_space, i,
                fmt::format("operands of `{}` are in registers or shared memory", c.in.op->name),
                "`load` it first");
  if (t.ring && c.arg(i).kind != RefKind::access)
    return fail(diag::operand_kind, i, "a ring is indexed by a use number first");
  if (t.shape.rank < 2 || !t.shape.is_static())
    return fail(diag::shape_mismatch, i,
                fmt::format("an operand of `{}` is [.., rows, columns], got {}", c.in.op->name,
                            shape_text(t.shape)));
  return {};
}

// [.., m,k] times [.., k,n] plus [.., m,n], operands number a, b and acc.
MaybeError product_shape(Context& c, int a_at, int b_at, int acc_at) {
  for (int i : {a_at, b_at})
    if (auto e = matrix_operand(c, i)) return e;
  const Shape &a = c.shape(a_at), &b = c.shape(b_at), &acc = c.shape(acc_at);
  Shape want = a;
  want[a.rank - 1] = b[b.rank - 1];
  bool fits = a.rank == b.rank && a[a.rank - 1] == b[b.rank - 2];
  for (int i = 0; fits && i < a.rank - 2; ++i) fits = a[i] == b[i];
  if (!fits)
    return fail(diag::shape_mismatch, b_at,
                fmt::format("`{}` of {} and {}: [.., m,k] times [.., k,n]", c.in.op->name,
                            shape_text(a), shape_text(b)));
  bool literal = acc.rank == 0 && c.arg(acc_at).constant;
  if (!literal && acc != want)
    return fail(
        diag::shape_mismatch, acc_at,
        fmt::format("the accumulator is {}, the product {}", shape_text(acc), shape_text(want)));
  c.results[0].shape = want;
  return {};
}

}  // namespace

MaybeError mma_(Context& c) {
  if (auto e = product_shape(c, 0, 1, 2)) return e;
  if (auto e = matrix_types(c, 0, 1, c.results[0].dtype)) return e;
  if (auto promote = c.attr(AttrTag::promote); promote && *promote < 1)
    return fail(diag::attr_value, -1, fmt::format("promote {} is not positive", *promote));
  return {};
}

MaybeError dot_(Context& c) {
  const Shape& s = c.shape(0);
  if (s.rank == 0 || s != c.shape(1))
    return fail(
        diag::shape_mismatch, 1,
        fmt::format("`dot` sums over the last dimension of two tiles of one shape, got {} and {}",
                    shape_text(s), shape_text(c.shape(1))));
  if (auto e = matrix_types(c, 0, 1, c.results[0].dtype)) return e;
  Shape want = s;
  want.pop();
  if (c.has_arg(2) && c.shape(2) != want && !(c.shape(2).rank == 0 && c.arg(2).constant))
    return no_fit(c, 2, want, c.shape(2));
  c.results[0].shape = want;
  return {};
}

// What the warpgroup instruction has forms for: f16, bf16, tf32, e4m3 and e5m2 in any pair, i8 and
// u8 in any pair.
MaybeError wgmma_(Context& c) {
  if (auto e = product_shape(c, 0, 1, 2)) return e;
  DType a = c.arg(0).type.dtype, b = c.arg(1).type.dtype, acc = c.results[0].dtype;
  bool fp8 = (a == dt::e4m3_ || a == dt::e5m2_) && (b == dt::e4m3_ || b == dt::e5m2_);
  bool int8 = a.is_int() && b.is_int() && a.bits == 8 && b.bits == 8;
  bool same = a == b && (a == dt::f16_ || a == dt::bf16_ || a == dt::tf32_);
  if (!(fp8 || int8 || same) || !mma_types_legal(a, b, acc))
    return fail(diag::mma_types, -1,
                fmt::format("`wgmma` has no form {} x {} -> {}", dtype_name(a), dtype_name(b),
                            dtype_name(acc)),
                "operands are f16, bf16, tf32, or pairs of e4m3 and e5m2, or of i8 and u8; `mma` "
                "takes more");
  if (c.arg(1).type.space != Space::shared)
    return fail(diag::memory_space, 1, "the second operand of `wgmma` is in shared memory",
                "only the first may be a register tile; swap and transpose if it is the other");
  const Shape& s = c.results[0].shape;
  if (s.rank != 2)
    return fail(diag::wgmma_shape, -1,
                fmt::format("`wgmma` makes a matrix, not {}", shape_text(s)));
  int64_t m = s[0], n = s[1], k = c.shape(0)[1], k_step = 256 / a.bits;
  if (m % 64) return fail(diag::wgmma_shape, 0, fmt::format("{} rows are no multiple of 64", m));
  if (n % 8 || n > 256)
    return fail(diag::wgmma_shape, 1, fmt::format("{} columns are no multiple of 8 up to 256", n));
  if (k % k_step)
    return fail(diag::wgmma_shape, 0,
                fmt::format("a depth of {} is no multiple of {}, which {} needs", k, k_step,
                            dtype_name(a)));
  return {};
}

// a, its scales, b, its scales, accumulator.
MaybeError mma_scaled_(Context& c) {
  if (auto e = product_shape(c, 0, 2, 4)) return e;
  for (int i : {0, 2})
    if (!c.arg(i).type.dtype.is_small_float())
      return fail(diag::mma_types, i,
                  fmt::format("`mma.scaled` multiplies floats of 8 bits or less, got {}",
                              dtype_name(c.arg(i).type.dtype)),
                  "scale the operands with `mul` and use `mma`");
  if (c.results[0].dtype != dt::f32_)
    return fail(diag::mma_types, 4, "`mma.scaled` accumulates in f32");
  const Shape& product = c.shape(0);
  int k_at[] = {product.rank - 1, product.rank - 2};
  for (int side = 0; side < 2; ++side) {
    int at = 2 * side + 1;
    DType t = c.arg(at).type.dtype;
    bool known = t.kind == Kind::scale || t == dt::e4m3_ || t == dt::e5m2_ || t == dt::f16_ ||
                 t == dt::bf16_;
    if (!known)
      return fail(diag::mma_types, at,
                  fmt::format("a scale is e8m0, e4m3, e5m2, f16 or bf16, got {}", dtype_name(t)));
    if (auto e = matrix_operand(c, at)) return e;
    // As the operand it scales, but for k, which counts blocks.
    const Shape &scale = c.shape(at), &scaled = c.shape(at - 1);
    bool fits = scale.rank == scaled.rank;
    for (int d = 0; fits && d < scaled.rank; ++d)
      fits = d == k_at[side] ? scaled[d] % scale[d] == 0 : scaled[d] == scale[d];
    if (!fits)
      return fail(diag::shape_mismatch, at,
                  fmt::format("scales {} do not fit {}: one for each block of k", shape_text(scale),
                              shape_text(scaled)));
  }
  if (c.shape(1)[k_at[0]] != c.shape(3)[k_at[1]])
    return fail(diag::shape_mismatch, 3,
                fmt::format("{} and {} have blocks of different size", shape_text(c.shape(1)),
                            shape_text(c.shape(3))));
  return {};
}

}  // namespace tess::rules
