#include "isa/bytecode.h"

#include <doctest/doctest.h>

#include "frontends/vmasm/lower.h"
#include "frontends/vmasm/print_module.h"
#include "isa/verify.h"
#include "tests/gen/random_module.h"
#include "tests/unit/sample_modules.h"

using namespace tess;

namespace {

std::string messages(const Diagnostics& diags, const Sources& sources) {
  std::string s;
  for (const Diagnostic& d : diags) s += render_diag(d, sources, false);
  return s;
}

// Text to bytes; the text is expected to be right.
std::vector<uint8_t> assemble(std::string text) {
  Diagnostics diags;
  Sources sources;
  std::optional<Module> m = vmasm::compile({"t.vmasm", text}, {}, sources, diags);
  if (m) (void)verify(*m, diags);
  std::erase_if(
      diags, [](const Diagnostic& d) { return find_diag(d.code)->severity == Severity::warning; });
  INFO(text);
  REQUIRE_MESSAGE((m && diags.empty()), messages(diags, sources));
  m->producer.clear();
  return write_bytecode(*m);
}
std::string disassemble(const std::vector<uint8_t>& bytes) {
  Result<Module> m = read_bytecode(bytes);
  REQUIRE_MESSAGE(m, m.error().message);
  return vmasm::print_module(*m);
}

}  // namespace

TEST_CASE("a hand-built module survives") {
  Module m = tests::saxpy_module();
  auto bytes = write_bytecode(m);
  auto back = read_bytecode(bytes);
  REQUIRE_MESSAGE(back, back.error().message);
  CHECK(write_bytecode(*back) == bytes);
  m.producer.clear();
  bytes = write_bytecode(m);
  std::string text = disassemble(bytes);
  MESSAGE(text);
  CHECK(assemble(text) == bytes);
}

TEST_CASE("text survives") {
  auto bytes = assemble(R"(
const BM = 16, BN = 64, BK = 64, G = 128
type  W  = u4
layout #acc = local(2,2) * spatial(8,8)*local( 1, 8 )
func scale(%s: f32[M,N], c: f32) -> (%p: f32[M,N], %m: f32[M,1])
{
  %m = reduce.max %s {dim 1, keep}
  %p = mul (sub %s, %m), c
}
kernel matmul_a16w(m: i32, n: i32, k: i32 divisible(G) 1..128,
                   a: in f16[m,k] : (k,1) aligned(16) may_alias, w: in W[k,n], s: in f16[k/G,n], z: in W[k/G,n], c: out f16[m,n],
                   e: in f32[m, 4] list(3))
    let t = cdiv(n, 4) - m * -2
    workspace p : f32[t, 7] kept
    workspace q : i32[8]
    grid(cdiv(m,BM), cdiv(n,BN)) warps(4) cluster(2) blocks_per_sm(2) cooperative fast(contract, ftz)
{
    %m0 = block.x * BM; %n0 = block.y * BN
    %acc = fill 0 : f32[BM,BN]
    %sh = smem f16[ring 2,BN,8] #((2,64,8):(512,8,1))
    %old = atomic.add q[3], 1 {relaxed, gpu}
    atomic.add q[%m0], -1
    wait q[0] ge %old {acquire, gpu}
    %it = 0
    for %kk in 0..k step BK pipeline(3) {
        %a = load a[%m0:+BM, %kk:+BK]
        %q = load w[%kk:+BK, %n0:+BN] {pad 3}
        %s = load s[%kk/G:+1, %n0:+BN] where true
        %z = load z[%kk/G:+1, %n0:+BN]
        %b = mul (sub (cast %q : f16), (cast %z : f16)), %s
        %acc = mma %a, %b, %acc
        %it = %it + 1
        if %it > 3 && %kk < 7 { %it = 7 } else if %it == 2 { break } else { continue }
        while %it < 4 { %it = %it * 2 }
    }
    %p, %m = call scale(%acc, 0.1)
    %p2, %m2 = call scale(%p, -inf)
    %tr = transpose %p2 {perm(1,0)}
    %y = transpose %tr #acc
    store (cast %y : f16), c[%m0:+BM, %n0:+BN]
    %l = load e{%it}[%m0:+4, :]
    %i, %j = sort %l {dim -1, descending}
    print %i
    fence
}
)");
  std::string text = disassemble(bytes);
  MESSAGE(text);
  auto again = assemble(text);
  CHECK(again == bytes);
  CHECK(disassemble(again) == text);
}

namespace {

void round_trip_random(uint64_t first, uint64_t count, gen::Coverage& coverage) {
  for (uint64_t seed = first; seed < first + count; ++seed) {
    Module m = gen::random_module(seed);
    coverage.add(m);
    auto bytes = write_bytecode(m);
    std::string text = disassemble(bytes);
    CAPTURE(seed);
    auto again = assemble(text);
    INFO((again != bytes ? text : ""));
    REQUIRE((again == bytes));
  }
}

}  // namespace

TEST_CASE("500 random modules survive assembling and disassembling") {
  gen::Coverage coverage;
  round_trip_random(0, 500, coverage);
}

TEST_CASE("long: 10000 random modules survive, with every row, attribute and type 50 times") {
  gen::Coverage coverage;
  round_trip_random(0, 10000, coverage);
  MESSAGE(coverage.table());
  auto [name, times] = coverage.rarest();
  INFO(name);
  CHECK(times >= 50);
}
