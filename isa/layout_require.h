// `require` lines and layout queries as expressions:
//   vec(#a,#s) == 2, banks(ldmatrix(#a,#s)) == 1, covers(#a), convert(#a,#b) <= lane
// Functions: vec(reg, mem [, type]), banks(reg, mem, type), banks(ldmatrix(reg, mem [, type])),
// banks(stmatrix(…)), covers(l), injective(l), divides(part, whole), convert(src, dst), size(l),
// cosize(mem), registers(reg), threads(reg), and == between two layouts. A clause is a comparison
// or a truth value, `not` before it negates; integers, constants, + - * /, and the move names none
// register lane shared cluster may be compared.
#pragma once
#include <string>
#include <string_view>

#include "isa/layout.h"

namespace tess {

// Success if every clause holds. Failure E0615 for the first clause that does not, its notes naming
// a coordinate where it fails; other codes for malformed text. Spans as in parse_layout_expr.
Status check_require(std::string_view text, const LayoutEnv& env, Span at = {0, 1, 1, 0});

}  // namespace tess
