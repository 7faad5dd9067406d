// Wrong and hostile text: every mistake reported once, at its place, and nothing takes long.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <random>

#include "frontends/vmasm/format.h"
#include "isa/limits.h"
#include "tests/unit/vmasm_text.h"

using namespace tess;
using namespace tess::vmasm;
using vmasm_test::body_errors;
using vmasm_test::errors_of;
using vmasm_test::kernel_text;
using vmasm_test::places;

TEST_CASE("ten mistakes are ten errors at their places") {
  std::string text = R"(const BM = 16, = 3
type W u4
konst X = 3
kernel k(n: i32, %x: in f32[n], y: out f32[n] alined(16))
    grid(cdiv(n, 1024) warps(4)
{
    %i = block.x * * 1024
    %x = load x[%i:+1024
    %y = load y[%i:+1024] wher %m
    if %i = 3 { store %x, y[%i] }
    barrier barrier
}
)";
  auto p = vmasm_test::parse(text);
  CHECK(places(p.diags) ==
        "E0110@1:16 E0110@2:8 E0116@3:1 E0110@4:18 E0110@4:47 E0112@5:24 E0115@7:20 E0112@8:25 "
        "E0118@9:27 "
        "E0127@10:11 E0111@11:13");
  CHECK(p.diags[2].hint == "did you mean `const`?");
  CHECK(p.diags[4].hint == "did you mean `aligned`?");
  CHECK(p.diags[8].hint == "did you mean `where`?");
  REQUIRE(p.diags[7].notes.size() == 1);
  CHECK(p.diags[7].notes[0].span == Span{0, 8, 16, 1});
}

TEST_CASE("ten good fixes make the text right") {
  for (std::string_view body :
       {"q = 3", "if %a = 3 { }", "while %a = 3 { barrier }", "barrier barrier barrier", "foo(%x)",
        "%v = max(%a), %c", "%v = max (sub %a, %b), (neg(abs %c))", "%a = 3 %b = 4 store %a, x[0]",
        "wgmma.commit  wgmma.wait 1"}) {
    CAPTURE(body);
    std::string text = kernel_text(body);
    auto p = vmasm_test::parse(text);
    CHECK_FALSE(p.diags.empty());
    std::string fixed = vmasm_test::apply_fixes(text, p.diags);
    CAPTURE(fixed);
    CHECK(errors_of(fixed).empty());
  }
  CHECK(errors_of("kernel k(%n: i32) grid(1) warps(4) {}") == "E0110@1:10");
  auto p = vmasm_test::parse("const A = 1 const B = 2");
  CHECK(places(p.diags) == "E0111@1:13");
  CHECK(vmasm_test::apply_fixes(p.ast.source, p.diags) == "const A = 1; const B = 2");
}

TEST_CASE("a mistake in a statement costs only that statement") {
  CHECK(body_errors("%a = fma %x,,%y\n%b = = 3\n%c = 4 4\n%d = [3]\n%e = )") ==
        "E0115@3:13 E0115@4:6 E0110@5:8 E0115@6:6 E0115@7:6");
  CHECK(body_errors("%a = (add %x, %y\n%b = 3 )\n%c = (4]") == "E0110@3:17 E0112@5:8");
  CHECK(body_errors("for %i of 0..3 { %q == 3 }\nfor i in 0..3 { %q }\nfor %i in 0 { }") ==
        "E0110@3:8 E0110@3:21 E0110@4:5 E0110@4:20 E0110@5:13");
  CHECK(body_errors("if { barrier }\nif %a { } else if { }\nwhile ) { barrier 3) }") ==
        "E0115@3:4 E0115@4:19 E0115@5:7 E0113@5:20");
  CHECK(body_errors("parallel { warp 0..4 { %a 3 }\n barrier\n warps 4..8 by 2 by 3 { } }") ==
        "E0110@3:12 E0110@3:27 E0110@4:2 E0119@5:21");
  CHECK(body_errors("%a = 3 @\n%b = 3 @1\n%c = 3 @99999999999:1\n%d = 4 @1:2:3:4\n%e = 5 @0x1:2") ==
        "E0126@3:9 E0110@4:10 E0126@5:9 E0110@6:14 E0126@7:9");
  CHECK(body_errors("%a = fma (%b %c), 3\n%d = fma a b, c") == "E0110@3:14 E0110@4:12");
  CHECK(body_errors("else { barrier }\n%a = if %b { }\nend\n%c = for") ==
        "E0124@3:1 E0124@4:6 E0124@5:1 E0124@6:6");
  CHECK(body_errors("%a = load x[1,2,3,4,5,6,7,8,9]") == "L0125@3:29");
  CHECK(body_errors("%a, %b") == "E0110@3:7");
  CHECK(body_errors("%a += 3") == "E0110@3:4");
  CHECK(body_errors("%a = 5 % 3") == "E0106@3:8");
  CHECK(body_errors("%a = iota {3} : i32[4]") == "E0110@3:12");
  CHECK(body_errors("%a = iota : [4]\n%b = iota : +\n%c = iota : i32[]") ==
        "E0121@4:13 E0115@5:17");
}

TEST_CASE("an unclosed block is reported once, where the next kernel begins or the file ends") {
  CHECK(errors_of("kernel a() grid(1) {\n if %a {\n barrier\n\nkernel b() grid(1) {\n %x 3 }") ==
        "E0112@5:1 E0110@6:5");
  CHECK(errors_of("kernel a() grid(1) {\n if %a {\n while {\n barrier\n") == "E0112@5:1");
  CHECK(errors_of("kernel a() grid(1) {\n } }\nconst A = 1\nkernel b() { }") == "E0113@2:4");
  CHECK(errors_of("kernel a() grid(1)\nkernel b() { %x }") == "E0110@1:19 E0110@2:17");
}

TEST_CASE("header and parameter mistakes") {
  CHECK(errors_of("kernel k(a: , b: in f32[n] : lda, : i32, c i32, d: i32 1.., e: in f32[n) { }") ==
        "E0121@1:13 E0110@1:30 E0110@1:35 E0110@1:44 E0115@1:59 E0112@1:72");
  CHECK(errors_of("kernel k() gird(1) grid(1) grid(2) sync fast fast(ftz, x) let = 3 workspace p "
                  "f32[3] warps() { }") ==
        "E0120@1:12 E0119@1:28 E0110@1:41 E0110@1:46 E0110@1:56 E0110@1:63 E0110@1:79");
  CHECK(errors_of("kernel k<BM> () { }") == "E0110@1:12");
  CHECK(errors_of("kernel (a: i32) { }\nfunc f(x: i32 { }") == "E0110@1:8 E0112@2:15");
  CHECK(errors_of("layout #a\nlayout b = x\nlayout #c =\nlayout #e = 1)\nuse x\nfile x \"a\"") ==
        "E0110@1:10 E0110@2:8 E0110@3:12 E0113@4:14 E0110@5:5 E0126@6:6");
  CHECK(errors_of("layout #d = (1\nconst A = 1") == "E0112@1:13");
  CHECK(errors_of("require\nconst\ntype T =") == "E0115@1:8 E0110@2:6 E0121@3:9");
}

namespace {

std::string repeated(std::string_view piece, int n) {
  std::string out;
  out.reserve(piece.size() * n);
  for (int i = 0; i < n; ++i) out += piece;
  return out;
}

}  // namespace

TEST_CASE("deep nesting gives one error, at once") {
  constexpr int kDeep = 100000;
  auto begin = std::chrono::steady_clock::now();
  for (std::string_view piece :
       {"(", "[", "{", "- ", "!", "f(", "(neg ", "w{", "x[", "([{", "#("}) {
    CAPTURE(piece);
    auto p = vmasm_test::parse(kernel_text("%x = load " + repeated(piece, kDeep)));
    CHECK(p.diags.size() == 1);
    CHECK(p.diags[0].span.line == 3);
  }
  for (auto [open, close] :
       {std::pair("(", ")"), std::pair("x[", "]"), std::pair("f(", ")"), std::pair("(neg ", ")")}) {
    CAPTURE(open);
    auto p = vmasm_test::parse(
        kernel_text("%x = " + repeated(open, kDeep) + "1" + repeated(close, kDeep)));
    REQUIRE(p.diags.size() == 1);
    CHECK(diag_id(p.diags[0].code) == "L0114");
  }
  for (std::string_view piece : {"if %c {", "while {\n", "for %i in 0..3 {",
                                 "parallel { warps 0..4 {", "if %c { } else {"}) {
    CAPTURE(piece);
    for (bool closed : {false, true}) {
      auto p = vmasm_test::parse(
          kernel_text(repeated(piece, kDeep) + (closed ? repeated("}", kDeep) : "")));
      REQUIRE(p.diags.size() == 1);
      CHECK(diag_id(p.diags[0].code) == "L0114");
    }
  }
  for (std::string_view piece : {"{", "{\n", "}", ")", "]", "else {"}) {
    CAPTURE(piece);
    CHECK(vmasm_test::parse(kernel_text(repeated(piece, kDeep))).diags.size() <= 2);
    CHECK(vmasm_test::parse(repeated(piece, kDeep)).diags.size() == 1);
  }
  CHECK(errors_of("layout #a = " + repeated("(", kDeep) + "1" + repeated(")", kDeep)).empty());
  CHECK(places(vmasm_test::parse(kernel_text("%x = 1" + repeated(" + 1", kDeep))).diags) ==
        "L0114@3:6");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

TEST_CASE("nesting up to the limit is accepted, and a long chain of branches is no nesting") {
  int n = static_cast<int>(limits::max_nesting);
  CHECK(body_errors("%x = " + repeated("(", n) + "1" + repeated(")", n)).empty());
  CHECK(body_errors(repeated("if %c {", n - 1) + repeated("}", n - 1)).empty());
  std::string chain = kernel_text("if %c { }" + repeated(" else if %c { }", 100000));
  auto p = vmasm_test::parse(chain);
  CHECK(p.diags.empty());
  CHECK(format(p.ast).size() > 1000000);
}

TEST_CASE("mutilated samples never crash, and their errors stay in the text") {
  std::mt19937 random(11);
  int rounds = 300;
  for (std::string_view name : vmasm_test::kSamples) {
    std::string text = vmasm_test::read_sample(name);
    for (int i = 0; i < rounds; ++i) {
      std::string broken = text;
      for (int k = 0; k < 1 + i % 4; ++k) {
        size_t at = random() % broken.size();
        switch (random() % 4) {
          case 0:
            broken.erase(at, 1 + random() % 8);
            break;
          case 1:
            broken[at] = static_cast<char>(random());
            break;
          case 2:
            broken.insert(at, 1, "(){}[],;:%#@\"=\n"[random() % 15]);
            break;
          default:
            broken.resize(at + 1);
            break;
        }
      }
      CAPTURE(broken);
      auto p = vmasm_test::parse(broken);
      uint32_t lines = static_cast<uint32_t>(std::count(broken.begin(), broken.end(), '\n')) + 1;
      bool inside = true;
      for (const Diagnostic& d : p.diags)
        inside = inside && d.span.line >= 1 && d.span.line <= lines && d.span.col >= 1;
      CHECK(inside);
      if (p.diags.empty()) {
        std::string once = format(p.ast);
        auto again = vmasm_test::parse(once);
        CAPTURE(once);
        CHECK(places(again.diags) == "");
        CHECK(format(again.ast) == once);
      }
    }
  }
}

TEST_CASE("long:50 MB take linear time") {
  std::string line =
      "        %a = load a[%m0:+BM, %kk:+BK] where %m : f16[BM,BK] #act {pad 0, evict_first}\n"
      "        %b = mul (sub (cast %q : f16), (cast %z : f16)), %s // a comment\n"
      "        if %i > 3 { %i = block.x * 1024 + rem(%t, nt) * BN; mbar.arrive %full[%it] }\n";
  auto seconds = [&](size_t bytes) {
    std::string text = kernel_text(repeated(line, static_cast<int>(bytes / line.size())));
    std::clock_t begin = std::clock();  // processor time: other load does not count
    auto p = vmasm_test::parse(text);
    CHECK(p.diags.empty());
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  double small = seconds(5'000'000), large = seconds(50'000'000);
  MESSAGE("5 MB in ", small, " s, 50 MB in ", large, " s");
  CHECK(large < 10);          // 5 MB/s
  CHECK(large < 40 * small);  // far below what anything quadratic would take
}
