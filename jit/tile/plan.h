// The choice: one layout for every web and one mode for every instruction, of least total cost.
// Each instruction's cost is that of its mode plus the conversions between the mode's layouts and
// the webs', times how often it runs.
#pragma once
#include <vector>

#include "isa/result.h"
#include "jit/tile/relate.h"

namespace tess::jit::tile {

struct Origin {
  const char* rule = "";
  uint32_t pc = 0;
  bool written = false;
};
struct Candidate {
  LayoutId layout = kNoLayout;
  uint32_t origin = 0;
};
struct WebPlan {
  std::vector<Candidate> candidates;
  LayoutId layout = kNoLayout;
  uint32_t origin = 0;
  LayoutId pinned = kNoLayout;  // the written layout
  LayoutId second = kNoLayout;  // the best other candidate, and what it would cost more
  int64_t second_cost = 0;
};
struct Plan {
  std::vector<Origin> origins;
  std::vector<WebPlan> webs;
  std::vector<Relation> relations;  // by pc
  std::vector<std::vector<Mode>> modes;
  std::vector<uint32_t> chosen;  // by relation: its mode
  int64_t cost = 0;              // issue slots of one warp
};

// Two different layouts written for one web: E0620.
Result<Plan> make_plan(const Kernel& k, const Webs& webs, Relations& relations, Pool& pool,
                       std::vector<Relation> relation_list, const std::vector<LayoutId>& written);

}  // namespace tess::jit::tile
