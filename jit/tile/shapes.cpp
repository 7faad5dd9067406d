#include "jit/tile/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "isa/layout_atoms.h"
#include "isa/layout_ops.h"

namespace tess::jit::tile {
namespace {

constexpr int kLanes = 32;

// The part of `extent` that `left` threads take: a common divisor, or, where that would leave most
// of them idle, the largest divisor of the extent that they can hold.
int64_t share(int64_t left, int64_t extent) {
  int64_t common = std::gcd(left, extent);
  if (common == left || common == extent) return common;
  int64_t most = 1;
  for (int64_t q = std::min(left, extent); q > common; --q)
    if (extent % q == 0) {
      most = q;
      break;
    }
  return most >= 4 * common ? most : common;
}

Digit digit(Label label, int64_t size, size_t rank, int dim, int64_t step) {
  Digit d{label, 0, size, std::vector<int64_t>(rank, 0)};
  if (dim >= 0) d.out[static_cast<size_t>(dim)] = step;
  return d;
}

// [wm,wn] warps over rows and columns of a tile with leading dimensions; a share of 0 keeps the
// operand whole in that direction.
Result<Layout> warp_grid(int64_t wm, int64_t wn, int64_t copies, bool rows, bool columns) {
  Layout l;
  l.shape = {rows ? wm : 1, columns ? wn : 1};
  l.offset = {0, 0};
  l.digits.push_back(digit(Label::warp, wn, 2, columns ? 1 : -1, 1));
  l.digits.push_back(digit(Label::warp, wm, 2, rows ? 0 : -1, 1));
  l.digits.push_back(digit(Label::warp, copies, 2, -1, 0));
  return canonical_layout(std::move(l));
}

Result<Layout> tiled(const Layout& warps, const Shape& shape, int64_t rows, int64_t columns,
                     const Layout& atom) {
  std::vector<int64_t> repeat;
  for (int d = 0; d + 2 < shape.rank; ++d) repeat.push_back(shape[d]);
  repeat.push_back(rows);
  repeat.push_back(columns);
  TESS_TRY(Layout local, spread(Label::reg, repeat));
  TESS_TRY(Layout inner, product(local, atom));
  return product(warps, inner);
}

// Pieces of `atom` with their columns `stride` apart; the places between two columns are divided
// among `wn` warps.
Result<Layout> interleaved(int64_t wm, int64_t wn, int64_t copies, bool warp_rows, int64_t rows,
                           int64_t columns, int64_t stride, const Layout& atom) {
  Layout between;
  int64_t share = stride / wn;
  between.shape = {warp_rows ? wm : 1, 1, stride};
  between.offset = {0, 0, 0};
  between.digits.push_back(digit(Label::reg, share, 3, 2, 1));
  between.digits.push_back(digit(Label::warp, wn, 3, 2, share));
  between.digits.push_back(digit(Label::warp, wm, 3, warp_rows ? 0 : -1, 1));
  between.digits.push_back(digit(Label::warp, copies, 3, -1, 0));
  TESS_TRY(between, canonical_layout(std::move(between)));
  TESS_TRY(Layout local, spread(Label::reg, {rows, columns}));
  TESS_TRY(Layout pieces, product(local, atom));
  TESS_TRY(pieces, unsqueeze(pieces, 2));
  TESS_TRY(Layout all, product(between, pieces));
  return reshape(all, {all.shape[0], all.shape[1] * stride});
}

}  // namespace

std::vector<int> row_order(int rank, int fastest) {
  std::vector<int> order;
  if (fastest >= 0) order.push_back(fastest);
  for (int d = rank; d-- > 0;)
    if (d != fastest) order.push_back(d);
  return order;
}

Result<Layout> spread_over(const Shape& shape, const Spread& how, int warps) {
  size_t rank = shape.rank;
  Layout l;
  l.shape = dims_of(shape);
  l.offset.assign(rank, 0);
  std::vector<int64_t> left = l.shape, step(rank, 1);
  auto take = [&](Label label, int dim, int64_t n) {
    size_t d = static_cast<size_t>(dim);
    l.digits.push_back(digit(label, n, rank, dim, step[d]));
    step[d] *= n;
    left[d] /= n;
  };
  take(Label::reg, how.fastest, how.run);
  auto deal = [&](Label label, int64_t threads, const std::vector<int>& order) {
    int64_t idle = threads;
    for (int d : order)
      if (int64_t n = share(idle, left[static_cast<size_t>(d)]); n > 1) {
        take(label, d, n);
        idle /= n;
      }
    int64_t used = size_of(l, label);
    if (idle > 1 && threads % used == 0)
      l.digits.push_back(digit(label, threads / used, rank, -1, 0));
  };
  deal(Label::lane, kLanes, how.lane_order);
  deal(Label::warp, warps, how.warp_order);
  for (int d : how.lane_order) take(Label::reg, d, left[static_cast<size_t>(d)]);
  return canonical_layout(std::move(l));
}

Result<Layout> wide_layout(const Shape& shape, int fastest, int64_t run, int warps) {
  std::vector<int> order = row_order(shape.rank, fastest);
  int64_t extent = shape[order[0]];
  while (run > 1 && extent % run != 0) run /= 2;
  return spread_over(shape, {order[0], order, order, run}, warps);
}

Result<Layout> everywhere(const Shape& shape, int warps) {
  TESS_TRY(Layout l, spread(Label::reg, dims_of(shape)));
  l.digits.push_back(digit(Label::lane, kLanes, shape.rank, -1, 0));
  l.digits.push_back(digit(Label::warp, warps, shape.rank, -1, 0));
  return canonical_layout(std::move(l));
}

std::optional<MmaForm> mma_form(DType a, DType b, DType acc, Sm sm) {
  auto named = [](std::string_view atom, std::string_view type, std::string_view acc_type, int m,
                  int n, int k) {
    std::string_view rows = m == 16 ? "m16n8" : "m8n8";
    return MmaForm{atom,
                   fmt::format("mma.{}.{}.A", atom, type),
                   fmt::format("mma.{}.{}.B", atom, type),
                   fmt::format("mma.{}.{}.C", rows, acc_type),
                   m,
                   n,
                   k};
  };
  if (a.is_int() && b.is_int()) return named("m16n8k32", "s8", "s32", 16, 8, 32);
  if (a.bits == 64) return named("m8n8k4", "f64", "f64", 8, 8, 4);
  if (a.is_tf32()) return named("m16n8k8", "tf32", "f32", 16, 8, 8);
  if (a.bits == 32) return std::nullopt;  // exact f32 is no tensor core type
  auto fp8 = [](DType t) { return t.bits == 8 && (t.exp == 4 || t.exp == 5); };
  if (fp8(a) && fp8(b) && sm != Sm::sm_80) return named("m16n8k32", "e4m3", "f32", 16, 8, 32);
  return named("m16n8k16", "f16", "f32", 16, 8, 16);
}

std::vector<MmaFragments> mma_fragments(const MmaForm& form, const Shape& a, const Shape& b,
                                        int warps, int64_t stride) {
  std::vector<MmaFragments> all;
  int64_t m = a[a.rank - 2], k = a[a.rank - 1], n = b[b.rank - 1];
  if (m % form.m || n % (form.n * stride) || k % form.k || (stride > 1 && a.rank != 2)) return all;
  auto fa = named_atom(form.a), fb = named_atom(form.b), fc = named_atom(form.c);
  if (!fa || !fb || !fc) return all;
  int64_t rows = m / form.m, columns = n / form.n, steps = k / form.k, batch = 1;
  for (int d = 0; d + 2 < a.rank; ++d) batch *= a[d];
  Shape c = a;
  c[c.rank - 1] = n;
  int64_t most = 0;
  for (int64_t wm = 1; wm <= warps; ++wm)
    for (int64_t wn = 1; wm * wn <= warps; ++wn)
      if (warps % (wm * wn) == 0 && rows % wm == 0 && columns % wn == 0)
        most = std::max(most, wm * wn);
  for (int64_t wm = most; wm >= 1; --wm) {
    int64_t wn = most / wm, copies = warps / most;
    if (most % wm || rows % wm || columns % wn) continue;
    if (stride > 1) {
      if (stride % wn) continue;
      auto ga = warp_grid(wm, wn, copies, true, false);
      auto lb = interleaved(wm, wn, copies, false, steps, columns / stride, stride, *fb),
           lc = interleaved(wm, wn, copies, true, rows / wm, columns / stride, stride, *fc);
      if (!ga || !lb || !lc) continue;
      if (auto la = tiled(*ga, a, rows / wm, steps, *fa))
        all.push_back({std::move(*la), std::move(*lb), std::move(*lc), rows / wm * (columns / wn) * steps});
      continue;
    }
    auto ga = warp_grid(wm, wn, copies, true, false), gb = warp_grid(wm, wn, copies, false, true),
         gc = warp_grid(wm, wn, copies, true, true);
    if (!ga || !gb || !gc) continue;
    auto la = tiled(*ga, a, rows / wm, steps, *fa);
    auto lb = tiled(*gb, b, steps, columns / wn, *fb);
    auto lc = tiled(*gc, c, rows / wm, columns / wn, *fc);
    if (!la || !lb || !lc) continue;
    all.push_back({std::move(*la), std::move(*lb), std::move(*lc),
                   batch * (rows / wm) * (columns / wn) * steps});
  }
  return all;
}

std::vector<MmaFragments> wgmma_fragments(DType a_type, const Shape& a, const Shape& c, int warps) {
  std::vector<MmaFragments> all;
  std::string type = a_type.bits == 16  ? "f16"
                     : a_type.is_tf32() ? "tf32"
                     : a_type.bits == 8 ? "s8"
                     : a_type.bits == 1 ? "b1"
                                        : "";
  if (type.empty() || warps % 4 || c.rank != 2 || a.rank != 2) return all;
  int64_t k = 256 / a_type.bits, m = c[0], n = c[1];
  auto fa = named_atom(fmt::format("wgmma.m64k{}.{}.A", k, type));
  if (!fa || m % 64 || a[1] % k) return all;
  int64_t groups = warps / 4, rows = m / 64;
  for (int64_t wm = std::min(groups, rows); wm >= 1; --wm) {
    if (groups % wm || rows % wm || n % (groups / wm)) continue;
    int64_t wn = groups / wm, width = n / wn;
    int64_t step = width;
    while (step > 256 || width % step) --step;
    auto fc = named_atom(fmt::format("wgmma.m64n{}.C", step));
    if (!fc) continue;
    auto ga = warp_grid(wm, wn, 1, true, false), gc = warp_grid(wm, wn, 1, true, true);
    if (!ga || !gc) continue;
    auto la = tiled(*ga, a, rows / wm, a[1] / k, *fa);
    auto lc = tiled(*gc, c, rows / wm, width / step, *fc);
    if (la && lc)
      all.push_back({std::move(*la), *lc, *lc, rows / wm * (width / step) * (a[1] / k)});
  }
  return all;
}

Result<Layout> swizzled_rows(const std::vector<int64_t>& shape, int bits) {
  int64_t row = shape.back(), span = std::min<int64_t>(row, 1024 / bits), outer = 1;
  for (size_t d = 0; d + 1 < shape.size(); ++d) outer *= shape[d];
  Layout l;
  l.dims = static_cast<uint8_t>(shape.size());
  l.shape = {1};
  l.offset = {0};
  if (row % span) return row_major(shape);
  int64_t stride = span;
  for (size_t d = shape.size() - 1; d-- > 0; stride *= shape[d])
    l.digits.push_back({Label::dim, static_cast<uint8_t>(d), shape[d], {stride}});
  uint8_t last = static_cast<uint8_t>(shape.size() - 1);
  l.digits.push_back({Label::dim, last, span, {1}});
  l.digits.push_back({Label::dim, last, row / span, {span * outer}});
  TESS_TRY(l, canonical_layout(std::move(l)));
  int64_t bytes = span * bits / 8;
  int width = bytes == 128 ? 3 : bytes == 64 ? 2 : bytes == 32 ? 1 : 0;
  int unit = 0;
  while ((bits << unit) < 128) ++unit;
  if (width == 0 || (bits << unit) != 128 || outer < 8) return l;
  return swizzle({width, unit, 3}, l);
}

int64_t staged_depth(const Shape& a, int a_bits, const Shape& b, int b_bits) {
  constexpr int64_t kMostBits = int64_t{48} * 1024 * 8;
  int64_t k = a[a.rank - 1];
  int64_t per_step = a.elements() / k * a_bits + b.elements() / k * b_bits;
  int64_t best = 1;
  for (int64_t depth = 1; depth <= k && depth * per_step <= kMostBits; ++depth)
    if (k % depth == 0) best = depth;
  return best;
}

std::vector<Layout> fma_accumulators(const Shape& c, int warps) {
  std::vector<Layout> all;
  int row = c.rank - 2, column = c.rank - 1;
  int64_t run = 4;
  while (run > 1 && c[column] % run) run /= 2;
  std::vector<int> by_rows = row_order(c.rank, row), by_columns = row_order(c.rank, column);
  for (const auto& [lanes, over] : {std::pair(by_columns, by_rows), {by_rows, by_columns}})
    if (auto l = spread_over(c, {column, lanes, over, run}, warps)) all.push_back(std::move(*l));
  return all;
}

}  // namespace tess::jit::tile
