#include "isa/isa.h"

#include <algorithm>
#include <array>

#include "isa/signature.h"

namespace tess {
namespace {

constexpr OpInfo kOps[] = {
#define INST(id, name, code, form, signature, rule, attrs, effect, numerics, trap, arch, since, \
             doc)                                                                               \
  {Op::id,                                                                                      \
   name,                                                                                        \
   code,                                                                                        \
   Form::form,                                                                                  \
   parse_signature(signature),                                                                  \
   signature,                                                                                   \
   Rule::rule,                                                                                  \
   parse_attrs(attrs, false),                                                                   \
   parse_attrs(attrs, true),                                                                    \
   Effect::effect,                                                                              \
   NumericsClass::numerics,                                                                     \
   TrapKind::trap,                                                                              \
   Arch::arch,                                                                                  \
   since,                                                                                       \
   doc},
#include "isa/isa.def"
#undef INST
};

consteval bool codes_ascend() {
  for (size_t i = 1; i < std::size(kOps); ++i)
    if (kOps[i - 1].code >= kOps[i].code) return false;
  return true;
}
static_assert(codes_ascend(), "codes in isa.def must be unique and ascend");

constexpr AttrInfo kAttrs[] = {
#define ATTR(id, spelling, tag, kind, group, doc) \
  {AttrTag::id, spelling, AttrKind::kind, AttrGroup::group, doc},
#include "isa/attrs.def"
#undef ATTR
};

constexpr auto kByName = [] {
  std::array<uint16_t, kOpCount> order{};
  for (int i = 0; i < kOpCount; ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [](uint16_t a, uint16_t b) { return kOps[a].name < kOps[b].name; });
  return order;
}();

}  // namespace

std::span<const AttrInfo> all_attrs() { return kAttrs; }
const AttrInfo* find_attr(std::string_view name) {
  for (const AttrInfo& a : kAttrs)
    if (a.name == name) return &a;
  return nullptr;
}
const AttrInfo* find_attr(AttrTag tag) {
  for (const AttrInfo& a : kAttrs)
    if (a.tag == tag) return &a;
  return nullptr;
}

bool in_class(DType t, TypeClass c) {
  switch (c) {
    case TypeClass::any:
      return true;
    case TypeClass::num:
      return t.is_int() || t.is_float();
    case TypeClass::arith:
      return t.is_int() || t.is_arith_float();
    case TypeClass::int_:
      return t.is_int();
    case TypeClass::float_:
      return t.is_arith_float();
    case TypeClass::bits:
      return t.is_int() || t.is_bool();
    case TypeClass::bool_:
      return t.is_bool();
  }
  return false;
}

std::string_view class_text(TypeClass c) {
  constexpr std::string_view kText[] = {"any type",
                                        "an integer or float type",
                                        "an integer type or f16, bf16, f32, f64",
                                        "an integer type",
                                        "f16, bf16, f32 or f64",
                                        "an integer type or bool",
                                        "bool"};
  return kText[static_cast<int>(c)];
}

std::span<const OpInfo> all_ops() { return kOps; }
const OpInfo& op_info(Op op) { return kOps[static_cast<int>(op)]; }

const OpInfo* find_op(std::string_view name) {
  auto it = std::lower_bound(kByName.begin(), kByName.end(), name,
                             [](uint16_t i, std::string_view n) { return kOps[i].name < n; });
  return it != kByName.end() && kOps[*it].name == name ? &kOps[*it] : nullptr;
}

const OpInfo* find_op_code(uint32_t code) {
  auto it = std::lower_bound(std::begin(kOps), std::end(kOps), code,
                             [](const OpInfo& o, uint32_t c) { return o.code < c; });
  return it != std::end(kOps) && it->code == code ? it : nullptr;
}

bool is_concurrent(Op op) {
  switch (op) {
    case Op::parallel:
    case Op::wgmma:
    case Op::mbar:
    case Op::copy_async:
    case Op::copy_bulk:
    case Op::tma_load:
    case Op::tma_store:
    case Op::tma_reduce:
    case Op::red_async:
    case Op::barrier_named:
    case Op::barrier_named_arrive:
    case Op::cluster_sync:
    case Op::cluster_map:
      return true;
    default:
      return false;
  }
}

}  // namespace tess
