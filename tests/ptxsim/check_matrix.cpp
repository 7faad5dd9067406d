// mma.sync of every shape and type against references that place single elements by the tables of
// the PTX ISA.
#include <fmt/format.h>

#include <cmath>

#include "tests/ptxsim/form_text.h"
#include "tests/ptxsim/matrix_data.h"

namespace tess::ptxsim {
namespace {

// Loads fragments, executes one instruction, returns the result in `d`; what went wrong, if
// anything.
std::string execute(const std::string& instruction,
                    const std::vector<std::pair<char, Fragment>>& in, int out_regs, int out_bits,
                    Fragment& d) {
  FormRun run;
  std::string& s = run.body;
  for (char c : {'a', 'b', 'c', 'd'})
    s += fmt::format(".reg .b32 %rv{0}<64>;\n.reg .b64 %dv{0}<16>;\n", c);
  s += "mul.wide.u32 %d0, %tx, 8;\nadd.s64 %d1, %in, %d0;\nadd.s64 %d2, %out, %d0;\n";
  std::vector<uint64_t> data;
  for (auto& [name, f] : in)
    for (size_t i = 0; i < f.size(); ++i) {
      bool wide = instruction.find(fmt::format("%dv{}0", name)) != std::string::npos;
      s += fmt::format("ld.global.{} %{}v{}{}, [%d1+{}];\n", wide ? "u64" : "u32", wide ? "d" : "r",
                       name, i, data.size() * 8);
      data.insert(data.end(), f[i].begin(), f[i].end());
    }
  s += instruction + "\n";
  const char* prefix = out_bits == 64 ? "d" : "r";
  for (int i = 0; i < out_regs; ++i)
    s += fmt::format("st.global.u{} [%d2+{}], %{}vd{};\n", out_bits, i * 256, prefix, i);
  run.in.resize(data.size() * 8);
  std::memcpy(run.in.data(), data.data(), run.in.size());
  run.out_bytes = size_t(out_regs) * 256;
  if (!run.run()) return run.error;
  d.assign(size_t(out_regs), std::array<uint64_t, 32>{});
  for (size_t i = 0; i < d.size(); ++i)
    for (size_t l = 0; l < 32; ++l) d[i][l] = value_at<uint64_t>(run.out, i * 256 + l * 8);
  return {};
}

Verdict check_mma(const std::string& opcode, const Words& w) {
  std::string operands = operands_of("mma", opcode);
  if (operands == "skip") return impossible();
  int m = 0, n = 0, k = 0;
  std::sscanf(w[3].c_str(), "m%dn%dk%d", &m, &n, &k);
  size_t at = 6;
  while (w[at] == "satfinite" || w[at] == "rn" || w[at] == "rz" || w[at] == "rm" || w[at] == "rp")
    ++at;
  const ElementType &td = type_named(w[at]), &ta = type_named(w[at + 1]),
                    &tb = type_named(w[at + 2]), &tc = type_named(w[at + 3]);
  bool quads = m == 8 && k == 4 && w[at + 1] == "f16";
  Random r{opcode.size() * 31 + 7};
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
    Fragment d;
    std::string error = execute(opcode + " " + operands + ";", {{'a', fa}, {'b', fb}, {'c', fc}},
                                dh ? 4 : 8, 32, d);
    if (!error.empty()) return wrong(error);
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
          return wrong(fmt::format("lane {} element {}: {} for {}", l, i, got, want));
      }
    return good();
  }
  Matrix A = random_matrix(m, k, ta, r), B = random_matrix(n, k, tb, r),
         C = random_matrix(m, n, tc, r);
  int word = ta.bits == 64 ? 64 : 32, per = ta.bits >= 32 ? 1 : 32 / ta.bits;
  int an = m * k * ta.bits / 32 / word, bn = n * k * tb.bits / 32 / word;
  auto a_place = [&](int l, int i) {
    int reg = i / per, rows = m / 8;
    return std::pair(l / 4 + 8 * (reg % rows), (l % 4) * per + i % per + 4 * per * (reg / rows));
  };
  auto b_place = [&](int l, int i) {
    return std::pair(l / 4, (l % 4) * per + i % per + 4 * per * (i / per));
  };
  auto c_place = [&](int l, int i) {
    return std::pair(l / 4 + 8 * (i / 2), (l % 4) * 2 + (i & 1));
  };
  int cbits = tc.bits, cn = tc.bits == 16 ? m / 8 : m / 4, dn = td.bits == 16 ? m / 8 : m / 4;
  Fragment d;
  std::string error = execute(opcode + " " + operands + ";",
                              {{'a', deal(A, ta.bits, an, a_place)},
                               {'b', deal(B, tb.bits, bn, b_place)},
                               {'c', deal(C, cbits, cn, c_place)}},
                              dn, td.bits == 64 ? 64 : 32, d);
  if (!error.empty()) return wrong(error);
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
      if (!(std::fabs(got - want) <= tolerance))
        return wrong(fmt::format("lane {} element {}: {} for {}", l, i, got, want));
    }

  return good();
}

}  // namespace

std::vector<NamedCheck> matrix_checks() {
  std::vector<NamedCheck> all{{"mma", check_mma}};
  for (auto more : {wmma_checks, wgmma_checks})
    for (const NamedCheck& c : more()) all.push_back(c);
  return all;
}

}  // namespace tess::ptxsim
