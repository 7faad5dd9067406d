// Control flow, calls, and the small instructions around them.
#include <fmt/format.h>

#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {
namespace {

// out[64 t] as computed on the host.
template <class F>
Verdict expect_words(FormRun& run, size_t threads, F want) {
  run.out_bytes = threads * 64;
  if (!run.run()) return wrong(run.error);
  for (uint32_t t = 0; t < threads; ++t) {
    uint32_t got = value_at<uint32_t>(run.out, t * 64), expected = want(t);
    if (got != expected) return wrong(fmt::format("thread {}: {} for {}", t, got, expected));
  }
  return good();
}

// A loop of as many rounds as the thread number says; .uni where all go the same way.
Verdict check_branch(const std::string& opcode, const Words& w) {
  bool uniform = has_word(w, "uni");
  FormRun run;
  run.body = fmt::format(
      "mov.u32 %r0, {};\nmov.u32 %r1, 1;\nLOOP:\nsetp.eq.u32 %p0, %r0, 0;\n@%p0 bra "
      "END;\nmul.lo.u32 "
      "%r1, %r1, 3;\nsub.u32 %r0, %r0, 1;\n{} LOOP;\nEND:\nst.global.u32 [%mo], %r1;\n",
      uniform ? "7" : "%tx", opcode);
  return expect_words(run, 32, [&](uint32_t t) {
    uint32_t v = 1;
    for (uint32_t i = 0; i < (uniform ? 7 : t); ++i) v *= 3;
    return v;
  });
}

Verdict check_branch_index(const std::string& opcode, const Words& w) {
  bool uniform = has_word(w, "uni");
  FormRun run;
  run.body = fmt::format(
      "{}\nLIST: .branchtargets A, B, C;\n{} %r0, LIST;\nA: mov.u32 %r1, 10;\nbra END;\nB: mov.u32 "
      "%r1, 20;\nbra END;\nC: mov.u32 %r1, 30;\nEND:\nst.global.u32 [%mo], %r1;\n",
      uniform ? "mov.u32 %r0, 2;" : "rem.u32 %r0, %tx, 3;", opcode);
  Verdict v = expect_words(run, 32, [&](uint32_t t) { return uniform ? 30 : 10 + t % 3 * 10; });
  if (!v.wrong.empty()) return v;
  run.body.replace(run.body.find("%tx, 3") == std::string::npos ? run.body.find("r0, 2") + 4
                                                                : run.body.find("%tx, 3") + 5,
                   1, "5");
  run.run();
  return run.found("T1037") ? good() : wrong("an index beyond the list is not reported");
}

// Factorials by recursion, two arguments, a result; through a pointer too.
Verdict check_call(const std::string& opcode, const Words&) {
  FormRun run;
  run.module_text = fmt::format(
      ".func (.param .b32 r) fact(.param .b32 n, .param .b32 by)\n{{\n.reg .pred %p;\n.reg .b32 "
      "%a, %b, %c;\nld.param.u32 %a, [n];\nld.param.u32 %b, [by];\nsetp.eq.u32 %p, %a, 0;\n@%p bra "
      "END;\nsub.u32 %c, %a, 1;\n{{\n.param .b32 x, y, z;\nst.param.b32 [x], %c;\nst.param.b32 "
      "[y], "
      "%b;\n{} (z), fact, (x, y);\nld.param.b32 %c, [z];\n}}\nmul.lo.u32 %b, %c, "
      "%a;\nEND:\nst.param.b32 "
      "[r], %b;\nret;\n}}\n",
      opcode);
  run.body = fmt::format(
      "and.b32 %r0, %tx, 7;\n{{\n.param .b32 x, y, z;\nst.param.b32 [x], %r0;\nst.param.b32 [y], "
      "3;\n{0} (z), fact, (x, y);\nld.param.b32 %r1, [z];\n}}\nmov.u64 %d0, fact;\n{{\n.param .b32 "
      "x, "
      "y, z;\nst.param.b32 [x], %r0;\nst.param.b32 [y], 5;\nPROTO: .callprototype (.param .b32 _) "
      "_ "
      "(.param .b32 _, .param .b32 _);\n{0} (z), %d0, (x, y), PROTO;\nld.param.b32 %r2, "
      "[z];\n}}\nadd.u32 %r1, %r1, %r2;\nst.global.u32 [%mo], %r1;\n",
      opcode);
  return expect_words(run, 32, [](uint32_t t) {
    uint32_t f = 1;
    for (uint32_t i = 2; i <= t % 8; ++i) f *= i;
    return f * 8;
  });
}

// Half of the lanes end early; a ret in a function only leaves it.
Verdict check_return(const std::string& opcode, const Words& w) {
  FormRun run;
  bool exits = w[0] == "exit";
  run.module_text = fmt::format(
      ".func f(.param .b64 at)\n{{\n.reg .pred %p;\n.reg .b32 %t;\n.reg .b64 %d;\nld.param.u64 %d, "
      "[at];\nmov.u32 %t, %tid.x;\nand.b32 %t, %t, 1;\nsetp.eq.u32 %p, %t, 0;\n@%p "
      "{};\nst.global.u32 "
      "[%d], 5;\nret;\n}}\n",
      opcode);
  run.body =
      "{\n.param .b64 a;\nst.param.b64 [a], %mo;\ncall f, (a);\n}\nld.global.u32 %r0, "
      "[%mo];\nadd.u32 %r0, %r0, 1;\nst.global.u32 [%mo], %r0;\n";
  return expect_words(run, 32, [&](uint32_t t) { return t % 2 ? 6u : exits ? 0u : 1u; });
}

Verdict check_trap(const std::string& opcode, const Words&) {
  FormRun run;
  run.out_bytes = 32 * 64;
  run.body = fmt::format("setp.eq.u32 %p0, %tx, 40;\n@%p0 {0};\nst.global.u32 [%mo], 1;\n", opcode);
  if (!run.run()) return wrong("a trap that nobody executes: " + run.error);
  run.body = fmt::format("setp.eq.u32 %p0, %tx, 9;\n@%p0 {0};\nst.global.u32 [%mo], 1;\n", opcode);
  run.run();
  return run.found("T1036") ? good() : wrong("is not reported");
}

Verdict check_sleep(const std::string& opcode, const Words&) {
  FormRun run;
  run.body = fmt::format("mul.lo.u32 %r0, %tx, 100;\n{} %r0;\n{} 20;\nst.global.u32 [%mo], %r0;\n",
                         opcode, opcode);
  return expect_words(run, 32, [](uint32_t t) { return t * 100; });
}

// Kernels run one after another: neither form changes what the kernel sees.
Verdict check_grid_control(const std::string& opcode, const Words&) {
  FormRun run;
  fill_input(run, 32 * 64, 8);
  run.body = fmt::format("{};\nld.global.u32 %r0, [%mi];\nst.global.u32 [%mo], %r0;\n{};\n", opcode,
                         opcode);
  return expect_words(run, 32, [&](uint32_t t) { return value_at<uint32_t>(run.in, t * 64); });
}

// Two warpgroups of 128 threads with 128 registers each: 24 and 232 use them exactly, 240 cannot be
// had. Without a known register count the instruction is ignored, as ptxas does.
Verdict check_registers(const std::string& opcode, const Words& w) {
  auto program = [&](int low, int high, const char* directives) {
    FormRun run;
    run.block = {256, 1, 1};
    run.out_bytes = 256 * 64;
    run.directives = directives;
    run.body = fmt::format(
        "setp.lt.u32 %p0, %tx, 128;\n@%p0 bra LOW;\n{} {};\nbra END;\nLOW:\n{} "
        "{};\nEND:\nst.global.u32 [%mo], 1;\n",
        has_word(w, "inc") ? opcode : "setmaxnreg.inc.sync.aligned.u32", high,
        has_word(w, "dec") ? opcode : "setmaxnreg.dec.sync.aligned.u32", low);
    return run;
  };
  FormRun fits = program(24, 232, ".reqntid 256\n.maxnreg 128");
  if (!fits.run()) return wrong(fits.error);
  for (uint32_t t = 0; t < 256; ++t)
    if (value_at<uint32_t>(fits.out, t * 64) != 1) return wrong("a thread did not go on");
  FormRun shared = program(24, 232, ".maxntid 256\n.minnctapersm 2");  // 128 again
  if (!shared.run()) return wrong(shared.error);
  FormRun starved = program(32, 232, ".reqntid 256\n.maxnreg 128");
  starved.run();
  if (!starved.found("T1028")) return wrong("more registers than the block has: " + starved.error);
  FormRun unknown = program(32, 240, ".reqntid 256");
  if (!unknown.run()) return wrong(unknown.error);
  FormRun upside = program(136, 232, ".reqntid 256\n.maxnreg 128");
  upside.run();
  if (!upside.found("T1044")) return wrong("dec to more than the warp has");
  FormRun large = program(24, 232, ".reqntid 256\n.maxnreg 232");
  large.block = {512, 1, 1};
  large.directives = ".maxnreg 232";
  if (large.run() || large.error.find("65536") == std::string::npos)
    return wrong("a launch beyond the register file: " + large.error);
  return good();
}

// Block r maps its own place into every block k and reads what k wrote there.
Verdict check_map(const std::string& opcode, const Words& w) {
  bool wide = w.back() == "u64", window = has_word(w, "shared::cluster");
  if (!wide && !window) return impossible();  // a generic address has 64 bits
  std::string d = wide ? "%d" : "%r", t = w.back();
  std::string mapa = window ? "mapa.shared::cluster." + t : "mapa." + t;
  FormRun run;
  run.grid = {4, 1, 1}, run.cluster = {4, 1, 1};
  run.body = fmt::format(
      "mov.u32 %r10, %cluster_ctarank;\nmov.{1} {0}0, tile;\n{2}mad.lo.u32 %r11, %r10, 1000, %tx;\n"
      "shl.b32 %r12, %tx, 2;\nmov.u32 %r13, tile;\nadd.u32 %r13, %r13, %r12;\nst.shared.u32 "
      "[%r13], "
      "%r11;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\nadd.u32 %r14, %r10, %tx;\nand.b32 "
      "%r14, "
      "%r14, 3;\n{3} {0}1, {0}0, %r14;\n{4} %r15, {0}1;\n{5}add.{1} {0}1, {0}1, {0}2;\nld{6}.u32 "
      "%r16, [{0}1];\nmad.lo.u32 %r16, %r15, 100000, %r16;\nst.global.u32 [%mo], "
      "%r16;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\n",
      d, t, window ? "" : "cvta.shared.u64 %d0, %d0;\n", w[0] == "mapa" ? opcode : mapa,
      w[0] == "mapa" ? (window ? "getctarank.shared::cluster." + t : "getctarank." + t) : opcode,
      wide ? "cvt.u64.u32 %d2, %r12;\n" : "mov.u32 %r2, %r12;\n", window ? ".shared::cluster" : "");
  return expect_words(run, 128, [](uint32_t t) {
    uint32_t rank = t / 32, lane = t % 32, target = (rank + lane) % 4;
    return target * 100000 + target * 1000 + lane;
  });
}

}  // namespace

std::vector<NamedCheck> control_checks() {
  return {{"branch", check_branch},
          {"branch_index", check_branch_index},
          {"call", check_call},
          {"return_exit", check_return},
          {"trap", check_trap},
          {"nanosleep", check_sleep},
          {"grid_control", check_grid_control},
          {"setmaxnreg", check_registers},
          {"map_rank", check_map}};
}

}  // namespace tess::ptxsim
