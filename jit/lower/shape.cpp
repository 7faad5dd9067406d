// reshape transpose broadcast squeeze unsqueeze concat slice insert repeat on register tiles:
// registers get other names. Layout inference chooses layouts in which that is all there is to do;
// where written layouts forbid it the elements go through shared memory. Views of memory stand in
// views.cpp.
#include <map>

#include "isa/numerics.h"
#include "jit/lower/combine.h"
#include "jit/lower/scratch_array.h"
#include "jit/lower/views.h"

namespace tess::jit {
namespace {

using Coordinates = std::vector<int64_t>;
// Which element of which source an element of the result is.
struct Pick {
  size_t source = 0;
  Coordinates at;
};

const TileLayout* layout_of_result(Lowering& l) {
  return l.result_type().shape.rank ? l.result_layout() : nullptr;
}

// By register of the result: source and register; empty if another thread holds it.
template <class Project>
std::vector<std::pair<size_t, int64_t>> registers_of(const TileLayout& to,
                                                     const std::vector<Tile>& from,
                                                     Project project) {
  std::vector<std::map<Coordinates, int64_t>> register_at(from.size());
  for (size_t s = 0; s < from.size(); ++s)
    for (int64_t r = 0; from[s].layout && r < from[s].layout->registers; ++r)
      register_at[s].try_emplace(from[s].layout->at[static_cast<size_t>(r)], r);
  std::vector<std::pair<size_t, int64_t>> map;
  std::map<size_t, int64_t> witness;  // a register of the result for each source
  for (int64_t r = 0; r < to.registers; ++r) {
    Pick p = project(to.at[static_cast<size_t>(r)]);
    int64_t reg = 0;
    if (from[p.source].layout) {
      auto it = register_at[p.source].find(p.at);
      if (it == register_at[p.source].end()) return {};
      reg = it->second;
    }
    witness.try_emplace(p.source, r);
    map.emplace_back(p.source, reg);
  }
  // Layouts are sums of a register's and a thread's part: one register of each source, followed
  // through all threads, stands for the others.
  for (auto [s, r] : witness) {
    const TileLayout* source = from[s].layout;
    for (int64_t w = 0; w < to.warps && source; ++w)
      for (int64_t lane = 0; lane < to.lanes; ++lane) {
        LayoutPoint p;
        p.warp = w, p.lane = lane, p.reg = r;
        Pick want = project(apply(to.layout, p));
        p.reg = map[static_cast<size_t>(r)].second;
        if (want.source != s || w >= source->warps || lane >= source->lanes ||
            apply(source->layout, p) != want.at)
          return {};
      }
  }
  return map;
}

// The words of the result, whole words where they stay together.
Words renamed(Lowering& l, DType t, const std::vector<Tile>& from,
              const std::vector<std::pair<size_t, int64_t>>& map) {
  bool single = true;
  for (auto [s, r] : map) single &= s == map[0].first && from[s].layout;
  if (single) {
    std::vector<int64_t> registers;
    for (auto [s, r] : map) registers.push_back(r);
    const Tile& source = from[map[0].first];
    return l.permuted(t, source.words, source.layout->registers, registers);
  }
  size_t per_word = t.is_bool() || t.bits >= 32 ? 1 : 32u / t.bits;
  std::vector<std::vector<Operand>> elements;
  for (const Tile& s : from) elements.push_back(l.elements(t, s.words, s.elements()));
  std::vector<Operand> all;
  for (auto [s, r] : map) all.push_back(elements[s][static_cast<size_t>(r)]);
  Words words = l.pack(t, all);
  if (per_word == 1 || 32 % t.bits) return words;
  for (size_t w = 0; w < words.size(); ++w) {  // what is one word already stays one
    size_t first = w * per_word;
    auto [s, r] = map[first];
    bool whole = from[s].layout && r % static_cast<int64_t>(per_word) == 0;
    for (size_t i = first; i < map.size() && i < first + per_word; ++i)
      whole &= map[i] == std::pair(s, r + static_cast<int64_t>(i - first));
    if (whole) words[w] = from[s].words[static_cast<size_t>(r) / per_word];
  }
  return words;
}

// `project` makes of an element of the result the element of a source.
template <class Project>
void pick(Lowering& l, const std::vector<Tile>& from, Project project) {
  const Type& type = l.result_type();
  DType t = type.dtype;
  const TileLayout* to = layout_of_result(l);
  if (!to) return l.broken("a scalar is no tile");
  auto map = registers_of(*to, from, project);
  if (map.empty()) return l.broken("the layouts need elements of other threads");
  l.set(0, renamed(l, t, from, map));
}

void reshape_tile(Lowering& l) {
  l.set(0, reshaped_words(l, l.arg(0), l.result_type().shape, layout_of_result(l)));
}

// Begin of each position of an access to a register tile, and whether it is a point.
struct Cut {
  Coordinates begin;
  std::vector<bool> point;
  Shape part;  // of the ranges
};
Cut cut_of(Lowering& l, const Shape& whole) {
  const Kernel& k = l.kernel();
  const Access& access = k.accesses[l.arg_ref(0).index()];
  auto number = [&](Ref r) {
    const Constant& c = k.constants[r.index()];
    return decode_int(c.type, c.code);
  };
  Cut cut;
  auto indices = k.indices_of(access);
  for (int d = 0; d < whole.rank; ++d) {
    Index all;
    all.kind = IndexKind::all;
    const Index& index = indices.empty() ? all : indices[static_cast<size_t>(d)];
    int64_t begin = index.kind == IndexKind::all ? 0 : number(index.start);
    cut.begin.push_back(begin);
    cut.point.push_back(index.kind == IndexKind::point);
    if (index.kind == IndexKind::range) cut.part.push(index.extent);
    if (index.kind == IndexKind::span) cut.part.push(number(index.stop) - begin);
    if (index.kind == IndexKind::all) cut.part.push(whole[d]);
  }
  return cut;
}

Tile base_of_access(Lowering& l) {
  return l.tile_of(Ref::value(l.kernel().accesses[l.arg_ref(0).index()].base));
}

}  // namespace

LOWER(reshape) { is_memory(l, 0) ? reshape_view(l) : reshape_tile(l); }
LOWER(squeeze) { reshape_tile(l); }
LOWER(unsqueeze) { reshape_tile(l); }

LOWER(broadcast) {
  l.set(0, l.broadcast_words(l.arg(0), l.result_type().shape, layout_of_result(l)));
}

LOWER(transpose) {
  if (is_memory(l, 0)) return transpose_view(l);
  Tile a = l.arg(0);
  std::vector<int> order = permutation(l, a.shape.rank);
  pick(l, {a}, [&](const Coordinates& at) {
    Coordinates from(at.size());
    for (size_t d = 0; d < at.size(); ++d) from[static_cast<size_t>(order[d])] = at[d];
    return Pick{0, from};
  });
}

LOWER(concat) {
  std::vector<Tile> parts;
  for (size_t i = 0; i < l.n_args(); ++i) parts.push_back(l.arg(i));
  int dim = l.dim(l.result_type().shape.rank, 0);
  size_t d = static_cast<size_t>(dim);
  pick(l, parts, [&](Coordinates at) {
    size_t s = 0;
    for (; s + 1 < parts.size() && at[d] >= parts[s].shape[dim]; ++s) at[d] -= parts[s].shape[dim];
    return Pick{s, at};
  });
}

LOWER(slice) {
  if (is_memory(l, 0)) return slice_view(l);
  Tile a = base_of_access(l);
  Cut cut = cut_of(l, a.shape);
  if (!l.result_type().shape.rank && a.layout) {
    std::vector<Operand> index;
    for (int64_t at : cut.begin) index.push_back(b32(static_cast<uint64_t>(at)));
    return l.set(0, one_element(l, a, index));
  }
  pick(l, {a}, [&](const Coordinates& at) {
    Coordinates from = cut.begin;
    size_t next = 0;
    for (size_t d = 0; d < from.size(); ++d)
      if (!cut.point[d]) from[d] += at[next++];
    return Pick{0, from};
  });
}

LOWER(insert) {
  Tile a = base_of_access(l), v = l.arg(1);
  Cut cut = cut_of(l, a.shape);
  pick(l, {a, v}, [&](const Coordinates& at) {
    Coordinates within;
    size_t next = 0;
    for (size_t d = 0; d < at.size(); ++d) {
      int64_t extent = cut.point[d] ? 1 : cut.part[static_cast<int>(next)];
      if (at[d] < cut.begin[d] || at[d] >= cut.begin[d] + extent) return Pick{0, at};
      if (!cut.point[d]) within.push_back(at[d] - cut.begin[d]), ++next;
    }
    Coordinates from(within.end() - v.shape.rank, within.end());
    for (int d = 0; d < v.shape.rank; ++d)
      if (v.shape[d] == 1) from[static_cast<size_t>(d)] = 0;
    return Pick{1, from};
  });
}

LOWER(repeat) {
  Tile a = l.arg(0);
  size_t d = static_cast<size_t>(l.dim(a.shape.rank, a.shape.rank - 1));
  int64_t count = l.attr(AttrTag::count).value_or(1);
  pick(l, {a}, [&](Coordinates at) {
    at[d] /= count;
    return Pick{0, at};
  });
}

}  // namespace tess::jit
