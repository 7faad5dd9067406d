// The formatter: canonical spellings, comments, idempotence, and that nothing is lost.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "frontends/vmasm/format.h"
#include "tests/unit/vmasm_text.h"

using namespace tess;
using namespace tess::vmasm;
using vmasm_test::kernel_text;
using vmasm_test::places;

namespace {

std::string formatted(std::string_view text) {
  auto p = vmasm_test::parse(text);
  REQUIRE(places(p.diags) == "");
  return format(p.ast);
}
// The statement on one line, as the formatter prints it in a kernel.
std::string statement(std::string_view text) {
  std::string all = formatted(kernel_text(text));
  size_t begin = all.find("{\n    ") + 6;
  return all.substr(begin, all.rfind("\n}") - begin);
}

// The words and comments of a text, sorted: all that formatting must keep. Punctuation may change
// with canonical spellings (dim(1) and dim 1), and so may the order of attributes.
std::vector<std::string> content(const Ast& a) {
  std::vector<std::string> out;
  for (TokenId t = 0; t < a.tokens.size(); ++t) {
    switch (a.tokens[t].kind) {
      case TokenKind::word:
      case TokenKind::value:
      case TokenKind::layout:
      case TokenKind::number:
      case TokenKind::string:
      case TokenKind::plus:
      case TokenKind::minus:
      case TokenKind::star:
      case TokenKind::slash:
      case TokenKind::equals:
      case TokenKind::dots:
      case TokenKind::colon_plus:
        out.emplace_back(a.text(t));
        break;
      default:
        break;
    }
  }
  for (const Comment& c : a.comments) out.push_back(a.source.substr(c.offset, 4) + "…");
  std::ranges::sort(out);
  return out;
}

void check_stable(std::string_view text) {
  auto before = vmasm_test::parse(text);
  REQUIRE(places(before.diags) == "");
  std::string once = format(before.ast);
  CAPTURE(once);
  auto after = vmasm_test::parse(once);
  REQUIRE(places(after.diags) == "");
  CHECK(format(after.ast) == once);
  CHECK(content(before.ast) == content(after.ast));
  CHECK(before.ast.stmts.size() == after.ast.stmts.size());
  CHECK(before.ast.exprs.size() == after.ast.exprs.size());
}

}  // namespace

TEST_CASE("formatting the samples is stable and loses nothing") {
  for (std::string_view name : vmasm_test::kSamples) {
    CAPTURE(name);
    check_stable(vmasm_test::read_sample(name));
  }
}

TEST_CASE("canonical spellings") {
  CHECK(statement("%y=iota{dim(1)}:i32[64 , 128]") == "%y = iota : i32[64,128] {dim 1}");
  CHECK(statement("%y = transpose %a {perm(1,0)}") == "%y = transpose %a {perm(1, 0)}");
  CHECK(statement("%y = repeat %a count(2)") == "%y = repeat %a {count 2}");
  CHECK(statement("%s = smem f16[ring  ST , 4]#act") == "%s = smem f16[ring ST,4] #act");
  CHECK(statement("%b = mbar[4] count( 2 )") == "%b = mbar[4] count(2)");
  CHECK(statement("%i=block.x*1024+( a-b )") == "%i = block.x * 1024 + (a - b)");
  CHECK(statement("%i = ((a))") == "%i = (a)");
  CHECK(statement("%i = - - 1") == "%i = --1");
  CHECK(statement("%x = load x[ %i + 1 :+ 4,:, a : b ]") == "%x = load x[%i+1:+4, :, a:b]");
  CHECK(statement("store(fma a,b,c),x[0]") == "store (fma a, b, c), x[0]");
  CHECK(statement("%x = rem( a,b )") == "%x = rem(a, b)");
  CHECK(statement("%a,%b=call f( x,y )") == "%a, %b = call f(x, y)");
  CHECK(statement("while { }") == "while {}");
  CHECK(statement("%x = dot %a, %b {pad (1+2)}") == "%x = dot %a, %b {pad 1 + 2}");
  CHECK(statement("%x = dot %a, %b {pad ((1+2)*3)}") == "%x = dot %a, %b {pad((1 + 2) * 3)}");
  CHECK(statement("barrier;; barrier") == "barrier\n    barrier");
  CHECK(statement("print %a @ 1 : 2 : 3") == "print %a @1:2:3");
  CHECK(formatted("const  A=1,B = -2\n\n\n\nconst C:f32=inf") ==
        "const A = 1, B = -2\n\nconst C: f32 = inf\n");
  CHECK(formatted("layout #a=local( 1,2 )*x.y") == "layout #a = local(1,2) * x.y\n");
  CHECK(formatted("") == "");
  CHECK(formatted("\n\n// only\r\n") == "// only\n");
  CHECK(formatted("\xef\xbb\xbf"
                  "const A = 1") == "const A = 1\n");
}

TEST_CASE("if chains keep their braces together unless a comment stands between") {
  CHECK(statement("if %a { barrier }\nelse if %b {} else { barrier }") ==
        "if %a {\n        barrier\n    } else if %b {} else {\n        barrier\n    }");
  CHECK(statement("if %a { barrier } // x\nelse { barrier }") ==
        "if %a {\n        barrier\n    } // x\n    else {\n        barrier\n    }");
}

TEST_CASE("long lines break after the outermost commas and stay so") {
  std::string operand = "(load aaaaaaaaaaaaaaaaaaaaaaaaa[%i, %j])";
  std::string text = kernel_text("%long = fma " + operand + ", " + operand + ", " + operand);
  std::string once = formatted(text);
  CHECK(once.find("fma " + operand + ", " + operand + ",\n            " + operand + "\n") !=
        std::string::npos);
  check_stable(text);
  check_stable(
      kernel_text("%x = load " + std::string(300, 'x') + "[" + std::string(200, 'y') + ", 1]"));
}

TEST_CASE("long:a very long line is formatted in linear time") {
  std::string text = "const a = 0";
  for (int i = 0; i < 1000000; ++i) text += fmt::format(", a{} = {}", i, i);
  check_stable(text);
}

// Random spacing, comments and line breaks where the grammar allows them must not change the
// result's stability, and without comments not even the result.
TEST_CASE("formatting does not depend on the spacing") {
  std::mt19937 random(7);
  for (std::string_view name : vmasm_test::kSamples) {
    CAPTURE(name);
    auto p = vmasm_test::parse(vmasm_test::read_sample(name));
    const Ast& a = p.ast;
    for (int round = 0; round < 60; ++round) {
      bool comments = round % 2 == 1;
      std::string text;
      for (TokenId t = 0; t + 1 < a.tokens.size(); ++t) {
        const Token& token = a.tokens[t];
        if (token.newline_before) text += comments && random() % 4 == 0 ? "// c1\n" : "\n";
        else if (token.space_before)
          text += comments && random() % 8 == 0 ? " /* c2 */ " : std::string(1 + random() % 3, ' ');
        else if (random() % 4 == 0 && token.kind == TokenKind::comma) text += "  ";
        text += a.text(t);
      }
      if (comments) check_stable(text);
      else {
        // Blank lines and the comments of the sample are gone: compare with the same sample
        // without.
        auto bare = vmasm_test::parse(text);
        REQUIRE(places(bare.diags) == "");
        static std::string first;
        if (round == 0) first = format(bare.ast);
        CHECK(format(bare.ast) == first);
      }
    }
  }
}
