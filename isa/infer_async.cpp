// Type rules of strands, asynchronous copies, mbarriers and clusters: everything that a single
// instruction shows. What needs the whole kernel is in verify_strands.cpp and verify_async.cpp.
#include "isa/infer_rules.h"

#include <fmt/format.h>

namespace tess::rules {
namespace {

constexpr int64_t kMostGroups = 63, kNamedBarriers = 16, kTmaRank = 5, kTmaBytes = 16;

MaybeError constant_int(const Context& c, int operand, std::string_view what, int64_t least,
                        int64_t most, int64_t& out) {
  if (!c.arg(operand).constant)
    return fail(diag::operand_kind, operand,
                fmt::format("{} of `{}` is a constant", what, c.in.op->name));
  out = decode_constant_int(*c.arg(operand).constant);
  if (out < least || out > most)
    return fail(
        diag::attr_value, operand,
        fmt::format("{} of `{}` is {} to {}, got {}", what, c.in.op->name, least, most, out));
  return {};
}

// A copy's operand: static, in the space wanted, a ring by its use number.
MaybeError copied(const Context& c, int operand, Space space) {
  const ArgType& x = c.arg(operand);
  if (x.type.space != space)
    return fail(
        diag::memory_space, operand,
        fmt::format("`{}` wants {} here", c.in.op->name,
                    space == Space::shared ? "a shared tile" : "a tensor in global memory"));
  if (x.type.ring && x.kind != RefKind::access)
    return fail(diag::operand_kind, operand, "a ring is indexed by a use number first");
  if (!x.type.shape.is_static())
    return fail(
        diag::shape_mismatch, operand,
        fmt::format("`{}` copies a static shape, got {}", c.in.op->name, shape_text(x.type.shape)),
        "write `lo:+n` with a constant n");
  return {};
}

MaybeError same_shape(const Context& c, int a, int b) {
  if (c.shape(a) == c.shape(b)) return {};
  return fail(diag::shape_mismatch, b,
              fmt::format("`{}` copies {} to {}", c.in.op->name, shape_text(c.shape(b)),
                          shape_text(c.shape(a))));
}

bool gathers(const Context& c, int operand) {
  const Access* a = c.arg(operand).access;
  if (!a) return false;
  for (const Index& i : c.in.kernel->indices_of(*a))
    if (i.kind == IndexKind::point && i.start.is_value() &&
        c.in.kernel->values[i.start.index()].type.is_tile())
      return true;
  return false;
}
MaybeError no_gather(const Context& c, int operand) {
  if (!gathers(c, operand)) return {};
  return fail(diag::bad_access, operand,
              fmt::format("`{}` takes no tile as an index here", c.in.op->name),
              "`copy.async` gathers rows of its source");
}

}  // namespace

MaybeError strand_(Context& c) {
  int64_t begin, end;
  if (auto e = constant_int(c, 0, "the first warp", 0, limits::max_warps - 1, begin)) return e;
  if (auto e = constant_int(c, 1, "the end", begin + 1, limits::max_warps, end)) return e;
  int64_t by = c.attr(AttrTag::by).value_or(end - begin);
  if ((end - begin) % by)
    return fail(diag::strand_section, -1,
                fmt::format("{} warps are no whole number of strands of {}", end - begin, by));
  auto regs = c.attr(AttrTag::regs);
  if (!regs) return {};
  if (*regs % 8 || *regs < 24 || *regs > 256)
    return fail(diag::strand_section, -1,
                fmt::format("regs({}): a multiple of 8 from 24 to 256", *regs));
  if (begin % 4 || (end - begin) % 4)
    return fail(
        diag::strand_section, -1,
        fmt::format("warps {}..{} are no whole groups of four, which `regs` needs", begin, end));
  return {};
}

MaybeError group_wait_(Context& c) {
  int64_t n;
  return constant_int(c, 0, "the number of unfinished groups", 0, kMostGroups, n);
}

MaybeError mbar_(Context& c) {
  if (auto e = valid_written(c)) return e;
  Type& t = c.results[0];
  t.space = Space::mbar;
  t.shape = c.in.written->shape;
  if (t.shape.rank != 1)
    return fail(diag::shape_mismatch, -2, "mbarriers have one dimension: `mbar[4] count(1)`");
  if (t.shape[0] > limits::max_mbars)
    return fail(diag::limit_exceeded, -2,
                fmt::format("{} mbarriers; at most {}", t.shape[0], limits::max_mbars));
  int64_t count = c.attr(AttrTag::count).value_or(1);
  if (count >= 1 << 20)
    return fail(diag::limit_exceeded, -1, fmt::format("count({}); below 2^20", count));
  return {};
}

MaybeError barrier_(Context&) { return {}; }

MaybeError copy_async_(Context& c) {
  if (auto e = copied(c, 0, Space::shared)) return e;
  if (auto e = copied(c, 1, Space::global)) return e;
  if (auto e = no_gather(c, 0)) return e;
  if (auto e = same_shape(c, 0, 1)) return e;
  return mask_fits(c, c.shape(0));
}

// Global to shared and shared to a peer's shared with a barrier, shared to global without.
MaybeError copy_bulk_(Context& c) {
  bool out = c.arg(0).type.space == Space::global;
  bool from_shared = c.arg(1).type.space == Space::shared;
  if (auto e = copied(c, 0, out ? Space::global : Space::shared)) return e;
  if (auto e = copied(c, 1, out || from_shared ? Space::shared : Space::global)) return e;
  for (int i : {0, 1})
    if (auto e = no_gather(c, i)) return e;
  if (auto e = same_shape(c, 0, 1)) return e;
  if (out == c.has_arg(2))
    return fail(diag::operand_count, 2,
                out ? "`copy.bulk` to global memory takes no mbarrier: its group is waited for"
                    : "`copy.bulk` to shared memory needs the mbarrier that gets its bytes",
                out ? "`tma.commit`, then `tma.wait 0`" : "write `, %full[%u]`");
  if (c.has_arg(3) && (out || from_shared))
    return fail(diag::operand_count, 3, "`multicast` copies from global memory");
  int64_t bits = c.shape(0).elements() * c.arg(0).type.dtype.bits;
  if (bits % (8 * kTmaBytes))
    return fail(diag::bulk_size, 0,
                fmt::format("{} bits are no multiple of 16 bytes, which `copy.bulk` needs", bits));
  return {};
}

MaybeError tma_(Context& c) {
  int global = c.in.op->op == Op::tma_load ? 1 : 0, shared = 1 - global;
  if (auto e = copied(c, global, Space::global)) return e;
  if (auto e = copied(c, shared, Space::shared)) return e;
  for (int i : {0, 1})
    if (auto e = no_gather(c, i)) return e;
  if (auto e = same_shape(c, 0, 1)) return e;
  DType t = c.arg(0).type.dtype;
  auto bad_box = [&](std::string why, std::string hint = {}) {
    return fail(diag::tma_box, global, fmt::format("`{}`: {}", c.in.op->name, why),
                std::move(hint));
  };
  if (t.bits < 8)
    return bad_box(fmt::format("elements of {} bits are less than a byte", t.bits),
                   "copy them as wider integers and `view` the loaded tile");
  const Shape& box = c.shape(0);
  if (box.rank == 0) return bad_box("a box has at least one dimension");
  if (c.arg(global).access &&
      c.in.kernel->values[c.arg(global).access->base].type.shape.rank > kTmaRank)
    return bad_box(fmt::format("at most {} dimensions", kTmaRank));
  if (!c.arg(global).access && box.rank > kTmaRank)
    return bad_box(fmt::format("at most {} dimensions", kTmaRank));
  if (box[box.rank - 1] * t.bits / 8 % kTmaBytes)
    return bad_box(
        fmt::format("rows of {} bytes are no multiple of 16", box[box.rank - 1] * t.bits / 8));
  if (c.in.op->op == Op::tma_reduce) {
    bool logic = c.attr(AttrTag::op_and) || c.attr(AttrTag::op_or) || c.attr(AttrTag::op_xor);
    bool order = c.attr(AttrTag::op_min) || c.attr(AttrTag::op_max);
    bool fits = t.is_int() ? t.bits >= 32 : !logic && (t.bits == 16 || !order);
    if (!fits)
      return fail(diag::type_class, 0,
                  fmt::format("`tma.reduce` has no such operation on {}", dtype_name(t)),
                  "integers of 32 and 64 bits: all; f16 and bf16: add, min, max; f32 and f64: add");
  }
  return {};
}

MaybeError red_async_(Context& c) {
  if (c.arg(0).type.space != Space::shared)
    return fail(diag::memory_space, 0, "`red.async` works on a peer block's shared tile",
                "`%peer = cluster.map %s, rank` names it");
  if (auto e = no_gather(c, 0)) return e;
  if (!broadcasts_to(c.shape(1), c.shape(0))) return no_fit(c, 1, c.shape(0), c.shape(1));
  DType t = c.arg(0).type.dtype;
  if (t.bits < 32 || (t.bits == 64 && !c.attr(AttrTag::op_add)))
    return fail(diag::type_class, 0,
                fmt::format("`red.async` has no such operation on {}", dtype_name(t)),
                "integers of 32 bits: all; of 64 bits: add");
  return {};
}

MaybeError map_(Context& c) {
  const ArgType& x = c.arg(0);
  if (x.type.space == Space::global || x.kind == RefKind::access)
    return fail(diag::operand_kind, 0, "`cluster.map` takes a whole shared tile or mbarrier array",
                "map it as a whole, then index the result");
  c.results[0] = x.type;
  return {};
}

MaybeError named_barrier_(Context& c) {
  int64_t n;
  if (c.arg(0).constant)
    if (auto e = constant_int(c, 0, "the barrier", 0, kNamedBarriers - 1, n)) return e;
  return constant_int(c, 1, "the number of warps", 1, limits::max_warps, n);
}

}  // namespace tess::rules
