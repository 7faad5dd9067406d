// Products, quotients, reshaping and primitives.
#include "isa/layout_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"

namespace tess {
namespace {

constexpr int64_t kLanes = 32;

Diagnostic mismatch(std::string why) {
  return make_diag(diag::layout_shape_mismatch, std::move(why));
}
Diagnostic argument(std::string why) { return make_diag(diag::layout_argument, std::move(why)); }

// Leading output components (and for memory, dimensions) of size 1 until the rank is `rank`.
Layout pad_rank(Layout l, size_t rank, bool memory) {
  if (memory) {
    int missing = static_cast<int>(rank) - l.dims;
    for (Digit& d : l.digits) d.dim = static_cast<uint8_t>(d.dim + missing);
    l.dims = static_cast<uint8_t>(rank);
    return l;
  }
  size_t missing = rank - l.shape.size();
  if (missing == 0) return l;
  l.shape.insert(l.shape.begin(), missing, 1);
  if (l.bits.identity()) {
    l.offset.insert(l.offset.begin(), missing, 0);
    for (Digit& d : l.digits) d.out.insert(d.out.begin(), missing, 0);
  } else {
    for (auto& c : l.bits.columns) c.insert(c.begin(), missing, 0);
  }
  return l;
}

size_t rank_of_tensor(const Layout& l) { return l.is_memory() ? l.dims : l.shape.size(); }

// Takes the first lanes off `digits` until they make `size`; none if the digits do not divide so.
std::optional<std::pair<std::vector<Digit>, std::vector<Digit>>> split_at(
    const std::vector<Digit>& digits, int64_t size) {
  std::vector<Digit> low, high;
  for (const Digit& d : digits) {
    int64_t take = std::min(d.size, size);
    if (size == 1) {
      high.push_back(d);
      continue;
    }
    if (d.size % take != 0 || size % take != 0) return std::nullopt;
    Digit first = d;
    first.size = take;
    low.push_back(first);
    if (d.size > take) {
      Digit rest = d;
      rest.size = d.size / take;
      for (int64_t& v : rest.out) v *= take;
      high.push_back(std::move(rest));
    }
    size /= take;
  }
  if (size != 1) return std::nullopt;
  return std::pair(std::move(low), std::move(high));
}

std::vector<Digit> with_label(const std::vector<Digit>& digits, Label label, int dim = 0) {
  std::vector<Digit> found;
  for (const Digit& d : digits)
    if (d.label == label && d.dim == dim) found.push_back(d);
  return found;
}

int64_t size_of_digits(const std::vector<Digit>& digits) {
  int64_t size = 1;
  for (const Digit& d : digits) size *= d.size;
  return size;
}

void append(std::vector<Digit>& to, const std::vector<Digit>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void relabel(std::vector<Digit>& digits, Label label) {
  for (Digit& d : digits) d.label = label, d.dim = 0;
}

// The digits of a product: b's before a's in every label. Lanes beyond 32 become warps between b's
// and a's own, since thread = thread_a * threads_b + thread_b.
std::vector<Digit> merge_digits(const std::vector<Digit>& b, const std::vector<Digit>& a,
                                bool split) {
  std::vector<Digit> all = b;
  std::vector<Digit> lanes_b = with_label(b, Label::lane), lanes_a = with_label(a, Label::lane);
  std::vector<Digit> overflow;
  if (int64_t lanes = size_of_digits(lanes_b);
      split && lanes <= kLanes && lanes * size_of_digits(lanes_a) > kLanes)
    if (kLanes % lanes == 0)
      if (auto parts = split_at(lanes_a, kLanes / lanes)) {
        lanes_a = std::move(parts->first);
        overflow = std::move(parts->second);
        relabel(overflow, Label::warp);
      }
  append(all, overflow);
  append(all, lanes_a);
  for (const Digit& d : a)
    if (d.label != Label::lane) all.push_back(d);
  return all;
}

bool all_powers_of_two(const std::vector<int64_t>& shape) {
  return std::all_of(shape.begin(), shape.end(),
                     [](int64_t s) { return std::has_single_bit(static_cast<uint64_t>(s)); });
}

// P of a product: b's bits, then a's bits with their outputs scaled by b's shape (powers of two).
Layout merge_bits(const Layout& a, const Layout& b, const std::vector<int64_t>& scale, bool split) {
  auto explicit_bits = [](const Layout& l) {
    if (!l.bits.identity()) return l.bits;
    BitMap p;
    for (size_t j = 0; j < l.shape.size(); ++j) {
      p.in_bits.push_back(static_cast<uint8_t>(width_of(l.shape[j])));
      for (int bit = 0; bit < p.in_bits.back(); ++bit) {
        std::vector<int64_t> column(l.shape.size(), 0);
        column[j] = int64_t{1} << bit;
        p.columns.push_back(std::move(column));
      }
    }
    return p;
  };
  BitMap pa = explicit_bits(a), pb = explicit_bits(b);
  for (auto& column : pa.columns)
    for (size_t j = 0; j < column.size(); ++j) column[j] *= scale[j];
  Layout r;
  r.bits = pb;
  r.bits.in_bits.insert(r.bits.in_bits.end(), pa.in_bits.begin(), pa.in_bits.end());
  r.bits.columns.insert(r.bits.columns.end(), pa.columns.begin(), pa.columns.end());
  r.offset = b.offset;
  r.offset.insert(r.offset.end(), a.offset.begin(), a.offset.end());
  std::vector<Digit> da = a.digits, db = b.digits;
  for (Digit& d : db) d.out.resize(r.offset.size(), 0);
  for (Digit& d : da) d.out.insert(d.out.begin(), b.offset.size(), 0);
  r.digits = merge_digits(db, da, split);
  return r;
}

}  // namespace

Layout split_lanes(Layout l) {
  std::vector<Digit> lanes = with_label(l.digits, Label::lane);
  if (size_of_digits(lanes) <= kLanes) return l;
  auto parts = split_at(lanes, kLanes);
  if (!parts) return l;
  relabel(parts->second, Label::warp);
  std::vector<Digit> all = parts->first;
  append(all, parts->second);
  for (const Digit& d : l.digits)
    if (d.label != Label::lane) all.push_back(d);
  l.digits = std::move(all);
  auto r = canonical_layout(l);
  return r ? std::move(*r) : l;
}

Layout join_lanes(Layout l) {
  std::vector<Digit> warps = with_label(l.digits, Label::warp);
  std::erase_if(l.digits, [](const Digit& d) { return d.label == Label::warp; });
  relabel(warps, Label::lane);
  append(l.digits, warps);
  auto r = canonical_layout(l);
  return r ? std::move(*r) : l;
}

Result<Layout> product(const Layout& a0, const Layout& b0, bool split) {
  bool hardware = a0.has_hardware() || b0.has_hardware();
  bool memory = !hardware && a0.is_memory() && b0.is_memory();
  if (!memory && (a0.dims > 0 || b0.dims > 0))
    return argument("a product joins two register layouts or two memory layouts, not one of each");
  size_t rank = std::max(memory ? a0.dims : a0.shape.size(), memory ? b0.dims : b0.shape.size());
  Layout a = pad_rank(a0, rank, memory), b = pad_rank(b0, rank, memory);
  if (a.shape.size() != b.shape.size())
    return mismatch("the factors of a product have different ranks");
  Layout r;
  std::vector<int64_t> shape;
  for (size_t j = 0; j < a.shape.size(); ++j) {
    __int128 size = static_cast<__int128>(a.shape[j]) * b.shape[j];
    if (size >= int64_t{1} << kMaxLayoutBits)
      return make_diag(diag::layout_limit, "a product has 2^62 elements or more");
    shape.push_back(static_cast<int64_t>(size));
  }
  if (input_size(a) > (int64_t{1} << kMaxLayoutBits) / input_size(b))
    return make_diag(diag::layout_limit, "a product has 2^62 elements or more");
  if (a.bits.identity() && b.bits.identity()) {
    r.offset = b.offset;
    for (size_t j = 0; j < r.offset.size(); ++j) r.offset[j] += a.offset[j] * b.shape[j];
    for (Digit& d : a.digits)
      for (size_t j = 0; j < d.out.size(); ++j) d.out[j] *= b.shape[j];
    r.digits = merge_digits(b.digits, a.digits, split);
  } else {
    if (!all_powers_of_two(b.shape))
      return make_diag(
          diag::layout_not_expressible,
          "a product with a swizzled factor needs an inner extent that is a power of two");
    if (a.offset.size() + b.offset.size() >
        kMaxLayoutRank) {  // few enough components after linearising
      return make_diag(diag::layout_limit, "a product of swizzled layouts has too many components");
    }
    r = merge_bits(a, b, b.shape, split);
  }
  r.shape = std::move(shape);
  r.dims = std::max(a.dims, b.dims);
  return canonical_layout(std::move(r));
}

namespace {

// x's digits split at y's size in every label: the inner parts and the outer parts.
struct Halves {
  std::vector<Digit> inner, outer;
};
std::optional<Halves> split_digits(const Layout& x,
                                   const std::function<int64_t(Label, int)>& inner_size) {
  Halves h;
  auto take = [&](Label label, int dim) {
    std::vector<Digit> digits = with_label(x.digits, label, dim);
    auto parts = split_at(digits, inner_size(label, dim));
    if (!parts) return false;
    append(h.inner, parts->first);
    append(h.outer, parts->second);
    return true;
  };
  for (Label label : {Label::reg, Label::lane, Label::warp, Label::cta})
    if (!take(label, 0)) return std::nullopt;
  for (int d = 0; d < x.dims; ++d)
    if (!take(Label::dim, d)) return std::nullopt;
  return h;
}

// Divides the outputs of the kept digits by `scale`. False if one is not divisible.
bool scale_down(Layout& l, const std::vector<int64_t>& scale) {
  if (l.bits.identity()) {
    for (size_t j = 0; j < scale.size(); ++j) {
      if (l.offset[j] % scale[j] != 0) return false;
      l.offset[j] /= scale[j];
      for (Digit& d : l.digits) {
        if (d.out[j] % scale[j] != 0) return false;
        d.out[j] /= scale[j];
      }
    }
    return true;
  }
  for (auto& column : l.bits.columns)
    for (size_t j = 0; j < scale.size(); ++j) {
      if (!std::has_single_bit(static_cast<uint64_t>(scale[j])) || column[j] % scale[j] != 0)
        return false;
      column[j] /= scale[j];
    }
  return true;
}

// Keeps only `digits` of l; bits of P that no digit sets are cleared so that the rest divides.
Layout keep_digits(const Layout& l, std::vector<Digit> digits, std::vector<int64_t> shape) {
  Layout r = l;
  r.spelling.clear();
  r.digits = std::move(digits);
  r.shape = std::move(shape);
  if (r.bits.identity()) return r;
  std::vector<uint64_t> used;
  for (size_t j = 0; j < r.offset.size(); ++j) {
    uint64_t bits = static_cast<uint64_t>(r.offset[j]);
    __int128 most = 0;
    for (const Digit& d : r.digits) most += static_cast<__int128>(d.size - 1) * d.out[j];
    bool exact = true;  // a sum of disjoint digits sets exactly these bits
    for (const Digit& d : r.digits)
      exact = exact && std::has_single_bit(static_cast<uint64_t>(d.size));
    for (const Digit& d : r.digits) {
      uint64_t mine = static_cast<uint64_t>((d.size - 1) * d.out[j]);
      exact = exact && !(bits & mine);
      bits |= mine;
    }
    used.push_back(exact ? bits
                         : std::bit_ceil(static_cast<uint64_t>(most) +
                                         static_cast<uint64_t>(r.offset[j]) + 1) -
                               1);
  }
  size_t at = 0;
  for (size_t j = 0; j < r.bits.in_bits.size(); ++j)
    for (int b = 0; b < r.bits.in_bits[j]; ++b, ++at)
      if (!(used[j] >> b & 1)) std::fill(r.bits.columns[at].begin(), r.bits.columns[at].end(), 0);
  return r;
}

Diagnostic not_divisible() {
  return make_diag(
      diag::layout_not_divisible,
      "the layout does not divide: its digits are not the other's innermost (outermost) ones");
}

Result<Layout> divide_by_label(const Layout& x, const Layout& y0, bool left) {
  size_t rank = rank_of_tensor(x);
  if (rank_of_tensor(y0) > rank || x.is_memory() != y0.is_memory()) return not_divisible();
  Layout y = pad_rank(y0, rank, x.is_memory());
  std::vector<int64_t> shape;
  for (size_t j = 0; j < x.shape.size(); ++j) {
    if (x.shape[j] % y.shape[j] != 0) return not_divisible();
    shape.push_back(x.shape[j] / y.shape[j]);
  }
  bool sizes_divide = true;
  auto halves = split_digits(x, [&](Label label, int dim) {
    int64_t whole = size_of(x, label, dim), part = size_of(y, label, dim);
    sizes_divide = sizes_divide && whole % part == 0;
    return left && sizes_divide ? whole / part : part;
  });
  if (!halves || !sizes_divide) return not_divisible();
  Layout z = keep_digits(x, left ? halves->inner : halves->outer, left ? shape : x.shape);
  if (z.bits.identity()) {
    for (size_t j = 0; j < z.offset.size(); ++j)
      z.offset[j] -= (left ? shape[j] : 1) * y.offset[j] * (y.bits.identity() ? 1 : 0);
  }
  if (!left && !scale_down(z, y.shape)) return not_divisible();
  z.shape = shape;
  auto canonical = canonical_layout(std::move(z));
  if (!canonical) return not_divisible();
  auto back = left ? product(y, *canonical) : product(*canonical, y);
  auto unsplit = left ? product(y, *canonical, false) : product(*canonical, y, false);
  if ((back && *back == x) || (unsplit && *unsplit == x)) return std::move(*canonical);
  return not_divisible();
}

Result<Layout> divide_either(const Layout& x, const Layout& y, bool left) {
  auto by_label = divide_by_label(x, y, left);
  if (by_label || x.is_memory()) return by_label;
  auto by_thread = divide_by_label(join_lanes(x), join_lanes(y), left);
  if (!by_thread) return by_label;
  return split_lanes(std::move(*by_thread));
}

}  // namespace

Result<Layout> divide(const Layout& x, const Layout& y) { return divide_either(x, y, false); }
Result<Layout> left_divide(const Layout& x, const Layout& y) { return divide_either(x, y, true); }

Result<Layout> concat(const Layout& a, const Layout& b) {
  if (a.is_memory() != b.is_memory())
    return argument("concat joins two register layouts or two memory layouts");
  size_t ra = rank_of_tensor(a), rb = rank_of_tensor(b);
  if (ra + rb > kMaxLayoutRank)
    return make_diag(diag::layout_limit,
                     fmt::format("a layout has at most {} dimensions", kMaxLayoutRank));
  Layout wide = a;
  for (size_t i = 0; i < rb; ++i) {
    TESS_TRY(wide, unsqueeze(wide, static_cast<int>(rank_of_tensor(wide))));
  }
  return product(wide, b);
}

Result<Layout> shift(const Layout& l, const std::vector<int64_t>& by) {
  if (by.size() != l.shape.size())
    return argument("shift needs one number for each output component");
  Layout r = l;
  r.spelling.clear();
  for (size_t j = 0; j < by.size(); ++j) {
    if (by[j] <= -(int64_t{1} << kMaxLayoutBits) || by[j] >= int64_t{1} << kMaxLayoutBits)
      return make_diag(diag::layout_limit, "a shift reaches 2^62");
    if (!r.is_memory() && by[j] > 0) r.shape[j] += by[j];
  }
  if (r.bits.identity()) {
    for (size_t j = 0; j < by.size(); ++j) r.offset[j] += by[j];
    return canonical_layout(std::move(r));
  }
  auto m = linear_of(r);
  int64_t block = 1;  // adding a multiple of everything that P touches keeps it a bit map
  for (int64_t s : r.shape)
    block = std::max(block, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(s))));
  for (int64_t v : by)
    if (v < 0 || v % block != 0 || !m)
      return make_diag(
          diag::layout_not_expressible,
          "a swizzled layout shifts only by multiples of its extent rounded up to a power of two");
  r.shape.clear();
  for (size_t j = 0; j < by.size(); ++j) r.shape.push_back(l.shape[j] + by[j]);
  LinearLayout wide;
  wide.in = m->in;
  for (int64_t s : r.shape) wide.widths.push_back(static_cast<uint8_t>(width_of(s)));
  for (uint64_t c : m->columns)
    wide.columns.push_back(pack_bits(unpack_bits(c, m->widths), wide.widths));
  std::vector<int64_t> constant = unpack_bits(m->constant, m->widths);
  for (size_t j = 0; j < by.size(); ++j) constant[j] += by[j];
  wide.constant = pack_bits(constant, wide.widths);
  return layout_of(wide, r.shape, r.dims);
}

}  // namespace tess
