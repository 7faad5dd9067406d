#include "isa/layout_bits.h"

#include <algorithm>
#include <bit>

#include "isa/diag/layout.h"

namespace tess {

int width_of(int64_t size) {
  return size <= 1 ? 0 : std::bit_width(static_cast<uint64_t>(size - 1));
}

std::pair<uint64_t, uint64_t> Echelon::reduce(uint64_t v) const {
  uint64_t made_of = 0;
  for (const Row& row : rows_)
    if ((v ^ row.value) < v) v ^= row.value, made_of ^= row.made_of;
  return {v, made_of};
}

bool Echelon::insert(uint64_t v, int index) {
  auto [rest, made_of] = reduce(v);
  if (rest == 0) return false;
  Row row{rest, made_of ^ (uint64_t{1} << index)};
  rows_.insert(std::upper_bound(rows_.begin(), rows_.end(), row,
                                [](const Row& a, const Row& b) { return a.value > b.value; }),
               row);
  return true;
}

std::optional<uint64_t> Echelon::solve(uint64_t v) const {
  auto [rest, made_of] = reduce(v);
  if (rest != 0) return std::nullopt;
  return made_of;
}

int rank_of(const std::vector<uint64_t>& columns) {
  Echelon span;
  for (uint64_t c : columns) span.insert(c, 0);
  return span.rank();
}

uint64_t free_columns(const std::vector<uint64_t>& columns) {
  Echelon span;
  uint64_t free = 0;
  for (size_t i = 0; i < columns.size(); ++i)
    if (!span.insert(columns[i], static_cast<int>(i))) free |= uint64_t{1} << i;
  return free;
}

std::vector<uint64_t> null_space(const std::vector<uint64_t>& columns) {
  Echelon span;
  std::vector<uint64_t> kernel;
  for (size_t i = 0; i < columns.size(); ++i)
    if (!span.insert(columns[i], static_cast<int>(i)))
      kernel.push_back(*span.solve(columns[i]) ^ (uint64_t{1} << i));
  return kernel;
}

uint64_t times(const std::vector<uint64_t>& columns, uint64_t x) {
  uint64_t y = 0;
  for (; x != 0; x &= x - 1) y ^= columns[std::countr_zero(x)];
  return y;
}

std::optional<std::vector<uint64_t>> solve_columns(const std::vector<uint64_t>& b,
                                                   const std::vector<uint64_t>& a) {
  Echelon span;
  for (size_t i = 0; i < b.size(); ++i) span.insert(b[i], static_cast<int>(i));
  std::vector<uint64_t> c;
  for (uint64_t column : a) {
    std::optional<uint64_t> x = span.solve(column);
    if (!x) return std::nullopt;
    c.push_back(*x);
  }
  return c;
}

uint64_t largest_in_image(const std::vector<uint64_t>& columns, uint64_t constant) {
  std::vector<uint64_t> rows;
  for (uint64_t c : columns) {
    for (uint64_t r : rows) c = std::min(c, c ^ r);
    if (c == 0) continue;
    rows.push_back(c);
    std::sort(rows.rbegin(), rows.rend());
  }
  for (uint64_t r : rows) constant = std::max(constant, constant ^ r);
  return constant;
}

uint64_t pack_bits(const std::vector<int64_t>& v, const std::vector<uint8_t>& widths) {
  uint64_t packed = 0;
  int at = 0;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] > 0) packed |= static_cast<uint64_t>(v[i]) << at;
    at += widths[i];
  }
  return packed;
}

std::vector<int64_t> unpack_bits(uint64_t packed, const std::vector<uint8_t>& widths) {
  std::vector<int64_t> v;
  int at = 0;
  for (uint8_t w : widths) {
    v.push_back(w == 0 ? 0 : static_cast<int64_t>(packed >> at & ((uint64_t{1} << w) - 1)));
    at += w;
  }
  return v;
}

namespace {

// c + v as xor: the sum changes exactly the bits of (c + v) ^ c. A sum of such steps is linear over
// F2 iff those bit sets are pairwise disjoint: if two share bits S, the integer sum and the xor
// differ by twice the signed sum of 2^b over b in S, which is never zero.
struct SumBits {
  std::vector<uint64_t> columns;
  uint64_t constant = 0;
};

std::optional<SumBits> linear_sum(const Layout& l, const std::vector<uint8_t>& widths) {
  SumBits s;
  for (size_t j = 0; j < widths.size(); ++j)
    if (l.offset[j] < 0 || width_of(l.offset[j] + 1) > widths[j]) return std::nullopt;
  s.constant = pack_bits(l.offset, widths);
  uint64_t used = 0;
  for (const Digit& d : l.digits) {
    if (!std::has_single_bit(static_cast<uint64_t>(d.size))) return std::nullopt;
    for (int bit = 0; (int64_t{1} << bit) < d.size; ++bit) {
      std::vector<int64_t> sum = l.offset;
      for (size_t j = 0; j < widths.size(); ++j) {
        sum[j] += d.out[j] * (int64_t{1} << bit);
        if (sum[j] < 0 || width_of(sum[j] + 1) > widths[j]) return std::nullopt;
      }
      uint64_t column = pack_bits(sum, widths) ^ s.constant;
      if (column & used) return std::nullopt;
      used |= column;
      s.columns.push_back(column);
    }
  }
  return s;
}

std::vector<uint8_t> sum_widths(const Layout& l) {
  if (!l.bits.identity()) return l.bits.in_bits;
  std::vector<uint8_t> widths;
  for (int64_t size : l.shape) widths.push_back(static_cast<uint8_t>(width_of(size)));
  return widths;
}

}  // namespace

std::optional<LinearLayout> linear_of(const Layout& l) {
  std::vector<uint8_t> widths = sum_widths(l);
  int total = 0;
  for (uint8_t w : widths) total += w;
  if (total > 64) return std::nullopt;
  std::optional<SumBits> sum = linear_sum(l, widths);
  if (!sum) return std::nullopt;
  LinearLayout m;
  const Digit* previous = nullptr;
  uint8_t bit = 0;
  for (const Digit& d : l.digits) {
    if (!previous || previous->label != d.label || previous->dim != d.dim) bit = 0;
    for (int64_t s = 1; s < d.size; s *= 2) m.in.push_back({d.label, d.dim, bit++});
    previous = &d;
  }
  if (l.bits.identity()) {
    m.widths = std::move(widths);
    m.columns = std::move(sum->columns);
    m.constant = sum->constant;
    return m;
  }
  int out_total = 0;
  for (int64_t size : l.shape) {
    m.widths.push_back(static_cast<uint8_t>(width_of(size)));
    out_total += m.widths.back();
  }
  if (out_total > 64) return std::nullopt;
  std::vector<uint64_t> p;
  for (const auto& column : l.bits.columns) p.push_back(pack_bits(column, m.widths));
  m.constant = times(p, sum->constant);
  for (uint64_t c : sum->columns) m.columns.push_back(times(p, c));
  return m;
}

Result<Layout> layout_of(const LinearLayout& m, std::vector<int64_t> shape, int dims) {
  if (m.columns.size() + (m.constant != 0) > kMaxLayoutBits)
    return make_diag(diag::layout_limit, "a layout over F2 has more than 62 input bits");
  return canonical_layout(uncoalesced_layout_of(m, std::move(shape), dims));
}

Layout uncoalesced_layout_of(const LinearLayout& m, std::vector<int64_t> shape, int dims) {
  Layout l;
  l.shape = std::move(shape);
  l.dims = static_cast<uint8_t>(dims);
  uint64_t used = 0;
  bool disjoint = true;
  for (uint64_t c : m.columns) disjoint = disjoint && !(c & used), used |= c;
  if (disjoint) {
    l.offset = unpack_bits(m.constant, m.widths);
    for (size_t i = 0; i < m.columns.size(); ++i) {
      Digit d{m.in[i].label, m.in[i].dim, 2, unpack_bits(m.constant ^ m.columns[i], m.widths)};
      for (size_t j = 0; j < d.out.size(); ++j) d.out[j] -= l.offset[j];
      l.digits.push_back(std::move(d));
    }
    return l;
  }
  size_t n = m.columns.size() + (m.constant != 0);
  l.bits.in_bits = {static_cast<uint8_t>(n)};
  for (size_t i = 0; i < m.columns.size(); ++i) {
    l.digits.push_back({m.in[i].label, m.in[i].dim, 2, {int64_t{1} << i}});
    l.bits.columns.push_back(unpack_bits(m.columns[i], m.widths));
  }
  l.offset = {m.constant != 0 ? int64_t{1} << (n - 1) : 0};
  if (m.constant != 0) l.bits.columns.push_back(unpack_bits(m.constant, m.widths));
  return l;
}

}  // namespace tess
