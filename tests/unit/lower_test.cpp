// Lowering of text: names, scopes, specialisation, functions, `use`. Mistakes stand in tests/bad.
#include "frontends/vmasm/lower.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

#include "frontends/vmasm/print_module.h"
#include "isa/verify.h"

using namespace tess;
using vmasm::CompileOptions;

namespace {

struct Compiled {
  std::optional<Module> module;
  std::string errors;  // "E0180 3:4" each, joined by ;
  bool verified = false;
};

Compiled compile(std::string text, CompileOptions options = {}) {
  Compiled c;
  Sources sources;
  Diagnostics d;
  c.module = vmasm::compile({"t.vmasm", std::move(text)}, options, sources, d);
  if (c.module) c.verified = verify(*c.module, d).has_value();
  for (const Diagnostic& x : d) c.errors += fmt::format("{} {}:{};", diag_id(x.code), x.span.line, x.span.col);
  return c;
}

// The instructions of the first kernel, one a line, without places.
std::string code_of(const Module& m) {
  std::string text = vmasm::print_module(m, {.lines = false});
  size_t body = text.find("\n{\n");
  return text.substr(body + 3, text.rfind('}') - body - 3);
}

const char* kHead = "kernel k(n: i32, x: in f32[n], y: out f32[n]) grid(1)\n{\n";
std::string body(const std::string& lines) { return kHead + lines + "}\n"; }

}  // namespace

TEST_CASE("literals take the other operand's type, the name's, or a default") {
  Compiled c = compile(body("%a = load x[0:+8]; %b = mul %a, 2; %i = 0; %i = %i + 1; %f = 0.5; %f = 1\n"
                            "%l = cast n : i64; %l = %l * 3; store %b, y[0:+8]\n"));
  REQUIRE(c.errors == "");
  CHECK(code_of(*c.module) ==
        "    %a = load x[0:+8]\n    %b = mul %a, 2.0\n    %i = move 0 : i32\n    %i = add %i, 1\n"
        "    %f = move 0.5 : f32\n    %f = move 1.0 : f32\n    %l = cast n : i64\n    %l = mul %l, 3\n"
        "    store %b, y[0:+8]\n");
}

TEST_CASE("constant arithmetic folds, with the precedence of C") {
  Compiled c = compile("const A = 3, B = A * 4 + 2, C = (1 << 4) | 1, D = -7 / 2, E = cdiv(7, 2), F = rem(-7, 2)\n" +
                       body("%a = A + B * 2; %c = C; %d = D; %e = E; %f = F; %g = 0x1.8p1 + 1; %h = 1 < 2 && !false\n"));
  REQUIRE(c.errors == "");
  CHECK(code_of(*c.module) ==
        "    %a = move 31 : i32\n    %c = move 17 : i32\n    %d = move -3 : i32\n    %e = move 4 : i32\n"
        "    %f = move -1 : i32\n    %g = move 4.0 : f32\n    %h = move true : bool\n");
}

TEST_CASE("-D replaces consts and types, and only what a kernel uses is part of its key") {
  std::string text =
      "const BM = 16, UNUSED = 9, TWICE = BM * 2\ntype W = u4\n"
      "kernel k(x: in W[TWICE], y: out W[TWICE]) grid(1)\n{\nstore (load x[0:+TWICE]), y[0:+TWICE]\n}\n";
  Compiled c = compile(text, {.defines = {{"BM", "8"}, {"W", "e2m3"}}});
  REQUIRE(c.errors == "");
  CHECK(kernel_key(c.module->kernels[0]) == "k<BM=8, TWICE=16, W=e2m3>");
  CHECK(compile(text, {.defines = {{"BN", "8"}}}).errors == "E0193 0:0;");
  CHECK(compile(text, {.defines = {{"BM", "u4"}}}).errors == "E0194 0:0;");
  CHECK(compile(text, {.defines = {{"W", "7"}}}).errors == "E0194 0:0;");
  Compiled many = compile(text, {.specs = {{{"W", "u1"}}, {{"W", "i3"}, {"BM", "4"}}}});
  REQUIRE(many.errors == "");
  REQUIRE(many.module->kernels.size() == 2);
  CHECK(kernel_key(many.module->kernels[1]) == "k<BM=4, TWICE=8, W=i3>");
}

TEST_CASE("functions are inlined with generic extents and types; results are moved out at the end") {
  Compiled c = compile(
      "func swap(%a: T[M], %b: T[M]) -> (%p: T[M], %q: T[M])\n{\n%p = %b; %q = %a\n}\n" +
      body("%a = load x[0:+4]; %b = load x[4:+4]\n%a, %b = call swap(%a, %b)\nstore %a, y[0:+4]\n"));
  REQUIRE(c.errors == "");
  // Both results are computed before either name changes.
  CHECK(code_of(*c.module) ==
        "    %a = load x[0:+4]\n    %b = load x[4:+4]\n    %swap1.p = %b\n    %swap1.q = %a\n"
        "    %a = %swap1.p\n    %b = %swap1.q\n    store %a, y[0:+4]\n");
}

TEST_CASE("a used file brings functions and layouts, with its own constants") {
  std::map<std::string, std::string> files{
      {"lib.vmasm", "use \"base.vmasm\"\nconst C = 5\nfunc f(%a: f32[N]) -> (%r: f32[N])\n{\n%r = call g(%a)\n%r = mul %r, C\n}\n"},
      {"base.vmasm", "const C = 7\nfunc g(%a: f32[N]) -> (%r: f32[N])\n{\n%r = add %a, C\n}\n"},
      {"loop.vmasm", "use \"loop.vmasm\"\n"}};
  CompileOptions options;
  options.load = [&](const std::string& name, const std::string&) -> Result<SourceFile> {
    auto it = files.find(name);
    if (it == files.end()) return make_diag(Diag{192}, "no such file");
    return SourceFile{it->first, it->second};
  };
  Compiled c = compile("use \"lib.vmasm\"\nconst C = 1\n" + body("%a = load x[0:+4]\n%a = call f(%a)\nstore %a, y[0:+4]\n"), options);
  REQUIRE(c.errors == "");
  std::string code = code_of(*c.module);
  CHECK(code.find("add %a, 7.0") != code.npos);
  CHECK(code.find(", 5.0") != code.npos);
  CHECK(c.module->files.size() == 3);
  CHECK(compile("use \"loop.vmasm\"\n" + body(""), options).errors == "E0192 1:5;");
  CHECK(compile("use \"none.vmasm\"\n" + body(""), options).errors == "E0192 1:5;");
}

TEST_CASE("points take their extents from the written type, or from the stored tile") {
  Compiled c = compile("kernel k(x: in f32[64,64], y: out f32[64,64]) grid(1)\n{\n"
                       "%a = load x[1,2] : f32[8,4]; store %a, y[3,4]; %s = load x[5,6]; store %s, y[7,8]\n}\n");
  REQUIRE(c.errors == "");
  CHECK(code_of(*c.module) ==
        "    %a = load x[1:+8, 2:+4]\n    store %a, y[3:+8, 4:+4]\n    %s = load x[5, 6]\n    store %s, y[7, 8]\n");
}

TEST_CASE("a while loop evaluates its condition before each iteration") {
  Compiled c = compile(body("%i = 0\nwhile %i < n {\nif %i == 3 { break }\n%i = %i + 1\n}\n"));
  REQUIRE(c.errors == "");
  REQUIRE(c.verified);
  CHECK(code_of(*c.module) ==
        "    %i = move 0 : i32\n    while {\n        %0 = lt %i, n\n        test %0\n        %1 = eq %i, 3\n        if %1 {\n"
        "            break\n        }\n        %i = add %i, 1\n    }\n");
}

TEST_CASE("names may be assigned in one branch only if the others assign them too") {
  CHECK(compile(body("if n > 0 { %a = 1 } else { %a = 2 }\n%b = %a + 1\n")).errors == "");
  CHECK(compile(body("if n > 0 { %a = 1 } else { return }\n%b = %a + 1\n")).errors == "");
  CHECK(compile(body("if n > 0 { %a = 1 } else if n < 0 { %a = 2 }\n%b = %a + 1\n")).errors == "E0311 4:6;");
  CHECK(compile(body("while { %a = 1\nif n > 0 { break }\n%c = 1 }\n%b = %a + 1\n")).errors == "");
  CHECK(compile(body("while { if n > 0 { %a = 1; break }\n%c = 1 }\n%b = %a + 1\n")).errors == "E0311 5:6;");
  CHECK(compile(body("%a = undef : i32\nfor %i in 0..n { %a = %i }\n%b = %a + 1\n")).errors == "");
}

TEST_CASE("host expressions reach lets, workspaces and parameters declared later") {
  Compiled c = compile("kernel k(x: in f32[m,k], m: i32, k: i32) let t = cdiv(m, 16) * min(k, device.sms)\n"
                       "workspace w : f32[t, 4] zeroed grid(t - 1)\n{\n%i = t\n}\n");
  REQUIRE(c.errors == "");
  const Kernel& k = c.module->kernels[0];
  auto name = [&](uint32_t v) { return k.values[v].name; };
  CHECK(host_text(k.grid[0], name) == "t - 1");
  CHECK(host_text(k.params[3].let, name) == "cdiv(m, 16)*min(k, device.sms)");
}

TEST_CASE("mistakes inside a function are reported in its file, ten mistakes as ten") {
  Compiled c = compile(body("%a = laod x[0:+8]\n%b = load z[0:+8]\n%c = add n, 1.5\n%d = load x[0:+8] : f16[8]\n%e = fill 0\n"
                            "%f = exp n\nstore 0, x[0:+8]\n%g = reduce.add (load x[0:+8]) {dim 3}\nbreak\n%h = add %nothing, 1\n"));
  CHECK(std::count(c.errors.begin(), c.errors.end(), ';') == 10);
}

TEST_CASE("a decimal is rounded once to its type") {
  // Just above the tie between 1 and its successor in f32, but nearest to the tie in f64.
  Compiled c = compile(body("%a = fill 1.00000005960464477540 : f32[2]; %b = fill -1.00000005960464477540 : f32[2]\n"
                            "%c = fill 1.0000000596046447753906250 : f32[2]\n"));
  REQUIRE(c.errors == "");
  const std::vector<Constant>& k = c.module->kernels[0].constants;
  REQUIRE(k.size() == 3);
  CHECK(k[0].code == 0x3f800001);
  CHECK(k[1].code == 0xbf800001);
  CHECK(k[2].code == 0x3f800000);  // the tie itself goes to even
}

TEST_CASE("header words, typed lets and open ranges") {
  Compiled c = compile("kernel k(x: in f32[128]) sync manual fast(contract, ftz) let t : i64 = 5 grid(1)\n{\n"
                       "%v = slice x[2:]; %w = slice x[:7]\n}\n");
  REQUIRE(c.errors == "");
  const Kernel& k = c.module->kernels[0];
  CHECK(k.sync_manual);
  CHECK(k.fast == FastFlags{true, true, false});
  CHECK(k.values[1].type.dtype == dt::i64_);
  CHECK(code_of(*c.module) == "    %v = slice x[2:+126]\n    %w = slice x[0:+7]\n");
  CHECK(!compile("kernel k() sync auto grid(1)\n{\n}\n").module->kernels[0].sync_manual);
}

TEST_CASE("names of a strand are its own, and a disassembly keeps them apart") {
  Compiled c = compile(
      "kernel k(n: i32, y: out f32[n]) grid(1) warps(8)\n{\n"
      "    %b = mbar[2] count(1)\n"
      "    %c = n + 1\n"
      "    parallel {\n"
      "        warps 4..8 regs(40) { %it = %c; mbar.arrive %b[%it-%c] }\n"
      "        warps 0..4 by 2 (%w) regs(232) { %it = 1.5; mbar.wait %b[-1]; store %it, y[%w] }\n"
      "    }\n"
      "    %it = true\n"
      "}\n");
  CHECK(c.errors == "");
  REQUIRE(c.verified);
  std::string text = vmasm::print_module(*c.module);
  CHECK(code_of(*c.module) ==
        "    %b = mbar[2] count(1)\n"
        "    %c = add n, 1\n"
        "    parallel {\n"
        "        warps 4..8 regs(40) {\n"
        "            %it = %c\n"
        "            %0 = sub %it, %c\n"
        "            mbar.arrive %b[%0]\n"
        "        }\n"
        "        warps 0..4 by 2 (%w) regs(232) {\n"
        "            %strand2.it = move 1.5 : f32\n"
        "            mbar.wait %b[-1]\n"
        "            store %strand2.it, y[%w]\n"
        "        }\n"
        "    }\n"
        "    %strand3.it = move true : bool\n");
  Compiled again = compile(text);
  REQUIRE(again.module);
  CHECK(vmasm::print_module(*again.module) == text);
}
