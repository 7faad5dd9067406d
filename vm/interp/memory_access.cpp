// From the text of an access, x[i, lo:+n, %rows, :], to a Region or a View.
#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/run.h"
#include "vm/interp/program.h"

namespace tess::interp {
namespace {

int64_t clamp_i128(__int128 x) {
  return x > INT64_MAX ? INT64_MAX : x < INT64_MIN ? INT64_MIN : static_cast<int64_t>(x);
}
uint64_t bits_at(const View& v, int d, int64_t coordinate) {
  return static_cast<uint64_t>(v.stride[d]) * static_cast<uint64_t>(coordinate) * v.type.bits;
}

// Dimension 0 of a ring is indexed by use number u: slot u mod N; before the first use nothing is
// there.
int64_t slot_of(const View& v, int d, int64_t u) {
  return v.ring && d == 0 && u >= 0 && v.extent[0] > 0 ? u % v.extent[0] : u;
}

}  // namespace

const View* base_view(Strand& s, const AccessPlan& plan) {
  if (!plan.item) return &s.views[plan.base];
  const std::vector<View>& list = s.launch->params[plan.base];
  int64_t i = read_int(s, plan.item);
  if (i >= 0 && i < static_cast<int64_t>(list.size())) return &list[static_cast<size_t>(i)];
  trap(s, diag::run_list_range,
       fmt::format("index {} into `{}`, a list of {} tensors", i,
                   s.launch->program->kernel->values[plan.base].name, list.size()));
  return nullptr;
}

Flow resolve(Strand& s, const AccessPlan& plan, Region& r) {
  const View* base = base_view(s, plan);
  if (!base) return Flow::trap;
  const View& v = *base;
  r.base = v.base;
  r.origin = v.origin;
  r.type = v.type;
  r.rank = 0;
  r.nothing = v.nothing;
  r.immutable = v.immutable;
  r.gather_dim = -1;
  r.gather = nullptr;
  r.written = v.written;
  r.limited = v.limited;
  r.first_bit = v.first_bit;
  r.last_bit = v.last_bit;
  auto range = [&](int d, int64_t start, int64_t n) {
    int64_t at = r.rank++;
    r.n[at] = n;
    r.stride[at] = v.stride[d];
    r.lo[at] = std::clamp<int64_t>(clamp_i128(static_cast<__int128>(v.lo[d]) - start), 0, n);
    r.hi[at] = std::clamp<int64_t>(clamp_i128(static_cast<__int128>(v.hi[d]) - start), 0, n);
    r.origin += bits_at(v, d, start);
    if (r.lo[at] >= r.hi[at]) r.nothing = true;
  };
  if (plan.n_positions == 0) {
    for (int d = 0; d < v.rank; ++d) range(d, 0, v.extent[d]);
    return Flow::next;
  }
  for (int d = 0; d < plan.n_positions; ++d) {
    const AccessPlan::Position& p = plan.position[d];
    if (p.gather) {
      r.gather_dim = r.rank;
      r.gather = p.start.in<int32_t>(s);
      r.n[r.rank] = p.start.n;
      r.stride[r.rank] = v.stride[d];
      r.lo[r.rank] = v.lo[d];
      r.hi[r.rank] = v.hi[d];
      ++r.rank;
      continue;
    }
    switch (p.kind) {
      case IndexKind::point: {
        int64_t i = slot_of(v, d, read_int(s, p.start));
        if (i < v.lo[d] || i >= v.hi[d]) r.nothing = true;
        r.origin += bits_at(v, d, i);
        break;
      }
      case IndexKind::range:
        range(d, read_int(s, p.start), p.extent);
        break;
      case IndexKind::span: {
        int64_t start = read_int(s, p.start), stop = read_int(s, p.stop);
        range(d, start, std::max<int64_t>(clamp_i128(static_cast<__int128>(stop) - start), 0));
        break;
      }
      case IndexKind::all:
        range(d, 0, v.extent[d]);
        break;
    }
  }
  return Flow::next;
}

Flow resolve_view(Strand& s, const AccessPlan& plan, View& out) {
  const View* base = base_view(s, plan);
  if (!base) return Flow::trap;
  if (plan.n_positions == 0) {
    out = *base;
    return Flow::next;
  }
  const View v = *base;
  out = View{};
  out.base = v.base;
  out.origin = v.origin;
  out.type = v.type;
  out.nothing = v.nothing;
  out.immutable = v.immutable;
  out.written = v.written;
  out.limited = v.limited;
  out.first_bit = v.first_bit;
  out.last_bit = v.last_bit;
  for (int d = 0; d < plan.n_positions; ++d) {
    const AccessPlan::Position& p = plan.position[d];
    int64_t start = p.start ? read_int(s, p.start) : 0;
    if (p.kind == IndexKind::point) {
      start = slot_of(v, d, start);
      if (start < v.lo[d] || start >= v.hi[d]) out.nothing = true;
      out.origin += bits_at(v, d, start);
      continue;
    }
    int64_t n =
        p.kind == IndexKind::range ? p.extent
        : p.kind == IndexKind::span
            ? std::max<int64_t>(clamp_i128(static_cast<__int128>(read_int(s, p.stop)) - start), 0)
            : v.extent[d];
    int at = out.rank++;
    out.extent[at] = n;
    out.stride[at] = v.stride[d];
    out.lo[at] = std::clamp<int64_t>(clamp_i128(static_cast<__int128>(v.lo[d]) - start), 0, n);
    out.hi[at] = std::clamp<int64_t>(clamp_i128(static_cast<__int128>(v.hi[d]) - start), 0, n);
    out.origin += bits_at(v, d, start);
    if (out.lo[at] >= out.hi[at]) out.nothing = true;
  }
  return Flow::next;
}

}  // namespace tess::interp
