// Plain kernels on sm_90a: what the tile pass makes of them, and what ptxas then makes of that.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "frontends/vmasm/print_module.h"
#include "jit/compile.h"
#include "jit/cubin/ptxas.h"
#include "jit/cubin/sass.h"
#include "jit/tile/hopper.h"
#include "jit/tile/hopper_plan.h"
#include "tests/unit/infer_harness.h"
#include "tests/unit/ptxas_there.h"

namespace tess {
namespace {

using jit::Sm;

std::map<Op, int> ops_of(const Kernel& k) {
  std::map<Op, int> n;
  for (const Inst& i : k.code) ++n[i.op];
  return n;
}

Module rewritten(const VerifiedModule& m, Sm sm = Sm::sm_90a, size_t kernel = 0) {
  return jit::rewrite_for_hopper(m, kernel, sm);
}
// What became of it: two strands; wgmma behind shared tiles; nothing.
std::string form_of(const VerifiedModule& m, Sm sm = Sm::sm_90a) {
  Module out = rewritten(m, sm);
  test::verified(out);
  std::map<Op, int> n = ops_of(out.kernels[0]);
  if (n.contains(Op::parallel)) return "strands";
  if (n.contains(Op::wgmma)) return "staged";
  return n == ops_of(m.kernel(0)) ? "plain" : "something else";
}

struct Product {
  std::string params =
      "m: i32, n: i32 divisible(8), k: i32 divisible(8), a: in f16[m,k] aligned(16), "
      "b: in f16[k,n] aligned(16), c: out f32[m,n]";
  std::string header = "warps(4)";
  std::string loop = "for %kk in 0..k step 64 pipeline(3)";
  std::string a = "(load a[%m0:+64, %kk:+64])", b = "(load b[%kk:+64, %n0:+64])";
  std::string before, after;  // the product, in the loop
  std::string attrs;
};
VerifiedModule load(const Product& p) {
  return test::load_text(fmt::format(
      "kernel k({})\n    grid(cdiv(m, 64), cdiv(n, 64)) {}\n{{\n%m0 = block.x * 64\n%n0 = block.y "
      "* "
      "64\n%acc = fill 0 : f32[64,64]\n{} {{\n{}\n%acc = mma {}, {}, %acc{}\n{}\n}}\nstore %acc, "
      "c[%m0:+64, %n0:+64]\n}}\n",
      p.params, p.header, p.loop, p.before, p.a, p.b, p.attrs, p.after));
}

}  // namespace

TEST_CASE("a product becomes two strands, whose program prints, reads back and verifies") {
  VerifiedModule before = load({});
  Module out = rewritten(before);
  const Kernel& k = out.kernels[0];
  std::map<Op, int> n = ops_of(k);
  CHECK(k.warps == 8);
  CHECK(n[Op::parallel] == 1);
  CHECK(n[Op::warps] == 2);
  CHECK(n[Op::smem] == 2);
  CHECK(n[Op::mbar] == 2);
  CHECK(n[Op::tma_load] == 2);
  CHECK(n[Op::wgmma] == 1);
  CHECK(n[Op::mma] == 0);
  CHECK(n[Op::load] == 0);
  CHECK(n[Op::mbar_wait] == 2);
  CHECK(n[Op::mbar_arrive] == 2);
  std::vector<int64_t> regs, stages;
  for (const Inst& i : k.code) {
    if (i.op == Op::warps) regs.push_back(k.attr(i, AttrTag::regs).value_or(0));
    if (i.op == Op::smem) stages.push_back(k.values[k.results(i)[0].index()].type.shape[0]);
  }
  // Three iterations in flight while the product reads a fourth. Two blocks on a multiprocessor:
  // 65536 / 512 threads = 128, and 128 * 8 warps = 216 * 4 + 40 * 4.
  CHECK(stages == std::vector<int64_t>{4, 4});
  CHECK(k.blocks_per_sm == 2);
  CHECK(regs == std::vector<int64_t>{40, 216});
  std::string text = vmasm::print_module(out);
  CAPTURE(text);
  const VerifiedModule again = test::load_text(text);
  auto same = [](const Inst& x, const Inst& y) {
    return x.op == y.op && x.n_args == y.n_args && x.n_attrs == y.n_attrs && x.loc == y.loc;
  };
  CHECK(std::equal(k.code.begin(), k.code.end(), again.kernel(0).code.begin(),
                   again.kernel(0).code.end(), same));
}

TEST_CASE("what stands in the way of strands, and of wgmma") {
  CHECK(form_of(load({})) == "strands");
  for (Sm sm : {Sm::sm_80, Sm::sm_89}) CHECK(form_of(load({}), sm) == "plain");
  auto form = [](auto change) {
    Product p;
    change(p);
    return form_of(load(p));
  };
  auto replaced = [](std::string text, std::string_view from, std::string_view to) {
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  auto params = [&](std::string_view from, std::string_view to) {
    return form([&](Product& p) { p.params = replaced(p.params, from, to); });
  };
  // Rows of whole 16 bytes are not promised, or an address is not; B may change.
  CHECK(params("n: i32 divisible(8)", "n: i32") == "staged");
  CHECK(params("n: i32 divisible(8)", "n: i32 divisible(4)") == "staged");
  CHECK(params("k: i32 divisible(8)", "k: i32") == "staged");
  CHECK(params("[k,n] aligned(16)", "[k,n]") == "staged");
  CHECK(params("[k,n] aligned(16)", "[k,n] aligned(8)") == "staged");
  CHECK(params("b: in", "b: inout") == "staged");
  CHECK(form([](Product& p) { p.before = "%x = load b[%kk:+64, 3]"; }) == "staged");
  // No copies to run ahead, a way out of the loop or the kernel.
  CHECK(form([](Product& p) { p.loop = "for %kk in 0..k step 64"; }) == "staged");
  CHECK(form([](Product& p) { p.after = "if %kk > 999 { break }"; }) == "staged");
  CHECK(form([](Product& p) { p.after = "if %kk > 999 { return }"; }) == "staged");
  // No whole warpgroup, sums of its own, B in registers, a layout of the program's choice.
  CHECK(form([](Product& p) { p.header = "warps(2)"; }) == "plain");
  CHECK(form([](Product& p) { p.attrs = " {promote 32}"; }) == "plain");
  CHECK(form([](Product& p) { p.b = "(neg (load b[%kk:+64, %n0:+64]))"; }) == "plain");
  CHECK(form([](Product& p) { p.before = "%x = iota : i32[128] #(spatial(128))"; }) == "plain");
  // A computed is A in registers.
  Product computed;
  computed.a = "(neg (load a[%m0:+64, %kk:+64]))";
  std::map<Op, int> n = ops_of(rewritten(load(computed)).kernels[0]);
  CHECK(n[Op::wgmma] == 1);
  CHECK(n[Op::tma_load] == 2);
  CHECK(n[Op::load] == 1);
}

TEST_CASE("stages shrink until rings fit") {
  auto text = [](int depth) {
    return fmt::format(
        "kernel k(a: in f16[4096,4096] aligned(16), b: in f16[4096,4096] aligned(16), c: out "
        "f32[128,256])\n    grid(1) warps(8)\n{{\n%acc = fill 0 : f32[128,256]\nfor %kk in 0..4096 "
        "step {0} pipeline(5) {{\n%acc = mma (load a[0:+128, %kk:+{0}]), (load b[%kk:+{0}, "
        "0:+256]), "
        "%acc\n}}\nstore (cast %acc : f16), c2[0:+128, 0:+256]\n}}\n",
        depth);
  };
  auto plan = [&](int depth) {
    std::string t = text(depth);
    t.replace(t.find("c: out f32"), 10, "c2: out f16");
    VerifiedModule m = test::load_text(t);
    return jit::tile::plan_hopper(m.kernel(0), m.info(0), 227 * 1024);
  };
  // 48 KiB a stage beside 64 KiB of result: three; 24 KiB: six, as asked.
  REQUIRE(plan(64));
  CHECK(plan(64)->loops[0].stages == 3);
  REQUIRE(plan(32));
  CHECK(plan(32)->loops[0].stages == 6);
  CHECK_FALSE(plan(256));
  // (168 * 12 - 40 * 4) / 8 = 232.
  CHECK(plan(64)->registers == 232);
  CHECK(plan(64)->blocks_per_sm == 1);
}

namespace {

struct Machine {
  jit::SassKernel code;
  jit::KernelUse use;
  std::string log;  // of ptxas
};
// Compiled for a launch in which everything is aligned.
std::optional<Machine> machine(const std::string& file, const test::Bindings& bindings,
                               jit::Backend backend) {
  const jit::BackendRow* row = jit::find_row(jit::default_toolchain(), backend);
  if (test::ptxas_path().empty() || !row->available()) return {};
  VerifiedModule m = test::load_file(file, bindings);
  jit::CompileOptions options;
  options.target = {901, backend, 0};
  const Kernel& k = m.kernel(0);
  for (size_t i = 0; i < k.params.size(); ++i) {
    bool integer = k.values[i].type.is_scalar() && k.values[i].type.dtype.is_int();
    options.facts.alignment.push_back(k.values[i].type.is_scalar() ? 0 : 16);
    options.facts.divisor.push_back(integer ? 16 : 1);
  }
  auto compiled = jit::compile_kernel(jit::default_toolchain(), m, 0, options);
  REQUIRE_MESSAGE(compiled, (compiled ? std::string() : compiled.error().message));
  auto cubin =
      jit::assemble_ptx(compiled->machine.image, {.path = test::ptxas_path(), .arch = 901});
  REQUIRE_MESSAGE(cubin, (cubin ? std::string() : cubin.error().message));
  auto kernels = jit::read_cubin(cubin->cubin);
  REQUIRE(kernels);
  REQUIRE(kernels->size() == 1);
  return Machine{(*kernels)[0], cubin->kernels[0], cubin->log};
}

constexpr jit::Backend kBackends[] = {jit::Backend::nvptx, jit::Backend::nvrtc};

}  // namespace

TEST_CASE("the main loop of a matmul is tensor maps and warpgroup products") {
  for (jit::Backend backend : kBackends) {
    auto m = machine("stdlib/matmul.vmasm",
                     {{"BM", "128"}, {"BN", "128"}, {"BK", "64"}, {"T", "f16"}, {"OUT", "f16"}},
                     backend);
    if (!m) continue;
    CAPTURE(jit::backend_name(backend));
    std::string summary = jit::sass_summary(m->code);
    CAPTURE(summary);
    CHECK(m->use.spill_stores + m->use.spill_loads == 0);
    CHECK(m->code.count(jit::SassClass::local) == 0);
    CHECK(m->code.count("USETMAXREG") == 2);
    CHECK(m->log.find("Performance Loss") == std::string::npos);
    CHECK(m->code.count("HMMA") == 0);
    CHECK(m->code.count("LDGSTS") == 0);
    // Cold code stands behind the loops and jumps back: the shortest loop around is the loop.
    auto loop_of = [&](std::string_view name, int times) {
      std::optional<jit::SassLoop> best;
      for (const jit::SassLoop& l : m->code.loops)
        if (m->code.count(name, l.first, l.last + 1) >= times &&
            (!best || l.last - l.first < best->last - best->first))
          best = l;
      REQUIRE(best);
      return *best;
    };
    // 128 rows are two products, 64 of k are four steps.
    jit::SassLoop l = loop_of("HGMMA", 1);
    auto in = [&](std::string_view name) { return m->code.count(name, l.first, l.last + 1); };
    CHECK(in("HGMMA") == 8);
    CHECK(in("UTMALDG") == 0);
    CHECK(in("LDS") + in("STS") + in("LDG") + in("LDSM") == 0);
    CHECK(m->code.count(jit::SassClass::convert, l.first, l.last + 1) == 0);
    CHECK(m->code.count(jit::SassClass::half, l.first, l.last + 1) == 0);
    // A in one box of 64 columns, B in two.
    l = loop_of("UTMALDG", 3);
    CHECK(in("UTMALDG") == 3);
    CHECK(in("HGMMA") == 0);
  }
}

TEST_CASE("the worked Hopper kernels spill nothing") {
  for (jit::Backend backend : kBackends)
    for (const char* file : {"samples/w4a16.vmasm", "samples/flash_attention.vmasm"}) {
      auto m = machine(file, {}, backend);
      if (!m) continue;
      CAPTURE(file);
      CAPTURE(jit::backend_name(backend));
      CHECK(m->use.spill_stores + m->use.spill_loads == 0);
      CHECK(m->code.count(jit::SassClass::local) == 0);
      CHECK(m->code.count("HGMMA") > 0);
      // Nor are products serialised, or registers moved in vain.
      CHECK(m->log.find("Performance Loss") == std::string::npos);
      CHECK(m->code.count("USETMAXREG") == 2);
    }
}

}  // namespace tess
