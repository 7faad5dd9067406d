// sort and topk: a bitonic network over (key, index) pairs in shared memory, every row filled up to
// a power of two. Since no two pairs are equal, the order is the stable one.
#include <bit>

#include "jit/lower/arith.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

Operand n32(int64_t v) { return b32(static_cast<uint64_t>(v)); }

// Work items 0 to count - 1, spread over the strand's threads.
template <class Body>
void spread_over_threads(Lowering& l, int64_t count, Body body) {
  Emit& e = l.emit();
  if (count == 0) return;
  Operand at = e.variable(RegClass::b32, "item");
  e.assign(at, l.thread());
  e.begin_loop();
  Operand now = e.snapshot(at);
  e.control(BlockOp::break_if, {e.not_(e.ult(now, n32(count)))});
  body(now);
  e.begin_latch();
  e.assign(at, e.add(e.snapshot(at), n32(int64_t{l.strand().warps} * 32)));
  e.end();
}

// A tile as [outer, n, inner] around the dimension that is sorted: rows are counted outer · inner.
struct Rows {
  int64_t outer = 1, n = 1, inner = 1;
  int64_t count() const { return outer * inner; }
};
Rows rows_of(const Shape& shape, int dim) {
  Rows r;
  for (int d = 0; d < shape.rank; ++d) (d < dim ? r.outer : d == dim ? r.n : r.inner) *= shape[d];
  return r;
}
struct Place {
  Operand row, at;
};
Place place_of(Lowering& l, const Rows& r, Operand number) {
  Emit& e = l.emit();
  Operand outer = e.op(BlockOp::udiv, {number, n32(r.n * r.inner)});
  Operand inner = e.op(BlockOp::urem, {number, n32(r.inner)});
  Operand at = e.op(BlockOp::urem, {e.op(BlockOp::udiv, {number, n32(r.inner)}), n32(r.n)});
  return {e.add(e.mul(outer, n32(r.inner)), inner), at};
}
Operand number_of(Lowering& l, const Rows& r, Place p) {
  Emit& e = l.emit();
  Operand outer = e.op(BlockOp::udiv, {p.row, n32(r.inner)}),
          inner = e.op(BlockOp::urem, {p.row, n32(r.inner)});
  return e.add(e.mul(e.add(e.mul(outer, n32(r.n)), p.at), n32(r.inner)), inner);
}

// All rows of `width` elements, a power of two, side by side.
void sort_rows(Lowering& l, ScratchArray& keys, ScratchArray& indices, int64_t rows,
               int64_t width) {
  Emit& e = l.emit();
  Operand run = e.variable(RegClass::b32, "run"), apart = e.variable(RegClass::b32, "apart");
  e.assign(run, b32(2));
  e.begin_loop();
  Operand k = e.snapshot(run);
  e.control(BlockOp::break_if, {e.ult(n32(width), k)});
  e.assign(apart, e.lshr(k, 1));
  e.begin_loop();
  Operand j = e.snapshot(apart);
  e.control(BlockOp::break_if, {e.eq(j, b32(0))});
  spread_over_threads(l, rows * width / 2, [&](Operand p) {
    Operand within = e.and_(p, e.sub(j, b32(1)));
    Operand low = e.add(e.shl(e.sub(p, within), 1), within), high = e.add(low, j);
    Operand rising = e.eq(e.and_(e.and_(low, n32(width - 1)), k), b32(0));
    Operand a = keys.load(low), b = keys.load(high);
    Operand ia = indices.load(low), ib = indices.load(high);
    Operand after = e.or_(e.op(BlockOp::ult, {b, a}), e.and_(e.eq(a, b), e.ult(ib, ia)));
    e.begin_if(e.not_(e.xor_(after, rising)));
    keys.store(low, b), keys.store(high, a);
    indices.store(low, ib), indices.store(high, ia);
    e.end();
  });
  l.barrier();
  e.begin_latch();
  e.assign(apart, e.lshr(e.snapshot(apart), 1));
  e.end();
  e.begin_latch();
  e.assign(run, e.shl(e.snapshot(run), 1));
  e.end();
}

void order_tile(Lowering& l, bool descending) {
  Emit& e = l.emit();
  Tile a = l.arg(0);
  if (!a.layout) return l.broken("`sort` of a scalar");
  DType t = a.type;
  int dim = l.dim(a.shape.rank, a.shape.rank - 1);
  Rows rows = rows_of(a.shape, dim);
  int64_t width = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows.n)));
  constexpr uint32_t kMostBytes = 96 * 1024;
  ScratchArray values(l, t, a.shape.elements());
  bool wide = t.bits == 64;
  ScratchArray keys(l, wide ? dt::u64_ : dt::u32_, rows.count() * width, values.end());
  ScratchArray indices(l, dt::u32_, rows.count() * width, keys.end());
  if (indices.end() > kMostBytes)
    return l.unsupported("the tile does not fit into shared memory with its keys",
                         "sort smaller tiles, and merge them");
  std::vector<Operand> held = l.elements(t, a.words, a.layout->registers);
  Operand mine = l.is_first_copy(*a.layout);
  if (!mine.is_imm()) e.begin_if(mine);
  for (int64_t r = 0; r < a.layout->registers; ++r) {
    Operand x = held[static_cast<size_t>(r)], number = element_number(l, *a.layout, a.shape, r);
    Place p = place_of(l, rows, number);
    Operand at = e.add(e.mul(p.row, n32(width)), p.at);
    values.store(number, x);
    keys.store(at, order_key(l, t, x, descending));
    indices.store(at, p.at);
  }
  if (!mine.is_imm()) e.end();
  int64_t missing = width - rows.n;
  spread_over_threads(l, rows.count() * missing, [&](Operand item) {
    Operand row = e.op(BlockOp::udiv, {item, n32(missing)});
    Operand k = e.add(e.op(BlockOp::urem, {item, n32(missing)}), n32(rows.n));
    Operand at = e.add(e.mul(row, n32(width)), k);
    keys.store(at, wide ? b64(~uint64_t{0}) : b32(0xffffffff));
    indices.store(at, k);
  });
  l.barrier();
  sort_rows(l, keys, indices, rows.count(), width);
  std::vector<Words> results;
  for (size_t i = 0; i < l.n_results(); ++i) {
    const Type& type = l.result_type(i);
    const TileLayout* layout = l.result_layout(i);
    if (!layout) return l.broken("`sort` to a scalar");
    Rows to = rows_of(type.shape, dim);
    // Where the element is that comes there.
    auto source = [&](int64_t r) {
      Place p = place_of(l, to, element_number(l, *layout, type.shape, r));
      return e.add(e.mul(p.row, n32(width)), p.at);
    };
    std::vector<Operand> out;
    if (i == 1) {
      out = load_elements(l, indices, *layout, b32(0), source);
    } else {
      out = load_elements(l, values, *layout, zero_element(t), [&](int64_t r) {
        Place p = place_of(l, to, element_number(l, *layout, type.shape, r));
        return number_of(l, rows, {p.row, indices.load(source(r))});
      });
    }
    results.push_back(l.pack(type.dtype, out));
  }
  l.barrier();
  for (size_t i = 0; i < results.size(); ++i) l.set(i, results[i]);
}

}  // namespace

LOWER(sort) { order_tile(l, l.has(AttrTag::descending)); }
LOWER(topk) { order_tile(l, !l.has(AttrTag::smallest)); }

}  // namespace tess::jit
