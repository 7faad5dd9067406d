// The shape half of the type rules: one function per Rule.
#include "isa/infer_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace tess {
namespace rules {

// Right-aligned broadcasting of `b` onto `a`; false if an extent differs and neither is 1.
bool broadcast_onto(Shape& a, const Shape& b) {
  Shape out;
  int rank = std::max(a.rank, b.rank);
  for (int i = 0; i < rank; ++i) {
    int64_t x = i < rank - a.rank ? 1 : int64_t{a[i - (rank - a.rank)]};
    int64_t y = i < rank - b.rank ? 1 : b[i - (rank - b.rank)];
    if (x != y && x != 1 && y != 1) return false;
    out.push(x == 1 ? y : x);
  }
  a = out;
  return true;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  Shape s = to;
  return broadcast_onto(s, from) && s == to;
}

TypeError no_fit(const Context& c, int operand, const Shape& a, const Shape& b) {
  return fail(diag::shape_mismatch, operand,
              fmt::format("`{}`: shapes {} and {} do not broadcast together", c.in.op->name,
                          shape_text(a), shape_text(b)));
}

MaybeError valid_written(const Context& c) {
  const Shape& s = c.in.written->shape;
  if (!c.in.written_shape)
    return fail(diag::needs_type, -2,
                fmt::format("`{}` needs the whole type, with its shape", c.in.op->name));
  for (int64_t d : s)
    if (d < 1 || d > limits::max_tile_elements)
      return fail(diag::limit_exceeded, -2,
                  fmt::format("an extent of {} in {}; extents are 1 to {}", d, shape_text(s),
                              limits::max_tile_elements));
  return {};
}

// The mask clause is the last operand of memory instructions.
MaybeError mask_fits(const Context& c, const Shape& shape) {
  size_t last = c.in.args.size() - 1;
  if (c.arg(last).kind == RefKind::none || broadcasts_to(c.shape(last), shape)) return {};
  return no_fit(c, static_cast<int>(last), shape, c.shape(last));
}

MaybeError needs_memory(const Context& c, int operand) {
  if (c.arg(operand).type.is_memory()) return {};
  return fail(diag::memory_space, operand,
              fmt::format("`{}` works on global or shared memory", c.in.op->name));
}

}  // namespace rules

namespace {

using namespace rules;

MaybeError broadcast_args(Context& c, size_t first, Shape& shape) {
  for (size_t i = first; i < c.in.args.size(); ++i) {
    if (c.arg(i).kind == RefKind::none) continue;
    if (!broadcast_onto(shape, c.shape(i)))
      return no_fit(c, static_cast<int>(i), shape, c.shape(i));
  }
  return {};
}

// The number of elements, stopping beyond any legal tile or tensor: no overflow.
int64_t elements_capped(const Shape& s) {
  int64_t n = 1;
  for (int64_t d : s)
    n = n > limits::max_extent / std::max<int64_t>(d, 1) ? limits::max_extent + 1 : n * d;
  return n;
}

MaybeError rule_none_(Context&) { return {}; }
MaybeError rule_scalar_(Context&) { return {}; }
MaybeError rule_loop_(Context& c) {
  for (size_t i = 1; i < 3; ++i)
    if (c.arg(i).type.dtype != c.arg(0).type.dtype)
      return fail(diag::type_mismatch, static_cast<int>(i),
                  fmt::format("the bounds of `for` have types {} and {}",
                              dtype_name(c.arg(0).type.dtype), dtype_name(c.arg(i).type.dtype)),
                  "`cast` one of them");
  return {};
}
MaybeError rule_same_(Context& c) {
  c.results[0].shape = c.shape(0);
  return {};
}
MaybeError rule_written_(Context& c) {
  if (auto e = valid_written(c)) return e;
  c.results[0].shape = c.in.written->shape;
  int ignored;
  if (c.results[0].shape.rank == 0) return {};
  return c.dim(c.results[0].shape.rank, -1, ignored);
}
MaybeError rule_table_(Context& c) {
  if (auto e = rule_written_(c)) return e;
  int64_t n = c.results[0].shape.elements();
  if (n != static_cast<int64_t>(c.in.args.size()))
    return fail(diag::operand_count, -1,
                fmt::format("a table of {} has {} elements, {} given",
                            shape_text(c.results[0].shape), n, c.in.args.size()));
  return {};
}
MaybeError rule_extract_(Context& c) {
  if (c.shape(0).rank + 1u != c.in.args.size())
    return fail(diag::operand_count, -1,
                fmt::format("a tile of rank {} takes {} indices, {} given", c.shape(0).rank,
                            c.shape(0).rank, c.in.args.size() - 1));
  return {};
}
MaybeError rule_broadcast_(Context& c) { return broadcast_args(c, 0, c.results[0].shape); }
MaybeError rule_cast_(Context& c) {
  c.results[0].shape = c.shape(0);
  DType from = c.arg(0).type.dtype, to = c.results[0].dtype;
  bool to_float = to.is_float() || to.kind == Kind::scale;
  bool rounds = c.attr(AttrTag::rz) || c.attr(AttrTag::ru) || c.attr(AttrTag::rd);
  auto useless = [&](std::string_view name, std::string_view of) {
    return fail(diag::attr_value, -1,
                fmt::format("`{}` says how {} is done, not {} to {}", name, of, dtype_name(from),
                            dtype_name(to)));
  };
  if (rounds && !to_float)
    return useless("rz, ru or rd", "rounding to a float (to an integer it is always toward zero)");
  if (c.attr(AttrTag::sat) && !to.is_int()) return useless("sat", "clamping to an integer");
  if (c.attr(AttrTag::nosat) && !(to.is_float() && to.bits <= 8))
    return useless("nosat", "overflow to a float of 8 bits or less");
  return {};
}
MaybeError rule_bitcast_(Context& c) {
  DType from = c.arg(0).type.dtype, to = c.results[0].dtype;
  c.results[0].shape = c.shape(0);
  if (from.bits != to.bits || from.is_bool() || to.is_bool() || to.is_tf32())
    return fail(diag::type_class, -2,
                fmt::format("`bitcast` from {} to {}: the widths must be equal, and bool and tf32 "
                            "have no free choice of bits",
                            dtype_name(from), dtype_name(to)));
  return {};
}
MaybeError rule_view_(Context& c) {
  if (auto e = valid_written(c)) return e;
  DType from = c.arg(0).type.dtype, to = c.results[0].dtype;
  if (from.is_bool() || to.is_bool())
    return fail(diag::type_class, from.is_bool() ? 0 : -2, "bool cannot be viewed");
  if (!c.attr(AttrTag::layout))
    return fail(diag::needs_layout, -2, "`view` needs a written layout on its result",
                "write `: type #layout`");
  c.results[0].shape = c.in.written->shape;
  return {};
}
MaybeError rule_lookup_(Context& c) {
  const Shape& table = c.shape(1);
  if (table.rank != 1 && table.rank != 2)
    return fail(diag::shape_mismatch, 1,
                fmt::format("a table is a tile of rank 1 or 2, got {}", shape_text(table)));
  c.results[0].shape = c.shape(0);
  if (table.rank == 2 && !c.results[0].shape.push(table[1]))
    return fail(diag::limit_exceeded, -1, "the result has too many dimensions");
  return {};
}
// pack and unpack: the last dimension holds the same bits in elements of another width.
MaybeError repack(Context& c) {
  DType from = c.arg(0).type.dtype, to = c.results[0].dtype;
  Shape s = c.shape(0);
  if (from.is_bool() || to.is_bool())
    return fail(diag::type_class, from.is_bool() ? 0 : -2,
                fmt::format("`{}` does not work on bool", c.in.op->name));
  if (s.rank == 0)
    return fail(diag::shape_mismatch, 0, fmt::format("`{}` works on tiles", c.in.op->name));
  int64_t bits = s[s.rank - 1] * from.bits;
  if (bits % to.bits)
    return fail(diag::shape_mismatch, 0,
                fmt::format("{} bits along the last dimension of {} are no whole number of {}",
                            bits, shape_text(s), dtype_name(to)));
  s[s.rank - 1] = bits / to.bits;
  c.results[0].shape = s;
  return {};
}
MaybeError rule_pack_(Context& c) { return repack(c); }
MaybeError rule_unpack_(Context& c) { return repack(c); }

// A shape instruction on memory gives a view in the same space.
MaybeError as_view(Context& c, bool need_static) {
  const Type& t = c.arg(0).type;
  c.results[0].space = t.space;
  if (t.space == Space::reg) return {};
  if (t.ring && c.arg(0).kind != RefKind::access)
    return fail(diag::operand_kind, 0, "a ring is indexed by a use number first");
  if (need_static && !t.shape.is_static())
    return fail(
        diag::shape_mismatch, 0,
        fmt::format("`{}` needs static extents, got {}", c.in.op->name, shape_text(t.shape)));
  return {};
}
MaybeError rule_reshape_(Context& c) {
  if (auto e = as_view(c, true)) return e;
  if (auto e = valid_written(c)) return e;
  const Shape& to = c.in.written->shape;
  if (elements_capped(to) != elements_capped(c.shape(0)))
    return fail(diag::shape_mismatch, -2,
                fmt::format("{} has {} elements, {} has {}", shape_text(c.shape(0)),
                            elements_capped(c.shape(0)), shape_text(to), elements_capped(to)));
  c.results[0].shape = to;
  return {};
}
MaybeError rule_transpose_(Context& c) {
  if (auto e = as_view(c, false)) return e;
  const Shape& s = c.shape(0);
  Shape out = s;
  if (auto perm = c.attr(AttrTag::perm)) {
    uint32_t seen = 0;
    if (perm_size(*perm) != s.rank)
      return fail(
          diag::attr_value, -1,
          fmt::format("perm names {} dimensions of a tile of rank {}", perm_size(*perm), s.rank));
    for (int i = 0; i < s.rank; ++i) {
      int from = perm_at(*perm, i);
      if (from >= s.rank || (seen >> from & 1))
        return fail(diag::attr_value, -1, "perm must name each dimension once");
      seen |= 1u << from;
      out[i] = s[from];
    }
  } else {
    if (s.rank < 2)
      return fail(diag::shape_mismatch, 0,
                  fmt::format("`transpose` needs two dimensions, got {}", shape_text(s)));
    swap(out[s.rank - 1], out[s.rank - 2]);
  }
  c.results[0].shape = out;
  return {};
}
MaybeError rule_broadcast_to_(Context& c) {
  if (auto e = valid_written(c)) return e;
  if (!broadcasts_to(c.shape(0), c.in.written->shape))
    return no_fit(c, 0, c.in.written->shape, c.shape(0));
  c.results[0].shape = c.in.written->shape;
  return {};
}
MaybeError constant_dim(const Context& c, int rank, int& out) {
  if (!c.arg(1).constant)
    return fail(diag::operand_kind, 1,
                fmt::format("the dimension of `{}` is a constant", c.in.op->name));
  int64_t d = decode_constant_int(*c.arg(1).constant);
  if (d < -rank || d >= rank)
    return fail(diag::attr_value, 1, fmt::format("dimension {} is outside rank {}", d, rank));
  out = static_cast<int>(d < 0 ? d + rank : d);
  return {};
}
MaybeError rule_squeeze_(Context& c) {
  const Shape& s = c.shape(0);
  int dim;
  if (auto e = constant_dim(c, s.rank, dim)) return e;
  if (s[dim] != 1)
    return fail(diag::shape_mismatch, 0,
                fmt::format("dimension {} of {} has extent {}, not 1", dim, shape_text(s), s[dim]));
  for (int i = 0; i < s.rank; ++i)
    if (i != dim) c.results[0].shape.push(s[i]);
  return {};
}
MaybeError rule_unsqueeze_(Context& c) {
  const Shape& s = c.shape(0);
  int dim;
  if (s.rank == limits::max_rank)
    return fail(diag::limit_exceeded, 0, fmt::format("at most {} dimensions", limits::max_rank));
  if (auto e = constant_dim(c, s.rank + 1, dim)) return e;
  for (int i = 0; i <= s.rank; ++i)
    c.results[0].shape.push(i < dim ? s[i] : i == dim ? 1 : s[i - 1]);
  return {};
}
MaybeError rule_concat_(Context& c) {
  Shape out = c.shape(0);
  int dim;
  if (out.rank == 0) return fail(diag::shape_mismatch, 0, "`concat` joins tiles");
  if (auto e = c.dim(out.rank, 0, dim)) return e;
  for (size_t i = 1; i < c.in.args.size(); ++i) {
    Shape s = c.shape(i);
    bool fits = s.rank == out.rank;
    for (int d = 0; fits && d < s.rank; ++d) fits = d == dim || s[d] == out[d];
    if (!fits)
      return fail(diag::shape_mismatch, static_cast<int>(i),
                  fmt::format("`concat` along dimension {}: {} and {} differ elsewhere", dim,
                              shape_text(out), shape_text(s)));
    out[dim] += s[dim];
  }
  c.results[0].shape = out;
  return {};
}
// The part of a register tile that an access names: constants inside the tile.
MaybeError register_part(const Context& c, const Access& access) {
  const Kernel& k = *c.in.kernel;
  const Shape& s = k.values[access.base].type.shape;
  for (uint32_t d = 0; d < access.n_indices; ++d) {
    const Index& index = k.indices[access.first_index + d];
    if (index.kind == IndexKind::all) continue;
    auto constant = [&](Ref r) { return r.is_constant(); };
    if (!constant(index.start) || (index.kind == IndexKind::span && !constant(index.stop)))
      return fail(diag::static_index, 0,
                  fmt::format("index {}: a register tile is cut at constant offsets", d),
                  "`extract` takes dynamic indices; `gather` works on memory");
    int64_t lo = decode_constant_int(k.constants[index.start.index()]);
    int64_t n = index.kind == IndexKind::range ? index.extent
                : index.kind == IndexKind::span
                    ? decode_constant_int(k.constants[index.stop.index()]) - lo
                    : 1;
    if (lo < 0 || lo > s[d] || n > s[d] - lo)
      return fail(diag::static_index, 0,
                  fmt::format("index {}: {}..{} is outside extent {}", d, lo, lo + n, s[d]));
  }
  return {};
}
MaybeError rule_slice_(Context& c) {
  const ArgType& x = c.arg(0);
  c.results[0].space = x.type.space;
  c.results[0].shape = x.type.shape;
  if (x.type.space == Space::reg) return register_part(c, *x.access);
  return {};
}
MaybeError rule_insert_(Context& c) {
  const ArgType& x = c.arg(0);
  if (x.type.space != Space::reg)
    return fail(diag::memory_space, 0, "`insert` works on register tiles", "`store` writes memory");
  if (auto e = register_part(c, *x.access)) return e;
  if (!broadcasts_to(c.shape(1), x.type.shape)) return no_fit(c, 1, x.type.shape, c.shape(1));
  c.results[0].shape = c.in.kernel->values[x.access->base].type.shape;
  return {};
}
MaybeError rule_repeat_(Context& c) {
  Shape s = c.shape(0);
  int dim;
  if (s.rank == 0) return fail(diag::shape_mismatch, 0, "`repeat` works on tiles");
  if (auto e = c.dim(s.rank, -1, dim)) return e;
  int64_t count = c.attr(AttrTag::count).value_or(1);
  if (count < 1 || count > limits::max_tile_elements)
    return fail(diag::attr_value, -1, fmt::format("count {} is not positive or too large", count));
  s[dim] *= count;
  c.results[0].shape = s;
  return {};
}
MaybeError reduced(Context& c) {
  const Shape& s = c.shape(0);
  bool keep = c.attr(AttrTag::keep).has_value();
  if (s.rank == 0)
    return fail(diag::shape_mismatch, 0, fmt::format("`{}` works on tiles", c.in.op->name));
  int dim = -1;
  if (c.attr(AttrTag::dim))
    if (auto e = c.dim(s.rank, 0, dim)) return e;
  for (int i = 0; i < s.rank; ++i) {
    if (dim >= 0 && i != dim) c.results[0].shape.push(s[i]);
    else if (keep) c.results[0].shape.push(1);
  }
  return {};
}
MaybeError rule_reduce_(Context& c) { return reduced(c); }
MaybeError rule_reduce_arg_(Context& c) { return reduced(c); }
MaybeError rule_scan_(Context& c) {
  int dim;
  if (c.shape(0).rank == 0)
    return fail(diag::shape_mismatch, 0, fmt::format("`{}` works on tiles", c.in.op->name));
  if (auto e = c.dim(c.shape(0).rank, -1, dim)) return e;
  for (Type& t : c.results) t.shape = c.shape(0);
  return {};
}
MaybeError rule_sort_(Context& c) { return rule_scan_(c); }
MaybeError rule_topk_(Context& c) {
  if (auto e = rule_scan_(c)) return e;
  int dim;
  if (auto e = c.dim(c.shape(0).rank, -1, dim)) return e;
  int64_t count = c.attr(AttrTag::count).value_or(0);
  if (count < 1 || count > c.shape(0)[dim])
    return fail(diag::attr_value, -1,
                fmt::format("count {} of {} elements", count, c.shape(0)[dim]));
  for (Type& t : c.results) t.shape[dim] = count;
  return {};
}
MaybeError rule_load_(Context& c) {
  if (auto e = needs_memory(c, 0)) return e;
  c.results[0].shape = c.shape(0);
  return mask_fits(c, c.results[0].shape);
}
MaybeError rule_store_(Context& c) {
  if (auto e = needs_memory(c, 1)) return e;
  if (!broadcasts_to(c.shape(0), c.shape(1))) return no_fit(c, 0, c.shape(1), c.shape(0));
  return mask_fits(c, c.shape(1));
}
// The index tiles of gather and scatter from operand `first` on: one per dimension of the tensor.
MaybeError index_tiles(Context& c, size_t tensor, size_t first, Shape& shape) {
  size_t n = c.in.args.size() - 1 - first;
  if (n != c.shape(tensor).rank)
    return fail(diag::operand_count, -1,
                fmt::format("a tensor of {} dimension{} takes as many index tiles, {} given",
                            c.shape(tensor).rank, c.shape(tensor).rank == 1 ? "" : "s", n));
  return broadcast_args(c, first, shape);
}
MaybeError rule_gather_(Context& c) { return index_tiles(c, 0, 1, c.results[0].shape); }
MaybeError rule_scatter_(Context& c) {
  Shape shape;
  if (auto e = index_tiles(c, 1, 2, shape)) return e;
  if (!broadcasts_to(c.shape(0), shape)) return no_fit(c, 0, shape, c.shape(0));
  return {};
}
MaybeError rule_atomic_(Context& c) {
  if (auto e = needs_memory(c, 0)) return e;
  if (c.arg(0).type.dtype.bits < 16)
    return fail(diag::atomic_width, 0,
                fmt::format("`{}` on {}", c.in.op->name, dtype_name(c.arg(0).type.dtype)));
  for (size_t i = 1; i < c.in.args.size(); ++i)
    if (c.arg(i).kind != RefKind::none && !broadcasts_to(c.shape(i), c.shape(0)))
      return no_fit(c, static_cast<int>(i), c.shape(0), c.shape(i));
  if (!c.results.empty()) c.results[0].shape = c.shape(0);
  return {};
}
MaybeError rule_smem_(Context& c) {
  if (auto e = valid_written(c)) return e;
  Type& t = c.results[0];
  t.space = Space::shared;
  t.shape = c.in.written->shape;
  t.ring = c.attr(AttrTag::ring).has_value();
  if (t.shape.rank == 0) return fail(diag::shape_mismatch, -2, "a shared tile has a shape");
  if (t.dtype.bits * static_cast<double>(t.shape.elements()) / 8 > limits::max_shared_bytes)
    return fail(diag::limit_exceeded, -2,
                fmt::format("{} does not fit in {} bytes of shared memory", type_text(t),
                            limits::max_shared_bytes));
  return {};
}
MaybeError rule_alias_(Context& c) {
  if (c.arg(0).type.space != Space::global)
    return fail(diag::memory_space, 0, "`alias` works on global memory");
  if (!c.in.written_shape || c.in.written->shape.rank == 0)
    return fail(diag::needs_type, -2, "`alias` needs the type and static shape of the new tensor");
  for (int64_t d : c.in.written->shape)
    if (d < 1 || d > limits::max_extent)
      return fail(diag::limit_exceeded, -2, fmt::format("an extent of {}", d));
  c.results[0].space = Space::global;
  c.results[0].shape = c.in.written->shape;
  return {};
}
MaybeError rule_wait_(Context& c) {
  if (auto e = needs_memory(c, 0)) return e;
  if (c.shape(0).rank != 0)
    return fail(
        diag::shape_mismatch, 0,
        fmt::format("`{}` works on one element, got {}", c.in.op->name, shape_text(c.shape(0))));
  if (c.arg(0).type.dtype.bits < 32)
    return fail(diag::atomic_width, 0,
                fmt::format("`{}` works on elements of 32 or 64 bits", c.in.op->name));
  if (c.in.args.size() > 1 && c.shape(1).rank != 0)
    return fail(diag::shape_mismatch, 1, "the value compared with is a scalar");
  return {};
}

}  // namespace

std::optional<TypeError> apply_rule(const InferInput& in, std::vector<Type>& results) {
  Context c{in, results};
  switch (in.op->rule) {
#define RULE(name) \
  case Rule::name: \
    return rule_##name(c);
#define RULE_ELSEWHERE(name) \
  case Rule::name:           \
    return rules::name(c);
    // clang-format off
    RULE(none_) RULE(loop_) RULE(scalar_) RULE(same_) RULE(written_) RULE(table_) RULE(extract_)
    RULE(broadcast_) RULE(cast_) RULE(bitcast_) RULE(view_) RULE(lookup_) RULE(pack_) RULE(unpack_)
    RULE(reshape_) RULE(transpose_) RULE(broadcast_to_) RULE(squeeze_) RULE(unsqueeze_)
    RULE(concat_) RULE(slice_) RULE(insert_) RULE(repeat_) RULE(reduce_) RULE(reduce_arg_)
    RULE(scan_) RULE(sort_) RULE(topk_) RULE(load_) RULE(store_) RULE(gather_) RULE(scatter_)
    RULE(atomic_) RULE(smem_) RULE(alias_) RULE(wait_)
    RULE_ELSEWHERE(mma_) RULE_ELSEWHERE(dot_) RULE_ELSEWHERE(wgmma_) RULE_ELSEWHERE(mma_scaled_)
    RULE_ELSEWHERE(strand_) RULE_ELSEWHERE(group_wait_) RULE_ELSEWHERE(mbar_)
    RULE_ELSEWHERE(barrier_) RULE_ELSEWHERE(copy_async_) RULE_ELSEWHERE(copy_bulk_)
    RULE_ELSEWHERE(tma_) RULE_ELSEWHERE(red_async_) RULE_ELSEWHERE(map_)
    RULE_ELSEWHERE(named_barrier_)
    // clang-format on
#undef RULE
#undef RULE_ELSEWHERE
  }
  return {};
}

}  // namespace tess
