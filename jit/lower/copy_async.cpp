// copy.async and its groups: cp.async in pieces of 16, 8 or 4 bytes where both sides lie together
// so far, zeros where the source is out of bounds; else an ordinary load and store at once.
#include <algorithm>
#include <map>
#include <numeric>

#include "isa/layout_ops.h"
#include "jit/lower/access.h"
#include "jit/lower/copy_guard.h"
#include "jit/tile/shapes.h"

namespace tess::jit {
namespace {

// Runs of elements that are contiguous on both sides, in registers of one layout.
struct CopyPlan {
  int64_t run = 0;
  int unit = 0;  // bytes; 0: no such runs
  std::vector<int64_t> registers;
};

CopyPlan plan_copy(Lowering& l, const Part& to, const Part& from, const TileLayout& layout) {
  AccessPlan a = plan_access(l, from, layout, false), b = plan_access(l, to, layout, false);
  const AccessPlan& longer = a.run >= b.run ? a : b;
  const AccessPlan& shorter = a.run >= b.run ? b : a;
  CopyPlan plan{shorter.run, std::min(a.unit, b.unit), longer.registers};
  if (plan.unit < 4) return {};
  std::map<int64_t, size_t> group;  // of the shorter runs, by first register
  for (size_t i = 0; i < shorter.registers.size(); i += static_cast<size_t>(shorter.run))
    group[shorter.registers[i]] = i;
  for (size_t i = 0; i < plan.registers.size(); i += static_cast<size_t>(plan.run)) {
    auto it = group.find(plan.registers[i]);
    if (it == group.end()) return {};
    for (size_t j = 0; j < static_cast<size_t>(plan.run); ++j)
      if (plan.registers[i + j] != shorter.registers[it->second + j]) return {};
  }
  return plan;
}

// Threads along the last dimension first, each with up to 16 bytes of it.
const TileLayout* copy_layout(Lowering& l, DType type, const Shape& shape) {
  int64_t bits = type.is_bool() ? 8 : type.bits, last = shape[shape.rank - 1];
  // 16 bytes, or as many whole words as odd widths need.
  int64_t run = 128 % bits == 0 ? 128 / bits : 32 / std::gcd<int64_t>(32, bits);
  run = std::min(run, last & -last);
  Result<Layout> made =
      tile::wide_layout(shape, shape.rank - 1, run, static_cast<int>(l.strand().warps));
  if (made) return l.intern(*made);
  l.fail(made.error());
  return nullptr;
}

// Whole rows of a dense tensor to a row-major tile: one run on both sides, in pieces of 16 bytes
// whatever the rows' length. The last piece that is inside may be cut off.
bool copy_run(Lowering& l, const Part& to, const Part& from) {
  Emit& e = l.emit();
  const MemoryView &t = to.view, &f = from.view;
  int64_t bits = f.type.is_bool() ? 8 : f.type.bits, elements = to.shape.elements();
  if (f.space != Space::global || f.rank() != from.shape.rank || f.rank() < 2 || t.remote)
    return false;
  if (f.ends() || f.start.size() != f.dim.size() || t.start.size() != t.dim.size()) return false;
  int64_t row = 1;  // elements
  for (int d = f.rank(); d-- > 0;) {
    size_t s = static_cast<size_t>(d);
    bool zero = t.start[s].is_imm() && t.start[s].bits == 0;
    bool first = d == 0 || (f.start[s].is_imm() && f.start[s].bits == 0);
    bool dense = f.stride[s].is_imm() && static_cast<int64_t>(f.stride[s].bits) == row;
    if (f.dim[s] != d || t.dim[s] != d || !zero || !first || !dense) return false;
    if (d > 0) row *= from.shape[d];
  }
  std::vector<int64_t> dims(to.shape.begin(), to.shape.end());
  auto rows = row_major(dims);
  if (!rows || !(*rows == *t.memory)) return false;
  for (const Bound& b : from.bounds)
    if (b.dim != 0 || std::gcd<int64_t>(b.origin_divisor, 128) * (row * bits / 8) % 16)
      return false;
  bool aligned = row * bits % 8 == 0 && f.alignment % 16 == 0 && t.alignment % 16 == 0 &&
                 std::gcd<int64_t>(f.start_divisor[0], 128) * (row * bits / 8) % 16 == 0;
  if (!aligned || elements * bits % 128) return false;
  int64_t pieces = elements * bits / 128, threads = int64_t{l.strand().warps} * 32;
  Operand begin = e.mul(l.wide(f.start[0]), b64(static_cast<uint64_t>(row * bits / 8)));
  Operand source = e.add(f.base, begin), mine = e.shl(l.thread(), 4);
  Operand from_here = e.add(source, e.zext(mine)), to_here = e.add(t.base, mine);
  Operand left = b64(0), ahead = b64(0);  // bytes from this thread's first piece to the end
  for (const Bound& b : from.bounds) {
    Operand end = b.extent.type == RegClass::b32 ? e.zext(b.extent) : b.extent;
    Operand origin = e.mul(l.wide(b.origin), b64(static_cast<uint64_t>(row * bits / 8)));
    ahead = e.add(origin, e.zext(mine));
    left = e.sub(e.mul(end, b64(static_cast<uint64_t>(row * bits / 8))), ahead);
  }
  for (int64_t p = 0; p < pieces; p += threads) {
    bool all = p + threads <= pieces;
    if (!all) e.begin_if(e.ult(l.thread(), b32(static_cast<uint64_t>(pieces - p))));
    Operand bytes = b32(16), at = b64(static_cast<uint64_t>(p * 16));
    if (!from.bounds.empty()) {
      Operand rest = e.sub(left, at);
      bytes = e.sel(e.slt(rest, b64(16)), e.trunc(rest), bytes);
      bytes = e.sel(e.slt(rest, b64(0)), b32(0), bytes);
      bytes = e.sel(e.slt(e.add(ahead, at), b64(0)), b32(0), bytes);
    }
    e.form("cp.async.cg.shared.global", {to_here, b32(static_cast<uint64_t>(p * 16)), from_here,
                                         b32(static_cast<uint64_t>(p * 16)), b32(16), bytes});
    if (!all) e.end();
  }
  return true;
}

}  // namespace

LOWER(copy_async) {
  Emit& e = l.emit();
  Part to = l.part_of_arg(0), from = l.part_of_arg(1);
  Shape shape = to.shape;
  if (shape.rank == 0)
    return l.unsupported("a copy of one element", "copy a range, or load and store");
  bool plain = !l.has_arg(2) && !l.attr(AttrTag::pad) && from.gather_dim < 0 && to.bounds.empty();
  if (plain && copy_run(l, to, from)) return;
  const TileLayout* layout = copy_layout(l, to.view.type, shape);
  if (!layout) return;
  outside_of_shared(l, to);  // elements that are outside are not stored
  auto pad = l.attr(AttrTag::pad);
  uint64_t pad_code = pad ? l.kernel().constants[static_cast<size_t>(*pad)].code : 0;
  std::optional<Tile> mask;
  if (l.has_arg(2)) mask = l.arg(2);
  CopyPlan plan;
  if (!mask && pad_code == 0 && from.gather_dim < 0 && to.bounds.empty() &&
      !from.view.ends())
    plan = plan_copy(l, to, from, *layout);
  if (!plan.unit) {
    if (mask && mask->layout && mask->shape == shape) layout = mask->layout;
    Tile tile;
    tile.type = to.view.type;
    tile.shape = shape;
    tile.layout = layout;
    tile.words = load_part(l, from, tile, mask ? &*mask : nullptr, pad_code);
    return store_part(l, to, tile, nullptr);
  }
  Addresser source(l, from, *layout), target(l, to, *layout);
  int64_t bits = to.view.type.is_bool() ? 8 : to.view.type.bits;
  int pieces = static_cast<int>(plan.run * bits / 8 / plan.unit);
  std::string opcode = plan.unit == 16 ? "cp.async.cg.shared.global" : "cp.async.ca.shared.global";
  Operand mine = l.is_first_copy(*layout);
  source.at(plan.registers[0]);  // what all addresses share, before any branch
  target.at(plan.registers[0]);
  bool some = !(mine.is_imm() && mine.bits);
  if (some) e.begin_if(mine);
  for (size_t i = 0; i < plan.registers.size(); i += static_cast<size_t>(plan.run)) {
    int64_t reg = plan.registers[i];
    Address s = source.at(reg), t = target.at(reg);
    Operand inside = source.inside(reg);
    Operand bytes = e.sel(inside, b32(static_cast<uint64_t>(plan.unit)), b32(0));
    for (int p = 0; p < pieces; ++p)
      e.form(opcode, {t.base, b32(static_cast<uint32_t>(t.offset + p * plan.unit)), s.base,
                      b32(static_cast<uint32_t>(s.offset + p * plan.unit)),
                      b32(static_cast<uint64_t>(plan.unit)), bytes});
  }
  if (some) e.end();
}

LOWER(copy_async_commit) { l.emit().form("cp.async.commit_group", {}); }
LOWER(copy_async_wait) { l.emit().form("cp.async.wait_group", {l.arg(0).words[0]}); }

}  // namespace tess::jit
