// fill iota undef rand.philox table extract.
#include "isa/numerics.h"
#include "jit/lower/arith.h"
#include "jit/lower/guard.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

const TileLayout* layout_of_result(Lowering& l) {
  return l.result_type().shape.rank ? l.result_layout() : nullptr;
}
int64_t registers_of_result(Lowering& l) {
  const TileLayout* layout = layout_of_result(l);
  return layout ? layout->registers : 1;
}

// An integer below 2^24 in any arithmetic type.
Operand index_as(Lowering& l, DType t, Operand index) {
  Emit& e = l.emit();
  if (index.is_imm()) {
    uint64_t code = cast_code(t, dt::i64_, index.bits);
    return Operand::imm(
        t.is_int() && t.bits < 32 ? static_cast<uint64_t>(decode_int(t, code)) & 0xffffffff : code,
        element_class(t));
  }
  if (t == dt::f64_) return e.form1("cvt.rn.f64.u32", {index});
  if (t.is_float()) return from_float(l, t, e.form1("cvt.rn.f32.u32", {index}));
  return t.bits == 64 ? e.zext(index) : index;
}

// Philox4x32-10: four words for one counter.
std::vector<Operand> philox(Lowering& l, Operand counter, Operand seed) {
  Emit& e = l.emit();
  auto [c0, c1] = e.halves(counter);
  auto [k0, k1] = e.halves(seed);
  Operand c2 = b32(0), c3 = b32(0);
  for (int round = 0; round < 10; ++round) {
    Operand m0 = b32(0xD2511F53), m1 = b32(0xCD9E8D57);
    auto high = [&](Operand x, Operand m) {
      return x.is_imm() ? b32((x.bits * m.bits) >> 32) : e.form1("mul.hi.u32", {x, m});
    };
    Operand n0 = e.xor_(e.xor_(high(c2, m1), c1), k0), n1 = e.mul(c2, m1);
    Operand n2 = e.xor_(e.xor_(high(c0, m0), c3), k1), n3 = e.mul(c0, m0);
    c0 = n0, c1 = n1, c2 = n2, c3 = n3;
    k0 = e.add(k0, b32(0x9E3779B9));
    k1 = e.add(k1, b32(0xBB67AE85));
  }
  return {c0, c1, c2, c3};
}

// Whether in every thread the number of register 0's element is register 0's own plus a multiple
// of 4.
bool fours_stay_together(const TileLayout& layout, const Shape& shape) {
  if (layout.linear) return false;
  for (const Digit& d : layout.layout.digits) {
    if (d.label == Label::reg) continue;
    int64_t number = 0;
    for (int i = 0; i < shape.rank; ++i) number = number * shape[i] + d.out[static_cast<size_t>(i)];
    if (number % 4) return false;
  }
  return true;
}

}  // namespace

LOWER(fill) { l.set(0, l.broadcast_words(l.arg(0), l.result_type().shape, layout_of_result(l))); }

LOWER(iota) {
  const Type& type = l.result_type();
  const TileLayout* layout = layout_of_result(l);
  std::vector<Operand> out;
  for (int64_t r = 0; r < registers_of_result(l); ++r) {
    Operand at =
        layout ? element_coordinate(l, *layout, r, l.dim(type.shape.rank, type.shape.rank - 1))
               : b32(0);
    out.push_back(index_as(l, type.dtype, at));
  }
  l.set(0, l.pack(type.dtype, out));
}

LOWER(undef) {
  DType t = l.result_type().dtype;
  l.set(0, Words(word_count(t, registers_of_result(l)), Operand::imm(0, word_class(t))));
}

LOWER(rand_philox) {
  Emit& e = l.emit();
  Operand seed = l.scalar(0), offset = l.scalar(1);
  const TileLayout* layout = layout_of_result(l);
  const Shape& shape = l.result_type().shape;
  if (!layout) return l.set(0, {philox(l, offset, seed)[0]});
  bool together = fours_stay_together(*layout, shape);
  Operand moving = together ? e.lshr(element_number(l, *layout, shape, 0), 2) : b32(0);
  int64_t first = 0;
  std::vector<Operand> out;
  for (int64_t r = 0; r < layout->registers; ++r) {
    int64_t own = 0;
    for (int d = 0; d < shape.rank; ++d)
      own = own * shape[d] + layout->at[static_cast<size_t>(r)][static_cast<size_t>(d)];
    if (r == 0) first = own;
    if (together) {
      Operand group = e.add(moving, b32(static_cast<uint64_t>(own / 4 - first / 4)));
      out.push_back(philox(l, e.add(offset, e.zext(group)), seed)[static_cast<size_t>(own % 4)]);
      continue;
    }
    Operand n = element_number(l, *layout, shape, r);
    std::vector<Operand> four = philox(l, e.add(offset, e.zext(e.lshr(n, 2))), seed);
    Operand low = e.ne(e.and_(n, b32(1)), b32(0)), high = e.ne(e.and_(n, b32(2)), b32(0));
    out.push_back(e.sel(high, e.sel(low, four[3], four[2]), e.sel(low, four[1], four[0])));
  }
  l.set(0, std::move(out));
}

LOWER(table) {
  const Type& type = l.result_type();
  DType t = type.dtype;
  const TileLayout* layout = layout_of_result(l);
  // Only lookups read it, from where it is already.
  if (layout && l.codebook_at(Ref::value(l.result_value())))
    return l.set(0, Words(word_count(t, layout->registers), Operand::imm(0, word_class(t))));
  std::vector<Operand> entries;
  for (size_t i = 0; i < l.n_args(); ++i) entries.push_back(l.elements(t, l.arg(i).words, 1)[0]);
  if (!layout) return l.set(0, l.pack(t, {entries[0]}));
  std::vector<Operand> number;
  bool known = true;
  for (int64_t r = 0; r < layout->registers; ++r) {
    number.push_back(element_number(l, *layout, type.shape, r));
    known &= number.back().is_imm();
  }
  if (known) {
    std::vector<Operand> out;
    for (Operand n : number) out.push_back(entries[static_cast<size_t>(n.bits)]);
    return l.set(0, l.pack(t, out));
  }
  Emit& e = l.emit();
  ScratchArray all(l, t, static_cast<int64_t>(entries.size()));
  e.begin_if(e.eq(l.thread(), b32(0)));
  for (size_t i = 0; i < entries.size(); ++i) all.store(b32(i), entries[i]);
  e.end();
  l.barrier();
  std::vector<Operand> out = load_elements(
      l, all, *layout, zero_element(t), [&](int64_t r) { return number[static_cast<size_t>(r)]; });
  l.barrier();
  l.set(0, l.pack(t, out));
}

// The thread that holds the element tells the others.
LOWER(extract) {
  Emit& e = l.emit();
  Tile a = l.arg(0);
  if (!a.layout) return l.set(0, a.words);
  std::vector<Operand> index;
  Operand outside = pred(false);
  for (size_t i = 1; i < l.n_args(); ++i) {
    Operand at = l.index_of(l.arg_ref(i));
    Operand extent = Operand::imm(static_cast<uint64_t>(a.shape[static_cast<int>(i) - 1]), at.type);
    outside = e.or_(outside, e.not_(e.ult(at, extent)));
    index.push_back(at.type == RegClass::b64 ? e.trunc(at) : at);
  }
  fault_if(l, outside, diag::run_extract_range);
  l.set(0, one_element(l, a, index));
}

}  // namespace tess::jit
