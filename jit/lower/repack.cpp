// pack, unpack: the last dimension as one dense stream of bits, cut into elements of another width.
// Where a thread holds the same bits in the same order on both sides nothing is done.
#include <numeric>

#include "isa/layout_ops.h"
#include "jit/lower/bit_words.h"
#include "jit/lower/packed_bits.h"
#include "jit/lower/scratch_array.h"

namespace tess::jit {
namespace {

using At = std::vector<int64_t>;

// A run of bits of the result's stream, and where it lies in the source's.
struct Run {
  int64_t to, from, bits;
};

// What of the result's register r comes from which element of the source.
template <class Take>
void pieces_of(const At& at, int to_bits, int from_bits, Take take) {
  int64_t first = at.back() * to_bits, end = first + to_bits;
  for (int64_t bit = first; bit < end;) {
    int64_t element = bit / from_bits, stop = std::min(end, (element + 1) * from_bits);
    At source = at;
    source.back() = element;
    take(bit - first, source, bit - element * from_bits, stop - bit);
    bit = stop;
  }
}

// None if a thread would need another's bits.
std::optional<std::vector<Run>> runs_within_threads(const TileLayout& to, int to_bits,
                                                    const TileLayout& from, int from_bits) {
  std::map<At, int64_t> register_at;
  for (int64_t r = 0; r < from.registers; ++r)
    register_at.try_emplace(from.at[static_cast<size_t>(r)], r);
  std::vector<Run> runs;
  bool found = true;
  for (int64_t r = 0; r < to.registers && found; ++r)
    pieces_of(to.at[static_cast<size_t>(r)], to_bits, from_bits,
              [&](int64_t bit, const At& source, int64_t within, int64_t n) {
                auto it = register_at.find(source);
                if (it == register_at.end()) {
                  found = false;
                  return;
                }
                Run run{r * to_bits + bit, it->second * from_bits + within, n};
                bool joins = !runs.empty() && runs.back().from + runs.back().bits == run.from &&
                             runs.back().to + runs.back().bits == run.to;
                if (joins) runs.back().bits += n;
                else runs.push_back(run);
              });
  if (!found) return {};
  // Every thread begins at a whole group, the same on both sides; its registers follow thread 0's.
  int64_t group = std::lcm<int64_t>(to_bits, from_bits);
  for (int64_t w = 0; w < to.warps; ++w)
    for (int64_t lane = 0; lane < to.lanes; ++lane) {
      if (w >= from.warps || lane >= from.lanes) return {};
      LayoutPoint p;
      p.warp = w, p.lane = lane;
      At a = apply(to.layout, p), b = apply(from.layout, p);
      for (size_t d = 0; d < a.size(); ++d) {
        bool last = d + 1 == a.size();
        int64_t x = a[d] - to.at[0][d], y = b[d] - from.at[0][d];
        if (!last && x != y) return {};
        if (last && (x * to_bits != y * from_bits || x * to_bits % group)) return {};
      }
    }
  return runs;
}

Words recut(Lowering& l, const Words& source, int64_t source_bits, const std::vector<Run>& runs,
            int64_t result_bits) {
  Emit& e = l.emit();
  Words out;
  BitStream stream(l, source, source_bits);
  size_t next = 0;
  for (int64_t word = 0; word * 32 < result_bits; ++word) {
    Operand built = b32(0);
    for (size_t i = next; i < runs.size() && runs[i].to < (word + 1) * 32; ++i) {
      int64_t first = std::max(runs[i].to, word * 32);
      int64_t end = std::min(runs[i].to + runs[i].bits, (word + 1) * 32);
      if (end <= first) {
        next = i + 1;
        continue;
      }
      int64_t from = runs[i].from + first - runs[i].to, n = end - first;
      Operand piece =
          from % 32 == 0 ? source[static_cast<size_t>(from / 32)] : stream.from(from, n);
      bool rest_matters = end < result_bits && end % 32 != 0;
      if (n < 32 && rest_matters) piece = e.and_(piece, b32((uint64_t{1} << n) - 1));
      built = e.or_(built, e.shl(piece, static_cast<uint32_t>(first % 32)));
    }
    out.push_back(built);
  }
  return out;
}

// Through shared memory, element by element.
Words exchanged(Lowering& l, const Tile& a, DType t, const TileLayout& to) {
  Emit& e = l.emit();
  bool floats = a.type.is_float() && a.type.bits >= 16;
  DType code_type = !floats             ? a.type
                    : a.type.bits == 16 ? dt::u16_
                    : a.type.bits == 32 ? dt::u32_
                                        : dt::u64_;
  Tile codes = a;
  codes.type = code_type;
  codes.words = words_of_bits(l, code_type, bit_words(l, a.words));
  int64_t row = a.shape[a.shape.rank - 1];
  ScratchArray array(l, code_type, a.shape.elements());
  l.barrier();
  store_tile(l, array, codes);
  Shape rows = a.shape;
  rows[rows.rank - 1] = 1;
  // A thread beyond the result's threads reads some element.
  Operand holds = l.holds_elements(to);
  Words bits(static_cast<size_t>((to.registers * t.bits + 31) / 32), b32(0));
  for (int64_t r = 0; r < to.registers; ++r) {
    Operand number = b32(0);
    for (int d = 0; d + 1 < a.shape.rank; ++d)
      number = e.add(e.mul(number, b32(static_cast<uint64_t>(a.shape[d]))),
                     element_coordinate(l, to, r, d));
    Operand begin = e.mul(number, b32(static_cast<uint64_t>(row)));
    Operand bit = e.mul(element_coordinate(l, to, r, a.shape.rank - 1), b32(t.bits));
    Operand element = e.op(BlockOp::udiv, {bit, b32(a.type.bits)});
    Operand within = e.op(BlockOp::urem, {bit, b32(a.type.bits)});
    int64_t last = row - 1;
    Operand code = b64(0);
    for (int64_t piece = 0; piece * a.type.bits < t.bits + a.type.bits - 1; ++piece) {
      Operand which = e.add(element, b32(static_cast<uint64_t>(piece)));
      which = e.sel(e.ult(b32(static_cast<uint64_t>(last)), which),
                    b32(static_cast<uint64_t>(last)), which);
      Operand at = e.sel(holds, e.add(begin, which), b32(0));
      Operand x = array.load(at);
      if (x.type == RegClass::b32) x = e.zext(x);
      if (a.type.bits < 64) x = e.and_(x, b64((uint64_t{1} << a.type.bits) - 1));
      int64_t shift = piece * a.type.bits;
      // Bits of the piece, `within` bits further down than its place in the stream.
      Operand up = e.form1("shl.b64", {x, b32(static_cast<uint64_t>(shift))});
      Operand moved = e.form1("shr.u64", {up, within});
      if (shift > 0 && shift + a.type.bits > 64) {
        Operand down = e.sub(b32(static_cast<uint64_t>(shift)), within);
        moved = e.sel(e.slt(down, b32(0)), e.form1("shr.u64", {x, e.sub(b32(0), down)}),
                      e.form1("shl.b64", {x, down}));
      }
      code = e.or_(code, moved);
    }
    int64_t at = r * t.bits;
    size_t word = static_cast<size_t>(at / 32);
    if (t.bits == 64) {
      auto [low, high] = e.halves(code);
      bits[word] = low;
      bits[word + 1] = high;
      continue;
    }
    Operand low = e.trunc(code);
    if (t.bits < 32) low = e.and_(low, b32((uint64_t{1} << t.bits) - 1));
    bits[word] = e.or_(bits[word], e.shl(low, static_cast<uint32_t>(at % 32)));
    if (at % 32 + t.bits > 32) bits[word + 1] = e.lshr(low, static_cast<uint32_t>(32 - at % 32));
  }
  l.barrier();
  return bits;
}

void repack(Lowering& l) {
  Tile a = l.arg(0);
  DType t = l.result_type().dtype;
  const TileLayout* to = l.result_layout();
  if (!to || !a.layout) return l.broken("a tile without a layout");
  Words bits;
  auto runs = runs_within_threads(*to, t.bits, *a.layout, a.type.bits);
  if (runs)
    bits = recut(l, bit_words(l, a.words), a.layout->registers * a.type.bits, *runs,
                 to->registers * t.bits);
  else bits = exchanged(l, a, t, *to);
  l.set(0, words_of_bits(l, t, bits));
}

}  // namespace

LOWER(pack) { repack(l); }
LOWER(unpack) { repack(l); }

}  // namespace tess::jit
