// Where elements lie: a part that depends on the thread, computed once, and a constant a register.
#include <algorithm>
#include <bit>

#include "isa/layout_ops.h"
#include "jit/lower/access.h"

namespace tess::jit {
namespace {

uint64_t low_bit(int64_t v) { return v == 0 ? 0 : static_cast<uint64_t>(v & -v); }

// Bits that a*d.out can set, for a below d.size.
uint64_t bits_of(int64_t size, int64_t out) {
  if (out == 0 || size <= 1) return 0;
  if (std::has_single_bit(static_cast<uint64_t>(out)) &&
      std::has_single_bit(static_cast<uint64_t>(size)))
    return static_cast<uint64_t>(size - 1) * static_cast<uint64_t>(out);
  uint64_t top = std::bit_ceil(static_cast<uint64_t>((size - 1) * std::abs(out)) + 1) * 2;
  return (top - 1) & ~(low_bit(out) - 1);
}

// Bits of a sum of numbers with these bits: carries may set any bit above the lowest they share.
uint64_t sum_bits(uint64_t a, uint64_t b) {
  uint64_t both = a & b;
  if (!both) return a | b;
  uint64_t top = std::bit_ceil((a | b) + 1);
  return a | b | ((top * 2 - 1) & ~(low_bit(static_cast<int64_t>(both)) - 1));
}

// The columns that the bits of v choose: their xor, the image of v; or their union, the bits that
// images of numbers with (some of) these bits can have.
uint64_t image(const BitMap& p, size_t first_column, int bits, uint64_t v, int out) {
  uint64_t x = 0;
  for (int b = 0; b < bits; ++b)
    if (v >> b & 1)
      x ^= static_cast<uint64_t>(
          p.columns[first_column + static_cast<size_t>(b)][static_cast<size_t>(out)]);
  return x;
}
uint64_t image_bits(const BitMap& p, size_t first_column, int bits, uint64_t mask, int out) {
  uint64_t x = 0;
  for (int b = 0; b < bits; ++b)
    if (mask >> b & 1)
      x |= static_cast<uint64_t>(
          p.columns[first_column + static_cast<size_t>(b)][static_cast<size_t>(out)]);
  return x;
}

}  // namespace

uint64_t thread_bits(const TileLayout& l, int dim) {
  std::vector<uint64_t> sums(l.layout.offset.size(), 0);
  for (const Digit& d : l.layout.digits)
    if (d.label == Label::lane || d.label == Label::warp)
      for (size_t c = 0; c < sums.size(); ++c)
        sums[c] = sum_bits(sums[c], bits_of(d.size, d.out[c]));
  if (!l.linear) return sums[static_cast<size_t>(dim)];
  uint64_t out = 0;
  size_t column = 0;
  for (size_t c = 0; c < sums.size(); ++c) {
    int bits = l.layout.bits.in_bits[c];
    out |= image_bits(l.layout.bits, column, bits, sums[c], dim);
    column += static_cast<size_t>(bits);
  }
  return out;
}

Addresser::Addresser(Lowering& l, const Part& part, const TileLayout& layout)
    : l_(l), part_(part), layout_(layout) {
  for (int d = 0; d < part_.view.rank(); ++d) {
    thread_.push_back(l_.thread_coordinate(layout_, d));
    thread_bits_.push_back(thread_bits(layout_, d));
  }
  if (part_.gather_dim >= 0) {
    // One row number for each register of the tile, in that register's thread.
    size_t g = static_cast<size_t>(part_.gather_dim);
    std::vector<int64_t> map = l_.register_map(
        layout_, *part_.gather.layout,
        [&](const std::vector<int64_t>& at) { return std::vector<int64_t>{at[g]}; });
    if (map.empty()) l_.broken("the row numbers' layout does not serve the tile's");
    for (int64_t r : map) gathered_.push_back(part_.gather.words[static_cast<size_t>(r)]);
    if (map.empty()) gathered_.assign(static_cast<size_t>(layout_.registers), b32(0));
  }
}

Operand Addresser::coordinate(int64_t reg, int dim) {
  Emit& e = l_.emit();
  if (dim == part_.gather_dim) return gathered_[static_cast<size_t>(reg)];
  Operand own =
      b32(static_cast<uint64_t>(layout_.at[static_cast<size_t>(reg)][static_cast<size_t>(dim)]));
  return layout_.linear ? e.xor_(thread_[static_cast<size_t>(dim)], own)
                        : e.add(thread_[static_cast<size_t>(dim)], own);
}

// The swizzle of a shared offset. Columns that are their own bit and one other become one shift for
// each distance.
Operand Addresser::swizzled(Operand v) {
  Emit& e = l_.emit();
  const BitMap& p = part_.view.memory->bits;
  if (p.identity()) return v;
  std::map<int, uint64_t>
      by_distance;  // of source bits: how far down (up if negative) they also go
  Operand out = v;
  uint64_t missing = 0;
  for (size_t b = 0; b < p.columns.size(); ++b) {
    uint64_t image = static_cast<uint64_t>(p.columns[b][0]);
    uint64_t self = uint64_t{1} << b;
    if (!(image & self)) missing |= self;
    for (uint64_t rest = image & ~self; rest; rest &= rest - 1)
      by_distance[static_cast<int>(b) - std::countr_zero(rest)] |= self;
  }
  if (missing) out = e.and_(out, b32(~missing));
  for (auto [distance, bits] : by_distance) {
    Operand moved = e.and_(v, b32(bits));
    moved = distance > 0 ? e.lshr(moved, static_cast<uint32_t>(distance))
                         : e.shl(moved, static_cast<uint32_t>(-distance));
    out = e.xor_(out, moved);
  }
  return out;
}

// A term of an address in bytes, or in elements.
Operand Addresser::times(Operand x, int64_t by) {
  Emit& e = l_.emit();
  return e.mul(x, Operand::imm(static_cast<uint64_t>(by), x.type));
}

// What varies least comes first, so that every loop adds only what changes in it.
Operand Addresser::sum_of(std::vector<Operand> terms, RegClass type) {
  Emit& e = l_.emit();
  std::stable_sort(terms.begin(), terms.end(), [&](const Operand& a, const Operand& b) {
    return e.variance(a) < e.variance(b);
  });
  Operand sum = Operand::imm(0, type);
  for (const Operand& t : terms) sum = e.add(sum, t);
  return sum;
}

// Where an element of a tensor lies: b64 terms in units of `unit` (bytes, or 1 for elements).
void Addresser::global_terms(int64_t reg, int64_t unit, std::vector<Operand>& terms,
                             int64_t& constant) {
  Emit& e = l_.emit();
  const MemoryView& v = part_.view;
  for (size_t s = 0; s < v.start.size(); ++s) {
    Coordinate at = coordinate_parts(reg, s);
    int64_t own = at.own;
    std::vector<Operand> parts;
    for (Operand x : {at.start, at.moving}) {
      if (x.type == RegClass::b32) {
        auto [base, c] = e.apart(x);
        own += c;
        x = base;
      }
      if (x.is_imm() && x.type == RegClass::b32) own += static_cast<int32_t>(x.bits);
      else if (!parts.empty() && x.type == RegClass::b32 && parts[0].type == RegClass::b32 &&
               e.variance(x) == e.variance(parts[0]))
        parts[0] = e.add(parts[0], x);
      else parts.push_back(x);
    }
    const Operand& stride = v.stride[s];
    if (stride.is_imm()) {
      int64_t by = stride.type == RegClass::b32 ? static_cast<int32_t>(stride.bits)
                                                : static_cast<int64_t>(stride.bits);
      constant += own * by * unit;
      for (const Operand& x : parts) terms.push_back(times(l_.wide(x), by * unit));
      continue;
    }
    Operand by = l_.wide(stride);
    for (const Operand& x : parts) {
      bool narrow = x.type == RegClass::b32 && stride.type == RegClass::b32;
      Operand product = narrow ? e.form1("mul.wide.s32", {x, stride}) : e.mul(l_.wide(x), by);
      terms.push_back(times(product, unit));
    }
    if (own) terms.push_back(times(by, own * unit));
  }
}

// Coordinate `s` of the storage as a constant, what the access says (b32 or b64), and what depends
// on the thread (b32).
Addresser::Coordinate Addresser::coordinate_parts(int64_t reg, size_t s) {
  Emit& e = l_.emit();
  const MemoryView& v = part_.view;
  int d = -1;
  for (int i = 0; i < v.rank(); ++i)
    if (v.dim[static_cast<size_t>(i)] == static_cast<int>(s)) d = i;
  Coordinate c{0, v.start[s], b32(0), 0, 0};
  c.start_bits = c.start.is_imm() && c.start.bits == 0 ? 0 : ~(low_bit(v.start_divisor[s]) - 1);
  if (c.start.is_imm() && c.start.type == RegClass::b32) {
    c.own += static_cast<int32_t>(c.start.bits);
    c.start = b32(0);
    c.start_bits = 0;
  }
  if (d < 0) return c;
  size_t i = static_cast<size_t>(d);
  if (d == part_.gather_dim) {
    c.moving = gathered_[static_cast<size_t>(reg)];
    c.moving_bits = ~uint64_t{0};
    return c;
  }
  int64_t at = layout_.at[static_cast<size_t>(reg)][i];
  if (layout_.linear && (thread_bits_[i] & static_cast<uint64_t>(at))) {
    c.moving = e.xor_(thread_[i], b32(static_cast<uint64_t>(at)));
    c.moving_bits =
        ~(low_bit(static_cast<int64_t>(thread_bits_[i] | static_cast<uint64_t>(at))) - 1);
    return c;
  }
  c.own += at;
  c.moving = thread_[i];
  c.moving_bits = thread_bits_[i];
  return c;
}

// Where an element of a shared tile lies, b32, in elements.
void Addresser::shared_terms(int64_t reg, std::vector<Operand>& terms, int64_t& constant) {
  Emit& e = l_.emit();
  const MemoryView& v = part_.view;
  struct Piece {
    Operand value;
    uint64_t bits = 0;
  };
  std::vector<Piece> pieces;
  for (size_t s = 0; s < v.start.size(); ++s) {
    Coordinate c = coordinate_parts(reg, s);
    if (c.start.type == RegClass::b64) c.start = e.trunc(c.start);
    // This dimension's digits. A coordinate splits into independent parts as long as no carry
    // passes from one to another.
    std::vector<const Digit*> digits;
    for (const Digit& g : v.memory->digits)
      if (g.label == Label::dim && g.dim == s) digits.push_back(&g);
    bool powers = true;
    for (const Digit* g : digits) powers &= std::has_single_bit(static_cast<uint64_t>(g->size));
    bool apart = powers && c.own >= 0 && !(c.start_bits & c.moving_bits) &&
                 !(c.start_bits & static_cast<uint64_t>(c.own)) &&
                 !(c.moving_bits & static_cast<uint64_t>(c.own));
    int64_t below = 1;
    if (digits.size() == 1 || apart) {
      for (size_t g = 0; g < digits.size(); ++g) {
        int64_t by = digits[g]->out[0];
        bool last = g + 1 == digits.size();
        auto part_at = [&](Operand x) {
          x = e.op(BlockOp::udiv, {x, b32(static_cast<uint64_t>(below))});
          if (!last) x = e.op(BlockOp::urem, {x, b32(static_cast<uint64_t>(digits[g]->size))});
          return x;
        };
        int64_t own_part = digits.size() == 1
                               ? c.own
                               : c.own / below % (last ? int64_t{1} << 40 : digits[g]->size);
        constant += own_part * by;
        auto bits_at = [&](uint64_t m) {
          uint64_t part = m / static_cast<uint64_t>(below);
          if (!last) part &= static_cast<uint64_t>(digits[g]->size - 1);
          uint64_t scaled = std::has_single_bit(static_cast<uint64_t>(by))
                                ? part << std::countr_zero(static_cast<uint64_t>(by))
                                : ~(low_bit(by) - 1);
          return scaled & 0xffffffff;
        };
        for (auto [x, m] : {std::pair(c.start, c.start_bits), std::pair(c.moving, c.moving_bits)})
          if (!(x.is_imm() && x.bits == 0)) pieces.push_back({times(part_at(x), by), bits_at(m)});
        below *= digits[g]->size;
      }
      continue;
    }
    Operand x = e.add(e.add(c.start, c.moving), b32(static_cast<uint64_t>(c.own)));
    for (size_t g = 0; g < digits.size(); ++g) {
      Operand part = e.op(BlockOp::udiv, {x, b32(static_cast<uint64_t>(below))});
      if (g + 1 < digits.size())
        part = e.op(BlockOp::urem, {part, b32(static_cast<uint64_t>(digits[g]->size))});
      pieces.push_back({times(part, digits[g]->out[0]), 0xffffffff});
      below *= digits[g]->size;
    }
  }
  constant += v.memory->offset.empty() ? 0 : v.memory->offset[0];
  const BitMap& p = v.memory->bits;
  if (p.identity()) {
    for (const Piece& x : pieces) terms.push_back(x.value);
    return;
  }
  // What the swizzle leaves alone, as the slot of a ring, is added behind it.
  int bits = p.in_bits[0];
  uint64_t fixed = 0, moved = 0;
  for (int b = 0; b < 32; ++b)
    if (b >= bits || p.columns[static_cast<size_t>(b)][0] == int64_t{1} << b)
      fixed |= uint64_t{1} << b;
    else moved |= static_cast<uint64_t>(p.columns[static_cast<size_t>(b)][0]);
  fixed &= ~moved;  // nor does anything come to it
  std::vector<Operand> swizzled_parts, plain_parts;
  uint64_t low = 0, high = 0;
  for (const Piece& x : pieces) {
    bool plain = !(x.bits & ~fixed);
    (plain ? high : low) = sum_bits(plain ? high : low, x.bits) & 0xffffffff;
    (plain ? plain_parts : swizzled_parts).push_back(x.value);
  }
  uint64_t own = static_cast<uint64_t>(constant);
  bool split = constant >= 0 && !(high & ~fixed) && !(high & low) && !((high | low) & own) &&
               !(high & (image_bits(p, 0, bits, low, 0) | image(p, 0, bits, own, 0)));
  if (!split) {
    swizzled_parts.insert(swizzled_parts.end(), plain_parts.begin(), plain_parts.end());
    plain_parts.clear();
    low = 0;
    for (const Piece& x : pieces) low = sum_bits(low, x.bits) & 0xffffffff;
  }
  Operand inner = sum_of(swizzled_parts, RegClass::b32);
  if (constant < 0 || (low & own)) {
    terms.push_back(swizzled(e.add(inner, b32(own))));
    constant = 0;
    return;
  }
  // P is linear: the register's part is a constant, added where the thread's part has no bits.
  own = image(p, 0, bits, own, 0);
  uint64_t taken = image_bits(p, 0, bits, low, 0);
  constant = static_cast<int64_t>(own & ~taken);
  terms = std::move(plain_parts);
  terms.push_back(e.xor_(swizzled(inner), b32(own & taken)));
}

Operand Addresser::element_at(int64_t reg) {
  bool shared = part_.view.space != Space::global;
  RegClass type = shared ? RegClass::b32 : RegClass::b64;
  std::vector<Operand> terms;
  int64_t constant = 0;
  if (shared) shared_terms(reg, terms, constant);
  else global_terms(reg, 1, terms, constant);
  return l_.emit().add(
      sum_of(std::move(terms), type),
      Operand::imm(static_cast<uint64_t>(constant) & (shared ? 0xffffffff : ~uint64_t{0}), type));
}

Operand byte_of(Emit& e, Operand element, int64_t bits) {
  auto times = [&](int64_t by) {
    return e.mul(element, Operand::imm(static_cast<uint64_t>(by), element.type));
  };
  if (bits % 8 == 0) return times(bits / 8);
  if (8 % bits == 0)
    return e.ashr(element,
                  static_cast<uint32_t>(std::countr_zero(8u / static_cast<unsigned>(bits))));
  return e.ashr(times(bits), 3);
}

Address Addresser::at(int64_t reg) {
  Emit& e = l_.emit();
  const MemoryView& v = part_.view;
  bool shared = v.space != Space::global;
  int64_t bits = v.type.is_bool() ? 8 : v.type.bits, constant = 0;
  RegClass type = shared ? RegClass::b32 : RegClass::b64;
  std::vector<Operand> terms;
  int64_t unit = bits >= 8 ? bits / 8 : 1;
  if (shared) shared_terms(reg, terms, constant), constant *= unit;
  else global_terms(reg, unit, terms, constant);
  if (bits < 8) {
    terms = {byte_of(e, sum_of(std::move(terms), type), bits)};  // whole bytes: units of access are
    constant = constant * bits / 8;
  } else if (shared) {
    for (Operand& t : terms) t = times(t, unit);
  }
  terms.insert(terms.begin(), v.base);
  Address a;
  if (constant >= -(1 << 20) && constant < 1 << 20) a.offset = static_cast<int32_t>(constant);
  else terms.push_back(Operand::imm(static_cast<uint64_t>(constant), type));
  a.base = sum_of(std::move(terms), type);
  return a;
}

Operand Addresser::inside(int64_t reg) {
  Emit& e = l_.emit();
  Operand all = pred(true);
  for (const Bound& b : part_.bounds) {
    Operand index = b.origin;
    if (b.dim >= 0) {
      Operand at =
          b.dim == part_.gather_dim ? gathered_[static_cast<size_t>(reg)] : coordinate(reg, b.dim);
      if (index.type == RegClass::b64) at = b.dim == part_.gather_dim ? e.sext(at) : e.zext(at);
      index = e.add(index, at);
    }
    all = e.and_(all, e.op(BlockOp::ult, {index, b.extent}));
  }
  const MemoryView& v = part_.view;
  all = e.and_(all, l_.has_slot(v));
  if (v.ends()) all = e.and_(all, e.ult(e.sub(element_at(reg), v.room_begin), v.room));
  return all;
}

}  // namespace tess::jit
