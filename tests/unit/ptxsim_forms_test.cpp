// Every form of forms.def decodes; every arithmetic form is executed on special and random values
// and compared with an oracle that shares no code with the simulator (wide host integers,
// isa/numerics).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>

#include "isa/numerics.h"
#include "jit/ptxsim/forms.h"
#include "tests/ptxsim/form_text.h"
#include "tests/ptxsim/oracle.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

constexpr size_t kLimit = 20000;

}  // namespace

TEST_CASE("every form decodes, or is refused with its reason") {
  size_t forms = 0, refused = 0;
  for (const Form& f : all_forms()) {
    std::vector<std::string> texts = expand_form(f, kLimit);
    REQUIRE_FALSE(texts.empty());
    // All spellings of small families, a spread of the large ones.
    size_t step = std::max<size_t>(1, texts.size() / 400);
    for (size_t i = 0; i < texts.size(); i += step) {
      const std::string& opcode = texts[i];
      std::string operands = f.build ? operands_of(f.builder, opcode) : "%ra, %rb";
      if (operands == "skip") continue;
      std::string module = form_module(opcode + " " + operands + ";");
      Simulator s;
      auto r = s.load(module, "form.ptx");
      ++forms;
      if (!f.build) {
        ++refused;
        REQUIRE_FALSE(bool(r));
        CHECK(diag_id(r.error().code) == "E1002");
        CHECK(r.error().message.find(std::string(f.reason)) != std::string::npos);
        continue;
      }
      if (!r) FAIL_CHECK(opcode << " " << operands << ": " << r.error().message);
    }
  }
  MESSAGE(forms << " spellings of " << all_forms().size() << " forms, " << refused << " refused");
}

TEST_CASE("modifiers may stand in any order, as ptxas has it") {
  // Each pair computes the same; the first of each is how the ISA writes it.
  const char* pairs[][2] = {
      {"ld.acquire.gpu.global.u32 %rd, [%u0];", "ld.global.acquire.gpu.u32 %rd, [%u0];"},
      {"ld.volatile.global.u32 %rd, [%u0];", "ld.global.volatile.u32 %rd, [%u0];"},
      {"ld.global.nc.L1::no_allocate.u32 %rd, [%u0];",
       "ld.nc.L1::no_allocate.global.u32 %rd, [%u0];"},
      {"atom.acq_rel.gpu.global.add.u32 %rd, [%u1], %ra;",
       "atom.add.global.acq_rel.gpu.u32 %rd, [%u1], %ra;"},
      {"cvt.rn.ftz.f16.f32 %hd, %ra;", "cvt.ftz.rn.f16.f32 %hd, %ra;"},
      {"add.rn.ftz.f32 %rd, %ra, %rb;", "add.ftz.rn.f32 %rd, %ra, %rb;"}};
  for (auto& pair : pairs) {
    std::vector<uint64_t> got[2];
    for (int i = 0; i < 2; ++i) {
      Simulator s;
      s.options.check_races = false;
      auto m = s.load(form_module(pair[i]), "form.ptx");
      REQUIRE_MESSAGE(bool(m), pair[i] << (m ? "" : m.error().message));
      got[i] = run_form(s, *m, make_inputs(1, "order"));
      REQUIRE(got[i].size() == 64);
    }
    CHECK_MESSAGE(got[0] == got[1], pair[1]);
  }
  // The order of types is the meaning.
  Simulator s;
  CHECK_FALSE(bool(s.load(form_module("cvt.rn.f64.e4m3 %dd, %ra;"), "form.ptx")));
}

TEST_CASE("unknown forms are refused with their line") {
  for (const char* bad :
       {"add.s33 %ra, %rb, %rc;", "frobnicate.b32 %ra, %rb;", "add.sat.u32 %ra, %rb, %rc;",
        "mma.sync.aligned.m16n8k17.row.col.f32.f16.f16.f32 %ra, %rb, %rc, %rd;"}) {
    Simulator s;
    auto r = s.load(form_module(bad), "form.ptx");
    REQUIRE_FALSE(bool(r));
    CHECK(diag_id(r.error().code) == "E1001");
    CHECK(r.error().span.line > 0);
  }
}

TEST_CASE("arithmetic forms agree with the oracle") {
  std::map<std::string, int> per_builder;
  size_t lanes = 0;
  for (const Form& f : all_forms()) {
    if (!f.build || !has_oracle(f.builder)) continue;
    std::vector<std::string> texts = expand_form(f, kLimit);
    size_t step = std::max<size_t>(1, texts.size() / 300);
    for (size_t i = 0; i < texts.size(); i += step) {
      const std::string& opcode = texts[i];
      std::string operands = operands_of(f.builder, opcode);
      if (operands == "skip") continue;
      Simulator s;
      s.options.threads = 1;
      s.options.stats = false;
      auto m = s.load(form_module(opcode + " " + operands + ";"), "form.ptx");
      REQUIRE_MESSAGE(bool(m), opcode);
      for (uint64_t seed = 0; seed < 3; ++seed) {
        std::vector<Inputs> in = make_inputs(seed, opcode);
        std::vector<uint64_t> got = run_form(s, *m, in);
        REQUIRE_MESSAGE(got.size() == 64, opcode);
        for (size_t l = 0; l < 32; ++l) {
          Expected want = oracle(opcode, in[l]);
          if (!want.known) continue;
          ++lanes;
          uint64_t value = got[2 * l], flag = got[2 * l + 1] & 3;
          bool good = want.near ? near_enough(want, value)
                                : (value & want.mask) == (want.value & want.mask);
          if (want.flags_mask) good = good && (flag & want.flags_mask) == want.flags;
          if (!good) {
            FAIL_CHECK(
                opcode << " a="
                       << fmt::format("{:#x} b={:#x} c={:#x} p={} got {:#x}/{} want {:#x}/{}",
                                      in[l].a, in[l].b, in[l].c, in[l].p, value, flag, want.value,
                                      want.flags));
            l = 32, seed = 3;
          }
        }
      }
      ++per_builder[std::string(f.builder)];
    }
  }
  for (auto& [b, n] : per_builder) MESSAGE(b << ": " << n << " forms");
  CHECK(lanes > 50000);
}
