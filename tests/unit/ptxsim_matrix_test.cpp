// mma, wgmma, ldmatrix, stmatrix, wmma and tensor copies against references that place single
// elements by the tables of the PTX ISA.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

#include "isa/numerics.h"
#include "jit/ptxsim/forms.h"
#include "tests/ptxsim/form_text.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

struct ElementType {
  const char* name;
  int bits;
  DType type;
};
const ElementType kTypes[] = {
    {"f16", 16, dt::f16_},  {"bf16", 16, dt::bf16_}, {"tf32", 32, dt::f32_}, {"e4m3", 8, dt::e4m3_},
    {"e5m2", 8, dt::e5m2_}, {"f32", 32, dt::f32_},   {"f64", 64, dt::f64_},  {"s8", 8, dt::i8_},
    {"u8", 8, dt::u8_},     {"s4", 4, dt::i4_},      {"u4", 4, dt::u4_},     {"b1", 1, dt::u1_},
    {"s32", 32, dt::i32_}};
const ElementType& type_named(const std::string& n) {
  for (auto& t : kTypes)
    if (n == t.name) return t;
  FAIL(n);
  return kTypes[0];
}
double value(const ElementType& t, uint64_t code) {
  return t.type.is_float() ? decode_float(t.type, code) : double(decode_int(t.type, code));
}
uint64_t random_code(const ElementType& t, Random& r) {
  if (t.type.is_float()) {
    double v = (double(r.below(33)) - 16) / 8;
    return encode_float(t.type, v);
  }
  return r.next() & ((1ull << (t.bits == 32 ? 10 : t.bits)) - 1);
}

struct Matrix {
  int rows, cols;
  std::vector<uint64_t> at;
  Matrix(int r, int c) : rows(r), cols(c), at(size_t(r) * size_t(c)) {}
  uint64_t& operator()(int r, int c) { return at[size_t(r * cols + c)]; }
};
Matrix random_matrix(int r, int c, const ElementType& t, Random& rng) {
  Matrix m(r, c);
  for (auto& v : m.at) v = random_code(t, rng);
  return m;
}

// Registers per lane, as 64-bit slots.
using Fragment = std::vector<std::array<uint64_t, 32>>;

// Element i of a lane of A (rows x k, row-major), B^T or C, by the ISA's tables.
template <class F>
Fragment deal(Matrix& m, int bits, int regs, F place) {
  Fragment f(size_t(regs), std::array<uint64_t, 32>{});
  int per = bits >= 32 ? 1 : 32 / bits;
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < regs * per; ++i) {
      auto [r, c] = place(l, i);
      f[size_t(i / per)][size_t(l)] |= m(r, c) << (bits * (i % per) % 64);
    }
  return f;
}

// Loads fragments, executes one instruction, stores the result.
std::vector<Fragment> execute(const std::string& instruction,
                              const std::vector<std::pair<char, Fragment>>& in, int out_regs,
                              int out_bits) {
  std::string s =
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 in, .param "
      ".u64 out) {\n.reg .b64 %p, %q, %t;\n.reg .b32 %l;\n";
  for (char c : {'a', 'b', 'c', 'd'})
    s += fmt::format(".reg .b32 %rv{0}<64>;\n.reg .b64 %dv{0}<16>;\n", c);
  s += "ld.param.u64 %p, [in];\nld.param.u64 %q, [out];\nmov.u32 %l, %laneid;\nmul.wide.u32 %t, "
       "%l, 8;\nadd.s64 %p, %p, %t;\nadd.s64 %q, %q, %t;\n";
  std::vector<uint64_t> data;
  for (auto& [name, f] : in)
    for (size_t i = 0; i < f.size(); ++i) {
      bool wide = instruction.find(fmt::format("%dv{}0", name)) != std::string::npos;
      s += fmt::format("ld.global.{} %{}v{}{}, [%p+{}];\n", wide ? "u64" : "u32", wide ? "d" : "r",
                       name, i, data.size() * 8);
      data.insert(data.end(), f[i].begin(), f[i].end());
    }
  s += instruction + "\n";
  for (int i = 0; i < out_regs; ++i)
    s += fmt::format("st.global.{} [%q+{}], %{}vd{};\n", out_bits == 64 ? "u64" : "u32", i * 256,
                     out_bits == 64 ? "d" : "r", i);
  s += "ret;\n}\n";
  Simulator sim;
  auto m = sim.load(s, "matrix.ptx");
  REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
  auto pin = *sim.memory().allocate(data.size() * 8, "in", true),
       pout = *sim.memory().allocate(size_t(out_regs) * 256, "out", true);
  std::memcpy(sim.memory().at(pin)->data.get(), data.data(), data.size() * 8);
  std::span<const std::byte> params[] = {std::as_bytes(std::span(&pin, 1)),
                                         std::as_bytes(std::span(&pout, 1))};
  jit::LaunchSpec l;
  l.module = *m;
  l.entry = "k";
  l.block = {32, 1, 1};
  l.params = params;
  auto r = sim.run(l);
  REQUIRE(bool(r));
  for (auto& f : r->findings) FAIL_CHECK(render_finding(f));
  Fragment d(size_t(out_regs), std::array<uint64_t, 32>{});
  for (int i = 0; i < out_regs; ++i)
    std::memcpy(d[size_t(i)].data(), sim.memory().at(pout)->data.get() + i * 256, 256);
  if (out_bits != 64)
    for (auto& reg : d)
      for (auto& v : reg) v &= 0xffffffff;
  return {d};
}

}  // namespace

TEST_CASE("mma.sync of every shape and type") {
  int forms = 0;
  for (const Form& form : all_forms()) {
    if (form.builder != "mma") continue;
    for (const std::string& opcode : expand_form(form, 4096)) {
      std::string operands = operands_of("mma", opcode);
      if (operands == "skip" || opcode.find(".r") == std::string::npos) continue;
      auto w = words_of(opcode);
      int m = 0, n = 0, k = 0;
      std::sscanf(w[3].c_str(), "m%dn%dk%d", &m, &n, &k);
      size_t at = 6;
      while (w[at] == "satfinite" || w[at] == "rn" || w[at] == "rz" || w[at] == "rm" ||
             w[at] == "rp")
        ++at;
      const ElementType &td = type_named(w[at]), &ta = type_named(w[at + 1]),
                        &tb = type_named(w[at + 2]), &tc = type_named(w[at + 3]);
      bool quads = m == 8 && k == 4 && w[at + 1] == "f16";
      Random r{uint64_t(forms) * 31 + 7};
      if (quads) {
        // Four products, one per pair of quads.
        bool a_col = w[4] == "col", b_row = w[5] == "row";
        std::vector<Matrix> A, B, C;
        for (int q = 0; q < 4; ++q)
          A.push_back(random_matrix(8, 4, ta, r)), B.push_back(random_matrix(4, 8, tb, r)),
              C.push_back(random_matrix(8, 8, tc, r));
        auto fill = [&](int regs, bool is_half, auto get) {
          Fragment f(size_t(regs), std::array<uint64_t, 32>{});
          for (int l = 0; l < 32; ++l)
            for (int i = 0; i < (is_half ? 2 * regs : regs); ++i) {
              if (is_half) f[size_t(i / 2)][size_t(l)] |= get(l, i) << (16 * (i & 1));
              else f[size_t(i)][size_t(l)] = get(l, i);
            }
          return f;
        };
        auto quad = [](int l) { return size_t(l % 16 / 4); };
        auto c_place = [](bool is_half, int l, int i) {
          if (is_half) return std::pair(l % 4 + (l < 16 ? 0 : 4), i);
          return std::pair((l & 1) + (i & 2) + (l < 16 ? 0 : 4), (i & 4) + (l & 2) + (i & 1));
        };
        Fragment fa = fill(2, true, [&](int l, int i) {
          return a_col ? A[quad(l)](i + (l < 16 ? 0 : 4), l % 4)
                       : A[quad(l)](l % 4 + (l < 16 ? 0 : 4), i);
        });
        Fragment fb = fill(2, true, [&](int l, int i) {
          return b_row ? B[quad(l)](l % 4, i + (l < 16 ? 0 : 4))
                       : B[quad(l)](i, l % 4 + (l < 16 ? 0 : 4));
        });
        bool ch = tc.bits == 16, dh = td.bits == 16;
        Fragment fc = fill(ch ? 4 : 8, ch, [&](int l, int i) {
          auto [row, col] = c_place(ch, l, i);
          return C[quad(l)](row, col);
        });
        Fragment d = execute(opcode + " " + operands + ";", {{'a', fa}, {'b', fb}, {'c', fc}},
                             dh ? 4 : 8, 32)[0];
        for (int l = 0; l < 32; ++l)
          for (int i = 0; i < 8; ++i) {
            auto [row, col] = c_place(dh, l, i);
            double want = value(tc, C[quad(l)](row, col));
            for (int x = 0; x < 4; ++x)
              want += value(ta, A[quad(l)](row, x)) * value(tb, B[quad(l)](x, col));
            double got =
                dh ? decode_float(dt::f16_, d[size_t(i / 2)][size_t(l)] >> (16 * (i & 1)) & 0xffff)
                   : decode_float(dt::f32_, d[size_t(i)][size_t(l)]);
            if (!(std::fabs(got - want) <= 2e-2))
              FAIL_CHECK(opcode << " lane " << l << " element " << i << ": " << got << " for "
                                << want);
          }
        ++forms;
        continue;
      }
      Matrix A = random_matrix(m, k, ta, r), B = random_matrix(n, k, tb, r),
             C = random_matrix(m, n, tc, r);
      int word = ta.bits == 64 ? 64 : 32, per = ta.bits >= 32 ? 1 : 32 / ta.bits;
      int an = m * k * ta.bits / 32 / word, bn = n * k * tb.bits / 32 / word;
      auto a_place = [&](int l, int i) {
        int reg = i / per, rows = m / 8;
        return std::pair(l / 4 + 8 * (reg % rows),
                         (l % 4) * per + i % per + 4 * per * (reg / rows));
      };
      auto b_place = [&](int l, int i) {
        return std::pair(l / 4, (l % 4) * per + i % per + 4 * per * (i / per));
      };
      auto c_place = [&](int l, int i) {
        return std::pair(l / 4 + 8 * (i / 2), (l % 4) * 2 + (i & 1));
      };
      int cbits = tc.bits, cn = tc.bits == 16 ? m / 8 : m / 4, dn = td.bits == 16 ? m / 8 : m / 4;
      Fragment d = execute(opcode + " " + operands + ";",
                           {{'a', deal(A, ta.bits, an, a_place)},
                            {'b', deal(B, tb.bits, bn, b_place)},
                            {'c', deal(C, cbits, cn, c_place)}},
                           dn, td.bits == 64 ? 64 : 32)[0];
      for (int l = 0; l < 32; ++l)
        for (int i = 0; i < m / 4; ++i) {
          auto [row, col] = c_place(l, i);
          double want = value(tc, C(row, col));
          bool is_xor = opcode.find(".xor") != std::string::npos;
          for (int x = 0; x < k; ++x) {
            double p = value(ta, A(row, x)), q = value(tb, B(col, x));
            want += is_xor ? double(int(p) ^ int(q)) : p * q;
          }
          double got =
              td.bits == 16
                  ? decode_float(dt::f16_, d[size_t(i / 2)][size_t(l)] >> (16 * (i & 1)) & 0xffff)
              : td.bits == 64      ? decode_float(dt::f64_, d[size_t(i)][size_t(l)])
              : td.type.is_float() ? decode_float(dt::f32_, d[size_t(i)][size_t(l)])
                                   : double(int32_t(d[size_t(i)][size_t(l)]));
          double tolerance = td.bits == 16 ? 0.2 : td.type.is_float() ? 1e-4 : 0;
          if (!(std::fabs(got - want) <= tolerance)) {
            FAIL_CHECK(opcode << " lane " << l << " element " << i << ": " << got << " for "
                              << want);
            l = 32;
            break;
          }
        }
      ++forms;
    }
  }
  MESSAGE(forms << " forms");
  CHECK(forms > 50);
}

TEST_CASE("wmma of every shape and type, loaded and stored through memory") {
  struct Shape {
    int m, n, k;
    const char *a, *b, *d;
  };
  const Shape shapes[] = {{16, 16, 16, "f16", "f16", "f32"},  {8, 32, 16, "f16", "f16", "f32"},
                          {32, 8, 16, "f16", "f16", "f16"},   {16, 16, 16, "bf16", "bf16", "f32"},
                          {8, 32, 16, "bf16", "bf16", "f32"}, {32, 8, 16, "bf16", "bf16", "f32"},
                          {16, 16, 8, "tf32", "tf32", "f32"}, {8, 8, 4, "f64", "f64", "f64"},
                          {16, 16, 16, "s8", "s8", "s32"},    {8, 32, 16, "u8", "u8", "s32"},
                          {32, 8, 16, "s8", "s8", "s32"}};
  for (const Shape& x : shapes)
    for (bool a_col : {false, true}) {
      const ElementType &ta = type_named(x.a), &tb = type_named(x.b), &td = type_named(x.d);
      Random r{uint64_t(x.m * 100 + x.n + a_col)};
      Matrix A = random_matrix(x.m, x.k, ta, r), B = random_matrix(x.k, x.n, tb, r),
             C = random_matrix(x.m, x.n, td, r);
      std::string shape = fmt::format("m{}n{}k{}", x.m, x.n, x.k), la = a_col ? "col" : "row";
      auto count = [&](const ElementType& t, int rows, int cols, bool c) {
        return !c && t.bits == 16 && t.type == dt::f16_
                   ? 8
                   : std::max(1, rows * cols * t.bits / 1024 / (t.bits == 64 ? 2 : 1));
      };
      auto list = [&](char name, const ElementType& t, int n) {
        std::string s = "{";
        for (int i = 0; i < n; ++i)
          s += fmt::format("{}%{}{}{}", i ? "," : "", t.bits == 64 ? "d" : "r", name, i);
        return s + "}";
      };
      std::string va = list('a', ta, count(ta, x.m, x.k, false)),
                  vb = list('b', tb, count(tb, x.k, x.n, false)),
                  vc = list('c', td, count(td, x.m, x.n, true)),
                  vd = list('e', td, count(td, x.m, x.n, true));
      std::string types = ta.type == dt::f16_ ? fmt::format("{}.{}", x.d, x.d)
                                              : fmt::format("{}.{}.{}.{}", x.d, x.a, x.b, x.d);
      std::string s =
          ".version 8.6\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 a, .param "
          ".u64 b, .param .u64 c) {\n.reg .b64 %pa, %pb, %pc;\n";
      for (char c : {'a', 'b', 'c', 'e'})
        s += fmt::format(".reg .b32 %r{0}<8>;\n.reg .b64 %d{0}<4>;\n", c);
      s += "ld.param.u64 %pa, [a];\nld.param.u64 %pb, [b];\nld.param.u64 %pc, [c];\n";
      s += fmt::format(
          "wmma.load.a.sync.aligned.{}.{}.global.{} {}, "
          "[%pa];\nwmma.load.b.sync.aligned.row.{}.global.{} {}, "
          "[%pb];\nwmma.load.c.sync.aligned.row.{}.global.{} {}, [%pc];\n",
          la, shape, x.a, va, shape, x.b, vb, shape, x.d, vc);
      s += fmt::format(
          "wmma.mma.sync.aligned.{}.row.{}.{} {}, {}, {}, "
          "{};\nwmma.store.d.sync.aligned.row.{}.global.{} [%pc], {};\nret;\n}}\n",
          la, shape, types, vd, va, vb, vc, shape, x.d, vd);
      Simulator sim;
      auto m = sim.load(s, "wmma.ptx");
      REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message) << s);
      auto upload = [&](Matrix& q, int bits, bool col) {
        uint64_t p = *sim.memory().allocate(q.at.size() * size_t(bits) / 8, "matrix", true);
        for (int i = 0; i < q.rows; ++i)
          for (int j = 0; j < q.cols; ++j) {
            uint64_t v = q(i, j);
            std::memcpy(sim.memory().at(p)->data.get() +
                            size_t(col ? j * q.rows + i : i * q.cols + j) * size_t(bits) / 8,
                        &v, size_t(bits) / 8);
          }
        return p;
      };
      uint64_t pa = upload(A, ta.bits, a_col), pb = upload(B, tb.bits, false),
               pc = upload(C, td.bits, false);
      std::span<const std::byte> params[] = {std::as_bytes(std::span(&pa, 1)),
                                             std::as_bytes(std::span(&pb, 1)),
                                             std::as_bytes(std::span(&pc, 1))};
      jit::LaunchSpec l;
      l.module = *m, l.entry = "k", l.block = {32, 1, 1}, l.params = params;
      auto run = sim.run(l);
      REQUIRE(bool(run));
      for (auto& f : run->findings) FAIL_CHECK(render_finding(f));
      for (int i = 0; i < x.m; ++i)
        for (int j = 0; j < x.n; ++j) {
          double want = value(td, C(i, j));
          for (int q = 0; q < x.k; ++q) want += value(ta, A(i, q)) * value(tb, B(q, j));
          uint64_t v = 0;
          std::memcpy(&v,
                      sim.memory().at(pc)->data.get() + size_t(i * x.n + j) * size_t(td.bits) / 8,
                      size_t(td.bits) / 8);
          double got = value(td, v);
          if (!(std::fabs(got - want) <= (td.bits == 16 ? 0.1 : td.type.is_float() ? 1e-4 : 0)))
            FAIL_CHECK(shape << " " << x.a << ": " << got << " for " << want);
        }
    }
}

namespace {

// One wgmma over a tile written by ordinary stores at the given byte positions.
struct WgmmaCase {
  const char* type;  // of A and B
  const char* d;
  int n, k;
  int swizzle;  // 0, 32, 64, 128 bytes
  bool a_in_registers, a_mn, b_mn;
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

}  // namespace

TEST_CASE("wgmma of every type, swizzle and operand place") {
  const WgmmaCase cases[] = {
      {"f16", "f32", 64, 16, 128, false, false, false},
      {"f16", "f32", 64, 16, 64, false, false, false},
      {"f16", "f32", 8, 16, 32, false, false, false},
      {"f16", "f32", 64, 16, 0, false, false, false},
      {"f16", "f16", 128, 16, 128, false, false, false},
      {"bf16", "f32", 256, 16, 128, false, false, false},
      {"f16", "f32", 64, 16, 128, true, false, false},
      {"bf16", "f32", 96, 16, 64, true, false, true},
      {"f16", "f32", 64, 16, 128, false, true, true},
      {"f16", "f32", 64, 16, 64, false, true, false},
      {"f16", "f32", 64, 16, 32, false, false, true},
      {"f16", "f32", 64, 16, 0, false, true, true},
      {"tf32", "f32", 64, 8, 128, false, false, false},
      {"tf32", "f32", 16, 8, 32, true, false, false},
      {"e4m3", "f32", 64, 32, 128, false, false, false},
      {"e5m2", "f16", 64, 32, 64, false, false, false},
      {"e4m3", "f32", 32, 32, 32, true, false, false},
      {"s8", "s32", 64, 32, 128, false, false, false},
      {"u8", "s32", 32, 32, 64, true, false, false},
      {"b1", "s32", 64, 256, 32, false, false, false},
  };
  for (const WgmmaCase& c : cases) {
    const ElementType &t = type_named(c.type), &td = type_named(c.d);
    CAPTURE(c.type);
    CAPTURE(c.n);
    CAPTURE(c.swizzle);
    CAPTURE(c.a_mn);
    CAPTURE(c.b_mn);
    CAPTURE(c.a_in_registers);
    Random r{uint64_t(c.n * 7 + c.swizzle)};
    Matrix A = random_matrix(64, c.k, t, r), B = random_matrix(c.n, c.k, t, r),
           C = random_matrix(64, c.n, td, r);
    Layout la(t.bits, c.swizzle, 64, c.k, c.a_mn), lb(t.bits, c.swizzle, c.n, c.k, c.b_mn);
    const uint32_t bytes_a = 16384, total = 49152;
    std::vector<uint8_t> image(total, 0);
    auto place = [&](Matrix& m, const Layout& l, uint32_t base) {
      for (int i = 0; i < m.rows; ++i)
        for (int x = 0; x < m.cols; ++x) {
          if (t.bits == 1) {
            image[base + l.at(i, x)] |= uint8_t(m(i, x) << (x % 8));
          } else {
            uint64_t v = m(i, x);
            std::memcpy(&image[base + l.at(i, x)], &v, size_t(t.bits) / 8);
          }
        }
    };
    place(A, la, 0), place(B, lb, bytes_a);
    bool half = td.bits == 16;
    int dn = half ? c.n / 4 : c.n / 2;
    std::string s = fmt::format(
        ".version 8.6\n.target sm_90a\n.address_size 64\n.shared .align 1024 .b8 "
        "tile[{}];\n.visible .entry k(.param .u64 image, .param .u64 c, .param .u64 a) {{\n"
        ".reg .pred %p<2>;\n.reg .b32 %r<16>, %d<128>, %a<4>;\n.reg .b64 %rd<16>;\n"
        "ld.param.u64 %rd0, [image];\nld.param.u64 %rd1, [c];\nld.param.u64 %rd5, [a];\nmov.u32 "
        "%r0, %tid.x;\nmov.u32 %r1, tile;\nshl.b32 %r2, %r0, 2;\n"
        "L: mov.u32 %r4, %r2;\ncvt.u64.u32 %rd2, %r4;\nadd.s64 %rd2, %rd2, %rd0;\nld.global.u32 "
        "%r3, [%rd2];\nadd.u32 %r5, %r1, %r4;\nst.shared.u32 [%r5], %r3;\n"
        "add.u32 %r2, %r2, 512;\nsetp.lt.u32 %p1, %r2, {};\n@%p1 bra "
        "L;\nfence.proxy.async;\nbar.sync 0;\n",
        total, total);
    s += fmt::format(
        "mul.wide.u32 %rd3, %r0, {};\nadd.s64 %rd3, %rd3, %rd1;\nmul.wide.u32 %rd4, %r0, "
        "16;\nadd.s64 %rd4, %rd4, %rd5;\n",
        dn * 4);
    for (int i = 0; i < dn; ++i) s += fmt::format("ld.global.u32 %d{}, [%rd3+{}];\n", i, 4 * i);
    for (int i = 0; i < 4; ++i) s += fmt::format("ld.global.u32 %a{}, [%rd4+{}];\n", i, 4 * i);
    std::string d = "{", integer = t.type.is_float() ? "" : "x";
    for (int i = 0; i < dn; ++i) d += fmt::format("{}%d{}", i ? "," : "", i);
    d += "}";
    std::string a =
        c.a_in_registers ? "{%a0,%a1,%a2,%a3}" : fmt::format("{:#x}", la.descriptor(1024));
    bool trans = t.bits == 16;
    std::string tail = !integer.empty()   ? ""
                       : !trans           ? ", 1, 1"
                       : c.a_in_registers ? fmt::format(", 1, 1, {}", int(c.b_mn))
                                          : fmt::format(", 1, 1, {}, {}", int(c.a_mn), int(c.b_mn));
    s += fmt::format(
        "wgmma.fence.sync.aligned;\nwgmma.mma_async.sync.aligned.m64n{}k{}.{}.{}.{}{} {}, {}, "
        "{:#x}, 1{};\nwgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n",
        c.n, c.k, c.d, c.type, c.type, t.bits == 1 ? ".and.popc" : "", d, a,
        lb.descriptor(1024 + bytes_a), tail);
    for (int i = 0; i < dn; ++i) s += fmt::format("st.global.u32 [%rd3+{}], %d{};\n", 4 * i, i);
    s += "ret;\n}\n";
    Simulator sim;
    sim.options.async = c.n % 3 ? AsyncMode::lazy : AsyncMode::eager;
    auto m = sim.load(s, "wgmma.ptx");
    REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
    uint64_t pi = *sim.memory().allocate(total, "image", true),
             pc = *sim.memory().allocate(size_t(128 * dn * 4), "c", true),
             pa = *sim.memory().allocate(128 * 16, "a", true);
    std::memcpy(sim.memory().at(pi)->data.get(), image.data(), total);
    // Element positions of accumulators and of A in registers.
    auto d_at = [&](int thread, int reg, int half_index) {
      int warp = thread / 32, l = thread % 32;
      int row = half ? warp * 16 + l / 4 + 8 * (reg & 1) : warp * 16 + l / 4 + 8 * (reg / 2 % 2),
          col =
              half ? reg / 2 * 8 + (l % 4) * 2 + half_index : reg / 4 * 8 + (l % 4) * 2 + (reg & 1);
      return std::pair(row, col);
    };
    auto* cm = reinterpret_cast<uint32_t*>(sim.memory().at(pc)->data.get());
    auto* am = reinterpret_cast<uint32_t*>(sim.memory().at(pa)->data.get());
    for (int th = 0; th < 128; ++th) {
      for (int i = 0; i < dn; ++i)
        for (int h = 0; h < (half ? 2 : 1); ++h) {
          auto [row, col] = d_at(th, i, h);
          cm[th * dn + i] |= uint32_t(C(row, col)) << (16 * h);
        }
      int per = t.bits ? std::max(1, 32 / t.bits) : 1;
      if (t.bits != 1)
        for (int i = 0; i < 4; ++i)
          for (int e = 0; e < per; ++e)
            am[th * 4 + i] |= uint32_t(A(th / 32 * 16 + th % 32 / 4 + 8 * (i & 1),
                                         (th % 4) * per + e + (i / 2) * 4 * per))
                              << (t.bits * e % 32);
    }
    std::span<const std::byte> params[] = {std::as_bytes(std::span(&pi, 1)),
                                           std::as_bytes(std::span(&pc, 1)),
                                           std::as_bytes(std::span(&pa, 1))};
    jit::LaunchSpec l;
    l.module = *m, l.entry = "k", l.block = {128, 1, 1}, l.params = params;
    auto run = sim.run(l);
    REQUIRE(bool(run));
    for (auto& f : run->findings) FAIL_CHECK(render_finding(f));
    int wrong = 0;
    for (int th = 0; th < 128; ++th)
      for (int i = 0; i < dn; ++i)
        for (int h = 0; h < (half ? 2 : 1); ++h) {
          auto [row, col] = d_at(th, i, h);
          double want = value(td, C(row, col));
          for (int x = 0; x < c.k; ++x) want += value(t, A(row, x)) * value(t, B(col, x));
          double got = value(td, half ? cm[th * dn + i] >> (16 * h) & 0xffff : cm[th * dn + i]);
          wrong += !(std::fabs(got - want) <= (half ? 0.2 : td.type.is_float() ? 1e-3 : 0));
        }
    CHECK(wrong == 0);
  }
}
