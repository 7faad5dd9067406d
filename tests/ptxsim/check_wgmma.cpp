// wgmma with both places of A, every swizzle and both majors, n from 8 to 256, against references
// that place single elements by the canonical layouts of the PTX ISA; and its groups.
#include <fmt/format.h>

#include <cmath>

#include "tests/ptxsim/matrix_data.h"

namespace tess::ptxsim {
namespace {

struct WgmmaCase {
  std::string a, b, d;  // types
  int n, k;
  int swizzle;  // 0, 32, 64, 128 bytes
  bool a_in_registers, a_mn, b_mn;
  bool accumulates = true;
  int scale_a = 1, scale_b = 1;
};

// Byte offset of element (row, x) of a K-major (or MN-major) operand with `rows` rows and k
// columns, and its descriptor fields, built from the canonical layouts of the ISA.
struct Layout {
  int bits, swizzle, rows, k;
  bool mn;
  uint32_t leading, stride;
  Layout(int bits, int swizzle, int rows, int k, bool mn)
      : bits(bits), swizzle(swizzle), rows(rows), k(k), mn(mn) {
    if (!mn) {
      if (swizzle == 0)
        leading = 128, stride = uint32_t(128 * (k * bits / 128));  // core matrices: k first
      else leading = 16, stride = uint32_t(8 * swizzle);
    } else {
      int span = swizzle ? swizzle : 16;
      if (swizzle == 0) stride = 128, leading = uint32_t(128 * (rows * bits / 8 / 16));
      else stride = uint32_t(8 * span), leading = uint32_t(8 * span * (k / 8));
    }
  }
  uint32_t at(int row, int x) const {
    int along = (mn ? row : x) * bits / 8, across = mn ? x : row;
    if (swizzle == 0) {
      int core = along / 16, group = across / 8;
      uint32_t base = mn ? uint32_t(core) * stride + uint32_t(group) * leading
                         : uint32_t(group) * stride + uint32_t(core) * leading;
      return base + uint32_t(across % 8 * 16 + along % 16);
    }
    uint32_t base = mn ? uint32_t(along / swizzle) * leading + uint32_t(across / 8) * stride
                       : uint32_t(across / 8) * stride;
    int inner = along % swizzle, row_in = across % 8;
    // Chunk of 16 bytes exchanged by the row (128), by half the row (64), by a quarter of the row
    // (32).
    int chunk = inner / 16, turn = swizzle == 128  ? row_in
                                   : swizzle == 64 ? row_in / 2
                                                   : row_in / 4;
    return base + uint32_t(row_in * swizzle + ((chunk ^ turn) * 16) + inner % 16);
  }
  uint64_t descriptor(uint32_t address) const {
    uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
    return uint64_t(address >> 4) | uint64_t(leading >> 4) << 16 | uint64_t(stride >> 4) << 32 |
           mode << 62;
  }
};

// One product over a tile written by ordinary stores at the given byte positions; `opcode` has the
// place of n open as in the form.
Verdict multiply(const std::string& opcode, const WgmmaCase& c) {
  const ElementType &ta = type_named(c.a), &tb = type_named(c.b), &td = type_named(c.d);
  Random r{uint64_t(c.n * 7 + c.swizzle)};
  Matrix A = random_matrix(64, c.k, ta, r), B = random_matrix(c.n, c.k, tb, r),
         C = random_matrix(64, c.n, td, r);
  Layout la(ta.bits, c.swizzle, 64, c.k, c.a_mn), lb(tb.bits, c.swizzle, c.n, c.k, c.b_mn);
  const uint32_t bytes_a = 16384, total = 49152;
  FormRun run;
  run.block = {128, 1, 1};
  run.options.async = c.n % 3 ? AsyncMode::lazy : AsyncMode::eager;
  bool half = td.bits == 16;
  const int dn = half ? c.n / 4 : c.n / 2;
  const size_t at_c = total, at_a = at_c + size_t(128 * dn) * 4;
  run.in.resize(at_a + 128 * 16);
  run.out_bytes = size_t(128 * dn) * 4;
  auto place = [&](Matrix& m, const Layout& l, uint32_t base) {
    for (int i = 0; i < m.rows; ++i)
      for (int x = 0; x < m.cols; ++x) {
        uint64_t v = m(i, x);
        if (l.bits == 1) run.in[base + l.at(i, x)] |= uint8_t(v << (x % 8));
        else std::memcpy(&run.in[base + l.at(i, x)], &v, size_t(l.bits) / 8);
      }
  };
  place(A, la, 0), place(B, lb, bytes_a);
  // Element positions of accumulators and of A in registers.
  auto d_at = [&](int thread, int reg, int half_index) {
    int warp = thread / 32, l = thread % 32;
    return std::pair(
        warp * 16 + l / 4 + 8 * (half ? reg & 1 : reg / 2 % 2),
        half ? reg / 2 * 8 + (l % 4) * 2 + half_index : reg / 4 * 8 + (l % 4) * 2 + (reg & 1));
  };
  auto add_word = [&](size_t at, uint32_t v) {
    uint32_t old = value_at<uint32_t>(run.in, at) | v;
    std::memcpy(&run.in[at], &old, 4);
  };
  for (int th = 0; th < 128; ++th) {
    for (int i = 0; i < dn; ++i)
      for (int h = 0; h < (half ? 2 : 1); ++h) {
        auto [row, col] = d_at(th, i, h);
        add_word(at_c + size_t(th * dn + i) * 4, uint32_t(C(row, col)) << (16 * h));
      }
    int per = 32 / ta.bits;
    for (int i = 0; i < 4; ++i)
      for (int e = 0; e < per; ++e)
        add_word(at_a + size_t(th * 4 + i) * 4, uint32_t(A(th / 32 * 16 + th % 32 / 4 + 8 * (i & 1),
                                                           (th % 4) * per + e + (i / 2) * 4 * per))
                                                    << (ta.bits * e % 32));
  }
  run.module_text = fmt::format(".shared .align 1024 .b8 image[{}];\n", total);
  std::string& s = run.body;
  s = fmt::format(
      ".reg .b32 %acc<128>, %a<4>;\nmov.u32 %r1, image;\nshl.b32 %r2, %tx, 2;\nL: cvt.u64.u32 %d2, "
      "%r2;\nadd.s64 %d2, %d2, %in;\nld.global.u32 %r3, [%d2];\nadd.u32 %r5, %r1, "
      "%r2;\nst.shared.u32 [%r5], %r3;\nadd.u32 %r2, %r2, 512;\nsetp.lt.u32 %p1, %r2, {0};\n@%p1 "
      "bra "
      "L;\nfence.proxy.async;\nbar.sync 0;\nmul.wide.u32 %d3, %tx, {1};\nadd.s64 %d4, %in, "
      "%d3;\nadd.s64 %d5, %out, %d3;\nmul.wide.u32 %d6, %tx, 16;\nadd.s64 %d6, %d6, %in;\n",
      total, dn * 4);
  for (int i = 0; i < dn; ++i)
    s += fmt::format("ld.global.u32 %acc{}, [%d4+{}];\n", i, at_c + size_t(4 * i));
  for (int i = 0; i < 4; ++i)
    s += fmt::format("ld.global.u32 %a{}, [%d6+{}];\n", i, at_a + size_t(4 * i));
  std::string d = "{";
  for (int i = 0; i < dn; ++i) d += fmt::format("{}%acc{}", i ? "," : "", i);
  d += "}";
  // The descriptors name addresses relative to the tile, which is aligned to 1024 bytes.
  s += fmt::format(
      "cvt.u64.u32 %d7, %r1;\nshr.u64 %d7, %d7, 4;\nadd.u64 %d8, %d7, {:#x};\nadd.u64 "
      "%d9, %d7, {:#x};\nmov.u32 %r6, {};\nsetp.ne.u32 %p2, %r6, 0;\n",
      la.descriptor(0), lb.descriptor(bytes_a), int(c.accumulates));
  std::string a = c.a_in_registers ? "{%a0,%a1,%a2,%a3}" : "%d8", tail;
  if (ta.type.is_float()) tail = fmt::format(", {}, {}", c.scale_a, c.scale_b);
  if (ta.bits == 16)
    tail += c.a_in_registers ? fmt::format(", {}", int(c.b_mn))
                             : fmt::format(", {}, {}", int(c.a_mn), int(c.b_mn));
  std::string spelled = opcode;
  size_t n_at = spelled.find("m64n64k");
  if (n_at != spelled.npos) spelled.replace(n_at, 7, fmt::format("m64n{}k", c.n));
  s += fmt::format(
      "wgmma.fence.sync.aligned;\n{} {}, {}, %d9, %p2{};\n"
      "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n",
      spelled, d, a, tail);
  for (int i = 0; i < dn; ++i) s += fmt::format("st.global.u32 [%d5+{}], %acc{};\n", 4 * i, i);
  if (!run.run()) return wrong(run.error);
  for (int th = 0; th < 128; ++th)
    for (int i = 0; i < dn; ++i)
      for (int h = 0; h < (half ? 2 : 1); ++h) {
        auto [row, col] = d_at(th, i, h);
        double want = 0;
        for (int x = 0; x < c.k; ++x) want += value(ta, A(row, x)) * value(tb, B(col, x));
        want *= c.scale_a * c.scale_b;
        if (c.accumulates) want += value(td, C(row, col));
        uint32_t word = value_at<uint32_t>(run.out, size_t(th * dn + i) * 4);
        double got = value(td, half ? word >> (16 * h) & 0xffff : word);
        if (!(std::fabs(got - want) <= (half ? 0.2 : td.type.is_float() ? 1e-3 : 0)))
          return wrong(fmt::format("n {} swizzle {} {}{}{} row {} column {}: {} for {}", c.n,
                                   c.swizzle, c.a_in_registers ? "A in registers " : "",
                                   c.a_mn ? "A by m " : "", c.b_mn ? "B by n " : "", row, col, got,
                                   want));
      }
  return good();
}

Verdict check_wgmma(const std::string& opcode, const Words& w) {
  size_t types = has_word(w, "satfinite") ? 6 : 5;
  WgmmaCase c{};
  c.d = w[types], c.a = w[types + 1], c.b = w[types + 2];
  c.k = std::atoi(w[4].c_str() + w[4].find('k') + 1);
  int bits = type_named(c.a).bits;
  c.accumulates = true, c.scale_a = c.scale_b = 1;
  for (int swizzle : {0, 32, 64, 128})
    for (int variant = 0; variant < 8; ++variant) {
      c.swizzle = swizzle;
      c.a_in_registers = variant & 1, c.a_mn = variant & 2, c.b_mn = variant & 4;
      if ((c.a_mn || c.b_mn) && bits != 16) continue;  // only 16-bit types may be transposed
      if (c.a_mn && c.a_in_registers) continue;
      // Whole periods of the swizzle along n.
      const int sizes[] = {64, 128, 192, 256, 8, 24, 96, 40};
      c.n = c.b_mn ? sizes[(swizzle / 32 + variant) % 4] : sizes[(swizzle / 32 + variant) % 8];
      if (!type_named(c.d).type.is_float() && c.n > 24 && c.n % 16) c.n = 48;
      c.accumulates = variant % 3 != 2;
      c.scale_a = type_named(c.a).type.is_float() && variant == 1 ? -1 : 1;
      if (Verdict v = multiply(opcode, c); !v.wrong.empty()) return v;
    }
  return good();
}

// What must be waited for: registers before the fence, results before wait_group, and results of
// the second group while it is open.
Verdict check_group(const std::string& opcode, const Words& w) {
  auto program = [](const std::string& fence, const std::string& commit, const std::string& wait,
                    bool reads_second) {
    FormRun run;
    run.block = {128, 1, 1};
    run.out_bytes = 128 * 64;
    run.options.async = AsyncMode::lazy;
    std::string zero =
        "mov.u32 %r1, tile;\nmul.wide.u32 %d1, %tx, 64;\nmov.u64 %d2, tile;\nadd.u64 "
        "%d1, %d1, %d2;\nmov.u32 %r2, 0x3c003c00;\n";
    for (int i = 0; i < 16; ++i) zero += fmt::format("st.shared.u32 [%d1+{}], %r2;\n", 4 * i);
    auto with = [&](int first) {
      return fmt::format(
          "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {{%r{}, %r{}, %r{}, "
          "%r{}}}, %d8, %d8, 0, 1, 1, 0, 0;\n",
          first, first + 1, first + 2, first + 3);
    };
    run.body = zero +
               "fence.proxy.async;\nbar.sync 0;\nshr.u64 %d7, %d2, 4;\nadd.u64 %d8, %d7, "
               "0x0000001000080000;\n";
    for (int i = 10; i < 18; ++i) run.body += fmt::format("mov.u32 %r{}, 0;\n", i);
    run.body += fence + with(10) + commit + with(14) + commit + wait +
                fmt::format("st.global.u32 [%mo], %r{};\nwgmma.wait_group.sync.aligned 0;\n",
                            reads_second ? 14 : 10);
    return run;
  };
  const std::string f = "wgmma.fence.sync.aligned;\n", c = "wgmma.commit_group.sync.aligned;\n",
                    one = "wgmma.wait_group.sync.aligned 1;\n", own = opcode + ";\n";
  FormRun run = w[1] == "fence"          ? program(own, c, one, false)
                : w[1] == "commit_group" ? program(f, own, one, false)
                                         : program(f, c, opcode + " 1;\n", false);
  if (!run.run()) return wrong(run.error);
  for (size_t t = 0; t < 128; ++t)
    if (value_at<float>(run.out, t * 64) != 16) return wrong("the sum of sixteen ones");
  if (w[1] == "fence") run = program("", c, one, false);
  else if (w[1] == "commit_group") run = program(f, "", one, false);
  else run = program(f, c, opcode + " 1;\n", true);
  run.run();
  return run.found("T1034") ? good() : wrong("the hazard is not seen: " + run.error);
}

}  // namespace

std::vector<NamedCheck> wgmma_checks() {
  return {{"wgmma", check_wgmma},
          {"wgmma_fence", check_group},
          {"wgmma_commit", check_group},
          {"wgmma_wait", check_group}};
}

}  // namespace tess::ptxsim
