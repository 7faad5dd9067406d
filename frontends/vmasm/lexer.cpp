#include "frontends/vmasm/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "frontends/vmasm/unicode.h"
#include "isa/diag/text.h"
#include "isa/limits.h"

namespace tess::vmasm {
namespace {

enum CharClass : uint8_t { kOther, kBlank, kNewline, kLetter, kDigit, kHigh };

constexpr std::array<CharClass, 256> kClasses = [] {
  std::array<CharClass, 256> t{};
  for (int c = 'a'; c <= 'z'; ++c) t[c] = kLetter;
  for (int c = 'A'; c <= 'Z'; ++c) t[c] = kLetter;
  for (int c = '0'; c <= '9'; ++c) t[c] = kDigit;
  for (int c = 0x80; c < 0x100; ++c) t[c] = kHigh;
  t['_'] = kLetter;
  t[' '] = t['\t'] = kBlank;
  t['\n'] = kNewline;
  return t;
}();

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Text that reorders what follows it on a screen, so that code would not be what it seems.
bool is_bidi_control(char32_t c) {
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f;
}

class Lexer {
 public:
  Lexer(std::string_view text, uint32_t file, Diagnostics& out)
      : text_(text), file_(file), out_(out) {}

  Lexed run() {
    if (text_.size() > static_cast<uint64_t>(limits::max_source_bytes)) {
      report(diag::source_too_large,
             fmt::format("the file has {} bytes; at most {} are read", text_.size(),
                         limits::max_source_bytes),
             {file_, 1, 1, 0});
      result_.tokens.push_back({0, 0, 1, 1, TokenKind::end, true, true});
      return std::move(result_);
    }
    result_.tokens.reserve(text_.size() / 5 + 16);
    if (text_.starts_with("\xef\xbb\xbf")) skip_high(3);  // a byte order mark
    while (pos_ < text_.size() && errors_ < limits::max_errors) step();
    start_token(pos_);
    push(TokenKind::end, 0);
    return std::move(result_);
  }

 private:
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  char ahead(size_t n = 1) const { return at(pos_ + n); }
  CharClass class_at(size_t i) const {
    return i < text_.size() ? kClasses[static_cast<unsigned char>(text_[i])] : kOther;
  }
  uint32_t column(size_t offset) const {
    return static_cast<uint32_t>(offset - line_start_ - continuation_ + 1);
  }

  // Bytes of the well-formed UTF-8 sequence at `i`, 0 if there is none.
  size_t sequence(size_t i, char32_t& c) const {
    auto byte = [&](size_t k) { return static_cast<unsigned char>(at(k)); };
    unsigned char lead = byte(i);
    size_t n = lead >= 0xf5 ? 0 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    if (n == 0 || i + n > text_.size()) return 0;
    c = lead & (0x7f >> n);
    for (size_t k = 1; k < n; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return 0;
      c = c << 6 | (byte(i + k) & 0x3f);
    }
    constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    return c < kLeast[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
  }
  // Passes one multi-byte character; columns count it once.
  void skip_high(size_t n) {
    pos_ += n;
    continuation_ += n - 1;
  }

  void report(Diag code, std::string message, Span span, std::string hint = {}) {
    if (errors_++ < limits::max_errors)
      out_.push_back(make_diag(code, std::move(message), span, std::move(hint)));
  }
  Span here(uint32_t len = 1) const { return {file_, line_, column(pos_), len}; }

  void new_line() {
    ++pos_;
    ++line_;
    line_start_ = pos_;
    continuation_ = 0;
    newline_ = space_ = true;
  }

  void start_token(size_t offset) {
    start_ = {
        static_cast<uint32_t>(offset), 0, line_, column(offset), TokenKind::end, newline_, space_};
  }
  void push(TokenKind kind, size_t len) {
    start_.kind = kind;
    start_.len = static_cast<uint32_t>(len);
    result_.tokens.push_back(start_);
    newline_ = space_ = false;
  }
  void symbol(TokenKind kind, size_t len) {
    start_token(pos_);
    pos_ += len;
    push(kind, len);
  }

  void step() {
    switch (kClasses[static_cast<unsigned char>(text_[pos_])]) {
      case kBlank:
        ++pos_;
        space_ = true;
        return;
      case kNewline:
        new_line();
        return;
      case kLetter:
        name(TokenKind::word, 0);
        return;
      case kDigit:
        number();
        return;
      case kHigh:
        high();
        return;
      case kOther:
        other();
        return;
    }
  }

  // The rest of a name: letters, digits and dots that a letter or digit follows.
  void name_rest() {
    for (;;) {
      CharClass c = class_at(pos_);
      if (c == kLetter || c == kDigit) ++pos_;
      else if (c == kHigh) {
        char32_t code = 0;
        size_t n = sequence(pos_, code);
        if (n == 0 || !in_ranges(code, kNameContinue)) return;
        skip_high(n);
      } else if (c == kOther && text_[pos_] == '.') {
        CharClass next = class_at(pos_ + 1);
        char32_t code = 0;
        if (next != kLetter && next != kDigit &&
            !(next == kHigh && sequence(pos_ + 1, code) && in_ranges(code, kNameContinue)))
          return;
        ++pos_;
      } else return;
    }
  }
  void name(TokenKind kind, size_t prefix) {
    start_token(pos_);
    size_t begin = pos_;
    pos_ += prefix;
    name_rest();
    size_t len = pos_ - begin;
    if (len - prefix > static_cast<size_t>(limits::max_name_bytes))
      report(diag::name_too_long,
             fmt::format("a name of {} bytes; at most {} are allowed", len - prefix,
                         limits::max_name_bytes),
             {file_, start_.line, start_.col, column(pos_) - start_.col});
    if (kind == TokenKind::value && is_digit(text_[begin + prefix])) {
      std::string_view name = text_.substr(begin + prefix, len - prefix);
      if (!std::all_of(name.begin(), name.end(), is_digit))
        report(diag::numbered_name, fmt::format("`%{}` is neither a number nor a name", name),
               {file_, start_.line, start_.col, column(pos_) - start_.col},
               fmt::format("%_{}", name));
    }
    push(kind, len);
  }

  void high() {
    char32_t c = 0;
    size_t n = sequence(pos_, c);
    if (n != 0 && in_ranges(c, kNameStart)) return name(TokenKind::word, 0);
    start_token(pos_);
    size_t begin = pos_;
    if (n == 0) {
      Span where = here();
      do ++pos_;
      while (class_at(pos_) == kHigh && sequence(pos_, c) == 0);
      where.len = column(pos_) - where.col;
      report(
          diag::bad_utf8,
          fmt::format("byte 0x{:02x} is not UTF-8 text", static_cast<unsigned char>(text_[begin])),
          where, "save the file as UTF-8");
    } else {
      bad_code_point(c, "");
      skip_high(n);
    }
    push(TokenKind::bad, pos_ - begin);
  }
  void bad_code_point(char32_t c, std::string_view where) {
    std::string hint;
    if (c == 0xa0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200b) || c == 0xfeff)
      hint = "use an ordinary space";
    else if (is_bidi_control(c)) hint = "it changes the order in which text is shown; remove it";
    else if (c >= 0x2018 && c <= 0x201f) hint = "use the quotation mark \"";
    else if (c == 0x2212 || c == 0x2013 || c == 0x2014) hint = "use the minus sign -";
    else if (c == 0xd7) hint = "use *";
    report(diag::bad_character,
           fmt::format("U+{:04X} cannot stand here{}", static_cast<uint32_t>(c), where), here(),
           hint);
  }

  // Inside a comment or string: passes one non-ASCII character and checks it.
  void pass_high(std::string_view where) {
    char32_t c = 0;
    size_t n = sequence(pos_, c);
    if (n == 0) {
      Span at = here();
      do ++pos_;
      while (class_at(pos_) == kHigh && sequence(pos_, c) == 0);
      at.len = column(pos_) - at.col;
      report(diag::bad_utf8, fmt::format("bytes that are not UTF-8{}", where), at,
             "save the file as UTF-8");
      return;
    }
    if (is_bidi_control(c)) bad_code_point(c, where);
    skip_high(n);
  }

  void number() {
    start_token(pos_);
    size_t begin = pos_;
    std::string_view problem;
    auto digits = [&](auto&& is) {
      size_t from = pos_;
      while (is(at(pos_)) && pos_ < text_.size()) ++pos_;
      return pos_ - from;
    };
    auto exponent = [&](char lower) {
      if ((at(pos_) | 0x20) != lower) return false;
      ++pos_;
      if (at(pos_) == '+' || at(pos_) == '-') ++pos_;
      if (digits(is_digit) == 0) problem = "an exponent needs digits";
      return true;
    };
    char radix = text_[pos_] == '0' ? static_cast<char>(ahead() | 0x20) : '\0';
    if (radix == 'x') {
      pos_ += 2;
      size_t n = digits(is_hex);
      bool fraction = at(pos_) == '.' && at(pos_ + 1) != '.';
      if (fraction) ++pos_, n += digits(is_hex);
      bool scaled = exponent('p');
      if (n == 0) problem = "0x needs hexadecimal digits";
      else if (fraction && !scaled) problem = "a hexadecimal float needs an exponent such as p0";
    } else if (radix == 'b') {
      pos_ += 2;
      if (digits([](char c) { return c == '0' || c == '1'; }) == 0)
        problem = "0b needs binary digits";
    } else {
      digits(is_digit);
      if (at(pos_) == '.' && at(pos_ + 1) != '.') {
        ++pos_;
        if (digits(is_digit) == 0) problem = "digits must follow the decimal point";
      }
      exponent('e');
    }
    size_t good_end = pos_;
    name_rest();
    if (pos_ != good_end && problem.empty()) problem = "letters or digits that belong to no number";
    if (!problem.empty()) {
      report(
          diag::bad_number,
          fmt::format("`{}`: {}", text_.substr(begin, std::min<size_t>(pos_ - begin, 64)), problem),
          {file_, start_.line, start_.col, column(pos_) - start_.col});
      return push(TokenKind::bad, pos_ - begin);
    }
    push(TokenKind::number, pos_ - begin);
  }

  void string() {
    start_token(pos_);
    size_t begin = pos_++;
    bool ok = true;
    while (pos_ < text_.size() && text_[pos_] != '"' && text_[pos_] != '\n' &&
           text_[pos_] != '\r') {
      char c = text_[pos_];
      if (class_at(pos_) == kHigh) pass_high(" in a string");
      else if (static_cast<unsigned char>(c) < 0x20 && c != '\t')
        ok = false, bad_code_point(static_cast<char32_t>(c), " in a string"), ++pos_;
      else if (c != '\\') ++pos_;
      else {
        size_t n = ahead() == 'x' && is_hex(ahead(2)) && is_hex(ahead(3))               ? 4
                   : std::string_view("nt\\\"").find(ahead()) != std::string_view::npos ? 2
                                                                                        : 0;
        if (n == 0) {
          report(diag::bad_escape, "an unknown escape in a string", here(2),
                 "known are \\n \\t \\\\ \\\" and \\xNN");
          n = 1;
          ok = false;
        }
        pos_ += n;
      }
    }
    if (at(pos_) == '"') {
      ++pos_;
    } else {
      ok = false;
      report(diag::unterminated_string, "this string has no closing \"",
             {file_, start_.line, start_.col, column(pos_) - start_.col},
             "a string ends on its line");
    }
    push(ok ? TokenKind::string : TokenKind::bad, pos_ - begin);
  }

  void comment() {
    Comment c{static_cast<uint32_t>(pos_), 0, line_, 0, newline_ || result_.tokens.empty()};
    uint32_t col = column(pos_);
    bool block = ahead() == '*', closed = !block;
    pos_ += 2;
    while (pos_ < text_.size()) {
      char ch = text_[pos_];
      if (ch == '\n') {
        if (!block) break;
        new_line();
      } else if (ch == '\r' && !block && ahead() == '\n') break;
      else if (block && ch == '*' && ahead() == '/') {
        pos_ += 2;
        closed = true;
        break;
      } else if (class_at(pos_) == kHigh) pass_high(" in a comment");
      else if (ch == '\0') bad_code_point(0, " in a comment"), ++pos_;
      else ++pos_;
    }
    c.len = static_cast<uint32_t>(pos_ - c.offset);
    c.next = static_cast<TokenId>(result_.tokens.size());
    space_ = true;
    result_.cut |= !closed;
    if (!closed)
      report(diag::unterminated_comment, "this comment has no closing */", {file_, c.line, col, 2});
    else result_.comments.push_back(c);
  }

  void other() {
    using K = TokenKind;
    char c = text_[pos_], n = ahead();
    switch (c) {
      case '%':
      case '#':
        return sigil(c);
      case '"':
        return string();
      case '(':
        return symbol(K::l_paren, 1);
      case ')':
        return symbol(K::r_paren, 1);
      case '[':
        return symbol(K::l_bracket, 1);
      case ']':
        return symbol(K::r_bracket, 1);
      case '{':
        return symbol(K::l_brace, 1);
      case '}':
        return symbol(K::r_brace, 1);
      case ',':
        return symbol(K::comma, 1);
      case ';':
        return symbol(K::semicolon, 1);
      case '@':
        return symbol(K::at, 1);
      case '+':
        return symbol(K::plus, 1);
      case '*':
        return symbol(K::star, 1);
      case '^':
        return symbol(K::caret, 1);
      case ':':
        return n == '+' ? symbol(K::colon_plus, 2) : symbol(K::colon, 1);
      case '=':
        return n == '=' ? symbol(K::eq, 2) : symbol(K::equals, 1);
      case '!':
        return n == '=' ? symbol(K::ne, 2) : symbol(K::not_, 1);
      case '-':
        return n == '>' ? symbol(K::arrow, 2) : symbol(K::minus, 1);
      case '&':
        return n == '&' ? symbol(K::and_and, 2) : symbol(K::amp, 1);
      case '|':
        return n == '|' ? symbol(K::or_or, 2) : symbol(K::pipe, 1);
      case '<':
        return n == '<' ? symbol(K::shl, 2) : n == '=' ? symbol(K::le, 2) : symbol(K::lt, 1);
      case '>':
        return n == '>' ? symbol(K::shr, 2) : n == '=' ? symbol(K::ge, 2) : symbol(K::gt, 1);
      case '/':
        return n == '/' || n == '*' ? comment() : symbol(K::slash, 1);
      case '.':
        if (n == '.') return symbol(K::dots, 2);
        break;
      case '\r':
        if (n == '\n') return ++pos_, new_line();
        break;
      default:
        break;
    }
    bad_byte();
  }

  void sigil(char c) {
    CharClass next = class_at(pos_ + 1);
    char32_t code = 0;
    bool named = next == kLetter || next == kDigit ||
                 (next == kHigh && sequence(pos_ + 1, code) && in_ranges(code, kNameContinue));
    if (named) return name(c == '%' ? TokenKind::value : TokenKind::layout, 1);
    if (c == '#') return symbol(TokenKind::hash, 1);
    report(diag::empty_name, "`%` begins a name, and none follows", here(),
           "the remainder of a division is rem(a, b)");
    symbol(TokenKind::bad, 1);
  }

  // One error for a run of equal bytes: a binary file should not give thousands.
  void bad_byte() {
    char c = text_[pos_];
    start_token(pos_);
    Span where = here();
    size_t begin = pos_;
    size_t quote = c == '\'' ? text_.find_first_of("'\n", pos_ + 1) : std::string_view::npos;
    if (quote != std::string_view::npos && text_[quote] == '\'') {
      while (pos_ <= quote) {
        if (class_at(pos_) == kHigh) pass_high(" in a string");
        else ++pos_;
      }
    }
    while (pos_ < text_.size() && text_[pos_] == c) ++pos_;
    where.len = column(pos_) - where.col;
    bool printable = c > 0x20 && c < 0x7f;
    std::string shown =
        printable ? fmt::format("`{}`", c) : fmt::format("U+{:04X}", static_cast<unsigned char>(c));
    std::string hint;
    if (c == '.') hint = "a number begins with a digit, a range is written a..b";
    else if (c == '?') hint = "the conditional is select c, a, b";
    else if (c == '~') hint = "the complement is !a";
    else if (c == '\'') hint = "strings are written in \"";
    else if (c == '\r') hint = "a line ends with a line feed";
    else if (c == '\0') hint = "this is no text; nothing after it is read";
    report(diag::bad_character, fmt::format("{} begins no token", shown), where, hint);
    if (c == '\0') pos_ = text_.size();
    push(TokenKind::bad, pos_ - begin);
  }

  std::string_view text_;
  uint32_t file_;
  Diagnostics& out_;
  Lexed result_;
  Token start_;
  size_t pos_ = 0, line_start_ = 0, continuation_ = 0;
  uint32_t line_ = 1;
  int64_t errors_ = 0;
  bool newline_ = true, space_ = true;
};

}  // namespace

Lexed lex(std::string_view text, uint32_t file, Diagnostics& out) {
  return Lexer(text, file, out).run();
}

std::string_view kind_text(TokenKind kind) {
  using K = TokenKind;
  switch (kind) {
    case K::end:
      return "the end of the file";
    case K::word:
      return "a name";
    case K::value:
      return "a %name";
    case K::layout:
      return "a #layout";
    case K::number:
      return "a number";
    case K::string:
      return "a string";
    case K::semicolon:
      return "`;`";
    case K::comma:
      return "`,`";
    case K::colon:
      return "`:`";
    case K::colon_plus:
      return "`:+`";
    case K::equals:
      return "`=`";
    case K::dots:
      return "`..`";
    case K::arrow:
      return "`->`";
    case K::at:
      return "`@`";
    case K::hash:
      return "`#`";
    case K::l_paren:
      return "`(`";
    case K::r_paren:
      return "`)`";
    case K::l_bracket:
      return "`[`";
    case K::r_bracket:
      return "`]`";
    case K::l_brace:
      return "`{`";
    case K::r_brace:
      return "`}`";
    case K::plus:
      return "`+`";
    case K::minus:
      return "`-`";
    case K::star:
      return "`*`";
    case K::slash:
      return "`/`";
    case K::shl:
      return "`<<`";
    case K::shr:
      return "`>>`";
    case K::amp:
      return "`&`";
    case K::pipe:
      return "`|`";
    case K::caret:
      return "`^`";
    case K::and_and:
      return "`&&`";
    case K::or_or:
      return "`||`";
    case K::not_:
      return "`!`";
    case K::eq:
      return "`==`";
    case K::ne:
      return "`!=`";
    case K::lt:
      return "`<`";
    case K::le:
      return "`<=`";
    case K::gt:
      return "`>`";
    case K::ge:
      return "`>=`";
    case K::bad:
      return "unreadable text";
  }
  return "";
}

std::string describe(const Token& t, std::string_view source) {
  switch (t.kind) {
    case TokenKind::word:
    case TokenKind::value:
    case TokenKind::layout:
    case TokenKind::number: {
      // Cut at a character, not inside one.
      size_t n = std::min<size_t>(t.len, 48);
      while (n < t.len && n > 0 &&
             (static_cast<unsigned char>(source[t.offset + n]) & 0xc0) == 0x80)
        --n;
      return fmt::format("`{}{}`", source.substr(t.offset, n), n < t.len ? "…" : "");
    }
    default:
      return std::string(kind_text(t.kind));
  }
}

}  // namespace tess::vmasm
