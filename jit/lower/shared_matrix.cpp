#include "jit/lower/shared_matrix.h"

#include <bit>
#include <numeric>

namespace tess::jit {
namespace {

int element_bits(DType t) { return t.is_bool() ? 8 : t.bits; }

// What a coordinate of one dimension adds to the offset.
int64_t offset_along(const Layout& m, size_t dim, int64_t x) {
  int64_t sum = 0, below = 1, seen = 0, digits = 0;
  for (const Digit& g : m.digits) digits += g.label == Label::dim && g.dim == dim;
  for (const Digit& g : m.digits) {
    if (g.label != Label::dim || g.dim != dim) continue;
    int64_t part = x / below;
    if (++seen < digits) part %= g.size;
    sum += part * g.out[0];
    below *= g.size;
  }
  return sum;
}

}  // namespace

std::optional<int> swizzle_span(const Layout& memory, DType type) {
  const BitMap& p = memory.bits;
  if (p.identity()) return 0;
  int unit = 0;
  while ((element_bits(type) << unit) < 128) ++unit;
  for (int b = 1; b <= 3; ++b) {
    bool same = true;
    for (size_t c = 0; c < p.columns.size(); ++c) {
      int64_t want = int64_t{1} << c;
      int bit = static_cast<int>(c);
      if (bit >= unit + 3 && bit < unit + 3 + b) want |= int64_t{1} << (bit - 3);
      same &= p.columns[c][0] == want;
    }
    if (same) return 16 << b;
  }
  return {};
}

int64_t SharedOrigin::linear(const std::vector<int64_t>& index) const {
  std::vector<int64_t> at = start;
  for (size_t d = 0; d < index.size(); ++d) at[static_cast<size_t>(dim[d])] += index[d];
  int64_t sum = 0;
  for (size_t s = 0; s < at.size(); ++s) sum += offset_along(*memory, s, at[s]);
  return sum - first;
}

SharedOrigin shared_origin(Lowering& l, const Part& part) {
  Emit& e = l.emit();
  const MemoryView& v = part.view;
  SharedOrigin o;
  o.memory = v.memory;
  o.dim = v.dim;
  o.valid = v.memory != nullptr;
  if (!o.valid) return o;
  int64_t bits = element_bits(v.type),
          constant = v.memory->offset.empty() ? 0 : v.memory->offset[0];
  Operand moving = b32(0);
  int64_t divisor = int64_t{1} << 30;  // elements
  for (size_t s = 0; s < v.start.size(); ++s) {
    o.start.push_back(0);
    Operand at = v.start[s];
    if (at.is_imm()) {
      o.start.back() = static_cast<int32_t>(at.bits);
      continue;
    }
    if (at.type == RegClass::b64) at = e.trunc(at);
    std::vector<const Digit*> digits;
    for (const Digit& g : v.memory->digits)
      if (g.label == Label::dim && g.dim == s) digits.push_back(&g);
    int64_t extent = 1;
    for (size_t d = 0; d < v.dim.size(); ++d)
      if (v.dim[d] == static_cast<int>(s)) extent = part.shape[static_cast<int>(d)];
    int64_t step = v.start_divisor[s];
    if (digits.size() > 1 && extent > 1 &&
        step % static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(extent))))
      o.valid = false;
    int64_t below = 1;
    for (size_t g = 0; g < digits.size(); ++g) {
      Operand x = e.op(BlockOp::udiv, {at, b32(static_cast<uint64_t>(below))});
      if (g + 1 < digits.size())
        x = e.op(BlockOp::urem, {x, b32(static_cast<uint64_t>(digits[g]->size))});
      int64_t by = digits[g]->out[0];
      int64_t moved = std::max<int64_t>(1, step / below);
      if (!(step % (below * digits[g]->size) == 0 && g + 1 < digits.size()))
        divisor = std::gcd(divisor, by * moved);
      moving = e.add(moving, e.mul(x, b32(static_cast<uint64_t>(by))));
      below *= digits[g]->size;
    }
  }
  o.first = 0;
  Operand bytes = bits >= 8 ? e.mul(moving, b32(static_cast<uint64_t>(bits / 8)))
                            : e.lshr(e.mul(moving, b32(static_cast<uint64_t>(bits))), 3);
  o.divisor = divisor * bits / 8;
  o.address = e.add(v.base, e.add(bytes, b32(static_cast<uint64_t>(constant * bits / 8))));
  return o;
}

}  // namespace tess::jit
