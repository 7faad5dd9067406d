// What a form must compute, from wide integers and isa/numerics: no code in common with the
// simulator.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptxsim/form_text.h"

namespace tess::ptxsim {

struct Expected {
  bool known = false, near = false;
  uint64_t value = 0, mask = ~0ull;
  uint32_t flags = 0, flags_mask = 0;  // bit 0 %p1, bit 1 %p2
  double real = 0, tolerance = 0;      // near: relative
  int bits = 32;
};
bool has_oracle(std::string_view builder);
Expected oracle(const std::string& opcode, const Inputs& in);
bool near_enough(const Expected& e, uint64_t got);
std::vector<Inputs> make_inputs(uint64_t seed, const std::string& opcode);

}  // namespace tess::ptxsim
