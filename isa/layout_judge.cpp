#include "isa/layout_judge.h"

#include <fmt/format.h>

#include <atomic>
#include <bit>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"

namespace tess {
namespace {

std::atomic<uint64_t>& counter() {
  static std::atomic<uint64_t> count{0};
  return count;
}

using Vector = std::vector<int64_t>;

bool is_multiple(const Vector& v, const Vector& step, int64_t k) {
  for (size_t j = 0; j < v.size(); ++j)
    if (v[j] != step[j] * k) return false;
  return true;
}

void subtract(Vector& a, const Vector& b) {
  for (size_t j = 0; j < a.size(); ++j) a[j] -= b[j];
}

struct Table {
  std::vector<InputSpace> spaces;
  std::vector<Vector> values;  // by flat point number
};

std::optional<Layout> fit_sum(const Table& t) {
  Layout l;
  l.offset = t.values[0];
  int64_t place = 1;
  for (const InputSpace& s : t.spaces) {
    auto digits = fit_digits(s, [&](int64_t k) {
      Vector v = t.values[k * place];
      subtract(v, l.offset);
      return v;
    });
    if (!digits) return std::nullopt;
    l.digits.insert(l.digits.end(), digits->begin(), digits->end());
    place *= s.size;
  }
  std::vector<int64_t> counters(l.digits.size(), 0);
  Vector sum = l.offset;
  for (const Vector& v : t.values) {
    if (v != sum) return std::nullopt;
    for (size_t i = 0; i < l.digits.size(); ++i) {
      const Digit& d = l.digits[i];
      if (++counters[i] < d.size) {
        for (size_t j = 0; j < sum.size(); ++j) sum[j] += d.out[j];
        break;
      }
      counters[i] = 0;
      for (size_t j = 0; j < sum.size(); ++j) sum[j] -= d.out[j] * (d.size - 1);
    }
  }
  return l;
}

// The inverse of a square bit map, or none.
std::optional<std::vector<uint64_t>> inverse(const BitMap& p, std::vector<uint8_t> widths) {
  std::vector<uint64_t> columns, unit;
  for (const Vector& c : p.columns) columns.push_back(pack_bits(c, widths));
  for (size_t i = 0; i < columns.size(); ++i) unit.push_back(uint64_t{1} << i);
  return solve_columns(columns, unit);
}

std::optional<LinearLayout> fit_linear(const Table& t, const std::vector<int64_t>& shape) {
  LinearLayout m;
  int total = 0;
  for (int64_t s : shape) {
    m.widths.push_back(static_cast<uint8_t>(width_of(s)));
    total += m.widths.back();
  }
  if (total > 64) return std::nullopt;
  auto fits = [&](const Vector& v) {
    for (size_t j = 0; j < v.size(); ++j)
      if (v[j] < 0 || v[j] >= shape[j]) return false;
    return true;
  };
  if (!fits(t.values[0])) return std::nullopt;
  m.constant = pack_bits(t.values[0], m.widths);
  int64_t place = 1;
  for (const InputSpace& s : t.spaces) {
    if (!std::has_single_bit(static_cast<uint64_t>(s.size))) return std::nullopt;
    for (uint8_t bit = 0; int64_t{1} << bit < s.size; ++bit, place *= 2) {
      const Vector& v = t.values[place];
      if (!fits(v)) return std::nullopt;
      m.in.push_back({s.label, s.dim, bit});
      m.columns.push_back(pack_bits(v, m.widths) ^ m.constant);
    }
  }
  for (size_t x = 0; x < t.values.size(); ++x)
    if (!fits(t.values[x]) ||
        pack_bits(t.values[x], m.widths) != (times(m.columns, x) ^ m.constant))
      return std::nullopt;
  return m;
}

}  // namespace

uint64_t judge_count() { return counter().load(std::memory_order_relaxed); }

Status judge_enter(int64_t elements) {
  if (elements > kJudgeLimit)
    return make_diag(
        diag::layout_undecided,
        fmt::format("the rules cannot decide this, and {} elements are too many to enumerate",
                    elements));
  counter().fetch_add(static_cast<uint64_t>(elements), std::memory_order_relaxed);
  return ok();
}

std::vector<InputSpace> input_spaces(const Layout& l) {
  std::vector<InputSpace> spaces;
  for (const Digit& d : l.digits) {
    if (spaces.empty() || spaces.back().label != d.label || spaces.back().dim != d.dim)
      spaces.push_back({d.label, d.dim, 1});
    spaces.back().size *= d.size;
  }
  return spaces;
}

LayoutPoint point_of(const std::vector<InputSpace>& spaces, int64_t x) {
  LayoutPoint p;
  for (const InputSpace& s : spaces) {
    int64_t k = x % s.size;
    x /= s.size;
    switch (s.label) {
      case Label::reg:
        p.reg = k;
        break;
      case Label::lane:
        p.lane = k;
        break;
      case Label::warp:
        p.warp = k;
        break;
      case Label::cta:
        p.cta = k;
        break;
      case Label::dim:
        if (p.dims.size() <= s.dim) p.dims.resize(s.dim + 1, 0);
        p.dims[s.dim] = k;
    }
  }
  return p;
}

Result<bool> judge_equal(const Layout& a, const Layout& b) {
  std::vector<InputSpace> spaces = input_spaces(a);
  int64_t n = input_size(a);
  TESS_CHECK(judge_enter(n));
  for (int64_t x = 0; x < n; ++x) {
    LayoutPoint p = point_of(spaces, x);
    if (apply(a, p) != apply(b, p)) return false;
  }
  return true;
}

std::optional<std::vector<Digit>> fit_digits(const InputSpace& space, const SpaceFunction& value) {
  std::vector<Digit> digits;
  int64_t place = 1, left = space.size;
  while (left > 1) {
    Vector step = value(place);
    int64_t run = 2;
    while (run < left && is_multiple(value(place * run), step, run)) ++run;
    if (left % run != 0) return std::nullopt;
    digits.push_back({space.label, space.dim, run, std::move(step)});
    place *= run;
    left /= run;
  }
  return digits;
}

Result<Layout> judge_fit(const std::vector<InputSpace>& spaces, const std::vector<int64_t>& shape,
                         int dims, const BitMap& p, const LayoutFunction& f) {
  int64_t n = 1;
  for (const InputSpace& s : spaces) {
    if (s.size > kJudgeLimit || (n *= s.size) > kJudgeLimit) {
      n = kJudgeLimit + 1;
      break;
    }
  }
  TESS_CHECK(judge_enter(n));
  Table t{spaces, {}};
  t.values.reserve(n);
  for (int64_t x = 0; x < n; ++x) t.values.push_back(f(point_of(spaces, x)));
  auto finish = [&](Layout l) {
    l.shape = shape;
    l.dims = static_cast<uint8_t>(dims);
    return canonical_layout(std::move(l));
  };
  if (auto l = fit_sum(t)) return finish(std::move(*l));
  if (auto m = fit_linear(t, shape)) return layout_of(*m, shape, dims);
  if (!p.identity()) {
    if (auto back = inverse(p, p.in_bits)) {
      Table unswizzled{spaces, {}};
      bool fits = true;
      for (const Vector& v : t.values) {
        for (size_t j = 0; j < v.size(); ++j)
          fits = fits && v[j] >= 0 && width_of(v[j] + 1) <= p.in_bits[j];
        if (!fits) break;
        unswizzled.values.push_back(unpack_bits(times(*back, pack_bits(v, p.in_bits)), p.in_bits));
      }
      if (fits)
        if (auto l = fit_sum(unswizzled)) {
          l->bits = p;
          return finish(std::move(*l));
        }
    }
  }
  return make_diag(
      diag::layout_no_composition,
      "the result is no layout: neither a sum over mixed-radix digits nor linear over F2");
}

}  // namespace tess
