// The instruction table as data: one OpInfo per row of isa.def, its signature parsed at compile
// time. Everything here is constant and thread-safe.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "isa/dtypes.h"

namespace tess {

enum class Op : uint16_t {
#define INST(id, name, code, ...) id,
#include "isa/isa.def"
#undef INST
};
inline constexpr int kOpCount = 0
#define INST(...) +1
#include "isa/isa.def"
#undef INST
    ;

enum class AttrTag : uint8_t {
#define ATTR(id, spelling, tag, kind, group, doc) id = tag,
#include "isa/attrs.def"
#undef ATTR
};
enum class AttrKind : uint8_t { flag, integer, constant, perm, layout };
enum class AttrGroup : uint8_t { none, rounding, order, scope, eviction, topk, cmp, reduction };
// Of these groups one flag must be written wherever the row has them.
constexpr bool is_required(AttrGroup g) { return g == AttrGroup::cmp || g == AttrGroup::reduction; }
struct AttrInfo {
  AttrTag tag;
  std::string_view name;
  AttrKind kind;
  AttrGroup group;  // flags of one group exclude each other
  std::string_view doc;
};
std::span<const AttrInfo> all_attrs();
const AttrInfo* find_attr(std::string_view name);
const AttrInfo* find_attr(AttrTag tag);

enum class Form : uint8_t { plain, typed, opt_typed, decl, control };
enum class Effect : uint8_t { pure, read, write, atomic, sync, control, trap, debug };
enum class NumericsClass : uint8_t { exact, ulp, sum };
enum class TrapKind : uint8_t { none, div, assert_, oob };
enum class Arch : uint8_t { any, sm_80, sm_90a };

// How result types follow from operand types; one function each in infer.cpp.
enum class Rule : uint8_t {
  none_,
  loop_,
  scalar_,
  same_,
  written_,
  table_,
  extract_,
  broadcast_,
  cast_,
  bitcast_,
  view_,
  lookup_,
  pack_,
  unpack_,
  reshape_,
  transpose_,
  broadcast_to_,
  squeeze_,
  unsqueeze_,
  concat_,
  slice_,
  insert_,
  repeat_,
  reduce_,
  reduce_arg_,
  scan_,
  sort_,
  topk_,
  mma_,
  dot_,
  load_,
  store_,
  gather_,
  scatter_,
  atomic_,
  smem_,
  alias_,
  wait_,
  strand_,
  group_wait_,
  mbar_,
  barrier_,
  copy_async_,
  copy_bulk_,
  tma_,
  red_async_,
  map_,
  wgmma_,
  mma_scaled_,
  named_barrier_,
};

// Which element types a signature letter may stand for.
enum class TypeClass : uint8_t {
  any,     // every scalar type
  num,     // integers and all floats (not bool, not e8m0)
  arith,   // integers, f16 bf16 f32 f64
  int_,    // integers
  float_,  // f16 bf16 f32 f64
  bits,    // integers and bool
  bool_,
};
bool in_class(DType t, TypeClass c);
std::string_view class_text(TypeClass c);  // "an integer type", …

enum class SigKind : uint8_t {
  value,   // a register tile or scalar
  scalar,  // a scalar
  access,  // x[..]
  memory,  // a whole tensor or shared tile
  either,  // a register tile, or memory: a whole one or an access
  place,   // memory (or, for `cluster.map`, mbarriers): a whole one or an access
  mbar,    // one mbarrier of an array, `b[u]`
};
struct SigItem {
  std::string_view name;
  SigKind kind = SigKind::value;
  char letter = 0;  // type variable, or 0 when `fixed`
  TypeClass type_class = TypeClass::any;
  DType fixed;         // when letter is 0 and not `index`
  bool index = false;  // i32 or i64
  bool optional = false, variadic = false;
  std::string_view clause;  // introduced by this word or attribute group
};
struct Signature {
  SigItem results[3], operands[5];
  uint8_t n_results = 0, n_operands = 0;
  std::span<const SigItem> outs() const { return {results, n_results}; }
  std::span<const SigItem> ins() const { return {operands, n_operands}; }
};

struct OpInfo {
  Op op;
  std::string_view name;
  uint16_t code;  // frozen, in bytecode
  Form form;
  Signature sig;
  std::string_view signature_text;
  Rule rule;
  uint64_t allowed_attrs, required_attrs;  // bit per AttrTag
  Effect effect;
  NumericsClass numerics;
  TrapKind trap;
  Arch arch;
  std::string_view since, doc;

  bool allows(AttrTag t) const { return allowed_attrs >> static_cast<int>(t) & 1; }
  bool requires_attr(AttrTag t) const { return required_attrs >> static_cast<int>(t) & 1; }
};

std::span<const OpInfo> all_ops();  // in the order of Op
const OpInfo& op_info(Op op);
const OpInfo* find_op(std::string_view name);
const OpInfo* find_op_code(uint32_t code);
// Whether what it does may come later, or meets what other strands do at the same time: `parallel`,
// asynchronous operations, mbarriers, named barriers, clusters.
bool is_concurrent(Op op);

}  // namespace tess
