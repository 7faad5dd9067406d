// Layouts of one inference, interned: equal layouts have equal ids, and every operation on them is
// done once. Not thread-safe; one pool belongs to one call of infer_layouts.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "isa/layout_query.h"
#include "isa/type.h"

namespace tess::jit::tile {

using LayoutId = int32_t;
inline constexpr LayoutId kNoLayout = -1;                 // none, or any will do
inline constexpr LayoutId kInShared = -2;                 // the operand is read from a shared tile
inline constexpr int64_t kImpossible = int64_t{1} << 40;  // a cost that nothing real reaches

std::vector<int64_t> dims_of(const Shape& s);

// Bringing a register tile from one layout into another, in issue slots of one warp.
struct MoveCost {
  Move where = Move::none;
  int64_t cost = 0;
};

class Pool {
 public:
  LayoutId add(const Layout& l);
  LayoutId add(const Result<Layout>& l) { return l ? add(*l) : kNoLayout; }
  const Layout& at(LayoutId id) const { return layouts_[static_cast<size_t>(id)]; }
  size_t size() const { return layouts_.size(); }

  // kNoLayout where the operation has no answer.
  LayoutId permuted(LayoutId id, const std::vector<int>& order);
  LayoutId reshaped(LayoutId id, const Shape& to);
  // What an operand of shape `to`, broadcast into a tile in layout `id`, must be in.
  LayoutId narrowed(LayoutId id, const Shape& to);
  // The tile's dimensions in `dims` (a mask) reduced to extent 1.
  LayoutId collapsed(LayoutId id, uint32_t dims);
  // A tile of extent 1 along the dimensions where `to` is larger, with those in each thread's
  // registers: inner (neighbours change fastest) or outer.
  LayoutId widened(LayoutId id, const Shape& to, bool inner);
  // z * local(part), and the z of such a product.
  LayoutId times_local(LayoutId id, const std::vector<int64_t>& part);
  LayoutId over_local(LayoutId id, const std::vector<int64_t>& part);
  LayoutId local_times(const std::vector<int64_t>& part, LayoutId id);
  LayoutId local_under(const std::vector<int64_t>& part, LayoutId id);

  // Registers that run along a dimension in the order 0, d, 2d, ... 1, d+1, ...: what is d apart becomes
  // neighbours. And back.
  LayoutId paired(LayoutId id, int64_t distance);
  LayoutId unpaired(LayoutId id, int64_t distance);

  // Exact for layouts that are linear over F2. Others are never enumerated here: unless lanes and
  // warps hold alike, the trip is taken to lead through shared memory. That is priced by the widths
  // and matrix moves that the better order of the shared tile allows.
  MoveCost move(LayoutId from, LayoutId to, int bits);
  // Wavefronts of writing (reading) a tile in shared memory where nothing conflicts, `side_by_side`
  // saying what is contiguous.
  int64_t shared_access(LayoutId reg, const RegisterRun& side_by_side, int bits);
  int64_t best_shared_access(LayoutId reg, int bits);
  bool is_linear(LayoutId id);     // over F2: what ldmatrix asks about is decided by rule
  int64_t registers(LayoutId id);  // that hold different elements, per thread

 private:
  template <class Make>
  LayoutId memo(int op, LayoutId id, std::vector<int64_t> args, Make make);
  LayoutId plain_memory(const std::vector<int64_t>& shape, const RegisterRun& side_by_side);

  std::deque<Layout> layouts_;
  std::unordered_map<std::string, LayoutId> by_form_;
  std::map<std::pair<std::pair<int, LayoutId>, std::vector<int64_t>>, LayoutId> done_;
  std::unordered_map<uint64_t, MoveCost> moves_;
  std::vector<int8_t> linear_;  // by id: -1 not asked yet
  std::map<std::tuple<LayoutId, int, int64_t, int64_t, int>, int64_t> accesses_;
  std::map<LayoutId, int64_t> registers_;
};

}  // namespace tess::jit::tile
