// lookup: a table in registers where every thread knows all of it and it is small, else in shared
// memory. An index beyond the table reads some entry.
#include <map>

#include "jit/lower/guard.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

using At = std::vector<int64_t>;

// The index of each register of the result, b32, below the number of entries.
std::vector<Operand> indices(Lowering& l, const TileLayout* to, int64_t entries) {
  Emit& e = l.emit();
  Tile index = l.arg(0);
  std::vector<Operand> held = l.elements(index.type, index.words, index.elements()), out;
  std::vector<int64_t> map(static_cast<size_t>(to ? to->registers : 1), 0);
  if (index.layout) {
    size_t rank = static_cast<size_t>(index.shape.rank);
    map = l.register_map(*to, *index.layout, [&](const At& at) {
      return At(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(rank));
    });
    if (map.empty()) {
      l.broken("the indices' layout does not serve the result's");
      map.assign(static_cast<size_t>(to->registers), 0);
    }
  }
  std::vector<Operand> outside;
  for (int64_t r : map) {
    Operand x = held[static_cast<size_t>(r)];
    Operand inside = e.ult(x, Operand::imm(static_cast<uint64_t>(entries), x.type));
    if (x.type == RegClass::b64) x = e.trunc(x);
    bool always =
        index.type.bits < 32 && !index.type.is_signed() && entries >= int64_t{1} << index.type.bits;
    out.push_back(always ? x : e.sel(inside, x, b32(0)));
    outside.push_back(always ? pred(false) : e.not_(inside));
  }
  fault_if_any(l, to, outside, diag::run_lookup_range);
  return out;
}

// All entries in each thread, in order; none if some thread lacks one.
std::optional<std::vector<Operand>> known_entries(Lowering& l, const Tile& table) {
  if (!table.layout || table.shape.rank != 1) return {};
  const TileLayout& layout = *table.layout;
  for (const Digit& d : layout.layout.digits)
    if (d.label != Label::reg)
      for (int64_t o : d.out)
        if (o) return {};
  if (layout.lanes < 32 || layout.warps < l.strand().warps) return {};
  std::vector<Operand> held = l.elements(table.type, table.words, layout.registers);
  std::vector<Operand> out(static_cast<size_t>(table.shape[0]));
  for (int64_t r = 0; r < layout.registers; ++r)
    out[static_cast<size_t>(layout.at[static_cast<size_t>(r)][0])] = held[static_cast<size_t>(r)];
  return out;
}

// A tree of selections by the index's bits.
Operand selected(Emit& e, const std::vector<Operand>& entries, Operand index) {
  std::vector<Operand> level = entries;
  for (uint32_t bit = 0; level.size() > 1; ++bit) {
    Operand odd = e.ne(e.and_(index, b32(uint64_t{1} << bit)), b32(0));
    std::vector<Operand> next;
    for (size_t i = 0; i < level.size(); i += 2)
      next.push_back(i + 1 < level.size() ? e.sel(odd, level[i + 1], level[i]) : level[i]);
    level = std::move(next);
  }
  return level[0];
}

}  // namespace

LOWER(lookup) {
  Emit& e = l.emit();
  std::optional<Operand> book = l.codebook_at(l.arg_ref(1));
  Tile table = l.arg(1);
  DType t = l.result_type().dtype;
  const Shape& shape = l.result_type().shape;
  const TileLayout* to = shape.rank ? l.result_layout() : nullptr;
  if (shape.rank && !to) return;
  int64_t entries = table.shape[0], width = table.shape.rank == 2 ? table.shape[1] : 1;
  std::vector<Operand> index = indices(l, to, entries);
  if (!book && entries <= kMostSelected)
    if (auto known = known_entries(l, table)) {
      std::vector<Operand> out;
      for (const Operand& i : index) out.push_back(selected(e, *known, i));
      return l.set(0, l.pack(t, out));
    }
  ScratchArray array = book ? ScratchArray(l, t, *book) : ScratchArray(l, t, entries * width);
  if (!book) store_tile(l, array, table);
  auto number = [&](int64_t r) {
    Operand at = index[static_cast<size_t>(r)];
    if (table.shape.rank == 1) return at;
    Operand within = element_coordinate(l, *to, r, shape.rank - 1);
    return e.add(e.mul(at, b32(static_cast<uint64_t>(width))), within);
  };
  std::vector<Operand> out;
  if (to) out = load_elements(l, array, *to, zero_element(t), number);
  else out.push_back(array.load(number(0)));
  if (!book) l.barrier();
  l.set(0, l.pack(t, out));
}

}  // namespace tess::jit
