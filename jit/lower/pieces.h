// A register tile as pieces of one instruction's fragment.
#pragma once
#include <map>
#include <optional>

#include "jit/lower/lowering.h"

namespace tess::jit {

using At = std::vector<int64_t>;

// By origin, the tile's registers in the fragment's order; none if the tile is not of such pieces.
struct Pieces {
  std::map<At, std::vector<int64_t>> registers;
  int64_t per_piece = 0;
};
std::optional<Pieces> pieces_of(Lowering& l, const TileLayout& tile, const Layout& atom, int rows,
                                int columns);

}  // namespace tess::jit
