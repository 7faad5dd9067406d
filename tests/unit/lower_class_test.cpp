// Making, shaping and reducing tiles, compiled and simulated, against the interpreter.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/unit/lowered_harness.h"

using namespace tess;
using namespace tess::test;

namespace {

std::string kernel(const std::string& params, int warps, const std::string& body) {
  return fmt::format("kernel k({})\n    grid(1) warps({})\n{{\n{}}}\n", params, warps, body);
}

const std::vector<DType> kSome = {dt::bool_, dt::i32_, dt::u8_,  dt::i16_, dt::f16_,
                                  dt::bf16_, dt::f32_, dt::f64_, dt::i64_};

}  // namespace

TEST_CASE("fill, iota, random numbers, tables and single elements") {
  for (int warps : {1, 4}) {
    for (DType t : kSome) {
      if (t.is_bool()) continue;
      HostTensor o(t, {6, 40}), p(t, {6, 40}), q(t, {6, 40}), s(t, {4}),
          a = values(t, {6, 40}, {1, 2, 3, 4, 5, 6, 7});
      std::string text = kernel(
          fmt::format("i: i32, a: in {0}[6,40], o: out {0}[6,40], p: out {0}[6,40], q: out "
                      "{0}[6,40], s: out {0}[4]",
                      dtype_name(t)),
          warps,
          fmt::format(
              "    store (fill 3 : {0}[6,40]), o[:,:]; store (iota : {0}[6,40]), p[:,:]\n"
              "    store (iota : {0}[6,40] {{dim 0}}), q[:,:]; %a = load a[:,:]; %b = add %a, 1\n"
              "    %j = i + 1; %x = extract %b, 5, 39; store %x, s[0]; %y = extract %b, i, %j; "
              "store %y, s[1]\n"
              "    %t = table 1, 2, 3 : {0}[3]; store %t, s[1:+3] where (lt (iota : i32[3]), 0)\n"
              "    %z = extract (table 7, 9 : {0}[2]), 1; store %z, s[2]; store %z, s[3]\n",
              dtype_name(t)));
      CAPTURE(dtype_name(t));
      CHECK(differs(text, {2, a, o, p, q, s}) == "");
    }
    HostTensor r(dt::u32_, {3, 20}), v(dt::u32_, {128});
    CHECK(differs(kernel("s: u64, r: out u32[3,20], v: out u32[128]", warps,
                         "    %r = rand.philox s, 7 : u32[3,20]; store %r, r[:,:]\n"
                         "    %v = rand.philox 5, s : u32[128]; store %v, v[:]\n"),
                  {123456789, r, v}) == "");
  }
}

TEST_CASE("register tiles under other shapes") {
  std::mt19937_64 random(3);
  for (int warps : {1, 4})
    for (DType t : kSome) {
      std::string n = dtype_name(t);
      HostTensor a = random_tensor(t, {8, 24}, random), b = random_tensor(t, {8, 24}, random),
                 c = random_tensor(t, {8, 6}, random), o0(t, {16, 12}), o1(t, {24, 8}),
                 o2(t, {16, 24}), o3(t, {8, 30}), o4(t, {4, 12}), o5(t, {8, 24}), o6(t, {8, 48}),
                 o7(t, {2, 8, 24}), o8(t, {5, 7}), o9(t, {24});
      std::string params = fmt::format(
          "a: in {0}[8,24], b: in {0}[8,24], c: in {0}[8,6], o0: inout {0}[16,12], o1: inout "
          "{0}[24,8], o2: inout {0}[16,24], "
          "o3: inout {0}[8,30], o4: inout {0}[4,12], o5: inout {0}[8,24], o6: inout {0}[8,48], o7: "
          "out "
          "{0}[2,8,24], o8: inout {0}[5,7], o9: inout {0}[24]",
          n);
      CAPTURE(n);
      CHECK(differs(kernel(params, warps,
                           fmt::format("    %a = load a[:,:]; %b = load b[:,:]; %c = load c[:,:]\n"
                                       "    store (reshape %a : {0}[16,12]), o0[:,:]\n"
                                       "    store (transpose %a), o1[:,:]\n"
                                       "    store (concat %a, %b), o2[:,:]\n"
                                       "    store (concat %a, %c {{dim 1}}), o3[:,:]\n",
                                       n)),
                    {a, b, c, o0, o1, o2, o3, o4, o5, o6, o7, o8, o9}) == "");
      CHECK(
          differs(
              kernel(params, warps,
                     fmt::format(
                         "    %a = load a[:,:]; %b = load b[:,:]; %c = load c[:,:]\n"
                         "    store (slice %a[4:+4, 12:+12]), o4[:,:]\n"
                         "    %i = insert %a[2:+4, 1:+6], (slice %c[4:+4, :]); store %i, o5[:,:]\n"
                         "    store (repeat %a {{count 2}}), o6[:,:]\n"
                         "    store (broadcast %a : {0}[2,8,24]), o7[:,:,:]\n"
                         "    store (slice %b[1:+5, 3:+7]), o8[:,:]\n"
                         "    store (squeeze (unsqueeze (slice %b[3, :]), 0), 0), o9[:]\n",
                         n)),
              {a, b, c, o0, o1, o2, o3, o4, o5, o6, o7, o8, o9}) == "");
    }
}

TEST_CASE("views of tensors and shared tiles") {
  std::mt19937_64 random(4);
  for (int warps : {1, 4}) {
    HostTensor a = random_tensor(dt::f32_, {12, 16}, random), o0(dt::f32_, {5, 9}),
               o1(dt::f32_, {16, 12}), o2(dt::f32_, {4, 3, 16}), o3(dt::u16_, {4, 8}),
               o4(dt::f32_, {16, 32}), o5(dt::f32_, {8, 64});
    std::string params =
        "n: i32, m: i32, a: in f32[12,16], o0: inout f32[5,9], o1: inout f32[16,12], o2: inout "
        "f32[4,3,16], o3: inout u16[4,8], o4: inout f32[16,32], o5: inout f32[8,64]";
    std::vector<Arg> args{2, 7, a, o0, o1, o2, o3, o4, o5};
    CHECK(
        differs(
            kernel(params, warps,
                   "    %s = slice a[n:m, 9:]; store (load %s[0:+5, 0:+9]), o0[:,:]\n"
                   "    %t = transpose a; store (load %t[:,:]), o1[:,:]\n"
                   "    %r = reshape a : f32[4,3,16]; store (load %r[0:+4,0:+3,0:+16]), o2[:,:,:]\n"
                   "    %u = alias a + 16 : u16[4,8]; store (load %u[0:+4,0:+8]), o3[:,:]\n"),
            args) == "");
    CHECK(differs(kernel(params, warps,
                         "    %s = smem f32[32,16]\n    %v = iota : f32[32,16]; %w = add (mul %v, "
                         "3), (iota : f32[32,16] {dim 0})\n"
                         "    store %w, %s[:,:]; barrier\n"
                         "    %t = transpose %s; store (load %t[0:+16,0:+32]), o4[:,:]\n"
                         "    %r = reshape %s : f32[8,64]; store (load %r[0:+8,0:+64]), o5[:,:]\n"
                         "    %p = slice %s[4:+8, 2:+5]; store (load %p[1:+5, 1:+9]), o0[:,:]\n"),
                  args) == "");
  }
}

TEST_CASE("reductions along every dimension, of every kind of element") {
  std::mt19937_64 random(5);
  struct Case {
    std::vector<int64_t> shape;
    int warps, arch;
  };
  for (const Case& c : {Case{{8, 64}, 1, 80}, Case{{8, 64}, 4, 901}, Case{{6, 40}, 4, 80},
                        Case{{3, 5}, 2, 80}, Case{{64, 96}, 8, 80}})
    for (DType t : kSome) {
      std::string n = dtype_name(t), text;
      HostTensor a = random_tensor(t, c.shape, random, t.is_float());
      if (t.is_float())  // sums of small integers are exact
        for (int64_t i = 0; i < a.elements(); ++i)
          a.set_value(i, static_cast<double>(random() % 5) - 2);
      std::vector<std::string> ops;
      if (t.is_bool()) ops = {"any", "all", "and", "or", "xor"};
      else ops = {"add", "min", "max", "argmin", "argmax"};
      if (t.is_int()) ops.insert(ops.end(), {"mul", "and", "or", "xor"});
      std::vector<HostTensor> outs;
      std::string params = fmt::format("a: in {}[{},{}]", n, c.shape[0], c.shape[1]),
                  body = "    %a = load a[:,:]\n";
      for (const std::string& op : ops)
        for (int dim = -1; dim < 2; ++dim) {
          bool arg = op.starts_with("arg");
          if (arg && dim < 0) continue;
          size_t i = outs.size();
          std::string type = arg ? "i32" : n;
          if (dim < 0) {
            outs.emplace_back(arg ? dt::i32_ : t, std::vector<int64_t>{1});
            params += fmt::format(", o{}: out {}[1]", i, type);
            body += fmt::format("    %r{0} = reduce.{1} %a; store %r{0}, o{0}[0]\n", i, op);
            continue;
          }
          std::vector<int64_t> shape = c.shape;
          shape[static_cast<size_t>(dim)] = 1;
          outs.emplace_back(arg ? dt::i32_ : t, shape);
          params += fmt::format(", o{}: out {}[{},{}]", i, type, shape[0], shape[1]);
          body +=
              fmt::format("    store (reduce.{1} %a {{dim {2}, keep}}), o{0}[:,:]\n", i, op, dim);
          outs.emplace_back(arg ? dt::i32_ : t,
                            std::vector<int64_t>{c.shape[static_cast<size_t>(1 - dim)]});
          params +=
              fmt::format(", o{}: out {}[{}]", i + 1, type, c.shape[static_cast<size_t>(1 - dim)]);
          body += fmt::format("    store (reduce.{1} %a {{dim {2}}}), o{0}[:]\n", i + 1, op, dim);
        }
      std::vector<Arg> args{a};
      for (HostTensor& o : outs) args.emplace_back(o);
      LoweredOptions options;
      options.arch = c.arch;
      CAPTURE(n);
      CHECK(differs(kernel(params, c.warps, body), args, options) == "");
    }
}

TEST_CASE("products of rows") {
  std::mt19937_64 random(6);
  for (auto [x, v] : {std::pair("f16", "f32"), std::pair("f32", "f32"), std::pair("i8", "i32"),
                      std::pair("bf16", "f32")}) {
    HostTensor a = random_tensor(*find_dtype(x), {12, 64}, random, true), b = a,
               c(*find_dtype(v), {12}), o = c;
    for (int64_t i = 0; i < a.elements(); ++i)
      a.set_value(i, static_cast<double>(random() % 7) - 3),
          b.set_value(i, static_cast<double>(random() % 5) - 2);
    for (int64_t i = 0; i < c.elements(); ++i) c.set_value(i, static_cast<double>(i));
    CHECK(differs(
              kernel(fmt::format(
                         "a: in {0}[12,64], b: in {0}[12,64], c: in {1}[12], o: out {1}[12]", x, v),
                     4,
                     "    %a = load a[:,:]; %b = load b[:,:]; %c = load c[:]; store (dot %a, %b, "
                     "%c), o[:]\n"),
              {a, b, c, o}) == "");
  }
}

TEST_CASE("debugging instructions") {
  HostTensor a = values(dt::i32_, {64}, {1, 2, 3}), o(dt::i32_, {64});
  auto text = [](const std::string& line) {
    return kernel("a: in i32[64], o: out i32[64]", 2,
                  "    %a = load a[:]; " + line + "; store %a, o[:]\n");
  };
  CHECK(
      differs(
          text("assert (gt %a, 0); assume true; prefetch a[0:+64]; barrier; fence {acquire, gpu}; "
               "trace %a"),
          {a, o}) == "");
  CHECK(run_lowered(assemble(text("assert (gt %a, 1)")), {a, o}) != "");
  CHECK(run_lowered(assemble(text("trap")), {a, o}) != "");
}

TEST_CASE("scans: inclusive, exclusive, from either end") {
  std::mt19937_64 random(8);
  struct Case {
    std::vector<int64_t> shape;
    int warps;
    std::string layout;
  };
  const std::string diagonal = " #d";
  for (const Case& c : {Case{{4, 64}, 1, ""}, Case{{4, 256}, 4, ""}, Case{{6, 40}, 4, ""},
                        Case{{3, 5}, 2, ""}, Case{{128, 8}, 4, ""}, Case{{8, 32}, 1, diagonal}})
    for (DType t : {dt::i32_, dt::u8_, dt::f16_, dt::f32_, dt::f64_, dt::bool_}) {
      std::string n = dtype_name(t);
      HostTensor a = random_tensor(t, c.shape, random);
      std::vector<std::string> ops = t.is_bool() ? std::vector<std::string>{"or", "and"}
                                                 : std::vector<std::string>{"min", "max", "add"};
      bool walks = !c.layout.empty();  // long code
      if (walks && t != dt::i32_ && t != dt::f16_) continue;
      if (walks) ops.resize(1);
      if (t.is_float())
        for (int64_t i = 0; i < a.elements(); ++i)
          a.set_value(i, static_cast<double>(random() % 5) - 2);
      std::vector<HostTensor> outs;
      std::string shape = fmt::format("[{},{}]", c.shape[0], c.shape[1]);
      std::string params = fmt::format("a: in {}{}", n, shape),
                  body = "    %a = load a[:,:]" + c.layout + "\n";
      for (const std::string& op : ops)
        for (const char* how : {"dim 0", "dim 1", "dim 1, exclusive", "dim 0, reverse",
                                "dim 1, exclusive, reverse"}) {
          params += fmt::format(", o{}: out {}{}", outs.size(), n, shape);
          body += fmt::format("    store (scan.{} %a {{{}}}), o{}[:,:]\n", op, how, outs.size());
          outs.emplace_back(t, c.shape);
        }
      std::vector<Arg> args{a};
      for (HostTensor& o : outs) args.emplace_back(o);
      CAPTURE(n);
      // Coordinates of the second dimension also depend on those of the first: no mixed radix.
      std::string head = c.layout.empty() ? ""
                                          : "layout #d = {reg:[(1,0),(2,0),(4,0)] "
                                            "lane:[(1,1),(2,2),(4,4),(0,8),(0,16)] -> 8,32}\n";
      CHECK(differs(head + kernel(params, c.warps, body), args) == "");
    }
}

TEST_CASE("sorting and the largest elements, with their places") {
  std::mt19937_64 random(9);
  for (int warps : {1, 4})
    for (DType t : {dt::i32_, dt::u8_, dt::f16_, dt::f32_, dt::f64_, dt::i64_}) {
      std::string n = dtype_name(t);
      HostTensor a = random_tensor(t, {5, 48}, random), o0(t, {5, 48}), i0(dt::i32_, {5, 48}),
                 o1(t, {5, 48}), o2(t, {5, 7}), i2(dt::i32_, {5, 7}), o3(t, {2, 48}),
                 i3(dt::i32_, {2, 48});
      for (int64_t i = 0; i < a.elements(); i += 3) a.set(i, a.at(random() % 100));
      CAPTURE(n);
      CHECK(differs(
                kernel(
                    fmt::format(
                        "a: in {0}[5,48], o0: out {0}[5,48], i0: out i32[5,48], o1: out {0}[5,48], "
                        "o2: out {0}[5,7], i2: out i32[5,7], o3: out {0}[2,48], i3: out i32[2,48]",
                        n),
                    warps,
                    "    %a = load a[:,:]\n    %s, %i = sort %a; store %s, o0[:,:]; store %i, "
                    "i0[:,:]\n"
                    "    store (sort %a {dim 0, descending}), o1[:,:]\n"
                    "    %t, %j = topk %a {count 7}; store %t, o2[:,:]; store %j, i2[:,:]\n"
                    "    %u, %k = topk %a {dim 0, count 2, smallest}; store %u, o3[:,:]; store %k, "
                    "i3[:,:]\n"),
                {a, o0, i0, o1, o2, i2, o3, i3}) == "");
    }
}

TEST_CASE("the assembler accepts what the classes become") {
  for (int arch : {80, 901})
    for (const char* t : {"f32", "f64", "f16", "bf16"}) {
      std::string all = "    %a = load a[:,:]; %b = abs %a\n";
      for (const char* fn : {"exp", "exp2", "log", "log2", "sin", "cos", "tanh", "erf", "sigmoid",
                             "rsqrt", "rcp", "sqrt"})
        all += fmt::format("    %a = add %a, ({} %b)\n", fn);
      all +=
          "    %a = max (pow %b, %a), (min %a, %b {nan}); %a = div %a, (floor %b); %a = scan.add "
          "%a\n"
          "    %s, %i = sort %a; %m = reduce.max %s {dim 1, keep}; %g = reduce.argmax %s {dim 0}\n"
          "    store (add %s, %m), o[:,:]; store (add %g, (slice %i[0, :])), i[:]\n";
      std::string text =
          kernel(fmt::format("a: in {0}[8,16], o: out {0}[8,16], i: out i32[16]", t), 2, all);
      CAPTURE(t);
      CHECK(assembles(text, arch) == "");
    }
  for (const char* t : {"i8", "u4", "i32", "u64"})
    CHECK(
        assembles(
            kernel(fmt::format("a: in {0}[8,16], b: in {0}[8,16], o: out {0}[8,16]", t), 2,
                   "    %a = load a[:,:]; %b = load b[:,:]; %c = rem (div %a, %b), (mulhi %a, %b)\n"
                   "    %d = shr (shl %c, %a), %b; %e = popc (min %d, (max %a, (not %b)))\n"
                   "    %f = reduce.add %e {dim 1, keep}; %g = reduce.xor %a {dim 0, keep}\n"
                   "    store (select (lt %e, %f), (add %e, %g), (sub %a, %f)), o[:,:]\n"),
            80) == "");
}
