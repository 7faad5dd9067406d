// Where elements lie: a part that depends on the thread, computed once, and a constant a register.
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

// The element's number from the storage's beginning: what depends on the thread, and `constant`.
Operand Addresser::offset_of(int64_t reg, int64_t& constant) {
  Emit& e = l_.emit();
  const MemoryView& v = part_.view;
  bool shared = v.space != Space::global;
  Operand sum = shared ? b32(0) : b64(0);
  uint64_t sum_mask = 0;
  constant = 0;
  size_t storage_rank = v.start.size();
  for (size_t s = 0; s < storage_rank; ++s) {
    int d = -1;
    for (int i = 0; i < v.rank(); ++i)
      if (v.dim[static_cast<size_t>(i)] == static_cast<int>(s)) d = i;
    int64_t own = d >= 0 && d != part_.gather_dim
                      ? layout_.at[static_cast<size_t>(reg)][static_cast<size_t>(d)]
                      : 0;
    Operand start = v.start[s];
    uint64_t start_mask =
        start.is_imm() && start.bits == 0 ? 0 : ~(low_bit(v.start_divisor[s]) - 1);
    if (start.is_imm() && start.type == RegClass::b32) {
      own += static_cast<int32_t>(start.bits);
      start = b32(0);
      start_mask = 0;
    }
    Operand moving = b32(0);
    uint64_t moving_mask = 0;
    if (d >= 0) {
      size_t i = static_cast<size_t>(d);
      if (d == part_.gather_dim) {
        moving = gathered_[static_cast<size_t>(reg)];
        moving_mask = ~uint64_t{0};
      } else if (layout_.linear && (thread_bits_[i] & static_cast<uint64_t>(own))) {
        moving =
            e.xor_(thread_[i], b32(static_cast<uint64_t>(layout_.at[static_cast<size_t>(reg)][i])));
        own -= layout_.at[static_cast<size_t>(reg)][i];
        moving_mask = ~uint64_t{0} & ~(low_bit(static_cast<int64_t>(thread_bits_[i])) - 1);
      } else {
        moving = thread_[i];
        moving_mask = thread_bits_[i];
      }
    }
    if (!shared) {
      Operand index =
          start.type == RegClass::b64 ? e.add(start, e.zext(moving)) : e.add(start, moving);
      const Operand& stride = v.stride[s];
      if (stride.is_imm()) {
        int64_t by = stride.type == RegClass::b32 ? static_cast<int32_t>(stride.bits)
                                                  : static_cast<int64_t>(stride.bits);
        constant += own * by;
        sum = e.add(sum, e.mul(l_.wide(index), b64(static_cast<uint64_t>(by))));
      } else {
        Operand by = l_.wide(stride);
        if (index.type == RegClass::b32 && stride.type == RegClass::b32 && !index.is_imm())
          sum = e.add(sum, e.form1("mul.wide.s32", {index, stride}));
        else sum = e.add(sum, e.mul(l_.wide(index), by));
        sum = e.add(sum, e.mul(by, b64(static_cast<uint64_t>(own))));
      }
      continue;
    }
    // Shared: this dimension's digits. A coordinate splits into independent parts as long as no
    // carry passes from one to another.
    if (start.type == RegClass::b64) start = e.trunc(start);
    std::vector<const Digit*> digits;
    for (const Digit& g : v.memory->digits)
      if (g.label == Label::dim && g.dim == s) digits.push_back(&g);
    bool powers = true;
    for (const Digit* g : digits) powers &= std::has_single_bit(static_cast<uint64_t>(g->size));
    bool apart = powers && own >= 0 && !(start_mask & moving_mask) &&
                 !(start_mask & static_cast<uint64_t>(own)) &&
                 !(moving_mask & static_cast<uint64_t>(own));
    if (digits.size() == 1 || apart) {
      int64_t below = 1;
      for (size_t g = 0; g < digits.size(); ++g) {
        int64_t by = digits[g]->out[0];
        bool last = g + 1 == digits.size();
        auto part_at = [&](Operand x) {
          x = e.op(BlockOp::udiv, {x, b32(static_cast<uint64_t>(below))});
          if (!last) x = e.op(BlockOp::urem, {x, b32(static_cast<uint64_t>(digits[g]->size))});
          return x;
        };
        int64_t own_part =
            digits.size() == 1 ? own : own / below % (last ? int64_t{1} << 40 : digits[g]->size);
        constant += own_part * by;
        auto mask_part = [&](uint64_t m) {
          uint64_t part = m / static_cast<uint64_t>(below);
          if (!last) part &= static_cast<uint64_t>(digits[g]->size - 1);
          return part;
        };
        for (auto [x, m] : {std::pair(start, start_mask), std::pair(moving, moving_mask)}) {
          if (x.is_imm() && x.bits == 0) continue;
          sum = e.add(sum, e.mul(part_at(x), b32(static_cast<uint64_t>(by))));
          uint64_t scaled = std::has_single_bit(static_cast<uint64_t>(by))
                                ? mask_part(m) << std::countr_zero(static_cast<uint64_t>(by))
                                : ~(low_bit(by) - 1);
          sum_mask = sum_bits(sum_mask, scaled & 0xffffffff) & 0xffffffff;
        }
        below *= digits[g]->size;
      }
    } else {
      Operand x = e.add(e.add(start, moving), b32(static_cast<uint64_t>(own)));
      int64_t below = 1;
      for (size_t g = 0; g < digits.size(); ++g) {
        Operand part = e.op(BlockOp::udiv, {x, b32(static_cast<uint64_t>(below))});
        if (g + 1 < digits.size())
          part = e.op(BlockOp::urem, {part, b32(static_cast<uint64_t>(digits[g]->size))});
        sum = e.add(sum, e.mul(part, b32(static_cast<uint64_t>(digits[g]->out[0]))));
        below *= digits[g]->size;
      }
      sum_mask = 0xffffffff;
    }
  }
  if (!shared) return sum;
  constant += v.memory->offset.empty() ? 0 : v.memory->offset[0];
  const BitMap& p = v.memory->bits;
  if (p.identity()) return sum;
  int bits = p.in_bits[0];
  if (constant < 0 || (sum_mask & static_cast<uint64_t>(constant))) {
    Operand whole = swizzled(e.add(sum, b32(static_cast<uint64_t>(constant))));
    constant = 0;
    return whole;
  }
  // P is linear: the register's part is a constant, added where the thread's part has no bits.
  uint64_t own = image(p, 0, bits, static_cast<uint64_t>(constant), 0);
  uint64_t taken = image_bits(p, 0, bits, sum_mask, 0);
  constant = static_cast<int64_t>(own & ~taken);
  return e.xor_(swizzled(sum), b32(own & taken));
}

Operand Addresser::element_at(int64_t reg) {
  Emit& e = l_.emit();
  int64_t constant = 0;
  Operand sum = offset_of(reg, constant);
  return e.add(sum, Operand::imm(static_cast<uint64_t>(constant) &
                                     (sum.type == RegClass::b32 ? 0xffffffff : ~uint64_t{0}),
                                 sum.type));
}

Address Addresser::at(int64_t reg) {
  Emit& e = l_.emit();
  const MemoryView& v = part_.view;
  int64_t constant = 0;
  Operand sum = offset_of(reg, constant);
  int64_t bits = v.type.is_bool() ? 8 : v.type.bits;
  Operand bytes = bits >= 8
                      ? e.mul(sum, Operand::imm(static_cast<uint64_t>(bits / 8), sum.type))
                      : e.lshr(e.mul(sum, Operand::imm(static_cast<uint64_t>(bits), sum.type)), 3);
  int64_t offset = constant * bits / 8;
  Address a;
  if (offset >= -(1 << 20) && offset < 1 << 20) {
    a.base = e.add(v.base, bytes);
    a.offset = static_cast<int32_t>(offset);
  } else {
    a.base = e.add(v.base, e.add(bytes, Operand::imm(static_cast<uint64_t>(offset), bytes.type)));
  }
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
  if (v.ends()) all = e.and_(all, e.ult(e.sub(element_at(reg), v.room_begin), v.room));
  return all;
}

}  // namespace tess::jit
