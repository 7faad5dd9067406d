// Private to the verifier: the checks of one kernel, in the order in which they build on each
// other.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "isa/regions.h"
#include "isa/verify.h"

namespace tess {

// The module's layouts, in order; each may name those before it.
Result<std::deque<Layout>> parse_layouts(const Module& module);

// A section of `parallel`: warps [begin, end) in strands of `by` warps; regs 0: not written.
struct Section {
  uint32_t pc = 0;
  int64_t begin = 0, end = 0, by = 0, regs = 0;
  int64_t strands() const { return (end - begin) / by; }
};

class KernelVerifier {
 public:
  KernelVerifier(const Module& m, const std::deque<Layout>& layouts, const Kernel& k,
                 KernelInfo& info, Diagnostics& out)
      : m_(m), layouts_(layouts), k_(k), info_(info), out_(out), first_(out.size()) {}
  // True if no error was reported. `refused`: what is missing.
  bool run(const Refused& refused = {});

 private:
  bool check_header();  // limits, names, types, constants, host expressions, parameters
  void check_params();
  bool check_host_expr(const HostExpr& e, uint32_t before, std::string_view what);
  static bool valid_constant(const Constant& c);
  bool check_references();  // indices into arrays
  bool check_nesting();     // blocks; fills info.match
  void find_roots();
  void check_types();  // infer, and compare
  void check_writes(uint32_t pc, const Inst& inst, const OpInfo& op);
  void check_layouts();                           // verify_layouts.cpp
  void check_assignment(const Refused& refused);  // verify_assignment.cpp

  // verify_strands.cpp
  bool check_strands();
  bool check_sections();
  void check_section_ranges();
  void check_strand_names();
  void check_warpgroups();
  Section section_at(uint32_t warps_pc) const;
  int64_t strand_warps(uint32_t pc) const;  // warps of the strand that runs the instruction
  int64_t strands_at(uint32_t pc) const {   // how many strands run it
    return info_.section[pc] == kNoSection ? 1 : section_at(info_.section[pc]).strands();
  }

  void check_asynchrony();
  void check_clusters(const Regions& regions);      // verify_async.cpp
  void check_tma();                                 // verify_async.cpp
  void check_bulk(const Regions& regions);          // verify_async.cpp
  void check_launch_order(const Regions& regions);  // verify_async.cpp
  void check_groups(const Regions& regions);        // verify_groups.cpp
  void check_group_counts();
  void check_barriers(const Regions& regions);  // verify_barriers.cpp
  // verify_races.cpp
  void check_races(const Regions& regions);
  void check_strand_races(uint32_t parallel, const Regions& regions,
                          const std::map<uint32_t, uint32_t>& mapped,
                          const std::vector<uint32_t>& home);
  void check_missing_barriers(const Regions& regions);

  Span span_of(const Inst& inst) const;
  std::string shown(uint32_t value) const;  // "`%x`", in messages
  Span kernel_span() const { return {k_.loc.file, k_.loc.line, k_.loc.col, 1}; }
  void report(Diag code, std::string message, Span span, std::string hint = {});
  void report_at(uint32_t pc, Diag code, std::string message, std::string hint = {});

  const Module& m_;
  const std::deque<Layout>& layouts_;
  const Kernel& k_;
  KernelInfo& info_;
  Diagnostics& out_;
  size_t first_;
  bool failed_ = false;
  std::map<std::pair<int64_t, std::string>, Status>
      fits_;                    // (layout, threads and type): judged once
  std::vector<uint32_t> root_;  // by value: the parameter (or local) that a view comes from
};

}  // namespace tess
