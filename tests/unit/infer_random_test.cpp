// Random programs behind layout inference: they infer, keep the promises, verify, print and read
// back, and compute the same.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "frontends/vmasm/print_module.h"
#include "infer_harness.h"
#include "isa/diag/layout.h"

using namespace tess;
using namespace tess::test;

TEST_CASE("a thousand random programs give the same answer behind inference") {
  int kernels = 0, ran = 0, conversions = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    gen::GenOptions options;
    options.launchable = true;
    options.kernels = 1;
    VerifiedModule before = verified(gen::random_module(seed, options));
    for (size_t k = 0; k < before.module().kernels.size(); ++k) {
      CAPTURE(seed);
      jit::Inferred made = infer(before, k, static_cast<jit::Sm>(seed % 3));
      CHECK(broken_promise(made.module) == "");
      std::string text = vmasm::print_module(made.module);
      VerifiedModule read = load_text(text);
      CHECK(vmasm::print_module(read.module()) == text);
      conversions += static_cast<int>(made.report.conversions.size());
      VerifiedModule after = verified(std::move(made.module));
      std::vector<gen::RandomArg> args = gen::random_args(before.kernel(k), seed);
      Ran one = run_with(before, k, args), other = run_with(after, 0, args);
      CHECK_MESSAGE(one == other, text);
      ++kernels;
      ran += one.error.empty();
    }
  }
  CHECK(kernels == 1000);
  CHECK(ran == 1000);
  CHECK(conversions > 300);
}

TEST_CASE(
    "programs of every row, strands and written layouts too, infer or are refused for those") {
  int made = 0, refused = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    gen::GenOptions options;
    options.statements = 20;
    VerifiedModule before = verified(gen::random_module(seed, options));
    for (size_t k = 0; k < before.module().kernels.size(); ++k) {
      auto r = jit::infer_layouts(before, k, {static_cast<jit::Sm>(seed % 3)});
      if (r) {
        CHECK(broken_promise(r->module) == "");
        verified(std::move(r->module));
        ++made;
        continue;
      }
      bool written = r.error().code == diag::layout_two_written ||
                     r.error().code == diag::layout_written_conflict;
      CHECK_MESSAGE(written, r.error().message);
      ++refused;
    }
  }
  CHECK(made > 500);
  CHECK(refused < made / 20);
}
