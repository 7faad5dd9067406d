// The type rules: from an instruction's operands to the types of its results. The one
// implementation used by the builder (which asks) and the verifier (which compares).
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "isa/module.h"

namespace tess {

// An operand as the rules see it. For an access: its element type, and the shape that its ranges
// form (points dropped); `space` is that of the base.
struct ArgType {
  Type type;
  RefKind kind = RefKind::none;
  std::optional<Constant> constant;  // a constant operand's value
  const Access* access = nullptr;    // with `kernel` for its indices
};

struct TypeError {
  Diag code;
  std::string message, hint;
  int operand = -1;  // which operand is wrong, -1: the instruction as a whole, -2: the written type
};

struct Typing {
  std::vector<Type> results;
  std::optional<TypeError> error;
};

struct InferInput {
  const Kernel* kernel = nullptr;
  const OpInfo* op = nullptr;
  std::span<const ArgType>
      args;  // one per signature operand; a variadic one repeats; absent ones have kind none
  std::span<const Attr> attrs;
  std::optional<Type>
      written;  // the written result type; a rank-0 one may stand for "derive the shape"
  bool written_shape = true;  // false: only the element type was written (`cast %x : f16`)
  int n_results = 1;          // results asked for (optional ones)
};
Typing infer(const InferInput& in);

// The type of `access` in `kernel`: element type and the shape its ranges form, or why it is
// malformed. `allow_dynamic`: slice, where spans and `:` on dynamic extents are legal (extent
// kDynamic).
struct AccessType {
  Type type;
  std::optional<TypeError> error;
};
AccessType access_type(const Kernel& kernel, const Access& access, bool allow_dynamic);

// The type of an attribute that is a constant: that of the result, or of the first operand.
DType constant_attr_type(std::span<const Type> results, std::span<const ArgType> args);

// Which signature operand the arg'th of n_args operands is (a variadic one takes the surplus), or
// -1.
int sig_index(const Signature& sig, size_t arg, size_t n_args);

// The legal (a, b, accumulator) type triples of mma and dot, one list for every arch.
bool mma_types_legal(DType a, DType b, DType acc);

}  // namespace tess
