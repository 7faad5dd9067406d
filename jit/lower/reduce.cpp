// reduce.* and dot.
#include "jit/lower/arith.h"
#include "jit/lower/cast_element.h"
#include "jit/lower/combine.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

struct Reduction {
  Combining how;
  Shape shape, kept;        // of the operand, and with extent 1 where it is reduced
  int64_t n = 1, step = 1;  // elements combined into one, and how far their numbers are apart
};

Reduction reduction_of(const Shape& shape, std::optional<int> dim) {
  Reduction r;
  r.shape = r.kept = shape;
  for (int d = 0; d < shape.rank; ++d) {
    if (dim && *dim != d) {
      if (d > *dim) r.step *= shape[d];
      continue;
    }
    r.how.dims |= 1u << d;
    r.n *= shape[d];
    r.kept[d] = 1;
  }
  return r;
}
std::optional<int> dim_attr(Lowering& l, int rank) {
  if (!l.has(AttrTag::dim)) return {};
  return l.dim(rank, 0);
}

// By layouts that mix what is reduced and what stays: the whole tile lies in shared memory, and
// whoever has an element of the result walks along its row. `item` makes what is carried of an
// element and its place in the row.
template <class MakeItem>
std::vector<Item> walk_rows(Lowering& l, const Tile& a, const TileLayout& to, const Reduction& r,
                            MakeItem item) {
  Emit& e = l.emit();
  ScratchArray all(l, a.type, a.shape.elements());
  store_tile(l, all, a);
  std::vector<Item> out;
  for (int64_t reg = 0; reg < to.registers; ++reg) {
    // The number of the row's first element: the coordinate that is reduced is 0 in `to`.
    Operand first = element_number(l, to, r.shape, reg);
    if (!l.holds_elements(to).is_imm()) first = e.sel(l.holds_elements(to), first, b32(0));
    Item begin = item(all.load(first), b32(0)), variables;
    for (Operand o : begin) {
      variables.push_back(e.variable(o.type, "row"));
      e.assign(variables.back(), o);
    }
    Operand at = e.variable(RegClass::b32, "at");
    e.assign(at, b32(1));
    e.begin_loop();
    Operand now = e.snapshot(at);
    e.control(BlockOp::break_if, {e.eq(now, b32(static_cast<uint64_t>(r.n)))});
    Item before;
    for (Operand v : variables) before.push_back(e.snapshot(v));
    Operand number = e.add(first, e.mul(now, b32(static_cast<uint64_t>(r.step))));
    Item next = r.how.combine(before, item(all.load(number), now));
    for (size_t i = 0; i < next.size(); ++i) e.assign(variables[i], next[i]);
    e.begin_latch();
    e.assign(at, e.add(e.snapshot(at), b32(1)));
    e.end();
    Item done;
    for (Operand v : variables) done.push_back(e.snapshot(v));
    out.push_back(done);
  }
  l.barrier();
  return out;
}

// The tile of the result, by register of the collapsed layout, set as result 0.
void set_reduced(Lowering& l, DType t, const Reduction& r, const TileLayout& small,
                 const std::vector<Operand>& elements) {
  Tile out;
  out.type = t;
  out.shape = r.kept;
  out.layout = &small;
  out.words = l.pack(t, elements);
  const Shape& shape = l.result_type().shape;
  l.set(0, reshaped_words(l, out, shape, shape.rank ? l.result_layout() : nullptr));
}

void reduce_tile(Lowering& l, Binary op) {
  Tile a = l.arg(0);
  if (!a.layout) return l.set(0, a.words);
  DType t = a.type, work = work_type(t);
  Reduction r = reduction_of(a.shape, dim_attr(l, a.shape.rank));
  r.how.combine = [&](const Item& x, const Item& y) {
    return Item{binary_element(l, op, work, x[0], y[0])};
  };
  if (work == dt::i32_ || work == dt::u32_) {
    std::string sign = work == dt::i32_ ? "s32" : "u32";
    if (op == Binary::add || op == Binary::min || op == Binary::max)
      r.how.warp_form = std::string("redux.sync.") +
                        (op == Binary::add   ? "add."
                         : op == Binary::min ? "min."
                                             : "max.") +
                        sign;
    if (op == Binary::and_) r.how.warp_form = "redux.sync.and.b32";
    if (op == Binary::or_) r.how.warp_form = "redux.sync.or.b32";
    if (op == Binary::xor_) r.how.warp_form = "redux.sync.xor.b32";
  }
  const TileLayout* small = collapsed_layout(l, *a.layout, r.how.dims);
  if (!small) return l.broken("the operand's layout does not reduce");
  std::vector<Item> items;
  for (Operand x : l.elements(t, a.words, a.layout->registers)) items.push_back({to_work(l, t, x)});
  auto combined = combine_registers(l, *a.layout, *small, std::move(items), r.how);
  if (!combined)
    combined =
        walk_rows(l, a, *small, r, [&](Operand x, Operand) { return Item{to_work(l, t, x)}; });
  std::vector<Operand> out;
  for (const Item& item : *combined) out.push_back(from_work(l, t, item[0]));
  set_reduced(l, t, r, *small, out);
}

void reduce_arg(Lowering& l, bool greatest) {
  Emit& e = l.emit();
  Tile a = l.arg(0);
  if (!a.layout) return l.set(0, {b32(0)});
  DType t = a.type;
  int dim = l.dim(a.shape.rank, 0);
  Reduction r = reduction_of(a.shape, dim);
  r.how.combine = [&](const Item& x, const Item& y) {
    Operand better = e.op(BlockOp::ult, {y[0], x[0]});
    Operand tie = e.and_(e.eq(x[0], y[0]), e.op(BlockOp::ult, {y[1], x[1]}));
    Operand take = e.or_(better, tie);
    return Item{e.sel(take, y[0], x[0]), e.sel(take, y[1], x[1])};
  };
  const TileLayout* small = collapsed_layout(l, *a.layout, r.how.dims);
  if (!small) return l.broken("the operand's layout does not reduce");
  std::vector<Item> items;
  std::vector<Operand> held = l.elements(t, a.words, a.layout->registers);
  for (int64_t i = 0; i < a.layout->registers; ++i)
    items.push_back({order_key(l, t, held[static_cast<size_t>(i)], greatest),
                     element_coordinate(l, *a.layout, i, dim)});
  auto combined = combine_registers(l, *a.layout, *small, std::move(items), r.how);
  if (!combined)
    combined = walk_rows(l, a, *small, r, [&](Operand x, Operand place) {
      return Item{order_key(l, t, x, greatest), place};
    });
  std::vector<Operand> out;
  for (const Item& item : *combined) out.push_back(item[1]);
  set_reduced(l, dt::i32_, r, *small, out);
}

}  // namespace

LOWER(reduce_add) { reduce_tile(l, Binary::add); }
LOWER(reduce_mul) { reduce_tile(l, Binary::mul); }
LOWER(reduce_min) { reduce_tile(l, l.has(AttrTag::nan) ? Binary::min_nan : Binary::min); }
LOWER(reduce_max) { reduce_tile(l, l.has(AttrTag::nan) ? Binary::max_nan : Binary::max); }
LOWER(reduce_and) { reduce_tile(l, Binary::and_); }
LOWER(reduce_or) { reduce_tile(l, Binary::or_); }
LOWER(reduce_xor) { reduce_tile(l, Binary::xor_); }
LOWER(reduce_any) { reduce_tile(l, Binary::or_); }
LOWER(reduce_all) { reduce_tile(l, Binary::and_); }
LOWER(reduce_argmin) { reduce_arg(l, false); }
LOWER(reduce_argmax) { reduce_arg(l, true); }

// Products of a row, added up in the accumulator's type.
LOWER(dot) {
  Tile a = l.arg(0), b = l.arg(1);
  const Type& type = l.result_type();
  DType v = type.dtype, work = work_type(v);
  if (!a.layout || !b.layout) return l.broken("`dot` of scalars");
  Reduction r = reduction_of(a.shape, a.shape.rank - 1);
  r.how.combine = [&](const Item& x, const Item& y) {
    return Item{binary_element(l, Binary::add, work, x[0], y[0])};
  };
  const TileLayout* small = collapsed_layout(l, *a.layout, r.how.dims);
  if (!small) return l.broken("the operand's layout does not reduce");
  auto widened = [&](const Tile& t) {
    std::vector<Operand> out;
    for (Operand x :
         l.elements(t.type, l.broadcast_words(t, a.shape, a.layout), a.layout->registers))
      out.push_back(t.type == work ? x : cast_element(l, work, t.type, x, {}));
    return out;
  };
  std::vector<Operand> x = widened(a), y = widened(b);
  std::vector<Item> items;
  for (size_t i = 0; i < x.size(); ++i)
    items.push_back({binary_element(l, Binary::mul, work, x[i], y[i])});
  auto combined = combine_registers(l, *a.layout, *small, items, r.how);
  if (!combined) {
    Tile products;
    products.type = work;
    products.shape = a.shape;
    products.layout = a.layout;
    for (const Item& item : items) products.words.push_back(item[0]);
    combined = walk_rows(l, products, *small, r, [](Operand p, Operand) { return Item{p}; });
  }
  Tile sum;
  sum.type = work;
  sum.shape = r.kept;
  sum.layout = small;
  for (const Item& item : *combined) sum.words.push_back(item[0]);
  const TileLayout* layout = type.shape.rank ? l.result_layout() : nullptr;
  Words words = reshaped_words(l, sum, type.shape, layout);
  int64_t n = layout ? layout->registers : 1;
  std::vector<Operand> out;
  std::vector<Operand> c;
  if (l.has_arg(2)) c = l.elements(v, l.broadcast_words(l.arg(2), type.shape, layout), n);
  for (size_t i = 0; i < words.size(); ++i) {
    Operand s = words[i];
    // Without an accumulator the sum starts at 0, which is not -0.
    if (!c.empty()) s = binary_element(l, Binary::add, work, s, to_work(l, v, c[i]));
    else if (work.is_float()) s = binary_element(l, Binary::add, work, s, Operand::imm(0, s.type));
    out.push_back(from_work(l, v, s));
  }
  l.set(0, l.pack(v, out));
}

}  // namespace tess::jit
