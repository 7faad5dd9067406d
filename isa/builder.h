// Builder: makes a kernel instruction by instruction, with the type rules asked at each step. The
// text front end lowers through it; C++ hosts may use it directly:
//
//   Kernel k;  Builder b(k);
//   uint32_t n = b.scalar_param("n", dt::i32_);
//   uint32_t x = b.tensor_param("x", Direction::in, dt::f32_, {b.host(n)});
//   auto v = b.emit({.op = Op::load, .args = {b.access(x, {b.range(b.i32(0), 1024)})}});
//   b.emit({.op = Op::store, .args = {*v, b.access(y, {b.range(b.i32(0), 1024)})}});
//
// A failed emit adds nothing. Not thread-safe. The kernel must outlive the builder.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "isa/infer.h"
#include "isa/module.h"

namespace tess {

// An untyped literal; it takes the type of the other operand, of the written result, else i32 or
// f32.
struct Literal {
  enum class Kind : uint8_t { integer, real, boolean } kind = Kind::integer;
  bool negative = false;
  uint64_t magnitude = 0;  // integer (and boolean: 0 or 1)
  double real = 0;         // nearest to what was written
  double odd = 0;  // the same rounded to odd: rounding it again to a narrower type rounds once

  static Literal of(int64_t v) {
    return {Kind::integer, v < 0, v < 0 ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v),
            0, 0};
  }
  static Literal of_real(double v) { return {Kind::real, false, 0, v, v}; }
  static Literal of_bool(bool v) { return {Kind::boolean, false, v, 0, 0}; }
};
// The constant a literal is in type t, or none if it does not fit (a fraction or range error for
// integers; floats round to nearest).
std::optional<Constant> literal_constant(const Literal& literal, DType t);

// A result's name: an existing value is assigned, a new one is made; empty: a temporary.
struct ResultName {
  std::optional<uint32_t> value;
  std::string name;
};

struct EmitArg {
  std::variant<Ref, Literal> what;
  EmitArg(Ref r) : what(r) {}
  EmitArg(Literal l) : what(l) {}
  EmitArg(int v) : what(Literal::of(v)) {}
};
struct EmitAttr {
  AttrTag tag{};
  int64_t value = 1;                // integer, perm, layout
  std::optional<Literal> constant;  // attributes of kind constant
};
struct Emit {
  Op op{};
  std::vector<EmitArg> args;
  std::vector<EmitAttr> attrs;
  std::optional<Type> written;
  bool written_shape = true;             // false: `: f16` after an operand with a shape
  std::vector<ResultName> results = {};  // empty: temporaries for each non-optional result
  Loc loc;
};

class Builder {
 public:
  explicit Builder(Kernel& kernel) : k_(kernel) {}

  // Declarations, in order, before any instruction. Each returns its value.
  uint32_t param(std::string name, DType type, Param param);
  uint32_t scalar_param(std::string name, DType type) { return param(std::move(name), type, {}); }
  uint32_t tensor_param(std::string name, Direction dir, DType type, std::vector<HostExpr> shape);
  HostExpr host(uint32_t value) const { return {{{HostOp::param, value}}}; }

  // Makes a local value that nothing assigns yet.
  uint32_t local(std::string name, Type type);

  Ref constant(Constant c);
  Ref i32(int64_t v) { return constant({dt::i32_, static_cast<uint32_t>(v)}); }
  Index point(Ref start) const { return {IndexKind::point, start, Ref::none(), 0}; }
  Index range(Ref start, int64_t extent) const {
    return {IndexKind::range, start, Ref::none(), extent};
  }
  Index span(Ref start, Ref stop) const { return {IndexKind::span, start, stop, 0}; }
  Index all() const { return {IndexKind::all, Ref::none(), Ref::none(), 0}; }
  // Missing trailing positions become `:`; a span between constants becomes a range.
  Ref access(uint32_t base, std::vector<Index> indices, Ref item = Ref::none());

  // Appends the instruction. On success its results (absent optional ones left out); else the
  // error.
  struct Emitted {
    std::vector<uint32_t> results;
    std::optional<TypeError> error;
    explicit operator bool() const { return !error; }
    Ref operator*() const { return Ref::value(results.at(0)); }
  };
  Emitted emit(const Emit& e);

  // The type of an operand; of an access, the shape its ranges form.
  AccessType type_of(Ref r, bool allow_dynamic = false) const;
  Kernel& kernel() { return k_; }

 private:
  std::optional<TypeError> resolve_literals(const Emit& e, const OpInfo& op,
                                            std::vector<Ref>& refs);
  Kernel& k_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> constants_by_code_;
};

// Checks attributes against the instruction's row: allowed, required, groups, ranges.
std::optional<TypeError> check_attrs(const OpInfo& op, std::span<const Attr> attrs);

}  // namespace tess
