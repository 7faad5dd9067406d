// Text to tokens, in one pass over the bytes. Pure and thread-safe.
#pragma once
#include <string_view>
#include <vector>

#include "frontends/vmasm/token.h"
#include "isa/diag.h"

namespace tess::vmasm {

struct Lexed {
  std::vector<Token> tokens;  // ends with TokenKind::end
  std::vector<Comment> comments;
  bool cut = false;  // the text ends inside a comment
};

// Errors go to `out`; what could not be read becomes one `bad` token. After limits::max_errors
// errors the rest of the text is left out. A text above limits::max_source_bytes gives an error and
// no tokens.
Lexed lex(std::string_view text, uint32_t file, Diagnostics& out);

// "`,`", "`%x`", "the end of the file": how messages name a token.
std::string describe(const Token& t, std::string_view source);
// "`)`": by kind.
std::string_view kind_text(TokenKind kind);

}  // namespace tess::vmasm
