// Tokens of .vmasm: flat, 20 bytes each, in source order. Plain data.
#pragma once
#include <cstdint>

namespace tess::vmasm {

enum class TokenKind : uint8_t {
  end,     // one, last; zero length
  word,    // kernel, block.x, f16, nt: a name that may hold dots
  value,   // %acc, %0, %soft1.m
  layout,  // #act
  number,  // 12, 0x1f, 0b101, 1.5e-3, 0x1.8p+3
  string,  // "std/norm.vmasm", on one line
  semicolon,
  comma,
  colon,
  colon_plus,  // :+
  equals,      // =
  dots,        // ..
  arrow,       // ->
  at,          // @
  hash,        // # not followed by a name: #(expr)
  l_paren,
  r_paren,
  l_bracket,
  r_bracket,
  l_brace,
  r_brace,
  plus,
  minus,
  star,
  slash,
  shl,
  shr,
  amp,
  pipe,
  caret,
  and_and,
  or_or,
  not_,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  bad,  // already reported by the lexer
};

struct Token {
  uint32_t offset = 0, len = 0;  // bytes
  uint32_t line = 0, col = 0;    // from 1; col in code points
  TokenKind kind = TokenKind::end;
  bool newline_before = false;  // first of its line (a statement may begin here)
  bool space_before = false;    // blank, comment or newline before it
};
using TokenId = uint32_t;
inline constexpr TokenId kNoToken = 0xffffffff;

// The tokens [first, last] of a node; an empty one has first = kNoToken.
struct TokenRange {
  TokenId first = kNoToken, last = kNoToken;
  bool empty() const { return first == kNoToken; }
};

struct Comment {
  uint32_t offset = 0, len = 0, line = 0;  // text with its marks, without the line's end
  TokenId next = 0;                        // the token that follows
  bool own_line = false;                   // nothing but comments before it on its line
};

}  // namespace tess::vmasm
