// Conversions between register layouts, and the choice of a shared-memory layout.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <unordered_set>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"

namespace tess {
namespace {

constexpr int64_t kShuffleSlots = 2;   // the shuffle and the select or move beside it
constexpr int64_t kBarrierSlots = 20;  // two barriers around a trip through shared memory
constexpr int64_t kClusterSlots = 200;

// The class of a destination bit is decided alone: staying where it is on the labels above `level`,
// the rest must be reachable through source bits up to `level`.
std::optional<Move> linear_class(const LinearLayout& src, const LinearLayout& dst) {
  std::vector<Echelon> span(4);
  for (int level = 0; level < 4; ++level)
    for (size_t i = 0; i < src.in.size(); ++i)
      if (static_cast<int>(src.in[i].label) <= level)
        span[level].insert(src.columns[i], static_cast<int>(i));
  auto source_column = [&](const InputBit& in) -> std::optional<uint64_t> {
    for (size_t i = 0; i < src.in.size(); ++i)
      if (src.in[i] == in) return src.columns[i];
    return std::nullopt;
  };
  auto bits_of = [](const LinearLayout& m, Label label) {
    return std::count_if(m.in.begin(), m.in.end(),
                         [&](const InputBit& b) { return b.label == label; });
  };
  bool same = src.constant == dst.constant && bits_of(src, Label::reg) == bits_of(dst, Label::reg);
  int worst = 0;
  for (size_t i = 0; i < dst.in.size(); ++i) {
    auto stay = source_column(dst.in[i]);
    same = same && stay == dst.columns[i];
    int level = 0;
    for (; level < 4; ++level) {
      bool above = static_cast<int>(dst.in[i].label) > level;
      if (above && !stay) continue;
      if (span[level].contains(above ? dst.columns[i] ^ *stay : dst.columns[i])) break;
    }
    if (level == 4) return std::nullopt;
    worst = std::max(worst, level);
  }
  int level = 0;
  while (level < 4 && !span[level].contains(src.constant ^ dst.constant)) ++level;
  if (level == 4) return std::nullopt;
  if (same) return Move::none;
  return static_cast<Move>(std::max(worst, level) + 1);
}

// Different source registers that one destination register needs over the lanes: each is one
// shuffle.
int64_t linear_shuffles(const LinearLayout& c, int64_t registers, int reg_bits) {
  uint64_t reg_mask = reg_bits == 0 ? 0 : (uint64_t{1} << reg_bits) - 1;
  std::vector<uint64_t> rows;
  for (size_t i = 0; i < c.in.size(); ++i)
    if (c.in[i].label != Label::reg) rows.push_back(c.columns[i] & reg_mask);
  return registers << rank_of(rows);
}

struct JudgedMove {
  Move where = Move::none;
  int64_t shuffles = 0;
};

// Who holds each element, by how near: keys are (element, cta, warp, lane) with parts left out.
Result<JudgedMove> judge_class(const Layout& src, const Layout& dst) {
  __int128 work = static_cast<__int128>(input_size(src)) + input_size(dst);
  __int128 elements = 1;  // keys below are products of it with the threads
  for (int64_t s : src.shape)
    if (elements < int64_t{1} << 40) elements *= s;
  if (elements > int64_t{1} << 40) work = elements;
  TESS_CHECK(judge_enter(static_cast<int64_t>(std::min<__int128>(work, int64_t{1} << 60))));
  auto element = [&](const std::vector<int64_t>& v) {
    int64_t e = 0;
    for (size_t j = 0; j < v.size(); ++j) e = e * src.shape[j] + v[j];
    return e;
  };
  int64_t lanes = std::max(size_of(src, Label::lane), size_of(dst, Label::lane));
  int64_t warps = std::max(size_of(src, Label::warp), size_of(dst, Label::warp));
  int64_t ctas = std::max(size_of(src, Label::cta), size_of(dst, Label::cta));
  auto key = [&](int level, int64_t e, const LayoutPoint& p) {
    int64_t k = e * (ctas + 1) + (level < 3 ? p.cta + 1 : 0);
    k = k * (warps + 1) + (level < 2 ? p.warp + 1 : 0);
    return k * (lanes + 1) + (level < 1 ? p.lane + 1 : 0);
  };
  std::vector<std::unordered_set<int64_t>> holders(4);
  std::vector<InputSpace> spaces = input_spaces(src);
  for (int64_t x = 0; x < input_size(src); ++x) {
    LayoutPoint p = point_of(spaces, x);
    int64_t e = element(apply(src, p));
    for (int level = 0; level < 4; ++level) holders[level].insert(key(level, e, p));
  }
  JudgedMove result;
  bool same = registers_of(src) == registers_of(dst) &&
              size_of(dst, Label::lane) <= size_of(src, Label::lane) &&
              size_of(dst, Label::warp) <= size_of(src, Label::warp) &&
              size_of(dst, Label::cta) <= size_of(src, Label::cta);
  int worst = 0;
  spaces = input_spaces(dst);
  for (int64_t x = 0; x < input_size(dst); ++x) {
    LayoutPoint p = point_of(spaces, x);
    std::vector<int64_t> at = apply(dst, p);
    same = same && apply(src, p) == at;
    int64_t e = element(at);
    int level = 0;
    while (level < 4 && !holders[level].contains(key(level, e, p))) ++level;
    if (level == 4)
      return make_diag(diag::layout_no_inverse,
                       "the destination holds an element that the source does not");
    worst = std::max(worst, level);
  }
  result.where = same ? Move::none : static_cast<Move>(worst + 1);
  result.shuffles = result.where == Move::lane ? registers_of(dst) * 2 : 0;
  return result;
}

}  // namespace

std::string_view move_name(Move m) {
  constexpr std::string_view kNames[] = {"none", "register", "lane", "shared", "cluster"};
  return kNames[static_cast<int>(m)];
}

Result<Conversion> conversion(const Layout& src, const Layout& dst, int elem_bits) {
  if (src.dims > 0 || dst.dims > 0)
    return make_diag(diag::layout_argument, "a conversion is between two register layouts");
  if (src.shape != dst.shape)
    return make_diag(diag::layout_shape_mismatch,
                     "a conversion is between two layouts of the same tile");
  if (elem_bits < 1 || elem_bits > 64)
    return make_diag(diag::layout_argument, "an element has 1 to 64 bits");
  Conversion c;
  auto ls = linear_of(src), ld = linear_of(dst);
  if (ls && ld) {
    auto where = linear_class(*ls, *ld);
    if (!where)
      return make_diag(diag::layout_no_inverse,
                       "the destination holds an element that the source does not");
    c.where = *where;
    if (c.where == Move::lane) {
      TESS_TRY(Layout move, invert_and_compose(dst, src));
      auto lm = linear_of(move);
      int reg_bits = width_of(registers_of(src));
      if (lm) c.shuffles = linear_shuffles(*lm, registers_of(dst), reg_bits);
    }
  } else {
    TESS_TRY(JudgedMove judged, judge_class(src, dst));
    c.where = judged.where;
    c.shuffles = judged.shuffles;
  }
  int64_t words = std::max<int64_t>(1, registers_of(dst) * elem_bits / 32);
  if (c.where == Move::lane) {
    c.cost = kShuffleSlots * c.shuffles * std::max(1, elem_bits / 32);
  } else if (c.where >= Move::shared) {
    __int128 bits = elem_bits;
    for (int64_t s : src.shape) bits *= s;
    c.shared_bytes = static_cast<int64_t>((bits + 7) / 8);
    c.cost = 2 * words + kBarrierSlots + (c.where == Move::cluster ? kClusterSlots : 0);
  }
  return c;
}

namespace {

struct Candidate {
  Layout mem;
  int complexity;  // 0: plain
};

Result<Banks> judge_use(const SharedUse& use, const Layout& mem, int elem_bits) {
  if (use.matrix)
    if (auto b = matrix_banks(*use.reg, mem, elem_bits)) return b;
  return banks(*use.reg, mem, elem_bits);
}

// Fewer wavefronts first, then fewer instructions, then the simpler layout.
struct Score {
  int64_t wavefronts, ideal;
  int complexity;
  auto operator<=>(const Score&) const = default;
};

Result<SharedChoice> rate(const Candidate& c, int elem_bits, const std::vector<SharedUse>& uses,
                          Score& score) {
  SharedChoice choice{c.mem, 1, 0, {}};
  score = {0, 0, c.complexity};
  for (const SharedUse& use : uses) {
    TESS_TRY(Banks b, judge_use(use, c.mem, elem_bits));
    choice.ways = std::max(choice.ways, b.ways);
    choice.wavefronts += b.wavefronts;
    score.ideal += b.ideal;
    choice.uses.push_back(b);
  }
  score.wavefronts = choice.wavefronts;
  return choice;
}

// Row-major with dimension `fastest` moved last and `pad` elements after each row.
Result<Layout> order_with(const std::vector<int64_t>& shape, size_t fastest, int64_t pad) {
  std::vector<int64_t> strides(shape.size());
  strides[fastest] = 1;
  int64_t next = shape[fastest] + pad;
  for (size_t j = shape.size(); j-- > 0;)
    if (j != fastest) strides[j] = next, next *= shape[j];
  return strided(shape, strides);
}

}  // namespace

std::optional<RegisterRun> register_run(const Layout& reg) {
  if (!reg.bits.identity()) return {};
  for (const Digit& d : reg.digits) {
    if (d.label != Label::reg) continue;
    size_t moved = 0;
    RegisterRun run;
    for (size_t j = 0; j < d.out.size(); ++j)
      if (d.out[j]) ++moved, run = {static_cast<int>(j), d.out[j], d.size};
    if (moved == 0) continue;  // copies
    if (moved == 1 && run.apart > 0 &&
        reg.shape[static_cast<size_t>(run.dim)] % (run.apart * d.size) == 0)
      return run;
    return {};
  }
  return {};
}

std::optional<RegisterRun> memory_run(const Layout& reg, int elem_bits) {
  std::optional<RegisterRun> run = register_run(reg);
  if (!run || run->apart == 1) return {};
  int64_t groups = reg.shape[static_cast<size_t>(run->dim)] / run->apart;
  for (run->count = std::max(1, 128 / elem_bits); run->count > 1; run->count /= 2)
    if (groups % run->count == 0) return run;
  return {};
}

Result<Layout> interleaved(const Layout& mem, const RegisterRun& run) {
  Layout l = mem;
  l.spelling.clear();
  for (size_t i = 0; i < l.digits.size(); ++i) {
    const Digit whole = l.digits[i];
    if (whole.label != Label::dim || whole.dim != run.dim) continue;
    int64_t block = run.apart * run.count;
    if (run.apart < 2 || run.count < 2 || whole.size % block)
      return make_diag(diag::layout_argument, "the runs do not divide the dimension");
    auto digit = [&](int64_t size, int64_t step) {
      Digit d = whole;
      d.size = size;
      for (int64_t& x : d.out) x *= step;
      return d;
    };
    l.digits[i] = digit(run.apart, run.count);
    l.digits.insert(l.digits.begin() + static_cast<ptrdiff_t>(i) + 1,
                    {digit(run.count, 1), digit(whole.size / block, block)});
    return canonical_layout(std::move(l));
  }
  return make_diag(diag::layout_argument, "the layout has no such dimension");
}

Result<SharedChoice> choose_shared_layout(const std::vector<int64_t>& shape, int elem_bits,
                                          const std::vector<SharedUse>& uses) {
  if (uses.empty()) return make_diag(diag::layout_argument, "no access to choose a layout for");
  if (shape.empty() || shape.size() > kMaxLayoutRank)
    return make_diag(diag::layout_limit, "a shape has 1 to 8 dimensions");
  bool powers = std::has_single_bit(static_cast<unsigned>(elem_bits));
  __int128 size = 1;
  for (int64_t s : shape) {
    if (s < 1 || (size *= s) >= int64_t{1} << 40)
      return make_diag(diag::layout_limit, "a shared tile is too large");
    powers = powers && std::has_single_bit(static_cast<uint64_t>(s));
  }
  std::optional<SharedChoice> best;
  Score best_score{}, score{};
  std::optional<Diagnostic> failure;
  struct Rated {
    int64_t ways = INT64_MAX, ideal = 0;
  };
  auto consider = [&](const Candidate& c) -> Rated {
    auto rated = rate(c, elem_bits, uses, score);
    if (!rated) {
      if (!failure) failure = rated.error();
      return {};
    }
    Rated r{rated->ways, score.ideal};
    if (!best || score < best_score) best = std::move(*rated), best_score = score;
    return r;
  };
  std::vector<Layout> orders;
  for (size_t j = shape.size(); j-- > 0;)
    if (shape[j] > 1 || (orders.empty() && j == 0)) {
      TESS_TRY(Layout plain, order_with(shape, j, 0));
      orders.push_back(std::move(plain));
    }
  for (const SharedUse& use : uses) {
    if (use.reg->shape != shape) continue;
    std::optional<RegisterRun> run = memory_run(*use.reg, elem_bits);
    if (!run) continue;
    TESS_TRY(Layout plain, order_with(shape, static_cast<size_t>(run->dim), 0));
    auto apart = interleaved(plain, *run);
    if (apart && std::find(orders.begin(), orders.end(), *apart) == orders.end())
      orders.push_back(std::move(*apart));
  }
  // Contiguity decides the number of instructions, the xor or the padding their conflicts. An order
  // that needs more instructions than a conflict-free one has wavefronts is not looked into. A
  // swizzle of b bits removes at most a factor of 2^b, and need not move pieces smaller than an
  // access.
  int width = width_of(static_cast<int64_t>(size));
  int unit = width_of(std::max(1, 128 / elem_bits));
  for (size_t i = 0; i < orders.size(); ++i) {
    int simple = static_cast<int>(i);
    Rated plain = consider({orders[i], simple});
    if (plain.ways == 1 || (best && best->ways == 1 && plain.ideal >= best_score.wavefronts))
      continue;
    bool free_of_conflicts = false;
    if (powers) {
      int fewest = plain.ways == INT64_MAX ? 1 : std::clamp(width_of(plain.ways), 1, 5);
      for (int b = fewest; b <= 5 && !free_of_conflicts; ++b)
        for (int m = unit; m >= 0 && !free_of_conflicts; --m)
          for (int s = b; m + s + b <= width && !free_of_conflicts; ++s) {
            auto swizzled = swizzle({b, m, s}, orders[i]);
            if (swizzled)
              free_of_conflicts = consider({std::move(*swizzled), 10 + 10 * b + simple}).ways == 1;
          }
    } else {
      size_t fastest = 0;
      for (const Digit& d : orders[i].digits)
        if (d.out[0] == 1) fastest = d.dim;
      for (int64_t pad = 128 / elem_bits; pad >= 1 && !free_of_conflicts; pad /= 2) {
        auto padded = order_with(shape, fastest, pad);
        if (padded)
          free_of_conflicts = consider({std::move(*padded), 10 + width_of(pad) + simple}).ways == 1;
      }
    }
  }
  if (!best) return *failure;
  return std::move(*best);
}

}  // namespace tess
