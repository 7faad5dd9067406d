// Constants, and text of the user's made harmless, as CUDA C++.
#pragma once
#include <string>
#include <string_view>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {

// "5u", "0.5f", "0x1.8p+30f", "__uint_as_float(0x7fc00000u)": exactly the constant's bits.
std::string constant_text(const Operand& o);
// Text of a `#line` file or of a comment: nothing in it can end the line or the literal.
std::string harmless(std::string_view text);

}  // namespace tess::jit
