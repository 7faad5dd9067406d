// mbarrier objects: a model of phases, arrivals and transactions on the host, followed step by
// step.
#include <fmt/format.h>

#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {
namespace {

// One thread executes `steps`; a step may leave a word to be compared.
struct Script {
  std::string text;
  std::vector<uint32_t> want;
  void run(const std::string& s) { text += s + ";\n"; }
  void expect(const std::string& reg, uint32_t v) {
    text += fmt::format("st.global.u32 [%out+{}], {};\n", 4 * want.size(), reg);
    want.push_back(v);
  }
  // The predicate of a test of the phase with this parity, or of the state in a register.
  void expect_test(const std::string& operand, bool parity, bool done) {
    text +=
        fmt::format("mbarrier.test_wait{}.shared.b64 %p3, [bar], {};\nselp.u32 %r40, 1, 0, %p3;\n",
                    parity ? ".parity" : "", operand);
    expect("%r40", done);
  }
  void expect_pending(const std::string& state, uint32_t n) {
    text += fmt::format("mbarrier.pending_count.b64 %r41, {};\n", state);
    expect("%r41", n);
  }
  Verdict check() {
    FormRun run;
    run.block = {1, 1, 1};
    run.options.check_async = false;
    run.out_bytes = want.size() * 4 + 16;
    run.body = "mov.u32 %r30, bar;\nmov.u64 %d30, bar;\ncvta.shared.u64 %d30, %d30;\n" + text;
    if (!run.run()) return wrong(run.error);
    for (size_t i = 0; i < want.size(); ++i)
      if (uint32_t got = value_at<uint32_t>(run.out, 4 * i); got != want[i])
        return wrong(fmt::format("step {}: {} for {}", i, got, want[i]));
    return good();
  }
};

// The object's address as the form's space wants it: a generic one if it names none.
std::string object(const Words& w) {
  if (has_word(w, "shared::cluster")) return "[%r30+0]";
  return has_word(w, "shared") || has_word(w, "shared::cta") ? "[bar]" : "[%d30]";
}

Verdict check_init(const std::string& opcode, const Words& w) {
  bool inval = has_word(w, "inval");
  Script s;
  std::string at = object(w);
  s.run(inval ? "mbarrier.init.shared.b64 [bar], 3" : opcode + " " + at + ", 3");
  s.run("mbarrier.arrive.shared.b64 %d0, [bar]");
  s.expect_pending("%d0", 3);
  s.run("mbarrier.arrive.shared.b64 %d1, [bar]");
  s.expect_pending("%d1", 2);
  s.expect_test("0", true, false);
  s.run("mbarrier.arrive.shared.b64 %d2, [bar]");
  s.expect_test("0", true, true);
  if (Verdict v = s.check(); !v.wrong.empty() || !inval) return v;
  FormRun gone;
  gone.block = {1, 1, 1};
  gone.body = fmt::format(
      "mov.u32 %r30, bar;\nmov.u64 %d30, bar;\ncvta.shared.u64 %d30, %d30;\n"
      "mbarrier.init.shared.b64 [bar], 1;\n{} {};\nmbarrier.arrive.shared.b64 _, [bar];\n",
      opcode, at);
  gone.run();
  return gone.found("T1032") ? good() : wrong("an arrival after inval is not reported");
}

// expect_tx raises the transaction count, complete_tx lowers it; the phase ends when both arrivals
// and bytes are complete.
Verdict check_tx(const std::string& opcode, const Words& w) {
  bool complete = has_word(w, "complete_tx");
  Script s;
  s.run("mbarrier.init.shared.b64 [bar], 1");
  std::string at = object(w),
              expect =
                  complete ? "mbarrier.expect_tx.relaxed.cta.shared.b64 [bar]" : opcode + " " + at,
              finish = complete ? opcode + " " + at : "mbarrier.complete_tx.shared.b64 [bar]";
  s.run(expect + ", 48");
  s.run("mbarrier.arrive.shared.b64 _, [bar]");
  s.expect_test("0", true, false);
  s.run(finish + ", 32");
  s.expect_test("0", true, false);
  s.run("mov.u32 %r1, 16");
  s.run(finish + ", %r1");
  s.expect_test("0", true, true);
  // The second phase starts with no bytes.
  s.run("mbarrier.arrive.shared.b64 _, [bar]");
  s.expect_test("1", true, true);
  return s.check();
}

Verdict check_arrive(const std::string& opcode, const Words& w) {
  bool drop = w[1] == "arrive_drop", tx = has_word(w, "expect_tx"),
       remote = has_word(w, "shared::cluster"), no_complete = has_word(w, "noComplete");
  std::string at = object(w);
  Script s;
  s.run("mbarrier.init.shared.b64 [bar], 6");
  std::string state = remote ? "_" : "%d0";
  if (tx) s.run(fmt::format("{} {}, {}, 64", opcode, state, at));
  else if (no_complete) s.run(fmt::format("{} {}, {}, 1", opcode, state, at));
  else s.run(fmt::format("{} {}, {}", opcode, state, at));
  if (!remote) s.expect_pending("%d0", 6);
  // A count in a register, or the sink instead of a state.
  uint32_t arrived = 1;
  if (!tx) {
    s.run("mov.u32 %r1, 2");
    s.run(fmt::format("{} {}, {}, %r1", opcode, remote ? "_" : "%d1", at));
    if (!remote) s.expect_pending("%d1", 5);
    arrived = 3;
  }
  s.run("mbarrier.arrive.shared.b64 %d2, [bar]");
  s.expect_pending("%d2", 6 - arrived);
  s.run(fmt::format("mbarrier.arrive.shared.b64 _, [bar], {}", 6 - arrived - 1));
  if (tx) {
    s.expect_test("0", true, false);
    s.run("mbarrier.complete_tx.shared.b64 [bar], 64");
  }
  s.expect_test("0", true, true);
  if (!remote) s.expect_test("%d0", false, true);
  // Dropped arrivals are missing from the next phase on.
  s.run("mbarrier.arrive.shared.b64 %d3, [bar]");
  s.expect_pending("%d3", drop ? 6 - arrived : 6);
  s.expect_test("%d3", false, false);
  if (Verdict v = s.check(); !v.wrong.empty()) return v;
  FormRun excess;
  excess.block = {1, 1, 1};
  excess.body = fmt::format(
      "mov.u32 %r30, bar;\nmov.u64 %d30, bar;\ncvta.shared.u64 %d30, "
      "%d30;\nmbarrier.init.shared.b64 "
      "[bar], {1};\n{0};\n",
      fmt::format("{} {}, {}{}", opcode, state, at,
                  no_complete ? ", 1"
                  : tx        ? ", 16"
                              : ", 3"),
      no_complete ? 1 : 2);
  if (tx) return good();
  excess.run();
  return excess.found("T1032") ? good() : wrong("too many arrivals are not reported");
}

// Orders: a release (acquire) is needed between a write by one thread and a read by another.
Verdict check_arrive_order(const std::string& opcode, const Words& w) {
  Verdict v = check_arrive(opcode, w);
  if (!v.wrong.empty() || has_word(w, "noComplete")) return v;
  FormRun run;
  run.block = {64, 1, 1};
  run.out_bytes = 64;
  run.body = fmt::format(
      "mov.u32 %r30, bar;\nmov.u64 %d30, bar;\ncvta.shared.u64 %d30, %d30;\nsetp.eq.u32 %p0, %tx, "
      "0;\n@%p0 mbarrier.init.shared.b64 [bar], 1;\nbar.sync 0;\nsetp.eq.u32 %p1, %tx, 32;\n@%p1 "
      "bra "
      "WAIT;\n@!%p0 bra END;\nst.shared.u32 [tile], 7;\n{} _, {}{};\nbra END;\nWAIT: "
      "mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0;\n@!%p2 bra WAIT;\nld.shared.u32 %r0, "
      "[tile];\nst.global.u32 [%out], %r0;\nEND:\n",
      opcode, object(w), has_word(w, "expect_tx") ? ", 0" : "");
  bool clean = run.run();
  if (clean == has_word(w, "relaxed")) return wrong("order: " + run.error);
  if (!clean && !run.found("T1026")) return wrong(run.error);
  return clean && value_at<uint32_t>(run.out, 0) != 7 ? wrong("the value") : good();
}

Verdict check_wait(const std::string& opcode, const Words& w) {
  bool parity = has_word(w, "parity"), is_try = w[1] == "try_wait";
  std::string at = object(w);
  Script s;
  auto test = [&](const std::string& operand, bool done) {
    s.text += fmt::format("{} %p4, {}, {}{};\nselp.u32 %r42, 1, 0, %p4;\n", opcode, at, operand,
                          is_try ? ", 100" : "");
    s.expect("%r42", done);
  };
  s.run("mbarrier.init.shared.b64 [bar], 1");
  if (parity) {
    test("1", true);  // the phase before the first counts as complete
    test("0", false);
    s.run("mbarrier.arrive.shared.b64 _, [bar]");
    test("0", true);
    test("1", false);
    s.run("mbarrier.arrive.shared.b64 _, [bar]");
    test("1", true);
  } else {
    s.run("mbarrier.init.shared.b64 [bar+8], 1");
    s.run("mbarrier.arrive.shared.b64 %d0, [bar]");
    test("%d0", true);
    s.run("mbarrier.inval.shared.b64 [bar]");
    s.run("mbarrier.init.shared.b64 [bar], 2");
    s.run("mbarrier.arrive.shared.b64 %d1, [bar]");
    test("%d1", false);
    s.run("mbarrier.arrive.shared.b64 _, [bar]");
    test("%d1", true);
  }
  if (Verdict v = s.check(); !v.wrong.empty()) return v;
  // What was written before the arrival is seen behind the wait, unless the wait is relaxed.
  FormRun run;
  run.block = {64, 1, 1};
  run.out_bytes = 64;
  run.body = fmt::format(
      "mov.u32 %r30, bar;\nmov.u64 %d30, bar;\ncvta.shared.u64 %d30, %d30;\nsetp.eq.u32 %p0, %tx, "
      "0;\n@%p0 mbarrier.init.shared.b64 [bar], 2;\nbar.sync 0;\nsetp.eq.u32 %p1, %tx, 32;\n@%p1 "
      "bra "
      "WAIT;\n@!%p0 bra END;\nst.shared.u32 [tile], 7;\nmbarrier.arrive.shared.b64 _, [bar];\nbra "
      "END;\nWAIT:\nmbarrier.arrive.shared.b64 %d0, [bar];\nAGAIN: {} %p2, {}, {};\n@!%p2 bra "
      "AGAIN;\nld.shared.u32 %r0, [tile];\nst.global.u32 [%out], %r0;\nEND:\n",
      opcode, at, parity ? "0" : "%d0");
  bool clean = run.run();
  if (clean == has_word(w, "relaxed")) return wrong("order: " + run.error);
  if (!clean && !run.found("T1026")) return wrong(run.error);
  return clean && value_at<uint32_t>(run.out, 0) != 7 ? wrong("the value") : good();
}

Verdict check_pending(const std::string& opcode, const Words&) {
  Script s;
  s.run("mbarrier.init.shared.b64 [bar], 1000");
  s.run("mbarrier.arrive.shared.b64 _, [bar], 993");
  s.run("mbarrier.arrive.shared.b64 %d0, [bar]");
  s.run(opcode + " %r1, %d0");
  s.expect("%r1", 7);
  return s.check();
}

}  // namespace

std::vector<NamedCheck> mbarrier_checks() {
  return {{"mbarrier_init", check_init},
          {"mbarrier_tx", check_tx},
          {"mbarrier_arrive", check_arrive_order},
          {"mbarrier_wait", check_wait},
          {"mbarrier_pending", check_pending}};
}

}  // namespace tess::ptxsim
