// The conformance file, hostile texts, canonical forms, speed, pictures, the calculator.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_calc.h"
#include "isa/layout_cases.h"
#include "isa/layout_draw.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "isa/layout_require.h"
#include "isa/layout_spell.h"

using namespace tess;

namespace {
Layout parse(const std::string& text) {
  auto l = parse_layout_expr(text);
  REQUIRE_MESSAGE(l, text << ": " << l.error().message);
  return *l;
}
std::string code_of(const std::string& text) {
  auto l = parse_layout_expr(text);
  return l ? "" : diag_id(l.error().code);
}
}  // namespace

TEST_CASE("every outside case passes") {
  std::ifstream file(std::string(TESS_SOURCE_ROOT) + "/tests/conformance/layout_cases.txt");
  std::stringstream text;
  text << file.rdbuf();
  CaseReport report = run_layout_cases(text.str());
  CHECK_MESSAGE(report.failed == 0, report.text);
  CHECK(report.passed == 212);
  CHECK(report.text == "212 passed, 0 failed\n");
}

TEST_CASE("the runner sees wrong answers, unknown operations and malformed lines") {
  CaseReport r = run_layout_cases(
      "# a comment\n\n"
      "X1 | cute.compose | 20:2 ; (5,4):(4,1) | (5,4):(8,3) | stated | here\n"
      "X2 | cute.nosuch | 1 | 1 | stated | here\n"
      "X3 | cute.at | 1:0 | 0\n"
      "X4 | cute.reject | compose : 20:2 ; 5:4 | reject | own | here\n"
      "X5 | cute.reject | complement : (2,2):(2,3) ; 19 | reject | own | here\n"
      "X6 | cute.coalesce | (2,4,6) | (8,6):(1,8) | own | here\n"
      "X7 | sw.equalfn | Sw<3,4,3> ; x ^ (((x % 1024) >> 8) << 4) | yes | own | here\n"
      "X8 | sw.equalfn | Sw<1,4,3> ; x | 3 | no | own | here\n"
      "X9 | cute.reject | nosuch : 1:0 | reject | own | here\n");
  CHECK(r.passed == 2);
  CHECK(r.failed == 7);
  CHECK(
      r.text.find(
          "X1 cute.compose 20:2 ; (5,4):(4,1)\n  got      (5,4):(8,2)\n  expected (5,4):(8,3)\n") !=
      std::string::npos);
  CHECK(r.text.ends_with("2 passed, 7 failed\n"));
}

TEST_CASE("cases of the research table that the file does not hold") {
  CaseReport r = run_layout_cases(
      "C030 | cute.compose | (6,2):(8,2) ; (4,3):(3,1) | ((2,2),3):((24,2),8) | t | t\n"
      "C032 | cute.compose | (10,2):(16,4) ; (5,4):(1,5) | (5,(2,2)):(16,(80,4)) | t | t\n"
      "C046 | cute.compose | (4,3):(3,1) ; 24:1 | (4,6):(3,1) | t | t\n"
      "C060 | cute.reject | compose : (8,8):(8,1) ; 4:3 | reject | t | t\n"
      "C073 | cute.complement | 4:2 ; 24 | (2,3):(1,8) | t | t\n"
      "C075 | cute.complement | (2,2):(1,6) ; 24 | (3,2):(2,12) | t | t\n"
      "C120 | cute.product | (2,2):(4,1) ; 6:1 | ((2,2),(2,3)):((4,1),(2,8)) | t | t\n"
      "C159 | cute.linv | (4,2):(1,5) | (5,2):(1,4) | t | t\n"
      "C175 | cute.maxvec | (4,4):(1,5) ; (2,3):(3,1) | 1 | t | t\n"
      "C176 | cute.maxvec | (4,6):(1,7) ; 24:1 | 4 | t | t\n"
      "S002 | sw.at | Sw<3,3,3> ; 64 | 72 | t | t\n"
      "S007 | sw.at | Sw<3,4,3> ; 1008 | 896 | t | t\n"
      "S050 | smem.choose | 64 ; 16 | (8,1,8) | t | t\n"
      "B021 | bank.ldsm | 128*r ^ (16*(r % 8)) | 1 | t | t\n"
      "L031 | ll.invcompose | {in1:[2,1,4] -> out/8} ; {in2:[0,2,1,4] -> out/8} | {in1:[2,4,8] -> "
      "in2/16} | t | t\n"
      "L074 | ll.of | (4,2):(1,8) | [1,2,8] | t | t\n"
      "F001 | frag.cute | m16n8k16.f16.A ; rows-minor | ((4,8),(2,2,2)):((32,1),(16,8,128)) | t | "
      "t\n"
      "F006 | frag.cute | m16n8k16.f16.B ; cols-minor | ((4,8),(2,2)):((16,1),(8,64)) | t | t\n"
      "V001 | cvt.class | {reg:[1] lane:[2,4] warp:[8] -> d/16} ; {reg:[1] lane:[2,4] warp:[8] -> "
      "d/16} | none | t | t\n"
      "V009 | cvt.class | {reg:[1] lane:[2] warp:[4] block:[8] -> d/16} ; {reg:[1] lane:[2] "
      "warp:[8] block:[4] -> d/16} | cluster | t | t\n");
  CHECK_MESSAGE(r.failed == 0, r.text);
}

TEST_CASE("malformed layouts have codes and places, and never crash") {
  CHECK(code_of("") == "E0600");
  CHECK(code_of("(4,8)") == "E0601");
  CHECK(code_of("(4,8):row:") == "E0600");
  CHECK(code_of("#nosuch") == "E0602");
  CHECK(code_of("locla(2)") == "E0602");
  CHECK(parse_layout_expr("locla(2)").error().hint == "did you mean 'local'?");
  CHECK(code_of("mma.m16n8k16.f16.D") == "E0603");
  CHECK(code_of("(1,2,3,4,5,6,7,8,9):row") == "E0604");
  CHECK(code_of("4611686018427387904:1") == "E0600");
  CHECK(code_of("(2147483648,2147483648):row") == "E0604");
  CHECK(code_of("(0,4):row") == "E0604");
  CHECK(code_of("(4,4):(1,2,3)") == "E0600");
  CHECK(code_of("{reg:[(0,1)] d0:[(1,0)] -> 2,2}") == "E0600");
  CHECK(code_of("{reg:[(0,1),(0,4)] -> 2,4}") == "E0605");
  CHECK(code_of("{reg:[3:(0,1)] -> 1,2}") == "E0605");
  CHECK(code_of("{reg:[1] reg:[2] -> 4}") == "E0600");
  CHECK(code_of("(8,8):row o (9,9):row") == "E0606");
  CHECK(code_of("(4,6):(1,7) o 6:3") == "E0607");
  CHECK(code_of("complement((2,2):(2,3), 19)") == "E0609");
  CHECK(code_of("linv((2,2):(1,1))") == "E0610");
  CHECK(code_of("divide(mma.m16n8.f32.C, local(3,1))") == "E0611");
  CHECK(code_of("Sw<3,3,2> o 64:1") == "E0613");
  CHECK(code_of("Sw<3,3,3>") == "E0600");
  CHECK(code_of("Sw<3,3,3> * 4:1") == "E0600");
  CHECK(code_of("local(2,2) * (4,4):row") == "E0613");
  CHECK(code_of("reduce((4,4):row, 0)") == "E0613");
  CHECK(code_of("permute(local(2,2), 0, 0)") == "E0613");
  CHECK(code_of(std::string(100, '(')) == "E0600");
  CHECK(code_of(std::string(100, '(') + "4" + std::string(100, ')') + ":1") == "E0600");
  CHECK(code_of(std::string(99, '-') + "4:1") == "E0605");
  Diagnostic d = parse_layout_expr("local(2,1) * spaital(8,4)", {}, {2, 7, 20, 0}).error();
  CHECK(d.span == Span{2, 7, 33, 1});
}

TEST_CASE("every prefix and every single-byte change of good texts is handled") {
  const std::string good[] = {
      "warps(2,2) * local(4,8) * mma.m16n8.f32.C", "Sw<3,3,3> o (128,64):(64,1)",
      "{reg:[(0,1),(8,0)] lane:[(0,2),(0,4),(1,0),(2,0),(4,0)] xor:(1,0) -> 16,8}",
      "divide(reshape((16,(4,2)):(8,(1,4)), 8, 16), (2,2):row)",
      "{d0:[3:5,4:1] d1:[] at:7 -> 100}"};
  int parsed = 0;
  for (const std::string& text : good) {
    for (size_t n = 0; n < text.size(); ++n)
      parsed += static_cast<bool>(parse_layout_expr(text.substr(0, n)));
    for (size_t i = 0; i < text.size(); ++i)
      for (char c : std::string("(){}[]<>*:,-0919o#a \x80\n")) {
        std::string changed = text;
        changed[i] = c;
        if (auto l = parse_layout_expr(changed)) {
          ++parsed;
          CHECK(parse_layout_expr(print_canonical(*l)));
        }
      }
  }
  CHECK(parsed > 100);
}

TEST_CASE("canonical_layout refuses malformed values, and accepts its own results unchanged") {
  auto bad = [](auto change) {
    Layout l = parse("Sw<3,3,3> o (48,64):(64,1)");
    change(l);
    return !canonical_layout(l);
  };
  CHECK(bad([](Layout& l) { l.shape.clear(); }));
  CHECK(bad([](Layout& l) { l.shape = {0}; }));
  CHECK(bad([](Layout& l) { l.digits[0].size = 0; }));
  CHECK(bad([](Layout& l) { l.digits[0].size = int64_t{1} << 61; }));
  CHECK(bad([](Layout& l) { l.digits[0].out.push_back(1); }));
  CHECK(bad([](Layout& l) { l.digits[0].out[0] = INT64_MAX; }));
  CHECK(bad([](Layout& l) { l.digits[0].out[0] = INT64_MIN; }));
  CHECK(bad([](Layout& l) { l.digits[0].dim = 7; }));
  CHECK(bad([](Layout& l) { l.digits[0].label = static_cast<Label>(9); }));
  CHECK(bad([](Layout& l) { l.offset.clear(); }));
  CHECK(bad([](Layout& l) { l.offset = {-5}; }));
  CHECK(bad([](Layout& l) { l.bits.in_bits = {200}; }));
  CHECK(bad([](Layout& l) { l.bits.in_bits = {1}; }));
  CHECK(bad([](Layout& l) { l.bits.columns[0] = {}; }));
  CHECK(bad([](Layout& l) { l.bits.columns[0] = {-1}; }));
  CHECK(bad([](Layout& l) { l.dims = 200; }));
  for (const char* text :
       {"Sw<3,3,3> o (48,64):(64,1)", "Sw<3,3,3> o (128,64):row", "warps(2,2)*mma.m16n8.f32.C",
        "(64,64):(72,1)", "{d0:[3,1] xor:2 -> 4}", "1:0"}) {
    Layout l = parse(text);
    auto again = canonical_layout(l);
    REQUIRE(again);
    CHECK(*again == l);
  }
  CHECK(parse("(128,64):row") == parse("(128,(8,8)):(64,(1,8))"));
  CHECK(parse("Sw<3,3,3> o (128,64):(64,1)") ==
        parse("{d0:[72,144,288,512,1024,2048,4096] d1:[1,2,4,8,16,32] -> 8192}"));
  CHECK(parse("Sw<2,8,3> o (8,8):row") ==
        parse("(8,8):row"));  // a swizzle beyond the extent moves nothing
  CHECK(*same_map(parse("Sw<1,0,3> o Sw<1,0,3> o (6,9):row"), parse("(6,9):row")));
}

TEST_CASE("large layouts are composed by rule: nothing is enumerated") {
  Layout mem = parse("(4096,4096):(268435456,65536)");  // cosize 2^40
  Layout sw = parse("Sw<3,16,3> o (4096,4096):(268435456,65536)");
  Layout reg = parse("warps(4,2) * local(64,128) * mma.m16n8k16.f16.A");
  Layout big = parse("local(256,256) * mma.m16n8k16.f16.A");
  Layout column = parse("(4096,4096):(4096,1)");
  Layout turn = parse("{d0:[4096:(0,1)] d1:[4096:(1,0)] -> 4096,4096}");
  CHECK(extent_of(mem) > (int64_t{1} << 39));
  uint64_t before = judge_count();
  CHECK(compose(mem, big));
  CHECK(compose(sw, big));
  CHECK(compose(mem, turn));
  CHECK(compose(*coalesce(mem), column));
  CHECK(vector_width(big, sw));
  CHECK(banks(reg, parse("Sw<3,3,3> o (4096,4096):row"), 16));
  CHECK(matrix_banks(reg, parse("Sw<3,3,3> o (4096,4096):row")));
  CHECK(conversion(big, parse("local(256,512) * mma.m16n8.f32.C")));
  CHECK(*covers(big));
  CHECK(*is_injective(sw));
  CHECK(judge_count() == before);
  CHECK(*vector_width(parse("local(3,5)*spatial(8,4)*local(1,6)"), parse("(24,120):(122,1)")) == 2);
  CHECK(judge_count() == before);
  auto undecided = compose(parse("(5000,5000):(1,5001)"), parse("8000000:3"));
  REQUIRE(!undecided);
  CHECK(diag_id(undecided.error().code) == "E0608");
}

TEST_CASE("pictures show who holds what") {
  CHECK(*draw_layout(parse("spatial(2,2)*local(1,2)"), false) ==
        "lane (T) and register (R) that hold each element; colour: lane; +n: copies\n"
        "       0     1     2     3\n"
        " 0 T0 R0 T0 R1 T1 R0 T1 R1\n"
        " 1 T2 R0 T2 R1 T3 R0 T3 R1\n");
  CHECK(*draw_layout(parse("Sw<1,0,1> o (2,2):(2,1)"), false) ==
        "offset of each element; colour: bank of 16-bit elements\n"
        "   0 1\n"
        " 0 0 1\n"
        " 1 3 2\n");
  CHECK(draw_layout(parse("spatial(2,2)"), true)->find("\x1b[30;48;5;") != std::string::npos);
  CHECK(draw_layout(parse("replicate(2)*spatial(2)"), false)->find("T0 R0+1") != std::string::npos);
  CHECK(draw_layout(parse("{reg:[2:(2)] -> 4}"), false)->find("·") != std::string::npos);
  CHECK(draw_layout(parse("(1000,1000):row"), false)
            ->find("(the first 64 of 1000 rows and 64 of 1000 columns)") != std::string::npos);
  auto svg = svg_layout(parse("Sw<3,3,3> o (8,64):(64,1)"));
  REQUIRE(svg);
  CHECK(svg->starts_with("<svg xmlns="));
  CHECK(svg->ends_with("</svg>\n"));
  CHECK(svg->find("Sw&lt;3,3,3&gt; o (8,64):(64,1)") != std::string::npos);
  size_t cells = 0;
  for (size_t at = svg->find("stroke="); at != std::string::npos; at = svg->find("stroke=", at + 1))
    ++cells;
  CHECK(cells == 8 * 64);
}

TEST_CASE("the calculator names every spelling, or why there is none") {
  std::string a = *describe_layout("mma.m16n8k16.f16.A");
  for (const char* part :
       {"column_local(2,2) * spatial(8,4) * local(1,2)",
        "{reg:[(0,1),(8,0),(0,8)] lane:[(0,2),(0,4),(1,0),(2,0),(4,0)] -> 16,16}",
        "((4,8),(2,2,2)):((32,1),(16,8,128))", "F2             yes", "vec            2"})
    CHECK_MESSAGE(a.find(part) != std::string::npos, part);
  std::string p = *describe_layout("(64,64):(72,1)");
  for (const char* part : {"cosize         4600", "F2             no (not linear over F2",
                           "504 of 4600 places unused"})
    CHECK_MESSAGE(p.find(part) != std::string::npos, p);
  CHECK(!describe_layout("(64,64)"));
}

TEST_CASE(
    "the manual's layout chapter shows what the tool prints, and every requirement in it holds") {
  std::ifstream file(std::string(TESS_SOURCE_ROOT) + "/isa/layouts.md");
  std::stringstream buffer;
  buffer << file.rdbuf();
  std::string text = buffer.str();
  int pictures = 0, requirements = 0;
  Layout a = parse("mma.m16n8k16.f16.A"), s = parse("Sw<3,3,3> o (128,64):(64,1)");
  LayoutEnv env;
  env.layout = [&](std::string_view name) { return name == "a" ? &a : name == "s" ? &s : nullptr; };
  for (size_t open = text.find("```\n"); open != std::string::npos;) {
    size_t close = text.find("```", open + 4);
    REQUIRE(close != std::string::npos);
    std::string block = text.substr(open + 4, close - open - 4);
    size_t line_end = block.find('\n');
    std::string command = block.substr(0, line_end), rest = block.substr(line_end + 1);
    bool draw = command.starts_with("$ tess layout --draw '");
    if (draw || command.starts_with("$ tess layout '")) {
      size_t quote = command.find('\'');
      std::string expr = command.substr(quote + 1, command.size() - quote - 2);
      auto shown = draw ? draw_layout(parse(expr), false) : describe_layout(expr);
      REQUIRE(shown);
      CHECK(*shown == rest);
      ++pictures;
    }
    std::istringstream lines(block);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("require ")) continue;
      auto holds = check_require(line.substr(8), env);
      CHECK_MESSAGE(holds, line << ": " << holds.error().message);
      ++requirements;
    }
    open = text.find("```\n", close + 3);
  }
  CHECK(pictures >= 8);
  CHECK(requirements >= 9);
}

TEST_CASE("what cannot be written in a spelling, or read as a case, is said with a code") {
  Result<Layout> thirds = parse_layout_expr("spatial(3) * local(2)");
  REQUIRE(thirds);
  Result<std::string> bases = spell_bases(*thirds);
  REQUIRE(!bases);
  CHECK(bases.error().code == diag::layout_not_expressible);
  auto unknown = cases::run_operation("cute.nonsense", {}, "1");
  REQUIRE(!unknown);
  CHECK(unknown.error().code == diag::layout_case_syntax);
}
