// The signature half of the type rules: operand kinds, element types, accesses, attributes. Shapes
// follow in infer_rules.cpp.
#include "isa/infer.h"

#include <fmt/format.h>

#include "isa/diag/verify.h"
#include "isa/infer_rules.h"

namespace tess {
namespace {

TypeError fail(Diag code, int operand, std::string message, std::string hint = {}) {
  return TypeError{code, std::move(message), std::move(hint), operand};
}

std::string_view space_text(Space s) {
  constexpr std::string_view kText[] = {"a register value", "shared memory", "a tensor",
                                        "an mbarrier"};
  return kText[static_cast<int>(s)];
}

std::optional<TypeError> check_kind(const InferInput& in, const SigItem& item, const ArgType& arg,
                                    int operand) {
  auto wrong = [&](std::string_view wanted, std::string_view hint) {
    std::string_view got = arg.type.space == Space::mbar
                               ? (arg.type.shape.rank ? "several mbarriers" : "an mbarrier")
                           : arg.kind == RefKind::access ? "a memory access"
                           : arg.type.space == Space::reg && arg.type.shape.rank == 0 ? "a scalar"
                           : arg.type.space == Space::reg ? "a register tile"
                                                          : space_text(arg.type.space);
    return fail(diag::operand_kind, operand,
                fmt::format("`{}` wants {} as `{}`, got {}", in.op->name, wanted, item.name, got),
                std::string(hint));
  };
  bool access = arg.kind == RefKind::access;
  switch (item.kind) {
    case SigKind::value:
      if (access || arg.type.space != Space::reg)
        return wrong("a register tile or scalar", "`load` it first");
      break;
    case SigKind::scalar:
      if (access || !arg.type.is_scalar()) return wrong("a scalar", "");
      break;
    case SigKind::access:
      if (!access || arg.type.space == Space::mbar) return wrong("a memory access `x[..]`", "");
      break;
    case SigKind::memory:
      if (!arg.type.is_memory() || (access && arg.access->n_indices))
        return wrong("a whole tensor or shared tile", "");
      break;
    case SigKind::either:
      if (arg.type.space == Space::mbar) return wrong("a register tile or memory", "");
      break;
    case SigKind::place:
      if (arg.type.space == Space::reg)
        return wrong("memory: a tensor, a shared tile or a part of one", "");
      break;
    case SigKind::mbar:
      if (arg.type.space != Space::mbar || !access || arg.type.shape.rank)
        return wrong("one mbarrier, `b[u]` with a use number u",
                     arg.type.space == Space::mbar ? "write `b[0]` for the first use" : "");
      break;
  }
  return {};
}

std::optional<TypeError> check_class(const InferInput& in, const SigItem& item, DType t,
                                     int operand) {
  if (item.index) {
    if (t == dt::i32_ || t == dt::i64_) return {};
    return fail(
        diag::type_class, operand,
        fmt::format("`{}` of `{}` is i32 or i64, got {}", item.name, in.op->name, dtype_name(t)),
        "`cast` it");
  }
  if (!item.letter) {
    if (t == item.fixed || item.kind == SigKind::mbar) return {};
    return fail(diag::type_class, operand,
                fmt::format("`{}` of `{}` is {}, got {}", item.name, in.op->name,
                            dtype_name(item.fixed), dtype_name(t)));
  }
  if (in_class(t, item.type_class)) return {};
  if (t.kind == Kind::none)
    return fail(diag::operand_kind, operand,
                fmt::format("`{}` takes no mbarrier here", in.op->name));
  bool small = t.is_small_float() || t.is_tf32();
  return fail(
      diag::type_class, operand,
      fmt::format("`{}` works on {}, got {}", in.op->name, class_text(item.type_class),
                  dtype_name(t)),
      small ? fmt::format("`cast` it first: (cast %x : {})", t.is_tf32() ? "f32" : "f16") : "");
}

}  // namespace

DType constant_attr_type(std::span<const Type> results, std::span<const ArgType> args) {
  return !results.empty() ? results[0].dtype : !args.empty() ? args[0].type.dtype : dt::i32_;
}

int sig_index(const Signature& sig, size_t arg, size_t n_args) {
  size_t fixed = 0;
  for (const SigItem& i : sig.ins()) fixed += !i.variadic;
  size_t variadic = n_args >= fixed ? n_args - fixed : 0, at = 0;
  for (size_t i = 0; i < sig.ins().size(); ++i) {
    at += sig.operands[i].variadic ? variadic : 1;
    if (arg < at) return static_cast<int>(i);
  }
  return -1;
}

bool mma_types_legal(DType a, DType b, DType acc) {
  auto small_float = [](DType t) { return t.is_small_float(); };
  auto fp8 = [](DType t) { return t == dt::e4m3_ || t == dt::e5m2_; };
  auto small_int = [](DType t) { return t.is_int() && t.bits <= 8; };
#define MMA(x, y, z) \
  if (a == dt::x##_ && b == dt::y##_ && acc == dt::z##_) return true;
#define MMA_PAIRS(group, z) \
  if (group(a) && group(b) && acc == dt::z##_) return true;
#include "isa/mma_types.def"
#undef MMA
#undef MMA_PAIRS
  return false;
}

AccessType access_type(const Kernel& kernel, const Access& access, bool allow_dynamic) {
  const Value& base = kernel.values[access.base];
  AccessType out;
  auto error = [&](std::string message, std::string hint = {}) {
    out.error = fail(diag::bad_access, -1, std::move(message), std::move(hint));
    return out;
  };
  const Type& type = base.type;
  bool is_list =
      access.base < kernel.params.size() && !kernel.params[access.base].list.tokens.empty();
  if (is_list && access.item.is_none())
    return error(
        fmt::format("`{}` is a list of tensors: choose one, `{}{{%i}}[..]`", base.name, base.name));
  if (!is_list && !access.item.is_none())
    return error(fmt::format("`{}` is not a list of tensors", base.name));
  auto ref_type = [&](Ref r) {
    return r.is_constant() ? scalar_type(kernel.constants[r.index()].type)
                           : kernel.values[r.index()].type;
  };
  auto is_index = [&](const Type& t) {
    return t.is_scalar() && (t.dtype == dt::i32_ || t.dtype == dt::i64_);
  };
  auto number = [&](Ref r) { return decode_constant_int(kernel.constants[r.index()]); };
  if (!access.item.is_none() && !is_index(ref_type(access.item)))
    return error("a list is indexed by an i32 or i64 scalar");
  out.type = Type{type.space, false, type.dtype, {}};
  if (access.n_indices == 0 && is_list) {
    out.type.shape = type.shape;
    return out;
  }
  if (access.n_indices != type.shape.rank)
    return error(fmt::format("`{}` has {} dimension{}, indexed by {}", base.name, type.shape.rank,
                             type.shape.rank == 1 ? "" : "s", access.n_indices));
  bool gathered = false;
  for (uint32_t d = 0; d < access.n_indices; ++d) {
    const Index& index = kernel.indices[access.first_index + d];
    int64_t extent = type.shape[d];
    if (type.ring && d == 0 &&
        (index.kind != IndexKind::point || ref_type(index.start).is_tile()))
      return error("a ring is indexed by a use number first", "a scalar: use u is slot u mod N");
    if (index.kind != IndexKind::all) {
      Type start = ref_type(index.start);
      if (index.kind == IndexKind::point && start.is_tile()) {
        if (start.dtype != dt::i32_ || start.shape.rank != 1)
          return error(
              fmt::format("index {} is a tile of {}; a gather index is a tile of i32 of rank 1", d,
                          type_text(start)));
        if (gathered)
          return error("only one index position may be a tile",
                       "`gather` takes one index tile per dimension");
        if (type.space == Space::reg) return error("a register tile is indexed by constants");
        gathered = true;
        out.type.shape.push(start.shape[0]);
        continue;
      }
      if (!is_index(start))
        return error(
            fmt::format("index {} is {}; offsets are i32 or i64 scalars", d, type_text(start)),
            "`cast` it");
      if (index.kind == IndexKind::span && !is_index(ref_type(index.stop)))
        return error(fmt::format("the end of index {} is not an i32 or i64 scalar", d));
    }
    switch (index.kind) {
      case IndexKind::point:
        break;
      case IndexKind::range:
        if (index.extent < 1 || index.extent > limits::max_tile_elements)
          return error(fmt::format("index {} takes {} elements; an extent is 1 to {}", d,
                                   index.extent, limits::max_tile_elements));
        out.type.shape.push(index.extent);
        break;
      case IndexKind::span:
        if (!allow_dynamic)
          return error(fmt::format("index {} has no static extent", d),
                       "write `lo:+n` with a constant n; `lo:hi` makes a view in `slice`");
        if (index.start.is_constant() && index.stop.is_constant()) {
          int64_t n = number(index.stop) - number(index.start);
          if (n < 1) return error(fmt::format("index {} is empty", d));
          out.type.shape.push(n);
        } else {
          out.type.shape.push(kDynamic);
        }
        break;
      case IndexKind::all:
        if (extent == kDynamic && !allow_dynamic)
          return error(fmt::format("dimension {} of `{}` has no static extent", d, base.name),
                       "write `lo:+n` with a constant n");
        out.type.shape.push(extent);
        break;
    }
  }
  return out;
}

Typing infer(const InferInput& in) {
  Typing out;
  const OpInfo& op = *in.op;
  const Signature& sig = op.sig;
  auto stop = [&](TypeError e) {
    out.error = std::move(e);
    out.results.clear();
    return out;
  };

  // How many operands and results.
  size_t fixed = 0, variadic = 0, needed_results = 0;
  for (const SigItem& i : sig.ins()) (i.variadic ? variadic : fixed) += 1;
  for (const SigItem& i : sig.outs()) needed_results += !i.optional;
  if (in.args.size() < fixed || (!variadic && in.args.size() > fixed)) {
    size_t least = 0;
    for (const SigItem& i : sig.ins()) least += !i.optional && !i.variadic;
    return stop(fail(diag::operand_count, -1,
                     fmt::format("`{}` takes {}{} operand{}, got {}", op.name,
                                 variadic || least < fixed ? "at least " : "", least,
                                 least == 1 ? "" : "s", in.args.size()),
                     fmt::format("its signature: {}", op.signature_text)));
  }
  if (in.n_results < static_cast<int>(needed_results) || in.n_results > sig.n_results)
    return stop(fail(diag::operand_count, -1,
                     fmt::format("`{}` gives {} result{}, {} named", op.name, sig.n_results,
                                 sig.n_results == 1 ? "" : "s", in.n_results),
                     fmt::format("its signature: {}", op.signature_text)));

  // Kinds, classes, and one type per letter.
  DType bound[26] = {};
  uint32_t seen = 0;
  for (size_t a = 0; a < in.args.size(); ++a) {
    const ArgType& arg = in.args[a];
    const SigItem& item = sig.operands[sig_index(sig, a, in.args.size())];
    int operand = static_cast<int>(a);
    if (arg.kind == RefKind::none) {
      if (item.optional) continue;
      return stop(fail(diag::operand_count, -1,
                       fmt::format("`{}` needs its operand `{}`", op.name, item.name)));
    }
    if (auto e = check_kind(in, item, arg, operand)) return stop(*e);
    if (auto e = check_class(in, item, arg.type.dtype, operand)) return stop(*e);
    if (!item.letter) continue;
    DType& b = bound[item.letter - 'A'];
    if (!(seen >> (item.letter - 'A') & 1)) {
      b = arg.type.dtype;
      seen |= 1u << (item.letter - 'A');
    } else if (b != arg.type.dtype) {
      return stop(
          fail(diag::type_mismatch, operand,
               fmt::format("`{}` wants one element type, got {} and {}", op.name, dtype_name(b),
                           dtype_name(arg.type.dtype)),
               fmt::format("`cast` one of them, for instance (cast %x : {})", dtype_name(b))));
    }
  }
  // Element types of the results; shapes come from the rule.
  bool written_first = in.written.has_value();
  for (int r = 0; r < in.n_results; ++r) {
    const SigItem& item = sig.results[r];
    DType t = item.index && !in.args.empty() ? in.args[0].type.dtype
              : item.letter                  ? bound[item.letter - 'A']
                                             : item.fixed;
    if (item.letter && !(seen >> (item.letter - 'A') & 1)) {
      if (!written_first)
        return stop(fail(
            diag::needs_type, -1,
            fmt::format("the type of `{}`'s result does not follow from its operands", op.name),
            "write `: type` after them"));
      t = in.written->dtype;
      bound[item.letter - 'A'] = t;
      seen |= 1u << (item.letter - 'A');
      if (auto e = check_class(in, item, t, -2)) return stop(*e);
    }
    out.results.push_back(Type{Space::reg, false, t, {}});
  }
  if (op.form == Form::typed && !in.written)
    return stop(fail(diag::needs_type, -1,
                     fmt::format("`{}` needs its result type written", op.name),
                     "write `: type` after the operands"));
  if (written_first && op.form != Form::typed && op.form != Form::opt_typed &&
      op.form != Form::decl)
    return stop(
        fail(diag::result_type, -2,
             fmt::format("the type of `{}`'s result follows from its operands: it is not written",
                         op.name)));
  if (auto e = apply_rule(in, out.results)) return stop(*e);
  for (const Type& t : out.results) {
    if (t.space != Space::reg && t.space != Space::shared) continue;
    // Multiply in steps: the product of verified extents must not overflow either.
    int64_t n = 1;
    for (int64_t d : t.shape) n = d > 0 && n <= limits::max_tile_elements ? n * d : n;
    if (n > limits::max_tile_elements)
      return stop(fail(diag::limit_exceeded, -1,
                       fmt::format("a tile of {} has {} elements; at most {}", type_text(t), n,
                                   limits::max_tile_elements)));
  }
  if (written_first && !out.results.empty()) {
    const Type& got = out.results[0];
    bool differs =
        in.written->dtype != got.dtype || (in.written_shape && in.written->shape != got.shape);
    if (differs)
      return stop(fail(diag::result_type, -2,
                       fmt::format("`{}` gives {}, but {} is written", op.name, type_text(got),
                                   type_text(*in.written))));
  }
  return out;
}

rules::MaybeError rules::Context::dim(int rank, int64_t fallback, int& out) const {
  int64_t d = attr(AttrTag::dim).value_or(fallback);
  out = static_cast<int>(d < 0 ? d + rank : d);
  if (d < -rank || d >= rank)
    return fail(diag::attr_value, -1, fmt::format("dim {} is outside a tile of rank {}", d, rank));
  return {};
}

}  // namespace tess
