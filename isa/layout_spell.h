// The spellings of a layout and the conversions between them. Each conversion says why it cannot.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "isa/layout.h"
#include "isa/layout_ops.h"

namespace tess {

// Memory: shape:stride, with Sw<b,m,s> outside if swizzled: "Sw<3,3,3> o (128,64):(64,1)".
Result<std::string> spell_strided(const Layout& memory);
// Registers: a product of primitives: "column_local(2,2) * spatial(8,4) * local(1,2)".
Result<std::string> spell_product(const Layout& reg);
// Bases over F2: "{reg:[(0,1),(8,0)] lane:[(0,2)] -> 16,8}", with xor:(..) for a constant.
Result<std::string> spell_bases(const Layout& l);
// Sums of digits, size:vector each: "{reg:[3:(0,1)] lane:[5:(1,0)] at:(2,0) -> 7,3}".
Result<std::string> spell_digits(const Layout& l);
// Registers as CuTe writes them, ((lane, warp), register) to row + rows*col (or col + cols*row).
Result<std::string> spell_thread_value(const Layout& reg, bool rows_minor);

// The swizzle and the sum that make a layout with a bit map, if there is one: l = sw o rest.
struct SwizzledSum {
  Swizzle sw;
  Layout rest;
};
std::optional<SwizzledSum> factor_swizzle(const Layout& memory);

// Nested integers: "7", "(4,(2,3))". A scanner for all texts of this notation; recursion is
// bounded.
struct IntTree {
  bool leaf = true;
  int64_t value = 0;
  std::vector<IntTree> kids;
};
class LayoutScanner {
 public:
  LayoutScanner(std::string_view text, const LayoutEnv& env, Span at)
      : text_(text), env_(env), at_(at) {}
  void skip_space();
  bool at_end() { return skip_space(), pos_ >= text_.size(); }
  char peek() { return skip_space(), pos_ < text_.size() ? text_[pos_] : '\0'; }
  bool take(char c);
  bool take(std::string_view symbol);
  Status expect(char c);
  std::string_view word();    // letters, digits, '_' and '.' (a name or atom); empty if none
  Result<int64_t> integer();  // an expression of + - * / and constants
  Result<IntTree> tree();
  Result<std::vector<int64_t>> integers(char close);  // up to and with the closing bracket
  size_t pos() const { return pos_; }
  void reset(size_t pos) { pos_ = pos; }
  std::string_view text() const { return text_; }
  const LayoutEnv& env() const { return env_; }
  Diagnostic error(Diag code, std::string message, std::string hint = {}) {
    return error_at(pos_, code, std::move(message), std::move(hint));
  }
  Diagnostic error_at(size_t pos, Diag code, std::string message, std::string hint = {}) const;
  Span place(size_t pos) const;

 private:
  Result<int64_t> sum(int depth);
  Result<int64_t> term(int depth);
  Result<int64_t> factor(int depth);
  Result<IntTree> tree(int depth);
  std::string_view text_;
  const LayoutEnv& env_;
  Span at_;
  size_t pos_ = 0;
};

// The layout of a shape and a congruent stride tree; the top-level modes are the dimensions, nested
// ones their digits, fastest first.
Result<Layout> layout_of_trees(const IntTree& shape, const IntTree& stride);
std::string print_tree(const IntTree& tree);

}  // namespace tess
