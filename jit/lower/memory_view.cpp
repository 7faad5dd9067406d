// Tensors and shared tiles as the lowering sees them: addresses, bounds, strides, and what divides
// them.
#include <numeric>

#include "isa/infer.h"
#include "isa/layout_ops.h"
#include "isa/numerics.h"
#include "jit/lower/guard.h"
#include "jit/lower/lowering.h"

namespace tess::jit {
namespace {

constexpr int64_t kAnything = int64_t{1} << 30;  // what divides 0

int64_t common(int64_t a, int64_t b) { return std::gcd(a, b); }

// The first coordinate of dimension d that is there, where it is known.
std::optional<int64_t> begins(const MemoryView& v, size_t d) {
  if (v.first.empty()) return 0;
  if (!v.first[d].is_imm()) return {};
  return static_cast<int64_t>(v.first[d].bits);
}

}  // namespace

int64_t Lowering::host_divisor(const HostExpr& e) const {
  int64_t d = tile::host_divisor(k_, e);
  return d ? std::min(d, kAnything) : kAnything;
}

Operand Lowering::host_value(const HostExpr& e) {
  if (e.is_constant())
    return e.constant() >= 0 && e.constant() < int64_t{1} << 31
               ? b32(static_cast<uint64_t>(e.constant()))
               : b64(static_cast<uint64_t>(e.constant()));
  if (e.tokens.size() == 1 && e.tokens[0].op == HostOp::param)
    return index_of(Ref::value(static_cast<uint32_t>(e.tokens[0].value)));
  for (size_t i = 0; i < out_.block.params.size(); ++i) {
    const BlockParam& p = out_.block.params[i];
    if (p.kind == ParamKind::expression && p.expr == e)
      return e_.op(BlockOp::param, {b32(i)}, RegClass::b64);
  }
  BlockParam p;
  p.kind = ParamKind::expression;
  p.type = RegClass::b64;
  p.expr = e;
  p.name = "extent";
  out_.block.params.push_back(p);
  return e_.op(BlockOp::param, {b32(out_.block.params.size() - 1)}, RegClass::b64);
}

Operand Lowering::index_of(Ref r) {
  Tile t = tile_of(r);
  Operand v = t.words.empty() ? b32(0) : t.words[0];
  if (v.is_imm() && t.type.is_int()) {
    int64_t value = decode_int(t.type, v.bits);
    if (value >= -(int64_t{1} << 31) && value < int64_t{1} << 31)
      return b32(static_cast<uint64_t>(value));
    return b64(static_cast<uint64_t>(value));
  }
  if (t.type.bits == 64 || t.type == dt::i32_) return v;
  if (t.type == dt::u32_) return e_.zext(v);
  return elements(t.type, t.words, 1)[0];  // narrower: extended to b32
}

Operand Lowering::index_add(Operand a, Operand b) {
  // i32 + i32 may leave i32: only a constant 0 keeps the narrow form; unless both are constants.
  if (a.is_imm() && a.bits == 0) return b;
  if (b.is_imm() && b.bits == 0) return a;
  Operand sum = e_.add(wide(a), wide(b));
  if (sum.is_imm() && static_cast<int64_t>(sum.bits) == static_cast<int32_t>(sum.bits))
    return b32(sum.bits);
  return sum;
}

MemoryView Lowering::view_of(uint32_t value, Ref item) {
  if (value < bindings_.size() && bindings_[value].view) return *bindings_[value].view;
  MemoryView v;
  const Type& type = k_.values[value].type;
  v.space = type.space;
  v.type = type.dtype;
  v.root = value;
  if (value >= k_.params.size() || type.space != Space::global) {
    broken("memory without a place");
    v.base = b64(0);
    return v;
  }
  const Param& p = k_.params[value];
  uint32_t number = 0;
  for (uint32_t i = 0; i < out_.block.params.size(); ++i) {
    const BlockParam& bp = out_.block.params[i];
    if ((bp.kind == ParamKind::pointer || bp.kind == ParamKind::list) && bp.source == value)
      number = i;
  }
  v.base = e_.op(BlockOp::param, {b32(number)}, RegClass::b64);
  if (!p.list.tokens.empty() && !item.is_none()) {
    Operand number = wide(index_of(item)), count = host_value(p.list);
    if (count.type == RegClass::b32) count = e_.zext(count);
    Operand inside = e_.ult(number, count);
    fault_if(*this, e_.not_(inside), diag::run_list_range);
    Operand at = e_.mul(e_.sel(inside, number, b64(0)), b64(8));
    v.base = e_.form1("ld.global.nc.b64", {e_.add(v.base, at), b32(0)});
  }
  v.alignment = std::max<int64_t>(p.aligned, std::max(1, type.dtype.bits / 8));
  HostExpr row = HostExpr::of(1);
  size_t rank = p.shape.size();
  v.stride.resize(rank);
  v.stride_divisor.resize(rank);
  for (size_t d = rank; d-- > 0;) {
    HostExpr stride = p.strides.empty() ? row : p.strides[d];
    v.stride[d] = host_value(stride);
    v.stride_divisor[d] = host_divisor(stride);
    row = row == HostExpr::of(1) ? p.shape[d] : host_apply(HostOp::mul, p.shape[d], row);
  }
  for (size_t d = 0; d < rank; ++d) {
    v.dim.push_back(static_cast<int>(d));
    v.extent.push_back(host_value(p.shape[d]));
    v.start.push_back(b32(0));
    v.start_divisor.push_back(kAnything);
  }
  return v;
}

Operand Lowering::has_slot(const MemoryView& v) {
  if (!v.may_lack_slot()) return pred(true);
  return e_.sle(Operand::imm(0, v.use.type), v.use);
}

Bound Lowering::bound_of(const MemoryView& v, size_t d, Operand at) {
  Bound b;
  b.origin = at;
  b.extent = v.extent[d];
  bool counts_from_0 = v.first.empty() || (v.first[d].is_imm() && v.first[d].bits == 0);
  if (b.origin.type == b.extent.type && counts_from_0) return b;
  b.origin = wide(b.origin);
  if (b.extent.type == RegClass::b32) b.extent = e_.zext(b.extent);
  if (counts_from_0) return b;
  b.origin = e_.sub(b.origin, v.first[d]);
  b.extent = e_.sub(b.extent, v.first[d]);
  return b;
}

Part Lowering::part_of(const Access& a) {
  Part part;
  MemoryView from = view_of(a.base, a.item);
  part.view = from;
  part.view.dim.clear();
  part.view.extent.clear();
  part.view.first.clear();
  auto indices = k_.indices_of(a);
  bool ring = k_.values[a.base].type.ring;
  for (size_t i = 0; i < indices.size() && i < from.dim.size(); ++i) {
    const Index& index = indices[i];
    size_t s = static_cast<size_t>(from.dim[i]);
    bool tile = index.kind == IndexKind::point && index.start.is_value() &&
                k_.values[index.start.index()].type.is_tile();
    Operand at = b32(0);
    int64_t at_divisor = kAnything;
    if (!tile && index.kind != IndexKind::all) {
      at = index_of(index.start);
      at_divisor = facts_.divisor(index.start);
      if (at.is_imm() && at.bits == 0) at_divisor = kAnything;
    }
    int64_t n = 1;
    // A part that hangs over its tensor's end has all elements of its type, but not all are there.
    int64_t extent = k_.values[a.base].type.shape[static_cast<int>(i)];
    bool extent_there = extent != kDynamic;
    if (ring && i == 0) {  // use number u: slot u mod N, and none if it is negative
      if (!facts_.signs().counts(index.start)) part.view.use = at;
      Operand slots = from.extent[i];
      if (at.type == RegClass::b64) slots = e_.zext(slots);
      at = e_.op(BlockOp::urem, {at, slots});
      if (at.type == RegClass::b64) at = e_.trunc(at);
      at_divisor = 1;
    } else {
      if (tile) {
        part.gather_dim = part.view.rank();
        part.gather = tile_of(index.start);
        n = part.gather.shape[0];
      } else if (index.kind == IndexKind::range) {
        n = index.extent;
      } else if (index.kind == IndexKind::all) {
        if (extent_there) n = extent;
        else if (from.extent[i].is_imm()) n = static_cast<int64_t>(from.extent[i].bits);
      }
      Bound bound = bound_of(from, i, at);
      bound.dim = tile || index.kind != IndexKind::point ? part.view.rank() : -1;
      bound.origin_divisor = common(at_divisor, begins(from, i).value_or(1));
      if (bound.extent.is_imm()) {
        int64_t there = static_cast<int64_t>(bound.extent.bits);
        bound.extent_divisor = there ? there : kAnything;
      } else if (from.root < k_.params.size() && from.root == a.base) {
        bound.extent_divisor = host_divisor(k_.params[a.base].shape[i]);
      }
      bool inside = index.kind == IndexKind::all && !extent_there;
      if (!tile && at.is_imm() && at.type == RegClass::b32 && from.extent[i].is_imm()) {
        int64_t origin = static_cast<int32_t>(at.bits);
        auto first = begins(from, i);
        inside |=
            first && origin >= *first && origin + n <= static_cast<int64_t>(from.extent[i].bits);
      }
      if (!tile && index.kind != IndexKind::all) {
        bool whole = from.root < k_.params.size() && from.root == a.base;
        if (whole) inside |= facts_.within().holds(index.start, n, k_.params[a.base].shape[i]);
        else if (from.extent[i].is_imm() && begins(from, i) == 0)
          inside |= facts_.within().holds(index.start, n,
                                          HostExpr::of(static_cast<int64_t>(from.extent[i].bits)));
      }
      if (!inside) part.bounds.push_back(bound);
    }
    part.view.start[s] = index_add(part.view.start[s], at);
    part.view.start_divisor[s] = common(part.view.start_divisor[s], at_divisor);
    if (tile || index.kind != IndexKind::point) {
      part.view.dim.push_back(static_cast<int>(s));
      part.view.extent.push_back(b32(static_cast<uint64_t>(n)));
      part.shape.push(n);
    }
  }
  return part;
}

Part Lowering::part_of_arg(size_t i) {
  Ref r = arg_ref(i);
  if (r.is_access()) return part_of(k_.accesses[r.index()]);
  Part part;
  part.view = view_of(r.index());
  const Shape& shape = k_.values[r.index()].type.shape;
  for (size_t d = 0; d < part.view.extent.size(); ++d) {
    const Operand& there = part.view.extent[d];
    int64_t n = shape[static_cast<int>(d)];
    if (n == kDynamic) {
      part.shape.push(there.is_imm() ? static_cast<int64_t>(there.bits) : kDynamic);
      continue;
    }
    part.shape.push(n);
    if (there.is_imm() && static_cast<int64_t>(there.bits) >= n && begins(part.view, d) == 0)
      continue;
    Bound bound = bound_of(part.view, d, b32(0));
    bound.dim = static_cast<int>(d);
    bound.origin_divisor = common(kAnything, begins(part.view, d).value_or(1));
    part.bounds.push_back(bound);
  }
  return part;
}

void Lowering::set_view(size_t result, MemoryView view) {
  bindings_[result_value(result)].view = std::move(view);
}

}  // namespace tess::jit
