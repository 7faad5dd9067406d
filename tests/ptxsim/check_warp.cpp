// Collectives of a warp against their definitions, with whole and partial masks, and the moves of
// 8x8 matrices.
#include <fmt/format.h>

#include <bit>

#include "tests/ptxsim/form_check.h"

namespace tess::ptxsim {
namespace {

constexpr uint32_t kMasks[] = {~0u, 0x0000ffffu, 0xf0f0f0f0u, 0x80000001u, 0x7fffffffu};

// Lane values with few distinct ones, so that matches are mixed, or all the same.
struct Lanes {
  uint64_t value[32];
  bool flag[32];
  uint32_t flags() const {
    uint32_t v = 0;
    for (int l = 0; l < 32; ++l) v |= uint32_t(flag[l]) << l;
    return v;
  }
};
Lanes lanes(uint64_t seed) {
  Random r{seed * 31 + 1};
  Lanes x;
  uint64_t same = r.next();
  for (int l = 0; l < 32; ++l) {
    x.value[l] = seed == 0 ? same : seed < 3 ? r.below(3) * 0x100000001ull : r.next();
    x.flag[l] = seed == 0 ? true : seed == 1 ? false : r.below(2);
  }
  return x;
}

struct Seen {
  uint32_t value = 0, flag = 0;
};

// The members of `mask` execute it: %ra, %da the lane's value, %p0 its flag, %rm the mask; results
// %rd and %p1.
template <class Want>
Verdict collective(const std::string& instruction, Want want, bool has_value, bool has_flag) {
  for (uint64_t seed = 0; seed < 5; ++seed)
    for (uint32_t mask : kMasks) {
      Lanes x = lanes(seed);
      FormRun run;
      run.in.resize(32 * 64);
      run.out_bytes = 32 * 64;
      for (size_t l = 0; l < 32; ++l) {
        std::memcpy(&run.in[l * 64], &x.value[l], 8);
        run.in[l * 64 + 8] = x.flag[l];
      }
      run.body = fmt::format(
          ".reg .b32 %ra, %rd, %rm;\n.reg .b64 %da;\nld.global.u64 %da, [%mi];\ncvt.u32.u64 %ra, "
          "%da;\nld.global.u8 %r0, [%mi+8];\nsetp.ne.u32 %p0, %r0, 0;\nmov.u32 %rm, "
          "{0:#x};\nmov.u32 "
          "%rd, 0;\nmov.pred %p1, 0;\nshr.u32 %r1, %rm, %tx;\nand.b32 %r1, %r1, 1;\nsetp.eq.u32 "
          "%p2, "
          "%r1, 0;\n@%p2 bra END;\n{1};\nselp.u32 %r2, 1, 0, %p1;\nst.global.u32 [%mo], "
          "%rd;\nst.global.u32 [%mo+4], %r2;\nEND:\n",
          mask, instruction);
      if (!run.run()) return wrong(run.error);
      for (int l = 0; l < 32; ++l) {
        if (!(mask >> l & 1)) continue;
        Seen s = want(x, mask, l);
        size_t at = size_t(l) * 64;
        if ((has_value && value_at<uint32_t>(run.out, at) != s.value) ||
            (has_flag && value_at<uint32_t>(run.out, at + 4) != s.flag))
          return wrong(fmt::format("{} mask {:#x} lane {}", instruction, mask, l));
      }
    }
  return good();
}

// The segment of a lane and the clamp, as the ISA's pseudo code has them.
Verdict check_shuffle(const std::string& opcode, const Words& w) {
  for (uint32_t c : {31u, 0u, 0x1800u | 31u, 0x1000u | 31u, 0x1e00u | 31u, 0x1800u | 7u})
    for (int b : {0, 1, 3, 9, 17, 31}) {
      // Only the whole warp: a source outside of the mask is undefined.
      Verdict v = good();
      for (uint64_t seed : {3u, 4u}) {
        Lanes x = lanes(seed);
        FormRun run;
        run.in.resize(32 * 64);
        run.out_bytes = 32 * 64;
        for (size_t l = 0; l < 32; ++l) std::memcpy(&run.in[l * 64], &x.value[l], 8);
        run.body = fmt::format(
            "ld.global.u32 %r0, [%mi];\n{} %r1|%p1, %r0, {}, {}, -1;\n{} %r3, %r0, {}, {}, "
            "-1;\nselp.u32 %r2, 1, 0, %p1;\nst.global.u32 [%mo], %r1;\nst.global.u32 [%mo+4], "
            "%r2;\nst.global.u32 [%mo+8], %r3;\n",
            opcode, b, c, opcode, b, c);
        if (!run.run()) return wrong(run.error);
        for (int l = 0; l < 32; ++l) {
          int segment = int(c >> 8 & 31), clamp = int(c & 31);
          int last = (l & segment) | (clamp & ~segment), first = l & segment, from;
          bool inside;
          if (has_word(w, "up")) from = l - b, inside = from >= last;
          else if (has_word(w, "down")) from = l + b, inside = from <= last;
          else if (has_word(w, "bfly")) from = l ^ b, inside = from <= last;
          else from = first | (b & ~segment), inside = from <= last;
          uint32_t want = uint32_t(x.value[inside ? from : l]);
          size_t at = size_t(l) * 64;
          if (value_at<uint32_t>(run.out, at) != want ||
              value_at<uint32_t>(run.out, at + 4) != inside ||
              value_at<uint32_t>(run.out, at + 8) != want)
            return wrong(fmt::format("b {} c {:#x} lane {}", b, c, l));
        }
      }
    }
  return good();
}

Verdict check_vote(const std::string& opcode, const Words& w) {
  Verdict v = good();
  for (bool negated : {false, true}) {
    bool ballot = has_word(w, "ballot");
    v = collective(
        fmt::format("{} {}, {}%p0, %rm", opcode, ballot ? "%rd" : "%p1", negated ? "!" : ""),
        [&](const Lanes& x, uint32_t mask, int) {
          uint32_t p = (negated ? ~x.flags() : x.flags()) & mask;
          return Seen{p, has_word(w, "all")   ? p == mask
                         : has_word(w, "any") ? p != 0
                                              : p == 0 || p == mask};
        },
        ballot, !ballot);
    if (!v.wrong.empty()) break;
  }
  return v;
}

Verdict check_match(const std::string& opcode, const Words& w) {
  bool all = has_word(w, "all"), wide = w.back() == "b64";
  return collective(
      fmt::format("{} %rd{}, {}, %rm", opcode, all ? "|%p1" : "", wide ? "%da" : "%ra"),
      [&](const Lanes& x, uint32_t mask, int lane) {
        uint32_t same = 0;
        for (int l = 0; l < 32; ++l)
          if (mask >> l & 1)
            same |= uint32_t(wide ? x.value[l] == x.value[lane]
                                  : uint32_t(x.value[l]) == uint32_t(x.value[lane]))
                    << l;
        return all ? Seen{same == mask ? mask : 0, same == mask} : Seen{same, 0};
      },
      true, all);
}

Verdict check_redux(const std::string& opcode, const Words& w) {
  return collective(
      opcode + " %rd, %ra, %rm",
      [&](const Lanes& x, uint32_t mask, int) {
        bool first = true, is_signed = w.back() == "s32";
        uint32_t r = 0;
        for (int l = 0; l < 32; ++l) {
          if (!(mask >> l & 1)) continue;
          uint32_t v = uint32_t(x.value[l]);
          bool less = is_signed ? int32_t(v) < int32_t(r) : v < r;
          if (first) r = v;
          else if (has_word(w, "add")) r += v;
          else if (has_word(w, "and")) r &= v;
          else if (has_word(w, "or")) r |= v;
          else if (has_word(w, "xor")) r ^= v;
          else if (has_word(w, "min") ? less : !less) r = v;
          first = false;
        }
        return Seen{r, 0};
      },
      true, false);
}

Verdict check_active_mask(const std::string& opcode, const Words&) {
  // Right behind a divergent branch the lanes of one side run together.
  return collective(
      opcode + " %rd",
      [](const Lanes&, uint32_t mask, int) {
        return Seen{mask, 0};
      },
      true, false);
}

Verdict check_elect(const std::string& opcode, const Words&) {
  // Which lane leads is open; it must be one member, and the same for all.
  return collective(
      opcode + " %rd|%p1, %rm",
      [](const Lanes&, uint32_t mask, int lane) {
        uint32_t leader = uint32_t(std::countr_zero(mask));
        return Seen{leader, uint32_t(lane) == leader};
      },
      true, true);
}

// Row r of matrix i is at the address that lane 8 i + r gives; here its own 16 bytes, permuted.
uint16_t element(const FormRun& run, int matrix, int row, int col) {
  return value_at<uint16_t>(run.in, size_t(8 * matrix + row) * 64 + size_t(col) * 2);
}
const char* kRows =
    "mov.u32 %r20, tile;\nxor.b32 %r21, %tx, 5;\nshl.b32 %r21, %r21, 4;\nadd.u32 %r21, %r21, "
    "%r20;\n";

Verdict check_ldmatrix(const std::string& opcode, const Words& w) {
  int n = has_word(w, "x4") ? 4 : has_word(w, "x2") ? 2 : 1;
  bool trans = has_word(w, "trans"),
       is_generic = !has_word(w, "shared") && !has_word(w, "shared::cta");
  FormRun run;
  fill_input(run, 32 * 64, uint64_t(n));
  run.out_bytes = 32 * 64;
  run.body =
      std::string(kRows) +
      "ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%mi];\nst.shared.v4.b32 [%r21], {%r0, %r1, "
      "%r2, %r3};\nbar.sync 0;\n" +
      (is_generic ? "cvt.u64.u32 %d0, %r21;\ncvta.shared.u64 %d0, %d0;\n" : "") +
      fmt::format("{} {}, [{}];\n", opcode, register_list(32, 8, n), is_generic ? "%d0" : "%r21");
  for (int i = 0; i < n; ++i)
    run.body += fmt::format("st.global.u32 [%mo+{}], %r{};\n", 4 * i, 8 + i);
  if (!run.run()) return wrong(run.error);
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < n; ++i)
      for (int h = 0; h < 2; ++h) {
        int row = l / 4, col = 2 * (l % 4) + h;
        uint16_t want = trans ? element(run, i, col, row) : element(run, i, row, col);
        if (value_at<uint16_t>(run.out, size_t(l * 64 + i * 4 + h * 2)) != want)
          return wrong(fmt::format("lane {} matrix {}", l, i));
      }
  return good();
}

Verdict check_stmatrix(const std::string& opcode, const Words& w) {
  int n = has_word(w, "x4") ? 4 : has_word(w, "x2") ? 2 : 1;
  bool trans = has_word(w, "trans"),
       is_generic = !has_word(w, "shared") && !has_word(w, "shared::cta");
  FormRun run;
  fill_input(run, 32 * 64, uint64_t(n) + 7);
  run.out_bytes = 32 * 64;
  run.body = std::string(kRows) + "ld.global.v4.b32 {%r8, %r9, %r10, %r11}, [%mi];\n" +
             (is_generic ? "cvt.u64.u32 %d0, %r21;\ncvta.shared.u64 %d0, %d0;\n" : "") +
             fmt::format(
                 "{} [{}], {};\nbar.sync 0;\nsetp.ge.u32 %p0, %tx, {};\n@%p0 bra "
                 "END;\nld.shared.v4.b32 {{%r0, %r1, %r2, %r3}}, [%r21];\nst.global.v4.b32 "
                 "[%mo], {{%r0, %r1, %r2, %r3}};\nEND:\n",
                 opcode, is_generic ? "%d0" : "%r21", register_list(32, 8, n), 8 * n);
  if (!run.run()) return wrong(run.error);
  for (int i = 0; i < n; ++i)
    for (int row = 0; row < 8; ++row)
      for (int col = 0; col < 8; ++col) {
        int r = trans ? col : row, c = trans ? row : col, lane = r * 4 + c / 2;
        uint16_t want = value_at<uint16_t>(run.in, size_t(lane * 64 + i * 4 + c % 2 * 2));
        if (value_at<uint16_t>(run.out, size_t((8 * i + row) * 64 + col * 2)) != want)
          return wrong(fmt::format("matrix {} row {} col {}", i, row, col));
      }
  return good();
}

Verdict check_movmatrix(const std::string& opcode, const Words&) {
  FormRun run;
  fill_input(run, 32 * 64, 3);
  run.out_bytes = 32 * 64;
  run.body =
      fmt::format("ld.global.u32 %r0, [%mi];\n{} %r1, %r0;\nst.global.u32 [%mo], %r1;\n", opcode);
  if (!run.run()) return wrong(run.error);
  for (int row = 0; row < 8; ++row)
    for (int col = 0; col < 8; ++col) {
      auto at = [](int r, int c) { return size_t((r * 4 + c / 2) * 64 + c % 2 * 2); };
      if (value_at<uint16_t>(run.out, at(row, col)) != value_at<uint16_t>(run.in, at(col, row)))
        return wrong("the transposed matrix");
    }
  return good();
}

}  // namespace

std::vector<NamedCheck> warp_checks() {
  return {{"shuffle", check_shuffle},
          {"vote", check_vote},
          {"match", check_match},
          {"redux", check_redux},
          {"active_mask", check_active_mask},
          {"elect", check_elect},
          {"ldmatrix", check_ldmatrix},
          {"stmatrix", check_stmatrix},
          {"movmatrix", check_movmatrix}};
}

}  // namespace tess::ptxsim
