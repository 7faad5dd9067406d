// Barriers and fences: what they compute, and that they order what the memory model says and no
// more: a program that needs more than the form gives is reported, one that needs less is clean.
#include <fmt/format.h>

#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {
namespace {

// Thread t writes its word, all meet, thread t reads the word of t ^ 33 (of another warp).
std::string exchange(const std::string& meet) {
  return "mov.u32 %r0, tile;\nshl.b32 %r1, %tx, 2;\nadd.u32 %r1, %r1, %r0;\nadd.u32 %r2, %tx, "
         "7;\nst.shared.u32 [%r1], %r2;\n" +
         meet +
         "xor.b32 %r3, %tx, 33;\nshl.b32 %r3, %r3, 2;\nadd.u32 %r3, %r3, %r0;\nld.shared.u32 %r4, "
         "[%r3];\nst.global.u32 [%mo], %r4;\n";
}

Verdict check_barrier(const std::string& opcode, const Words& w) {
  bool arrive = has_word(w, "arrive");
  std::string sync = arrive ? "bar.sync 3, 64;\n" : opcode + " 3, 64;\n";
  FormRun run;
  run.block = {64, 1, 1};
  run.out_bytes = 64 * 64;
  if (arrive) {
    // The first warp writes and arrives, the second waits and reads.
    run.body = fmt::format(
        "mov.u32 %r0, tile;\nand.b32 %r5, %tx, 31;\nshl.b32 %r1, %r5, 2;\nadd.u32 %r1, %r1, "
        "%r0;\nsetp.ge.u32 %p0, %tx, 32;\n@%p0 bra READ;\nst.shared.u32 [%r1], %r5;\n{} 3, "
        "64;\nbra END;\nREAD:\nbar.sync 3, 64;\nld.shared.u32 %r4, [%r1];\nst.global.u32 [%mo], "
        "%r4;\nEND:\n",
        opcode);
    if (!run.run()) return wrong(run.error);
    for (uint32_t t = 32; t < 64; ++t)
      if (value_at<uint32_t>(run.out, t * 64) != t - 32) return wrong("the value");
    run.body.replace(run.body.find(opcode), (opcode + " 3, 64;").size(), "");
    run.body.replace(run.body.find("bar.sync 3, 64;"), 15, "");
  } else {
    for (const std::string& meet : {sync, opcode + " 2;\n"}) {
      run.body = exchange(meet);
      if (!run.run()) return wrong(run.error);
      for (uint32_t t = 0; t < 64; ++t)
        if (value_at<uint32_t>(run.out, t * 64) != (t ^ 33) + 7) return wrong("the value");
    }
    run.body = exchange("");
  }
  run.options.check_init = false;
  run.run();
  if (!run.found("T1026")) return wrong("no race without the barrier");
  // Threads that never come.
  run.body = fmt::format(
      "setp.ge.u32 %p0, %tx, 32;\n@%p0 bra END;\n{} 3, 96;\nbar.sync 3, 96;\nEND:\n", opcode);
  if (!arrive) run.body.replace(run.body.find("bar.sync 3, 96;"), 15, "");
  run.run();
  return run.found("T1028") || run.found("T1029") ? good() : wrong("a missing arrival is not seen");
}

Verdict check_barrier_reduce(const std::string& opcode, const Words& w) {
  bool popc = has_word(w, "popc"), is_and = has_word(w, "and");
  for (int variant = 0; variant < 4; ++variant) {
    bool negated = variant & 1;
    // Of 64 threads: none, all, some.
    const char* tests[] = {"setp.lt.u32 %p0, %tx, 17;\n", "setp.lt.u32 %p0, %tx, 64;\n"};
    uint32_t count = variant < 2 ? 17 : 64;
    if (negated) count = 64 - count;
    FormRun run;
    run.block = {64, 1, 1};
    run.out_bytes = 64 * 64;
    run.body = exchange(fmt::format("{}{} {}, 5, {}{}%p0;\n{}", tests[variant / 2], opcode,
                                    popc ? "%r9" : "%p1", variant == 2 ? "" : "64, ",
                                    negated ? "!" : "", popc ? "" : "selp.u32 %r9, 1, 0, %p1;\n")) +
               "st.global.u32 [%mo+4], %r9;\n";
    if (!run.run()) return wrong(run.error);
    uint32_t want = popc ? count : is_and ? count == 64 : count != 0;
    for (uint32_t t = 0; t < 64; ++t)
      if (value_at<uint32_t>(run.out, t * 64) != (t ^ 33) + 7 ||
          value_at<uint32_t>(run.out, t * 64 + 4) != want)
        return wrong(fmt::format("variant {}", variant));
  }
  return good();
}

// Lanes that diverged before meet at the same or at different instructions.
Verdict check_warp_barrier(const std::string& opcode, const Words&) {
  std::string text =
      "mov.u32 %r0, tile;\nshl.b32 %r1, %tx, 2;\nadd.u32 %r1, %r1, %r0;\nand.b32 %r5, %tx, "
      "1;\nsetp.eq.u32 %p0, %r5, 0;\n@%p0 bra EVEN;\nst.shared.u32 [%r1], %tx;\nMEET -1;\nbra "
      "READ;\nEVEN:\nadd.u32 %r2, %tx, 100;\nst.shared.u32 [%r1], %r2;\nMEET -1;\nREAD:\nxor.b32 "
      "%r3, %tx, 1;\nshl.b32 %r3, %r3, 2;\nadd.u32 %r3, %r3, %r0;\nld.shared.u32 %r4, "
      "[%r3];\nst.global.u32 [%mo], %r4;\n";
  auto with = [&](const std::string& meet) {
    std::string s = text;
    for (size_t at; (at = s.find("MEET -1;")) != s.npos;) s.replace(at, 8, meet);
    return s;
  };
  FormRun run;
  run.out_bytes = 32 * 64;
  run.body = with(opcode + " -1;");
  if (!run.run()) return wrong(run.error);
  for (uint32_t t = 0; t < 32; ++t)
    if (value_at<uint32_t>(run.out, t * 64) != ((t ^ 1) % 2 ? (t ^ 1) : (t ^ 1) + 100))
      return wrong("the value");
  run.options.check_init = false;
  run.body = with("");
  run.run();
  return run.found("T1026") ? good() : wrong("no race without it");
}

// Distributed shared memory written before and read behind.
Verdict check_cluster_barrier(const std::string& opcode, const Words& w) {
  bool is_arrive = w[2] == "arrive", relaxed = has_word(w, "relaxed");
  std::string suffix = has_word(w, "aligned") ? ".aligned" : "";
  FormRun run;
  run.grid = {2, 1, 1}, run.cluster = {2, 1, 1};
  run.out_bytes = 64 * 64;
  run.options.check_init = false;
  auto body = [&](const std::string& arrive, const std::string& wait) {
    return "mov.u32 %r0, tile;\nshl.b32 %r1, %tx, 2;\nadd.u32 %r1, %r1, %r0;\nadd.u32 %r2, %t, "
           "7;\nst.shared.u32 [%r1], %r2;\n" +
           arrive + wait +
           "mov.u32 %r3, %cluster_ctarank;\nxor.b32 %r3, %r3, 1;\nmapa.shared::cluster.u32 %r4, "
           "%r1, %r3;\nld.shared::cluster.u32 %r5, [%r4];\nst.global.u32 [%mo], "
           "%r5;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\n";
  };
  run.body = body(is_arrive ? opcode + ";\n" : "barrier.cluster.arrive" + suffix + ";\n",
                  is_arrive ? "barrier.cluster.wait" + suffix + ";\n" : opcode + ";\n");
  bool clean = run.run();
  if (relaxed) return run.found("T1026") ? good() : wrong("relaxed orders no memory: " + run.error);
  if (!clean) return wrong(run.error);
  for (uint32_t t = 0; t < 64; ++t)
    if (value_at<uint32_t>(run.out, t * 64) != (t ^ 32) + 7) return wrong("the value");
  return good();
}

// One thread writes data and raises a flag, another waits for the flag and reads the data.
// `distance` is who they are: lanes of different warps, blocks of a cluster, or just blocks.
struct Message {
  std::string before, behind;  // the fences
  std::string scope = "sys";   // of the flag's accesses
  int distance = 0;
};
bool message_is_clean(const Message& m, std::string& error) {
  FormRun run;
  run.out_bytes = 256;
  run.block = {64, 1, 1};
  if (m.distance) run.grid = {2, 1, 1};
  if (m.distance == 1) run.cluster = {2, 1, 1};
  const char* writer = m.distance ? "%ctaid.x" : "%tid.x";
  run.body = fmt::format(
      "mov.u32 %r0, {0};\nmov.u32 %r1, %tid.x;\n{1}setp.eq.u32 %p0, %r0, 0;\n@%p0 bra "
      "WRITE;\nsetp.ne.u32 %p1, %r0, {2};\n@%p1 bra END;\nWAIT: ld.relaxed.{3}.global.u32 %r2, "
      "[%out+128];\nsetp.eq.u32 %p2, %r2, 0;\n@%p2 bra WAIT;\n{5};\nld.global.u32 %r3, "
      "[%out];\nst.global.u32 [%out+192], %r3;\nbra END;\nWRITE:\nst.global.u32 [%out], "
      "77;\n{4};\nst.relaxed.{3}.global.u32 [%out+128], 1;\nEND:\n",
      writer, m.distance ? "setp.ne.u32 %p3, %r1, 0;\n@%p3 bra END;\n" : "", m.distance ? 1 : 32,
      m.scope, m.before, m.behind);
  if (run.run()) {
    if (value_at<uint32_t>(run.out, 192) != 77) error = "the value";
    return error.empty();
  }
  if (!run.found("T1026")) error = run.error;
  return false;
}

int reach_of(const Words& w) {
  if (has_word(w, "cta")) return 0;
  if (has_word(w, "cluster")) return 1;
  return 2;  // gpu, gl, sys
}

Verdict check_thread_fence(const std::string& opcode, const Words& w) {
  bool acquire = has_word(w, "acquire"), release = has_word(w, "release");
  std::string full = w[0] == "membar" ? "membar.sys" : "fence.acq_rel.sys", error;
  for (int distance = 0; distance < 3; ++distance) {
    Message m;
    m.distance = distance;
    m.before = acquire ? full : opcode, m.behind = release ? full : opcode;
    bool enough = reach_of(w) >= distance;
    if (message_is_clean(m, error) != enough || !error.empty())
      return wrong(fmt::format("distance {}: {}", distance, error));
    // One half is not enough where both are needed.
    m.before = "", m.behind = opcode;
    if (message_is_clean(m, error)) return wrong("clean without a release");
    m.before = opcode, m.behind = "";
    if (message_is_clean(m, error)) return wrong("clean without an acquire");
  }
  return good();
}

// A generic write of shared memory that a bulk copy reads.
Verdict check_proxy_fence(const std::string& opcode, const Words& w) {
  bool async = has_word(w, "async");
  bool shared = has_word(w, "shared::cta") || has_word(w, "shared::cluster"),
       all = !shared && !has_word(w, "global");
  auto program = [](const std::string& fence, bool from_global) {
    FormRun run;
    run.out_bytes = 4096;
    // From shared memory to global memory, or from global memory into shared memory.
    std::string copy =
        from_global
            ? "mbarrier.init.shared.b64 [bar], 1;\nfence.mbarrier_init.release.cluster;\n"
              "mbarrier.arrive.expect_tx.shared.b64 _, [bar], 128;\n"
              "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%out], "
              "128, "
              "[bar];\nW: mbarrier.try_wait.parity.shared.b64 %p1, [bar], 0;\n@!%p1 bra W;\n"
            : "cp.async.bulk.global.shared::cta.bulk_group [%out+1024], [tile], "
              "128;\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\n";
    run.body = fmt::format(
        "mov.u32 %r0, tile;\nshl.b32 %r1, %tx, 2;\nadd.u32 %r0, %r0, %r1;\nmul.wide.u32 %d0, %tx, "
        "4;\nadd.u64 %d0, %d0, %out;\n{} %tx;\n{};\nbar.sync 0;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 "
        "bra "
        "END;\n{}END:\n",
        from_global ? "st.global.u32 [%d0]," : "st.shared.u32 [%r0],", fence, copy);
    return run;
  };
  for (bool from_global : {false, true}) {
    FormRun none = program("", from_global);
    none.run();
    if (!none.found("T1027")) return wrong("no report without a fence: " + none.error);
    FormRun run = program(opcode, from_global);
    bool clean = run.run(), want = async && (all || shared != from_global);
    if (clean != want) return wrong(run.error);
    if (!clean && !run.found("T1027")) return wrong(run.error);
  }
  return good();
}

// The initialisation of an mbarrier that a copy completes on.
Verdict check_init_fence(const std::string& opcode, const Words&) {
  for (bool fenced : {true, false}) {
    FormRun run;
    run.in.resize(256, 1);
    run.body = fmt::format(
        "setp.ne.u32 %p0, %tx, 0;\n@%p0 bra END;\nmbarrier.init.shared.b64 [bar], "
        "1;\n{};\nmbarrier.arrive.expect_tx.shared.b64 _, [bar], "
        "128;\ncp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], "
        "128, "
        "[bar];\nW: mbarrier.try_wait.parity.shared.b64 %p1, [bar], 0;\n@!%p1 bra W;\nEND:\n",
        fenced ? opcode : "");
    bool clean = run.run();
    if (clean != fenced || (!clean && !run.found("T1027"))) return wrong(run.error);
  }
  return good();
}

Verdict check_fence(const std::string& opcode, const Words& w) {
  if (has_word(w, "mbarrier_init")) return check_init_fence(opcode, w);
  if (has_word(w, "proxy") && !has_word(w, "tensormap::generic") && !has_word(w, "async::generic"))
    return check_proxy_fence(opcode, w);
  if (has_word(w, "proxy")) {
    // Tensor maps and async::generic order proxies that the simulator does not keep apart:
    // executing one changes nothing.
    FormRun run;
    run.in.resize(1024);
    run.out_bytes = 64;
    run.body = fmt::format(
        "{}{};\nst.global.u32 [%out], 5;\n", opcode,
        has_word(w, "tensormap::generic") && has_word(w, "acquire") ? " [%in], 128" : "");
    run.block = {1, 1, 1};
    if (!run.run()) return wrong(run.error);
    return value_at<uint32_t>(run.out, 0) == 5 ? good() : wrong("the value");
  }
  if (has_word(w, "sync_restrict::shared::cluster") || has_word(w, "sync_restrict::shared::cta")) {
    // Half a fence of cluster scope.
    Message m;
    m.distance = 1;
    std::string error;
    bool acquire = has_word(w, "acquire");
    m.before = acquire ? "fence.release.cluster" : opcode;
    m.behind = acquire ? opcode : "fence.acquire.cluster";
    return message_is_clean(m, error) ? good() : wrong(error);
  }
  return check_thread_fence(opcode, w);
}

}  // namespace

std::vector<NamedCheck> order_checks() {
  return {{"barrier", check_barrier},
          {"barrier_reduce", check_barrier_reduce},
          {"warp_barrier", check_warp_barrier},
          {"cluster_barrier", check_cluster_barrier},
          {"fence", check_fence}};
}

}  // namespace tess::ptxsim
