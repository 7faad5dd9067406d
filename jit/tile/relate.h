// What each instruction asks of the layouts of the tiles it reads and writes. A mode is one way of
// executing it: a layout for every register tile it touches, and the cost once all are in place.
// The modes of an instruction follow from one layout of one of its tiles, so that candidates spread
// through the program along its data flow.
#pragma once
#include <vector>

#include "jit/tile/facts.h"
#include "jit/tile/infer.h"
#include "jit/tile/pool.h"
#include "jit/tile/shapes.h"
#include "jit/tile/webs.h"

namespace tess::jit::tile {

// One register tile that an instruction reads (a use) or writes (a result).
struct Slot {
  uint32_t web = Webs::kNone;
  Type type;
  bool result = false;
  uint32_t number = 0;  // which use (in the order of uses_of), or which result
  UsePlace place;       // of a use
  // How often a conversion for it runs: outside of the loops that do not assign it.
  int64_t weight = 1;
  bool in_flight = false;  // the accumulator of an asynchronous product: not to be converted there
};

struct Mode {
  std::vector<LayoutId> layout;  // by slot; kNoLayout: any
  int64_t cost = 0;              // of the instruction itself
  // A memory access in this layout (kNoLayout: none), for shared tiles and reports.
  LayoutId access = kNoLayout;
  LayoutId operand[2] = {kNoLayout,
                         kNoLayout};  // how mma reads a and b if they are in shared memory
  uint32_t origin = 0;                // whose candidate it was made from
  bool operator==(const Mode& o) const { return layout == o.layout && access == o.access; }
};

// The anchors: layouts that an instruction likes, before anything is known of its neighbours.
struct Anchor {
  uint32_t slot = 0;
  LayoutId layout = kNoLayout;
  const char* rule = "";
};

// An instruction with its tiles. `form` and `grids` only for mma on tensor cores.
struct Relation {
  uint32_t pc = 0;
  std::vector<Slot> slots;
  bool in_strand = false;        // of `parallel`: no shared tile can be declared there
  int warps = 0;                 // of its strand
  uint32_t depth = 0;            // of loops around it
  int64_t weight = 1;            // how often it runs, roughly
  LayoutId written = kNoLayout;  // the layout in the program
  Shape full;                    // what the operands of an element-wise instruction broadcast to
  Facts::Contiguity lie;         // of an access of global memory
  std::vector<Mode> fragments;   // mma and wgmma on tensor cores
};

// How far apart in registers two elements are best that become one pair of halves: fields of
// `from` 16 bits apart are widened where they are. 1 where that gains nothing.
int64_t pair_distance(DType from, DType to);

int64_t constant_of(const Kernel& k, Ref r);  // of an integer constant
// The dimension an instruction works on: its `dim`, or `otherwise` (negative: from the last).
int dim_of(const Kernel& k, const Inst& inst, int rank, int otherwise);

class Relations {
 public:
  Relations(const Kernel& k, const Facts& facts, const Webs& webs, Pool& pool, const Target& target)
      : k_(k), facts_(facts), webs_(webs), pool_(pool), target_(target) {}

  // `written`: the layouts of the module, interned.
  std::vector<Relation> all(const KernelInfo& info, const std::vector<LayoutId>& written);
  std::vector<Anchor> anchors(const Relation& r);
  // What a slot is to a product on tensor cores, whose layouts come from nowhere else; else null.
  const char* role(const Relation& r, size_t slot) const;
  // The modes in which slot `slot` is in this layout.
  void modes(const Relation& r, uint32_t slot, LayoutId layout, std::vector<Mode>& out);

  // Modes of an instruction whose tiles are all smaller than what they broadcast to.
  std::vector<Mode> whole_modes(const Relation& r);

  // A tile of an access as it lies in global memory, the rows far apart.
  LayoutId global_memory(const Shape& tile, int fastest);
  struct GlobalAccess {
    int64_t elems = 1, instructions = 0, cost = 0;
  };
  GlobalAccess global_access(LayoutId reg, const Shape& tile, const Facts::Contiguity& lie,
                             int bits);
  // The register layout in which a product by multiply and add reads an operand from shared memory.
  LayoutId operand_reader(LayoutId accumulator, const Shape& operand, bool is_b);

 private:
  struct Request {
    const Relation& r;
    const Inst& inst;
    const OpInfo& op;
    uint32_t slot;
    LayoutId layout;
    std::vector<Mode>& out;
  };
  Mode blank(const Request& q) const;
  void elementwise(const Request& q);
  void casting(const Request& q);
  void elementwise_over(const Request& q, LayoutId full);
  void memory_cost(const Request& q, Mode& mode);
  void reduction(const Request& q);
  void dot(const Request& q);
  void along(const Request& q);
  void top(const Request& q);
  void reshaping(const Request& q);
  void transposing(const Request& q);
  void broadcasting(const Request& q);
  void joining(const Request& q);
  void cutting(const Request& q);
  void repeating(const Request& q);
  void packing(const Request& q);
  void looking_up(const Request& q);
  void product(const Request& q);
  void unconstrained(const Request& q);
  void multiply_add_anchors(const Relation& r, std::vector<Anchor>& found);
  int64_t work(LayoutId l) { return pool_.registers(l); }
  int64_t across(LayoutId operand, int dim, int bits);
  const Access* access_of(const Inst& inst) const;
  int result_slot(const Relation& r) const;

  const Kernel& k_;
  const Facts& facts_;
  const Webs& webs_;
  Pool& pool_;
  Target target_;
};

}  // namespace tess::jit::tile
