// The interpreter's values: every elementwise row on every type, casts, shapes, reductions,
// matrices.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "interp_harness.h"

using namespace tess;
using namespace tess::test;
using interp::Options;

namespace {

Options naive_options() {
  Options o;
  o.naive = true;
  return o;
}

// Runs the text twice, naive and fast, on copies of the outputs; they must agree bit for bit.
void check_paths_agree(const std::string& text, std::vector<HostTensor>& in, HostTensor out) {
  HostTensor naive = out, fast = out;
  std::vector<Arg> a, b;
  for (HostTensor& t : in) a.push_back(Arg(t)), b.push_back(Arg(t));
  a.push_back(Arg(naive));
  b.push_back(Arg(fast));
  VerifiedModule m = assemble(text);
  auto first = run(m, a, naive_options());
  auto second = run(m, b);
  CHECK_MESSAGE(error_of(first) == "", text, first.error->message);
  CHECK(error_of(second) == "");
  int64_t where = -1;
  bool equal = same(naive, fast, &where);
  CHECK_MESSAGE(equal, text, "element ", where);
}

std::string type_of(DType t, const std::string& shape) { return dtype_name(t) + "[" + shape + "]"; }

}  // namespace

TEST_CASE("saxpy over a size that is no multiple of the tile") {
  const char* text = R"(
kernel saxpy(n: i32, a: f32, x: in f32[n], y: inout f32[n]) grid(cdiv(n, 1024)) warps(4)
{
    %i = block.x * 1024
    %x = load x[%i:+1024]
    %y = load y[%i:+1024]
    store (fma a, %x, %y), y[%i:+1024]
})";
  HostTensor x(dt::f32_, {3000}), y(dt::f32_, {3000});
  for (int i = 0; i < 3000; ++i) x.set_value(i, i), y.set_value(i, 1);
  auto o = run(text, {3000, std::bit_cast<int32_t>(2.5f), x, y});
  CHECK(error_of(o) == "");
  CHECK(o.stats.blocks == 3);
  for (int i = 0; i < 3000; ++i) REQUIRE(y.value(i) == 2.5 * i + 1);
}

TEST_CASE("every elementwise row on every type: naive and fast agree") {
  std::mt19937_64 random(1);
  int rows = 0, cases = 0;
  for (const OpInfo& op : all_ops()) {
    if (op.rule != Rule::broadcast_) continue;
    ++rows;
    int tried = 0;
    for (DType t : all_dtypes()) {
      // The type of the letter T; a second letter (a shift count) goes through the integer types
      // too.
      TypeClass cls = TypeClass::any;
      bool second = false;
      for (const SigItem& item : op.sig.ins()) {
        if (item.letter == 'T') cls = item.type_class;
        second |= item.letter == 'U';
      }
      if (!in_class(t, cls)) continue;
      std::vector<DType> counts =
          second ? std::vector<DType>{dt::u8_, dt::i4_, dt::i32_, dt::u64_} : std::vector<DType>{t};
      for (DType count : counts)
        for (bool nan : {false, true}) {
          if (nan && !op.allows(AttrTag::nan)) continue;
          std::vector<HostTensor> in;
          std::string params, loads, args;
          char name = 'a';
          for (const SigItem& item : op.sig.ins()) {
            DType type = item.letter == 'U' ? count : item.letter ? t : item.fixed;
            in.push_back(random_tensor(type, {700}, random));
            if (op.trap == TrapKind::div && name == 'b')
              for (int i = 0; i < 700; ++i)
                if (t.is_int() && in.back().at(i) == 0) in.back().set(i, 1);
            params += fmt::format("{}: in {}, ", name, type_of(type, "700"));
            loads += fmt::format("    %{} = load {}[0:+700]\n", name, name);
            args += fmt::format("{}%{}", args.empty() ? "" : ", ", name);
            ++name;
          }
          DType out = op.sig.results[0].letter ? t : op.sig.results[0].fixed;
          std::string text = fmt::format(
              "kernel k({}r: out {}) grid(1) warps(4)\n{{\n{}    store ({} {}{}), r[0:+700]\n}}\n",
              params, type_of(out, "700"), loads, op.name, args, nan ? " {nan}" : "");
          check_paths_agree(text, in, HostTensor(out, {700}));
          ++tried, ++cases;
        }
    }
    CHECK_MESSAGE(tried > 0, op.name);
  }
  CHECK(rows >= 40);
  CHECK(cases > 700);
}

TEST_CASE("arithmetic by hand") {
  auto eval = [](const std::string& expr, DType in, DType out, std::vector<double> a,
                 std::vector<double> b) {
    int64_t n = static_cast<int64_t>(a.size());
    HostTensor x = values(in, {n}, a), y = values(in, {n}, b), r(out, {n});
    auto o =
        run(fmt::format("kernel k(a: in {0}, b: in {0}, r: out {1}) grid(1) warps(1)\n{{\n %a = "
                        "load a[0:+{2}]\n %b = load b[0:+{2}]\n store ({3}), r[0:+{2}]\n}}",
                        type_of(in, std::to_string(n)), type_of(out, std::to_string(n)), n, expr),
            {x, y, r});
    CHECK(error_of(o) == "");
    std::vector<double> v;
    for (int64_t i = 0; i < n; ++i) v.push_back(r.value(i));
    return v;
  };
  using V = std::vector<double>;
  CHECK(eval("add %a, %b", dt::i4_, dt::i4_, {7, -8, 3}, {1, -1, 2}) == V{-8, 7, 5});
  CHECK(eval("sub %a, %b", dt::u3_, dt::u3_, {0, 7, 3}, {1, 7, 4}) == V{7, 0, 7});
  CHECK(eval("mul %a, %b", dt::i8_, dt::i8_, {100, -128, 3}, {2, -1, -5}) == V{-56, -128, -15});
  CHECK(eval("div %a, %b", dt::i32_, dt::i32_, {-7, 7, -2147483648.0}, {2, -2, -1}) ==
        V{-3, -3, -2147483648.0});
  CHECK(eval("rem %a, %b", dt::i32_, dt::i32_, {-7, 7, -2147483648.0}, {2, -2, -1}) == V{-1, 1, 0});
  CHECK(eval("mulhi %a, %b", dt::u8_, dt::u8_, {255, 16, 100}, {255, 16, 2}) == V{254, 1, 0});
  CHECK(eval("shl %a, %b", dt::i8_, dt::i8_, {1, 1, 3}, {7, 8, -1}) == V{-128, 0, 0});
  CHECK(eval("shr %a, %b", dt::i8_, dt::i8_, {-128, -128, 64}, {7, 100, 8}) == V{-1, -1, 0});
  CHECK(eval("popc %a", dt::i5_, dt::i5_, {-1, 1, 0}, {0, 0, 0}) == V{5, 1, 0});
  CHECK(eval("add %a, %b", dt::f16_, dt::f16_, {2048, 1, 65504}, {1, 0.5, 65504}) ==
        V{2048, 1.5, INFINITY});
  CHECK(eval("clamp %a, -1.0, %b", dt::f32_, dt::f32_, {-5, 0.5, 9}, {2, 2, 2}) == V{-1, 0.5, 2});
  CHECK(eval("select (lt %a, %b), %a, %b", dt::f32_, dt::f32_, {1, 5, 3}, {2, 4, 3}) == V{1, 4, 3});
  CHECK(eval("round %a", dt::f32_, dt::f32_, {0.5, 1.5, -2.5}, {0, 0, 0}) == V{0, 2, -2});
  CHECK(eval("not (eq %a, %b)", dt::u2_, dt::bool_, {1, 2, 3}, {1, 3, 3}) == V{0, 1, 0});
  V least = eval("min %a, %b", dt::f32_, dt::f32_, {NAN, 0.0, 2}, {1, -0.0, NAN});
  CHECK(least[0] == 1);
  CHECK(std::signbit(least[1]));
  CHECK(least[2] == 2);
  CHECK(std::isnan(eval("min %a, %b {nan}", dt::f32_, dt::f32_, {NAN, 0, 2}, {1, 0, 1})[0]));
}

TEST_CASE("fma rounds once in every arithmetic float") {
  // a*b is one quantum past a tie of the result; rounding the product first loses it.
  for (DType t : {dt::f16_, dt::bf16_, dt::f32_}) {
    double quantum = std::ldexp(1.0, -t.man);
    HostTensor a = values(t, {1}, {1 + quantum}), b = values(t, {1}, {1 + quantum}),
               c = values(t, {1}, {-(1 + 2 * quantum)}), r(t, {1});
    auto o = run(fmt::format("kernel k(a: in {0}[1], b: in {0}[1], c: in {0}[1], r: out {0}[1]) "
                             "grid(1) warps(1)\n{{\n store (fma (load a[0:+1]), (load b[0:+1]), "
                             "(load c[0:+1])), r[0:+1]\n}}",
                             dtype_name(t)),
                 {a, b, c, r});
    CHECK(error_of(o) == "");
    CHECK(r.value(0) == quantum * quantum);
  }
}

TEST_CASE("cast between all types: naive and fast agree") {
  std::mt19937_64 random(2);
  int cases = 0;
  for (DType from : all_dtypes())
    for (DType to : all_dtypes()) {
      std::vector<HostTensor> in{random_tensor(from, {300}, random)};
      std::string text = fmt::format(
          "kernel k(a: in {0}, r: out {1}) grid(1) warps(4)\n{{\n    store (cast (load a[0:+300]) "
          ": {2}), r[0:+300]\n}}\n",
          type_of(from, "300"), type_of(to, "300"), dtype_name(to));
      check_paths_agree(text, in, HostTensor(to, {300}));
      ++cases;
    }
  CHECK(cases >= 40 * 40);
}

TEST_CASE("broadcasting in every pattern, alone and in a chain") {
  std::mt19937_64 random(3);
  const char* shapes[] = {"6,1,10", "1,7,1", "7,10", "1", "6,7,10", "10", "6,1,1"};
  for (const char* p : shapes)
    for (const char* q : shapes) {
      auto dims = [](std::string s) {
        std::vector<int64_t> d;
        for (size_t at = 0; at < s.size();
             at = s.find(',', at) == std::string::npos ? s.size() : s.find(',', at) + 1)
          d.push_back(std::stoll(s.substr(at)));
        return d;
      };
      auto ranges = [&](const char* s) {
        std::string r;
        for (int64_t d : dims(s)) r += fmt::format("{}0:+{}", r.empty() ? "" : ",", d);
        return r;
      };
      HostTensor a = random_tensor(dt::f32_, dims(p), random, true),
                 b = random_tensor(dt::f32_, dims(q), random, true),
                 c = random_tensor(dt::u4_, {6, 7, 10}, random), r(dt::f32_, {6, 7, 10});
      // A group of several: casts of another type, an intermediate that is stored, one that is not.
      std::string text = fmt::format(R"(
kernel k(a: in f32[{0}], b: in f32[{1}], c: in u4[6,7,10], r: out f32[6,7,10]) grid(1) warps(4)
{{
    %a = load a[{2}]
    %b = load b[{3}]
    %c = load c[0:+6,0:+7,0:+10]
    %f = cast %c : f32
    %s = sub %f, %a
    %m = mul %s, %b
    %t = add %m, %f
    %m = sub %t, %m
    store %m, r[0:+6,0:+7,0:+10]
}})",
                                     p, q, ranges(p), ranges(q));
      auto o = run(text, {a, b, c, r});
      REQUIRE(error_of(o) == "");
      auto element = [&](const HostTensor& t, int64_t i, int64_t j, int64_t k) {
        int64_t at[3] = {i, j, k}, linear = 0;
        size_t rank = t.shape.size();
        for (size_t d = 0; d < rank; ++d)
          linear = linear * t.shape[d] + (t.shape[d] == 1 ? 0 : at[3 - rank + d]);
        return static_cast<float>(t.value(linear));
      };
      for (int64_t i = 0; i < 6; ++i)
        for (int64_t j = 0; j < 7; ++j)
          for (int64_t k = 0; k < 10; ++k) {
            float f = element(c, i, j, k), m = (f - element(a, i, j, k)) * element(b, i, j, k),
                  t = m + f;
            REQUIRE(static_cast<float>(r.value((i * 7 + j) * 10 + k)) == t - m);
          }
    }
}

TEST_CASE("strips: long fused chains with in-place names agree with the unfused path") {
  std::mt19937_64 random(4);
  const char* text = R"(
kernel k(a: in i8[5000], b: in f16[50], r: out f32[50,100], q: out i8[5000]) grid(1) warps(4)
{
    %a = load a[0:+5000]
    %b = load b[0:+50]
    %x = reshape %a : i8[50,100]
    %x = add %x, %x
    %w = cast %x : f32
    %h = cast (unsqueeze %b, 1) : f32
    %w = fma %w, %h, 0.25
    %n = cast (cast %w : f16) : i8
    %w = add %w, (cast %n : f32)
    store %w, r[0:+50,0:+100]
    store (reshape %n : i8[5000]), q[0:+5000]
})";
  HostTensor a = random_tensor(dt::i8_, {5000}, random),
             b = random_tensor(dt::f16_, {50}, random, true);
  HostTensor r1(dt::f32_, {50, 100}), q1(dt::i8_, {5000}), r2 = r1, q2 = q1;
  CHECK(error_of(run(text, {a, b, r1, q1}, naive_options())) == "");
  CHECK(error_of(run(text, {a, b, r2, q2})) == "");
  CHECK(same(r1, r2));
  CHECK(same(q1, q2));
}

TEST_CASE("random elementwise chains: fused and unfused agree") {
  // Every operand pattern, temporaries that die at every distance, types of every size.
  std::mt19937_64 random(40);
  for (int trial = 0; trial < 150; ++trial) {
    auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
    const char* types[] = {"i8", "f32", "f16", "i32", "u8", "i64"};
    struct Name {
      std::string name, type;
      bool whole;
    };
    std::vector<Name> names = {{"%a", "i8", true},   {"%b", "f32", true}, {"%c", "f16", false},
                               {"%d", "f32", false}, {"%e", "i32", true}, {"%f", "i8", false}};
    std::string body;
    for (int i = 0; i < 25; ++i) {
      std::string name = pick(4) == 0 ? fmt::format("%v{}", pick(6)) : fmt::format("%w{}", i);
      std::vector<Name> same_type;
      const Name x = names[pick(names.size())];
      for (const Name& n : names)
        if (n.type == x.type) same_type.push_back(n);
      const Name y = same_type[pick(same_type.size())];
      std::string type = x.type, text;
      bool whole = x.whole || y.whole;
      switch (pick(6)) {
        case 0:
          type = types[pick(6)];
          text = fmt::format("cast {} : {}", x.name, type);
          whole = x.whole;
          break;
        case 1:
          text = fmt::format("add {}, {}", x.name, type[0] == 'f' ? "1.5" : "3");
          whole = x.whole;
          break;
        case 2:
          text = fmt::format("select (lt {0}, {1}), {1}, {0}", x.name, y.name);
          break;
        case 3:
          text = fmt::format("mul {}, {}", x.name, y.name);
          break;
        case 4:
          text = fmt::format("sub (neg {}), {}", y.name, x.name);
          break;
        default:
          text = fmt::format("max {}, {}", x.name, y.name);
          break;
      }
      if (!whole) continue;
      // A name keeps its type: one assigned before with another type gets a new name.
      for (const Name& n : names)
        if (n.name == name && n.type != type) name = fmt::format("%x{}", i);
      body += fmt::format("    {} = {}\n", name, text);
      std::erase_if(names, [&](const Name& n) { return n.name == name; });
      names.push_back({name, type, true});
    }
    std::string out;
    for (const Name& n : names)
      if (n.whole) out += fmt::format("    %s = add %s, (cast {} : f64)\n", n.name);
    std::string text = fmt::format(R"(
kernel k(a: in i8[9,70], b: in f32[9,70], c: in f16[9,1], d: in f32[70], e: in i32[9,70], f: in i8[1,1], r: out f64[9,70]) grid(1) warps(4)
{{
    %a = load a[:,:]; %b = load b[:,:]; %c = load c[:,:]; %d = load d[:]; %e = load e[:,:]; %f = load f[:,:]
{}    %s = fill 0.0 : f64[9,70]
{}    store %s, r[:,:]
}})",
                                   body, out);
    std::vector<HostTensor> in{random_tensor(dt::i8_, {9, 70}, random, true),
                               random_tensor(dt::f32_, {9, 70}, random, true),
                               random_tensor(dt::f16_, {9, 1}, random, true),
                               random_tensor(dt::f32_, {70}, random, true),
                               random_tensor(dt::i32_, {9, 70}, random, true),
                               random_tensor(dt::i8_, {1, 1}, random, true)};
    check_paths_agree(text, in, HostTensor(dt::f64_, {9, 70}));
  }
}

TEST_CASE("shape instructions against index arithmetic") {
  HostTensor x(dt::i32_, {4, 6}), r(dt::i32_, {200});
  for (int i = 0; i < 24; ++i) x.set_value(i, i);
  auto eval = [&](const std::string& body, const std::string& shape, int64_t n) {
    HostTensor out(dt::i32_, {n});
    auto o = run(fmt::format("kernel k(x: in i32[4,6], r: out i32[{}]) grid(1) warps(1)\n{{\n %x = "
                             "load x[:,:]\n {}\n store (reshape %r : i32[{}]), r[0:+{}]\n}}",
                             n, body, n, n),
                 {x, out});
    CHECK_MESSAGE(error_of(o) == "", body);
    std::vector<int> v;
    for (int64_t i = 0; i < n; ++i) v.push_back(static_cast<int>(out.value(i)));
    return v;
  };
  auto t = eval("%r = transpose %x", "", 24);
  for (int i = 0; i < 24; ++i) REQUIRE(t[static_cast<size_t>(i)] == i % 4 * 6 + i / 4);
  // The same name on both sides, which overlaps.
  auto u = eval("%x = reshape %x : i32[4,6]; %s = slice %x[0:+4,0:+4]; %s = transpose %s; %r = %s",
                "", 16);
  for (int i = 0; i < 16; ++i) REQUIRE(u[static_cast<size_t>(i)] == i % 4 * 6 + i / 4);
  auto p = eval("%y = reshape %x : i32[2,2,6]; %r = transpose %y {perm(2,0,1)}", "", 24);
  for (int i = 0; i < 24; ++i) REQUIRE(p[static_cast<size_t>(i)] == (i % 4) * 6 + i / 4);
  auto c = eval("%a = slice %x[:,1:+2]; %b = slice %x[:,5:+1]; %r = concat %a, %b {dim 1}", "", 12);
  for (int i = 0; i < 12; ++i)
    REQUIRE(c[static_cast<size_t>(i)] == i / 3 * 6 + (i % 3 == 2 ? 5 : 1 + i % 3));
  auto n = eval("%r = insert %x[1:+2,2:+3], (neg (slice %x[0:+2,0:+3]))", "", 24);
  for (int i = 0; i < 24; ++i) {
    int row = i / 6, col = i % 6;
    bool inside = row >= 1 && row < 3 && col >= 2 && col < 5;
    REQUIRE(n[static_cast<size_t>(i)] == (inside ? -((row - 1) * 6 + col - 2) : i));
  }
  auto e = eval("%r = repeat (slice %x[1:+1,:]) {count 3}", "", 18);
  for (int i = 0; i < 18; ++i) REQUIRE(e[static_cast<size_t>(i)] == 6 + i / 3);
  auto g = eval("%r = repeat %x {dim 0, count 2}", "", 48);
  for (int i = 0; i < 48; ++i) REQUIRE(g[static_cast<size_t>(i)] == i / 12 * 6 + i % 6);
  auto b = eval("%r = broadcast (slice %x[:,2:+1]) : i32[2,4,3]", "", 24);
  for (int i = 0; i < 24; ++i) REQUIRE(b[static_cast<size_t>(i)] == i / 3 % 4 * 6 + 2);
}

TEST_CASE("pack and unpack follow the bit stream") {
  std::mt19937_64 random(5);
  struct Pair {
    DType narrow, wide;
  };
  for (Pair p : {Pair{dt::u4_, dt::u8_},
                 {dt::i3_, dt::u8_},
                 {dt::u1_, dt::u32_},
                 {dt::i5_, dt::u16_},
                 {dt::u6_, dt::u4_},
                 {dt::f16_, dt::u32_},
                 {dt::u8_, dt::u64_}}) {
    int64_t narrow_n = 3 * 64, wide_n = narrow_n * p.narrow.bits / p.wide.bits;
    HostTensor a = random_tensor(p.narrow, {5, narrow_n}, random), w(p.wide, {5, wide_n}),
               back(p.narrow, {5, narrow_n});
    std::string text = fmt::format(
        "kernel k(a: in {0}[5,{2}], w: out {1}[5,{3}], b: out {0}[5,{2}]) grid(1) warps(1)\n{{\n "
        "%a = load a[:,:]\n %w = pack %a : {1}\n store %w, w[:,:]\n store (unpack %w : {0}), "
        "b[:,:]\n}}",
        dtype_name(p.narrow), dtype_name(p.wide), narrow_n, wide_n);
    CHECK(error_of(run(text, {a, w, back})) == "");
    for (int64_t row = 0; row < 5; ++row)
      for (int64_t i = 0; i < wide_n; ++i) {
        uint64_t bits = 0;
        for (int b = 0; b < p.wide.bits; ++b) {
          int64_t bit = i * p.wide.bits + b;
          bits |= (a.at(row * narrow_n + bit / p.narrow.bits) >> (bit % p.narrow.bits) & 1) << b;
        }
        REQUIRE(w.at(row * wide_n + i) == bits);
      }
    CHECK(same(a, back));
  }
}

namespace {

// The tree that splits at the largest power of two below n.
template <class F>
uint64_t pairwise(const std::vector<uint64_t>& v, size_t first, size_t n, F f) {
  if (n == 1) return v[first];
  size_t half = 1;
  while (half * 2 < n) half *= 2;
  return f(pairwise(v, first, half, f), pairwise(v, first + half, n - half, f));
}

}  // namespace

TEST_CASE("reductions are the pairwise tree along every dimension") {
  std::mt19937_64 random(6);
  for (DType t : {dt::f32_, dt::f16_, dt::f64_, dt::i32_, dt::u5_, dt::bf16_, dt::i64_})
    for (auto shape :
         {std::vector<int64_t>{3, 37, 5}, {1, 1, 577}, {130, 1, 3}, {2, 96, 20}, {9, 64, 1}})
      for (int dim = 0; dim < 4; ++dim)  // 3: all
        for (const char* op : {"add", "mul", "min", "max"}) {
          HostTensor x = random_tensor(t, shape, random, true);
          std::vector<int64_t> kept = shape;
          for (int d = 0; d < 3; ++d)
            if (d == dim || dim == 3) kept[static_cast<size_t>(d)] = 1;
          HostTensor r(t, kept), naive = r;
          std::string text = fmt::format(
              "kernel k(x: in {0}[{1},{2},{3}], r: out {0}[{4},{5},{6}]) grid(1) warps(1)\n{{\n %x "
              "= load x[:,:,:]\n %r = reduce.{7} %x {{{8}keep}}\n store %r, r[:,:,:]\n}}",
              dtype_name(t), shape[0], shape[1], shape[2], kept[0], kept[1], kept[2], op,
              dim < 3 ? fmt::format("dim {}, ", dim) : "");
          REQUIRE(error_of(run(text, {x, r})) == "");
          REQUIRE(error_of(run(text, {x, naive}, naive_options())) == "");
          REQUIRE_MESSAGE(same(r, naive), text);
          auto f = [&](uint64_t a, uint64_t b) -> uint64_t {
            if (op[1] == 'i')
              return x.type.is_float() ? (decode_float(t, a) < decode_float(t, b) ? a : b)
                                       : (decode_int(t, a) < decode_int(t, b) ? a : b);
            if (op[1] == 'a')
              return x.type.is_float() ? (decode_float(t, a) > decode_float(t, b) ? a : b)
                                       : (decode_int(t, a) > decode_int(t, b) ? a : b);
            if (t.is_float()) return arith_code(t, op[0] == 'a' ? '+' : '*', a, b);
            uint64_t v = op[0] == 'a' ? a + b : a * b;
            return t.bits == 64 ? v : v & ((1ull << t.bits) - 1);
          };
          for (int64_t o = 0; o < r.elements(); ++o) {
            std::vector<uint64_t> lane;
            if (dim == 3)
              for (int64_t i = 0; i < x.elements(); ++i) lane.push_back(x.at(i));
            else {
              int64_t inner = 1;
              for (int d = dim + 1; d < 3; ++d) inner *= shape[static_cast<size_t>(d)];
              int64_t n = shape[static_cast<size_t>(dim)];
              for (int64_t i = 0; i < n; ++i)
                lane.push_back(x.at((o / inner * n + i) * inner + o % inner));
            }
            uint64_t want = pairwise(lane, 0, lane.size(), f);
            REQUIRE(canonical(t, r.at(o)) == canonical(t, want));
          }
        }
}

TEST_CASE("scans: element i is the reduction of what comes before") {
  std::mt19937_64 random(7);
  for (DType t : {dt::f32_, dt::f16_, dt::i32_, dt::u4_})
    for (int dim : {0, 1})
      for (bool exclusive : {false, true})
        for (bool reverse : {false, true}) {
          HostTensor x = random_tensor(t, {13, 21}, random, true), r(t, {13, 21}), naive = r;
          std::string text = fmt::format(
              "kernel k(x: in {0}[13,21], r: out {0}[13,21]) grid(1) warps(1)\n{{\n store "
              "(scan.add (load x[:,:]) {{dim {1}{2}{3}}}), r[:,:]\n}}",
              dtype_name(t), dim, exclusive ? ", exclusive" : "", reverse ? ", reverse" : "");
          REQUIRE(error_of(run(text, {x, r})) == "");
          REQUIRE(error_of(run(text, {x, naive}, naive_options())) == "");
          REQUIRE(same(r, naive));
          auto f = [&](uint64_t a, uint64_t b) -> uint64_t {
            return t.is_float() ? arith_code(t, '+', a, b)
                                : (a + b) & (t.bits == 32 ? 0xffffffffull : 15);
          };
          int64_t n = dim ? 21 : 13, lanes = dim ? 13 : 21;
          for (int64_t lane = 0; lane < lanes; ++lane)
            for (int64_t i = 0; i < n; ++i) {
              auto index = [&](int64_t k) { return dim ? lane * 21 + k : k * 21 + lane; };
              std::vector<uint64_t> before;
              for (int64_t k = 0; k <= i; ++k)
                before.push_back(x.at(index(reverse ? n - 1 - k : k)));
              if (exclusive) before.pop_back();
              uint64_t want = before.empty() ? 0 : pairwise(before, 0, before.size(), f);
              REQUIRE(r.at(index(reverse ? n - 1 - i : i)) == want);
            }
        }
}

TEST_CASE("sort, topk, argmin and argmax: stable, lowest index first, NaN last") {
  std::mt19937_64 random(8);
  for (DType t : {dt::f32_, dt::i32_, dt::u3_, dt::bf16_, dt::i64_})
    for (bool descending : {false, true}) {
      HostTensor x = random_tensor(t, {5, 40}, random), s(t, {5, 40}), i(dt::i32_, {5, 40}),
                 k(t, {5, 7}), ki(dt::i32_, {5, 7}), arg(dt::i32_, {5});
      std::string text =
          fmt::format(R"(
kernel k(x: in {0}[5,40], s: out {0}[5,40], i: out i32[5,40], k: out {0}[5,7], ki: out i32[5,7], g: out i32[5]) grid(1) warps(1)
{{
    %x = load x[:,:]
    %s, %i = sort %x{1}
    store %s, s[:,:]
    store %i, i[:,:]
    %k, %ki = topk %x {{count 7, {2}}}
    store %k, k[:,:]
    store %ki, ki[:,:]
    store (reduce.{3} %x {{dim 1}}), g[:]
}})",
                      dtype_name(t), descending ? " {descending}" : "",
                      descending ? "largest" : "smallest", descending ? "argmax" : "argmin");
      REQUIRE(error_of(run(text, {x, s, i, k, ki, arg})) == "");
      for (int64_t row = 0; row < 5; ++row) {
        std::vector<int64_t> order(40);
        for (int64_t c = 0; c < 40; ++c) order[static_cast<size_t>(c)] = c;
        auto nan = [&](int64_t c) { return is_nan_code(t, x.at(row * 40 + c)); };
        auto value = [&](int64_t c) {
          return t.is_float() ? static_cast<long double>(x.value(row * 40 + c))
                              : static_cast<long double>(decode_int(t, x.at(row * 40 + c)));
        };
        std::stable_sort(order.begin(), order.end(), [&](int64_t p, int64_t q) {
          if (nan(p) || nan(q)) return !nan(p) && nan(q);
          return descending ? value(p) > value(q) : value(p) < value(q);
        });
        for (int64_t c = 0; c < 40; ++c) {
          REQUIRE(static_cast<int64_t>(i.value(row * 40 + c)) == order[static_cast<size_t>(c)]);
          REQUIRE(s.at(row * 40 + c) == x.at(row * 40 + order[static_cast<size_t>(c)]));
          if (c < 7) REQUIRE(ki.value(row * 7 + c) == i.value(row * 40 + c));
          if (c < 7) REQUIRE(k.at(row * 7 + c) == s.at(row * 40 + c));
        }
        REQUIRE(static_cast<int64_t>(arg.value(row)) == order[0]);
      }
    }
}

TEST_CASE("mma: one fused multiply-add after another over k, on odd sizes") {
  std::mt19937_64 random(9);
  struct Sizes {
    int64_t m, n, k;
  };
  for (Sizes z :
       {Sizes{7, 19, 33}, {1, 64, 300}, {13, 1, 5}, {64, 64, 64}, {6, 130, 17}, {70, 2, 40}}) {
    HostTensor a = random_tensor(dt::f32_, {z.m, z.k}, random, true),
               b = random_tensor(dt::f32_, {z.k, z.n}, random, true),
               c = random_tensor(dt::f32_, {z.m, z.n}, random, true), r(dt::f32_, {z.m, z.n}),
               naive = r;
    std::string text = fmt::format(
        "kernel k(a: in f32[{0},{2}], b: in f32[{2},{1}], c: in f32[{0},{1}], r: out f32[{0},{1}]) "
        "grid(1) warps(1)\n{{\n store (mma (load a[:,:]), (load b[:,:]), (load c[:,:])), "
        "r[:,:]\n}}",
        z.m, z.n, z.k);
    REQUIRE(error_of(run(text, {a, b, c, r})) == "");
    REQUIRE(error_of(run(text, {a, b, c, naive}, naive_options())) == "");
    REQUIRE(same(r, naive));
    for (int64_t i = 0; i < z.m; ++i)
      for (int64_t j = 0; j < z.n; ++j) {
        float sum = static_cast<float>(c.value(i * z.n + j));
        for (int64_t p = 0; p < z.k; ++p)
          sum = std::fma(static_cast<float>(a.value(i * z.k + p)),
                         static_cast<float>(b.value(p * z.n + j)), sum);
        REQUIRE(static_cast<float>(r.value(i * z.n + j)) == sum);
      }
  }
}

TEST_CASE("mma and dot on every type pair: naive and fast agree") {
  std::mt19937_64 random(10);
  std::vector<std::array<DType, 3>> triples = {{dt::f16_, dt::f16_, dt::f16_},
                                               {dt::f16_, dt::f16_, dt::f32_},
                                               {dt::bf16_, dt::bf16_, dt::f32_},
                                               {dt::tf32_, dt::tf32_, dt::f32_},
                                               {dt::f32_, dt::f32_, dt::f32_},
                                               {dt::f64_, dt::f64_, dt::f64_},
                                               {dt::e4m3_, dt::e5m2_, dt::f32_},
                                               {dt::e4m3_, dt::e4m3_, dt::f16_},
                                               {*find_dtype("e2m1"), *find_dtype("e3m2"), dt::f32_},
                                               {dt::i8_, dt::u8_, dt::i32_},
                                               {dt::i4_, dt::u3_, dt::i32_}};
  for (auto [a, b, acc] : triples)
    for (const char* attr : {"", " {promote 8}"}) {
      std::vector<HostTensor> in{random_tensor(a, {2, 9, 21}, random, true),
                                 random_tensor(b, {2, 21, 35}, random, true),
                                 random_tensor(acc, {2, 9, 35}, random, true)};
      check_paths_agree(
          fmt::format("kernel k(a: in {0}[2,9,21], b: in {1}[2,21,35], c: in {2}[2,9,35], r: out "
                      "{2}[2,9,35]) grid(1) warps(1)\n{{\n %a = load a[:,:,:]; %b = load b[:,:,:]; "
                      "%c = load c[:,:,:]\n %c = mma %a, %b, %c{3}\n store %c, r[:,:,:]\n}}",
                      dtype_name(a), dtype_name(b), dtype_name(acc), attr),
          in, HostTensor(acc, {2, 9, 35}));
      if (attr[0]) continue;
      std::vector<HostTensor> rows{random_tensor(a, {70, 21}, random, true),
                                   random_tensor(b, {70, 21}, random, true),
                                   random_tensor(acc, {70}, random, true)};
      check_paths_agree(
          fmt::format(
              "kernel k(a: in {0}[70,21], b: in {1}[70,21], c: in {2}[70], r: out {2}[70]) grid(1) "
              "warps(1)\n{{\n store (dot (load a[:,:]), (load b[:,:]), (load c[:])), r[:]\n}}",
              dtype_name(a), dtype_name(b), dtype_name(acc)),
          rows, HostTensor(acc, {70}));
    }
}

TEST_CASE("lookup, table, iota, fill, philox, extract") {
  HostTensor r(dt::f32_, {40}), w(dt::u32_, {9});
  const char* text = R"(
kernel k(r: out f32[40], w: out u32[9]) grid(1) warps(1)
{
    %t = table 1.5, -2.0, 4.0, 8.0 : f32[4]
    %i = iota {dim 0} : i32[10]
    %x = lookup (and %i, 3), %t
    store %x, r[0:+10]
    %v = table 0.0, 1.0, 2.0, 3.0, 4.0, 5.0 : f32[3,2]
    %y = lookup (rem (iota : i32[5]), 3), %v
    store (reshape %y : f32[10]), r[10:+10]
    store (fill (extract %v, 2, 1) : f32[10]), r[20:+10]
    store (cast (reshape (iota {dim 0} : i32[5,2]) : i32[10]) : f32), r[30:+10]
    store (rand.philox 0x0123456789abcdef, 7 : u32[9]), w[0:+9]
})";
  REQUIRE(error_of(run(text, {r, w})) == "");
  float table[4] = {1.5, -2, 4, 8};
  for (int i = 0; i < 10; ++i) {
    CHECK(r.value(i) == table[i & 3]);
    CHECK(r.value(10 + i) == i / 2 % 3 * 2 + i % 2);
    CHECK(r.value(20 + i) == 5);
    CHECK(r.value(30 + i) == i / 2);
  }
  // Against the definition, written out anew.
  for (uint32_t n = 0; n < 9; ++n) {
    uint64_t counter[2] = {7 + n / 4, 0};
    uint32_t c[4] = {static_cast<uint32_t>(counter[0]), 0, 0, 0}, key[2] = {0x89abcdef, 0x01234567};
    for (int i = 0; i < 10; ++i) {
      uint64_t a = 0xD2511F53ull * c[0], b = 0xCD9E8D57ull * c[2];
      uint32_t x[4] = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
                       static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
      std::copy(x, x + 4, c);
      key[0] += 0x9E3779B9, key[1] += 0xBB67AE85;
    }
    CHECK(w.at(n) == c[n % 4]);
  }
}
