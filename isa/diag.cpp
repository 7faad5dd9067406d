#include "isa/diag.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tess {
namespace {

constexpr DiagInfo kDiags[] = {
#define DIAG(name, number, severity, summary, explanation) \
  {Diag{number}, Severity::severity, #name, summary, explanation},
// clang-format off: in order of their numbers
#include "isa/diag/text.def"
#include "isa/diag/verify.def"
#include "isa/diag/bytecode.def"
#include "isa/diag/layout.def"
#include "isa/diag/data.def"
#include "isa/diag/run.def"
#include "isa/diag/tool.def"
#include "isa/diag/sim.def"
#include "isa/diag/jit.def"
#include "isa/diag/device.def"
// clang-format on
#undef DIAG
};

constexpr bool ascending() {
  for (size_t i = 1; i < std::size(kDiags); ++i)
    if (kDiags[i - 1].code >= kDiags[i].code) return false;
  return true;
}
static_assert(ascending(), "diagnostic codes must ascend within and across the area files");

char severity_letter(Severity s) { return "EWTL"[static_cast<int>(s)]; }
std::string_view severity_word(Severity s) {
  constexpr std::string_view kWords[] = {"error", "warning", "trap", "limit"};
  return kWords[static_cast<int>(s)];
}

// Insertions, deletions, replacements and exchanges of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = last;
    last = row;
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (exchanged) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

// One code point of `text` at `i`; advances i. Invalid bytes give U+FFFD one at a time.
char32_t next_code_point(std::string_view text, size_t& i) {
  auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  unsigned char lead = byte(i++);
  if (lead < 0x80) return lead;
  int extra = lead >= 0xf0 && lead < 0xf5 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc2 ? 1 : 0;
  if (lead >= 0xf5 || extra == 0 || i + extra > text.size()) return 0xfffd;
  char32_t c = lead & (0x3f >> extra);
  for (int k = 0; k < extra; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0xfffd;
    c = (c << 6) | (byte(i + k) & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (c < kLeast[extra] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0xfffd;
  i += extra;
  return c;
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

int display_width(char32_t c) {
  bool combining = (c >= 0x300 && c < 0x370) || (c >= 0x200b && c < 0x2010) || c == 0xfe0f;
  bool wide = (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) ||
              (c >= 0xac00 && c < 0xd7a4) || (c >= 0xf900 && c < 0xfb00) ||
              (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
              (c >= 0x1f300 && c < 0x1fb00) || (c >= 0x20000 && c < 0x40000);
  return combining ? 0 : wide ? 2 : 1;
}

// User text made safe for a terminal: control characters become escapes, tabs one space.
std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    char32_t c = next_code_point(text, i);
    if (c == '\t') out += ' ';
    else if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0))
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    else append_utf8(out, c);
  }
  return out;
}

std::string_view line_of(const Sources& sources, Span span) {
  if (span.line == 0 || span.file >= sources.size()) return {};
  std::string_view text = sources[span.file].text;
  for (uint32_t line = 1; line < span.line; ++line) {
    size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  return text;
}

std::string place(Span span, const Sources& sources) {
  if (span.line == 0) return {};
  std::string name = span.file < sources.size() ? printable(sources[span.file].name) : "?";
  return fmt::format("{}:{}:{}: ", name, span.line, span.col);
}

void append_excerpt(std::string& out, Span span, const Sources& sources, bool color) {
  constexpr size_t kMostColumns = 160;
  std::string_view line = line_of(sources, span);
  if (line.empty()) return;
  std::string shown, marks;
  uint32_t col = 1, last = span.col + std::max<uint32_t>(span.len, 1);
  size_t width = 0;
  // A very long line is shown from a little before the caret.
  uint32_t first = span.col > kMostColumns / 2 ? span.col - kMostColumns / 2 : 1;
  for (size_t i = 0; i < line.size() && width < kMostColumns; ++col) {
    size_t begin = i;
    char32_t c = next_code_point(line, i);
    if (col < first) continue;
    std::string text = printable(line.substr(begin, i - begin));
    int columns = text.size() > 1 && text[0] == '\\' && c != '\\' ? static_cast<int>(text.size())
                                                                  : display_width(c);
    shown += text;
    marks.append(columns, col < span.col ? ' ' : col == span.col ? '^' : col < last ? '~' : ' ');
    width += columns;
  }
  if (span.col >= col) marks += '^';
  while (!marks.empty() && marks.back() == ' ') marks.pop_back();
  out += fmt::format("{:5} | {}\n      | {}{}{}\n", span.line, shown, color ? "\x1b[32;1m" : "",
                     marks, color ? "\x1b[0m" : "");
}

}  // namespace

std::span<const DiagInfo> all_diags() { return kDiags; }

const DiagInfo* find_diag(Diag code) {
  auto it = std::lower_bound(std::begin(kDiags), std::end(kDiags), code,
                             [](const DiagInfo& info, Diag c) { return info.code < c; });
  return it != std::end(kDiags) && it->code == code ? it : nullptr;
}

const DiagInfo* find_diag(std::string_view id) {
  if (id.size() != 5) return nullptr;
  uint32_t number = 0;
  for (char c : id.substr(1)) {
    if (c < '0' || c > '9') return nullptr;
    number = number * 10 + (c - '0');
  }
  const DiagInfo* info = find_diag(Diag(number));
  return info && (severity_letter(info->severity) | 0x20) == (id[0] | 0x20) ? info : nullptr;
}

std::string diag_id(Diag code) {
  const DiagInfo* info = find_diag(code);
  return fmt::format("{}{:04}", info ? severity_letter(info->severity) : 'E',
                     static_cast<int>(code));
}

std::string nearest_name(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  size_t best_distance = word.size() < 3 ? 1 : word.size() < 5 ? 2 : std::max<size_t>(3, word.size() / 3 + 1);
  for (std::string_view candidate : candidates) {
    size_t difference = candidate.size() > word.size() ? candidate.size() - word.size()
                                                       : word.size() - candidate.size();
    if (difference >= best_distance || word.size() > 64 || candidate.size() > 64) continue;
    size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return std::string(best);
}

std::string render_diag(const Diagnostic& d, const Sources& sources, bool color) {
  const DiagInfo* info = find_diag(d.code);
  Severity severity = info ? info->severity : Severity::error;
  std::string_view on = !color ? "" : severity == Severity::warning ? "\x1b[33;1m" : "\x1b[31;1m";
  std::string_view off = color ? "\x1b[0m" : "";
  std::string out =
      fmt::format("{}{}{}[{}]{}: {}\n", place(d.span, sources), on, severity_word(severity),
                  diag_id(d.code), off, printable(d.message));
  append_excerpt(out, d.span, sources, color);
  for (const Note& note : d.notes) {
    out += fmt::format("  {}note: {}\n", place(note.span, sources), printable(note.message));
    append_excerpt(out, note.span, sources, color);
  }
  if (!d.hint.empty()) out += fmt::format("  hint: {}\n", printable(d.hint));
  if (d.fix) {
    out += fmt::format("  fix: {}{} `{}`\n", place(d.fix->span, sources),
                       d.fix->span.len ? "replace by" : "insert", printable(d.fix->replacement));
  }
  return out;
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    char32_t c = next_code_point(text, i);
    if (c == '"' || c == '\\') out += '\\', out += static_cast<char>(c);
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c < 0x20 || c == 0x7f) out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    else append_utf8(out, c);
  }
  return out + '"';
}

namespace {
std::string json_span(Span span, const Sources& sources) {
  return fmt::format(
      R"("file":{},"line":{},"col":{},"len":{})",
      json_quote(span.line && span.file < sources.size() ? sources[span.file].name : ""), span.line,
      span.col, span.len);
}
}  // namespace

std::string render_diag_json(const Diagnostic& d, const Sources& sources) {
  const DiagInfo* info = find_diag(d.code);
  std::string out = fmt::format(R"({{"code":"{}","severity":"{}",{},"message":{})", diag_id(d.code),
                                severity_word(info ? info->severity : Severity::error),
                                json_span(d.span, sources), json_quote(d.message));
  out += ",\"notes\":[";
  for (size_t i = 0; i < d.notes.size(); ++i) {
    out += fmt::format(R"({}{{{},"message":{}}})", i ? "," : "",
                       json_span(d.notes[i].span, sources), json_quote(d.notes[i].message));
  }
  out += "]";
  if (!d.hint.empty()) out += ",\"hint\":" + json_quote(d.hint);
  if (d.fix) {
    out += fmt::format(R"(,"fix":{{{},"replacement":{}}})", json_span(d.fix->span, sources),
                       json_quote(d.fix->replacement));
  }
  return out + "}\n";
}

}  // namespace tess
