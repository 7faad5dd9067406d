// A Module: kernels with every type and constant fixed (specialised), as flat arrays.
//
// Code is one linear list per kernel. Control instructions open blocks that `end` closes (as in
// WebAssembly), so nothing here nests and no walk recurses:
//     for  %i = 0, k, 64  {pipeline 3}      if %c          while
//       ...                                   ...            test %c
//     end                                   else            ...
//                                             ...          end
//                                           end
// A name is a variable: it may be assigned several times; its type is fixed. Values are numbered:
// parameters and lets first (in order of declaration), then locals in order of first assignment.
// A Module built by anyone is unchecked; only verify() turns it into a VerifiedModule.
// Plain data: copyable, no pointers, not synchronised.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "isa/host_expr.h"
#include "isa/isa.h"
#include "isa/name.h"
#include "isa/type.h"

namespace tess {

// What an operand is: a value, a constant or a memory access, by index into the kernel's arrays.
enum class RefKind : uint8_t { value = 0, constant = 1, access = 2, none = 3 };
struct Ref {
  uint32_t bits = 0xffffffff;  // kind in the top two bits
  static constexpr Ref value(uint32_t i) { return {i}; }
  static constexpr Ref constant(uint32_t i) { return {i | 1u << 30}; }
  static constexpr Ref access(uint32_t i) { return {i | 2u << 30}; }
  static constexpr Ref none() { return {}; }
  constexpr RefKind kind() const { return static_cast<RefKind>(bits >> 30); }
  constexpr uint32_t index() const { return bits & 0x3fffffff; }
  constexpr bool is_value() const { return kind() == RefKind::value; }
  constexpr bool is_constant() const { return kind() == RefKind::constant; }
  constexpr bool is_access() const { return kind() == RefKind::access; }
  constexpr bool is_none() const { return kind() == RefKind::none; }
  bool operator==(const Ref&) const = default;
};

// A typed scalar constant: the element's code in the low bits (numerics.h).
struct Constant {
  DType type;
  uint64_t code = 0;
  bool operator==(const Constant&) const = default;
};

// One position of an access. A point is a scalar (drops the dimension) or a rank-1 i32 tile
// (gather: the dimension becomes the tile's length). Offsets are elements, computed in i64.
enum class IndexKind : uint8_t {
  point = 0,  // start
  range = 1,  // start :+ extent   (static extent)
  span = 2,   // start : stop      (slice only; dynamic)
  all = 3,    // :                 (a static extent, except in slice)
};
struct Index {
  IndexKind kind = IndexKind::point;
  Ref start, stop;
  int64_t extent = 0;
  bool operator==(const Index&) const = default;
};
struct Access {
  uint32_t base =
      0;     // value: a tensor, shared tile, view, mbarrier, or a register tile (slice, insert)
  Ref item;  // the element of a list parameter, `w{%l}`; none otherwise
  uint32_t first_index = 0, n_indices = 0;  // in Kernel::indices
  bool operator==(const Access&) const = default;
};

struct Attr {
  AttrTag tag{};
  // integer: the number; constant: index into Kernel::constants; layout: index into
  // Module::layouts; perm: dimension i in bits [4i, 4i+4), count in bits [32, 36); flag: 1.
  int64_t value = 1;
  bool operator==(const Attr&) const = default;
};

// A place in Module::files; line 0: unknown.
struct Loc {
  uint32_t file = 0, line = 0, col = 0;
  bool operator==(const Loc&) const = default;
};

struct Inst {
  Op op{};
  uint8_t n_results = 0, n_attrs = 0;
  uint16_t n_args = 0;
  uint32_t first_ref =
      0;  // in Kernel::refs: results, then operands (absent optional ones are none)
  uint32_t first_attr = 0;  // in Kernel::attrs, ascending by tag
  Loc loc;
};

struct Value {
  Name name;  // without %; empty for a temporary
  Type type;
};
static_assert(sizeof(Value) == 72);

enum class Direction : uint8_t { scalar = 0, in = 1, out = 2, inout = 3, workspace = 4, let = 5 };
// Parameter i, workspace or let is value i of its kernel, in order of declaration.
struct Param {
  Direction dir = Direction::scalar;
  // Tensors: extents, and strides in elements (empty: row-major). List: how many tensors (empty:
  // one).
  std::vector<HostExpr> shape, strides;
  HostExpr list;
  HostExpr let;            // the value of a let
  uint32_t aligned = 0;    // bytes; 0: the element's own alignment
  bool may_alias = false;  // `in`: may overlap written tensors
  bool kept = false;       // workspace: kept between launches; else zeroed before each
  // Facts of an integer scalar, checked at launch.
  int64_t divisible = 1;
  std::optional<int64_t> lo, hi;
};

// The specialisation: what a `const` or `type` stood for.
struct Binding {
  std::string name;
  std::optional<DType> type;  // a type, else the constant
  Constant value;
  bool operator==(const Binding&) const = default;
};

struct FastFlags {
  bool contract = false, ftz = false, approx = false;
  bool operator==(const FastFlags&) const = default;
};

struct Kernel {
  std::string name;
  std::vector<Binding> bindings;  // sorted by name
  std::vector<Param> params;
  HostExpr grid[3] = {HostExpr::of(1), HostExpr::of(1), HostExpr::of(1)};
  uint8_t grid_rank = 1;
  uint32_t warps = 4, cluster = 1, blocks_per_sm = 0;
  bool cooperative = false, sync_manual = false;
  FastFlags fast;
  Loc loc;

  std::vector<Value> values;
  std::vector<Constant> constants;  // distinct
  std::vector<Access> accesses;
  std::vector<Index> indices;
  std::vector<Attr> attrs;
  std::vector<Ref> refs;
  std::vector<Inst> code;

  std::span<const Ref> results(const Inst& i) const {
    return {refs.data() + i.first_ref, i.n_results};
  }
  std::span<const Ref> args(const Inst& i) const {
    return {refs.data() + i.first_ref + i.n_results, i.n_args};
  }
  std::span<const Attr> attrs_of(const Inst& i) const {
    return {attrs.data() + i.first_attr, i.n_attrs};
  }
  std::span<const Index> indices_of(const Access& a) const {
    return {indices.data() + a.first_index, a.n_indices};
  }
  // The attribute's value, or none.
  std::optional<int64_t> attr(const Inst& i, AttrTag tag) const {
    for (const Attr& a : attrs_of(i))
      if (a.tag == tag) return a.value;
    return {};
  }
  bool has(const Inst& i, AttrTag tag) const { return attr(i, tag).has_value(); }
};

// A written layout: its spelling, and the name it was given (empty for one written in place).
struct LayoutDef {
  std::string name, text;
  bool operator==(const LayoutDef&) const = default;
};

struct Module {
  std::vector<Kernel> kernels;
  std::vector<LayoutDef> layouts;
  std::vector<std::string> files;  // names that Locs refer to
  std::string producer;
  std::string source;  // the generic text, if kept
};

// "matmul<BM=16, W=u4>".
std::string kernel_key(const Kernel& k);
std::string binding_text(const Binding& b);
// A constant as the text that reads back to the same code: "3", "0.5", "-inf", "0x1.8p+3", "true".
std::string constant_text(Constant c);

inline int64_t make_perm(std::span<const int> dims) {
  int64_t v = static_cast<int64_t>(dims.size()) << 32;
  for (size_t i = 0; i < dims.size(); ++i) v |= static_cast<int64_t>(dims[i] & 15) << (4 * i);
  return v;
}
inline int perm_size(int64_t perm) { return static_cast<int>(perm >> 32 & 15); }
inline int perm_at(int64_t perm, int i) { return static_cast<int>(perm >> (4 * i) & 15); }

}  // namespace tess
