// mma.scaled: factors and scales in shared memory as they are; each thread multiplies and adds the
// elements of its part of the result in f32, over k in order.
#include "jit/lower/access.h"
#include "jit/lower/cast_element.h"
#include "jit/lower/scratch_array.h"
#include "jit/lower/views.h"

namespace tess::jit {
namespace {

Tile operand(Lowering& l, size_t arg) {
  if (!is_memory(l, arg)) return l.arg(arg);
  Part part = l.part_of_arg(arg);
  Tile t;
  t.type = part.view.type;
  t.shape = part.shape;
  t.layout = l.any_layout(part.shape);
  if (t.layout) t.words = load_part(l, part, t, nullptr, 0);
  return t;
}

// One factor or scale: its array, and what a thread reads of it.
struct Source {
  DType type;
  ScratchArray array;
  int64_t columns;
  Operand at(Lowering& l, Operand row, Operand column) {
    Emit& e = l.emit();
    Operand number = e.add(e.mul(row, b32(static_cast<uint64_t>(columns))), column);
    return to_f32(l, type, array.load(number));
  }
};

Source placed(Lowering& l, const Tile& t, uint32_t& byte) {
  Source s{t.type, ScratchArray(l, t.type, t.shape.elements(), byte), t.shape[1]};
  byte = s.array.end();
  store_tile(l, s.array, t);
  return s;
}

}  // namespace

LOWER(mma_scaled) {
  Emit& e = l.emit();
  const TileLayout* layout = l.result_layout();
  if (!layout) return;
  Tile tiles[4];
  for (size_t i = 0; i < 4; ++i) {
    tiles[i] = operand(l, i);
    if (!tiles[i].layout) return;
  }
  int64_t k = tiles[0].shape[1], block = k / tiles[1].shape[1];
  uint32_t byte = 0;
  Source a = placed(l, tiles[0], byte), sa = placed(l, tiles[1], byte);
  Source b = placed(l, tiles[2], byte), sb = placed(l, tiles[3], byte);
  Words start = l.broadcast_words(l.arg(4), l.result_type().shape, layout);
  // Threads without elements work on those of the first.
  Operand holds = l.holds_elements(*layout);
  std::vector<Operand> acc, rows, columns;
  for (int64_t r = 0; r < layout->registers; ++r) {
    acc.push_back(e.variable(RegClass::f32, "acc"));
    e.assign(acc.back(), start[static_cast<size_t>(r)]);
    rows.push_back(e.sel(holds, element_coordinate(l, *layout, r, 0), b32(0)));
    columns.push_back(e.sel(holds, element_coordinate(l, *layout, r, 1), b32(0)));
  }
  Operand i = e.variable(RegClass::b32, "k");
  e.assign(i, b32(0));
  e.begin_loop(1);
  Operand now = e.snapshot(i);
  e.control(BlockOp::break_if, {e.sle(b32(static_cast<uint64_t>(k)), now)});
  Operand group = e.op(BlockOp::udiv, {now, b32(static_cast<uint64_t>(block))});
  std::map<std::vector<int64_t>, Operand> of_row, of_column;  // by the register's own coordinate
  for (int64_t r = 0; r < layout->registers; ++r) {
    size_t n = static_cast<size_t>(r);
    std::vector<int64_t> row{layout->at[n][0]}, column{layout->at[n][1]};
    if (layout->linear) row = column = layout->at[n];
    auto x = of_row.find(row), y = of_column.find(column);
    if (x == of_row.end())
      x = of_row
              .emplace(row,
                       e.form1("mul.rn.f32", {a.at(l, rows[n], now), sa.at(l, rows[n], group)}))
              .first;
    if (y == of_column.end())
      y = of_column
              .emplace(column, e.form1("mul.rn.f32",
                                       {b.at(l, now, columns[n]), sb.at(l, group, columns[n])}))
              .first;
    e.assign(acc[n], e.form1("fma.rn.f32", {x->second, y->second, acc[n]}));
  }
  e.begin_latch();
  e.assign(i, e.add(i, b32(1)));
  e.end();
  l.barrier();
  Words out;
  for (const Operand& o : acc) out.push_back(e.snapshot(o));
  l.set(0, std::move(out));
}

}  // namespace tess::jit
