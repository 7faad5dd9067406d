// verify(): Module -> VerifiedModule. Only a VerifiedModule can be run or compiled, and only
// verify() makes one. Never crashes, never recurses on input depth; time linear in the module.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "isa/diag.h"
#include "isa/module.h"
#include "isa/view.h"

namespace tess {

// What the verifier learnt of one kernel.
inline constexpr uint32_t kNoSection = 0xffffffff;
struct KernelInfo {
  // Per instruction: for/while/if/parallel/warps -> its end or else; else -> its end; end -> what
  // opened it (an else's end -> the `if`); break/continue/test -> the `for` or `while` they belong
  // to; else its own index.
  std::vector<uint32_t> match;
  std::vector<uint32_t> section;  // per instruction: the `warps` around it, or kNoSection
  uint32_t max_nesting = 0;
  std::map<uint32_t, std::shared_ptr<const ViewMap>> views;  // by instruction: what a `view` reads
};

class VerifiedModule {
 public:
  const Module& module() const { return *module_; }
  const Kernel& kernel(size_t i) const { return module_->kernels[i]; }
  const KernelInfo& info(size_t i) const { return info_[i]; }
  // The kernel of that name (and, if several specialisations, the first), or -1.
  int find(std::string_view name) const;

 private:
  VerifiedModule() = default;
  friend std::optional<VerifiedModule> verify(Module module, Diagnostics& out);
  std::shared_ptr<const Module> module_;
  std::vector<KernelInfo> info_;
};

// Appends every problem found (errors and warnings); a value only if there is no error.
std::optional<VerifiedModule> verify(Module module, Diagnostics& out);

// What the front end could not lower of one kernel.
struct Refused {
  bool any = false;            // an instruction, or more
  bool unknown_names = false;  // it is not known which names these would have assigned
  std::set<std::string, std::less<>> names;  // what they would have assigned, without %
};
// The checks that still make sense when the front end had to refuse something: all of them for the
// kernels that are complete. `refused`: by kernel.
void check_incomplete(const Module& module, const std::vector<Refused>& refused, Diagnostics& out);

}  // namespace tess
