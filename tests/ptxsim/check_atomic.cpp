// atom, red and multimem in every space, width and vector length: 32 lanes on four places, in lane
// order.
#include <fmt/format.h>

#include "tests/ptxsim/form_check.h"
#include "tests/ptxsim/reduce_oracle.h"

namespace tess::ptxsim {
namespace {

struct Shape {
  std::string op, type;
  int bits = 0, count = 1;
  bool result = false;
};

Shape shape_of(const Words& w) {
  Shape s;
  s.type = w.back();
  s.bits = type_bits(s.type);
  s.count = has_word(w, "v8") ? 8 : has_word(w, "v4") ? 4 : has_word(w, "v2") ? 2 : 1;
  for (const char* o : {"and", "or", "xor", "exch", "cas", "add", "inc", "dec", "min", "max"})
    if (has_word(w, o)) s.op = o;
  s.result = w[0] == "atom";
  return s;
}

// Values at `from` as the registers of a vector; 128-bit ones are made of two halves.
std::string load_vector(const Shape& s, int first, const std::string& from) {
  if (s.bits == 128)
    return fmt::format(
        "ld.global.v2.b64 {{%d120, %d121}}, [{}];\nmov.b128 %q{}, {{%d120, %d121}};\n", from,
        first);
  std::string t;
  for (int i = 0; i < s.count; ++i)
    t += fmt::format("ld.global.b{0} {1}, [{2}+{3}];\n", s.bits,
                     register_list(s.bits, first + i, 1, false), from, i * s.bits / 8);
  return t;
}
std::string store_vector(const Shape& s, int first, const std::string& to) {
  if (s.bits == 128)
    return fmt::format(
        "mov.b128 {{%d120, %d121}}, %q{};\nst.global.v2.b64 [{}], {{%d120, %d121}};\n", first, to);
  std::string t;
  for (int i = 0; i < s.count; ++i)
    t += fmt::format("st.global.b{0} [{2}+{3}], {1};\n", s.bits,
                     register_list(s.bits, first + i, 1, false), to, i * s.bits / 8);
  return t;
}

Verdict check_update(const std::string& opcode, const Words& w) {
  Shape s = shape_of(w);
  if (s.count * s.bits > 128) return impossible();
  bool shared =
      has_word(w, "shared") || has_word(w, "shared::cta") || has_word(w, "shared::cluster");
  bool global = has_word(w, "global") || w[0] == "multimem" || s.count > 1;
  bool generic_shared = !shared && !global && opcode.size() % 2;
  int bytes = s.count * s.bits / 8;
  // Input: per thread 32 bytes of value and 32 of the second value of cas; four places behind them.
  FormRun run;
  run.in.resize(32 * 64 + 64);
  Random r{opcode.size() * 31 + uint64_t(s.bits)};
  auto fill = [&](size_t at) {
    for (int i = 0; i < bytes; i += std::max(1, s.bits / 8)) {
      uint64_t v = small_value(s.bits == 128 ? "b64" : s.type, r.next());
      std::memcpy(&run.in[at + size_t(i)], &v, size_t(std::min(s.bits, 64)) / 8);
    }
  };
  for (size_t t = 0; t < 32; ++t) fill(t * 64), fill(t * 64 + 32);
  for (size_t p = 0; p < 4; ++p) fill(32 * 64 + p * 16);
  // Half of the compares of cas succeed at first.
  if (s.op == "cas")
    for (size_t t = 0; t < 32; t += 2)
      std::memcpy(&run.in[t * 64], &run.in[32 * 64 + t % 4 * 16], size_t(bytes));
  run.out_bytes = 32 * 64 + 64;
  std::string base = fmt::format(
      "mul.wide.u32 %d101, %tx, 16;\nadd.u64 %d102, %in, {0};\nadd.u64 %d103, "
      "%out, {0};\nsetp.gt.u32 %p0, %tx, 3;\n",
      32 * 64);
  // Places: in the output, or in shared memory copied there at the end. Threads 0..3 own one each.
  std::string copy =
      "ld.{0}.v4.b32 {{%r100, %r101, %r102, %r103}}, [{1}];\nst.{2}.v4.b32 [{3}], "
      "{{%r100, %r101, %r102, %r103}};\n";
  bool in_shared = shared || generic_shared;
  const char* space = in_shared ? "shared" : "global";
  std::string body = base;
  body += in_shared ? "mov.u64 %d104, tile;\n" : "mov.u64 %d104, %d103;\n";
  body += "add.u64 %d105, %d102, %d101;\nadd.u64 %d106, %d104, %d101;\n@%p0 bra READY;\n" +
          fmt::format(fmt::runtime(copy), "global", "%d105", space, "%d106") +
          "READY:\nbar.sync 0;\n" +
          "and.b32 %r110, %tx, 3;\nmul.wide.u32 %d107, %r110, 16;\nadd.u64 %d107, %d107, %d104;\n";
  if (generic_shared) body += "cvta.shared.u64 %d107, %d107;\n";
  body += "mov.u64 %d110, 0;\n" + load_vector(s, s.bits == 128 ? 1 : 16, "%mi") +
          load_vector(s, s.bits == 128 ? 2 : 32, "%mi+32");
  int value = s.bits == 128 ? 1 : 16, second = s.bits == 128 ? 2 : 32;
  body += fmt::format("{} {}[%d107], {}{}{};\n", opcode,
                      s.result ? register_list(s.bits, 0, s.count, false) + ", " : "",
                      register_list(s.bits, value, s.count, false),
                      s.op == "cas" ? ", " + register_list(s.bits, second, 1, false) : "",
                      has_word(w, "L2::cache_hint") ? ", %d110" : "");
  if (s.result) body += store_vector(s, 0, "%mo");
  body += "bar.sync 0;\n@%p0 bra DONE;\n";
  if (in_shared)
    body += "add.u64 %d108, %d103, %d101;\n" +
            fmt::format(fmt::runtime(copy), "shared", "%d106", "global", "%d108");
  body += "DONE:\n";
  run.body = body;
  if (!run.run()) return wrong(run.error);
  std::vector<uint8_t> place(run.in.begin() + 32 * 64, run.in.end());
  for (size_t t = 0; t < 32; ++t) {
    size_t p = t % 4 * 16;
    if (s.result && std::memcmp(&run.out[t * 64], &place[p], size_t(bytes)) != 0)
      return wrong(fmt::format("the old value of thread {}", t));
    if (s.bits == 128) {
      bool swap = s.op == "exch" || std::memcmp(&place[p], &run.in[t * 64], 16) == 0;
      if (swap) std::memcpy(&place[p], &run.in[t * 64 + (s.op == "cas" ? 32 : 0)], 16);
      continue;
    }
    for (int i = 0; i < s.count; ++i) {
      size_t at = size_t(i * s.bits / 8), n = size_t(s.bits) / 8;
      uint64_t a = 0, b = 0, c = 0;
      std::memcpy(&a, &place[p + at], n);
      std::memcpy(&b, &run.in[t * 64 + at], n);
      std::memcpy(&c, &run.in[t * 64 + 32 + at], n);
      a = reduced(s.op, s.type, a, b, c);
      std::memcpy(&place[p + at], &a, n);
    }
  }
  for (size_t p = 0; p < 4; ++p)
    if (std::memcmp(&run.out[32 * 64 + p * 16], &place[p * 16], size_t(bytes)) != 0)
      return wrong(fmt::format("place {}", p));
  return good();
}

// One device: the multicast object is plain memory, so a reducing load returns what is there.
Verdict check_multimem(const std::string& opcode, const Words& w) {
  Shape s = shape_of(w);
  if (s.count * s.bits > 128) return impossible();
  if (has_word(w, "acc::f32") && s.type[0] != 'f' && s.type[0] != 'b') return impossible();
  if (w[1] == "red") {
    Words plain = w;
    return check_update(opcode, plain);
  }
  FormRun run;
  fill_input(run, 32 * 64, opcode.size());
  run.out_bytes = 32 * 64;
  int bytes = s.count * s.bits / 8;
  std::string list = register_list(s.bits, 0, s.count, false);
  run.body = w[1] == "st"
                 ? load_vector(s, 0, "%mi") + fmt::format("{} [%mo], {};\n", opcode, list)
                 : fmt::format("{} {}, [%mi];\n", opcode, list) + store_vector(s, 0, "%mo");
  if (!run.run()) return wrong(run.error);
  for (size_t t = 0; t < 32; ++t)
    if (std::memcmp(&run.in[t * 64], &run.out[t * 64], size_t(bytes)) != 0)
      return wrong(fmt::format("thread {}", t));
  return good();
}

}  // namespace

std::vector<NamedCheck> atomic_checks() {
  return {{"atomic", check_update}, {"multimem", check_multimem}};
}

}  // namespace tess::ptxsim
