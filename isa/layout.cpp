#include "isa/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_judge.h"

namespace tess {
namespace {

constexpr int64_t kBound = int64_t{1} << kMaxLayoutBits;

Diagnostic invalid(std::string why) { return make_diag(diag::layout_invalid, std::move(why)); }
Diagnostic limit(std::string why) { return make_diag(diag::layout_limit, std::move(why)); }

struct Range {
  int64_t least = 0, most = 0;
};

// The values each component of c + A takes; none if one leaves ±2^62.
std::optional<std::vector<Range>> sum_ranges(const Layout& l) {
  std::vector<Range> ranges;
  for (size_t j = 0; j < l.offset.size(); ++j) {
    __int128 least = l.offset[j], most = least;
    for (const Digit& d : l.digits) {
      __int128 reach = static_cast<__int128>(d.size - 1) * d.out[j];
      (reach < 0 ? least : most) += reach;
      if (least <= -kBound || most >= kBound) return std::nullopt;
    }
    ranges.push_back({static_cast<int64_t>(least), static_cast<int64_t>(most)});
  }
  return ranges;
}

Status check_form(const Layout& l) {
  size_t rank = l.shape.size();
  if (rank == 0 || rank > kMaxLayoutRank || l.dims > kMaxLayoutRank)
    return limit(fmt::format(
        "a layout has 1 to {} output components and at most as many dimensions", kMaxLayoutRank));
  if (l.digits.size() > kMaxLayoutDigits)
    return limit(fmt::format("a layout has at most {} digits", kMaxLayoutDigits));
  for (int64_t s : l.shape)
    if (s < 1 || s >= kBound) return limit("a size of the output is below 1 or at least 2^62");
  size_t inner = l.bits.identity() ? rank : l.bits.in_bits.size();
  if (!l.bits.identity()) {
    size_t bits = 0;
    for (uint8_t b : l.bits.in_bits) bits += b;
    if (inner == 0 || inner > kMaxLayoutRank || bits > 64 || bits != l.bits.columns.size())
      return invalid("the bit matrix has another number of columns than its inputs have bits");
    for (const auto& column : l.bits.columns) {
      if (column.size() != rank)
        return invalid("a column of the bit matrix has another length than the output");
      for (int64_t v : column)
        if (v < 0 || v >= kBound)
          return invalid("a column of the bit matrix is negative or too large");
    }
  }
  if (l.offset.size() != inner) return invalid("the offset has another length than the sum");
  __int128 size = 1;
  for (const Digit& d : l.digits) {
    if (d.size < 1 || d.out.size() != inner)
      return invalid("a digit has a size below 1 or a vector of another length than the sum");
    if (d.label > Label::dim || (d.label == Label::dim ? d.dim >= l.dims : d.dim != 0))
      return invalid("a digit names no input of the layout");
    if ((size *= d.size) >= kBound) return limit("a layout has 2^62 elements or more");
  }
  return ok();
}

void coalesce_digits(std::vector<Digit>& digits) {
  std::erase_if(digits, [](const Digit& d) { return d.size == 1; });
  std::stable_sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) {
    return std::pair(a.label, a.dim) < std::pair(b.label, b.dim);
  });
  size_t kept = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (kept > 0) {
      Digit& last = digits[kept - 1];
      const Digit& next = digits[i];
      bool continues = last.label == next.label && last.dim == next.dim;
      for (size_t j = 0; continues && j < last.out.size(); ++j)
        continues = static_cast<__int128>(last.out[j]) * last.size == next.out[j];
      if (continues) {
        last.size *= next.size;
        continue;
      }
    }
    if (kept != i) digits[kept] = std::move(digits[i]);
    ++kept;
  }
  digits.resize(kept);
}

// Drops columns of bits that the sum never has, and P itself if it moves nothing.
void trim_bits(Layout& l, const std::vector<Range>& ranges) {
  BitMap trimmed;
  size_t at = 0;
  bool moves = l.bits.in_bits.size() != l.shape.size();
  for (size_t j = 0; j < l.bits.in_bits.size(); ++j) {
    int width = std::min<int>(l.bits.in_bits[j], width_of(ranges[j].most + 1));
    trimmed.in_bits.push_back(static_cast<uint8_t>(width));
    for (int b = 0; b < width; ++b) {
      const auto& column = l.bits.columns[at + b];
      for (size_t k = 0; k < column.size(); ++k)
        moves = moves || column[k] != (k == j ? int64_t{1} << b : 0);
      trimmed.columns.push_back(column);
    }
    at += l.bits.in_bits[j];
  }
  if (trimmed.columns.empty() && moves) {  // the sum is always zero
    for (Digit& d : l.digits) d.out.assign(l.shape.size(), 0);
    l.offset.assign(l.shape.size(), 0);
    moves = false;
  }
  l.bits = moves ? std::move(trimmed) : BitMap{};
}

// The largest value of each output component, exact for sums and for F2-linear maps. A bit map that
// keeps bits at and above 2^k in place keeps values inside their aligned blocks of 2^k.
std::vector<int64_t> largest_outputs(const Layout& l, const std::vector<Range>& ranges) {
  std::vector<int64_t> most;
  if (l.bits.identity()) {
    for (const Range& r : ranges) most.push_back(r.most);
    return most;
  }
  Layout wide = l;  // wide enough for every column, so that packing loses nothing
  for (size_t k = 0; k < wide.shape.size(); ++k)
    for (const auto& column : wide.bits.columns)
      wide.shape[k] = std::max(
          wide.shape[k], static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(column[k]) + 1)));
  if (auto m = linear_of(wide)) {
    int at = 0;
    for (uint8_t w : m->widths) {
      uint64_t mask = (uint64_t{1} << w) - 1;
      std::vector<uint64_t> part;
      for (uint64_t c : m->columns) part.push_back(c >> at & mask);
      most.push_back(
          w == 0 ? 0 : static_cast<int64_t>(largest_in_image(part, m->constant >> at & mask)));
      at += w;
    }
    return most;
  }
  for (size_t k = 0; k < l.shape.size(); ++k) {
    uint64_t all = 0, touched = 0;
    size_t at = 0;
    bool same_place = l.bits.in_bits.size() == l.shape.size();
    for (size_t j = 0; j < l.bits.in_bits.size(); ++j)
      for (int b = 0; b < l.bits.in_bits[j]; ++b, ++at) {
        uint64_t v = static_cast<uint64_t>(l.bits.columns[at][k]);
        all |= v;
        touched |= v ^ (j == k ? uint64_t{1} << b : 0);
      }
    uint64_t block = touched == 0 ? 1 : uint64_t{1} << std::bit_width(touched);
    uint64_t value = std::bit_ceil(all + 1) - 1;
    if (same_place)
      value = std::min<uint64_t>(value,
                                 static_cast<uint64_t>(ranges[k].most) / block * block + block - 1);
    most.push_back(static_cast<int64_t>(value));
  }
  return most;
}

}  // namespace

Result<Layout> canonical_layout(Layout l) {
  TESS_CHECK(check_form(l));
  coalesce_digits(l.digits);
  auto ranges = sum_ranges(l);
  if (!ranges) return limit("an offset of a layout reaches 2^62");
  if (l.bits.identity()) l.bits = {};
  if (!l.bits.identity()) {
    for (size_t j = 0; j < ranges->size(); ++j) {
      if ((*ranges)[j].least < 0) return invalid("a swizzle meets a negative offset");
      int missing = width_of((*ranges)[j].most + 1) - l.bits.in_bits[j];
      if (missing > 0) return invalid("the bit matrix is narrower than the sum it permutes");
    }
    trim_bits(l, *ranges);
  }
  ranges = sum_ranges(l);  // trimming may have dropped the sum
  std::vector<int64_t> most = largest_outputs(l, *ranges);
  bool memory = l.dims > 0 && l.shape.size() == 1 && !l.has_hardware();
  for (size_t k = 0; k < most.size(); ++k) {
    if (memory) l.shape[k] = std::max<int64_t>(1, most[k] + 1);
    else if (most[k] >= l.shape[k])
      return invalid(
          fmt::format("the layout reaches index {} of output dimension {}, which has size {}",
                      most[k], k, l.shape[k]));
  }
  if (!memory && l.bits.identity())
    for (const Range& r : *ranges)
      if (r.least < 0) return invalid("the layout reaches a negative index");
  if (!l.bits.identity())
    if (auto m = linear_of(l)) {
      if (m->columns.size() + (m->constant != 0) > kMaxLayoutBits)
        return limit("a layout over F2 has more than 62 input bits");
      Layout plain = uncoalesced_layout_of(*m, l.shape, l.dims);
      plain.spelling = std::move(l.spelling);
      l = std::move(plain);
    }
  coalesce_digits(l.digits);
  return l;
}

int64_t size_of(const Layout& l, Label label, int dim) {
  int64_t size = 1;
  for (const Digit& d : l.digits)
    if (d.label == label && d.dim == dim) size *= d.size;
  return size;
}

std::vector<int64_t> input_shape(const Layout& l) {
  std::vector<int64_t> shape;
  for (int d = 0; d < l.dims; ++d) shape.push_back(size_of(l, Label::dim, d));
  return shape;
}

int64_t threads_of(const Layout& l) { return size_of(l, Label::lane) * size_of(l, Label::warp); }
int64_t registers_of(const Layout& l) { return size_of(l, Label::reg); }

int64_t input_size(const Layout& l) {
  int64_t size = 1;
  for (const Digit& d : l.digits) size *= d.size;
  return size;
}

int64_t extent_of(const Layout& memory) { return memory.shape.empty() ? 0 : memory.shape[0]; }

std::vector<int64_t> apply_sum_bits(const Layout& l, const std::vector<int64_t>& sum) {
  if (l.bits.identity()) return sum;
  std::vector<int64_t> out(l.shape.size(), 0);
  size_t at = 0;
  for (size_t j = 0; j < l.bits.in_bits.size(); ++j) {
    for (int b = 0; b < l.bits.in_bits[j]; ++b)
      if (sum[j] >> b & 1)
        for (size_t k = 0; k < out.size(); ++k) out[k] ^= l.bits.columns[at + b][k];
    at += l.bits.in_bits[j];
  }
  return out;
}

std::vector<int64_t> apply(const Layout& l, const LayoutPoint& p) {
  std::vector<int64_t> sum = l.offset;
  const Digit* previous = nullptr;
  int64_t rest = 0;
  for (const Digit& d : l.digits) {
    if (!previous || previous->label != d.label || previous->dim != d.dim) {
      switch (d.label) {
        case Label::reg:
          rest = p.reg;
          break;
        case Label::lane:
          rest = p.lane;
          break;
        case Label::warp:
          rest = p.warp;
          break;
        case Label::cta:
          rest = p.cta;
          break;
        case Label::dim:
          rest = d.dim < p.dims.size() ? p.dims[d.dim] : 0;
          break;
      }
    }
    int64_t value = rest % d.size;
    rest /= d.size;
    if (value != 0)
      for (size_t j = 0; j < sum.size(); ++j) sum[j] += value * d.out[j];
    previous = &d;
  }
  return apply_sum_bits(l, sum);
}

int64_t offset_of(const Layout& memory, const std::vector<int64_t>& index) {
  LayoutPoint p;
  p.dims = index;
  return apply(memory, p)[0];
}

Result<bool> same_map(const Layout& a, const Layout& b) {
  if (a.dims != b.dims || a.shape.size() != b.shape.size()) return false;
  for (Label label : {Label::reg, Label::lane, Label::warp, Label::cta})
    if (size_of(a, label) != size_of(b, label)) return false;
  if (input_shape(a) != input_shape(b)) return false;
  if (a.digits == b.digits && a.offset == b.offset && a.bits == b.bits) return true;
  if (a.bits.identity() && b.bits.identity()) return false;
  if (linear_of(a) && linear_of(b)) return false;  // canonical forms of linear layouts are unique
  return judge_equal(a, b);
}

}  // namespace tess
