#include "jit/ptxsim/ptx_lexer.h"

#include <charconv>
#include <cstring>

namespace tess::ptxsim {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%';
}
bool is_word(char c) { return is_word_start(c) || is_digit(c); }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

void Lexer::skip_blank() {
  while (at_ < text_.size()) {
    char c = text_[at_];
    if (c == '\n') {
      ++at_, ++line_, line_start_ = at_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
      ++at_;
    } else if (c == '/' && at_ + 1 < text_.size() && text_[at_ + 1] == '/') {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else if (c == '/' && at_ + 1 < text_.size() && text_[at_ + 1] == '*') {
      at_ += 2;
      while (at_ < text_.size()) {
        if (text_[at_] == '*' && at_ + 1 < text_.size() && text_[at_ + 1] == '/') {
          at_ += 2;
          break;
        }
        if (text_[at_] == '\n') ++line_, line_start_ = at_ + 1;
        ++at_;
      }
    } else {
      return;
    }
  }
}

void Lexer::skip_line() {
  while (at_ < text_.size() && text_[at_] != '\n') ++at_;
}

Token Lexer::number(Token t) {
  size_t start = at_;
  auto peek = [&](size_t n) { return at_ + n < text_.size() ? text_[at_ + n] : '\0'; };
  char second = peek(1) | 0x20;
  auto digits = [&](int shift, int limit) {
    uint64_t bits = 0;
    size_t count = 0;
    for (int v; at_ < text_.size() && (v = hex_value(text_[at_])) >= 0 && v < limit; ++at_, ++count)
      bits = (bits << shift) | uint64_t(v);
    t.bits = bits;
    return count;
  };
  if (text_[at_] == '0' && (second == 'f' || second == 'd') && hex_value(peek(2)) >= 0) {
    at_ += 2;
    size_t want = second == 'f' ? 8 : 16;
    t.kind = second == 'f' ? Tok::f32 : Tok::f64;
    if (digits(4, 16) != want) t.kind = Tok::bad;
  } else if (text_[at_] == '0' && second == 'x') {
    at_ += 2;
    t.kind = digits(4, 16) ? Tok::integer : Tok::bad;
  } else if (text_[at_] == '0' && second == 'b') {
    at_ += 2;
    t.kind = digits(1, 2) ? Tok::integer : Tok::bad;
  } else {
    size_t end = at_;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    bool real = end < text_.size() &&
                ((text_[end] == '.' && end + 1 < text_.size() && is_digit(text_[end + 1])) ||
                 ((text_[end] | 0x20) == 'e' && end + 1 < text_.size() &&
                  (is_digit(text_[end + 1]) || text_[end + 1] == '-' || text_[end + 1] == '+')));
    if (real) {
      double value = 0;
      auto [p, ec] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      t.kind = ec == std::errc() || ec == std::errc::result_out_of_range ? Tok::f64 : Tok::bad;
      std::memcpy(&t.bits, &value, 8);
      at_ = size_t(p - text_.data());
    } else if (text_[at_] == '0' && end > at_ + 1) {
      t.kind = Tok::integer;
      digits(3, 8);
      if (at_ < end) t.kind = Tok::bad, at_ = end;
    } else {
      uint64_t bits = 0;
      for (; at_ < end; ++at_) bits = bits * 10 + uint64_t(text_[at_] - '0');
      t.kind = Tok::integer;
      t.bits = bits;
    }
  }
  if (t.kind == Tok::integer && at_ < text_.size() && text_[at_] == 'U') ++at_;
  t.text = text_.substr(start, at_ - start);
  return t;
}

Token Lexer::next() {
  skip_blank();
  Token t;
  t.line = line_;
  t.col = uint32_t(at_ - line_start_ + 1);
  if (at_ >= text_.size()) return t;
  char c = text_[at_];
  if (is_digit(c)) return number(t);
  size_t start = at_;
  if (is_word_start(c)) {
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    t.kind = Tok::word;
  } else if (c == '.' && at_ + 1 < text_.size() && is_word(text_[at_ + 1])) {
    ++at_;
    while (at_ < text_.size() &&
           (is_word(text_[at_]) || (text_[at_] == ':' && at_ + 2 < text_.size() &&
                                    text_[at_ + 1] == ':' && is_word(text_[at_ + 2]))))
      at_ += text_[at_] == ':' ? 2 : 1;
    t.kind = Tok::dotted;
  } else if (c == '"') {
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n')
      at_ += text_[at_] == '\\' ? 2 : 1;
    t.kind = at_ < text_.size() && text_[at_] == '"' ? Tok::string : Tok::bad;
    if (at_ > text_.size()) at_ = text_.size();
    t.text = text_.substr(start + 1, at_ - start - 1);
    if (at_ < text_.size() && text_[at_] == '"') ++at_;
    return t;
  } else {
    ++at_;
    t.kind = Tok::punct;
    t.punct = c;
    if ((c == '<' || c == '>') && at_ < text_.size() && text_[at_] == c) {
      ++at_;
      t.punct = c == '<' ? 'L' : 'R';
    }
    if (uint8_t(c) < 0x20 || uint8_t(c) >= 0x7f) t.kind = Tok::bad;
  }
  t.text = text_.substr(start, at_ - start);
  return t;
}

}  // namespace tess::ptxsim
