// What one step of a reduction (atom, red, reducing copies) makes of two elements, from wide host
// integers and isa/numerics.
#pragma once
#include <cstdint>
#include <string>

namespace tess::ptxsim {

// `c` is the new value of cas, whose compare value is `b`. Values fill the type's bits.
uint64_t reduced(const std::string& op, const std::string& type, uint64_t a, uint64_t b,
                 uint64_t c = 0);
// A value for which no sum overflows or rounds.
uint64_t small_value(const std::string& type, uint64_t random);

}  // namespace tess::ptxsim
