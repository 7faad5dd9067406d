// Scanning layout texts: integers, trees of integers, places.
#include <fmt/format.h>

#include <cctype>
#include <charconv>

#include "isa/diag/layout.h"
#include "isa/layout_spell.h"

namespace tess {
namespace {
constexpr int kMaxDepth = 32;

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || (c & 0x80);
}
}  // namespace

void LayoutScanner::skip_space() {
  while (pos_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[pos_]))) ++pos_;
}

bool LayoutScanner::take(char c) {
  if (peek() != c || pos_ >= text_.size()) return false;
  ++pos_;
  return true;
}

bool LayoutScanner::take(std::string_view symbol) {
  skip_space();
  if (text_.substr(pos_, symbol.size()) != symbol) return false;
  size_t end = pos_ + symbol.size();
  if (is_word(symbol.back()) && end < text_.size() && is_word(text_[end])) return false;
  pos_ = end;
  return true;
}

Status LayoutScanner::expect(char c) {
  if (take(c)) return ok();
  char found = peek();
  if (found == '\0')
    return error(diag::layout_syntax, fmt::format("expected '{}' before the end of the layout", c));
  return error(diag::layout_syntax, fmt::format("expected '{}' here", c));
}

std::string_view LayoutScanner::word() {
  skip_space();
  size_t begin = pos_;
  while (pos_ < text_.size() && is_word(text_[pos_])) ++pos_;
  return text_.substr(begin, pos_ - begin);
}

Span LayoutScanner::place(size_t pos) const {
  Span s = at_;
  if (s.line == 0) return s;
  for (size_t i = 0; i < pos && i < text_.size(); ++i) {
    if (text_[i] == '\n') ++s.line, s.col = 1;
    else if ((text_[i] & 0xc0) != 0x80) ++s.col;
  }
  s.len = 1;
  return s;
}

Diagnostic LayoutScanner::error_at(size_t pos, Diag code, std::string message,
                                   std::string hint) const {
  return make_diag(code, std::move(message), place(pos), std::move(hint));
}

Result<int64_t> LayoutScanner::factor(int depth) {
  if (depth > kMaxDepth) return error(diag::layout_syntax, "brackets are nested more than 32 deep");
  bool negative = false;
  while (take('-')) negative = !negative;
  int64_t value = 0;
  if (take('(')) {
    TESS_TRY(value, sum(depth + 1));
    TESS_CHECK(expect(')'));
  } else {
    skip_space();
    size_t begin = pos_;
    std::string_view w = word();
    if (w.empty()) return error(diag::layout_syntax, "expected an integer here");
    if (std::isdigit(static_cast<unsigned char>(w[0]))) {
      auto [end, failed] = std::from_chars(w.data(), w.data() + w.size(), value);
      if (failed != std::errc{} || end != w.data() + w.size() ||
          value >= int64_t{1} << kMaxLayoutBits)
        return error_at(begin, diag::layout_syntax,
                        fmt::format("'{}' is no integer below 2^62", w));
    } else {
      auto constant = env_.constant ? env_.constant(w) : std::nullopt;
      if (!constant)
        return error_at(begin, diag::layout_name_unknown,
                        fmt::format("'{}' is no integer constant", w));
      value = *constant;
    }
  }
  return negative ? -value : value;
}

Result<int64_t> LayoutScanner::term(int depth) {
  TESS_TRY(int64_t value, factor(depth));
  while (true) {
    if (take('*')) {
      TESS_TRY(int64_t right, factor(depth));
      if (__builtin_mul_overflow(value, right, &value))
        return error(diag::layout_limit, "an integer leaves 64 bits");
    } else if (take('/')) {
      TESS_TRY(int64_t right, factor(depth));
      if (right == 0 || right == -1)
        return error(diag::layout_syntax, "division by zero or minus one");
      value /= right;
    } else {
      return value;
    }
  }
}

Result<int64_t> LayoutScanner::sum(int depth) {
  TESS_TRY(int64_t value, term(depth));
  while (true) {
    bool plus = take('+');
    if (!plus) {
      skip_space();
      if (text_.substr(pos_, 2) == "->" || !take('-')) return value;
    }
    TESS_TRY(int64_t right, term(depth));
    if (plus ? __builtin_add_overflow(value, right, &value)
             : __builtin_sub_overflow(value, right, &value))
      return error(diag::layout_limit, "an integer leaves 64 bits");
  }
}

Result<int64_t> LayoutScanner::integer() { return sum(0); }

Result<IntTree> LayoutScanner::tree(int depth) {
  if (depth > kMaxDepth) return error(diag::layout_syntax, "brackets are nested more than 32 deep");
  IntTree t;
  if (peek() != '(') {
    TESS_TRY(t.value, sum(depth));
    return t;
  }
  size_t begin = pos_;
  take('(');
  t.leaf = false;
  if (take(')')) return t;
  do {
    TESS_TRY(IntTree kid, tree(depth + 1));
    t.kids.push_back(std::move(kid));
    if (t.kids.size() > kMaxLayoutDigits)
      return error(diag::layout_limit, "a tuple has more than 256 entries");
  } while (take(','));
  TESS_CHECK(expect(')'));
  char next = peek();
  bool goes_on =
      next == '+' || next == '*' || next == '/' || (next == '-' && text_.substr(pos_, 2) != "->");
  if (depth > 0 && goes_on && t.kids.size() == 1) {  // (BM+8)*2 is arithmetic, not a tuple
    reset(begin);
    IntTree number;
    TESS_TRY(number.value, sum(depth));
    return number;
  }
  return t;
}

Result<IntTree> LayoutScanner::tree() { return tree(0); }

Result<std::vector<int64_t>> LayoutScanner::integers(char close) {
  std::vector<int64_t> values;
  if (take(close)) return values;
  do {
    TESS_TRY(int64_t v, integer());
    values.push_back(v);
    if (values.size() > kMaxLayoutDigits)
      return error(diag::layout_limit, "a list has more than 256 entries");
  } while (take(','));
  TESS_CHECK(expect(close));
  return values;
}

std::string print_tree(const IntTree& tree) {
  if (tree.leaf) return fmt::format("{}", tree.value);
  std::string text = "(";
  for (size_t i = 0; i < tree.kids.size(); ++i) text += (i ? "," : "") + print_tree(tree.kids[i]);
  return text + ")";
}

}  // namespace tess
