// Kernels of the instructions that move elements without changing them; on memory some of them make
// views.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/nd_copy.h"
#include "vm/interp/program.h"

namespace tess::interp {
namespace {

StripError copy_strip(const StripArgs& args) {
  if (args.d != args.in[0])
    std::memcpy(args.d, args.in[0],
                args.n * static_cast<size_t>(carrier_bytes(carrier_of(args.result))));
  return StripError::none;
}
// The same elements in the same order, or repeated by broadcasting.
void bind_same_elements(Binder& b) {
  Micro m;
  m.fn = copy_strip;
  m.is_copy = true;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = m.d.type;
  b.elementwise(m);
}

struct Moves {
  struct Part {
    Operand from;
    NdCopy copy;
  };
  Operand d;
  std::vector<Part> parts;
};
Flow run_moves(Strand& s, const Moves& x) {
  for (const Moves::Part& part : x.parts) run_nd_copy(part.copy, x.d.at(s), part.from.at(s));
  return Flow::next;
}

void row_major(const Shape& shape, int64_t* strides) {
  int64_t stride = 1;
  for (int d = shape.rank - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= shape[d];
  }
}

void permutation(const Binder& b, int rank, int* perm) {
  for (int i = 0; i < rank; ++i) perm[i] = i;
  if (auto p = b.attr(AttrTag::perm))
    for (int i = 0; i < rank; ++i) perm[i] = perm_at(*p, i);
  else std::swap(perm[rank - 1], perm[rank - 2]);
}

struct ViewTranspose {
  AccessPlan plan;
  uint32_t value;
  int perm[limits::max_rank];
};
Flow run_view_transpose(Strand& s, const ViewTranspose& x) {
  View v;
  if (resolve_view(s, x.plan, v) != Flow::next) return Flow::trap;
  View out = v;
  for (int d = 0; d < v.rank; ++d) {
    int from = x.perm[d];
    out.extent[d] = v.extent[from];
    out.stride[d] = v.stride[from];
    out.lo[d] = v.lo[from];
    out.hi[d] = v.hi[from];
  }
  s.views[x.value] = out;
  return Flow::next;
}

struct ViewReshape {
  AccessPlan plan;
  uint32_t value;
  Shape to;
};
// Groups of dimensions with equal products on both sides: inside a group the old strides must be
// those of one dense run, unless the group is the same single dimension.
Flow run_view_reshape(Strand& s, const ViewReshape& x) {
  View v;
  if (resolve_view(s, x.plan, v) != Flow::next) return Flow::trap;
  View out = v;
  out.rank = x.to.rank;
  auto fail = [&](const char* why) {
    return trap(s, diag::run_view_shape,
                fmt::format("this memory cannot be reshaped without moving it: {}", why));
  };
  int i = 0, j = 0;
  while (i < v.rank || j < x.to.rank) {
    int64_t old_n = 1, new_n = 1;
    int i0 = i, j0 = j;
    if (i < v.rank) old_n = v.extent[i++];
    if (j < x.to.rank) new_n = x.to[j++];
    while (old_n != new_n || (i == v.rank && j < x.to.rank) || (j == x.to.rank && i < v.rank)) {
      if (old_n < new_n || (old_n == new_n && i < v.rank)) {
        if (i == v.rank) return fail("the shapes differ in size");
        old_n *= v.extent[i++];
      } else {
        if (j == x.to.rank) return fail("the shapes differ in size");
        new_n *= x.to[j++];
      }
    }
    bool single = i - i0 == 1 && j - j0 == 1;
    if (single) {
      out.extent[j0] = v.extent[i0], out.stride[j0] = v.stride[i0], out.lo[j0] = v.lo[i0],
      out.hi[j0] = v.hi[i0];
      continue;
    }
    int64_t inner = 1;
    bool found = false;
    for (int d = i - 1; d >= i0; --d) {
      if (v.lo[d] > 0 || v.hi[d] < v.extent[d]) return fail("it is partly out of bounds");
      if (v.extent[d] == 1) continue;
      if (!found) inner = v.stride[d], found = true;
    }
    int64_t expected = inner;
    for (int d = i - 1; d >= i0; --d) {
      if (v.extent[d] == 1) continue;
      if (v.stride[d] != expected) return fail("its rows have gaps");
      expected *= v.extent[d];
    }
    int64_t stride = inner;
    for (int d = j - 1; d >= j0; --d) {
      out.extent[d] = x.to[d];
      out.stride[d] = stride;
      out.lo[d] = 0;
      out.hi[d] = x.to[d];
      stride *= x.to[d];
    }
  }
  s.views[x.value] = out;
  return Flow::next;
}

struct ViewSlice {
  AccessPlan plan;
  uint32_t value;
};
Flow run_view_slice(Strand& s, const ViewSlice& x) {
  View v;
  if (resolve_view(s, x.plan, v) != Flow::next) return Flow::trap;
  s.views[x.value] = v;
  return Flow::next;
}

// The part of a register tile that an access names, as the far side of a copy.
int64_t part_of_tile(const Binder& b, const AccessPlan& plan, const Shape& tile, int64_t* strides,
                     Shape& part) {
  int64_t all[limits::max_rank], offset = 0;
  row_major(tile, all);
  const Kernel& k = b.kernel();
  auto number = [&](const Operand& o) {
    // Constants stand in the fixed part of the register file in order.
    const Constant& c = k.constants[o.reg / 8];
    return c.type.is_signed()
               ? static_cast<int64_t>(c.code << (64 - c.type.bits)) >> (64 - c.type.bits)
               : static_cast<int64_t>(c.code);
  };
  for (int d = 0; d < plan.n_positions; ++d) {
    const AccessPlan::Position& p = plan.position[d];
    int64_t start = p.kind == IndexKind::all ? 0 : number(p.start);
    offset += start * all[d];
    if (p.kind == IndexKind::point) continue;
    strides[part.rank] = all[d];
    part.push(p.kind == IndexKind::range  ? p.extent
              : p.kind == IndexKind::span ? number(p.stop) - start
                                          : tile[d]);
  }
  if (plan.n_positions == 0) {
    part = tile;
    std::copy_n(all, tile.rank, strides);
  }
  return offset;
}

}  // namespace

KERNEL(reshape) {
  if (b.is_memory(0))
    return b.emit<run_view_reshape>(
        ViewReshape{b.access(0), b.result_value(), b.result_type().shape});
  bind_same_elements(b);
}
KERNEL(squeeze) { bind_same_elements(b); }
KERNEL(unsqueeze) { bind_same_elements(b); }
KERNEL(broadcast) { bind_same_elements(b); }

KERNEL(transpose) {
  if (b.is_memory(0)) {
    ViewTranspose x{b.access(0), b.result_value(), {}};
    permutation(b, b.result_type().shape.rank, x.perm);
    return b.emit<run_view_transpose>(x);
  }
  Moves x;
  x.d = b.result();
  Operand a = b.arg(0);
  int perm[limits::max_rank];
  permutation(b, a.shape.rank, perm);
  int64_t from[limits::max_rank], to[limits::max_rank];
  row_major(a.shape, from);
  row_major(x.d.shape, to);
  NdCopy c;
  c.bytes = a.bytes();
  for (int d = 0; d < a.shape.rank; ++d) c.dim(x.d.shape[d], to[d], from[perm[d]]);
  c.prepare();
  x.parts.push_back({a, c});
  b.emit<run_moves>(std::move(x));
}

KERNEL(concat) {
  Moves x;
  x.d = b.result();
  int rank = x.d.shape.rank, dim = b.dim(rank, 0);
  int64_t to[limits::max_rank], at = 0;
  row_major(x.d.shape, to);
  for (size_t i = 0; i < b.n_args(); ++i) {
    Operand a = b.arg(i);
    int64_t from[limits::max_rank];
    row_major(a.shape, from);
    NdCopy c;
    c.bytes = a.bytes();
    c.to_offset = at * to[dim];
    for (int d = 0; d < rank; ++d) c.dim(a.shape[d], to[d], from[d]);
    c.prepare();
    x.parts.push_back({a, c});
    at += a.shape[dim];
  }
  b.emit<run_moves>(std::move(x));
}

KERNEL(slice) {
  if (b.is_memory(0)) return b.emit<run_view_slice>(ViewSlice{b.access(0), b.result_value()});
  Moves x;
  x.d = b.result();
  AccessPlan plan = b.access(0);
  Operand a = b.operand(Ref::value(plan.base));
  int64_t from[limits::max_rank], to[limits::max_rank];
  Shape part;
  NdCopy c;
  c.bytes = a.bytes();
  c.from_offset = part_of_tile(b, plan, a.shape, from, part);
  row_major(part, to);
  for (int d = 0; d < part.rank; ++d) c.dim(part[d], to[d], from[d]);
  c.prepare();
  x.parts.push_back({a, c});
  b.emit<run_moves>(std::move(x));
}

KERNEL(insert) {
  Moves x;
  x.d = b.result();
  AccessPlan plan = b.access(0);
  Operand a = b.operand(Ref::value(plan.base)), v = b.arg(1);
  NdCopy whole;
  whole.bytes = a.bytes();
  whole.dim(a.n, 1, 1);
  whole.prepare();
  x.parts.push_back({a, whole});
  int64_t to[limits::max_rank], from[limits::max_rank];
  Shape part;
  NdCopy c;
  c.bytes = a.bytes();
  c.to_offset = part_of_tile(b, plan, a.shape, to, part);
  row_major(v.shape, from);
  for (int d = 0; d < part.rank; ++d) {
    int f = d - (part.rank - v.shape.rank);
    c.dim(part[d], to[d], f < 0 || v.shape[f] == 1 ? 0 : from[f]);
  }
  c.prepare();
  x.parts.push_back({v, c});
  b.emit<run_moves>(std::move(x));
}

KERNEL(repeat) {
  Moves x;
  x.d = b.result();
  Operand a = b.arg(0);
  int rank = a.shape.rank, dim = b.dim(rank, rank - 1);
  int64_t count = b.attr(AttrTag::count).value_or(1), from[limits::max_rank], to[limits::max_rank];
  row_major(a.shape, from);
  row_major(x.d.shape, to);
  NdCopy c;
  c.bytes = a.bytes();
  for (int d = 0; d < rank; ++d) {
    c.dim(a.shape[d], d == dim ? to[d] * count : to[d], from[d]);
    if (d == dim) c.dim(count, to[d], 0);
  }
  c.prepare();
  x.parts.push_back({a, c});
  b.emit<run_moves>(std::move(x));
}

}  // namespace tess::interp
