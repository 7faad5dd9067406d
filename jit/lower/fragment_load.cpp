// Shared tiles into fragments by ldmatrix.
//
// A warp reads up to four 8x8 matrices of 16-bit units; lane l gives the address of row l%8 of
// matrix l/8, 16 bytes, and receives of each matrix one 32-bit word:
//
//   plain   units (l/4, 2*(l%4)) and the next along the row       trans   units (2*(l%4), l/4) and
//   the
//           ->  rows along Q, words along P                               one below: rows along P
//
// A word holds 32/bits elements along P, whichever way it was read.
#include <bit>

#include "jit/lower/access.h"

namespace tess::jit {
namespace {

struct Fragment {
  int p = -1, q = -1;  // dimensions along which a word, and the lanes' rows, lie
  int64_t per_word = 2, apart = 1;
};

// Lane l of the layout holds words at P = (l%4)*per_word, Q = (l/4)*apart.
std::optional<Fragment> fragment_of(const TileLayout& l, DType type) {
  if (l.linear || l.lanes != 32 || type.is_bool() || type.bits < 8 || type.bits > 32) return {};
  Fragment f;
  f.per_word = 32 / type.bits;
  if (l.registers % f.per_word) return {};
  auto at_lane = [&](int64_t lane) {
    LayoutPoint p;
    p.lane = lane;
    return apply(l.layout, p);
  };
  const std::vector<int64_t>& zero = l.at[0];
  auto only = [&](const std::vector<int64_t>& at) {
    int dim = -1;
    for (size_t d = 0; d < at.size(); ++d) {
      if (at[d] == zero[d]) continue;
      if (dim >= 0) return -1;
      dim = static_cast<int>(d);
    }
    return dim;
  };
  f.p = only(at_lane(1));
  f.q = only(at_lane(4));
  if (f.p < 0 || f.q < 0 || f.p == f.q) return {};
  f.apart = at_lane(4)[static_cast<size_t>(f.q)] - zero[static_cast<size_t>(f.q)];
  if (f.apart < 1 || !std::has_single_bit(static_cast<uint64_t>(f.apart))) return {};
  for (int64_t lane = 0; lane < 32; ++lane) {
    std::vector<int64_t> at = at_lane(lane), want = zero;
    want[static_cast<size_t>(f.p)] += lane % 4 * f.per_word;
    want[static_cast<size_t>(f.q)] += lane / 4 * f.apart;
    if (at != want) return {};
  }
  for (int64_t r = 0; r < l.registers; ++r) {
    std::vector<int64_t> want = l.at[static_cast<size_t>(r - r % f.per_word)];
    want[static_cast<size_t>(f.p)] += r % f.per_word;
    if (l.at[static_cast<size_t>(r)] != want) return {};
  }
  return f;
}

std::vector<int64_t> minus(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  std::vector<int64_t> d(a.size());
  for (size_t i = 0; i < a.size(); ++i) d[i] = a[i] - b[i];
  return d;
}
// 16 bytes along dimension d, elements `apart` from each other, lie together, at addresses that are
// multiples of 16, for every warp and each of the tile's words.
bool rows_lie_together(const Part& part, const TileLayout& l, int d, int64_t elements,
                       int64_t apart, int64_t per_word) {
  const MemoryView& v = part.view;
  if (v.alignment % 16) return false;
  StorageRun run = storage_run(v, d);
  if (run.count < elements || run.step != apart) return false;
  size_t s = static_cast<size_t>(v.dim[static_cast<size_t>(d)]), i = static_cast<size_t>(d);
  if (v.start_divisor[s] % (elements * apart)) return false;
  auto begins_row = [&](int64_t at) { return at / apart % elements == 0; };
  for (const Digit& g : l.layout.digits)
    if (g.label == Label::warp)
      for (int64_t w = 1; w < g.size; ++w)
        if (!begins_row(w * g.out[i])) return false;
  for (int64_t r = 0; r < l.registers; r += per_word)
    if (!begins_row(l.at[static_cast<size_t>(r)][i])) return false;
  return true;
}

}  // namespace

std::optional<Words> load_fragments(Lowering& l, const Part& part, const Tile& like) {
  const TileLayout& layout = *like.layout;
  if (part.view.space != Space::shared || !part.bounds.empty() || part.gather_dim >= 0) return {};
  if (part.view.may_lack_slot() && l.options().report_out_of_bounds) return {};
  std::optional<Fragment> f = fragment_of(layout, like.type);
  if (!f) return {};
  int64_t row = 4 * f->per_word;  // elements in 16 bytes
  bool trans = false;
  if (!rows_lie_together(part, layout, f->p, row, 1, f->per_word)) {
    if (like.type.bits != 16 || !rows_lie_together(part, layout, f->q, 8, f->apart, f->per_word))
      return {};
    trans = true;
  }
  int64_t words = layout.registers / f->per_word;
  auto origin = [&](int64_t w) { return layout.at[static_cast<size_t>(w * f->per_word)]; };
  // As many matrices at a time as lie in a parallelogram.
  Words out(static_cast<size_t>(words));
  for (int64_t w = 0; w < words;) {
    int64_t n = 1;
    if (w + 1 < words) n = 2;
    if (w + 3 < words && minus(origin(w + 3), origin(w + 2)) == minus(origin(w + 1), origin(w)))
      n = 4;
    TileLayout rows;  // of lane addresses
    rows.registers = 1;
    rows.lanes = 32;
    rows.warps = layout.warps;
    rows.at = {origin(w)};
    rows.layout.offset = layout.layout.offset;
    rows.layout.shape = layout.layout.shape;
    std::vector<int64_t> down(origin(w).size(), 0), none = down;
    down[static_cast<size_t>(trans ? f->p : f->q)] = trans ? 1 : f->apart;
    rows.layout.digits.push_back({Label::lane, 0, 8, down});
    rows.layout.digits.push_back(
        {Label::lane, 0, 2, n >= 2 ? minus(origin(w + 1), origin(w)) : none});
    rows.layout.digits.push_back(
        {Label::lane, 0, 2, n == 4 ? minus(origin(w + 2), origin(w)) : none});
    for (const Digit& g : layout.layout.digits)
      if (g.label == Label::warp) rows.layout.digits.push_back(g);
    Addresser where(l, part, rows);
    Address at = where.at(0);
    std::string opcode = "ldmatrix.sync.aligned.m8n8.x" + std::to_string(n) +
                         (trans ? ".trans" : "") + ".shared.b16";
    Words got = l.emit().form(opcode, {at.base, b32(static_cast<uint32_t>(at.offset))});
    for (int64_t i = 0; i < n; ++i) {
      Operand word = l.emit().sel(l.has_slot(part.view), got[static_cast<size_t>(i)], b32(0));
      if (word_class(like.type) == RegClass::f32) word = l.emit().op(BlockOp::as_f32, {word});
      out[static_cast<size_t>(w + i)] = word;
    }
    w += n;
  }
  return out;
}

Words load_tile(Lowering& l, const Part& part, const Tile& like) {
  auto fragments = load_fragments(l, part, like);
  return fragments ? *fragments : load_part(l, part, like, nullptr, 0);
}

}  // namespace tess::jit
