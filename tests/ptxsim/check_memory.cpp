// Loads, stores, address conversions, hints and the stack: bytes in known places, read back.
#include <fmt/format.h>

#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {
namespace {

uint32_t pick(const std::string& opcode, uint32_t n) {
  uint64_t h = 1469598103934665603ull;
  for (char c : opcode) h = (h ^ uint8_t(c)) * 1099511628211ull;
  return uint32_t(h >> 33) % n;
}

int vector_length(const Words& w) { return has_word(w, "v4") ? 4 : has_word(w, "v2") ? 2 : 1; }

// An integer type may be held in a wider register.
int register_bits(const std::string& type, const std::string& opcode) {
  int n = type_bits(type);
  if (n >= 64 || type[0] == 'f') return n;
  const int widths[] = {16, 32, 64};
  int w = widths[pick(opcode, 3)];
  return std::max(n, w);
}

uint8_t constant_byte(size_t i) { return uint8_t(i * 7 + 3); }
std::string constants_text() {
  std::string s = ".const .align 16 .b8 constants[64] = {";
  for (size_t i = 0; i < 64; ++i) s += fmt::format("{}{}", i ? ", " : "", constant_byte(i));
  return s + "};\n";
}

// This thread's 64 bytes: between global memory and `space` at the address in %d100.
std::string copy_bytes(const char* load, const std::string& from, const char* store,
                       const std::string& to) {
  std::string s;
  for (int i = 0; i < 4; ++i)
    s += fmt::format(
        "ld.{0}.v4.b32 {{%r100, %r101, %r102, %r103}}, [{1}+{4}];\n"
        "st.{2}.v4.b32 [{3}+{4}], {{%r100, %r101, %r102, %r103}};\n",
        load, from, store, to, 16 * i);
  return s;
}
const char* kZero = "mov.u32 %r100, 0;\nmov.u32 %r101, 0;\nmov.u32 %r102, 0;\nmov.u32 %r103, 0;\n";
std::string zero_bytes(const char* store, const std::string& to) {
  std::string s = kZero;
  for (int i = 0; i < 4; ++i)
    s += fmt::format("st.{}.v4.b32 [{}+{}], {{%r100, %r101, %r102, %r103}};\n", store, to, 16 * i);
  return s;
}
const char* kSharedSlot =
    "mul.wide.u32 %d100, %tx, 64;\nmov.u64 %d101, tile;\nadd.u64 %d100, %d100, %d101;\n";
const char* kStack = ".local .align 16 .b8 stack[64];\nmov.u64 %d100, stack;\n";

enum class Where { global, shared, generic_shared, local, constant, kernel_param, call_param };
Where place(const Words& w, const std::string& opcode) {
  if (has_word(w, "global") || w[0] == "ldu") return Where::global;
  if (has_word(w, "shared") || has_word(w, "shared::cta") || has_word(w, "shared::cluster"))
    return Where::shared;
  if (has_word(w, "local")) return Where::local;
  if (has_word(w, "const")) return Where::constant;
  if (has_word(w, "param::func")) return Where::call_param;
  if (has_word(w, "param") || has_word(w, "param::entry")) return Where::kernel_param;
  return has_word(w, "mmio") || pick(opcode, 2) ? Where::global : Where::generic_shared;
}

// The registers of element i, from or to 8 (16) bytes at base + 8 i.
std::string move_registers(bool load, const char* space, int bits, int count,
                           const std::string& base) {
  std::string s;
  for (int i = 0; i < count; ++i) {
    if (bits == 128) {
      s += load ? fmt::format(
                      "ld.{0}.v2.b64 {{%d120, %d121}}, [{1}];\nmov.b128 %q0, {{%d120, "
                      "%d121}};\n",
                      space, base)
                : fmt::format(
                      "mov.b128 {{%d120, %d121}}, %q0;\nst.{0}.v2.b64 [{1}], {{%d120, "
                      "%d121}};\n",
                      space, base);
    } else {
      std::string r = register_list(bits, i, 1, false);
      s += load ? fmt::format("ld.{}.b{} {}, [{}+{}];\n", space, bits, r, base, 8 * i)
                : fmt::format("st.{}.b{} [{}+{}], {};\n", space, bits, base, 8 * i, r);
    }
  }
  return s;
}

const char* kFunctionRegisters =
    ".reg .b16 %h<8>;\n.reg .b32 %r<104>;\n.reg .b64 %d<128>;\n.reg .b128 %q<2>;\n";

Verdict check_load(const std::string& opcode, const Words& w) {
  const std::string& type = w.back();
  int n = type_bits(type), count = vector_length(w), bits = register_bits(type, opcode);
  if (n * count > 128) return impossible();
  uint32_t offset = 16 * pick(opcode + "o", 3);
  Where where = place(w, opcode);
  FormRun run;
  fill_input(run, 32 * 64, pick(opcode, 1000));
  run.out_bytes = 32 * 64;
  std::string instruction =
      fmt::format("{} {}, [{{}}+{}]{};\n", opcode, register_list(bits, 0, count, false), offset,
                  has_word(w, "L2::cache_hint") ? ", %d110" : "");
  auto execute = [&](std::string_view address) {
    std::string s = instruction;
    return s.replace(s.find("{}"), 2, address);
  };
  if (count == 1)
    instruction = fmt::format("{} {}, [{{}}+{}]{};\n", opcode, register_list(bits, 0, 1, false),
                              offset, has_word(w, "L2::cache_hint") ? ", %d110" : "");
  std::string body = "mov.u64 %d110, 0;\n",
              keep = move_registers(false, "global", bits, count, "%mo");
  run.module_text = constants_text();
  run.maps.resize(1);
  for (size_t i = 0; i < 128; ++i) run.maps[0].bytes[i] = std::byte(constant_byte(i));
  bool own_bytes = true;
  switch (where) {
    case Where::global:
      body += execute("%mi") + keep;
      break;
    case Where::shared:
      body +=
          kSharedSlot + copy_bytes("global", "%mi", "shared", "%d100") + execute("%d100") + keep;
      break;
    case Where::generic_shared:
      body += kSharedSlot + copy_bytes("global", "%mi", "shared", "%d100") +
              "cvta.shared.u64 %d100, %d100;\n" + execute("%d100") + keep;
      break;
    case Where::local:
      body += kStack + copy_bytes("global", "%mi", "local", "%d100") + execute("%d100") + keep;
      break;
    case Where::constant:
      own_bytes = false;
      body += execute("constants") + keep;
      break;
    case Where::kernel_param:
      own_bytes = false;
      body += execute("map0") + keep;
      break;
    case Where::call_param:
      run.module_text += fmt::format(
          ".func (.param .align 16 .b8 back[64]) f(.param .align 16 .b8 x[64]) {{\n{}mov.u64 "
          "%d110, "
          "0;\n{}{}ret;\n}}\n",
          kFunctionRegisters, execute("x"), move_registers(false, "param", bits, count, "back"));
      body += "{\n.param .align 16 .b8 a[64], b[64];\n" +
              copy_bytes("global", "%mi", "param", "a") + "call (b), f, (a);\n" +
              move_registers(true, "param", bits, count, "b") + keep + "}\n";
  }
  run.body = body;
  if (!run.run()) return wrong(run.error);
  for (size_t t = 0; t < 32; ++t)
    for (int i = 0; i < count; ++i) {
      std::vector<uint8_t> want(size_t(bits) / 8);
      for (size_t b = 0; b < want.size(); ++b) {
        auto source = [&](size_t at) {
          at += offset + size_t(i * n / 8);
          return own_bytes ? run.in[t * 64 + at] : constant_byte(at);
        };
        size_t bytes = size_t(n) / 8;
        want[b] = b < bytes                                           ? source(b)
                  : type[0] == 's' && (source(bytes - 1) & 0x80) != 0 ? 0xff
                                                                      : 0;
      }
      if (std::memcmp(&run.out[t * 64 + size_t(8 * i)], want.data(), want.size()) != 0)
        return wrong(fmt::format("thread {} element {}", t, i));
    }
  return good();
}

Verdict check_store(const std::string& opcode, const Words& w) {
  const std::string& type = w.back();
  int n = type_bits(type), count = vector_length(w), bits = register_bits(type, opcode);
  if (n * count > 128) return impossible();
  Where where = place(w, opcode);
  if (where == Where::constant || has_word(w, "param::entry")) return impossible();
  if (has_word(w, "param")) where = Where::call_param;
  uint32_t offset = 16 * pick(opcode + "o", 3);
  FormRun run;
  fill_input(run, 32 * 64, pick(opcode, 1000));
  run.out_bytes = 32 * 64;
  auto execute = [&](std::string_view address) {
    return fmt::format("{} [{}+{}], {}{};\n", opcode, address, offset,
                       register_list(bits, 0, count, false),
                       has_word(w, "L2::cache_hint") ? ", %d110" : "");
  };
  std::string body = "mov.u64 %d110, 0;\n" + move_registers(true, "global", bits, count, "%mi");
  switch (where) {
    case Where::global:
      body += execute("%mo");
      break;
    case Where::shared:
      body += kSharedSlot + zero_bytes("shared", "%d100") + execute("%d100") +
              copy_bytes("shared", "%d100", "global", "%mo");
      break;
    case Where::generic_shared:
      body += kSharedSlot + zero_bytes("shared", "%d100") + "cvta.shared.u64 %d101, %d100;\n" +
              execute("%d101") + copy_bytes("shared", "%d100", "global", "%mo");
      break;
    case Where::local:
      body += kStack + zero_bytes("local", "%d100") + execute("%d100") +
              copy_bytes("local", "%d100", "global", "%mo");
      break;
    default:
      run.module_text = fmt::format(
          ".func (.param .align 16 .b8 back[64]) f(.param .align 16 .b8 x[64]) {{\n{}{}ret;\n}}\n",
          kFunctionRegisters, copy_bytes("param", "x", "param", "back"));
      body += "{\n.param .align 16 .b8 a[64], b[64];\n" + zero_bytes("param", "a") + execute("a") +
              "call (b), f, (a);\n" + copy_bytes("param", "b", "global", "%mo") + "}\n";
  }
  run.body = body;
  if (!run.run()) return wrong(run.error);
  for (size_t t = 0; t < 32; ++t) {
    uint8_t want[64] = {};
    for (int i = 0; i < count; ++i)
      std::memcpy(want + offset + size_t(i * n / 8), &run.in[t * 64 + size_t(8 * i)],
                  size_t(n) / 8);
    if (std::memcmp(want, &run.out[t * 64], 64) != 0) return wrong(fmt::format("thread {}", t));
  }
  return good();
}

// A hint changes nothing that can be seen.
Verdict check_hint(const std::string& opcode, const Words& w) {
  std::string hint = has_word(w, "L2::cache_hint") ? ", %d110" : "", operands = "[%mi]";
  if (w[0] == "pmevent") operands = has_word(w, "mask") ? "5" : "3";
  else if (w[0] == "cp") operands = "[%mi+16], 32" + hint;
  else if (w[0] == "applypriority") operands = "[%d111], 128";
  else if (has_word(w, "local")) operands = "[stack]";
  else if (has_word(w, "const")) operands = "[constants]";
  else if (has_word(w, "param")) operands = "[map0]";
  FormRun run;
  fill_input(run, 32 * 128, 5);
  run.out_bytes = 32 * 64;
  run.maps.resize(1);
  run.module_text = ".const .align 64 .b8 constants[128];\n";
  run.body = fmt::format(
                 ".local .align 16 .b8 stack[64];\nmov.u64 %d110, 0;\nmul.wide.u32 %d111, %t, "
                 "128;\nadd.u64 "
                 "%d111, %d111, %in;\n{} {};\n",
                 opcode, operands) +
             copy_bytes("global", "%mi", "global", "%mo");
  if (!run.run()) return wrong(run.error);
  return std::memcmp(run.in.data(), run.out.data(), run.out_bytes) == 0 ? good()
                                                                        : wrong("memory changed");
}

// The line may be written again afterwards; an address inside of a line is refused.
Verdict check_discard(const std::string& opcode, const Words&) {
  FormRun run;
  run.out_bytes = 32 * 128;
  std::string place = "mul.wide.u32 %d0, %t, 128;\nadd.u64 %d0, %d0, %out;\n";
  run.body = place + opcode + " [%d0], 128;\nst.global.u32 [%d0+64], %t;\n";
  if (!run.run()) return wrong(run.error);
  for (uint32_t t = 0; t < 32; ++t)
    if (value_at<uint32_t>(run.out, t * 128 + 64) != t) return wrong("the write is lost");
  run.body = place + opcode + " [%d0+32], 128;\n";
  run.run();
  return run.found("T1021") ? good() : wrong("a misaligned line is not reported");
}

// A policy is opaque: what can be said is that an access accepts it and still moves the bytes.
Verdict check_policy(const std::string& opcode, const Words& w) {
  FormRun run;
  fill_input(run, 32 * 64, 6);
  run.out_bytes = 32 * 64;
  run.body = fmt::format(
      "{} {};\nld.global.L2::cache_hint.u32 %r0, [%mi], %d0;\nst.global.L2::cache_hint.u32 [%mo], "
      "%r0, %d0;\n",
      opcode,
      has_word(w, "cvt")     ? "%d0, 0x12"
      : has_word(w, "range") ? "%d0, [%mi], 64, 128"
      : pick(opcode, 2)      ? "%d0, 0.5"
                             : "%d0");
  if (!run.run()) return wrong(run.error);
  for (size_t t = 0; t < 32; ++t)
    if (std::memcmp(&run.in[t * 64], &run.out[t * 64], 4) != 0) return wrong("the bytes differ");
  return good();
}

struct SpaceName {
  const char* word;     // of cvta and isspacep
  const char* access;   // of ld
  const char* address;  // of 64 bytes that hold constant_byte(i)
};
const SpaceName kSpaces[] = {{"global", "global", "%mi"},
                             {"shared", "shared", "tile"},
                             {"shared::cta", "shared::cta", "tile"},
                             {"shared::cluster", "shared::cluster", "tile"},
                             {"local", "local", "stack"},
                             {"const", "const", "constants"},
                             {"param", "param", "map0"},
                             {"param::entry", "param", "map0"}};

void known_bytes(FormRun& run) {
  run.module_text = constants_text();
  run.in.resize(32 * 64);
  for (size_t i = 0; i < run.in.size(); ++i) run.in[i] = constant_byte(i % 64);
  run.out_bytes = 32 * 64;
  run.maps.resize(1);
  for (size_t i = 0; i < 128; ++i) run.maps[0].bytes[i] = std::byte(constant_byte(i));
  run.body =
      ".local .align 16 .b8 stack[64];\nmov.u64 %d99, tile;\nmov.u64 %d98, stack;\n"
      "setp.ne.u32 %p9, %tx, 0;\n@%p9 bra FILLED;\n" +
      copy_bytes("global", "%mi", "shared", "%d99") + "FILLED:\nbar.sync 0;\n" +
      copy_bytes("global", "%mi", "local", "%d98");
}

Verdict check_convert(const std::string& opcode, const Words& w) {
  std::string word = w[w.size() - 2];
  const SpaceName* s = nullptr;
  for (auto& x : kSpaces)
    if (word == x.word) s = &x;
  FormRun run;
  known_bytes(run);
  run.body += fmt::format("mov.u64 %d0, {};\n", s->address);
  if (has_word(w, "to"))
    run.body += fmt::format("cvta.{0}.u64 %d1, %d0;\n{1} %d2, %d1;\nld.{2}.u32 %r0, [%d2+20];\n",
                            word, opcode, s->access);
  else run.body += fmt::format("{} %d1, %d0;\nld.u32 %r0, [%d1+20];\n", opcode);
  run.body += "st.global.u32 [%mo], %r0;\n";
  if (!run.run()) return wrong(run.error);
  for (size_t t = 0; t < 32; ++t)
    for (size_t i = 0; i < 4; ++i)
      if (run.out[t * 64 + i] != constant_byte(20 + i)) return wrong("another place");
  return good();
}

// Addresses of every space, and of another block's shared memory.
Verdict check_is_space(const std::string& opcode, const Words& w) {
  struct Asked {
    const char* make;
    const char* inside;  // the words that hold
    bool open = false;   // whether constant memory counts as global is not said
  };
  const Asked cases[] = {
      {"mov.u64 %d0, %mi;\n", " global "},
      {"cvta.shared.u64 %d0, %d99;\n", " shared shared::cta shared::cluster "},
      {"cvta.shared.u64 %d0, %d99;\nmov.u32 %r0, %cluster_ctarank;\nxor.b32 %r0, %r0, 1;\nmapa.u64 "
       "%d0, %d0, %r0;\n",
       " shared::cluster "},
      {"cvta.local.u64 %d0, %d98;\n", " local "},
      {"mov.u64 %d0, constants;\ncvta.const.u64 %d0, %d0;\n", " const ", true},
      {"mov.u64 %d0, map0;\ncvta.param.u64 %d0, %d0;\n", " param param::entry "}};
  for (const Asked& c : cases) {
    if (c.open && w.back() == "global") continue;
    FormRun run;
    known_bytes(run);
    run.in.resize(64 * 64, 1);
    run.out_bytes = 64 * 64;
    run.grid = {2, 1, 1}, run.cluster = {2, 1, 1};
    run.body += fmt::format(
        "{}{} %p0, %d0;\nselp.u32 %r1, 1, 2, %p0;\nst.global.u32 [%mo], "
        "%r1;\nbarrier.cluster.arrive;\nbarrier.cluster.wait;\n",
        c.make, opcode);
    if (!run.run()) return wrong(run.error);
    bool inside = std::string(c.inside).find(" " + w.back() + " ") != std::string::npos;
    for (size_t t = 0; t < 64; ++t)
      if (value_at<uint32_t>(run.out, t * 64) != (inside ? 1u : 2u)) return wrong(c.make);
  }
  return good();
}

Verdict check_stack(const std::string&, const Words& w) {
  std::string t = w.back(), r = t == "u64" ? "%d" : "%r";
  FormRun run;
  run.out_bytes = 32 * 64;
  // The space is there, apart from what was taken before, and comes back after the restore.
  run.body = fmt::format(
      "stacksave.{0} {1}0;\nalloca.{0} {1}1, 32;\nalloca.{0} {1}2, 32;\nst.local.u32 [{1}1], "
      "%t;\nst.local.u32 [{1}1+28], 7;\nst.local.u32 [{1}2], 9;\nld.local.u32 %r50, "
      "[{1}1];\nld.local.u32 %r51, [{1}1+28];\nstackrestore.{0} {1}0;\nalloca.{0} {1}3, "
      "32;\nsub.{0} {1}4, {1}2, {1}1;\nsub.{0} {1}5, {1}3, {1}1;\nst.global.u32 [%mo], "
      "%r50;\nst.global.u32 [%mo+4], %r51;\nst.global.{0} [%mo+8], {1}4;\nst.global.{0} [%mo+16], "
      "{1}5;\n",
      t, r);
  if (!run.run()) return wrong(run.error);
  for (uint32_t i = 0; i < 32; ++i)
    if (value_at<uint32_t>(run.out, i * 64) != i || value_at<uint32_t>(run.out, i * 64 + 4) != 7 ||
        value_at<uint64_t>(run.out, i * 64 + 8) < 32 || value_at<uint64_t>(run.out, i * 64 + 16))
      return wrong("the stack");
  return good();
}

}  // namespace

std::vector<NamedCheck> memory_checks() {
  return {{"load", check_load},
          {"store", check_store},
          {"hint_only", check_hint},
          {"discard", check_discard},
          {"create_policy", check_policy},
          {"address_convert", check_convert},
          {"is_space", check_is_space},
          {"alloca_stack", check_stack}};
}

}  // namespace tess::ptxsim
