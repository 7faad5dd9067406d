// Private to emit*.cpp: one kernel being written again in the layouts of a plan.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "jit/tile/plan.h"

namespace tess::jit::tile {

class Emitter {
 public:
  Emitter(const Module& m, const Kernel& k, const KernelInfo& info, const Webs& webs,
          Relations& relations, Pool& pool, const Plan& plan, const std::vector<LayoutId>& written)
      : m_(m),
        k_(k),
        info_(info),
        webs_(webs),
        relations_(relations),
        pool_(pool),
        plan_(plan),
        written_(written) {}

  Result<Inferred> run();

 private:
  struct Copy {
    uint32_t value;  // of the new kernel
    int depth;       // blocks open where it was made
  };

  void start();

  // --- values and layouts of the new kernel
  int64_t layout_index(LayoutId id);
  uint32_t new_value(std::string name, const Type& type);
  // A name in one layout; the second and later layouts of a name get names of their own.
  uint32_t value_in(uint32_t old, LayoutId layout);
  uint32_t of_web(uint32_t old, uint32_t web) {
    return value_in(old, web == Webs::kNone ? kNoLayout : plan_.webs[web].layout);
  }

  // --- emission
  void append(Op op, std::vector<Ref> results, std::vector<Ref> args, std::vector<Attr> attrs,
              const Loc& loc);
  uint32_t next_inst() const { return static_cast<uint32_t>(kernel_.code.size()); }

  Ref whole(uint32_t memory);

  // Copies in other layouts live as long as their source is not reassigned and their block is open.
  void scope(uint32_t pc);
  const Mode* mode_of(uint32_t pc) const;
  // Conversions of what a loop does not assign stand before it.
  Status hoist(uint32_t pc);
  void forget(uint32_t old) {
    std::erase_if(copies_, [&](const auto& c) { return c.first.first == old; });
  }
  uint32_t loop_depth() const { return loop_depths_.empty() ? 0 : loop_depths_.back(); }

  std::string spelled(LayoutId id) const;

  // A conversion is not for the compiler to slip in where both ends were written.
  Status between_written(uint32_t from, uint32_t to, uint32_t pc, const std::string& name,
                         const std::string& hint);

  void record(uint32_t inst, const std::string& value, LayoutId from, LayoutId to, int bits,
              bool staged, const Loc& loc);

  std::string name_of(uint32_t value) const {
    const std::string& n = kernel_.values[value].name;
    return n.empty() ? "a temporary" : "%" + n;
  }

  std::string old_name(uint32_t old) const {
    const std::string& n = k_.values[old].name;
    return n.empty() ? "a temporary" : "%" + n;
  }

  // Puts a tile into a new shared tile, for readers in these layouts.
  uint32_t put_in_shared(uint32_t value, LayoutId layout, const std::vector<SharedUse>& readers,
                         const Loc& loc);

  void fact(uint32_t inst, const Loc& loc, std::string_view verb, uint32_t memory, LayoutId reg,
            const Layout& mem, bool matrix);

  Result<uint32_t> converted(uint32_t old, uint32_t web, LayoutId to, const Relation& r,
                             const Mode& mode);

  Result<uint32_t> in_shared(uint32_t old, uint32_t web, LayoutId reader, const Relation& r);

  Ref index_constant(int64_t v);

  // Part `i` of `parts` equal ones of a tile along `dim`, in registers.
  uint32_t part_of(uint32_t value, LayoutId part, int dim, int64_t i, int64_t extent,
                   const Loc& loc);

  // A product by multiply and add whose operands are too large to stand in shared memory whole:
  // part by part along k, in order. False if they are not, or do not come apart.
  Result<bool> product_by_parts(uint32_t pc, const Relation& r, const Mode& mode);

  Status instruction(uint32_t pc);

  // A store of less than the whole tile says nothing of who writes what: the tile is broadcast
  // first.
  void make_whole(const Relation& r, const Mode& mode, const OpInfo& op, std::vector<Ref>& args);

  std::vector<Ref> rebuilt(const Inst& inst, const std::vector<Use>& uses,
                           const std::vector<uint32_t>& now);

  void access_fact(uint32_t at, const Relation& r, const Mode& mode, const Inst& inst,
                   const std::vector<Ref>& args);

  void finish();

  const Module& m_;
  const Kernel& k_;
  const KernelInfo& info_;
  const Webs& webs_;
  Relations& relations_;
  Pool& pool_;
  const Plan& plan_;
  const std::vector<LayoutId>& written_;
  Inferred out_;
  Kernel kernel_;
  std::vector<int> relation_of_;
  std::map<LayoutId, size_t> index_of_;
  std::map<std::pair<uint32_t, LayoutId>, uint32_t> value_of_;
  std::set<std::string> taken_;  // names of values
  std::map<std::pair<uint32_t, LayoutId>, Copy> copies_;
  std::map<uint32_t, LayoutId> smem_;    // by old value
  std::map<uint32_t, LayoutId> mem_of_;  // by new value
  std::map<uint32_t, uint32_t> new_pc_;
  std::vector<uint32_t> loop_depths_;
  int depth_ = 0;
};

}  // namespace tess::jit::tile
