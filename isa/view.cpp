#include "isa/view.h"

#include <fmt/format.h>

#include "isa/diag/verify.h"
#include "isa/layout_query.h"

namespace tess {
namespace {

constexpr int64_t kMostBits = 1 << 24;  // eight times what a block's registers hold

Diagnostic refuse(Diag code, std::string message, std::string hint = {}) {
  return make_diag(code, std::move(message), {}, std::move(hint));
}

int64_t row_major(const std::vector<int64_t>& index, const Shape& shape) {
  int64_t at = 0;
  for (int d = 0; d < shape.rank; ++d) at = at * shape[d] + index[static_cast<size_t>(d)];
  return at;
}

// element[t * registers + i]: the element (row-major) that register i of thread t holds.
std::vector<uint32_t> elements_of(const ViewSide& side, int64_t threads, int64_t registers) {
  std::vector<uint32_t> out(static_cast<size_t>(threads * registers));
  int64_t lanes = size_of(*side.layout, Label::lane);
  for (int64_t t = 0; t < threads; ++t)
    for (int64_t i = 0; i < registers; ++i) {
      LayoutPoint p{i, t % lanes, t / lanes, 0, {}};
      out[static_cast<size_t>(t * registers + i)] =
          static_cast<uint32_t>(row_major(apply(*side.layout, p), side.type.shape));
    }
  return out;
}

}  // namespace

Result<ViewMap> view_map(const ViewSide& source, const ViewSide& result) {
  int64_t w1 = source.type.dtype.bits, w2 = result.type.dtype.bits;
  TESS_CHECK(
      check_view(*source.layout, static_cast<int>(w1), *result.layout, static_cast<int>(w2)));
  int64_t threads = threads_of(*source.layout), from = registers_of(*source.layout),
          to = registers_of(*result.layout);
  if (threads * to > kMostBits / w2)
    return refuse(diag::limit_exceeded, "a view of more than 2^24 bits");
  std::vector<uint32_t> source_of = elements_of(source, threads, from),
                        result_of = elements_of(result, threads, to);
  ViewMap map;
  map.bit.resize(static_cast<size_t>(result.type.shape.elements() * w2));
  for (int64_t t = 0; t < threads; ++t)
    for (int64_t bit = 0; bit < to * w2; ++bit) {
      int64_t e = result_of[static_cast<size_t>(t * to + bit / w2)];
      int64_t s = source_of[static_cast<size_t>(t * from + bit / w1)];
      map.bit[static_cast<size_t>(e * w2 + bit % w2)] = static_cast<uint32_t>(s * w1 + bit % w1);
    }
  return map;
}

Status check_layout_fits(const Type& type, const Layout& layout, int64_t threads) {
  auto mismatch = [&](std::string why) { return refuse(diag::layout_mismatch, std::move(why)); };
  if (type.space == Space::reg) {
    if (type.shape.rank == 0) return mismatch("a scalar has no layout");
    if (layout.is_memory())
      return mismatch(fmt::format("a memory layout on the register tile {}", type_text(type)));
    std::vector<int64_t> shape(type.shape.begin(), type.shape.end());
    if (layout.shape != shape) {
      Shape has;
      for (int64_t d : layout.shape) has.push(d);
      return mismatch(
          fmt::format("the layout is one of {}, the tile is {}", shape_text(has), type_text(type)));
    }
    if (threads_of(layout) > threads)
      return mismatch(fmt::format("the layout uses {} threads, the strand has {}",
                                  threads_of(layout), threads));
    if (size_of(layout, Label::cta) != 1)
      return mismatch("a tile of one block in a layout over several");
    Result<bool> all = covers(layout);
    if (all && !*all) return mismatch("the layout leaves elements of the tile without a register");
    return ok();
  }
  if (!layout.is_memory()) return mismatch(fmt::format("a register layout on {}", type_text(type)));
  std::vector<int64_t> shape(type.shape.begin(), type.shape.end()), dims = input_shape(layout);
  bool fits = dims == shape;
  if (type.ring && !fits) fits = dims == std::vector<int64_t>(shape.begin() + 1, shape.end());
  if (!fits) {
    Shape has;
    for (int64_t d : dims) has.push(d);
    return mismatch(
        fmt::format("the layout is one of {}, the tile is {}", shape_text(has), type_text(type)));
  }
  Result<bool> apart = is_injective(layout);
  if (apart && !*apart) return mismatch("the layout puts two elements of the tile at one place");
  return ok();
}

}  // namespace tess
