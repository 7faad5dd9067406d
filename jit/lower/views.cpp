#include "jit/lower/views.h"

#include <numeric>

#include "isa/layout_ops.h"
#include "jit/lower/access.h"
#include "jit/lower/guard.h"

namespace tess::jit {
namespace {

constexpr int64_t kAnything = int64_t{1} << 30;

bool is_zero(const Operand& o) { return o.is_imm() && o.bits == 0; }
Operand smaller(Lowering& l, Operand a, Operand b) {  // of two b64
  if (a.is_imm() && b.is_imm())
    return static_cast<int64_t>(a.bits) < static_cast<int64_t>(b.bits) ? a : b;
  return l.emit().form1("min.s64", {a, b});
}
Operand not_negative(Lowering& l, Operand v) {
  if (v.is_imm()) return static_cast<int64_t>(v.bits) < 0 ? b64(0) : v;
  return l.emit().form1("max.s64", {v, b64(0)});
}
// A number that is not negative and below 2^31 where it is a constant.
Operand narrow(Operand v) { return v.is_imm() && v.bits < uint64_t{1} << 31 ? b32(v.bits) : v; }
struct There {
  Operand first, end;
};
Operand first_of(const MemoryView& v, size_t d) { return v.first.empty() ? b64(0) : v.first[d]; }
Operand end_of(Lowering& l, const MemoryView& v, size_t d) {
  return v.extent[d].type == RegClass::b32 ? l.emit().zext(v.extent[d]) : v.extent[d];
}
void set_first(MemoryView& v, std::vector<Operand> first) {
  bool all = true;
  for (const Operand& x : first) all &= is_zero(x);
  v.first = all ? std::vector<Operand>{} : std::move(first);
}
// Which part of [at, at + n) lies in what is there of dimension d, counted from `at`.
There clipped(Lowering& l, Operand at, bool never_negative, Operand n, const MemoryView& from,
              size_t d) {
  Emit& e = l.emit();
  at = l.wide(at);
  Operand lowest = first_of(from, d);
  Operand end = not_negative(l, smaller(l, l.wide(n), e.sub(end_of(l, from, d), at)));
  if (is_zero(lowest) && never_negative) return {b64(0), narrow(end)};
  return {smaller(l, not_negative(l, e.sub(lowest, at)), end), narrow(end)};
}

// The base moved to the view's own first element, so that the storage is what the view shows.
void rebase(Lowering& l, MemoryView& v) {
  Emit& e = l.emit();
  Operand elements = b64(0);
  int64_t divisor = kAnything;
  for (size_t s = 0; s < v.start.size(); ++s) {
    if (is_zero(v.start[s])) continue;
    elements = e.add(elements, e.mul(l.wide(v.start[s]), l.wide(v.stride[s])));
    divisor = std::gcd(
        divisor,
        std::min(kAnything, v.start_divisor[s] * std::min<int64_t>(v.stride_divisor[s], 1 << 20)));
  }
  int64_t bits = v.type.is_bool() ? 8 : v.type.bits;
  if (!is_zero(elements)) {
    v.base = e.add(v.base, byte_of(e, elements, bits));
    v.alignment = std::gcd(v.alignment, std::max<int64_t>(1, divisor * bits / 8));
    if (v.ends()) {
      v.room_begin = e.sub(v.room_begin, elements);
      v.room_divisor = std::gcd(v.room_divisor, divisor);
    }
  }
  std::vector<Operand> stride;
  std::vector<int64_t> stride_divisor;
  for (int d : v.dim) {
    stride.push_back(v.stride[static_cast<size_t>(d)]);
    stride_divisor.push_back(v.stride_divisor[static_cast<size_t>(d)]);
  }
  v.stride = std::move(stride);
  v.stride_divisor = std::move(stride_divisor);
  v.start.assign(v.dim.size(), b32(0));
  v.start_divisor.assign(v.dim.size(), kAnything);
  std::iota(v.dim.begin(), v.dim.end(), 0);
}

// Nothing of the view is there where `empty` holds.
void nothing_if(Lowering& l, MemoryView& v, std::vector<Operand>& first, Operand empty) {
  Emit& e = l.emit();
  if (empty.is_imm() && !empty.bits) return;
  if (!v.extent.empty()) {
    Operand end = v.extent[0];
    v.extent[0] = e.sel(empty, Operand::imm(0, end.type), end);
    first[0] = e.sel(empty, b64(0), first[0]);
    return;
  }
  if (v.space != Space::global)
    return l.unsupported("one element of shared memory that is not known to be there",
                         "write a range of one, `i:+1`");
  rebase(l, v);
  if (!v.ends()) v.room_begin = b64(0), v.room = b64(1);
  v.room = e.sel(empty, b64(0), v.room);
}

// The tensor or shared tile, or the part of one that an access names: with bounds of its own, but
// nothing that lies outside of what it is a part of.
MemoryView view_of_arg(Lowering& l) {
  Emit& e = l.emit();
  Ref r = l.arg_ref(0);
  if (!r.is_access()) return l.view_of(r.index());
  const Access& a = l.kernel().accesses[r.index()];
  MemoryView v = l.part_of(a).view, from = l.view_of(a.base, a.item);
  auto indices = l.kernel().indices_of(a);
  Operand empty = pred(false);
  std::vector<Operand> firsts;
  size_t d = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    const Index& index = indices[i];
    if (index.kind == IndexKind::all) {
      v.extent[d++] = from.extent[i];
      firsts.push_back(first_of(from, i));
      continue;
    }
    bool slot = i == 0 && l.kernel().values[a.base].type.ring;
    Operand at = l.index_of(index.start);
    if (index.kind == IndexKind::point) {
      if (slot) continue;
      Operand lowest = first_of(from, i);
      empty =
          e.or_(empty, e.not_(e.ult(e.sub(l.wide(at), lowest), e.sub(end_of(l, from, i), lowest))));
      continue;
    }
    Operand n = b64(static_cast<uint64_t>(index.extent));
    if (index.kind == IndexKind::span) n = e.sub(l.wide(l.index_of(index.stop)), l.wide(at));
    There there = clipped(l, at, l.facts().signs().never_negative(index.start), n, from, i);
    v.extent[d++] = there.end;
    firsts.push_back(there.first);
  }
  nothing_if(l, v, firsts, empty);
  set_first(v, std::move(firsts));
  return v;
}

// From the first element that is there to behind the last, counted from the view's own first; none
// where a dimension has none.
There span_of(Lowering& l, const MemoryView& v) {
  Emit& e = l.emit();
  There span{b64(0), b64(1)};
  Operand none = pred(false);
  for (size_t d = 0; d < v.dim.size(); ++d) {
    Operand stride = l.wide(v.stride[static_cast<size_t>(v.dim[d])]), end = end_of(l, v, d);
    span.first = e.add(span.first, e.mul(stride, first_of(v, d)));
    span.end = e.add(span.end, e.mul(stride, e.sub(end, b64(1))));
    none = e.or_(none, e.sle(end, first_of(v, d)));
  }
  return {span.first, e.sel(none, span.first, span.end)};
}

Operand product_of(Lowering& l, const std::vector<Operand>& extents) {
  Operand all = b64(1);
  for (Operand x : extents) all = l.emit().mul(all, x.type == RegClass::b32 ? l.emit().zext(x) : x);
  return all;
}

// Shared memory: the storage's dimensions behind the view, which must be whole ones side by side,
// get another shape.
bool reshape_shared(Lowering& l, MemoryView& v, const Shape& to) {
  if (!v.first.empty()) return false;
  std::vector<int64_t> storage;
  size_t rank = v.start.size();
  for (size_t d = 0; d < rank; ++d)
    storage.push_back(size_of(*v.memory, Label::dim, static_cast<int>(d)));
  size_t first = v.dim.empty() ? rank : static_cast<size_t>(v.dim[0]);
  for (size_t i = 0; i < v.dim.size(); ++i) {
    size_t s = first + i;
    if (v.dim[i] != static_cast<int>(s) || !is_zero(v.start[s]) || !v.extent[i].is_imm() ||
        static_cast<int64_t>(v.extent[i].bits) != storage[s])
      return false;
  }
  std::vector<int64_t> shape(storage.begin(), storage.begin() + static_cast<int64_t>(first));
  shape.insert(shape.end(), to.begin(), to.end());
  shape.insert(shape.end(), storage.begin() + static_cast<int64_t>(first + v.dim.size()),
               storage.end());
  Result<Layout> layout = reshape(*v.memory, shape);
  if (!layout) return false;
  v.memory = l.keep(std::move(*layout));
  std::vector<Operand> start(shape.size(), b32(0));
  std::vector<int64_t> divisor(shape.size(), kAnything);
  for (size_t d = 0; d < rank; ++d) {
    if (d >= first && d < first + v.dim.size()) continue;
    size_t now = d < first ? d : d - v.dim.size() + static_cast<size_t>(to.rank);
    start[now] = v.start[d];
    divisor[now] = v.start_divisor[d];
  }
  v.start = std::move(start);
  v.start_divisor = std::move(divisor);
  v.dim.clear(), v.extent.clear();
  for (int d = 0; d < to.rank; ++d) {
    v.dim.push_back(static_cast<int>(first) + d);
    v.extent.push_back(b32(static_cast<uint64_t>(to[d])));
  }
  return true;
}

// Global memory in row-major order without gaps; a dimension that stays by itself keeps its stride
// and its bounds, others must be there as a whole.
bool reshape_global(Lowering& l, MemoryView& v, const Shape& from, const Shape& to) {
  Emit& e = l.emit();
  if (v.type.bits % 8 && !v.type.is_bool())
    for (const Operand& s : v.start)
      if (!is_zero(s)) return false;
  rebase(l, v);
  std::vector<Operand> stride(to.rank, b64(1)), extent(to.rank), first(to.rank, b64(0));
  std::vector<int64_t> divisor(to.rank, 1);
  for (int d = 0; d < to.rank; ++d)
    extent[static_cast<size_t>(d)] = b32(static_cast<uint64_t>(to[d]));
  Operand whole = pred(true);
  // From the last dimension: groups with equal products on both sides.
  int i = v.rank(), j = to.rank;
  while (i > 0 || j > 0) {
    int i1 = i, j1 = j;
    int64_t old_n = i > 0 ? from[--i] : 1, new_n = j > 0 ? to[--j] : 1;
    while (old_n != new_n) {
      if (old_n < new_n && i > 0) old_n *= from[--i];
      else if (j > 0) new_n *= to[--j];
      else return false;
    }
    // Extents of 1 at the front belong to the last group.
    if (i == 0 || j == 0) {
      while (i > 0 && from[i - 1] == 1) --i;
      while (j > 0 && to[j - 1] == 1) --j;
    }
    bool alone = i1 - i == 1 && j1 - j == 1;
    Operand inner = b32(1);
    int64_t inner_divisor = 1;
    for (int d = i; d < i1; ++d) {
      size_t at = static_cast<size_t>(d);
      if (alone || from[d] != 1) inner = v.stride[at], inner_divisor = v.stride_divisor[at];
      if (alone) {
        extent[static_cast<size_t>(j)] = v.extent[at];
        first[static_cast<size_t>(j)] = first_of(v, at);
        continue;
      }
      Operand full = Operand::imm(static_cast<uint64_t>(from[d]), v.extent[at].type);
      whole = e.and_(whole, e.and_(e.eq(v.extent[at], full), e.eq(first_of(v, at), b64(0))));
    }
    int64_t row = 1;
    for (int d = j1; d-- > j;) {
      Operand step = row == 1 ? inner : e.mul(l.wide(inner), b64(static_cast<uint64_t>(row)));
      stride[static_cast<size_t>(d)] = narrow(step);
      divisor[static_cast<size_t>(d)] = inner_divisor * row;
      row *= to[d];
    }
  }
  if (!(whole.is_imm() && whole.bits) && to.rank) {
    fault_if(l, e.not_(whole), diag::run_view_shape);
    extent[0] = e.sel(whole, extent[0], Operand::imm(0, extent[0].type));
    first[0] = e.sel(whole, first[0], b64(0));
  }
  v.stride = std::move(stride);
  v.stride_divisor = std::move(divisor);
  v.extent = std::move(extent);
  set_first(v, std::move(first));
  v.start.assign(to.rank, b32(0));
  v.start_divisor.assign(to.rank, kAnything);
  v.dim.resize(to.rank);
  std::iota(v.dim.begin(), v.dim.end(), 0);
  return true;
}

}  // namespace

bool is_memory(Lowering& l, size_t arg) {
  Ref r = l.arg_ref(arg);
  if (r.is_constant()) return false;
  uint32_t value = r.is_access() ? l.kernel().accesses[r.index()].base : r.index();
  return l.kernel().values[value].type.space != Space::reg;
}

std::vector<int> permutation(Lowering& l, int rank) {
  std::vector<int> order(static_cast<size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  if (auto perm = l.attr(AttrTag::perm))
    for (int i = 0; i < rank; ++i) order[static_cast<size_t>(i)] = perm_at(*perm, i);
  else std::swap(order[static_cast<size_t>(rank) - 1], order[static_cast<size_t>(rank) - 2]);
  return order;
}

void slice_view(Lowering& l) { l.set_view(0, view_of_arg(l)); }

void transpose_view(Lowering& l) {
  MemoryView v = view_of_arg(l);
  MemoryView out = v;
  std::vector<int> order = permutation(l, v.rank());
  for (size_t d = 0; d < order.size(); ++d) {
    out.dim[d] = v.dim[static_cast<size_t>(order[d])];
    out.extent[d] = v.extent[static_cast<size_t>(order[d])];
    if (!v.first.empty()) out.first[d] = v.first[static_cast<size_t>(order[d])];
  }
  l.set_view(0, std::move(out));
}

void reshape_view(Lowering& l) {
  MemoryView v = view_of_arg(l);
  const Shape from = l.part_of_arg(0).shape, &to = l.result_type().shape;
  bool done = v.space == Space::global ? reshape_global(l, v, from, to) : reshape_shared(l, v, to);
  if (!done) return l.unsupported("this part of memory has no other shape without moving it");
  l.set_view(0, std::move(v));
}

LOWER(alias) {
  Emit& e = l.emit();
  MemoryView v = view_of_arg(l);
  int64_t old_bits = v.type.is_bool() ? 8 : v.type.bits;
  for (size_t s = 0; s < v.start.size() && old_bits % 8; ++s)
    if (!is_zero(v.start[s]) && std::gcd<int64_t>(v.start_divisor[s], 8) *
                                    std::gcd<int64_t>(v.stride_divisor[s], 8) * old_bits % 8)
      return l.unsupported("a part of memory that is not known to begin with a byte");
  Ref whole_of = l.arg_ref(0);
  bool dense = !whole_of.is_access() && whole_of.index() < l.kernel().params.size() &&
               l.kernel().params[whole_of.index()].strides.empty();
  There elements = dense ? There{b64(0), product_of(l, v.extent)} : span_of(l, v);
  rebase(l, v);
  v.first.clear();
  if (v.ends()) {  // an alias of an alias sees what that one does, if anything of the part is there
    Operand none = e.sle(elements.end, elements.first);
    elements = {v.room_begin, e.sel(none, v.room_begin, e.add(v.room_begin, v.room))};
  }
  auto bytes_to = [&](Operand element) { return byte_of(e, element, old_bits); };
  Operand first_byte = bytes_to(elements.first), bytes = bytes_to(elements.end);
  Operand at = l.has_arg(1) ? l.wide(l.index_of(l.arg_ref(1))) : b64(0);
  int64_t divisor = at.is_imm() ? (at.bits ? static_cast<int64_t>(at.bits & -at.bits) : kAnything)
                                : l.facts().divisor(l.arg_ref(1));
  const Type& type = l.result_type();
  const Shape& shape = type.shape;
  v.type = type.dtype;
  v.base = e.add(v.base, at);
  v.alignment = std::gcd(v.alignment, divisor);
  int64_t bits = v.type.is_bool() ? 8 : v.type.bits, row = 1;
  v.dim.resize(shape.rank);
  std::iota(v.dim.begin(), v.dim.end(), 0);
  v.stride.assign(shape.rank, b32(1)), v.stride_divisor.assign(shape.rank, 1);
  v.start.assign(shape.rank, b32(0)), v.start_divisor.assign(shape.rank, kAnything);
  v.extent.assign(shape.rank, b32(1));
  for (int d = shape.rank; d-- > 0; row *= shape[d]) {
    v.stride[static_cast<size_t>(d)] = narrow(b64(static_cast<uint64_t>(row)));
    v.stride_divisor[static_cast<size_t>(d)] = row;
    v.extent[static_cast<size_t>(d)] = b32(static_cast<uint64_t>(shape[d]));
  }
  // The elements that lie wholly within the tensor.
  uint64_t width = static_cast<uint64_t>(bits);
  Operand before = not_negative(l, e.sub(first_byte, at)), left = not_negative(l, e.sub(bytes, at));
  Operand end = e.op(BlockOp::udiv, {e.shl(left, 3), b64(width)});
  Operand begin = e.op(BlockOp::udiv, {e.add(e.shl(before, 3), b64(width - 1)), b64(width)});
  bool whole =
      begin.is_imm() && begin.bits == 0 && end.is_imm() && end.bits >= static_cast<uint64_t>(row);
  v.room = v.room_begin = Operand();
  if (!whole) {
    v.room_begin = begin;
    v.room = not_negative(l, e.sub(end, begin));
    v.room_divisor =
        begin.is_imm() && v.room.is_imm()
            ? std::gcd(static_cast<int64_t>(begin.bits | static_cast<uint64_t>(kAnything)),
                       static_cast<int64_t>(v.room.bits | static_cast<uint64_t>(kAnything)))
            : 1;
  }
  uint64_t inner = v.type.bits >= 16 ? width / 8 - 1 : 0;
  if (l.options().guard && inner) {
    fault_if(l, e.ne(e.and_(v.base, b64(inner)), b64(0)), diag::run_misaligned);
    v.base = e.and_(v.base, b64(~inner));
  }
  l.set_view(0, std::move(v));
}

}  // namespace tess::jit
