// Private to the type rules: the shape half. infer_rules.cpp holds most of them, infer_matrix.cpp
// the matrix products, infer_async.cpp strands, asynchronous copies and barriers.
#pragma once
#include "isa/diag/verify.h"
#include "isa/infer.h"
#include "isa/numerics.h"

namespace tess {

// Fills in spaces and shapes of `results`, whose element types are set.
std::optional<TypeError> apply_rule(const InferInput& in, std::vector<Type>& results);

inline int64_t decode_constant_int(const Constant& c) {
  return c.type.is_int() ? decode_int(c.type, c.code) : 0;
}

namespace rules {

using MaybeError = std::optional<TypeError>;

inline TypeError fail(Diag code, int operand, std::string message, std::string hint = {}) {
  return TypeError{code, std::move(message), std::move(hint), operand};
}

struct Context {
  const InferInput& in;
  std::vector<Type>& results;
  const ArgType& arg(size_t i) const { return in.args[i]; }
  bool has_arg(size_t i) const { return i < in.args.size() && in.args[i].kind != RefKind::none; }
  const Shape& shape(size_t i) const { return in.args[i].type.shape; }
  std::optional<int64_t> attr(AttrTag tag) const {
    for (const Attr& a : in.attrs)
      if (a.tag == tag) return a.value;
    return {};
  }
  // The `dim` attribute against a rank, negative counting from the last; -1 and an error if
  // outside.
  MaybeError dim(int rank, int64_t fallback, int& out) const;
};

// Right-aligned broadcasting of `b` onto `a`; false if an extent differs and neither is 1.
bool broadcast_onto(Shape& a, const Shape& b);
bool broadcasts_to(const Shape& from, const Shape& to);
TypeError no_fit(const Context& c, int operand, const Shape& a, const Shape& b);
// The written type is whole and its extents are legal.
MaybeError valid_written(const Context& c);
// The mask clause, the last operand, broadcasts to `shape`.
MaybeError mask_fits(const Context& c, const Shape& shape);
MaybeError needs_memory(const Context& c, int operand);

MaybeError mma_(Context& c);
MaybeError dot_(Context& c);
MaybeError wgmma_(Context& c);
MaybeError mma_scaled_(Context& c);

MaybeError strand_(Context& c);
MaybeError group_wait_(Context& c);
MaybeError mbar_(Context& c);
MaybeError barrier_(Context& c);
MaybeError copy_async_(Context& c);
MaybeError copy_bulk_(Context& c);
MaybeError tma_(Context& c);
MaybeError red_async_(Context& c);
MaybeError map_(Context& c);
MaybeError named_barrier_(Context& c);

}  // namespace rules
}  // namespace tess
