// Shared-memory bank conflicts of ordinary accesses and of ldmatrix/stmatrix.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"

namespace tess {
namespace {

constexpr int kBanks = 32;
constexpr int kRowBytes = 16;  // a row of an 8x8 matrix

int lanes_per_phase(int width_bytes) { return width_bytes <= 4 ? 32 : width_bytes <= 8 ? 16 : 8; }

int worst_bank(const std::set<int64_t>& words) {
  std::array<int, kBanks> load{};
  for (int64_t w : words) ++load[((w % kBanks) + kBanks) % kBanks];
  return std::max(1, *std::max_element(load.begin(), load.end()));
}

bool is_power(int v) { return v > 0 && std::has_single_bit(static_cast<unsigned>(v)); }

// Word addresses of an F2-linear access: all phases are translations of the first, so the words are
// a coset; 2^rank of them lie evenly over 2^(rank of their low five bits) banks.
int64_t linear_ways(const std::vector<uint64_t>& words, uint64_t bank_mask = kBanks - 1) {
  std::vector<uint64_t> banks;
  for (uint64_t w : words) banks.push_back(w & bank_mask);
  return int64_t{1} << (rank_of(words) - rank_of(banks));
}

std::vector<uint64_t> columns_of(const LinearLayout& m, Label label) {
  std::vector<uint64_t> c;
  for (size_t i = 0; i < m.in.size(); ++i)
    if (m.in[i].label == label) c.push_back(m.columns[i]);
  return c;
}

uint64_t word_of(uint64_t element, int elem_bits) {
  int shift = std::countr_zero(static_cast<unsigned>(elem_bits)) - 5;
  return shift >= 0 ? element << shift : element >> -shift;
}

Result<Layout> checked_offsets(const Layout& reg, const Layout& mem, int elem_bits) {
  if (!mem.is_memory() || reg.dims > 0)
    return make_diag(diag::layout_argument, "banks takes a register layout and a memory layout");
  if (elem_bits < 1 || elem_bits > 64)
    return make_diag(diag::layout_argument, "an element has 1 to 64 bits");
  if (size_of(reg, Label::lane) > kBanks)
    return make_diag(diag::layout_argument,
                     "bank conflicts are asked of warps of at most 32 lanes");
  return compose(mem, reg);
}

void set_totals(Banks& b, int64_t accesses, int phases) {
  b.ideal = accesses * phases;
  b.wavefronts = b.ideal * b.ways;
}

}  // namespace

int bank_ways(const std::vector<int64_t>& byte_addresses, int width_bytes) {
  int worst = 1, phase = lanes_per_phase(width_bytes);
  for (size_t begin = 0; begin < byte_addresses.size(); begin += phase) {
    std::set<int64_t> words;
    for (size_t lane = begin; lane < std::min(byte_addresses.size(), begin + phase); ++lane)
      for (int64_t w = byte_addresses[lane] >> 2;
           w <= (byte_addresses[lane] + width_bytes - 1) >> 2; ++w)
        words.insert(w);
    worst = std::max(worst, worst_bank(words));
  }
  return worst;
}

Result<Banks> banks(const Layout& reg, const Layout& mem, int elem_bits, int max_bits) {
  TESS_TRY(Layout offsets, checked_offsets(reg, mem, elem_bits));
  if (max_bits < 8 || max_bits > 128)
    return make_diag(diag::layout_argument, "an access has 8 to 128 bits a lane");
  VecLimits limits{elem_bits, max_bits, 0, 0};
  Banks b;
  auto m = is_power(elem_bits) ? linear_of(offsets) : std::nullopt;
  int lanes = static_cast<int>(size_of(reg, Label::lane));
  if (m) {
    TESS_TRY(b.vec, vector_width(reg, mem, limits));
    int width = std::max<int>(1, static_cast<int>(b.vec) * elem_bits / 8);
    int phase = lanes_per_phase(width);
    std::vector<uint64_t> words;
    for (uint64_t c : columns_of(*m, Label::lane))
      if (words.size() < static_cast<size_t>(std::countr_zero(static_cast<unsigned>(phase))))
        words.push_back(word_of(c, elem_bits));
    for (int64_t step = 1; step < b.vec; step *= 2)
      words.push_back(word_of(static_cast<uint64_t>(step), elem_bits));
    b.ways = linear_ways(words);
    std::vector<uint64_t> regs = columns_of(*m, Label::reg);
    int64_t registers = int64_t{1} << rank_of(regs);
    set_totals(b, registers / b.vec, std::max(1, lanes / phase));
    return b;
  }
  TESS_TRY(Vec v, vector_access(reg, mem, limits));
  b.vec = v.elems;
  int width = std::max<int>(1, static_cast<int>(b.vec) * elem_bits / 8);
  TESS_CHECK(judge_enter(input_size(offsets)));
  int64_t accesses = static_cast<int64_t>(v.order.size()) / b.vec, total = 0;
  int phases = (lanes + lanes_per_phase(width) - 1) / lanes_per_phase(width);
  LayoutPoint p;
  int64_t warps = size_of(reg, Label::warp) * size_of(reg, Label::cta);
  for (int64_t a = 0; a < accesses; ++a) {
    p.reg = v.order[a * b.vec];
    int64_t worst = 1;
    for (int64_t w = 0; w < warps; ++w) {
      p.warp = w % size_of(reg, Label::warp);
      p.cta = w / size_of(reg, Label::warp);
      std::vector<int64_t> addresses;
      for (p.lane = 0; p.lane < lanes; ++p.lane) {
        int64_t element = apply(offsets, p)[0];
        __int128 bit = static_cast<__int128>(element) * elem_bits;
        addresses.push_back(static_cast<int64_t>(bit >> 3));
      }
      int bytes = is_power(elem_bits)
                      ? width
                      : (static_cast<int>(b.vec) * elem_bits + 7) / 8 + 1;  // may straddle
      worst = std::max<int64_t>(
          worst, bank_ways(addresses, is_power(elem_bits) ? width : std::min(bytes, 4)));
    }
    b.ways = std::max(b.ways, worst);
    total += worst * phases;
  }
  set_totals(b, accesses, phases);
  b.wavefronts = total;
  return b;
}

namespace {

Diagnostic no_matrix(std::string why) {
  return make_diag(diag::layout_no_ldmatrix, std::move(why));
}

// Row addresses of one matrix decide: eight rows of 16 bytes over the eight 16-byte bank groups.
int64_t row_ways(std::vector<uint64_t> rows, int elem_bits) {
  for (uint64_t& r : rows) r = word_of(r, elem_bits);
  return linear_ways(rows, kBanks - 4);
}

std::optional<Banks> linear_matrix(const LinearLayout& m, int elem_bits) {
  std::vector<uint64_t> regs = columns_of(m, Label::reg), lanes = columns_of(m, Label::lane);
  if (lanes.size() != 5) return std::nullopt;
  uint64_t row_elems = kRowBytes * 8 / elem_bits, low = row_elems - 1;
  uint64_t others = m.constant;
  for (size_t i = 0; i < m.in.size(); ++i)
    if (m.in[i].label != Label::reg && m.in[i].label != Label::lane) others |= m.columns[i];
  if (others & low) return std::nullopt;
  int64_t registers = int64_t{1} << rank_of(regs);
  Banks b;
  uint64_t per_lane = static_cast<uint64_t>(32 / elem_bits);
  Echelon span;
  for (uint64_t c : regs) span.insert(c, 0);
  // Plain: a lane holds 32 bits of a row, four lanes a row, lanes 4, 8, 16 go down the rows.
  bool plain = (lanes[0] == per_lane) && (lanes[1] == per_lane * 2) &&
               !((lanes[2] | lanes[3] | lanes[4]) & low);
  for (uint64_t step = 1; step < per_lane; step *= 2) plain = plain && span.contains(step);
  for (uint64_t c : regs) plain = plain && !(c & low & ~(per_lane - 1));
  if (plain) {
    b.ways = row_ways({lanes[2], lanes[3], lanes[4]}, elem_bits);
    b.matrix = Matrix::plain;
    b.vec = static_cast<int64_t>(per_lane);
    set_totals(b, registers / b.vec, 1);
    return b;
  }
  if (elem_bits != 16 || lanes[2] != 1 || lanes[3] != 2 || lanes[4] != 4 ||
      ((lanes[0] | lanes[1]) & low))
    return std::nullopt;
  std::optional<int64_t> best;
  for (uint64_t pair : regs) {
    if (pair & low) return std::nullopt;
    if (pair == 0) continue;
    int64_t ways = row_ways({pair, lanes[0], lanes[1]}, elem_bits);
    best = std::min(best.value_or(ways), ways);
  }
  if (!best) return std::nullopt;
  b.ways = *best;
  b.matrix = Matrix::trans;
  b.vec = 2;
  set_totals(b, registers / 2, 1);
  return b;
}

// One matrix by enumeration: the element offsets of lane and slot, for a fixed warp and registers.
using Slots = std::vector<int64_t>;  // registers of one 32-bit slot
std::optional<int64_t> matrix_ways(const Layout& offsets, LayoutPoint p, const Slots& slots,
                                   bool trans, int elem_bits) {
  int64_t row_elems = kRowBytes * 8 / elem_bits;
  std::vector<int64_t> rows(8, -1);
  for (p.lane = 0; p.lane < 32; ++p.lane)
    for (size_t i = 0; i < slots.size(); ++i) {
      p.reg = slots[i];
      int64_t at = apply(offsets, p)[0];
      int64_t row = trans ? 2 * (p.lane % 4) + static_cast<int64_t>(i) : p.lane / 4;
      int64_t col =
          trans ? p.lane / 4
                : static_cast<int64_t>(slots.size()) * (p.lane % 4) + static_cast<int64_t>(i);
      int64_t start = at - col;
      if (start < 0 || start % row_elems != 0 || (rows[row] >= 0 && rows[row] != start))
        return std::nullopt;
      rows[row] = start;
    }
  std::set<int64_t> words;
  for (int64_t r : rows)
    for (int w = 0; w < kRowBytes / 4; ++w) words.insert(r * elem_bits / 32 + w);
  return worst_bank(words);
}

std::optional<Banks> judge_matrix(const Layout& reg, const Layout& offsets, const Vec& vec,
                                  int elem_bits) {
  int64_t per_lane = 32 / elem_bits;
  std::vector<std::pair<bool, std::vector<Slots>>> plans;
  if (vec.elems >= per_lane) {
    std::vector<Slots> slots;
    for (size_t i = 0; i + per_lane <= vec.order.size(); i += per_lane)
      slots.emplace_back(vec.order.begin() + i, vec.order.begin() + i + per_lane);
    plans.emplace_back(false, std::move(slots));
  }
  int64_t place = 1, registers = registers_of(reg);
  for (const Digit& d : reg.digits) {
    if (d.label != Label::reg) continue;
    if (elem_bits == 16 && d.size % 2 == 0) {
      std::vector<Slots> slots;
      for (int64_t r = 0; r < registers; ++r)
        if (r / place % 2 == 0) slots.push_back({r, r + place});
      plans.emplace_back(true, std::move(slots));
    }
    place *= d.size;
  }
  std::optional<Banks> best;
  for (const auto& [trans, slots] : plans) {
    Banks b;
    b.matrix = trans ? Matrix::trans : Matrix::plain;
    b.vec = per_lane;
    bool fits = true;
    LayoutPoint p;
    for (p.cta = 0; fits && p.cta < size_of(reg, Label::cta); ++p.cta)
      for (p.warp = 0; fits && p.warp < size_of(reg, Label::warp); ++p.warp)
        for (const Slots& s : slots) {
          auto ways = matrix_ways(offsets, p, s, trans, elem_bits);
          if (!ways) {
            fits = false;
            break;
          }
          b.ways = std::max(b.ways, *ways);
        }
    if (!fits || (best && best->ways <= b.ways)) continue;
    set_totals(b, static_cast<int64_t>(slots.size()), 1);
    best = b;
  }
  return best;
}

}  // namespace

Result<Banks> matrix_banks(const Layout& reg, const Layout& mem, int elem_bits) {
  TESS_TRY(Layout offsets, checked_offsets(reg, mem, elem_bits));
  if (!is_power(elem_bits) || elem_bits > 32)
    return no_matrix("ldmatrix moves elements of 1, 2, 4, 8, 16 or 32 bits");
  if (size_of(reg, Label::lane) != 32)
    return no_matrix("ldmatrix is an instruction of all 32 lanes");
  if (auto m = linear_of(offsets)) {
    if (auto b = linear_matrix(*m, elem_bits)) return *b;
  } else {
    TESS_TRY(Vec v, vector_access(reg, mem, {0, 128, 0, 0}));
    TESS_CHECK(judge_enter(input_size(offsets)));
    if (auto b = judge_matrix(reg, offsets, v, elem_bits)) return *b;
  }
  return no_matrix(
      "the register layout does not deal 8x8 matrices with contiguous 16-byte rows as ldmatrix "
      "does");
}

}  // namespace tess
