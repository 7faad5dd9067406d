// Loads, stores, gathers, views: against an oracle that looks at one element at a time.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "interp_harness.h"

using namespace tess;
using namespace tess::test;

TEST_CASE("loads of boxes anywhere, of every width, with strides, pads and gathered rows") {
  std::mt19937_64 random(20);
  for (DType t : {dt::u1_, dt::u4_, dt::i3_, dt::u5_, dt::i7_, dt::e4m3_, dt::bool_, dt::f16_,
                  dt::f32_, dt::i64_})
    for (int trial = 0; trial < 12; ++trial) {
      auto pick = [&](int64_t lo, int64_t hi) {
        return lo + static_cast<int64_t>(random() % static_cast<uint64_t>(hi - lo + 1));
      };
      int64_t rows = pick(1, 9), cols = pick(1, 40), lda = cols + pick(0, 3), m = pick(1, 12),
              n = pick(1, 33);
      int64_t i0 = pick(-4, rows + 2), j0 = pick(-5, cols + 2);
      HostTensor x = random_tensor(t, {rows * lda}, random), r(t, {m, n}), g(t, {m, n}),
                 index(dt::i32_, {m});
      for (int64_t i = 0; i < m; ++i) index.set_value(i, static_cast<double>(pick(-2, rows + 1)));
      uint64_t pad = t.is_bool() ? 1 : cast_code(t, dt::i32_, 1);
      std::string text = fmt::format(R"(
kernel k(i: i32, j: i32, rows: i32, cols: i32, lda: i32, x: in {0}[rows,cols] : (lda,1), q: in i32[{1}], r: out {0}[{1},{2}], g: out {0}[{1},{2}]) grid(1) warps(1)
{{
    store (load x[i:+{1}, j:+{2}] {{pad {3}}}), r[:,:]
    %q = load q[:]
    store (load x[%q, j:+{2}] {{pad {3}}}), g[:,:]
}})",
                                     dtype_name(t), m, n,
                                     t.is_bool()    ? "true"
                                     : t.is_float() ? "1.0"
                                     : t == dt::u1_ ? "1"
                                                    : "1");
      VerifiedModule module = assemble(text);
      std::vector<LaunchArg> args(9);
      int64_t scalars[] = {i0, j0, rows, cols, lda};
      for (size_t a = 0; a < 5; ++a) args[a].scalar = static_cast<uint32_t>(scalars[a]);
      args[5].tensors.push_back({t, x.bytes.data(), x.bytes.size(), {rows, cols}, {lda, 1}, true});
      args[6].tensors.push_back({dt::i32_, index.bytes.data(), index.bytes.size(), {m}, {}, true});
      args[7].tensors.push_back({t, r.bytes.data(), r.bytes.size(), {m, n}, {}, true});
      args[8].tensors.push_back({t, g.bytes.data(), g.bytes.size(), {m, n}, {}, true});
      auto bound = bind_launch(module.kernel(0), args, {});
      REQUIRE_MESSAGE(bound, bound.error().message);
      auto o = interp::run(module, 0, *bound, {});
      REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
      REQUIRE(o.warnings.empty());
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          auto want = [&](int64_t row, int64_t col) {
            return row < 0 || row >= rows || col < 0 || col >= cols ? pad : x.at(row * lda + col);
          };
          REQUIRE(r.at(i * n + j) == want(i0 + i, j0 + j));
          REQUIRE(g.at(i * n + j) == want(static_cast<int64_t>(index.value(i)), j0 + j));
        }
    }
}

TEST_CASE("stores change exactly their elements, whatever shares their bytes") {
  std::mt19937_64 random(21);
  for (DType t : {dt::u1_, dt::i3_, dt::u4_, dt::i6_, dt::bf16_, dt::f64_})
    for (int trial = 0; trial < 12; ++trial) {
      auto pick = [&](int64_t lo, int64_t hi) {
        return lo + static_cast<int64_t>(random() % static_cast<uint64_t>(hi - lo + 1));
      };
      int64_t rows = pick(1, 9), cols = pick(1, 40), m = pick(1, 12), n = pick(1, 33),
              i0 = pick(-4, rows), j0 = pick(-5, cols);
      HostTensor v = random_tensor(t, {m, n}, random), x = random_tensor(t, {rows, cols}, random),
                 mask = random_tensor(dt::bool_, {n}, random), want = x;
      bool masked = trial % 2;
      std::string text = fmt::format(
          "kernel k(i: i32, j: i32, rows: i32, cols: i32, v: in {0}[{1},{2}], m: in bool[{2}], x: "
          "inout {0}[rows,cols]) grid(1) warps(1)\n{{\n %m = load m[:]\n store (load v[:,:]), "
          "x[i:+{1}, j:+{2}] {3}\n}}",
          dtype_name(t), m, n, masked ? "where %m" : "");
      auto o = run(text, {i0, j0, rows, cols, v, mask, x});
      REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          int64_t row = i0 + i, col = j0 + j;
          if (row < 0 || row >= rows || col < 0 || col >= cols || (masked && !mask.at(j))) continue;
          want.set(row * cols + col, v.at(i * n + j));
        }
      REQUIRE(same(x, want));
    }
}

TEST_CASE("blocks that share bytes write in parallel") {
  // 3-bit elements, 7 per block: every boundary lies inside a byte.
  constexpr int64_t kN = 7 * 5000;
  HostTensor v(dt::u3_, {kN}), x(dt::u3_, {kN});
  for (int64_t i = 0; i < kN; ++i) v.set(i, static_cast<uint64_t>(i * 5 + i / 8) & 7);
  interp::Options options;
  options.threads = 4;
  auto o =
      run("kernel k(n: i32, v: in u3[n], x: out u3[n]) grid(n/7) warps(1)\n{\n %i = block.x * 7\n "
          "store (load v[%i:+7]), x[%i:+7]\n}",
          {kN, v, x}, options);
  CHECK(error_of(o) == "");
  CHECK(same(x, v));
}

TEST_CASE("masked loads, scalar stores, gather and scatter") {
  HostTensor x(dt::i32_, {4, 5}), r(dt::i32_, {6}), g(dt::i32_, {3, 2}), s(dt::i32_, {4, 5});
  for (int i = 0; i < 20; ++i) x.set_value(i, i);
  const char* text = R"(
kernel k(x: in i32[4,5], r: inout i32[6], g: out i32[3,2], s: inout i32[4,5]) grid(1) warps(1)
{
    %c = iota : i32[6]
    %m = eq (rem %c, 2), 0
    %v = load x[1, 0:+6] where %m {pad -1}
    store %v, r[0:+6]
    %i = unsqueeze (sub (iota : i32[3]), 1), 1
    %j = mul (iota : i32[2]), 3
    %g = gather x, %i, %j {pad 99}
    store %g, g[:,:]
    store 7, s[1:+2, 1:+3]
    scatter (iota {dim 0} : i32[6]), s, (fill 3 : i32[6]), (rem %c, 2)
    store 50, s[0,0]
})";
  auto o = run(text, {x, r, g, s});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  int want_r[] = {5, -1, 7, -1, 9, -1}, want_g[] = {99, 99, 0, 3, 5, 8};
  for (int i = 0; i < 6; ++i) CHECK(r.value(i) == want_r[i]);
  for (int i = 0; i < 6; ++i) CHECK(g.value(i) == want_g[i]);
  int want_s[] = {50, 0, 0, 0, 0, 0, 7, 7, 7, 0, 0, 7, 7, 7, 0, 4, 5, 0, 0, 0};
  for (int i = 0; i < 20; ++i) CHECK(s.value(i) == want_s[i]);
}

TEST_CASE("slices have their own bounds; transposed, nested, empty and negative ones too") {
  HostTensor x(dt::i32_, {10, 12}), r(dt::i32_, {4, 4}), q(dt::i32_, {3, 4}), p(dt::i32_, {4});
  for (int i = 0; i < 120; ++i) x.set_value(i, i);
  const char* text = R"(
kernel k(lo: i32, hi: i32, x: in i32[10,12], r: out i32[4,4], q: out i32[3,4], p: out i32[4]) grid(1) warps(1)
{
    %t = slice x[lo:hi, 2:+6]
    store (load %t[0:+4, 3:+4] {pad -1}), r[:,:]
    %u = transpose %t
    store (load %u[4:+3, 0:+4] {pad -2}), q[:,:]
    %w = slice %t[1, -1:+9]
    store (load %w[0:+4] {pad -3}), p[:]
})";
  for (auto [lo, hi] : {std::pair{3, 6}, {-2, 2}, {8, 20}, {6, 3}}) {
    auto o = run(text, {lo, hi, x, r, q, p});
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    auto t = [&](int64_t i, int64_t j, double pad) {
      bool inside = i >= 0 && i < hi - lo && j >= 0 && j < 6 && lo + i >= 0 && lo + i < 10;
      return inside ? x.value((lo + i) * 12 + 2 + j) : pad;
    };
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < 4; ++j) {
        CHECK(r.value(i * 4 + j) == t(i, 3 + j, -1));
        if (i < 3) CHECK(q.value(i * 4 + j) == t(j, 4 + i, -2));
      }
    for (int64_t j = 0; j < 4; ++j) CHECK(p.value(j) == t(1, j - 1, -3));
  }
}

TEST_CASE("alias: bytes as another type, bounded by the tensor") {
  HostTensor x(dt::u8_, {40}), r(dt::u16_, {3, 8}), n(dt::u4_, {10});
  for (int i = 0; i < 40; ++i) x.set_value(i, i * 7 % 256);
  const char* text = R"(
kernel k(b: i32, x: in u8[40], r: out u16[3,8], n: out u4[10]) grid(1) warps(1)
{
    %t = alias x + b : u16[3,8]
    store (load %t[:,:] {pad 9}), r[:,:]
    %u = alias x + 36 : u4[10]
    store (load %u[:] {pad 5}), n[:]
})";
  for (int64_t b : {0, 6, 30, 38, 40, -2}) {
    auto o = run(text, {b, x, r, n});
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    for (int64_t i = 0; i < 24; ++i) {
      int64_t byte = b + 2 * i;
      uint64_t want = byte < 0 || byte + 2 > 40 ? 9 : x.at(byte) | x.at(byte + 1) << 8;
      CHECK(r.at(i) == want);
    }
    for (int64_t i = 0; i < 10; ++i)
      CHECK(n.at(i) == (i < 8 ? x.at(36 + i / 2) >> (i % 2 * 4) & 15 : 5));
  }
  CHECK(error_of(run(text, {3, x, r, n})) == "T0836");
}

TEST_CASE("shared memory: views, transposes, mma operands, lists of tensors") {
  std::mt19937_64 random(22);
  HostTensor a = random_tensor(dt::f32_, {8, 6}, random, true),
             b = random_tensor(dt::f32_, {5, 6}, random, true), r(dt::f32_, {8, 5});
  std::vector<HostTensor> list;
  for (int i = 0; i < 3; ++i) list.push_back(random_tensor(dt::f32_, {8, 6}, random, true));
  HostTensor pick(dt::f32_, {8, 6});
  const char* text = R"(
kernel k(i: i32, a: in f32[8,6], b: in f32[5,6], w: in f32[8,6] list(3), r: out f32[8,5], p: out f32[8,6]) grid(1) warps(1)
{
    %s = smem f32[8,6]
    %t = smem f32[5,6]
    store (load a[:,:]), %s[:,:]
    store (load b[:,:]), %t[:,:]
    barrier
    %u = transpose %t
    %acc = mma %s, %u, 0 : f32[8,5]
    store %acc, r[:,:]
    store (load w{i}[:,:]), p[:,:]
})";
  std::vector<HostTensor*> ptrs{&list[0], &list[1], &list[2]};
  auto o = run(text, {2, a, b, ptrs, r, pick});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  CHECK(same(pick, list[2]));
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 5; ++j) {
      float sum = 0;
      for (int p = 0; p < 6; ++p)
        sum = std::fma(static_cast<float>(a.value(i * 6 + p)),
                       static_cast<float>(b.value(j * 6 + p)), sum);
      CHECK(static_cast<float>(r.value(i * 5 + j)) == sum);
    }
  CHECK(error_of(run(text, {3, a, b, ptrs, r, pick})) == "T0830");
}

TEST_CASE("reshaped views follow the strides, or say that they cannot") {
  HostTensor x(dt::i32_, {4, 6}), r(dt::i32_, {2, 2, 3}), q(dt::i32_, {8});
  for (int i = 0; i < 24; ++i) x.set_value(i, i);
  // A column slice keeps its row stride: only its rows can be regrouped.
  auto o = run(R"(
kernel k(x: in i32[4,6], r: out i32[2,2,3], q: out i32[8]) grid(1) warps(1)
{
    %c = slice x[:, 2:+3]
    %g = reshape %c : i32[2,2,3]
    store (load %g[:,:,:]), r[:,:,:]
    %s = slice x[:, 1:+2]
    %t = transpose %s
    %w = reshape %t : i32[2,2,2]
    store (reshape (load %w[:,:,:]) : i32[8]), q[:]
})",
               {x, r, q});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  for (int i = 0; i < 12; ++i) CHECK(r.value(i) == i / 3 * 6 + 2 + i % 3);
  for (int i = 0; i < 8; ++i) CHECK(q.value(i) == i % 4 * 6 + 1 + i / 4);
  for (const char* body : {"%s = slice x[:, 2:+3]; %v = reshape %s : i32[12]",
                           "%s = transpose x; %v = reshape %s : i32[24]",
                           "%t = slice x[2:+4, :]; %v = reshape %t : i32[24]"})
    CHECK(error_of(
              run(fmt::format(
                      "kernel k(x: in i32[4,6]) grid(1) warps(1)\n{{\n {}\n %r = load %v[0:+4]\n}}",
                      body),
                  {x})) == "T0837");
}
