#include "vm/data/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "isa/diag/data.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "isa/numerics.h"

namespace tess {
namespace {

constexpr int64_t kMostPlaces = 1 << 20;  // registers * threads of a tile
constexpr int kUnits[] = {16, 8, 4, 2, 1};

Diagnostic refuse(std::string message, std::string hint = {}) {
  return make_diag(diag::pack_layout, std::move(message), {}, std::move(hint));
}

// Where one register of one thread is: in the tile, and among the tile's bits.
struct Place {
  int64_t row, col;
  uint64_t bit;
};

std::vector<Place> places_of(const PackPlan& plan) {
  int64_t registers = registers_of(plan.layout), unit_bits = plan.unit_bytes * 8;
  int width = plan.dtype.bits;
  std::vector<Place> places;
  // A code may straddle two units, which are `lanes` units apart: then it is written bit by bit.
  for (int64_t warp = 0; warp < plan.warps; ++warp)
    for (int64_t lane = 0; lane < plan.lanes; ++lane)
      for (int64_t reg = 0; reg < registers; ++reg) {
        std::vector<int64_t> at = apply(plan.layout, {reg, lane, warp, 0, {}});
        int64_t bit = reg * width, unit = bit / unit_bits;
        places.push_back(
            {at[0], at[1],
             static_cast<uint64_t>(((warp * plan.units + unit) * plan.lanes + lane) * unit_bits +
                                   bit % unit_bits)});
      }
  return places;
}

// Tiles and what one of them is made of, as both directions walk them.
struct Walk {
  explicit Walk(const PackPlan& p)
      : plan(p),
        places(places_of(p)),
        rows(p.shape[p.shape.size() - 2]),
        cols(p.shape.back()),
        tile_rows(p.layout.shape[0]),
        tile_cols(p.layout.shape[1]),
        row_tiles((rows + tile_rows - 1) / tile_rows),
        col_tiles((cols + tile_cols - 1) / tile_cols),
        tile_bits(static_cast<uint64_t>(p.warps * p.lanes * p.lane_bits)) {
    batches =
        std::accumulate(p.shape.begin(), p.shape.end() - 2, int64_t{1}, std::multiplies<int64_t>());
  }
  // visit(element of W, bit of the packed tensor); elements beyond the edge are left out.
  template <class Visit>
  void each(const Visit& visit) const {
    if (rows == 0 || cols == 0) return;
    uint64_t start = 0;
    int64_t outer = plan.last_outermost ? col_tiles : row_tiles,
            inner = plan.last_outermost ? row_tiles : col_tiles;
    for (int64_t batch = 0; batch < batches; ++batch)
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t i = 0; i < inner; ++i, start += tile_bits) {
          int64_t row0 = (plan.last_outermost ? i : o) * tile_rows,
                  col0 = (plan.last_outermost ? o : i) * tile_cols;
          for (const Place& p : places) {
            int64_t row = row0 + p.row, col = col0 + p.col;
            if (row < rows && col < cols)
              visit(static_cast<uint64_t>((batch * rows + row) * cols + col), start + p.bit);
          }
        }
  }

  const PackPlan& plan;
  std::vector<Place> places;
  int64_t rows, cols, tile_rows, tile_cols, row_tiles, col_tiles, batches = 1;
  uint64_t tile_bits;
};

// A lane's bits are contiguous within a unit; the next unit of the same lane is `lanes` units on.
struct LaneStream {
  uint64_t unit_bits, lanes;
  int width;
  // The bits of a code that stand in its first unit.
  int head(uint64_t bit) const {
    return static_cast<int>(std::min<uint64_t>(width, unit_bits - bit % unit_bits));
  }
  uint64_t next(uint64_t bit) const { return (bit / unit_bits + lanes) * unit_bits; }
  void write(uint8_t* to, uint64_t bit, uint64_t code) const {
    int n = head(bit);
    write_bits(to, bit, n, code & ((uint64_t{1} << n) - 1));
    if (n < width) write_bits(to, next(bit), width - n, code >> n);
  }
  uint64_t read(const uint8_t* from, uint64_t bit) const {
    int n = head(bit);
    uint64_t code = read_bits(from, bit, n);
    return n < width ? code | read_bits(from, next(bit), width - n) << n : code;
  }
};

LaneStream stream_of(const PackPlan& plan) {
  return {static_cast<uint64_t>(plan.unit_bytes) * 8, static_cast<uint64_t>(plan.lanes),
          plan.dtype.bits};
}

Status check_fragment(const Layout& layout) {
  if (layout.dims != 0 || layout.shape.size() != 2)
    return refuse("weights are packed by a register layout of two dimensions",
                  "an atom (mma.m16n8k16.f16.B), or local(..) * atom");
  if (size_of(layout, Label::cta) != 1)
    return refuse("a tile of one block in a layout over several");
  if (input_size(layout) > kMostPlaces)
    return refuse(fmt::format("a tile of {} registers; at most {} are supported",
                              input_size(layout), kMostPlaces));
  TESS_TRY(bool all, covers(layout));
  if (!all) return refuse("the layout leaves elements of its tile without a register");
  return ok();
}

}  // namespace

Result<PackPlan> plan_pack(DType dtype, std::span<const int64_t> shape, const Layout& layout,
                           const PackOptions& options) {
  if (dtype.bits > 8 || dtype.is_bool())
    return make_diag(diag::quantize_type,
                     fmt::format("packing is for types of 1 to 8 bits, not {}", dtype_name(dtype)));
  if (std::ranges::find(kUnits, options.unit_bytes) == std::end(kUnits))
    return make_diag(diag::quantize_option, fmt::format("a unit of {} bytes; there are 1, 2, 4, 8 "
                                                        "and 16",
                                                        options.unit_bytes));
  if (shape.size() < 2)
    return make_diag(diag::tensor_shape_mismatch,
                     fmt::format("weights have two dimensions, these are {}", shape_text(shape)));
  TESS_CHECK(element_count(shape));
  TESS_CHECK(check_fragment(layout));

  PackPlan plan;
  plan.dtype = dtype;
  plan.shape.assign(shape.begin(), shape.end());
  plan.last_outermost = options.last_outermost;
  int64_t bits = registers_of(layout) * dtype.bits;
  plan.combined[0] = options.combine[0];
  plan.combined[1] = options.combine[1];
  if (options.combine[0] == 0 && options.combine[1] == 0) {
    int64_t want = options.unit_bytes * 8;
    plan.combined[0] = want / std::gcd(want, bits);
    plan.combined[1] = 1;
  }
  for (int64_t n : plan.combined)
    if (n < 1 || n > kMostPlaces)
      return make_diag(diag::quantize_option,
                       fmt::format("combining {} fragments; 1 to {} are possible", n, kMostPlaces));
  if (plan.combined[0] * plan.combined[1] > kMostPlaces / input_size(layout))
    return refuse("the combined tile is too large");
  plan.layout = layout;
  if (plan.combined[0] * plan.combined[1] > 1) {
    TESS_TRY(Layout fragments, spread(Label::reg, {plan.combined[0], plan.combined[1]}));
    TESS_TRY(plan.layout, product(fragments, layout));
  }
  plan.lanes = size_of(plan.layout, Label::lane);
  plan.warps = size_of(plan.layout, Label::warp);
  plan.lane_bits = registers_of(plan.layout) * dtype.bits;
  for (int unit : kUnits)
    if (plan.lane_bits % (unit * 8) == 0) {
      plan.unit_bytes = unit;
      break;
    }
  if (plan.unit_bytes < options.unit_bytes)
    return refuse(
        fmt::format("a lane holds {} bits, no whole number of units of {} byte{}", plan.lane_bits,
                    options.unit_bytes, options.unit_bytes == 1 ? "" : "s"),
        "combine more fragments, or leave --combine out");
  plan.units = plan.lane_bits / (plan.unit_bytes * 8);
  int word = std::min(plan.unit_bytes, 4);
  plan.packed_dtype = word == 4 ? dt::u32_ : word == 2 ? dt::u16_ : dt::u8_;

  Walk walk(plan);
  plan.packed_shape.assign(shape.begin(), shape.end() - 2);
  int64_t tiles[] = {walk.row_tiles, walk.col_tiles};
  plan.packed_shape.push_back(tiles[plan.last_outermost ? 1 : 0]);
  plan.packed_shape.push_back(tiles[plan.last_outermost ? 0 : 1]);
  if (plan.warps > 1) plan.packed_shape.push_back(plan.warps);
  for (int64_t n : {plan.units, plan.lanes, int64_t{plan.unit_bytes / word}})
    plan.packed_shape.push_back(n);
  TESS_CHECK(dense_bytes(plan.packed_dtype, plan.packed_shape));
  return plan;
}

Result<HostTensor> pack(const PackPlan& plan, const HostTensor& weights) {
  TESS_TRY(HostTensor from, tess::bind(weights, plan.dtype, plan.shape));
  TESS_TRY(HostTensor packed, make_tensor(plan.packed_dtype, plan.packed_shape));
  uint8_t* to = packed.mutable_bytes();
  LaneStream stream = stream_of(plan);
  uint64_t width = plan.dtype.bits;
  Walk(plan).each([&](uint64_t element, uint64_t bit) {
    stream.write(to, bit, read_bits(from.bytes, element * width, plan.dtype.bits));
  });
  return packed;
}

Result<HostTensor> unpack(const PackPlan& plan, const HostTensor& packed) {
  TESS_TRY(HostTensor from, tess::bind(packed, plan.packed_dtype, plan.packed_shape));
  TESS_TRY(HostTensor weights, make_tensor(plan.dtype, plan.shape));
  uint8_t* to = weights.mutable_bytes();
  LaneStream stream = stream_of(plan);
  uint64_t width = plan.dtype.bits;
  Walk(plan).each([&](uint64_t element, uint64_t bit) {
    write_bits(to, element * width, plan.dtype.bits, stream.read(from.bytes, bit));
  });
  return weights;
}

std::string pack_recipe(const PackPlan& plan) {
  int words = static_cast<int>(plan.packed_shape.back());
  std::string type = dtype_name(plan.packed_dtype);
  bool several = plan.warps > 1;
  std::string first = several ? "1," : "", zero = several ? ":," : "";
  Layout unnamed = plan.layout;
  unnamed.spelling.clear();
  std::string b = print_layout(unnamed);
  std::string out = fmt::format("layout #b   = {}\n", b);
  out += fmt::format("layout #raw = {}local({}{},1,1) * spatial({}1,{},1) * local({}1,1,{})\n",
                     several ? fmt::format("warps({},1,1,1) * ", plan.warps) : "", first,
                     plan.units, first, plan.lanes, first, words);
  out += fmt::format("%raw = load p[TILE,TILE,{}:,:,:] : {}[{}{},{},{}] #raw\n", zero, type,
                     several ? fmt::format("{},", plan.warps) : "", plan.units, plan.lanes, words);
  out += fmt::format("%w   = view %raw : {}[{},{}] #b\n", dtype_name(plan.dtype),
                     plan.layout.shape[0], plan.layout.shape[1]);
  return out;
}

}  // namespace tess
