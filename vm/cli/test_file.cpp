#include "vm/cli/test_file.h"

#include <fmt/format.h>

#include <charconv>

#include "isa/diag/tool.h"
#include "vm/data/number.h"

namespace tess::cli {
namespace {

constexpr std::string_view kSpace = " \t\r";

std::string_view trim(std::string_view s) {
  size_t a = s.find_first_not_of(kSpace);
  if (a == std::string_view::npos) return {};
  return s.substr(a, s.find_last_not_of(kSpace) - a + 1);
}

// Takes characters up to any of `stops` (or the end) off `s`, trimmed.
std::string_view take_until(std::string_view& s, std::string_view stops) {
  size_t n = std::min(s.find_first_of(stops), s.size());
  std::string_view out = trim(s.substr(0, n));
  s.remove_prefix(n);
  return out;
}
std::string_view take_word(std::string_view& s) {
  s = trim(s);
  std::string_view w = take_until(s, kSpace);
  s = trim(s);
  return w;
}

template <class T>
std::optional<T> number(std::string_view s) {
  T v{};
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size() || s.empty()) return {};
  return v;
}

// "E0103 ": other comments that begin with `error:` are just comments.
bool begins_with_code(std::string_view s) {
  return s.size() > 5 && std::string_view("EWTL").find(s[0]) != std::string_view::npos &&
         s.substr(1, 4).find_first_not_of("0123456789") == std::string_view::npos &&
         (s[5] == ' ' || s[5] == ':');
}

constexpr size_t kMostTests = 10000;  // that one file's loops may amount to

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// The test with `{name}` replaced wherever it is written.
TestCase with_value(TestCase t, const std::string& name, const std::string& value) {
  std::string mark = "{" + name + "}";
  auto put = [&](std::string& text) { replace_all(text, mark, value); };
  if (t.name.find(mark) == std::string::npos) t.name += (t.name.empty() ? "" : " ") + mark;
  put(t.name);
  put(t.kernel);
  for (auto* pairs : {&t.bindings, &t.scalars})
    for (auto& [key, text] : *pairs) put(text);
  for (auto* tensors : {&t.inputs, &t.outputs})
    for (TestTensor& tensor : *tensors) {
      put(tensor.source);
      for (std::string& number : tensor.literal) put(number);
    }
  for (std::string& line : t.prints) put(line);
  return t;
}

class Parser {
 public:
  Parser(std::string_view text, Diagnostics& out) : text_(text), out_(out) {}

  TestFile parse() {
    while (at_ < text_.size()) {
      begin_line();
      if (std::string_view s = trim(rest_); s.starts_with("//;")) {
        directive(trim(s.substr(3)));
      } else if (s.starts_with("// error: ") || s.starts_with("// warning: ")) {
        s = trim(s.substr(s.find(':') + 1));
        if (begins_with_code(s))
          if (auto d = diag(s, true)) file_.exact_diags.push_back(*d);
      }
      at_ = line_end_ + 1;
    }
    unroll_loops();
    return std::move(file_);
  }

 private:
  void begin_line() {
    ++line_;
    line_end_ = std::min(text_.find('\n', at_), text_.size());
    rest_ = text_.substr(at_, line_end_ - at_);
  }
  void fail(std::string message) {
    out_.push_back(make_diag(diag::bad_directive, std::move(message), {0, line_, 1, 0}));
  }

  TestCase& current() {
    if (file_.tests.empty()) {
      fail("a directive before the first `//; test:`");
      file_.tests.emplace_back();
    }
    return file_.tests.back();
  }

  void directive(std::string_view s) {
    if (s.empty()) return;
    std::string_view all = s;
    if (s.starts_with("-D")) {
      for (s.remove_prefix(2); !(s = trim(s)).empty();) pair(take_word(s), current().bindings);
      return;
    }
    std::string_view word = take_until(s, " \t:");
    bool colon = trim(s).starts_with(':');
    auto after_colon = [&] { return trim(trim(s).substr(1)); };
    if (word == "test" && colon) return new_test(after_colon());
    if (word == "on" && colon) return engines(after_colon());
    if (word == "async" && colon) return async(after_colon());
    if (word == "set") {
      for (s = trim(s); !s.empty();) pair(take_word(s), current().scalars);
      return;
    }
    if (word == "in") return tensor(s, current().inputs, false);
    if (word == "out") return tensor(s, current().outputs, true);
    if ((word == "trap" || word == "error" || word == "limit") && colon) {
      if (auto d = diag(after_colon(), false)) current().diags.push_back(*d);
      return;
    }
    if (word == "print" && colon) return current().prints.emplace_back(after_colon()), void();
    if (word == "refused" && colon) return refused(after_colon());
    if (word == "for") return loop(s);
    if (word == "seed") return option(s, current().seed, "seed N");
    if (word == "sms") return option(s, current().device_sms, "sms N");
    if (word == "steps") return option(s, current().steps, "steps N");
    if (word == "memory") return option(s, current().memory, "memory BYTES");
    if (word == "seconds") return option(s, current().seconds, "seconds S");
    if (all == "report-out-of-bounds") return current().report_out_of_bounds = true, void();
    fail(fmt::format(
        "`{}` is no directive: test on async -D set in out trap error limit refused print for "
        "seed sms steps memory seconds report-out-of-bounds",
        word));
  }

  void new_test(std::string_view s) {
    TestCase t;
    t.line = line_;
    std::string_view kind = take_word(s);
    if (kind == "exec") t.kind = TestKind::exec;
    else if (kind == "check") t.kind = TestKind::check;
    else fail(fmt::format("`test: {}`: a test is `exec` or `check`", kind));
    while (!s.empty()) {
      std::string_view w = take_word(s);
      if (w.starts_with("kernel=")) t.kernel = w.substr(7);
      else if (t.name.empty()) t.name = w;
      else t.name += " " + std::string(w);
    }
    file_.tests.push_back(std::move(t));
  }

  // for NAME in VALUE..
  void loop(std::string_view s) {
    std::string name(take_word(s));
    std::vector<std::string> values;
    bool good = !name.empty() && take_word(s) == "in";
    while (good && !s.empty()) values.emplace_back(take_word(s));
    if (values.empty()) return fail("expected `for NAME in VALUE..`");
    current().loops.emplace_back(std::move(name), std::move(values));
  }

  // A test with loops becomes one test for each combination of their values.
  void unroll_loops() {
    std::vector<TestCase> out;
    for (TestCase& written : file_.tests) {
      std::vector<TestCase> tests;
      auto loops = std::move(written.loops);
      written.loops.clear();
      tests.push_back(std::move(written));
      for (const auto& [name, values] : loops) {
        if (tests.size() * values.size() + out.size() > kMostTests)
          return fail(fmt::format("loops amount to more than {} tests", kMostTests));
        std::vector<TestCase> next;
        for (const TestCase& t : tests)
          for (const std::string& value : values) next.push_back(with_value(t, name, value));
        tests = std::move(next);
      }
      for (TestCase& t : tests) out.push_back(std::move(t));
    }
    file_.tests = std::move(out);
  }

  void engines(std::string_view s) {
    std::vector<std::string> list;
    while (!s.empty()) list.emplace_back(take_word(s));
    if (list.empty()) return fail("`on:` names no engine");
    current().engines = std::move(list);
    current().any_engine = false;
  }

  void async(std::string_view s) {
    while (!s.empty()) {
      std::string_view w = take_word(s);
      if (w != "early" && w != "late" && w != "random")
        return fail(fmt::format("`async: {}`: copies complete early, late or random", w));
      current().async.emplace_back(w);
    }
  }

  void pair(std::string_view w, std::vector<std::pair<std::string, std::string>>& into) {
    size_t equals = w.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return fail(fmt::format("`{}` is not NAME=VALUE", w));
    into.emplace_back(w.substr(0, equals), w.substr(equals + 1));
  }

  template <class T>
  void option(std::string_view s, T& into, std::string_view shape) {
    std::optional<T> v = number<T>(trim(s));
    if (!v) return fail(fmt::format("expected `{}`", shape));
    into = *v;
  }

  // CODE [at LINE:COL] [: MESSAGE]
  std::optional<ExpectedDiag> diag(std::string_view s, bool place_needed) {
    ExpectedDiag d;
    d.line = line_;
    std::string_view code = take_until(s, " \t:");
    if (!find_diag(code))
      return fail(fmt::format("`{}` is no diagnostic code", code)), std::nullopt;
    d.code = code;
    s = trim(s);
    if (s.starts_with("at ")) {
      s.remove_prefix(3);
      auto line = number<uint32_t>(take_until(s, ":"));
      if (!s.empty()) s.remove_prefix(1);
      auto col = number<uint32_t>(take_until(s, ":"));
      if (!line || !col) return fail("expected `at LINE:COLUMN`"), std::nullopt;
      d.at_line = *line;
      d.at_col = *col;
    } else if (place_needed && !s.starts_with(":")) {
      return fail("expected `CODE at LINE:COLUMN: MESSAGE`"), std::nullopt;
    }
    if (s.starts_with(":")) d.message = std::string(trim(s.substr(1)));
    else if (!s.empty()) return fail(fmt::format("`{}` is left over", s)), std::nullopt;
    return d;
  }

  void refused(std::string_view s) {
    if (!find_diag(s)) return fail(fmt::format("`{}` is no diagnostic code", s));
    current().refused = s;
  }

  // NAME: SRC | NAME: [numbers] | NAME: skip, each with tolerances behind commas if `out`.
  void tensor(std::string_view s, std::vector<TestTensor>& into, bool is_output) {
    TestTensor t;
    t.line = line_;
    t.name = take_until(s, ":");
    if (t.name.empty() || !s.starts_with(':')) return fail("expected `NAME: VALUES`");
    s = trim(s.substr(1));
    if (s.starts_with('[')) {
      if (!literal(s, t)) return;
    } else if (is_output && take_skip(s)) {
      t.skip = true;
    } else {
      t.source = source(s);
      if (t.source.empty()) return fail("expected a source, `[numbers]` or `skip`");
    }
    while (!s.empty()) {
      if (!s.starts_with(',') || !is_output) return fail(fmt::format("`{}` is left over", s));
      s = trim(s.substr(1));
      std::string_view option = take_until(s, ",");
      auto value = [&](std::string_view name) {
        return option.starts_with(name) && option.size() > name.size() && option[name.size()] == '='
                   ? std::optional(option.substr(name.size() + 1))
                   : std::nullopt;
      };
      bool good = option == "exact";
      if (auto v = value("ulp"))
        if (auto n = number<uint64_t>(*v)) t.tolerance.ulp = *n, good = true;
      if (auto v = value("rtol"))
        if (auto n = number<double>(*v)) t.tolerance.rtol = *n, good = true;
      if (auto v = value("atol"))
        if (auto n = number<double>(*v)) t.tolerance.atol = *n, good = true;
      if (auto v = value("sum"))
        if (auto n = number<double>(*v)) t.sum = *n, good = true;
      if (auto v = value("product"))
        if (auto n = number<double>(*v)) t.product = *n, good = true;
      if (!good)
        return fail(fmt::format(
            "`{}` is no tolerance: exact, ulp=N, rtol=X, atol=X, sum=X, product=X", option));
    }
    into.push_back(std::move(t));
  }

  static bool take_skip(std::string_view& s) {
    std::string_view rest = s;
    if (take_until(rest, " \t,") != "skip") return false;
    s = trim(rest);
    return true;
  }

  // Up to a comma outside parentheses.
  static std::string source(std::string_view& s) {
    int depth = 0;
    size_t i = 0;
    for (; i < s.size() && !(s[i] == ',' && depth == 0); ++i)
      depth += s[i] == '(' ? 1 : s[i] == ')' ? -1 : 0;
    std::string out(trim(s.substr(0, i)));
    s = trim(s.substr(i));
    return out;
  }

  // Numbers in brackets, which may nest and go on over further `//;` lines.
  bool literal(std::string_view& s, TestTensor& t) {
    size_t start = static_cast<size_t>(s.data() - text_.data());
    t.begin = start;
    int depth = 0;
    size_t i = start;
    std::string word;
    auto end_word = [&] {
      if (!word.empty()) t.literal.push_back(std::move(word));
      word.clear();
    };
    while (true) {
      if (i >= line_end_) {
        end_word();
        if (line_end_ >= text_.size()) return fail("the literal's `]` is missing"), false;
        at_ = line_end_ + 1;
        begin_line();
        size_t mark = rest_.find_first_not_of(kSpace);
        if (mark == std::string_view::npos || !rest_.substr(mark).starts_with("//;"))
          return fail("the literal's `]` is missing"), false;
        i = at_ + mark + 3;
        continue;
      }
      char c = text_[i++];
      if (c == '[') {
        if (++depth > 16) return fail("brackets nest too deep"), false;
      } else if (c == ']') {
        end_word();
        if (--depth == 0) break;
      } else if (c == ',' || c == ';' || kSpace.find(c) != std::string_view::npos) {
        end_word();
      } else {
        word += c;
      }
    }
    t.end = i;
    s = trim(text_.substr(i, line_end_ - i));
    return true;
  }

  std::string_view text_, rest_;
  Diagnostics& out_;
  size_t at_ = 0, line_end_ = 0;
  uint32_t line_ = 0;
  TestFile file_;
};

}  // namespace

TestFile parse_test_file(std::string_view text, Diagnostics& out) {
  return Parser(text, out).parse();
}

}  // namespace tess::cli
