// mma: fragments through mma.sync, or products by multiply and add from shared tiles.
#include <map>
#include <set>

#include "isa/layout_atoms.h"
#include "isa/layout_ops.h"
#include "isa/numerics.h"
#include "jit/lower/access.h"
#include "jit/lower/cast_element.h"
#include "jit/lower/lowprec.h"
#include "jit/lower/pieces.h"
#include "jit/tile/shapes.h"

namespace tess::jit {
namespace {

tile::MmaForm form_for(Lowering& l, DType a, DType b, DType acc, bool& found) {
  Sm sm = l.arch() >= 900 || l.arch() >= 90 ? Sm::sm_90a : l.arch() >= 89 ? Sm::sm_89 : Sm::sm_80;
  auto form = tile::mma_form(a, b, acc, sm);
  found = form.has_value();
  return form.value_or(tile::MmaForm{});
}

// All warps work on the rows of A and the columns of B that their part of the result wants.
bool warps_agree(const TileLayout& a, const TileLayout& b, const TileLayout& c, int64_t warps) {
  for (int64_t w = 0; w < warps; ++w) {
    LayoutPoint p;
    p.warp = w;
    auto at = [&](const TileLayout& t) {
      LayoutPoint q = p;
      if (q.warp >= t.warps) q.warp = 0;
      return apply(t.layout, q);
    };
    if (w >= c.warps) continue;
    At x = at(a), y = at(b), z = at(c);
    size_t i = z.size() - 2;
    if (x[i] != z[i] || y[i + 1] != z[i + 1] || x[i + 1] != y[i]) return false;
    for (size_t d = 0; d < i; ++d)
      if (x[d] != z[d] || y[d] != z[d]) return false;
  }
  return true;
}

std::string type_word(DType t) {
  if (t == dt::f16_) return "f16";
  if (t == dt::bf16_) return "bf16";
  if (t.is_tf32()) return "tf32";
  if (t == dt::f64_) return "f64";
  if (t.is_int()) return t.is_signed() ? "s8" : "u8";
  return t.exp == 4 ? "e4m3" : "e5m2";
}

// What the instruction multiplies: exactly the same values in a type it knows.
DType fed_type(DType t, const tile::MmaForm& form) {
  if (t.is_int()) return t.is_signed() ? dt::i8_ : dt::u8_;
  if (form.k == 16 && form.m == 16 && t != dt::f16_ && t != dt::bf16_) {
    // f16 holds every float of 8 bits or less whose exponent has at most 5 bits.
    return t.exp <= 5 ? dt::f16_ : dt::bf16_;
  }
  return t;
}

Words fed_words(Lowering& l, const Tile& t, DType fed) {
  if (t.type == fed) return t.words;
  int64_t n = t.elements();
  std::vector<int64_t> order;
  for (int64_t r = 0; r < n; ++r) order.push_back(r);
  if (auto words = cast_packed(l, fed, t.type, t.words, n, order)) return *words;
  std::vector<Operand> from = l.elements(t.type, t.words, n), out;
  for (const Operand& x : from) out.push_back(cast_element(l, fed, t.type, x, {}));
  return l.pack(fed, out);
}

struct Product {
  Tile a, b;
  DType result;
  const TileLayout* layout = nullptr;
  Words acc;
  int64_t promote = 0;
};

Operand add_words(Emit& e, Operand x, Operand y) {
  if (x.type == RegClass::f32) return e.form1("add.rn.f32", {x, y});
  if (x.type == RegClass::f64) return e.form1("add.rn.f64", {x, y});
  if (x.type == RegClass::b16) return e.form1("add.rn.f16", {x, y});
  return e.add(x, y);
}

void tensor_core_product(Lowering& l, Product& p, const tile::MmaForm& form) {
  Emit& e = l.emit();
  auto fa = named_atom(form.a), fb = named_atom(form.b), fc = named_atom(form.c);
  if (!fa || !fb || !fc) return l.broken("an atom is missing");
  auto a = pieces_of(l, *p.a.layout, *fa, form.m, form.k);
  auto b = pieces_of(l, *p.b.layout, *fb, form.k, form.n);
  auto c = pieces_of(l, *p.layout, *fc, form.m, form.n);
  if (!a || !b || !c || !warps_agree(*p.a.layout, *p.b.layout, *p.layout, l.strand().warps))
    return l.unsupported("the operands' layouts are not fragments of one matrix instruction",
                         "leave the layouts out, or write " + std::string(form.a) + ", " +
                             std::string(form.b) + " and " + std::string(form.c));
  DType ta = fed_type(p.a.type, form), tb = fed_type(p.b.type, form);
  if (ta != tb && !ta.is_int() && (ta == dt::bf16_ || tb == dt::bf16_)) {
    if (p.a.type.bits <= 8 && p.b.type.bits <= 8) ta = tb = dt::bf16_;
  }
  auto in_order = [&](const Tile& t, DType fed, const Pieces& pieces,
                      std::map<At, int64_t>& first) {
    std::vector<int64_t> order;
    for (const auto& [origin, registers] : pieces.registers) {
      first[origin] = static_cast<int64_t>(order.size());
      order.insert(order.end(), registers.begin(), registers.end());
    }
    return l.permuted(fed, fed_words(l, t, fed), t.elements(), order);
  };
  std::map<At, int64_t> first_a, first_b;
  Words words_a = in_order(p.a, ta, *a, first_a), words_b = in_order(p.b, tb, *b, first_b);
  auto slice = [&](DType t, const Words& words, int64_t first, int64_t n) {
    int64_t per = t.bits >= 32 ? 1 : 32 / t.bits;
    Words out(words.begin() + first / per, words.begin() + (first + n) / per);
    return out;
  };
  bool half = p.result == dt::f16_;
  std::string acc_word = p.result.is_int()      ? "s32"
                         : half                 ? "f16"
                         : p.result == dt::f64_ ? "f64"
                                                : "f32";
  if (half && form.k == 32)
    return l.unsupported("products of 8-bit floats accumulate in f32",
                         "use an f32 accumulator and cast");
  std::string opcode = "mma.sync.aligned." + std::string(form.atom) + ".row.col." + acc_word + "." +
                       type_word(ta) + "." + type_word(tb) + "." + acc_word;
  int64_t per_c = half ? 2 : 1;
  std::vector<int64_t> order_c;
  std::map<At, int64_t> first_c;
  for (const auto& [origin, registers] : c->registers) {
    first_c[origin] = static_cast<int64_t>(order_c.size());
    order_c.insert(order_c.end(), registers.begin(), registers.end());
  }
  Words acc = l.permuted(p.result, p.acc, p.layout->registers, order_c);
  Words before = acc;
  if (p.promote) acc.assign(acc.size(), Operand::imm(0, acc[0].type));
  // k outermost: neighbouring instructions do not wait for each other.
  std::set<int64_t> steps;
  for (const auto& [origin, registers] : a->registers) steps.insert(origin.back());
  int64_t done = 0;
  for (int64_t k : steps) {
    for (const auto& [origin, start] : first_c) {
      At at_a = origin, at_b = origin;
      at_a[at_a.size() - 1] = k;
      at_b[at_b.size() - 2] = k;
      auto ia = first_a.find(at_a), ib = first_b.find(at_b);
      if (ia == first_a.end() || ib == first_b.end()) return l.broken("a fragment is missing");
      std::vector<Operand> args = slice(ta, words_a, ia->second, a->per_piece);
      Words wb = slice(tb, words_b, ib->second, b->per_piece);
      args.insert(args.end(), wb.begin(), wb.end());
      size_t at_c = static_cast<size_t>(start / per_c),
             n_c = static_cast<size_t>(c->per_piece / per_c);
      args.insert(args.end(), acc.begin() + static_cast<std::ptrdiff_t>(at_c),
                  acc.begin() + static_cast<std::ptrdiff_t>(at_c + n_c));
      std::vector<Operand> d = e.form(opcode, args);
      for (size_t i = 0; i < n_c && i < d.size(); ++i) acc[at_c + i] = d[i];
    }
    done += form.k;
    if (p.promote &&
        (done % p.promote == 0 || done == static_cast<int64_t>(steps.size()) * form.k)) {
      for (size_t i = 0; i < acc.size(); ++i) before[i] = add_words(e, before[i], acc[i]);
      acc.assign(acc.size(), Operand::imm(0, acc[0].type));
    }
  }
  if (p.promote) acc = before;
  std::vector<int64_t> back(order_c.size());
  for (size_t i = 0; i < order_c.size(); ++i)
    back[static_cast<size_t>(order_c[i])] = static_cast<int64_t>(i);
  l.set(0, l.permuted(p.result, acc, p.layout->registers, back));
}

// The fragments that make a result in this layout; none if it is of no such. Columns may be apart by
// what packed casts ask for (pair_distance).
std::optional<tile::MmaFragments> fragments_of(Lowering& l, const tile::MmaForm& form,
                                               const Shape& a, const Shape& b,
                                               const TileLayout& result) {
  for (int64_t stride : {1, 4, 8, 16})
    for (tile::MmaFragments& f :
         tile::mma_fragments(form, a, b, static_cast<int>(l.strand().warps), stride))
      if (f.c == result.layout) return std::move(f);
  return {};
}

// An operand in shared memory, brought into its fragments.
Tile fetched(Lowering& l, const Part& part, const Layout& layout) {
  Tile t;
  t.type = part.view.type;
  t.shape = part.shape;
  t.layout = l.intern(layout);
  t.words = load_tile(l, part, t);
  return t;
}

// Rows of A and columns of B by the threads that need them, one k after the other; in f32, f64 or
// i32, which hold every factor exactly.
struct Factor {
  Part part;
  DType type;
  int k_dim = 0;
  Tile like;
  std::vector<int64_t> map;  // from the accumulator's registers
};

Operand widened(Lowering& l, DType type, DType wide, Operand x) {
  return type.is_int() || type == wide ? x : cast_element(l, wide, type, x, {});
}

bool prepare_factor(Lowering& l, Factor& f, const Shape& shape, const TileLayout& acc, int gone) {
  auto layout = reduce(acc.layout, gone, true);
  if (!layout) return false;
  f.like.type = f.type;
  f.like.shape = shape;
  f.like.shape[gone] = 1;
  f.like.layout = l.intern(*layout);
  f.map = l.register_map(acc, *f.like.layout, [&](const At& at) {
    At out = at;
    out[static_cast<size_t>(gone)] = 0;
    return out;
  });
  return !f.map.empty();
}

// The elements of one k, as wide factors.
std::vector<Operand> factors_at(Lowering& l, const Factor& f, DType wide, Operand k) {
  Emit& e = l.emit();
  Part part = f.part;
  size_t s = static_cast<size_t>(part.view.dim[static_cast<size_t>(f.k_dim)]);
  part.view.start[s] = l.index_add(part.view.start[s], k);
  part.view.start_divisor[s] = 1;
  part.view.extent[static_cast<size_t>(f.k_dim)] = b32(1);
  part.shape[f.k_dim] = 1;
  for (Bound& b : part.bounds)
    if (b.dim == f.k_dim)
      b.origin = e.add(b.origin, b.origin.type == RegClass::b64 ? e.zext(k) : k);
  Words words = load_part(l, part, f.like, nullptr, 0);
  std::vector<Operand> out;
  for (const Operand& x : l.elements(f.type, words, f.like.layout->registers))
    out.push_back(widened(l, f.type, wide, x));
  return out;
}

void multiply_add_product(Lowering& l, Factor a, Factor b, const Shape& shape, Product& p) {
  Emit& e = l.emit();
  int row = shape.rank - 2, column = shape.rank - 1;
  a.k_dim = a.part.shape.rank - 1;
  b.k_dim = b.part.shape.rank - 2;
  if (!prepare_factor(l, a, shape, *p.layout, column) ||
      !prepare_factor(l, b, shape, *p.layout, row))
    return l.broken("rows and columns do not meet in the accumulator's layout");
  DType wide = p.result;
  const char* opcode = wide == dt::f64_   ? "fma.rn.f64"
                       : wide == dt::f16_ ? "fma.rn.f16"
                                          : "fma.rn.f32";
  int64_t k = a.part.shape[a.k_dim];
  std::vector<Operand> acc, total;
  for (const Operand& x : l.elements(p.result, p.acc, p.layout->registers)) {
    acc.push_back(e.variable(element_class(wide), "acc"));
    e.assign(acc.back(), p.promote ? Operand::imm(0, x.type) : x);
    if (!p.promote) continue;
    total.push_back(e.variable(element_class(wide), "total"));
    e.assign(total.back(), x);
  }
  auto promote_all = [&] {
    for (size_t r = 0; r < acc.size(); ++r) {
      e.assign(total[r], add_words(e, total[r], acc[r]));
      e.assign(acc[r], Operand::imm(0, acc[r].type));
    }
  };
  Operand i = e.variable(RegClass::b32, "k");
  e.assign(i, b32(0));
  e.begin_loop(static_cast<uint32_t>(k % 8 == 0 ? 8 : 1));
  Operand now = e.snapshot(i);
  e.control(BlockOp::break_if, {e.sle(b32(static_cast<uint64_t>(k)), now)});
  std::vector<Operand> x = factors_at(l, a, wide, now), y = factors_at(l, b, wide, now);
  for (size_t r = 0; r < acc.size(); ++r) {
    Operand u = x[static_cast<size_t>(a.map[r])], v = y[static_cast<size_t>(b.map[r])];
    Operand sum = wide.is_int() ? e.add(e.mul(u, v), acc[r]) : e.form1(opcode, {u, v, acc[r]});
    e.assign(acc[r], sum);
  }
  if (p.promote) {
    Operand after = e.add(now, b32(1));
    e.begin_if(e.eq(e.op(BlockOp::urem, {after, b32(static_cast<uint64_t>(p.promote))}), b32(0)));
    promote_all();
    e.end();
  }
  e.begin_latch();
  e.assign(i, e.add(i, b32(1)));
  e.end();
  if (p.promote) promote_all();
  std::vector<Operand> out;
  for (const Operand& o : p.promote ? total : acc) out.push_back(e.snapshot(o));
  l.set(0, l.pack(p.result, out));
}

}  // namespace

LOWER(mma) {
  Product p;
  const Type& type = l.result_type();
  p.result = type.dtype;
  p.layout = l.result_layout();
  if (!p.layout) return;
  p.promote = l.attr(AttrTag::promote).value_or(0);
  Tile c = l.arg(2);
  p.acc = l.broadcast_words(c, type.shape, p.layout);
  auto in_registers = [&](size_t i) {
    Ref r = l.arg_ref(i);
    return r.is_value() && l.kernel().values[r.index()].type.space == Space::reg;
  };
  auto element_of = [&](size_t i) {
    return in_registers(i) ? l.arg(i).type : l.part_of_arg(i).view.type;
  };
  DType ta = element_of(0), tb = element_of(1);
  bool tensor_cores = false;
  tile::MmaForm form = form_for(l, ta, tb, p.result, tensor_cores);
  if (in_registers(0) && in_registers(1) && tensor_cores) {
    p.a = l.arg(0);
    p.b = l.arg(1);
    return tensor_core_product(l, p, form);
  }
  if (tensor_cores) {
    auto shape_of = [&](size_t i) {
      return in_registers(i) ? l.arg(i).shape : l.part_of_arg(i).shape;
    };
    if (auto f = fragments_of(l, form, shape_of(0), shape_of(1), *p.layout)) {
      p.a = in_registers(0) ? l.arg(0) : fetched(l, l.part_of_arg(0), f->a);
      p.b = in_registers(1) ? l.arg(1) : fetched(l, l.part_of_arg(1), f->b);
      return tensor_core_product(l, p, form);
    }
  }
  if (!in_registers(0) && !in_registers(1))
    return multiply_add_product(l, {l.part_of_arg(0), ta, 0, {}, {}},
                                {l.part_of_arg(1), tb, 0, {}, {}}, type.shape, p);
  l.unsupported("these operands, types or layouts");
}

}  // namespace tess::jit
