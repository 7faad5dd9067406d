// Tokens of PTX text. Dotted words (".f32", ".shared::cta") are one token, the dot included.
#pragma once
#include <cstdint>
#include <string_view>

namespace tess::ptxsim {

enum class Tok : uint8_t { end, word, dotted, integer, f32, f64, string, punct, bad };

struct Token {
  Tok kind = Tok::end;
  char punct = 0;  // for punct: the character; "<<" and ">>" come as 'L' and 'R'
  std::string_view text;
  uint64_t bits = 0;  // integers (low 64 bits) and floats
  uint32_t line = 1, col = 1;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  Token next();
  // Skips the rest of the current line (after .loc and .file).
  void skip_line();
  uint32_t line() const { return line_; }

 private:
  void skip_blank();
  Token number(Token t);

  std::string_view text_;
  size_t at_ = 0, line_start_ = 0;
  uint32_t line_ = 1;
};

}  // namespace tess::ptxsim
