// Asynchronous copies and stores: cp.async, bulk copies and reductions, st.async and red.async,
// with completion early, late and at random times.
#include <fmt/format.h>

#include "tests/ptxsim/form_check.h"
#include "tests/ptxsim/reduce_oracle.h"

namespace tess::ptxsim {
namespace {

constexpr AsyncMode kModes[] = {AsyncMode::eager, AsyncMode::lazy, AsyncMode::random};

// Each thread copies 4, 8 or 16 bytes, whole, in part, or not at all.
Verdict check_cp_async(const std::string& opcode, const Words& w) {
  bool hint = has_word(w, "L2::cache_hint");
  for (int bytes : {4, 8, 16})
    for (int fill = 0; fill < 3; ++fill) {  // none, source size, ignore predicate
      if (bytes != 16 && has_word(w, "cg")) continue;
      FormRun run;
      fill_input(run, 32 * 64, uint64_t(bytes * 3 + fill));
      run.out_bytes = 32 * 64;
      run.options.async = kModes[bytes / 4 % 3];
      run.body = fmt::format(
          "mov.u32 %r0, tile;\nshl.b32 %r1, %tx, 7;\nadd.u32 %r0, %r0, %r1;\nrem.u32 %r2, %tx, "
          "{0};\nsetp.lt.u32 %p0, %tx, 9;\nmov.u64 %d110, 0;\nst.shared.b32 [%r0], -1;\n{1} "
          "[%r0+64], "
          "[%mi+16], {2}{3}{4};\ncp.async.wait_all;\nld.shared.b{5} {6}, [%r0+64];\nst.global.b{5} "
          "[%mo], {6};\n",
          bytes + 1, opcode, bytes,
          fill == 1   ? ", %r2"
          : fill == 2 ? ", %p0"
                      : "",
          hint ? ", %d110" : "", bytes == 16 ? 32 : bytes * 8,
          bytes == 16 ? "%r8" : register_list(bytes * 8, 8, 1, false));
      if (bytes == 16) {
        size_t at = run.body.find("ld.shared.b32");
        run.body.resize(at);
        run.body +=
            "ld.shared.v4.b32 {%r8, %r9, %r10, %r11}, [%r0+64];\nst.global.v4.b32 [%mo], {%r8, "
            "%r9, "
            "%r10, %r11};\n";
      }
      if (!run.run()) return wrong(run.error);
      for (size_t t = 0; t < 32; ++t) {
        size_t take = fill == 1 ? t % size_t(bytes + 1) : fill == 2 && t < 9 ? 0 : size_t(bytes);
        uint8_t want[16] = {};
        std::memcpy(want, &run.in[t * 64 + 16], take);
        if (std::memcmp(&run.out[t * 64], want, size_t(bytes)) != 0)
          return wrong(fmt::format("{} bytes, fill {}, thread {}", bytes, fill, t));
      }
    }
  return good();
}

// Three groups of one copy: waiting for all but one makes the first two usable and the third not.
Verdict check_cp_group(const std::string& opcode, const Words& w) {
  bool one_left = has_word(w, "wait_group");
  for (int reads = 1; reads <= 3; ++reads) {
    FormRun run;
    fill_input(run, 256, 4);
    run.out_bytes = 256;
    run.block = {1, 1, 1};
    run.options.async = AsyncMode::lazy;
    std::string commit = has_word(w, "commit_group") ? opcode : "cp.async.commit_group";
    run.body = fmt::format(
        "cp.async.ca.shared.global [tile], [%in], 4;\n{0};\ncp.async.ca.shared.global [tile+4], "
        "[%in+4], 4;\n{0};\ncp.async.ca.shared.global [tile+8], [%in+8], 4;\n{0};\n",
        commit);
    run.body += has_word(w, "commit_group") ? "cp.async.wait_group 1;\n"
                : one_left                  ? opcode + " 1;\n"
                                            : opcode + ";\n";
    for (int i = 0; i < reads; ++i)
      run.body += fmt::format(
          "ld.shared.u32 %r{0}, [tile+{1}];\nst.global.u32 [%out+{1}], %r{0};\n", i, 4 * i);
    run.body += "cp.async.wait_all;\n";
    bool clean = run.run(), want = reads < 3 || has_word(w, "wait_all");
    if (clean != want) return wrong(fmt::format("{} reads: {}", reads, run.error));
    if (clean && std::memcmp(run.out.data(), run.in.data(), size_t(4 * reads)) != 0)
      return wrong("the values");
  }
  return good();
}

// 32 threads copy and arrive behind their copies; another warp waits. Without .noinc the arrival is
// not counted beforehand, so the object expects only the other warp's.
Verdict check_cp_mbarrier(const std::string& opcode, const Words& w) {
  bool noinc = has_word(w, "noinc");
  for (AsyncMode mode : kModes) {
    FormRun run;
    fill_input(run, 64 * 64, 5);
    run.out_bytes = 64 * 64;
    run.block = {64, 1, 1};
    run.options.async = mode;
    run.body = fmt::format(
        "mov.u64 %d30, bar;\ncvta.shared.u64 %d30, %d30;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra "
        "READY;\nmbarrier.init.shared.b64 [bar], {0};\nREADY:\nbar.sync 0;\nand.b32 %r0, %tx, "
        "31;\nshl.b32 %r1, %r0, 2;\nmov.u32 %r2, "
        "tile;\nadd.u32 %r1, %r1, %r2;\nsetp.ge.u32 %p1, %tx, 32;\n@%p1 bra "
        "WAIT;\ncp.async.ca.shared.global [%r1], [%mi], 4;\n{1} {3};\n{2}bra END;\nWAIT:\n"
        "mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0;\n@!%p2 bra WAIT;\nld.shared.u32 %r3, "
        "[%r1];\nst.global.u32 [%mo], %r3;\nEND:\n",
        32, opcode, noinc ? "" : "mbarrier.arrive.shared.b64 _, [bar];\n",
        has_word(w, "shared") || has_word(w, "shared::cta") ? "[bar]" : "[%d30]");
    if (!run.run()) return wrong(run.error);
    for (size_t t = 32; t < 64; ++t)
      if (std::memcmp(&run.out[t * 64], &run.in[(t - 32) * 64], 4) != 0) return wrong("the value");
  }
  return good();
}

// The two ends of a copy of 512 bytes: 128 threads of each of the blocks look at their shared
// memory.
const char* kBarrierReady =
    "mov.u32 %r10, %cluster_ctarank;\nmov.u32 %r11, tile;\nmov.u32 %r12, bar;\nshl.b32 %r13, %tx, "
    "2;\nadd.u32 %r14, %r11, %r13;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra "
    "READY;\nmbarrier.init.shared.b64 [bar], 1;\nfence.mbarrier_init.release.cluster;\n"
    "mbarrier.arrive.expect_tx.shared.b64 _, [bar], 512;\nREADY:\n";
const char* kMeet = "barrier.cluster.arrive;\nbarrier.cluster.wait;\n";
const char* kWait = "W: mbarrier.try_wait.parity.shared.b64 %p1, [bar], 0;\n@!%p1 bra W;\n";

Verdict check_bulk_copy(const std::string& opcode, const Words& w) {
  bool to_global = w[3] == "global",
       from_shared = w[3] == "shared::cluster" && w[4] == "shared::cta",
       multicast = has_word(w, "multicast::cluster"), masked = has_word(w, "cp_mask");
  std::string hint = has_word(w, "L2::cache_hint") ? ", %d110" : "";
  for (AsyncMode mode : kModes) {
    FormRun run;
    fill_input(run, 256 * 64, 6);
    run.block = {128, 1, 1}, run.grid = {2, 1, 1}, run.cluster = {2, 1, 1};
    run.out_bytes = 256 * 64;
    run.options.async = mode;
    if (to_global) {
      run.body = fmt::format(
          "ld.global.u32 %r0, [%mi];\nmov.u32 %r11, tile;\nshl.b32 %r13, %tx, 2;\nadd.u32 %r14, "
          "%r11, "
          "%r13;\nst.shared.u32 [%r14+16], %r0;\nfence.proxy.async;\nbar.sync 0;\nmov.u64 %d110, "
          "0;\nmov.u16 %h0, 0x5af0;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra END;\n{} [%mo+32], "
          "[%r11+16], "
          "512{}{};\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nEND:\n",
          opcode, hint, masked ? ", %h0" : "");
      if (!run.run()) return wrong(run.error);
      for (size_t block = 0; block < 2; ++block)
        for (size_t i = 0; i < 512; ++i) {
          uint8_t want =
              masked && !(0x5af0 >> (i % 16) & 1) ? 0 : run.in[(block * 128 + i / 4) * 64 + i % 4];
          if (run.out[block * 128 * 64 + 32 + i] != want) return wrong(fmt::format("byte {}", i));
        }
      continue;
    }
    std::string copy;
    if (from_shared)  // each block sends to the other
      copy = fmt::format(
          "xor.b32 %r15, %r10, 1;\nmapa.shared::cluster.u32 %r16, %r11, "
          "%r15;\nmapa.shared::cluster.u32 %r17, %r12, %r15;\n@!%p0 {} [%r16+1024], [%r11], 512, "
          "[%r17];\n",
          opcode);
    else if (multicast)  // the first block sends to both
      copy = fmt::format(
          "mov.u16 %h0, 3;\nsetp.ne.u32 %p2, %t, 0;\n@!%p2 {} [%r11+1024], [%in+512], 512, [%r12], "
          "%h0{};\n",
          opcode, hint);
    else  // each for itself
      copy = fmt::format(
          "mul.wide.u32 %d0, %r10, 512;\nadd.u64 %d0, %d0, %in;\n@!%p0 {} [%r11+1024], [%d0+512], "
          "512, [%r12]{};\n",
          opcode, hint);
    run.body = std::string(kBarrierReady) +
               "mov.u64 %d110, 0;\nld.global.u32 %r0, [%mi];\nst.shared.u32 [%r14], "
               "%r0;\nfence.proxy.async;\n" +
               kMeet + copy + kWait +
               "ld.shared.u32 %r1, [%r14+1024];\nst.global.u32 [%mo], %r1;\n" + kMeet;
    if (!run.run()) return wrong(run.error);
    for (size_t block = 0; block < 2; ++block)
      for (size_t t = 0; t < 128; ++t) {
        size_t source = from_shared ? ((block ^ 1) * 128 + t) * 64
                        : multicast ? 512 + t * 4
                                    : block * 512 + 512 + t * 4;
        if (std::memcmp(&run.out[(block * 128 + t) * 64], &run.in[source], 4) != 0)
          return wrong(fmt::format("block {} thread {}", block, t));
      }
  }
  return good();
}

Verdict check_bulk_reduce(const std::string& opcode, const Words& w) {
  bool to_global = w[4] == "global";
  const std::string type = w.back();
  std::string op;
  for (const char* o : {"add", "inc", "dec", "min", "max"})
    if (has_word(w, o)) op = o;
  // A space name never equals an operation, but "or" and "and" must be words of their own.
  for (size_t i = 1; i < w.size(); ++i)
    if (w[i] == "and" || w[i] == "or" || w[i] == "xor") op = w[i];
  if ((op == "inc" || op == "dec") && type != "u32") return impossible();
  bool bitwise = op == "and" || op == "or" || op == "xor";
  if (bitwise != (type[0] == 'b' && type != "bf16")) return impossible();
  if ((type == "f32" || type == "f64") && op != "add") return impossible();
  size_t n = size_t(type_bits(type)) / 8;
  FormRun run;
  run.in.resize(1024);
  Random r{n * 7 + op.size()};
  for (size_t i = 0; i < 1024; i += n) {
    uint64_t v = small_value(type, r.next());
    std::memcpy(&run.in[i], &v, n);
  }
  run.out_bytes = 1024;
  run.block = {128, 1, 1}, run.grid = {2, 1, 1}, run.cluster = {2, 1, 1};
  run.options.async = kModes[n % 3];
  // in[0..511] are the first operands, in[512..1023] the second. Block 0 does the work.
  std::string first =
      "shl.b32 %r13, %tx, 2;\nmul.wide.u32 %d1, %tx, 4;\nadd.u64 %d2, %in, "
      "%d1;\nadd.u64 %d3, %out, %d1;\n";
  std::string hint = has_word(w, "L2::cache_hint") ? ", %d110" : "";
  if (to_global)
    run.body =
        first +
        fmt::format(
            "setp.ge.u32 %p2, %t, 128;\n@%p2 bra END;\nmov.u64 %d110, 0;\nmov.u32 %r11, "
            "tile;\nadd.u32 %r14, %r11, %r13;\nld.global.u32 %r0, [%d2];\nst.global.u32 [%d3], "
            "%r0;\nld.global.u32 %r1, [%d2+512];\nst.shared.u32 [%r14], "
            "%r1;\nfence.proxy.async;\nbar.sync 0;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra END;\n{} "
            "[%out], [%r11], 512{};\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group "
            "0;\nEND:\n",
            opcode, hint);
  else
    run.body =
        std::string(kBarrierReady) + first +
        "ld.global.u32 %r0, [%d2];\nld.global.u32 %r1, [%d2+512];\nst.shared.u32 [%r14], "
        "%r0;\nst.shared.u32 [%r14+1024], %r1;\nfence.proxy.async;\n" +
        kMeet +
        fmt::format(
            "mov.u32 %r15, 1;\nmapa.shared::cluster.u32 %r16, %r11, "
            "%r15;\nmapa.shared::cluster.u32 %r17, %r12, %r15;\nsetp.ne.u32 %p2, %t, 0;\n@!%p2 "
            "{} [%r16], [%r11+1024], 512, [%r17];\nsetp.eq.u32 %p3, %r10, 0;\n@%p3 bra END;\n",
            opcode) +
        kWait + "ld.shared.u32 %r2, [%r14];\nst.global.u32 [%d3], %r2;\nEND:\n" + kMeet;
  if (!to_global)  // the first block's mbarrier has no copy
    run.body.replace(run.body.find("mbarrier.arrive.expect_tx"), 0,
                     "setp.eq.u32 %p4, %r10, 0;\n@%p4 bra READY;\n");
  if (!run.run()) return wrong(run.error);
  for (size_t i = 0; i < 512; i += n) {
    uint64_t a = 0, b = 0, got = 0;
    std::memcpy(&a, &run.in[i], n);
    std::memcpy(&b, &run.in[512 + i], n);
    std::memcpy(&got, &run.out[i], n);
    if (got != reduced(op, type, a, b)) return wrong(fmt::format("byte {}", i));
  }
  return good();
}

// Two groups of bulk stores; .read frees the source, without it the result may be used.
Verdict check_bulk_group(const std::string& opcode, const Words& w) {
  bool commit = has_word(w, "commit_group"), read = has_word(w, "read");
  for (bool uses_result : {false, true}) {
    FormRun run;
    run.out_bytes = 4096;
    run.block = {1, 1, 1};
    run.options.async = AsyncMode::lazy;
    run.body = "mov.u32 %r0, 5;\nmov.u32 %r1, tile;\n";
    for (int i = 0; i < 8; ++i) run.body += fmt::format("st.shared.u32 [tile+{}], %r0;\n", 4 * i);
    run.body += fmt::format(
        "fence.proxy.async;\ncp.async.bulk.global.shared::cta.bulk_group [%out], [%r1], "
        "16;\n{0};\ncp.async.bulk.global.shared::cta.bulk_group [%out+1024], [%r1+16], "
        "16;\n{0};\n{1} "
        "1;\nst.shared.u32 [tile], %r0;\n{2}{3};\n",
        commit ? opcode : "cp.async.bulk.commit_group",
        commit ? "cp.async.bulk.wait_group" : opcode,
        uses_result ? "ld.global.u32 %r2, [%out];\nst.global.u32 [%out+2048], %r2;\n" : "",
        "cp.async.bulk.wait_group 0");
    bool clean = run.run(), want = !(read && uses_result);
    if (clean != want) return wrong(run.error);
    if (clean && (value_at<uint32_t>(run.out, 0) != 5 || value_at<uint32_t>(run.out, 1024) != 5 ||
                  (uses_result && value_at<uint32_t>(run.out, 2048) != 5)))
      return wrong("the values");
    // Nothing is waited for: the second group's source is overwritten.
    run.body = run.body.substr(0, run.body.find("st.shared.u32 [tile], %r0", 400)) +
               "st.shared.u32 [tile+16], %r0;\ncp.async.bulk.wait_group 0;\n";
    if (run.run()) return wrong("the second group is still open");
  }
  return good();
}

// Block 0's threads send to block 1, whose mbarrier counts the bytes.
Verdict check_store_async(const std::string& opcode, const Words& w) {
  bool reduces = w[0] == "red";
  const std::string type = w.back();
  int n = type_bits(type), count = has_word(w, "v4") ? 4 : has_word(w, "v2") ? 2 : 1;
  if (n * count > 128) return impossible();
  std::string op;
  for (const char* o : {"inc", "dec", "min", "max", "and", "or", "xor", "add"})
    if (reduces && has_word(w, o)) op = o;
  bool bitwise = op == "and" || op == "or" || op == "xor";
  if (reduces && (bitwise != (type[0] == 'b') || ((op == "inc" || op == "dec") && type != "u32") ||
                  (n == 64 && op != "add" && !bitwise)))
    return impossible();
  size_t bytes = size_t(n * count / 8);
  for (AsyncMode mode : {AsyncMode::eager, AsyncMode::lazy}) {
    FormRun run;
    run.in.resize(64 * 64);
    Random r{bytes};
    // Equal operands where the order of 32 steps would show.
    for (size_t t = 0; t < 64; ++t)
      for (size_t i = 0; i < 64; i += size_t(n) / 8) {
        uint64_t v = op == "inc" || op == "dec" ? 5 : small_value(type, r.next());
        std::memcpy(&run.in[t * 64 + i], &v, size_t(n) / 8);
      }
    run.out_bytes = 64 * 64;
    run.grid = {2, 1, 1}, run.cluster = {2, 1, 1};
    run.options.async = mode;
    std::string list = register_list(n, 0, count, false), ready = kBarrierReady;
    ready.replace(ready.find("512"), 3, std::to_string(32 * bytes));
    ready.replace(ready.find("mbarrier.arrive.expect_tx"), 0,
                  "setp.eq.u32 %p4, %r10, 0;\n@%p4 bra READY;\n");
    std::string load, keep;
    for (int i = 0; i < count; ++i) {
      std::string one = register_list(n, i, 1, false);
      load += fmt::format("ld.global.b{} {}, [%mi+{}];\n", n, one, i * n / 8);
      keep += fmt::format("ld.shared.b{0} {1}, [%r19+{2}];\nst.global.b{0} [%mo+{2}], {1};\n", n,
                          one, i * n / 8);
    }
    // Reductions meet four to a place.
    run.body = ready + load +
               fmt::format(
                   "and.b32 %r18, %tx, {0};\nshl.b32 %r19, %r18, 4;\nadd.u32 %r19, %r19, "
                   "%r11;\nsetp.gt.u32 %p5, %tx, {0};\n@!%p5 st.shared.b{1} [%r19], {2};\n",
                   reduces ? 7 : 31, n, register_list(n, 0, 1, false)) +
               kMeet +
               fmt::format(
                   "setp.eq.u32 %p3, %r10, 1;\n@%p3 bra RECEIVE;\nmov.u32 %r15, "
                   "1;\nmapa.shared::cluster.u32 %r16, %r19, %r15;\nmapa.shared::cluster.u32 %r17, "
                   "%r12, %r15;\n{} [%r16+0], {}, [%r17];\nbra END;\nRECEIVE:\n",
                   opcode, list) +
               kWait + keep + "END:\n" + kMeet;
    if (!run.run()) return wrong(run.error);
    for (size_t t = 0; t < 32; ++t) {
      if (!reduces) {
        if (std::memcmp(&run.out[(32 + t) * 64], &run.in[t * 64], bytes) != 0)
          return wrong(fmt::format("thread {}", t));
        continue;
      }
      uint64_t want = 0, got = 0;
      std::memcpy(&want, &run.in[(32 + t % 8) * 64], bytes);
      std::memcpy(&got, &run.out[(32 + t) * 64], bytes);
      for (size_t sender = t % 8; sender < 32; sender += 8) {
        uint64_t v = 0;
        std::memcpy(&v, &run.in[sender * 64], bytes);
        want = reduced(op, type, want, v);
      }
      if (got != want) return wrong(fmt::format("place {}", t % 8));
    }
  }
  return good();
}

}  // namespace

std::vector<NamedCheck> async_checks() {
  return {{"cp_async", check_cp_async},
          {"cp_async_group", check_cp_group},
          {"cp_async_mbarrier", check_cp_mbarrier},
          {"bulk_copy", check_bulk_copy},
          {"bulk_reduce", check_bulk_reduce},
          {"bulk_group", check_bulk_group},
          {"store_async", check_store_async},
          {"reduce_async", check_store_async}};
}

}  // namespace tess::ptxsim
