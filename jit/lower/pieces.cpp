#include "jit/lower/pieces.h"

namespace tess::jit {

std::optional<Pieces> pieces_of(Lowering& l, const TileLayout& tile, const Layout& atom, int rows,
                                int columns) {
  const TileLayout* a = l.intern(atom);
  Pieces out;
  out.per_piece = a->registers;
  std::map<At, int64_t> place;
  for (int64_t q = 0; q < a->registers; ++q) place[a->at[static_cast<size_t>(q)]] = q;
  // The columns of a piece may be apart.
  int64_t stride = 1;
  for (int64_t lane = 1; lane < 32; lane *= 2) {
    LayoutPoint p;
    p.lane = lane;
    int64_t step = apply(atom, p)[1] - a->at[0][1];
    if (step > 0) stride = std::max<int64_t>(1, (apply(tile.layout, p).back() - tile.at[0].back()) / step);
  }
  for (int64_t r = 0; r < tile.registers; ++r) {
    At origin = tile.at[static_cast<size_t>(r)];
    size_t i = origin.size() - 2, j = origin.size() - 1;
    At within{origin[i] % rows, origin[j] / stride % columns};
    origin[i] -= within[0];
    origin[j] -= within[1] * stride;
    auto q = place.find(within);
    if (q == place.end()) return {};
    auto& registers = out.registers[origin];
    registers.resize(static_cast<size_t>(a->registers), -1);
    registers[static_cast<size_t>(q->second)] = r;
  }
  for (auto& [origin, registers] : out.registers)
    for (int64_t r : registers)
      if (r < 0) return {};
  // Lanes as in the atom.
  for (int64_t lane = 0; lane < 32; ++lane) {
    LayoutPoint p;
    p.lane = lane;
    At in_tile = apply(tile.layout, p), in_atom = apply(atom, p);
    size_t i = in_tile.size() - 2;
    if (in_tile[i] - tile.at[0][i] != in_atom[0] - a->at[0][0] ||
        in_tile[i + 1] - tile.at[0][i + 1] != (in_atom[1] - a->at[0][1]) * stride)
      return {};
  }
  return out;
}

}  // namespace tess::jit
