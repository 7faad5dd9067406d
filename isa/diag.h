// Diagnostics: codes, places, messages. Every error a user can meet has a code in isa/diag/*.def,
// one file per area so that a new code rebuilds only its area. Plain data; thread-safe to read.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tess {

enum class Diag : uint16_t {};  // the number in the code: Diag{101} is E0101

enum class Severity : uint8_t { error, warning, trap, limit };

struct DiagInfo {
  Diag code;
  Severity severity;
  std::string_view name, summary, explanation;
};

// All codes in ascending order; lookup by number or by id ("E0101", any letter case). Null if none.
std::span<const DiagInfo> all_diags();
const DiagInfo* find_diag(Diag code);
const DiagInfo* find_diag(std::string_view id);
// "E0101"; the letter is E error, W warning, T trap, L limit.
std::string diag_id(Diag code);

// A place in a source file. Lines and columns count from 1, columns in Unicode code points;
// line 0 means no place. `len` is in code points on that line.
struct Span {
  uint32_t file = 0, line = 0, col = 0, len = 0;
  bool operator==(const Span&) const = default;
};

struct Note {
  std::string message;
  Span span;
};

// Replacing the text at `span` by `replacement` is always safe.
struct Fix {
  Span span;
  std::string replacement;
};

struct Diagnostic {
  Diag code{};
  std::string message;
  Span span;
  std::vector<Note> notes;
  std::string hint;
  std::optional<Fix> fix;
};
using Diagnostics = std::vector<Diagnostic>;

inline Diagnostic make_diag(Diag code, std::string message, Span span = {}, std::string hint = {}) {
  return Diagnostic{code, std::move(message), span, {}, std::move(hint), {}};
}

// The nearest of `candidates` to `word` by edit distance, or empty if none is near enough to
// suggest.
std::string nearest_name(std::string_view word, std::span<const std::string_view> candidates);

// Names and texts of the files that spans refer to, by file number.
struct SourceFile {
  std::string name, text;
};
using Sources = std::vector<SourceFile>;

// One diagnostic with its source line and caret (columns shown by display width), notes, hint and
// fix; `color` adds ANSI colours. Control characters of user text are escaped.
std::string render_diag(const Diagnostic& d, const Sources& sources, bool color);
// One JSON object on one line: code, severity, file, line, col, len, message, notes, hint, fix.
std::string render_diag_json(const Diagnostic& d, const Sources& sources);
// JSON string literal with quotes, escaped; invalid UTF-8 becomes U+FFFD.
std::string json_quote(std::string_view text);

// Declares the constants of one area: used by isa/diag/<area>.h.
#define TESS_DIAG_CONSTANT(name, number, severity, summary, explanation) \
  inline constexpr Diag name{number};

}  // namespace tess
