// What is decided of a kernel before its instructions become steps: lifetimes, places in the
// register file and in shared memory, what may be undefined, strands, and the order of blocks.
#pragma once
#include "vm/interp/program.h"

namespace tess::interp {

inline constexpr uint64_t kCell = 8, kAlign = 64;
inline uint64_t aligned(uint64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// Calls visit(value) for every value that the instruction mentions.
template <class Visit>
void for_each_value(const Kernel& k, const Inst& inst, Visit visit) {
  auto ref = [&](Ref r) {
    if (r.is_value()) visit(r.index());
  };
  for (uint32_t i = 0; i < uint32_t{inst.n_results} + inst.n_args; ++i) {
    Ref r = k.refs[inst.first_ref + i];
    ref(r);
    if (!r.is_access()) continue;
    const Access& a = k.accesses[r.index()];
    visit(a.base);
    ref(a.item);
    for (const Index& index : k.indices_of(a)) {
      ref(index.start);
      ref(index.stop);
    }
  }
}

struct Plan {
  Program& p;
  const Kernel& k;
  const KernelInfo& info;
  const BoundLaunch& launch;
  const Options& options;

  struct Interval {
    uint32_t first = ~0u, last = 0;
  };
  std::vector<Interval> live;
  std::vector<uint32_t> mentions;
  std::vector<uint32_t> run_first, run_last;  // by instruction: the run of fusable ones around it
  std::vector<uint32_t> enclosing;            // by loop: the loop around it
  std::vector<uint32_t> shares;               // by value: whose place it takes, or itself
  std::vector<bool> poisons;                  // by value: `undef` may reach it
  std::vector<uint32_t> root;                 // by value: the tensor that it is a view of

  bool fusing() const { return !options.naive && !options.trace_every_value; }
  void make();

  // plan.cpp
  void find_runs();
  void find_lifetimes();
  void find_poison();
  void find_shared_places();
  void place_values();
  void place_poison(uint64_t& at);
  void place_wgmma(uint64_t& at);
  void place_shared();

  // plan_order.cpp
  void find_order();
  void find_strands();
  uint32_t strands_of(uint32_t parallel) const;
  uint32_t root_of(uint32_t v);
};

}  // namespace tess::interp
