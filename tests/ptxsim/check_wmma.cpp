// wmma: fragments have no documented layout, so a form is tested between a load and a store: a
// product of matrices in memory, with every combination of layouts and spaces that a form spells.
#include <fmt/format.h>

#include <cmath>

#include "tests/ptxsim/matrix_data.h"

namespace tess::ptxsim {
namespace {

struct Product {
  int m = 0, n = 0, k = 0;
  std::string a, b, d, c;  // types
  std::string la = "row", lb = "col", lc = "row", ld = "row";
  std::string space_a = "global", space_b = "global", space_c = "global", space_d = "global";
  std::string operation;  // of single bits
  bool satfinite = false;
  std::string rounding;
};

bool is_space(const std::string& s) { return s == "global" || s == "shared" || s == "shared::cta"; }

std::string suffix(const std::string& s) { return s.empty() ? "" : "." + s; }

// A and B row- or column-major with padding, in global memory or copied to shared memory.
Verdict multiply(const Product& x) {
  const ElementType &ta = type_named(x.a), &tb = type_named(x.b), &td = type_named(x.d),
                    &tc = type_named(x.c);
  Random r{uint64_t(x.m * 100 + x.n)};
  Matrix A = random_matrix(x.m, x.k, ta, r), B = random_matrix(x.k, x.n, tb, r),
         C = random_matrix(x.m, x.n, tc, r);
  FormRun run;
  run.in.resize(8192);
  auto stride = [](const Matrix& q, const std::string& layout, int bits) {
    int inner = layout == "row" ? q.cols : q.rows;
    return (inner * bits / 8 + 16) * 8 / bits;  // in elements
  };
  auto place = [&](Matrix& q, const std::string& layout, int bits, size_t base) {
    for (int i = 0; i < q.rows; ++i)
      for (int j = 0; j < q.cols; ++j) {
        size_t at = size_t(layout == "row" ? i * stride(q, layout, bits) + j
                                           : j * stride(q, layout, bits) + i);
        uint64_t v = q(i, j);
        if (bits < 8) run.in[base + at * size_t(bits) / 8] |= uint8_t(v << (at * size_t(bits) % 8));
        else std::memcpy(&run.in[base + at * size_t(bits) / 8], &v, size_t(bits) / 8);
      }
  };
  place(A, x.la, ta.bits, 0), place(B, x.lb, tb.bits, 2048), place(C, x.lc, tc.bits, 4096);
  run.out_bytes = 4096;
  auto list = [](const char* name, const ElementType& t, int rows, int cols, bool accumulator) {
    int n = !accumulator && t.bits == 16 && std::string(t.name) == "f16"
                ? 8
                : std::max(1, rows * cols * t.bits / 1024 / (t.bits == 64 ? 2 : 1));
    std::string s = "{";
    for (int i = 0; i < n; ++i)
      s += fmt::format("{}{}{}{}", i ? "," : "", t.bits == 64 ? "%dd" : "%rr", name, i);
    return s + "}";
  };
  std::string va = list("a", ta, x.m, x.k, false), vb = list("b", tb, x.k, x.n, false),
              vc = list("c", tc, x.m, x.n, true), vd = list("e", td, x.m, x.n, true);
  std::string shape = fmt::format("m{}n{}k{}", x.m, x.n, x.k);
  std::string& s = run.body;
  for (const char* c : {"a", "b", "c", "e"})
    s += fmt::format(".reg .b32 %rr{0}<8>;\n.reg .b64 %dd{0}<4>;\n", c);
  // The inputs are in both spaces; the result is written to one of them and copied out.
  s += "mov.u32 %r0, %tx;\nFILL: setp.ge.u32 %p0, %r0, 2048;\n@%p0 bra FILLED;\nshl.b32 %r1, %r0, "
       "2;\ncvt.u64.u32 %d1, %r1;\nadd.u64 %d1, %d1, %in;\nld.global.u32 %r2, [%d1];\nmov.u32 %r3, "
       "tile;\nadd.u32 %r3, %r3, %r1;\nst.shared.u32 [%r3], %r2;\nadd.u32 %r0, %r0, 32;\nbra "
       "FILL;\nFILLED:\nbar.sync 0;\nmov.u64 %d2, tile;\nadd.u64 %d3, %d2, 12288;\nmov.u32 %r20, "
       "0;\nmul.wide.u32 %d4, %tx, 128;\nadd.u64 %d4, %d4, %d3;\n";
  for (int i = 0; i < 32; ++i) s += fmt::format("st.shared.u32 [%d4+{}], %r20;\n", 4 * i);
  s += "bar.sync 0;\n";
  auto base = [](const std::string& space, int offset) {
    return space == "global" ? fmt::format("%in+{}", offset)
           : space.empty()   ? fmt::format("%in+{}", offset)
                             : fmt::format("tile+{}", offset);
  };
  auto load = [&](const char* which, const std::string& layout, const std::string& space,
                  const char* type, const std::string& regs, int offset, const Matrix& q,
                  int bits) {
    s += fmt::format("wmma.load.{}.sync.aligned.{}.{}{}.{} {}, [{}], {};\n", which, layout, shape,
                     suffix(space), type, regs, base(space, offset), stride(q, layout, bits));
  };
  load("a", x.la, x.space_a, ta.name, va, 0, A, ta.bits);
  load("b", x.lb, x.space_b, tb.name, vb, 2048, B, tb.bits);
  load("c", x.lc, x.space_c, tc.name, vc, 4096, C, tc.bits);
  std::string types = x.a == "f16" ? x.d + "." + x.c : x.d + "." + x.a + "." + x.b + "." + x.c;
  s += fmt::format("wmma.mma{}.sync.aligned.{}.{}.{}{}.{}{} {}, {}, {}, {};\n",
                   x.operation.empty() ? "" : "." + x.operation + ".popc", x.la, x.lb, shape,
                   suffix(x.rounding), types, x.satfinite ? ".satfinite" : "", vd, va, vb, vc);
  bool to_shared = x.space_d == "shared" || x.space_d == "shared::cta";
  Matrix D(x.m, x.n);
  s +=
      fmt::format("wmma.store.d.sync.aligned.{}.{}{}.{} [{}], {}, {};\n", x.ld, shape,
                  suffix(x.space_d), x.d, to_shared ? "%d3" : "%out", vd, stride(D, x.ld, td.bits));
  if (to_shared) {
    s += "bar.sync 0;\nmul.wide.u32 %d5, %tx, 128;\nadd.u64 %d5, %d5, %out;\n";
    for (int i = 0; i < 32; ++i)
      s += fmt::format("ld.shared.u32 %r21, [%d4+{0}];\nst.global.u32 [%d5+{0}], %r21;\n", 4 * i);
  }
  if (!run.run()) return wrong(run.error);
  for (int i = 0; i < x.m; ++i)
    for (int j = 0; j < x.n; ++j) {
      double want = value(tc, C(i, j));
      for (int q = 0; q < x.k; ++q) {
        double p = value(ta, A(i, q)), o = value(tb, B(q, j));
        want += x.operation == "xor" ? double(int(p) ^ int(o)) : p * o;
      }
      size_t at = size_t(x.ld == "row" ? i * stride(D, "row", td.bits) + j
                                       : j * stride(D, "col", td.bits) + i) *
                  size_t(td.bits) / 8;
      uint64_t code = 0;
      std::memcpy(&code, &run.out[at], size_t(td.bits) / 8);
      double got = value(td, code);
      if (!(std::fabs(got - want) <= (td.bits == 16                         ? 0.2
                                      : td.bits == 32 && td.type.is_float() ? 1e-3
                                                                            : 0)))
        return wrong(fmt::format("({}, {}): {} for {}", i, j, got, want));
    }
  return good();
}

// The accumulators that go with operands of a type.
std::string accumulator_of(const std::string& t) {
  return t == "f64"                                               ? "f64"
         : t[0] == 'f' || (t[0] == 'b' && t != "b1") || t == "tf32" ? "f32"
                                                                  : "s32";
}

Product shaped(const Words& w) {
  Product x;
  for (auto& s : w)
    if (s.size() > 5 && s[0] == 'm' && std::sscanf(s.c_str(), "m%dn%dk%d", &x.m, &x.n, &x.k) == 3)
      break;
  return x;
}
// Operands that a shape has, for the forms that say only the accumulator's type.
std::string operand_of(const Product& x, const std::string& accumulator) {
  if (x.k == 4) return "f64";
  if (x.k == 8) return "tf32";
  if (x.k == 32) return "s4";
  if (x.k == 128) return "b1";
  return accumulator == "s32" ? "s8" : "f16";
}
void fix_layouts(Product& x) {
  if (type_named(x.a).bits < 8) x.la = "row", x.lb = "col";
  if (x.a == "b1") x.operation = "xor";
}

Verdict check_load(const std::string&, const Words& w) {
  Product x = shaped(w);
  const std::string &which = w[2], type = w.back();
  bool is_c = which == "c", accumulator = type == "f32" || type == "s32" || (type == "f64" && is_c);
  if (!is_c && accumulator) return impossible();
  if (is_c && !accumulator && type != "f16") return impossible();
  std::string layout = w[5], space = is_space(w[w.size() - 2]) ? w[w.size() - 2] : "";
  x.a = x.b = is_c ? operand_of(x, type) : type;
  x.c = is_c ? type : accumulator_of(type);
  x.d = x.c;
  fix_layouts(x);
  if (type_named(x.a).bits < 8 && !is_c && layout != (which == "a" ? "row" : "col"))
    return impossible();
  if (which == "a") x.la = layout, x.space_a = space;
  if (which == "b") x.lb = layout, x.space_b = space;
  if (which == "c") x.lc = layout, x.space_c = space;
  return multiply(x);
}

Verdict check_store(const std::string&, const Words& w) {
  Product x = shaped(w);
  x.d = x.c = w.back();
  x.a = x.b = operand_of(x, x.d);
  fix_layouts(x);
  x.ld = w[5];
  x.space_d = is_space(w[w.size() - 2]) ? w[w.size() - 2] : "";
  return multiply(x);
}

Verdict check_product(const std::string&, const Words& w) {
  Product x = shaped(w);
  size_t i = 2;
  if (w[i] == "xor" || w[i] == "and") x.operation = w[i], i += 2;
  i += 2;
  x.la = w[i], x.lb = w[i + 1];
  i += 3;
  if (w[i][0] == 'r') x.rounding = w[i++];
  std::vector<std::string> types(w.begin() + ptrdiff_t(i), w.end());
  if (types.back() == "satfinite") x.satfinite = true, types.pop_back();
  x.d = types[0], x.c = types.back();
  x.a = types.size() == 2 ? "f16" : types[1], x.b = types.size() == 2 ? "f16" : types[2];
  if (x.a != x.b) return impossible();
  return multiply(x);
}

}  // namespace

std::vector<NamedCheck> wmma_checks() {
  return {{"wmma_load", check_load}, {"wmma_store", check_store}, {"wmma", check_product}};
}

}  // namespace tess::ptxsim
