// scan.*: the digits of the layout along the dimension from the fastest on; at each level every
// element knows what comes before it in its block and what the whole block gives.
#include <algorithm>
#include <cmath>
#include <map>

#include "isa/numerics.h"
#include "jit/lower/arith.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

struct Before {
  Operand value, nonempty;  // nothing may have come before: then value is the identity
};
// A digit of the register's, lane's or warp's number.
struct Level {
  Label label = Label::reg;
  int64_t below = 1, size = 1, step = 1;  // step: along the dimension
};

class Scan {
 public:
  Scan(Lowering& l, Binary op, DType work, const TileLayout& layout)
      : l_(l),
        e_(l.emit()),
        op_(op),
        work_(work),
        layout_(layout),
        reverse_(l.has(AttrTag::reverse)) {}
  void level(const Level& d, std::vector<Before>& before, std::vector<Operand>& total) {
    if (d.label == Label::reg) return by_registers(d, before, total);
    // Blocks that share their total share the work.
    std::map<uint64_t, std::pair<Operand, Operand>> done;  // what comes before, and the new total
    std::vector<Operand> distinct;
    for (Operand t : total)
      if (done.try_emplace(key(t)).second) distinct.push_back(t);
    Operand number = d.label == Label::lane ? l_.lane() : l_.warp();
    Operand v = e_.op(BlockOp::urem, {e_.op(BlockOp::udiv, {number, n(d.below)}), n(d.size)});
    Operand order = reverse_ ? e_.sub(n(d.size - 1), v) : v;
    if (d.label == Label::lane)
      for (Operand t : distinct) done[key(t)] = by_lanes(d, t, v, order);
    else by_warps(d, distinct, v, order, done);
    Operand has = e_.ne(order, b32(0));
    for (size_t r = 0; r < total.size(); ++r) {
      auto [earlier, all] = done[key(total[r])];
      before[r] = joined(earlier, has, before[r]);
      total[r] = all;
    }
  }
  Operand combine(Operand a, Operand b) { return binary_element(l_, op_, work_, a, b); }

 private:
  static Operand n(int64_t v) { return b32(static_cast<uint64_t>(v)); }
  static uint64_t key(Operand o) { return o.bits * 2 + (o.is_imm() ? 1 : 0); }

  Before joined(Operand earlier, Operand has, Before b) {
    Operand both = combine(earlier, b.value);
    Operand value = e_.sel(b.nonempty, both, earlier);
    return {e_.sel(has, value, b.value), e_.or_(has, b.nonempty)};
  }

  void by_registers(const Level& d, std::vector<Before>& before, std::vector<Operand>& total) {
    for (size_t first = 0; first < total.size(); ++first) {
      if (static_cast<int64_t>(first) / d.below % d.size) continue;
      Operand carry;
      for (int64_t i = 0; i < d.size; ++i) {
        size_t r = first + static_cast<size_t>((reverse_ ? d.size - 1 - i : i) * d.below);
        if (i) before[r] = joined(carry, pred(true), before[r]);
        carry = i ? combine(carry, total[r]) : total[r];
      }
      for (int64_t i = 0; i < d.size; ++i) total[first + static_cast<size_t>(i * d.below)] = carry;
    }
  }

  std::pair<Operand, Operand> by_lanes(const Level& d, Operand t, Operand v, Operand order) {
    const char* how = reverse_ ? "down" : "up";
    Operand x = t;
    for (int64_t off = 1; off < d.size; off *= 2) {
      Operand there = shuffle(l_, how, x, n(off * d.below));
      x = e_.sel(e_.op(BlockOp::ule, {n(off), order}), combine(there, x), x);
    }
    Operand earlier = shuffle(l_, how, x, n(d.below));
    Operand block = e_.sub(l_.lane(), e_.mul(v, n(d.below)));
    Operand last = e_.add(block, n(reverse_ ? 0 : (d.size - 1) * d.below));
    return {earlier, shuffle(l_, "idx", x, last)};
  }

  void by_warps(const Level& d, const std::vector<Operand>& totals, Operand v, Operand order,
                std::map<uint64_t, std::pair<Operand, Operand>>& done) {
    int64_t lanes = layout_.lanes, warps = layout_.warps,
            count = static_cast<int64_t>(totals.size());
    ScratchArray all(l_, work_, lanes * warps * count);
    Operand lane = lanes < 32 ? e_.op(BlockOp::urem, {l_.lane(), n(lanes)}) : l_.lane();
    Operand warp =
        warps < l_.strand().warps ? e_.op(BlockOp::urem, {l_.warp(), n(warps)}) : l_.warp();
    auto place = [&](Operand w, int64_t i) {
      return e_.add(e_.mul(e_.add(e_.mul(w, n(lanes)), lane), n(count)), n(i));
    };
    Operand holds = l_.holds_elements(layout_);
    if (!holds.is_imm()) e_.begin_if(holds);
    for (int64_t i = 0; i < count; ++i) all.store(place(warp, i), totals[static_cast<size_t>(i)]);
    if (!holds.is_imm()) e_.end();
    l_.barrier();
    Operand block = e_.sub(warp, e_.mul(v, n(d.below)));
    if (warps < l_.strand().warps)
      block = e_.sub(
          warp, e_.mul(e_.op(BlockOp::urem, {e_.op(BlockOp::udiv, {warp, n(d.below)}), n(d.size)}),
                       n(d.below)));
    for (int64_t i = 0; i < count; ++i) {
      Operand earlier, sum;
      for (int64_t k = 0; k < d.size; ++k) {
        int64_t digit = reverse_ ? d.size - 1 - k : k;
        Operand t = all.load(place(e_.add(block, n(digit * d.below)), i));
        if (k == 1) earlier = sum;
        if (k > 1) earlier = e_.sel(e_.eq(order, n(k)), sum, earlier);
        sum = k ? combine(sum, t) : t;
      }
      done[key(totals[static_cast<size_t>(i)])] = {earlier, sum};
    }
    l_.barrier();
  }

  Lowering& l_;
  Emit& e_;
  Binary op_;
  DType work_;
  const TileLayout& layout_;
  bool reverse_;
};

// The digits along `dim`, fastest first; none if they are no mixed radix of it.
std::optional<std::vector<Level>> levels_of(const TileLayout& l, int dim, int64_t extent) {
  if (l.linear) return {};
  std::vector<Level> out;
  int64_t below[3] = {1, 1, 1};
  for (const Digit& g : l.layout.digits) {
    int which = g.label == Label::reg ? 0 : g.label == Label::lane ? 1 : 2;
    int64_t step = g.out[static_cast<size_t>(dim)];
    if (step) {
      for (size_t d = 0; d < g.out.size(); ++d)
        if (static_cast<int>(d) != dim && g.out[d]) return {};
      out.push_back({g.label, below[which], g.size, step});
    }
    below[which] *= g.size;
  }
  std::sort(out.begin(), out.end(), [](const Level& a, const Level& b) { return a.step < b.step; });
  int64_t reached = 1;
  for (const Level& d : out) {
    if (d.step != reached) return {};
    reached *= d.size;
  }
  if (reached != extent) return {};
  return out;
}

uint64_t identity_code(Binary op, DType t) {
  switch (op) {
    case Binary::mul:
      return one_code(t);
    case Binary::min:
    case Binary::min_nan:
      return t.is_float() ? encode_float(t, INFINITY) : max_code(t);
    case Binary::max:
    case Binary::max_nan:
      if (t.is_float()) return encode_float(t, -INFINITY);
      return t.is_signed() ? uint64_t{1} << (t.bits - 1) : 0;
    case Binary::and_:
      return t.is_bool() ? 1 : t.bits == 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1;
    default:
      return 0;
  }
}

// One element after the other, out of shared memory.
std::vector<Operand> walk(Lowering& l, const Tile& a, int dim, Scan& scan, Operand identity) {
  Emit& e = l.emit();
  DType t = a.type;
  bool reverse = l.has(AttrTag::reverse), exclusive = l.has(AttrTag::exclusive);
  ScratchArray all(l, t, a.shape.elements());
  store_tile(l, all, a);
  int64_t step = 1, n = a.shape[dim];
  for (int d = dim + 1; d < a.shape.rank; ++d) step *= a.shape[d];
  std::vector<Operand> out;
  Operand holds = l.holds_elements(*a.layout);
  for (int64_t r = 0; r < a.layout->registers; ++r) {
    Operand number = e.sel(holds, element_number(l, *a.layout, a.shape, r), b32(0));
    Operand i = e.sel(holds, element_coordinate(l, *a.layout, r, dim), b32(0));
    Operand row = e.sub(number, e.mul(i, b32(static_cast<uint64_t>(step))));
    // Place k of the walk is element k, or n - 1 - k in reverse.
    Operand last = reverse ? e.sub(b32(static_cast<uint64_t>(n - 1)), i) : i;
    auto at = [&](Operand k) {
      Operand element = reverse ? e.sub(b32(static_cast<uint64_t>(n - 1)), k) : k;
      return to_work(l, t, all.load(e.add(row, e.mul(element, b32(static_cast<uint64_t>(step))))));
    };
    Operand sum = e.variable(identity.type, "sum"), k = e.variable(RegClass::b32, "k");
    e.assign(sum, at(b32(0)));
    e.assign(k, b32(1));
    e.begin_loop();
    Operand now = e.snapshot(k);
    Operand within = exclusive ? e.ult(now, last) : e.op(BlockOp::ule, {now, last});
    e.control(BlockOp::break_if, {e.not_(within)});
    e.assign(sum, scan.combine(e.snapshot(sum), at(now)));
    e.begin_latch();
    e.assign(k, e.add(e.snapshot(k), b32(1)));
    e.end();
    Operand result = e.snapshot(sum);
    out.push_back(exclusive ? e.sel(e.eq(last, b32(0)), identity, result) : result);
  }
  l.barrier();
  return out;
}

void scan_tile(Lowering& l, Binary op) {
  Tile a = l.arg(0);
  DType t = a.type, work = work_type(t);
  bool exclusive = l.has(AttrTag::exclusive);
  uint64_t code = identity_code(op, t);
  Operand identity = Operand::imm(code, element_class(work));
  if (t.is_float() && t.bits == 16) identity = f32(static_cast<float>(decode_float(t, code)));
  else if (t.is_int() && t.bits < 32) identity = b32(static_cast<uint64_t>(decode_int(t, code)));
  if (!a.layout) {
    if (!exclusive) return l.set(0, a.words);
    return l.set(0, l.pack(t, {from_work(l, t, identity)}));
  }
  int dim = l.dim(a.shape.rank, a.shape.rank - 1);
  Scan scan(l, op, work, *a.layout);
  std::vector<Operand> out;
  if (auto levels = levels_of(*a.layout, dim, a.shape[dim])) {
    std::vector<Before> before;
    std::vector<Operand> total;
    for (Operand x : l.elements(t, a.words, a.layout->registers)) {
      total.push_back(to_work(l, t, x));
      before.push_back(exclusive ? Before{identity, pred(false)}
                                 : Before{total.back(), pred(true)});
    }
    for (const Level& d : *levels) scan.level(d, before, total);
    for (const Before& b : before) out.push_back(b.value);
  } else {
    out = walk(l, a, dim, scan, identity);
  }
  for (Operand& x : out) x = from_work(l, t, x);
  Tile scanned = a;
  scanned.words = l.pack(t, out);
  l.set(0, l.broadcast_words(scanned, a.shape, l.result_layout()));
}

}  // namespace

LOWER(scan_add) { scan_tile(l, Binary::add); }
LOWER(scan_mul) { scan_tile(l, Binary::mul); }
LOWER(scan_min) { scan_tile(l, l.has(AttrTag::nan) ? Binary::min_nan : Binary::min); }
LOWER(scan_max) { scan_tile(l, l.has(AttrTag::nan) ? Binary::max_nan : Binary::max); }
LOWER(scan_and) { scan_tile(l, Binary::and_); }
LOWER(scan_or) { scan_tile(l, Binary::or_); }
LOWER(scan_xor) { scan_tile(l, Binary::xor_); }

}  // namespace tess::jit
