// The block IR's text and its checker: every rule refuses a kernel that breaks it.
#include <doctest/doctest.h>

#include "isa/diag/jit.h"
#include "isa/diag/tool.h"
#include "jit/block_ir/block_ir.h"

using namespace tess;
using namespace tess::jit;

namespace {

std::string kernel_text(std::string_view body,
                        std::string_view head = "arch 80 threads 128 cluster 1") {
  return "block \"k\" " + std::string(head) + " blocks 0 registers 0 shared 64 {\n" +
         R"(  param pointer b64 0 "x"
  param tensor_map b64 0 "m"
  var %v_90 b32
  var %w_91 f32
)" + std::string(body) +
         "\n}\n";
}

struct Broken {
  std::string_view body, why;
};
constexpr Broken kBroken[] = {
    {"%1:b32 = add _, 5", "an operand is missing"},
    {"%1:b64 = mov 5L\n%2:b32 = add 1, %1", "class b64 where b32"},
    {"%1:b64 = add 1, 2", "result of class b64 where b32"},
    {"%1:f32 = add f32:0x0, f32:0x0", "not on class f32"},
    {"%1:b16 = shl b16:0x1, 2", "not on class b16"},
    {"%1:b32 = add %1, 5", "its definition does not reach"},
    {"if pred:0x1\n%1:b32 = mov 5\nend\n%2:b32 = mov %1", "its definition does not reach"},
    {"if pred:0x1\n%1:b32 = mov 5\nelse\n%2:b32 = mov %1\nend", "its definition does not reach"},
    {"loop 0\n%1:b32 = mov 5\nlatch\n%2:b32 = mov %1\nend", "its definition does not reach"},
    {"%1:b32 = mov 5\n%1:b32 = mov 6", "assigned twice"},
    {"loop 0\nbreak\nlatch\n%1:b32 = mov 5\nend\nloop 0\nlatch\n%1:b32 = mov 6\nend",
     "assigned twice"},
    {"%1:b32 = add 1", "operand count"},
    {"%1:pred = not pred:0x2", "not a truth value"},
    {"%1:b32 = popc.b32 1, 2", "operand count"},
    {"%1:b32 = mul.hi.s32 1, f32:0x0", "class f32 where b32"},
    {"bar.warp.sync %v_90, %v_90", "operand count"},
    {"elect.sync", "operand count"},
    {"%1:b32 = elect.sync -1", "not on this architecture"},
    {"wgmma.fence.sync.aligned", "not on this architecture"},
    {"%1:b64 = param 0\n%2:f32 = ld.global.f32 %1, %v_90", "a constant is wanted"},
    {"%1:b32 = lop3.b32 %v_90, %v_90, %v_90, %v_90", "a constant is wanted"},
    {"%1:b32 = param 0", "another class"},
    {"%1:b64 = param 7", "no such parameter"},
    {"%1:b64 = param 1", "tensor maps have addresses"},
    {"%1:b64 = param.address 0", "tensor maps have addresses"},
    {"%1:b32 = shared.address 65", "behind the end of shared memory"},
    {"%1:b32 = shared.address %v_90", "a constant is wanted"},
    {"latch", "latch outside"},
    {"loop 0\nlatch\nlatch\nend", "latch outside"},
    {"loop 0\nif pred:0x1\nlatch\nend\nend", "latch outside"},
    {"else", "else without if"},
    {"if pred:0x1\nelse\nelse\nend", "else without if"},
    {"end", "end of nothing"},
    {"loop 0\nend", "a loop without latch"},
    {"if pred:0x1", "not closed"},
    {"break", "no loop to leave"},
    {"break.if pred:0x1", "no loop to leave"},
    {"if pred:0x1\ncontinue\nend", "no loop to leave"},
    {"loop 0\nlatch\ncontinue\nend", "continue behind the latch"},
    {"break.if 1", "class b32 where pred"},
};

std::string complaint(const BlockKernel& k) {
  auto r = check_block(k);
  if (r) return "";
  CHECK(r.error().code == diag::internal_error);
  return r.error().message;
}
void refused(const BlockKernel& k, std::string_view why) {
  std::string said = complaint(k);
  CHECK_MESSAGE(said.find(why) != std::string::npos, why << ": " << said);
}

}  // namespace

TEST_CASE("every rule of the checker refuses what breaks it") {
  for (const Broken& b : kBroken) {
    CAPTURE(b.body);
    auto k = parse_block(kernel_text(b.body));
    REQUIRE_MESSAGE(k, k.error().message);
    refused(*k, b.why);
  }
  for (std::string_view head : {"arch 86 threads 128 cluster 1", "arch 80 threads 0 cluster 1",
                                "arch 80 threads 2048 cluster 1", "arch 80 threads 128 cluster 2",
                                "arch 90 threads 128 cluster 17"}) {
    auto k = parse_block(kernel_text("", head));
    REQUIRE_MESSAGE(k, k.error().message);
    CHECK(complaint(*k) != "");
  }
  CHECK(complaint(*parse_block(kernel_text("", "arch 90 threads 128 cluster 2"))) == "");
}

TEST_CASE("the checker refuses what text cannot say") {
  auto k = parse_block(kernel_text("%1:b32 = add 1, 2\n%2:b32 = add %1, 3"));
  REQUIRE(k);
  CHECK(complaint(*k) == "");
  auto broken = [&](auto change, std::string_view why) {
    BlockKernel b = *k;
    change(b);
    refused(b, why);
  };
  broken([](BlockKernel& b) { b.operands[4].bits = 1000; }, "no such register");
  broken([](BlockKernel& b) { b.operands[4].type = RegClass::f32; }, "class");
  broken([](BlockKernel& b) { b.regs[1].type = RegClass::f32; }, "");
  broken([](BlockKernel& b) { b.operands[0] = Operand::imm(0, RegClass::b32); },
         "a result is no register");
  broken([](BlockKernel& b) { b.code[0].first = 1000; }, "operands out of range");
  broken([](BlockKernel& b) { b.code[0].tile = 1; }, "no such tile instruction");
  broken([](BlockKernel& b) { b.regs[1].name = 70; }, "a register without a name");
  broken([](BlockKernel& b) { b.code[0].op = BlockOp::form; }, "");
  // wgmma adds to variables.
  std::string products =
      "%1:b64 = param 0\n%2:f32, %3:f32, %4:f32, %5:f32 = "
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16.~ss %1, %1, 1, 0, 0";
  auto w = parse_block(kernel_text(products, "arch 901 threads 128 cluster 1"));
  REQUIRE_MESSAGE(w, w.error().message);
  refused(*w, "is no variable");
  for (RegId r = 2; r <= 5; ++r) w->regs[r].variable = true;
  CHECK(complaint(*w) == "");
  w->regs[4].type = RegClass::b32;
  w->operands[w->code[1].first + 2].type = RegClass::b32;
  refused(*w, "class of an operand that is read and written");
}

TEST_CASE("text that is no block is refused with its line") {
  struct Case {
    std::string_view body, why;
    int line;
  };
  for (const Case& c :
       {Case{"%1:b32 = frobnicate 5", "'frobnicate' is no instruction", 6},
        Case{"%1:b33 = mov 5", "no class of registers", 6},
        Case{"%1:b32 = mov 5x", "not a number", 6},
        Case{"%1:b32 = mov 99999999999999999999", "not a number", 6},
        Case{"%1:b32 = mov %700", "not defined", 6}, Case{"%9999999999:b32 = mov 1", "number", 6},
        Case{"%5000000:b32 = mov 1", "too large", 6}, Case{"%1:b32 mov 5", "result without '='", 6},
        Case{"%1:b32 = add 1 2", "','", 6}, Case{"; x", "malformed place", 6},
        Case{"; 0:1:x", "number", 6}, Case{"}", "behind the block", 7}}) {
    CAPTURE(c.body);
    auto k = parse_block(kernel_text(c.body));
    REQUIRE_FALSE(k);
    CHECK(k.error().code == diag::block_text);
    CHECK_MESSAGE(k.error().message.find(c.why) != std::string::npos, k.error().message);
    CHECK_MESSAGE(k.error().message.starts_with("line " + std::to_string(c.line)),
                  k.error().message);
  }
  for (std::string_view text : {"", "block", "block \"k", "nonsense", "block \"k\" arch x",
                                "block \"k\" arch 80 threads 128 cluster 1 blocks 0 registers 0 "
                                "shared 0 {\nparam expression b64 0 \"x\" 99:0\n}\n",
                                "block \"k\" arch 80 threads 128 cluster 1 blocks 0 registers 0 "
                                "shared 0 {\nparam thing b64 0 \"x\"\n}\n",
                                "block \"k\" arch 80 threads 128 cluster 1 blocks 0 registers 0 "
                                "shared 0 {\n"}) {
    auto k = parse_block(text);
    REQUIRE_FALSE(k);
    CHECK(k.error().code == diag::block_text);
  }
}

TEST_CASE("a kernel's text says everything") {
  BlockKernel k;
  k.name = "mat\"mul<W=u4>\n";
  k.arch = 901;
  k.threads = 384;
  k.cluster = 2;
  k.blocks_per_sm = 1;
  k.max_registers = 168;
  k.shared_bytes = 1 << 17;
  k.files = {"a b.vmasm", "back\\slash\"\t.vmasm"};
  BlockParam p;
  p.kind = ParamKind::expression;
  p.source = 3;
  p.name = "rows of x";
  p.expr.tokens = {{HostOp::param, 3}, {HostOp::constant, -5}, {HostOp::mul, 0}};
  k.params = {p, {ParamKind::tensor_map, RegClass::b64, 7, {}, "map"}};
  k.names = {"", "sum", "x_1"};
  k.regs = {{RegClass::f64, true, 1}, {RegClass::b64, false, 2}, {RegClass::b16, false, 0}};
  k.tiles = {{}, {{1, 12, 3}, "%x = load a[b]"}, {{0, 2, 1}, "; odd : text"}};
  auto add = [&](BlockOp op, std::vector<Operand> operands, int results, uint32_t tile) {
    BlockInst i;
    i.op = op;
    i.n_results = static_cast<uint8_t>(results);
    i.n_args = static_cast<uint16_t>(operands.size()) - i.n_results;
    i.first = static_cast<uint32_t>(k.operands.size());
    i.tile = tile;
    k.operands.insert(k.operands.end(), operands.begin(), operands.end());
    k.code.push_back(i);
  };
  add(BlockOp::mov, {Operand::reg(0, RegClass::f64), Operand::imm(~0ull, RegClass::f64)}, 1, 0);
  add(BlockOp::mov, {Operand::reg(1, RegClass::b64), Operand::imm(~0ull, RegClass::b64)}, 1, 1);
  add(BlockOp::mov, {Operand::reg(2, RegClass::b16), Operand::imm(9, RegClass::b16)}, 1, 2);
  add(BlockOp::ret, {}, 0, 0);
  auto again = parse_block(print_block(k));
  REQUIRE_MESSAGE(again, again.error().message << "\n" << print_block(k));
  CHECK(print_block(*again) == print_block(k));
  CHECK(again->name == k.name);
  CHECK(again->arch == 901);
  CHECK(again->threads == 384);
  CHECK(again->cluster == 2);
  CHECK(again->blocks_per_sm == 1);
  CHECK(again->max_registers == 168);
  CHECK(again->shared_bytes == 1 << 17);
  CHECK(again->files == k.files);
  CHECK(again->operands == k.operands);
  REQUIRE(again->params.size() == 2);
  CHECK(again->params[0].kind == ParamKind::expression);
  CHECK(again->params[0].source == 3);
  CHECK(again->params[0].name == "rows of x");
  CHECK(again->params[0].expr == p.expr);
  CHECK(again->params[1].source == 7);
  REQUIRE(again->code.size() == 4);
  for (size_t n = 0; n < 4; ++n) {
    CHECK(again->code[n].op == k.code[n].op);
    const TileNote &a = again->tiles[again->code[n].tile], &b = k.tiles[k.code[n].tile];
    CHECK(a.text == b.text);
    CHECK(a.loc == b.loc);
  }
  for (RegId r = 0; r < 3; ++r) {
    CHECK(again->regs[r].type == k.regs[r].type);
    CHECK(again->regs[r].variable == k.regs[r].variable);
    CHECK(again->names[again->regs[r].name] == k.names[k.regs[r].name]);
  }
}

TEST_CASE("names become identifiers") {
  CHECK(generated_name("x") == "x");
  CHECK(generated_name("matmul<BM=16, W=u4>") == "matmul_BM_16_W_u4");
  CHECK(generated_name("__x__y__") == "x_y");
  CHECK(generated_name("3d") == "n3d");
  CHECK(generated_name("\xc3\xbc"
                       "ber") == "ber");
  CHECK(generated_name("<>") == "");
  CHECK(generated_name("\"; asm(\"trap\")") == "asm_trap");
}
