#include "frontends/vmasm/ast.h"

#include <algorithm>

namespace tess::vmasm {
namespace {

uint32_t code_points(std::string_view s) {
  return static_cast<uint32_t>(std::ranges::count_if(
      s, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool is_name_like(TokenKind k) {
  return k == TokenKind::word || k == TokenKind::value || k == TokenKind::layout ||
         k == TokenKind::number || k == TokenKind::string;
}
bool is_opener(TokenKind k) {
  return k == TokenKind::l_paren || k == TokenKind::l_bracket || k == TokenKind::l_brace;
}
bool is_closer(TokenKind k) {
  return k == TokenKind::r_paren || k == TokenKind::r_bracket || k == TokenKind::r_brace;
}
int hex_value(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

}  // namespace

std::string Ast::string_value(TokenId t) const {
  std::string_view s = text(t);
  if (s.size() < 2) return {};
  s = s.substr(1, s.size() - 2);
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      out += s[i];
      continue;
    }
    char c = s[++i];
    if (c == 'n') out += '\n';
    else if (c == 't') out += '\t';
    else if (c == 'x') {
      out += static_cast<char>(hex_value(s[i + 1]) * 16 + hex_value(s[i + 2]));
      i += 2;
    } else out += c;
  }
  return out;
}

std::string_view Ast::source_of(TokenRange r) const {
  if (r.empty()) return {};
  uint32_t begin = tokens[r.first].offset;
  return std::string_view(source).substr(begin, tokens[r.last].offset + tokens[r.last].len - begin);
}

// Operators `*`, `o` and `->` have spaces, and so has what would otherwise run together; nothing
// else.
std::string Ast::layout_text(TokenRange r) const {
  std::string out;
  if (r.empty()) return out;
  auto spaced = [&](TokenId t) {
    return tokens[t].kind == TokenKind::star || tokens[t].kind == TokenKind::arrow ||
           (tokens[t].kind == TokenKind::word && text(t) == "o" && t > r.first && t < r.last);
  };
  for (TokenId t = r.first; t <= r.last; ++t) {
    if (t > r.first) {
      TokenKind before = tokens[t - 1].kind, now = tokens[t].kind;
      bool tight = is_opener(before) || is_closer(now) || before == TokenKind::comma ||
                   now == TokenKind::comma;
      bool symbols =
          !is_name_like(before) && !is_name_like(now) && !is_opener(now) && !is_closer(before);
      bool names = is_name_like(now) &&
                   (is_name_like(before) || is_closer(before) || before == TokenKind::gt);
      bool adjacent_groups = is_closer(before) && is_opener(now);
      if (!tight && (spaced(t) || spaced(t - 1) || symbols || names || adjacent_groups)) out += ' ';
    }
    out += text(t);
  }
  return out;
}

Span Ast::span(TokenId t) const {
  if (t == kNoToken) return {file, 0, 0, 0};
  const Token& k = tokens[t];
  return {file, k.line, k.col, code_points(text(t))};
}

Span Ast::span(TokenRange r) const {
  if (r.empty()) return {file, 0, 0, 0};
  const Token& first = tokens[r.first];
  TokenId last = r.last;
  while (last > r.first && tokens[last].line != first.line) --last;
  return {file, first.line, first.col, tokens[last].col - first.col + code_points(text(last))};
}

}  // namespace tess::vmasm
