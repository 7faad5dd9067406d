// Every row of forms.def has a test of its own, by the arithmetic oracle or by a check in
// tests/ptxsim/check_*.cpp. A row with neither fails here.
#include <doctest/doctest.h>

#include <map>

#include "tests/ptxsim/form_check.h"
#include "tests/ptxsim/oracle.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

constexpr size_t kSpellingsPerForm = 64;

// True if some spelling of an arithmetic form is known to the oracle.
bool oracle_knows(const Form& f) {
  for (const std::string& opcode : expand_form(f, 300))
    for (const Inputs& in : make_inputs(1, opcode))
      if (oracle(opcode, in).known) return true;
  return false;
}

}  // namespace

TEST_CASE("every form of the table is tested") {
  size_t by_oracle = 0, by_check = 0, refused = 0, untested = 0, run = 0;
  std::map<std::string, size_t> wrong_by_builder;
  for (const Form& f : all_forms()) {
    if (!f.build) {
      ++refused;
      CHECK_FALSE(f.reason.empty());
      continue;
    }
    if (has_oracle(f.builder)) {
      if (oracle_knows(f)) {
        ++by_oracle;
        continue;
      }
    }
    FormCheck check = find_form_check(f.builder);
    bool tested = false;
    if (check)
      for (const std::string& opcode : spellings(f, kSpellingsPerForm)) {
        Verdict v = check(opcode, words_of(opcode));
        tested |= v.tested;
        run += v.tested;
        if (v.wrong.empty()) continue;
        if (++wrong_by_builder[std::string(f.builder)] <= 3) FAIL_CHECK(opcode << ": " << v.wrong);
      }
    if (tested) {
      ++by_check;
    } else {
      ++untested;
      FAIL_CHECK("no test for the row " << f.builder << ": " << f.pattern);
    }
  }
  for (auto& [b, n] : wrong_by_builder) MESSAGE(b << ": " << n << " spellings are wrong");
  size_t rows = by_oracle + by_check;
  MESSAGE(rows << " of " << all_forms().size() - refused << " rows tested: " << by_oracle
               << " by the arithmetic oracle, " << by_check << " by " << run << " programs; "
               << refused << " refused by name");
  CHECK(untested == 0);
}

TEST_CASE("interleaved tensor maps are refused by name") {
  Simulator sim;
  jit::Driver d = simulator_driver(sim);
  jit::TensorMapSpec s;
  s.type = jit::TensorType::f16, s.rank = 3, s.address = 1 << 20;
  s.size[0] = 8, s.size[1] = s.size[2] = 16, s.stride[0] = 16, s.stride[1] = 256;
  s.box[0] = s.box[1] = 8, s.box[2] = 1;
  REQUIRE(bool(d.table->encode_tensor_map(d.self, s)));
  for (auto mode : {jit::TensorInterleave::b16, jit::TensorInterleave::b32}) {
    s.interleave = mode;
    auto m = d.table->encode_tensor_map(d.self, s);
    REQUIRE_FALSE(bool(m));
    CHECK(diag_id(m.error().code) == "E1008");
    CHECK(m.error().message.find("interleaved") != std::string::npos);
  }
}
