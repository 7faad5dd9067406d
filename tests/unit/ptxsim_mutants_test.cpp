// Mutation score: faults planted by rules at every site of every kernel must be caught, each by a
// named checker (or by a wrong result); those that are not are listed with a reason in
// survivors.txt.
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <set>

#include "tests/ptxsim/kernel_cases.h"
#include "tests/ptxsim/mutants.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

std::set<std::string> known_survivors() {
  std::ifstream f(std::string(TESS_SOURCE_ROOT) + "/tests/ptxsim/survivors.txt");
  std::set<std::string> out;
  for (std::string line; std::getline(f, line);) {
    if (line.empty() || line[0] == '#') continue;
    size_t second = line.rfind(" | ");
    if (second != line.npos) out.insert(line.substr(0, second));
  }
  return out;
}

// What caught the mutant; empty if nothing did.
std::string caught_by(const KernelCase& k, const std::string& text, uint64_t seeds) {
  for (uint64_t seed = 0; seed < seeds; ++seed)
    for (AsyncMode mode : {AsyncMode::eager, AsyncMode::lazy, AsyncMode::random}) {
      LaunchOptions o;
      o.async = mode;
      o.seed = seed;
      o.shuffle_warps = seed > 0;
      o.max_steps = 1'000'000;
      o.stats = false;
      Outcome r = k.run(text, o);
      if (!r.loaded) return "does not load: " + r.error;
      if (!r.findings.empty()) return diag_id(r.findings[0].code);
      if (!r.error.empty()) return "launch: " + r.error;
      if (r.wrong) return "result";
    }
  return {};
}

void score(size_t step, uint64_t seeds, size_t least, size_t least_classes) {
  std::set<std::string> survivors = known_survivors(), classes;
  std::map<std::string, int> checkers;
  size_t total = 0, caught = 0, n = 0;
  for (const KernelCase& k : kernel_cases()) {
    // Survivors are named by instruction, so the committed PTX is what is mutated.
    std::ifstream f(std::string(TESS_SOURCE_ROOT) + "/tests/ptxsim/kernels/" + k.name + ".ptx");
    std::string ptx((std::istreambuf_iterator<char>(f)), {});
    REQUIRE_FALSE(ptx.empty());
    for (const Mutant& m : make_mutants(ptx)) {
      if (n++ % step) continue;
      ++total;
      classes.insert(m.rule);
      bool listed = survivors.count(std::string(k.name) + " | " + m.name) > 0;
      std::string how = caught_by(k, m.text, seeds);
      if (how.empty()) {
        if (!listed)
          FAIL_CHECK(std::string(k.name) << " | " << m.name << " at PTX line " << m.line << ": "
                                         << m.before << " -> " << m.after);
        continue;
      }
      CHECK_MESSAGE(how.rfind("does not load", 0) == std::string::npos,
                    std::string(k.name) << " | " << m.name << ": " << how);
      ++caught;
      ++checkers[how];
    }
  }
  MESSAGE(caught << " of " << total << " mutants caught, " << classes.size() << " classes");
  for (auto& [how, count] : checkers) MESSAGE(how << ": " << count);
  CHECK(total >= least);
  CHECK(classes.size() >= least_classes);
  CHECK(caught + survivors.size() >= total);
}

}  // namespace

TEST_CASE("a sample of the mutants is caught") { score(5, 8, 40, 15); }

TEST_CASE("long: every mutant of every kernel is caught or listed") { score(1, 8, 200, 15); }
