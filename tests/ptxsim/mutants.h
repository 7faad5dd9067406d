// Faults planted in PTX text by rules, at every site where a rule applies.
#pragma once
#include <string>
#include <vector>

namespace tess::ptxsim {

struct Mutant {
  std::string rule;   // the class of fault
  uint32_t line = 0;  // of the PTX text
  std::string before, after;
  std::string text;  // the whole mutated module
  // Stable name for the list of survivors: rule and the changed instruction with its ordinal.
  std::string name;
};
std::vector<Mutant> make_mutants(const std::string& ptx);

}  // namespace tess::ptxsim
