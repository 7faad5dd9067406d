// copy.async and its groups: cp.async in pieces of 16, 8 or 4 bytes where both sides lie together
// so far, zeros where the source is out of bounds; else an ordinary load and store at once.
#include <algorithm>
#include <map>
#include <numeric>

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

}  // namespace

LOWER(copy_async) {
  Emit& e = l.emit();
  Part to = l.part_of_arg(0), from = l.part_of_arg(1);
  Shape shape = to.shape;
  if (shape.rank == 0)
    return l.unsupported("a copy of one element", "copy a range, or load and store");
  const TileLayout* layout = copy_layout(l, to.view.type, shape);
  if (!layout) return;
  outside_of_shared(l, 0, to);  // elements that are outside are not stored
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
