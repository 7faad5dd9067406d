// Layout inference on the project's own programs: what it must find, by number.
#include "jit/tile/infer.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "frontends/vmasm/print_module.h"
#include "infer_harness.h"
#include "isa/diag/layout.h"
#include "isa/layout_judge.h"

using namespace tess;
using namespace tess::test;
using jit::ConversionKind;
using jit::InsertedConversion;

namespace {

int count(const jit::InferenceReport& r, bool staged, bool in_loop) {
  return static_cast<int>(
      std::count_if(r.conversions.begin(), r.conversions.end(), [&](const InsertedConversion& c) {
        return c.kind != ConversionKind::rename && c.staged == staged && (!in_loop || c.in_loop());
      }));
}
int64_t worst_ways(const jit::InferenceReport& r) {
  int64_t ways = 1;
  for (const auto& c : r.conversions) ways = std::max(ways, c.ways);
  for (const auto& a : r.accesses) ways = std::max(ways, a.ways);
  return ways;
}
// The narrowest access of global memory, in bytes per thread.
int64_t narrowest(const jit::InferenceReport& r) {
  int64_t bytes = 16;
  for (const auto& a : r.accesses)
    if (a.space == Space::global) bytes = std::min(bytes, a.bytes);
  return bytes;
}

// At most so many: conversions that move data, those in loops, trips of loaded tiles through shared
// memory, conflict ways; and the least width of a global access.
struct Fact {
  const char *file, *kernel;
  int conversions, in_loops, staged, ways, bytes;
};
const Fact kFacts[] = {
#define FACT(file, kernel, conversions, in_loops, staged, ways, bytes) \
  {file, kernel, conversions, in_loops, staged, ways, bytes},
#include "infer_facts.def"
#undef FACT
};

}  // namespace

TEST_CASE("every sample and library kernel infers, within its numbers") {
  std::map<std::pair<std::string, std::string>, const Fact*> facts;
  for (const Fact& f : kFacts) facts[{f.file, f.kernel}] = &f;
  std::set<std::pair<std::string, std::string>> met;
  for (const std::string& file : program_files()) {
    VerifiedModule m = load_file(file);
    for (size_t k = 0; k < m.module().kernels.size(); ++k)
      for (jit::Sm sm : {jit::Sm::sm_80, jit::Sm::sm_90a}) {
        std::string name = m.kernel(k).name;
        CAPTURE(file);
        CAPTURE(name);
        jit::Inferred made = infer(m, k, sm);
        CHECK(broken_promise(made.module) == "");
        auto fact = facts.find({file, name});
        CHECK_MESSAGE(fact != facts.end(), "no row in infer_facts.def");
        met.insert({file, name});
        if (fact != facts.end()) {
          const Fact& f = *fact->second;
          CHECK(count(made.report, false, false) <= f.conversions);
          CHECK(count(made.report, false, true) <= f.in_loops);
          CHECK(count(made.report, true, false) <= f.staged);
          CHECK(worst_ways(made.report) <= f.ways);
          CHECK(narrowest(made.report) >= f.bytes);
        }
        verified(std::move(made.module));
      }
  }
  CHECK(met.size() == std::size(kFacts));
}

TEST_CASE("a matrix product stages its operands and converts nothing in its loop") {
  VerifiedModule m = load_file("stdlib/matmul.vmasm", {{"T", "f16"}});
  jit::InferenceReport r = infer(m).report;
  CHECK(count(r, false, true) == 0);
  CHECK(count(r, true, true) == 2);
  CHECK(worst_ways(r) == 1);
  int matrix = 0;
  for (const auto& a : r.accesses) {
    if (a.space == Space::global && a.what.starts_with("load")) CHECK(a.bytes == 16);
    matrix += a.matrix;
  }
  CHECK(matrix == 2);  // both operands by ldmatrix
}

TEST_CASE("flash attention feeds its probabilities back as they are") {
  for (const char* causal : {"false", "true"}) {
    VerifiedModule m = load_file("stdlib/attention.vmasm", {{"CAUSAL", causal}});
    jit::Inferred made = infer(m);
    CHECK(count(made.report, false, true) == 0);
    CHECK(count(made.report, true, true) == 2);  // keys and values, from global memory
    CHECK(worst_ways(made.report) == 1);
    CHECK(narrowest(made.report) == 16);
    // The cast of the accumulator is the operand, and reads as the table of the PTX manual says.
    const Kernel& k = made.module.kernels[0];
    int products = 0;
    for (const Inst& i : k.code) {
      if (i.op != Op::mma) continue;
      ++products;
      auto text = made.module.layouts[static_cast<size_t>(*k.attr(i, AttrTag::layout))].text;
      auto acc = parse_layout_expr(text);
      REQUIRE(acc);
      auto want = parse_layout_expr("warps(4,1) * local(1,8) * mma.m16n8.f32.C");
      auto as_operand = parse_layout_expr("warps(4,1) * local(1,4) * mma.m16n8k16.f16.A");
      REQUIRE(want);
      REQUIRE(as_operand);
      CHECK(*acc == *want);
      CHECK(*acc == *as_operand);
    }
    CHECK(products == 2);
  }
}

TEST_CASE("a transpose converts once, without conflict, and both sides are wide") {
  jit::InferenceReport r = infer(load_file("stdlib/transpose.vmasm")).report;
  CHECK(count(r, false, false) + count(r, true, false) == 1);
  CHECK(worst_ways(r) == 1);
  CHECK(narrowest(r) == 16);
}

TEST_CASE("a name in two layouts becomes two names") {
  VerifiedModule m = load_text(R"(
layout #deal = local(4) * spatial(128)
kernel k(x: in f32[512], y: out f32[512], z: out f32[512]) grid(1) warps(4)
{
    %v = load x[:]
    store %v, y[:]
    %v = mul (load x[:]), 2.0 #deal
    store %v, z[:]
}
)");
  jit::Inferred made = infer(m);
  CHECK(broken_promise(made.module) == "");
  std::set<std::string> names;
  for (const Value& v : made.module.kernels[0].values)
    if (std::string_view(v.name).starts_with("v")) names.insert(v.name);
  CHECK(names.size() == 2);
  // A web that runs through a loop keeps its one layout.
  m = load_text(R"(
kernel k(x: in f32[512], y: out f32[512]) grid(1) warps(4)
{
    %v = fill 0.0 : f32[512]
    for %i in 0..4 { %v = add %v, (load x[:]) }
    store %v, y[:]
}
)");
  made = infer(m);
  CHECK(made.report.conversions.empty());
  CHECK(broken_promise(made.module) == "");
}

TEST_CASE("a conversion that a loop does not change stands before it") {
  VerifiedModule m = load_text(R"(
layout #rows = spatial(1,32) * local(32,4)
layout #acc = spatial(32,1) * local(1,128)
kernel k(x: in f32[32,128], y: inout f32[32,128], n: i32) grid(1) warps(1)
{
    %a = load x[:, :] : f32[32,128] #rows
    %c = relayout %a #acc
    %s = fill 0.0 : f32[32,128] #acc
    %m = neg (load y[:, :])
    for %i in 0..n { %s = add %s, (mul %m, %c) }
    store %s, y[:, :]
}
)");
  jit::InferenceReport r = infer(m).report;
  CHECK(count(r, false, true) == 0);
}

TEST_CASE("strands have as many threads as their warps") {
  VerifiedModule m = load_text(R"(
kernel k(x: in f32[1024], y: out f32[1024], z: out f32[1024]) grid(1) warps(8)
{
    parallel {
        warps 0..2 { store (load x[:]), y[:] }
        warps 4..8 by 2 (%w) { store (load x[%w*512:+512]), z[%w*512:+512] }
    }
}
)");
  jit::Inferred made = infer(m);
  int checked = 0;
  for (const jit::Decision& d : made.report.decisions) {
    auto l = parse_layout_expr(d.layout);
    REQUIRE(l);
    CHECK(threads_of(*l) == 64);
    ++checked;
  }
  CHECK(checked == 2);
}

TEST_CASE("every decision names its rule, its place and what else it would have cost") {
  jit::InferenceReport r = infer(load_file("stdlib/attention.vmasm")).report;
  CHECK(r.decisions.size() > 20);
  bool accumulator = false, wide = false;
  for (const jit::Decision& d : r.decisions) {
    CHECK(!d.rule.empty());
    CHECK(d.loc.line > 0);
    CHECK(d.forced_by.line > 0);
    CHECK(d.extra_cost >= 0);
    accumulator |= d.value == "%acc" && d.rule == "mma accumulator" && d.extra_cost > 0;
    wide |= d.rule == "wide access";
  }
  CHECK(accumulator);
  CHECK(wide);
}

TEST_CASE("the same program gives the same layouts, and nothing is enumerated") {
  for (const char* file : {"stdlib/attention.vmasm", "stdlib/matmul_a16w.vmasm"}) {
    VerifiedModule m = load_file(file);
    uint64_t judged = judge_count();
    std::string first = vmasm::print_module(infer(m).module);
    CHECK(judge_count() == judged);
    CHECK(vmasm::print_module(infer(m).module) == first);
  }
}

TEST_CASE("written layouts that disagree are refused with both places and a conversion to write") {
  VerifiedModule m = load_text(R"(
layout #wide = spatial(128) * local(4)
layout #deal = local(4) * spatial(128)
kernel k(x: in f32[512], y: inout f32[512]) grid(1) warps(4)
{
    %a = load x[:] : f32[512] #wide
    %b = load y[:] : f32[512] #deal
    store (add %a, %b), y[:]
}
)");
  auto r = jit::infer_layouts(m, 0, {});
  REQUIRE_FALSE(r);
  CHECK(r.error().code == diag::layout_written_conflict);
  REQUIRE(r.error().notes.size() == 2);
  CHECK(r.error().notes[0].span.line == 6);
  CHECK(r.error().notes[1].span.line == 7);
  CHECK(r.error().hint.find("relayout %b #wide") != std::string::npos);
}
