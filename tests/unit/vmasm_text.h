// Helpers of the front end's tests: parse text, name the diagnostics, read the sample files.
#pragma once
#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/vmasm/parser.h"

namespace vmasm_test {

inline constexpr std::string_view kSamples[] = {"w4a16",       "flash_attention", "layouts",
                                                "matmul_a16w", "saxpy",           "everything"};

inline std::string read_sample(std::string_view name) {
  std::ifstream in(fmt::format("{}/tests/data/vmasm/{}.vmasm", TESS_SOURCE_ROOT, name),
                   std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Parsed {
  tess::vmasm::Ast ast;
  tess::Diagnostics diags;
};
inline Parsed parse(std::string_view text) {
  Parsed p;
  p.ast = tess::vmasm::parse(std::string(text), 0, p.diags);
  return p;
}

// "E0110@3:7 E0112@4:1": the codes and places of all diagnostics.
inline std::string places(const tess::Diagnostics& diags) {
  std::string out;
  for (const tess::Diagnostic& d : diags)
    out += fmt::format("{}{}@{}:{}", out.empty() ? "" : " ", tess::diag_id(d.code), d.span.line,
                       d.span.col);
  return out;
}
inline std::string errors_of(std::string_view text) { return places(parse(text).diags); }
// Of statements in a kernel; the first stands on line 3.
inline std::string kernel_text(std::string_view body) {
  return fmt::format("kernel k(n: i32) grid(1) warps(4)\n{{\n{}\n}}\n", body);
}
inline std::string body_errors(std::string_view body) { return errors_of(kernel_text(body)); }

// The text with every fix applied, last first.
inline std::string apply_fixes(std::string text, const tess::Diagnostics& diags) {
  auto offset_of = [&](uint32_t line, uint32_t col) {
    size_t at = 0;
    for (uint32_t l = 1; l < line; ++l) at = text.find('\n', at) + 1;
    for (uint32_t c = 1; c < col; ++c) {
      ++at;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    }
    return at;
  };
  for (size_t i = diags.size(); i-- > 0;) {
    if (!diags[i].fix) continue;
    const tess::Span& s = diags[i].fix->span;
    size_t begin = offset_of(s.line, s.col);
    text.replace(begin, offset_of(s.line, s.col + s.len) - begin, diags[i].fix->replacement);
  }
  return text;
}

}  // namespace vmasm_test
