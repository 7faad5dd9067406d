// Primitives, strided memory, swizzles, and the operations that reshape the tensor of a layout.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_ops.h"

namespace tess {
namespace {

Diagnostic argument(std::string why) { return make_diag(diag::layout_argument, std::move(why)); }

Status check_shape(const std::vector<int64_t>& shape) {
  if (shape.empty() || shape.size() > kMaxLayoutRank)
    return make_diag(diag::layout_limit,
                     fmt::format("a shape has 1 to {} dimensions", kMaxLayoutRank));
  __int128 n = 1;
  for (int64_t s : shape) {
    if (s < 1) return argument("a size is below 1");
    if ((n *= s) >= int64_t{1} << kMaxLayoutBits)
      return make_diag(diag::layout_limit, "a shape has 2^62 elements or more");
  }
  return ok();
}

// Row-major old coordinates to row-major new coordinates: two shapes of the same size.
Result<Layout> reshaping(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  TESS_TRY(Layout flat, row_major(from));
  Layout split;
  split.dims = 1;
  split.shape = to;
  split.offset.assign(to.size(), 0);
  for (size_t j = to.size(); j-- > 0;) {
    Digit d{Label::dim, 0, to[j], std::vector<int64_t>(to.size(), 0)};
    d.out[j] = 1;
    split.digits.push_back(std::move(d));
  }
  TESS_TRY(split, canonical_layout(std::move(split)));
  return compose(split, flat);
}

int tensor_rank(const Layout& l) {
  return l.is_memory() ? l.dims : static_cast<int>(l.shape.size());
}

}  // namespace

Result<Layout> strided(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  TESS_CHECK(check_shape(shape));
  if (strides.size() != shape.size()) return argument("there are not as many strides as sizes");
  Layout l;
  l.dims = static_cast<uint8_t>(shape.size());
  l.shape = {1};
  l.offset = {0};
  for (size_t j = 0; j < shape.size(); ++j)
    l.digits.push_back({Label::dim, static_cast<uint8_t>(j), shape[j], {strides[j]}});
  return canonical_layout(std::move(l));
}

Result<Layout> row_major(const std::vector<int64_t>& shape) {
  TESS_CHECK(check_shape(shape));
  std::vector<int64_t> strides(shape.size());
  int64_t n = 1;
  for (size_t j = shape.size(); j-- > 0; n *= shape[j]) strides[j] = n;
  return strided(shape, strides);
}

Result<Layout> col_major(const std::vector<int64_t>& shape) {
  TESS_CHECK(check_shape(shape));
  std::vector<int64_t> strides;
  int64_t n = 1;
  for (int64_t s : shape) strides.push_back(n), n *= s;
  return strided(shape, strides);
}

Result<Layout> spread(Label label, const std::vector<int64_t>& shape, bool column) {
  TESS_CHECK(check_shape(shape));
  Layout l;
  l.shape = shape;
  l.offset.assign(shape.size(), 0);
  for (size_t i = 0; i < shape.size(); ++i) {
    size_t j = column ? i : shape.size() - 1 - i;
    Digit d{label, 0, shape[j], std::vector<int64_t>(shape.size(), 0)};
    d.out[j] = 1;
    l.digits.push_back(std::move(d));
  }
  return canonical_layout(std::move(l));
}

Result<Layout> replicate(Label label, int64_t copies) {
  TESS_CHECK(check_shape({copies}));
  Layout l;
  l.shape = {1};
  l.offset = {0};
  l.digits.push_back({label, 0, copies, {0}});
  return canonical_layout(std::move(l));
}

Result<Layout> from_thread_value(const Layout& l, const std::vector<int64_t>& shape) {
  TESS_CHECK(check_shape(shape));
  if (!l.is_memory() || l.dims != 2)
    return argument("a thread-value layout has two modes, (threads, values):(…)");
  Layout split;  // one coordinate, first dimension fastest, to the tile's index
  split.dims = 1;
  split.shape = shape;
  split.offset.assign(shape.size(), 0);
  for (size_t j = 0; j < shape.size(); ++j) {
    split.digits.push_back({Label::dim, 0, shape[j], std::vector<int64_t>(shape.size(), 0)});
    split.digits.back().out[j] = 1;
  }
  TESS_TRY(split, canonical_layout(std::move(split)));
  TESS_TRY(Layout r, compose(split, l));
  for (Digit& d : r.digits) d.label = d.dim == 0 ? Label::lane : Label::reg, d.dim = 0;
  r.dims = 0;
  TESS_TRY(r, canonical_layout(std::move(r)));
  return split_lanes(std::move(r));
}

// Field of b bits from bit m + max(0, s), moved by s.
uint64_t apply(const Swizzle& s, uint64_t x) {
  uint64_t field = x & (((uint64_t{1} << s.b) - 1) << (s.m + std::max(0, s.s)));
  return x ^ (s.s >= 0 ? field >> s.s : field << -s.s);
}

Status check_swizzle(const Swizzle& s) {
  if (s.b < 0 || s.m < 0 || s.b > 32 || s.m > 32 || std::abs(s.s) > 32)
    return argument("Sw<b,m,s> needs 0 <= b, m <= 32 and |s| <= 32");
  if (std::abs(s.s) < s.b)
    return argument("Sw<b,m,s> needs |s| >= b, else the two bit fields overlap");
  if (s.b + s.m + std::abs(s.s) > kMaxLayoutBits)
    return argument("Sw<b,m,s> reaches beyond 62 bits");
  return ok();
}

Result<Layout> swizzle(const Swizzle& s, const Layout& memory) {
  TESS_CHECK(check_swizzle(s));
  if (!memory.is_memory()) return argument("a swizzle stands outside a memory layout");
  Layout l = memory;
  l.spelling.clear();
  if (l.bits.identity()) {
    int width = width_of(extent_of(l));
    l.bits.in_bits = {static_cast<uint8_t>(width)};
    for (int b = 0; b < width; ++b) l.bits.columns.push_back({int64_t{1} << b});
  }
  if (l.bits.identity()) return memory;  // one element at 0
  for (auto& column : l.bits.columns)
    column[0] = static_cast<int64_t>(apply(s, static_cast<uint64_t>(column[0])));
  return canonical_layout(std::move(l));
}

Result<Layout> permute(const Layout& l, const std::vector<int>& order) {
  int rank = tensor_rank(l);
  std::vector<bool> seen(rank, false);
  bool fits = static_cast<int>(order.size()) == rank;
  for (int d : order)
    if (!fits || d < 0 || d >= rank || seen[d]) fits = false;
    else seen[d] = true;
  if (!fits) return argument(fmt::format("permute needs each of the {} dimensions once", rank));
  Layout r = l;
  r.spelling.clear();
  if (l.is_memory()) {
    for (Digit& d : r.digits)
      d.dim = static_cast<uint8_t>(std::find(order.begin(), order.end(), d.dim) - order.begin());
    return canonical_layout(std::move(r));
  }
  auto reorder = [&](const std::vector<int64_t>& v) {
    std::vector<int64_t> p;
    for (int d : order) p.push_back(v[d]);
    return p;
  };
  r.shape = reorder(l.shape);
  if (l.bits.identity()) {
    r.offset = reorder(l.offset);
    for (Digit& d : r.digits) d.out = reorder(d.out);
  } else {
    for (auto& column : r.bits.columns) column = reorder(column);
  }
  return canonical_layout(std::move(r));
}

Result<Layout> reshape(const Layout& l, const std::vector<int64_t>& shape) {
  TESS_CHECK(check_shape(shape));
  std::vector<int64_t> old = l.is_memory() ? input_shape(l) : l.shape;
  __int128 before = 1, after = 1;
  for (int64_t s : old) before *= s;
  for (int64_t s : shape) after *= s;
  if (before != after)
    return make_diag(diag::layout_shape_mismatch, "reshape keeps the number of elements");
  if (l.is_memory()) {
    TESS_TRY(Layout map, reshaping(shape, old));
    return compose(l, map);
  }
  TESS_TRY(Layout map, reshaping(old, shape));
  return compose(map, l);
}

Result<Layout> squeeze(const Layout& l, int dim) {
  int rank = tensor_rank(l);
  if (dim < 0 || dim >= rank || rank == 1)
    return argument(fmt::format("squeeze: no dimension {} to drop", dim));
  if ((l.is_memory() ? size_of(l, Label::dim, dim) : l.shape[dim]) != 1)
    return argument(fmt::format("squeeze: dimension {} is not of size 1", dim));
  Layout r = l;
  r.spelling.clear();
  if (l.is_memory()) {
    for (Digit& d : r.digits) d.dim = static_cast<uint8_t>(d.dim - (d.dim > dim));
    --r.dims;
    return canonical_layout(std::move(r));
  }
  r.shape.erase(r.shape.begin() + dim);
  if (l.bits.identity()) {
    r.offset.erase(r.offset.begin() + dim);
    for (Digit& d : r.digits) d.out.erase(d.out.begin() + dim);
  } else {
    for (auto& column : r.bits.columns) column.erase(column.begin() + dim);
  }
  return canonical_layout(std::move(r));
}

Result<Layout> unsqueeze(const Layout& l, int dim) {
  int rank = tensor_rank(l);
  if (dim < 0 || dim > rank) return argument(fmt::format("unsqueeze: there is no place {}", dim));
  if (rank >= kMaxLayoutRank)
    return make_diag(diag::layout_limit,
                     fmt::format("a layout has at most {} dimensions", kMaxLayoutRank));
  Layout r = l;
  r.spelling.clear();
  if (l.is_memory()) {
    for (Digit& d : r.digits) d.dim = static_cast<uint8_t>(d.dim + (d.dim >= dim));
    ++r.dims;
    return canonical_layout(std::move(r));
  }
  r.shape.insert(r.shape.begin() + dim, 1);
  if (l.bits.identity()) {
    r.offset.insert(r.offset.begin() + dim, 0);
    for (Digit& d : r.digits) d.out.insert(d.out.begin() + dim, 0);
  } else {
    for (auto& column : r.bits.columns) column.insert(column.begin() + dim, 0);
  }
  return canonical_layout(std::move(r));
}

Result<Layout> reduce(const Layout& l, int dim, bool keep) {
  if (l.is_memory() || dim < 0 || dim >= static_cast<int>(l.shape.size()))
    return argument("reduce applies to a dimension of a register layout");
  Layout r = l;
  r.spelling.clear();
  r.shape[dim] = 1;
  if (l.bits.identity()) {
    r.offset[dim] = 0;
    for (Digit& d : r.digits) d.out[dim] = 0;
    std::erase_if(r.digits, [](const Digit& d) {
      return d.label == Label::reg &&
             std::all_of(d.out.begin(), d.out.end(), [](int64_t v) { return v == 0; });
    });
    TESS_TRY(r, canonical_layout(std::move(r)));
  } else {
    auto m = linear_of(l);
    if (!m)
      return make_diag(diag::layout_not_expressible,
                       "reduce of a swizzled layout needs sizes that are powers of two");
    LinearLayout kept{{}, {}, m->widths, 0};
    kept.widths[dim] = 0;
    auto drop = [&](uint64_t packed) {
      std::vector<int64_t> v = unpack_bits(packed, m->widths);
      v[dim] = 0;
      return pack_bits(v, kept.widths);
    };
    kept.constant = drop(m->constant);
    Echelon registers;
    uint8_t reg_bit = 0;
    for (size_t i = 0; i < m->columns.size(); ++i) {
      uint64_t column = drop(m->columns[i]);
      InputBit in = m->in[i];
      if (in.label == Label::reg) {
        if (!registers.insert(column, 0)) continue;
        in.bit = reg_bit++;
      }
      kept.in.push_back(in);
      kept.columns.push_back(column);
    }
    TESS_TRY(r, layout_of(kept, r.shape, 0));
  }
  if (keep || r.shape.size() == 1) return r;
  return squeeze(r, dim);
}

}  // namespace tess
