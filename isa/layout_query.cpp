// Vector width, injectivity, coverage.
#include "isa/layout_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"

namespace tess {
namespace {

int64_t floor_power(int64_t v) {
  return v <= 1 ? 1 : int64_t{1} << (std::bit_width(static_cast<uint64_t>(v)) - 1);
}
int64_t power_dividing(int64_t v) { return v == 0 ? int64_t{1} << kMaxLayoutBits : v & -v; }

int64_t widest_allowed(const Layout& reg, const VecLimits& limits) {
  int64_t cap = floor_power(registers_of(reg));
  if (limits.elem_bits > 0)
    cap = std::min(cap, floor_power(std::max(1, limits.max_bits / limits.elem_bits)));
  if (limits.alignment > 0) cap = std::min(cap, power_dividing(limits.alignment));
  if (limits.mask_run > 0) cap = std::min(cap, power_dividing(limits.mask_run));
  return cap;
}

struct LinearVec {
  int64_t elems;
  std::vector<uint64_t>
      slot_masks;  // registers (masks over register bits) that step by 1, 2, 4, ...
  std::vector<uint64_t> rest_masks;  // a complement, with zero low offset bits
};

// The registers of a thread hold a coset of the span of the register columns. It is made of aligned
// runs of 2^k iff the span holds 1, 2, .. 2^(k-1); the runs sit alike in all threads iff no other
// column touches those bits.
LinearVec linear_vec(const LinearLayout& m, int64_t cap) {
  std::vector<uint64_t> regs;
  uint64_t others = m.constant;
  for (size_t i = 0; i < m.in.size(); ++i)
    if (m.in[i].label == Label::reg) regs.push_back(m.columns[i]);
    else others |= m.columns[i];
  Echelon span;
  for (size_t i = 0; i < regs.size(); ++i) span.insert(regs[i], static_cast<int>(i));
  LinearVec v{1, {}, {}};
  while (v.elems < cap && !(others & static_cast<uint64_t>(v.elems))) {
    auto mask = span.solve(static_cast<uint64_t>(v.elems));
    if (!mask) break;
    v.slot_masks.push_back(*mask);
    v.elems *= 2;
  }
  Echelon masks, values;
  for (size_t i = 0; i < v.slot_masks.size(); ++i)
    masks.insert(v.slot_masks[i], 0), values.insert(uint64_t{1} << i, 0);
  for (size_t i = 0; i < regs.size(); ++i) {
    uint64_t mask = uint64_t{1} << i, value = regs[i];
    for (size_t k = 0; k < v.slot_masks.size(); ++k)
      if (value >> k & 1) mask ^= v.slot_masks[k], value ^= uint64_t{1} << k;
    if (values.insert(value, 0)) v.rest_masks.push_back(mask);
  }
  return v;
}

std::vector<int64_t> linear_order(const LinearVec& v) {
  std::vector<uint64_t> basis = v.slot_masks;
  basis.insert(basis.end(), v.rest_masks.begin(), v.rest_masks.end());
  std::vector<int64_t> order;
  for (uint64_t x = 0; x < uint64_t{1} << basis.size(); ++x)
    order.push_back(static_cast<int64_t>(times(basis, x)));
  return order;
}

// A sum of digits without overlap: the registers' smallest strides make a run of consecutive
// offsets; v divides its length, every other stride and the base. Exact when no strides overlap.
std::optional<int64_t> digit_width(const Layout& offsets, int64_t cap) {
  if (!offsets.bits.identity()) return std::nullopt;
  std::vector<std::pair<int64_t, int64_t>> regs;  // stride, size
  int64_t aligned = power_dividing(offsets.offset[0]);
  for (const Digit& d : offsets.digits) {
    if (d.label != Label::reg) aligned = std::min(aligned, power_dividing(d.out[0]));
    else if (d.out[0] < 0) return std::nullopt;
    else if (d.out[0] > 0) regs.emplace_back(d.out[0], d.size);
  }
  std::sort(regs.begin(), regs.end());
  int64_t run = 1, reach = 0;
  bool chain = true;
  for (auto [stride, size] : regs) {
    if (stride <= reach) return std::nullopt;  // overlapping steps
    reach += stride * (size - 1);
    chain = chain && stride == run;
    if (chain) run *= size;
    else aligned = std::min(aligned, power_dividing(stride));
  }
  return std::min({cap, aligned, power_dividing(run)});
}

Result<Vec> judge_vec(const Layout& offsets, int64_t cap) {
  int64_t registers = registers_of(offsets), threads = input_size(offsets) / registers;
  TESS_CHECK(judge_enter(input_size(offsets)));
  std::vector<InputSpace> spaces;
  for (const InputSpace& s : input_spaces(offsets))
    if (s.label != Label::reg) spaces.push_back(s);
  std::vector<std::vector<int64_t>> table(threads, std::vector<int64_t>(registers));
  for (int64_t t = 0; t < threads; ++t) {
    LayoutPoint p = point_of(spaces, t);
    for (p.reg = 0; p.reg < registers; ++p.reg) table[t][p.reg] = apply(offsets, p)[0];
  }
  std::vector<int64_t> order;
  for (int64_t r = 0; r < registers; ++r) {
    bool copy = false;
    for (int64_t earlier : order) {
      bool same = true;
      for (int64_t t = 0; same && t < threads; ++t) same = table[t][earlier] == table[t][r];
      copy = copy || same;
    }
    if (!copy) order.push_back(r);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return table[0][a] < table[0][b]; });
  for (int64_t v = cap; v > 1; v /= 2) {
    bool fits = static_cast<int64_t>(order.size()) % v == 0;
    for (size_t t = 0; fits && t < table.size(); ++t)
      for (size_t i = 0; fits && i < order.size(); ++i) {
        int64_t first = table[t][order[i / v * v]];
        fits = first >= 0 && first % v == 0 &&
               table[t][order[i]] == first + static_cast<int64_t>(i % v);
      }
    if (fits) return Vec{v, std::move(order)};
  }
  return Vec{1, std::move(order)};
}

Result<Layout> offsets_of(const Layout& reg, const Layout& mem) {
  if (!mem.is_memory())
    return make_diag(diag::layout_argument, "the second layout of an access is a memory layout");
  if (reg.dims > 0)
    return make_diag(diag::layout_argument, "the first layout of an access is a register layout");
  return compose(mem, reg);
}

}  // namespace

Result<Vec> vector_access(const Layout& reg, const Layout& mem, const VecLimits& limits) {
  TESS_TRY(Layout offsets, offsets_of(reg, mem));
  int64_t cap = widest_allowed(reg, limits);
  if (registers_of(reg) > kJudgeLimit)
    return make_diag(diag::layout_limit, "too many registers to list in order");
  if (auto m = linear_of(offsets)) {
    LinearVec v = linear_vec(*m, cap);
    return Vec{v.elems, linear_order(v)};
  }
  return judge_vec(offsets, cap);
}

Result<int64_t> vector_width(const Layout& reg, const Layout& mem, const VecLimits& limits) {
  TESS_TRY(Layout offsets, offsets_of(reg, mem));
  int64_t cap = widest_allowed(reg, limits);
  if (auto m = linear_of(offsets)) return linear_vec(*m, cap).elems;
  if (auto width = digit_width(offsets, cap)) return *width;
  TESS_TRY(Vec v, judge_vec(offsets, cap));
  return v.elems;
}

namespace {

// Digits by output component; none if one moves several components or backwards.
std::optional<std::vector<std::vector<std::pair<int64_t, int64_t>>>> steps(const Layout& l) {
  std::vector<std::vector<std::pair<int64_t, int64_t>>> by_component(l.shape.size());
  for (const Digit& d : l.digits) {
    int moved = 0;
    for (size_t j = 0; j < d.out.size(); ++j)
      if (d.out[j] < 0) return std::nullopt;
      else if (d.out[j] > 0) ++moved, by_component[j].emplace_back(d.out[j], d.size);
    if (moved > 1) return std::nullopt;
  }
  for (auto& c : by_component) std::sort(c.begin(), c.end());
  return by_component;
}

bool has_replica(const Layout& l) {
  return std::any_of(l.digits.begin(), l.digits.end(), [](const Digit& d) {
    return std::all_of(d.out.begin(), d.out.end(), [](int64_t v) { return v == 0; });
  });
}

bool invertible(const BitMap& p, const std::vector<int64_t>& shape) {
  std::vector<uint8_t> widths;
  for (int64_t s : shape) widths.push_back(static_cast<uint8_t>(width_of(s)));
  std::vector<uint64_t> columns;
  for (const auto& c : p.columns) columns.push_back(pack_bits(c, widths));
  return rank_of(columns) == static_cast<int>(columns.size());
}

}  // namespace

Result<bool> is_injective(const Layout& l) {
  if (has_replica(l)) return false;
  if (auto m = linear_of(l)) return free_columns(m->columns) == 0;
  Layout sum = l;
  bool plain = l.bits.identity() || invertible(l.bits, l.shape);
  sum.shape.resize(l.offset.size());
  if (auto by_component = plain ? steps(sum) : std::nullopt) {
    bool apart = true;
    for (const auto& c : *by_component) {
      __int128 reach = 0;
      for (auto [stride, size] : c)
        apart = apart && stride > reach, reach += static_cast<__int128>(stride) * (size - 1);
    }
    if (apart) return true;
  }
  int64_t n = input_size(l);
  TESS_CHECK(judge_enter(n));
  std::set<std::vector<int64_t>> seen;
  std::vector<InputSpace> spaces = input_spaces(l);
  for (int64_t x = 0; x < n; ++x)
    if (!seen.insert(apply(l, point_of(spaces, x))).second) return false;
  return true;
}

Result<bool> covers(const Layout& l) {
  __int128 size = 1;
  for (int64_t s : l.shape) size *= s;
  if (size > input_size(l)) return false;
  if (auto m = linear_of(l)) {
    int bits = 0;
    for (uint8_t w : m->widths) bits += w;
    bool powers = std::all_of(l.shape.begin(), l.shape.end(), [](int64_t s) {
      return std::has_single_bit(static_cast<uint64_t>(s));
    });
    return powers && rank_of(m->columns) == bits;
  }
  bool from_zero = std::all_of(l.offset.begin(), l.offset.end(), [](int64_t v) { return v == 0; });
  if (auto by_component = l.bits.identity() && from_zero ? steps(l) : std::nullopt) {
    // Sums of steps in ascending order are contiguous from 0 as long as each step is at most the
    // count so far.
    for (size_t j = 0; j < l.shape.size(); ++j) {
      __int128 reached = 1;
      for (auto [stride, count] : (*by_component)[j]) {
        if (stride > reached) return false;
        reached += static_cast<__int128>(stride) * (count - 1);
      }
      if (reached < l.shape[j]) return false;
    }
    return true;
  }
  int64_t n = input_size(l);
  TESS_CHECK(judge_enter(n));
  std::set<std::vector<int64_t>> seen;
  std::vector<InputSpace> spaces = input_spaces(l);
  for (int64_t x = 0; x < n; ++x) seen.insert(apply(l, point_of(spaces, x)));
  return static_cast<__int128>(seen.size()) == size;
}

bool divides(const Layout& part, const Layout& whole) {
  return static_cast<bool>(divide(whole, part));
}

}  // namespace tess
