// Private to the verifier: the checks of one kernel, in the order in which they build on each
// other.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "isa/verify.h"

namespace tess {

// The module's layouts, in order; each may name those before it.
Result<std::deque<Layout>> parse_layouts(const Module& module);

class KernelVerifier {
 public:
  KernelVerifier(const Module& m, const std::deque<Layout>& layouts, const Kernel& k,
                 KernelInfo& info, Diagnostics& out)
      : m_(m), layouts_(layouts), k_(k), info_(info), out_(out), first_(out.size()) {}
  // True if no error was reported. `partial`: instructions are missing, so names may lack
  // assignments.
  bool run(bool partial = false);

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
  void check_layouts();     // verify_layouts.cpp
  void check_assignment();  // verify_assignment.cpp

  Span span_of(const Inst& inst) const;
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
  std::map<std::pair<int64_t, std::string>, Status> fits_;  // (layout, type): judged once
  std::vector<uint32_t> root_;  // by value: the parameter (or local) that a view comes from
};

}  // namespace tess
