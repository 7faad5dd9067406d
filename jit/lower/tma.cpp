// tma.load, tma.store, tma.reduce and their groups: boxes of a tensor map, issued by one thread.
//
// The shared tile's layout says how it splits into boxes: a box is stored densely, its innermost
// dimension at most one swizzled row wide.
#include <algorithm>
#include <numeric>

#include "jit/lower/copy_guard.h"
#include "jit/lower/mbar.h"
#include "jit/lower/shared_matrix.h"

namespace tess::jit {
namespace {

struct BoxPlan {
  TensorMapNeed need;          // box by dimension of the tensor, outermost first
  std::vector<int64_t> count;  // boxes, by dimension of the tensor
  std::vector<int> tile_dim;   // by dimension of the tensor: of the tile, -1 a point
  int64_t bytes = 0;           // of one box
};

constexpr int64_t kMostBox = 256;
constexpr int64_t kBoxAlignment = 128;  // bytes, of a box in shared memory

// The part of a dimension that lies as `step, 2 step, ...` in memory.
int64_t dense_run(const MemoryView& v, int dim, int64_t step, int64_t extent) {
  const Layout& m = *v.memory;
  size_t s = static_cast<size_t>(v.dim[static_cast<size_t>(dim)]);
  int64_t run = 1;
  for (const Digit& g : m.digits)
    if (g.label == Label::dim && g.dim == s) {
      if (g.out[0] != step * run) break;
      run *= g.size;
    }
  run = std::min(run, extent);
  while (extent % run) --run;
  return run;
}

std::optional<BoxPlan> plan_boxes(Lowering& l, const Part& global, const Part& shared) {
  const MemoryView &g = global.view, &s = shared.view;
  BoxPlan plan;
  auto fail = [&](std::string what, std::string hint = {}) {
    l.unsupported(std::move(what), std::move(hint));
    return std::nullopt;
  };
  size_t rank = g.start.size();
  if (rank > 5) return fail("a tensor map has at most 5 dimensions");
  if (!s.memory || s.space != Space::shared) return fail("the tile is not in shared memory");
  std::optional<int> span = swizzle_span(*s.memory, s.type);
  if (!span)
    return fail(
        "the tile's swizzle is none that tensor maps know",
        "leave the layout out, or write Sw<3,3,3> (16-bit elements), Sw<2,3,3> or Sw<1,3,3>");
  plan.need.param = g.root;
  plan.need.swizzle = *span == 128  ? TensorSwizzle::b128
                      : *span == 64 ? TensorSwizzle::b64
                      : *span == 32 ? TensorSwizzle::b32
                                    : TensorSwizzle::none;
  plan.need.box.assign(rank, 1);
  plan.count.assign(rank, 1);
  plan.tile_dim.assign(rank, -1);
  int64_t bits = s.type.is_bool() ? 8 : s.type.bits, step = 1;
  for (size_t d = rank; d-- > 0;) {
    int t = -1;
    for (int i = 0; i < g.rank(); ++i)
      if (g.dim[static_cast<size_t>(i)] == static_cast<int>(d)) t = i;
    plan.tile_dim[d] = t;
    if (t < 0) continue;
    int64_t extent = global.shape[t], most = std::min(kMostBox, extent);
    if (d + 1 == rank && *span) most = std::min<int64_t>(most, *span * 8 / bits);
    int64_t run = std::min(dense_run(s, t, step, extent), most);
    while (extent % run) --run;
    plan.need.box[d] = static_cast<uint32_t>(run);
    plan.count[d] = extent / run;
    step *= run;
  }
  int64_t inner = plan.need.box[rank - 1] * bits;
  if (inner % 128)
    return fail("rows of the shared tile are no whole number of 16 bytes in memory",
                "the last dimension of the tensor must be the contiguous one of the tile");
  if (*span && inner != *span * 8)
    return fail("rows of the shared tile are not as wide as its swizzle");
  plan.bytes = step * bits / 8;
  // Padding between what one box writes and the next is none of ours, but a box is dense.
  return plan;
}

Operand coordinate_word(Lowering& l, Operand at, int64_t add, int64_t bits, bool innermost) {
  Emit& e = l.emit();
  if (at.type == RegClass::b64 && !at.is_imm()) {
    // Far outside is outside.
    at = e.form1("max.s64", {at, b64(static_cast<uint64_t>(-(int64_t{1} << 30)))});
    at = e.trunc(e.form1("min.s64", {at, b64(uint64_t{1} << 30)}));
  }
  if (at.type == RegClass::b64) at = e.trunc(at);
  at = e.add(at, b32(static_cast<uint64_t>(add)));
  if (innermost && bits < 8)
    at = e.op(BlockOp::sdiv, {e.mul(at, b32(static_cast<uint64_t>(bits))), b32(8)});
  return at;
}

struct Transfer {
  Part global, shared;
  BoxPlan plan;
  Operand map;
};
std::optional<Transfer> transfer(Lowering& l, size_t global_arg, size_t shared_arg) {
  Transfer t;
  t.global = l.part_of_arg(global_arg);
  t.shared = l.part_of_arg(shared_arg);
  auto plan = plan_boxes(l, t.global, t.shared);
  if (!plan) return {};
  t.plan = std::move(*plan);
  int64_t bits = t.shared.view.type.is_bool() ? 8 : t.shared.view.type.bits;
  if (bits < 8) {
    size_t last = t.global.view.start.size() - 1;
    if (t.global.view.start_divisor[last] * bits % 8)
      return l.unsupported("the first element is not known to begin a byte"), std::nullopt;
  }
  uint32_t param = l.tensor_map(t.plan.need);
  t.map = l.emit().op(BlockOp::param_address, {b32(param)}, RegClass::b64);
  return t;
}

// For each box: where it lies in shared memory, and its coordinates, innermost first.
template <class Body>
void for_each_box(Lowering& l, const Transfer& t, Body body) {
  Emit& e = l.emit();
  const MemoryView &g = t.global.view, &s = t.shared.view;
  size_t rank = g.start.size();
  int64_t bits = s.type.is_bool() ? 8 : s.type.bits;
  SharedOrigin origin = shared_origin(l, t.shared);
  if (!origin.valid)
    return l.unsupported("the place of the tile in shared memory is not known to be aligned");
  int64_t moves = std::gcd(origin.divisor, s.alignment),
          fixed = s.memory->offset.empty() ? 0 : s.memory->offset[0];
  auto aligned = [&](const std::vector<int64_t>& index) {
    return moves % kBoxAlignment == 0 &&
           (fixed + origin.linear(index)) * bits % (8 * kBoxAlignment) == 0;
  };
  std::vector<int64_t> at(rank, 0);
  for (;;) {
    std::vector<int64_t> index(static_cast<size_t>(s.rank()), 0);
    std::vector<Operand> coordinates;
    for (size_t d = rank; d-- > 0;) {
      int64_t first = at[d] * t.plan.need.box[d];
      if (t.plan.tile_dim[d] >= 0) index[static_cast<size_t>(t.plan.tile_dim[d])] = first;
      coordinates.push_back(coordinate_word(l, g.start[d], first, bits, d + 1 == rank));
    }
    if (!aligned(index))
      return l.unsupported(
          "a part of shared memory that is not known to begin at a multiple of 128 bytes",
          "make each slot of a ring, and each part that is copied by itself, a multiple of 128 "
          "bytes");
    Operand place =
        e.add(origin.address, b32(static_cast<uint64_t>(origin.linear(index) * bits / 8)));
    body(place, coordinates);
    size_t d = rank;
    while (d > 0 && ++at[d - 1] == t.plan.count[d - 1]) at[--d] = 0;
    if (d == 0) break;
  }
}

// What the copy is to leave in L2; empty where nothing is said.
std::optional<Operand> cache_policy(const Lowering& l) {
  // createpolicy's codes for a fraction of 1.
  if (l.has(AttrTag::evict_first)) return b64(0x12f0000000000000);
  if (l.has(AttrTag::evict_last)) return b64(0x14f0000000000000);
  return {};
}

std::string dimensions(const Transfer& t) {
  return std::to_string(t.global.view.start.size()) + "d";
}

}  // namespace

LOWER(tma_load) {
  Emit& e = l.emit();
  auto t = transfer(l, 1, 0);
  if (!t) return;
  BarrierUse b = barrier_use(l, 2);
  std::optional<Operand> mask;
  if (l.has_arg(3)) mask = l.scalar(3);
  std::string opcode = "cp.async.bulk.tensor." + dimensions(*t) +
                       ".shared::cluster.global.tile.mbarrier::complete_tx::bytes";
  if (mask) opcode += ".multicast::cluster";
  std::optional<Operand> policy = cache_policy(l);
  if (policy) opcode += ".L2::cache_hint";
  int64_t boxes = 1;
  for (int64_t n : t->plan.count) boxes *= n;
  Operand bytes = b32(static_cast<uint64_t>(boxes * t->plan.bytes));
  in_first_thread(l, [&] {
    start_load(l, b, mask, bytes, outside_of_shared(l, t->shared), [&] {
      for_each_box(l, *t, [&](Operand place, const std::vector<Operand>& coordinates) {
        std::vector<Operand> args{place, b32(0), t->map};
        args.insert(args.end(), coordinates.begin(), coordinates.end());
        args.push_back(b.address);
        args.push_back(b32(0));
        if (mask) args.push_back(e.op(BlockOp::trunc16, {*mask}));
        if (policy) args.push_back(*policy);
        e.form(opcode, args);
      });
    });
  });
}

namespace {

void store_boxes(Lowering& l, std::string opcode) {
  Emit& e = l.emit();
  auto t = transfer(l, 0, 1);
  if (!t) return;
  size_t at = opcode.find("Nd");
  opcode.replace(at, 2, dimensions(*t));
  std::optional<Operand> policy = cache_policy(l);
  if (policy) opcode += ".L2::cache_hint";
  in_first_thread(l, [&] {
    unless(l, outside_of_shared(l, t->shared), [&] {
      for_each_box(l, *t, [&](Operand place, const std::vector<Operand>& coordinates) {
        std::vector<Operand> args{t->map};
        args.insert(args.end(), coordinates.begin(), coordinates.end());
        args.push_back(place);
        args.push_back(b32(0));
        if (policy) args.push_back(*policy);
        e.form(opcode, args);
      });
    });
  });
}

}  // namespace

LOWER(tma_store) { store_boxes(l, "cp.async.bulk.tensor.Nd.global.shared::cta.tile.bulk_group"); }
LOWER(tma_reduce) {
  constexpr std::pair<AttrTag, const char*> kOps[] = {
      {AttrTag::op_add, "add"}, {AttrTag::op_min, "min"}, {AttrTag::op_max, "max"},
      {AttrTag::op_and, "and"}, {AttrTag::op_or, "or"},   {AttrTag::op_xor, "xor"}};
  for (auto [tag, word] : kOps)
    if (l.has(tag))
      return store_boxes(l, std::string("cp.reduce.async.bulk.tensor.Nd.global.shared::cta.") +
                                word + ".tile.bulk_group");
}

// Groups belong to the thread that issued their copies.
LOWER(tma_commit) {
  in_first_thread(l, [&] { l.emit().form("cp.async.bulk.commit_group", {}); });
}
LOWER(tma_wait) {
  std::string opcode = "cp.async.bulk.wait_group";
  if (l.has(AttrTag::read)) opcode += ".read";
  Operand n = l.scalar(0);
  in_first_thread(l, [&] { l.emit().form(opcode, {n}); });
  l.barrier();
}

}  // namespace tess::jit
