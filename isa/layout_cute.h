// The shape:stride algebra on nested modes, as CuTe defines its operations, but exact: a
// composition is refused where R(c) = A(B(c)) has no such layout. A one-dimensional coordinate is
// split first mode fastest and the last mode is unbounded. The layouts of programs are
// tess::Layout; this notation serves the calculator and the conformance cases.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isa/layout_ops.h"
#include "isa/layout_spell.h"

namespace tess::cute {

struct Mode {
  int64_t size = 1, stride = 0;
  bool operator==(const Mode&) const = default;
};
using Modes = std::vector<Mode>;  // fastest first

// Top-level modes, each a list of leaves. `tuple` is false for a bare integer shape such as 6:2.
struct Cute {
  std::vector<Modes> top;
  bool tuple = true;
  IntTree shape, stride;  // as written, for nested coordinates
  std::optional<Swizzle> sw;
};

// "(2,4):(12,1)", "(2,4)" (compact, first mode fastest), "Sw<b,m,s> o L".
Result<Cute> parse(LayoutScanner& scan);
Result<Cute> parse(std::string_view text);
std::string print(const Cute& l);
std::string print(const Swizzle& s);

Modes flat(const Cute& l);
int64_t size(const Modes& m);
int64_t size(const Cute& l);
int64_t at(const Modes& m, int64_t c);
Result<int64_t> at(const Cute& l, const IntTree& c);
int64_t cosize(const Cute& l);
// Same function of the one-dimensional coordinate; top-level sizes too if `by_mode`.
Result<bool> same(const Cute& a, const Cute& b, bool by_mode);

Cute of(const Modes& leaves);  // each leaf a top-level mode; one leaf is a bare layout
Modes coalesce(const Modes& m);
Result<Modes> complement(const Modes& m, int64_t extent);
Result<Cute> compose(const Modes& a, const Cute& b);
Result<Cute> compose_by_mode(const Cute& a, const std::vector<Cute>& tiler);
Result<Cute> divide(const Cute& a, const Cute& b);
Result<Cute> zipped_divide(const Cute& a, const std::vector<Cute>& tiler);
Result<Cute> product(const Cute& a, const Cute& b);
Result<Cute> zipped_product(const Cute& a, const Cute& b, bool raked);
Modes right_inverse(const Modes& m);
Result<Modes> left_inverse(const Modes& m);
Modes null_space(const Modes& m);
Result<int64_t> max_common_vector(const Cute& a, const Cute& b);

}  // namespace tess::cute
