// Lexing and the shape of the tree that correct text gives.
#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "frontends/vmasm/lexer.h"
#include "isa/diag/text.h"
#include "isa/limits.h"
#include "tests/unit/vmasm_text.h"

using namespace tess;
using namespace tess::vmasm;
using vmasm_test::body_errors;
using vmasm_test::errors_of;
using vmasm_test::kernel_text;
using vmasm_test::places;

namespace {

// "word:a value:%b": kinds and texts of the tokens, without the end.
std::string tokens_of(std::string_view text) {
  Diagnostics diags;
  Lexed l = lex(text, 0, diags);
  std::string out = places(diags);
  for (const Token& t : l.tokens)
    if (t.kind != TokenKind::end)
      out += fmt::format("{}{}", out.empty() ? "" : " ", text.substr(t.offset, t.len));
  return out;
}
TokenKind only_kind(std::string_view text) {
  Diagnostics diags;
  Lexed l = lex(text, 0, diags);
  REQUIRE(diags.empty());
  REQUIRE(l.tokens.size() == 2);
  CHECK(l.tokens[0].len == text.size());
  return l.tokens[0].kind;
}

// An expression with all its parentheses: "(a + (b * c))".
std::string shape(const Ast& a, ExprId id) {
  const Expr& e = a[id];
  switch (e.kind) {
    case ExprKind::unary:
      return fmt::format("({}{})", operator_text(e.op), shape(a, e.lhs));
    case ExprKind::binary:
      return fmt::format("({} {} {})", shape(a, e.lhs), operator_text(e.op), shape(a, e.rhs));
    case ExprKind::call: {
      std::string out = std::string(a.text(e.word)) + "(";
      for (ExprId x : a.list(e.args)) out += shape(a, x) + ";";
      return out + ")";
    }
    case ExprKind::access: {
      std::string out = shape(a, e.lhs);
      if (e.rhs) out += "{" + shape(a, e.rhs) + "}";
      if (!e.has_brackets) return out;
      out += "[";
      for (SubscriptId s : a.list(e.subscripts)) {
        constexpr std::string_view kKinds[] = {"point", "range", "span", "all"};
        out += kKinds[static_cast<int>(a[s].kind)];
        if (a[s].start) out += " " + shape(a, a[s].start);
        if (a[s].stop) out += " " + shape(a, a[s].stop);
        out += ";";
      }
      return out + "]";
    }
    case ExprKind::inst: {
      const Inst& i = a[e.inst];
      std::string out = "<" + std::string(i.kind == InstKind::expr ? "expr" : a.text(i.name));
      for (ExprId x : a.list(i.operands)) out += " " + shape(a, x);
      if (i.type) out += fmt::format(" : {}", a.source_of(a[i.type].tokens));
      return out + ">";
    }
    case ExprKind::layout:
      return std::string(a.source_of(e.tokens));
    default:
      return std::string(a.text(e.word));
  }
}
const Stmt& stmt_at(const Ast& a, uint32_t i) {
  return a[a.list(a[a[a.items.back()].body].stmts)[i]];
}
// The right side of `%d = …`.
std::string rhs(std::string_view text) {
  auto p = vmasm_test::parse(kernel_text(fmt::format("%d = {}", text)));
  if (!p.diags.empty()) return places(p.diags);
  const Inst& i = p.ast[stmt_at(p.ast, 0).inst];
  std::string out = i.kind == InstKind::op ? std::string(p.ast.text(i.name)) + "!" : "";
  for (ExprId e : p.ast.list(i.operands)) out += (out.empty() ? "" : " ") + shape(p.ast, e);
  for (ClauseId c : p.ast.list(i.clauses))
    out += fmt::format(" {} {}", p.ast.text(p.ast[c].word), shape(p.ast, p.ast[c].operand));
  if (i.type) out += fmt::format(" : {}", p.ast.source_of(p.ast[i.type].tokens));
  if (i.layout) out += fmt::format(" {}", p.ast.source_of(p.ast[i.layout].tokens));
  for (AttrId a : p.ast.list(i.attrs)) {
    out += fmt::format(" {{{}", p.ast.text(p.ast[a].name));
    for (ExprId e : p.ast.list(p.ast[a].args)) out += " " + shape(p.ast, e);
    out += "}";
  }
  return out;
}

}  // namespace

TEST_CASE("names hold dots, digits and letters of any script, but not a range") {
  CHECK(tokens_of("block.x..tiles %0 %soft1.m #act reduce.add") ==
        "block.x .. tiles %0 %soft1.m #act reduce.add");
  CHECK(tokens_of("größe %変数 %a.é x̄") == "größe %変数 %a.é x̄");
  CHECK(tokens_of("%i:+1024 a:b a: b ..") == "%i :+ 1024 a : b a : b ..");
  CHECK(only_kind("block.x") == TokenKind::word);
  CHECK(only_kind("%acc") == TokenKind::value);
  CHECK(only_kind("#act") == TokenKind::layout);
}

TEST_CASE("numbers") {
  for (const char* n : {"0", "12", "0x1F", "0b101", "1.5", "1e3", "1.5e-3", "2E+4", "0x1.8p3",
                        "0x.8p-1", "0X1P0"}) {
    CAPTURE(n);
    CHECK(only_kind(n) == TokenKind::number);
  }
  CHECK(tokens_of("0..k 1..128 0x1..2") == "0 .. k 1 .. 128 0x1 .. 2");
  CHECK(tokens_of("1-2") == "1 - 2");
  for (const char* n :
       {"1.", "1.x", "1e", "1e+", "0x", "0b2", "0b", "0x1.8", "3abc", "1.5.2", "0xg"}) {
    CAPTURE(n);
    CHECK(tokens_of(n) == fmt::format("E0102@1:1 {}", n));
  }
}

TEST_CASE("operators are the longest that fit") {
  CHECK(tokens_of("<<=>>==!=<=>=->-&&&|||^!:+:") == "<< = >> == != <= >= -> - && & || | ^ ! :+ :");
}

TEST_CASE("comments are kept beside the tokens, with what follows them") {
  Diagnostics diags;
  std::string_view text = "a // one\n/* two\n */ b /**/ c";
  Lexed l = lex(text, 0, diags);
  CHECK(diags.empty());
  REQUIRE(l.tokens.size() == 4);
  REQUIRE(l.comments.size() == 3);
  CHECK(text.substr(l.comments[0].offset, l.comments[0].len) == "// one");
  CHECK_FALSE(l.comments[0].own_line);
  CHECK(l.comments[1].own_line);
  CHECK(l.comments[1].next == 1);
  CHECK(l.comments[2].next == 2);
  CHECK(l.tokens[1].newline_before);
  CHECK_FALSE(l.tokens[2].newline_before);
}

TEST_CASE("lines and columns count code points, with either line ending") {
  Diagnostics diags;
  Lexed l =
      lex("\xef\xbb\xbf"
          "é変 x\r\n\t/* é */ y\nz",
          0, diags);
  CHECK(diags.empty());
  REQUIRE(l.tokens.size() == 5);
  auto at = [&](size_t i) { return std::pair(l.tokens[i].line, l.tokens[i].col); };
  CHECK(at(0) == std::pair(1u, 2u));  // behind the byte order mark
  CHECK(at(1) == std::pair(1u, 5u));
  CHECK(at(2) == std::pair(2u, 10u));
  CHECK(at(3) == std::pair(3u, 1u));
}

TEST_CASE("text that is no text gives few errors") {
  CHECK(tokens_of("a \xff\xfe\x80 b") == "E0101@1:3 a \xff\xfe\x80 b");
  CHECK(tokens_of("\xc0\x80") == "E0101@1:1 \xc0\x80");          // overlong
  CHECK(tokens_of("\xed\xa0\x80") == "E0101@1:1 \xed\xa0\x80");  // a surrogate
  CHECK(tokens_of("\xf4\x90\x80\x80") == "E0101@1:1 \xf4\x90\x80\x80");
  CHECK(tokens_of("\xe5\xa4").starts_with("E0101@1:1"));
  CHECK(tokens_of("// \xff") == "E0101@1:4");
  CHECK(tokens_of(std::string_view("a\0\0\0b", 5)).starts_with("E0100@1:2 a"));
  // Nothing after a zero byte: a file that is no text gives no hundred errors.
  CHECK(tokens_of(std::string_view("a $ \0 b $", 10)).starts_with("E0100@1:3 E0100@1:5 a"));
  CHECK(tokens_of("a\rb").starts_with("E0100@1:2"));
  CHECK(tokens_of("a \xe2\x80\xae b").starts_with("E0100@1:3"));   // right-to-left override
  CHECK(tokens_of("// \xe2\x80\xae b").starts_with("E0100@1:4"));  // in comments too
  CHECK(tokens_of("\"\xe2\x80\xae\"").starts_with("E0100@1:2"));
  CHECK(tokens_of("a \xc2\xa0 b").starts_with("E0100@1:3"));  // no-break space
  CHECK(tokens_of("$$$$ a") == "E0100@1:1 $$$$ a");
  std::string noise;
  for (int i = 0; i < 100000; ++i) noise += static_cast<char>((i * 7919 >> 3) | 1);
  Diagnostics diags;
  lex(noise, 0, diags);
  CHECK(diags.size() <= 100);
  CHECK(vmasm_test::parse(noise).diags.size() == 101);
  CHECK(vmasm_test::parse(noise).diags.back().code == diag::too_many_errors);
}

TEST_CASE("strings") {
  Diagnostics diags;
  Ast a = parse(R"(use "a\n\t\\\"\x41b")", 0, diags);
  CHECK(diags.empty());
  CHECK(a.string_value(a[a.items[0]].name) == "a\n\t\\\"Ab");
  CHECK(errors_of("use \"abc\nconst A = 3") == "E0103@1:5");
  CHECK(errors_of(R"(use "a\qb")") == "E0105@1:7");
  CHECK(errors_of(R"(use "a\x4")") == "E0105@1:7");
  CHECK(errors_of("use \"a\\\nconst A = 1") == "E0103@1:5 E0105@1:7");
  CHECK(errors_of("const A = 1 /* no end") == "E0104@1:13");
}

TEST_CASE("names and files have limits") {
  std::string name(1025, 'x');
  CHECK(errors_of("const " + name + " = 1") == "L0107@1:7");
  CHECK(errors_of("const " + name.substr(1) + " = 1").empty());
}

TEST_CASE("long:a file above the limit is refused before it is read") {
  std::string text(static_cast<size_t>(limits::max_source_bytes) + 1, ' ');
  auto p = vmasm_test::parse(text);
  REQUIRE(p.diags.size() == 1);
  CHECK(p.diags[0].code == diag::source_too_large);
}

TEST_CASE("operators bind as in C, shifts and comparisons included") {
  CHECK(rhs("a + b * c - d") == "((a + (b * c)) - d)");
  CHECK(rhs("a || b && c | d ^ e & f == g < h << i + j * -k") ==
        "(a || (b && (c | (d ^ (e & (f == (g < (h << (i + (j * (-k)))))))))))");
  CHECK(rhs("a - b - c") == "((a - b) - c)");
  CHECK(rhs("a / b * c") == "((a / b) * c)");
  CHECK(rhs("(a + b) * c") == "((a + b) * c)");
  CHECK(rhs("-a + !b") == "((-a) + (!b))");
  CHECK(rhs("- -1") == "(-(-1))");
  CHECK(rhs("a >= b != (c <= d)") == "((a >= b) != (c <= d))");
  CHECK(rhs("%a >> 3 > %b") == "((%a >> 3) > %b)");
}

TEST_CASE("an instruction, a call and a value are told apart") {
  CHECK(rhs("max %a, %b") == "max! %a %b");
  CHECK(rhs("max(%a, %b) * 2") == "(max(%a;%b;) * 2)");
  CHECK(rhs("max (neg %a), %b") == "max! <neg %a> %b");
  CHECK(rhs("neg -1") == "neg! (-1)");
  CHECK(rhs("block.x * 1024") == "(block.x * 1024)");
  CHECK(rhs("block.x - 1") == "(block.x - 1)");
  CHECK(rhs("block.x") == "block.x!");
  CHECK(rhs("nt") == "nt");
  CHECK(rhs("nt - 1") == "(nt - 1)");
  CHECK(rhs("round + 1") == "(round + 1)");
  CHECK(rhs("mul (sub (cast %q : f16), (cast %z : f16)), %s") ==
        "mul! <sub <cast %q : f16> <cast %z : f16>> %s");
  CHECK(rhs("mul (nt - 1), (block.x)") == "mul! (nt - 1) <block.x>");
  CHECK(rhs("unknown.op %a, 3") == "unknown.op! %a 3");
  CHECK(rhs("-inf") == "(-inf)");
  CHECK(rhs("inf") == "inf");
  CHECK(rhs("(call f(%a))") == "<f %a>");
  CHECK(rhs("(%a + 1 : i64)") == "<expr (%a + 1) : i64>");
}

TEST_CASE("accesses and their subscripts") {
  CHECK(rhs("load x[%i, %j:+8, a:b, :, a:, :b]") ==
        "load! x[point %i;range %j 8;span a b;all;span a;span b;]");
  CHECK(rhs("load w{%l}[%i]") == "load! w{%l}[point %i;]");
  CHECK(rhs("gather w{%l + 1}, %i where %m") == "gather! w{(%l + 1)} %i where %m");
  CHECK(rhs("load x[rem(%t, nt)*2:+2]") == "load! x[range (rem(%t;nt;) * 2) 2;]");
  CHECK(rhs("load x[(add %a, 1)]") == "load! x[point <add %a 1>;]");
}

TEST_CASE("clauses, types, layouts and attributes come in any order") {
  std::string_view canonical = "load! x[point %i;] where %m : f32[8] #a {pad (-inf)} {evict_first}";
  CHECK(rhs("load x[%i] where %m : f32[8] #a {pad -inf, evict_first}") == canonical);
  CHECK(rhs("load x[%i] {pad -inf, evict_first} #a : f32[8] where %m") == canonical);
  CHECK(rhs("load x[%i] pad(-inf) {evict_first} #a where %m : f32[8]") == canonical);
  CHECK(rhs("iota {dim(1)} : i32[64,128]") == "iota! : i32[64,128] {dim 1}");
  CHECK(rhs("transpose %x {perm(1, 0, 2)}") == "transpose! %x {perm 1 0 2}");
  CHECK(rhs("view %r : u4[..] #(local(1,4) * x.y)") == "view! %r : u4[..] #(local(1,4) * x.y)");
  CHECK(rhs("smem f16[ring ST,BM] #act") == "smem! : f16[ring ST,BM] #act");
  CHECK(rhs("fill 0 : lut<4,f16>[64]") == "fill! 0 : lut<4,f16>[64]");
  CHECK(body_errors("wait x[i] ge %v {acquire, gpu}").empty());
  CHECK(body_errors("%a = iota : i32[4] : i32[4]") == "E0119@3:20");
  CHECK(body_errors("%a = load x[0] where %m where %n") == "E0119@3:25");
  CHECK(body_errors("%a = move %b #a #b") == "E0119@3:17");
}

TEST_CASE("a statement goes on inside brackets and after commas and operators") {
  CHECK(rhs("fma %a,\n  %b,\n %c") == "fma! %a %b %c");
  CHECK(rhs("a +\n b") == "(a + b)");
  CHECK(rhs("load x[\n%i\n,\n%j\n]") == "load! x[point %i;point %j;]");
  CHECK(rhs("neg (\nabs\n%a\n)") == "neg! <abs %a>");
  CHECK(body_errors("%a = b\n+ c") == "E0117@4:1");
  auto p = vmasm_test::parse(kernel_text("barrier\n%a = 1; %b = 2;; %c = 3"));
  CHECK(p.diags.empty());
  CHECK(p.ast.stmts.size() == 4);
}

TEST_CASE("statements") {
  auto p = vmasm_test::parse(kernel_text(R"(
    if %a > 3 { break } else if %b { continue } else { return }
    for %i in block.x..n*2 step grid.x unroll(2) pipeline(n) { } @9:8
    while %c { test %d; }
    while { }
    parallel { warps 8..12 regs(40) { }
               warps 0..8 by 4 (%w) regs(232) { barrier } }
    %p, %m = call soft(%s, c)
    require vec(#a, #s) == 2, bits(#(local(2,2))) > 3
    store (fma a, %x, %y), y[%i:+4] @12:5
    store 0, y[0] @1:13:6)"));
  CHECK(places(p.diags).empty());
  const Ast& a = p.ast;
  const Stmt& branch = stmt_at(a, 0);
  CHECK(branch.kind == StmtKind::if_);
  auto branches = a.list(branch.branches);
  REQUIRE(branches.size() == 3);
  CHECK(a[branches[1]].condition);
  CHECK_FALSE(a[branches[2]].condition);
  const Stmt& loop = stmt_at(a, 1);
  CHECK(a.text(loop.var) == "%i");
  CHECK(shape(a, loop.begin) == "block.x");
  CHECK(shape(a, loop.end) == "(n * 2)");
  CHECK(shape(a, loop.step) == "grid.x");
  CHECK(loop.attrs.count == 2);
  CHECK(a[loop.body].close.line == 9);
  CHECK(a[loop.body].stmts.empty());
  CHECK(stmt_at(a, 2).condition);
  CHECK_FALSE(stmt_at(a, 3).condition);
  auto strands = a.list(stmt_at(a, 4).strands);
  REQUIRE(strands.size() == 2);
  CHECK(a.name(a[strands[1]].var) == "w");
  CHECK(shape(a, a[strands[1]].regs) == "232");
  CHECK(a[stmt_at(a, 5).inst].kind == InstKind::call);
  CHECK(a.list(stmt_at(a, 5).results).size() == 2);
  CHECK(stmt_at(a, 6).requires_.count == 2);
  CHECK(stmt_at(a, 7).loc.line == 12);
  CHECK(stmt_at(a, 8).loc.has_file);
  CHECK(stmt_at(a, 8).loc.file == 1);
  CHECK(stmt_at(a, 8).loc.col == 6);
}

TEST_CASE("a kernel's header and parameters") {
  auto p = vmasm_test::parse(R"(file 0 "saxpy.vmasm"
kernel matmul<BM=16, W=u4, eps=-1.5e-3>(
    n: i32 divisible(G) 1..128, a: in f16[m,k] : (lda,1) aligned(16) may_alias, w: inout W[k,n] list(L))
    grid(cdiv(n, 4), 2) let t = n / 4  workspace p : f32[n*2] kept  warps(4) cluster(2)
    sync manual fast(contract, ftz) cooperative blocks_per_sm(2)
{ @7:1
}
func f(%s: f32[M,N] #L, c: f32) -> (%p: f32[M,N]) { %p = mul %s, c }
)");
  CHECK(places(p.diags).empty());
  const Ast& a = p.ast;
  REQUIRE(a.items.size() == 3);
  const Item& k = a[a.items[1]];
  CHECK(a.text(k.name) == "matmul");
  CHECK(k.definitions.count == 3);
  CHECK(k.loc.line == 7);
  auto params = a.list(k.params);
  REQUIRE(params.size() == 3);
  CHECK(a[params[0]].divisible);
  CHECK(shape(a, a[params[0]].hi) == "128");
  CHECK(a[params[1]].kind == ParamKind::in);
  CHECK(a[params[1]].strides.count == 2);
  CHECK(a[params[1]].may_alias);
  CHECK(a[params[2]].kind == ParamKind::inout);
  CHECK(a[params[2]].list);
  auto header = a.list(k.header);
  REQUIRE(header.size() == 9);
  CHECK(a[header[1]].kind == HeaderKind::let);
  CHECK(a[header[2]].kind == HeaderKind::workspace);
  CHECK(a.text(a.list(a[header[2]].words)[0]) == "kept");
  CHECK(a.list(a[header[6]].words).size() == 2);
  CHECK(a[a.items[2]].results.count == 1);
}

TEST_CASE("layout expressions are kept as balanced text") {
  auto p = vmasm_test::parse(
      "layout #a = warps( 2,2 )*local(4 ,8) * mma.m16n8.f32.C // c\nlayout #s=Sw<3,3,3> "
      "o\n(BM,BK):(BK,1)\n"
      "layout #x = { reg:[(0,1), (8,0)]\n lane:[(0,2)]->16,8 }\n");
  CHECK(places(p.diags).empty());
  auto text = [&](int i) { return p.ast.layout_text(p.ast[p.ast[p.ast.items[i]].layout].expr); };
  CHECK(text(0) == "warps(2,2) * local(4,8) * mma.m16n8.f32.C");
  CHECK(text(1) == "Sw<3,3,3> o (BM,BK):(BK,1)");
  CHECK(text(2) == "{reg:[(0,1),(8,0)] lane:[(0,2)] -> 16,8}");
}

TEST_CASE("the design's kernels and samples parse") {
  for (std::string_view name : vmasm_test::kSamples) {
    CAPTURE(name);
    std::string text = vmasm_test::read_sample(name);
    REQUIRE(!text.empty());
    CHECK(errors_of(text).empty());
  }
  auto p = vmasm_test::parse(vmasm_test::read_sample("flash_attention"));
  REQUIRE(p.ast.items.size() == 2);
  CHECK(p.ast[p.ast.items[1]].params.count == 10);
}

TEST_CASE("every instruction of the table parses in the form that its row states") {
  for (const OpInfo& op : all_ops()) {
    if (op.form == Form::control) continue;
    std::string text;
    if (op.sig.n_results > 0) text += "%d = ";
    text += op.name;
    if (op.form == Form::decl) text += " f32[4]";
    bool first = true;
    for (const SigItem& item : op.sig.ins()) {
      if (item.clause.empty()) text += std::exchange(first, false) ? " " : ", ";
      else text += fmt::format(" {} ", item.clause == "cmp" ? "ge" : item.clause);
      text += item.kind == SigKind::access   ? "x[0:+4, :]"
              : item.kind == SigKind::memory ? "x"
                                             : "%a";
    }
    if (op.form == Form::typed) text += " : f32[4]";
    CAPTURE(text);
    auto p = vmasm_test::parse(kernel_text(text));
    CHECK(places(p.diags).empty());
    REQUIRE(p.ast.insts.size() == 1);
    CHECK(p.ast.insts[0].info == &op);
    // `x + 4` is one operand here, a sum: lowering takes it apart.
    uint32_t clauses = 0, sums = 0;
    for (const SigItem& i : op.sig.ins()) (i.clause == "+" ? sums : clauses) += !i.clause.empty();
    CHECK(p.ast.insts[0].clauses.count == clauses);
    CHECK(p.ast.insts[0].operands.count == op.sig.n_operands - clauses - sums);
  }
}

TEST_CASE("spans cover what was written, in code points") {
  auto p = vmasm_test::parse(kernel_text("%größe = fma %é, (load x[0]), 1"));
  REQUIRE(p.diags.empty());
  const Ast& a = p.ast;
  const Stmt& s = stmt_at(a, 0);
  CHECK(a.span(s.tokens) == Span{0, 3, 1, 31});
  auto operands = a.list(a[s.inst].operands);
  CHECK(a.span(operands[0]) == Span{0, 3, 14, 2});
  CHECK(a.span(operands[1]) == Span{0, 3, 18, 11});
  CHECK(a.source_of(a[operands[1]].tokens) == "(load x[0])");
}
