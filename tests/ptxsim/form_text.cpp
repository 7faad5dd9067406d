#include "tests/ptxsim/form_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace tess::ptxsim {

std::vector<std::string> words_of(const std::string& opcode) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= opcode.size();) {
    size_t end = std::min(opcode.find('.', at), opcode.size());
    out.push_back(opcode.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

namespace {

bool has(const std::vector<std::string>& w, const char* m) {
  return std::find(w.begin() + 1, w.end(), m) != w.end();
}

int bits(const std::string& t) {
  if (t == "pred") return 1;
  if (t.find("x2") != t.npos) return t[0] == 'e' || (t[0] == 'u' && t[1] == 'e') ? 16 : 32;
  if (t == "tf32") return 32;
  if (t == "bf16") return 16;
  return std::atoi(t.c_str() + 1);
}

// Registers: a b c as 16 (%ha), 32 (%ra), 64 (%da) and 128 bits (%qa); results %hd %rd %dd %qd.
std::string reg(char name, int n) {
  const char* kind = n <= 16 ? "h" : n == 32 ? "r" : n == 64 ? "d" : "q";
  return fmt::format("%{}{}", kind, name);
}
std::string list(char name, int n, int count) {
  std::string s = "{";
  for (int i = 0; i < count; ++i)
    s += fmt::format("{}%{}{}{}", i ? ", " : "",
                     n <= 16   ? "hv"
                     : n == 32 ? "rv"
                     : n == 64 ? "dv"
                               : "qv",
                     name, i);
  return s + "}";
}
int extent(const std::vector<std::string>& w) {
  return has(w, "v2") ? 2 : has(w, "v4") ? 4 : has(w, "v8") ? 8 : 1;
}

int shape(const std::string& s, char of) {
  size_t at = s.find(of);
  return at == s.npos ? 0 : std::atoi(s.c_str() + at + 1);
}
std::string find_shape(const std::vector<std::string>& w) {
  for (auto& x : w)
    if (x.size() > 5 && x[0] == 'm' && isdigit(x[1]) && x.find('n') != x.npos &&
        x.find('k') != x.npos)
      return x;
  return {};
}
int matrix_bits(const std::string& t) {
  return t == "b1"                    ? 1
         : t == "u4" || t == "s4"     ? 4
         : t == "e4m3" || t == "e5m2" ? 8
         : t == "tf32"                ? 32
                                      : bits(t);
}

}  // namespace

std::string operands_of(std::string_view b, const std::string& opcode) {
  auto w = words_of(opcode);
  std::string t = w.back();
  int n = bits(t);
  auto d = [&](int k) { return reg('d', k); };
  auto A = [&](int k) { return reg('a', k); };
  auto B = [&](int k) { return reg('b', k); };
  auto C = [&](int k) { return reg('c', k); };
  if (b == "int_binary" || b == "int_carry" || b == "real_binary" || b == "half_binary")
    return fmt::format("{}, {}, {}", d(n), A(n), B(n));
  if (b == "int_wide") return fmt::format("{}, {}, {}", d(2 * n), A(n), B(n));
  if (b == "int_wide_mad") return fmt::format("{}, {}, {}, {}", d(2 * n), A(n), B(n), C(2 * n));
  if (b == "int_mad" || b == "int_mad_carry" || b == "real_fma" || b == "half_fma")
    return fmt::format("{}, {}, {}, {}", d(n), A(n), B(n), C(n));
  if (b == "int_unary" || b == "real_unary" || b == "half_unary")
    return fmt::format("{}, {}", d(n), A(n));
  if (b == "int_count") return fmt::format("%rd, {}", A(n));
  if (b == "int_fns" || b == "int_dot" || b == "funnel" || b == "permute")
    return "%rd, %ra, %rb, %rc";
  if (b == "bit_field") return fmt::format("{}, {}, %rb, %rc", d(n), A(n));
  if (b == "bit_insert") return fmt::format("{}, {}, {}, %rc, %rcc", d(n), A(n), B(n));
  if (b == "pred_logic") return w[0] == "not" ? "%p1, %p0" : "%p1, %p0, %pa";
  if (b == "logic3")
    return has(w, "and") || has(w, "or") ? "%rd|%p1, %ra, %rb, %rc, 0x6a, %p0"
                                         : "%rd, %ra, %rb, %rc, 0x6a";
  if (b == "int_shift") return fmt::format("{}, {}, %rb", d(n), A(n));
  if (b == "real_test") return fmt::format("%p1, {}", A(n));
  bool third = has(w, "and") || has(w, "or") || has(w, "xor");
  if (b == "compare_set") return fmt::format("%p1|%p2, {}, {}{}", A(n), B(n), third ? ", %p0" : "");
  if (b == "compare_value" || b == "compare_half")
    return fmt::format("{}, {}, {}{}", d(bits(w[w.size() - 2])), A(n), B(n), third ? ", %p0" : "");
  if (b == "select_pred") return fmt::format("{}, {}, {}, %p0", d(n), A(n), B(n));
  if (b == "select_sign")
    return fmt::format("{0}, {1}, {2}, %rc", d(bits(w[w.size() - 2])), A(bits(w[w.size() - 2])),
                       B(bits(w[w.size() - 2])));
  if (b == "move")
    return t == "pred" ? "%p1, %p0" : n == 128 ? "%qd, %qa" : fmt::format("{}, {}", d(n), A(n));
  if (b == "convert") return fmt::format("{}, {}", d(bits(w[w.size() - 2])), A(n));
  if (b == "convert_pair") {
    std::string to = w[w.size() - 2];
    int dn = to == "f16x2" || to == "bf16x2" ? 32
             : to == "e2m1x2"                ? 8
                                             : 16,
        sn = t == "f32" || t == "f16x2" || t == "bf16x2" ? 32
             : t == "e2m1x2"                             ? 8
                                                         : 16;
    return t == "f32" ? fmt::format("{}, %ra, %rb", reg('d', dn))
                      : fmt::format("{}, {}", reg('d', dn), reg('a', sn));
  }
  if (b == "convert_pack") return t == "b32" ? "%rd, %ra, %rb, %rc" : "%rd, %ra, %rb";
  if (b == "address_convert") return fmt::format("{}, {}", d(n), A(n));
  if (b == "is_space") return "%p1, %da";
  if (b == "map_rank")
    return w[0] == "mapa" ? fmt::format("{}, {}, 0", d(n), A(n)) : fmt::format("%rd, {}", A(n));
  std::string where =
      has(w, "shared") || has(w, "shared::cta") || has(w, "shared::cluster") ? "[tile]"
      : has(w, "local")                                                      ? "[stack]"
      : has(w, "const")                                                      ? "[constants]"
      : has(w, "param") || has(w, "param::entry") || has(w, "param::func")   ? "[in]"
                                                                             : "[%da]";
  std::string hint = has(w, "L2::cache_hint") ? ", %db" : "";
  if (b == "load" || b == "store" || b == "multimem") {
    int e = extent(w), k = n < 8 ? 8 : n;
    if (e * k > 128) return "skip";
    bool is_store = b == "store" || has(w, "st") || has(w, "red");
    if (is_store &&
        (has(w, "param") || has(w, "param::entry") || has(w, "param::func") || has(w, "const")))
      return "skip";
    std::string v = e > 1 ? list(is_store ? 'a' : 'd', k, e) : reg(is_store ? 'a' : 'd', k);
    if (b == "multimem" && has(w, "acc::f32") && t[0] != 'b' && t != "f16" && t != "f16x2")
      return "skip";
    return is_store ? where + ", " + v + hint : v + ", " + where + hint;
  }
  if (b == "store_async")
    return extent(w) * n > 128
               ? "skip"
               : fmt::format("[%ra], {}, [%rb]", extent(w) > 1 ? list('a', n, extent(w)) : A(n));
  if (b == "reduce_async") return fmt::format("[%ra], {}, [%rb]", A(n));
  if (b == "hint_only") {
    if (w[0] == "pmevent") return has(w, "mask") ? "3" : "7";
    if (w[0] == "cp") return "[%da], %rb" + hint;
    if (w[0] == "prefetch" && has(w, "local")) return "[stack]";
    return w[0] == "applypriority" ? "[%da], 128" : "[%da]";
  }
  if (b == "discard") return "[%da], 128";
  if (b == "create_policy")
    return has(w, "cvt") ? "%dd, 7" : has(w, "range") ? "%dd, [%da], 128, 128" : "%dd";
  if (b == "atomic") {
    int e = extent(w), operands = has(w, "cas") ? 2 : 1;
    if (e * n > 128) return "skip";
    auto value = [&](char c) { return e > 1 ? list(c, n, e) : reg(c, n); };
    std::string s = w[0] == "atom" ? value('d') + ", " : "";
    s += where + ", " + value('a');
    if (operands == 2) s += ", " + value('b');
    return s + hint;
  }
  if (b == "alloca_stack")
    return opcode.rfind("alloca", 0) == 0         ? fmt::format("{}, {}", d(n), "32")
           : opcode.rfind("stackrestore", 0) == 0 ? A(n)
                                                  : d(n);
  if (b == "branch") return "END";
  if (b == "branch_index") return "%ra, targets";
  if (b == "call") return "callee";
  if (b == "return_exit" || b == "trap" || b == "fence")
    return has(w, "tensormap::generic") && has(w, "acquire") ? "[%da], 128" : "";
  if (b == "nanosleep") return "%ra";
  if (b == "setmaxnreg") return "64";
  if (b == "grid_control" || b == "wgmma_fence" || b == "wgmma_commit" || b == "cluster_barrier")
    return "";
  if (b == "wgmma_wait") return "1";
  if (b == "barrier") return has(w, "arrive") ? "1, 64" : "1";
  if (b == "barrier_reduce") return has(w, "popc") ? "%rd, 1, %p0" : "%p1, 1, %p0";
  if (b == "warp_barrier") return "-1";
  if (b == "shuffle") return "%rd|%p1, %ra, 1, 31, -1";
  if (b == "vote") return t == "b32" ? "%rd, %p0, -1" : "%p1, %p0, -1";
  if (b == "match")
    return has(w, "all") ? fmt::format("%rd|%p1, {}, -1", A(n)) : fmt::format("%rd, {}, -1", A(n));
  if (b == "redux") return "%rd, %ra, -1";
  if (b == "active_mask") return "%rd";
  if (b == "elect") return "%rd|%p1, -1";
  if (b == "ldmatrix" || b == "stmatrix") {
    int count = has(w, "x4") ? 4 : has(w, "x2") ? 2 : 1;
    std::string v = list(b == "ldmatrix" ? 'd' : 'a', 32, count);
    return b == "ldmatrix" ? v + ", [%ra]" : "[%ra], " + v;
  }
  if (b == "movmatrix") return "%rd, %ra";
  if (b == "mma") {
    std::string s = find_shape(w);
    int m = shape(s, 'm'), k = shape(s, 'k');
    size_t types = 6;
    while (w[types] == "satfinite" || w[types] == "rn" || w[types] == "rz" || w[types] == "rm" ||
           w[types] == "rp")
      ++types;
    std::string td = w[types], ta = w[types + 1], tc = w[types + 3];
    bool quads = m == 8 && k == 4 && ta == "f16";
    if (td != tc && !quads && (td == "f16" || tc == "f16")) return "skip";
    int wide = ta == "f64" ? 64 : 32, ab = matrix_bits(ta);
    auto cd = [&](const std::string& x) {
      return quads ? (x == "f16" ? 4 : 8) : m / (x == "f16" ? 8 : 4);
    };
    int an = quads ? 2 : m * k * ab / 32 / wide, bn = quads ? 2 : 8 * k * ab / 32 / wide;
    return list('d', wide, cd(td)) + ", " + list('a', wide, an) + ", " + list('b', wide, bn) +
           ", " + list('c', wide, cd(tc));
  }
  if (b == "wmma_load" || b == "wmma_store" || b == "wmma") {
    std::string s = find_shape(w);
    int m = shape(s, 'm'), nn = shape(s, 'n'), k = shape(s, 'k');
    auto frag = [&](char name, const std::string& type, int rows, int cols) {
      int e = matrix_bits(type);
      int total = rows * cols;
      int per =
          e == 64 ? 32 : 32 * 32 / e;  // elements that one register per lane holds in the warp
      int count = std::max(1, total / per);
      if ((name == 'a' || name == 'b') && type == "f16") count = 8;
      return list(name, e == 64 ? 64 : 32, count);
    };
    if (b == "wmma") {
      std::vector<std::string> ty;
      for (size_t i = 1; i < w.size(); ++i)
        for (const char* q :
             {"f16", "bf16", "tf32", "f32", "f64", "u8", "s8", "u4", "s4", "b1", "s32"})
          if (w[i] == q) ty.push_back(q);
      std::string td = ty[0], ta = ty.size() == 2 ? "f16" : ty[1],
                  tb = ty.size() == 2 ? "f16" : ty[2], tc = ty.back();
      return frag('d', td, m, nn) + ", " + frag('a', ta, m, k) + ", " + frag('b', tb, k, nn) +
             ", " + frag('c', tc, m, nn);
    }
    std::string which = w[2];
    bool c = which == "c" || which == "d";
    if (!c && (t == "f32" || t == "s32")) return "skip";
    if (c && t != "f16" && t != "f32" && t != "s32" && t != "f64") return "skip";
    int rows = which == "b" ? k : m, cols = which == "a" ? k : nn;
    int e = matrix_bits(t);
    int count = std::max(1, rows * cols / (e == 64 ? 32 : 1024 / e));
    if (!c && t == "f16") count = 8;
    std::string v = list(b == "wmma_load" ? 'd' : 'a', e == 64 ? 64 : 32, count);
    return b == "wmma_load" ? v + ", " + where + ", 128" : where + ", " + v + ", 128";
  }
  if (b == "wgmma") {
    size_t types = has(w, "satfinite") ? 6 : 5;
    std::string ta = w[types + 1];
    bool integer = ta == "u8" || ta == "s8" || ta == "b1", trans = ta == "f16" || ta == "bf16";
    return list('d', 32, w[types] == "f16" ? 16 : 32) + ", %da, %db, %p0" +
           (integer ? ""
            : trans ? ", 1, 1, 0, 0"
                    : ", 1, 1");
  }
  if (b == "cp_async") return has(w, "ca") ? "[%ra], [%da], 8" + hint : "[%ra], [%da], 16" + hint;
  if (b == "cp_async_group") return has(w, "wait_group") ? "2" : "";
  if (b == "cp_async_mbarrier") return "[%ra]";
  std::string mask = has(w, "multicast::cluster") ? ", %ha" : "";
  if (b == "bulk_copy" || b == "bulk_reduce")
    return has(w, "bulk_group") ? "[%da], [%rb], %rc" + hint + (has(w, "cp_mask") ? ", %ha" : "")
                                : (w[w.size() > 5 ? 5 : 4] == "x" ? "" : "") +
                                      std::string(opcode.find("global.mbarrier") != opcode.npos
                                                      ? "[%ra], [%da], %rc, [%rb]"
                                                      : "[%ra], [%rb], %rc, [%rc]") +
                                      mask + hint;
  if (b == "bulk_group") return has(w, "wait_group") ? "0" : "";
  if (b == "tensor_copy" || b == "tensor_reduce" || b == "tensor_prefetch") {
    int rank = 1;
    for (int i = 1; i <= 5; ++i)
      if (has(w, fmt::format("{}d", i).c_str())) rank = i;
    std::string map = "[%da, " + list('c', 32, rank) + "]";
    if (b == "tensor_prefetch") return map + hint;
    return has(w, "bulk_group") ? map + ", [%ra]" + hint
                                : "[%ra], " + map + ", [%rb]" + mask + hint;
  }
  if (b == "tensormap_replace") {
    bool wide = has(w, "global_address") || has(w, "global_stride");
    if (wide != (t == "b64")) return "skip";
    bool indexed = has(w, "box_dim") || has(w, "global_dim") || has(w, "global_stride") ||
                   has(w, "element_stride");
    return std::string(where) + (indexed ? ", 1" : "") +
           (wide ? ", %db"
            : has(w, "elemtype") || has(w, "interleave_layout") || has(w, "swizzle_mode") ||
                    has(w, "fill_mode")
                ? ", 0"
                : ", %rb");
  }
  if (b == "tensormap_fence_copy") return "[%da], [%rb], 128";
  if (b == "mbarrier_init") return has(w, "inval") ? "[%ra]" : "[%ra], 1";
  if (b == "mbarrier_tx") return "[%ra], 16";
  if (b == "mbarrier_arrive")
    return has(w, "expect_tx")    ? (has(w, "shared::cluster") ? "_, [%ra], 16" : "%dd, [%ra], 16")
           : has(w, "noComplete") ? "%dd, [%ra], 1"
           : has(w, "shared::cluster") ? "_, [%ra]"
                                       : "%dd, [%ra]";
  if (b == "mbarrier_wait") return has(w, "parity") ? "%p1, [%ra], %rb" : "%p1, [%ra], %db";
  if (b == "mbarrier_pending") return "%rd, %da";
  return "skip";
}

std::string form_module(const std::string& instruction) {
  std::string s =
      ".version 8.6\n.target sm_90a\n.address_size 64\n.shared .align 128 .b8 tile[4096];\n.const "
      ".align 16 .b8 constants[64];\n"
      ".func callee { ret; }\n"
      ".visible .entry form(.param .align 16 .b64 in, .param .b64 out) {\n"
      ".local .align 16 .b8 stack[64];\n"
      ".reg .pred %p<3>;\n.reg .pred %pa;\n.reg .b16 %ha, %hb, %hc, %hd;\n.reg .b32 %ra, %rb, %rc, "
      "%rcc, %rd, %t<4>;\n.reg .b64 %da, %db, %dc, %dd, %u<8>;\n"
      ".reg .b128 %qa, %qb, %qd;\n";
  for (char c : {'a', 'b', 'c', 'd'})
    s += fmt::format(".reg .b16 %hv{0}<8>;\n.reg .b32 %rv{0}<64>;\n.reg .b64 %dv{0}<16>;\n", c);
  s += "ld.param.u64 %u0, [in];\nld.param.u64 %u1, [out];\nmov.u32 %t0, %tid.x;\nmul.wide.u32 %u2, "
       "%t0, 32;\nadd.s64 %u2, %u2, %u0;\n"
       "ld.global.u64 %da, [%u2];\nld.global.u64 %db, [%u2+8];\nld.global.u64 %dc, "
       "[%u2+16];\nld.global.u64 %u3, [%u2+24];\n"
       "cvt.u32.u64 %ra, %da;\ncvt.u32.u64 %rb, %db;\ncvt.u32.u64 %rc, %dc;\nshr.u64 %u4, %dc, "
       "8;\ncvt.u32.u64 %rcc, %u4;\n"
       "cvt.u16.u64 %ha, %da;\ncvt.u16.u64 %hb, %db;\ncvt.u16.u64 %hc, %dc;\n"
       "mov.b128 %qa, {%da, %db};\nmov.b128 %qb, {%db, %dc};\n"
       "setp.ne.u64 %p0, %u3, 0;\nsetp.gt.s32 %pa, %rb, 0;\nmov.pred %p1, 0;\nmov.pred %p2, 0;\n"
       "mov.u32 %rd, 0;\nmov.u64 %dd, 0;\nmov.u16 %hd, 0;\nmov.b128 %qd, {%dd, %dd};\n";
  // A known carry for the extended forms.
  s += "add.cc.u32 %t1, %rb, %rc;\n";
  if (instruction.rfind("brx", 0) == 0) s += "targets: .branchtargets END;\n";
  s += instruction + "\nEND:\n";
  s += "cvt.u64.u32 %u5, %rd;\nor.b64 %dd, %dd, %u5;\ncvt.u64.u16 %u5, %hd;\nor.b64 %dd, %dd, "
       "%u5;\nmov.b128 {%u5, %u6}, %qd;\nor.b64 %dd, %dd, %u5;\n"
       "selp.u64 %u5, 1, 0, %p1;\nselp.u64 %u6, 2, 0, %p2;\nor.b64 %u5, %u5, %u6;\n"
       "mul.wide.u32 %u2, %t0, 16;\nadd.s64 %u2, %u2, %u1;\nst.global.u64 [%u2], "
       "%dd;\nst.global.u64 [%u2+8], %u5;\nret;\n}\n";
  return s;
}

std::vector<uint64_t> run_form(Simulator& s, jit::ModuleId m, const std::vector<Inputs>& in) {
  std::vector<uint64_t> words;
  for (auto& i : in) words.insert(words.end(), {i.a, i.b, i.c, uint64_t(i.p)});
  auto pin = s.memory().allocate(words.size() * 8, "in", true),
       pout = s.memory().allocate(in.size() * 16, "out", true);
  std::memcpy(s.memory().at(*pin)->data.get(), words.data(), words.size() * 8);
  std::span<const std::byte> params[] = {std::as_bytes(std::span(&*pin, 1)),
                                         std::as_bytes(std::span(&*pout, 1))};
  jit::LaunchSpec l;
  l.module = m;
  l.entry = "form";
  l.grid = {1, 1, 1};
  l.block = {uint32_t(in.size()), 1, 1};
  l.params = params;
  auto r = s.run(l);
  std::vector<uint64_t> out;
  if (r && std::none_of(r->findings.begin(), r->findings.end(),
                        [](auto& f) { return diag_id(f.code)[0] != 'W'; })) {
    out.resize(in.size() * 2);
    std::memcpy(out.data(), s.memory().at(*pout)->data.get(), out.size() * 8);
  }
  (void)!s.memory().release(*pin);
  (void)!s.memory().release(*pout);
  return out;
}

std::vector<Inputs> make_inputs_for_warp(uint64_t seed) {
  Random r{seed * 31 + 1};
  std::vector<Inputs> in(32);
  uint64_t same = r.next();
  for (auto& i : in) {
    i.a = seed == 0 ? same : seed < 3 ? r.below(3) : r.next();
    i.b = r.next(), i.c = r.next();
    i.p = seed == 0 ? true : seed == 1 ? false : r.below(2);
  }
  return in;
}

}  // namespace tess::ptxsim
