// Elementwise instructions of every type, compiled and simulated, against the interpreter.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/unit/lowered_harness.h"

using namespace tess;
using namespace tess::test;

namespace {

std::string shape_text(const std::vector<int64_t>& s) {
  std::string out;
  for (int64_t d : s) out += (out.empty() ? "" : ",") + std::to_string(d);
  return "[" + out + "]";
}
std::string whole(const std::vector<int64_t>& s) {
  std::string out;
  for (int64_t d : s) out += (out.empty() ? "0:+" : ",0:+") + std::to_string(d);
  return "[" + out + "]";
}

struct Expression {
  std::string text;  // of %a %b %c, %d (a divisor that is not 0), %n (shift counts), %p (bool)
  DType out;
};

std::vector<Expression> expressions(DType t) {
  std::vector<Expression> out;
  auto add = [&](std::initializer_list<const char*> texts, DType type) {
    for (const char* text : texts) out.push_back({text, type});
  };
  bool arith_float = t.is_arith_float();
  if (t.is_int() || arith_float)
    add({"add %a, %b", "sub %a, %b", "mul %a, %b", "fma %a, %b, %c", "min %a, %b", "max %a, %b",
         "min %a, %b {nan}", "max %a, %b {nan}", "clamp %a, %b, %c", "div %a, %d"},
        t);
  if (t.is_arith_float() || (t.is_int() && t.bits > 1)) add({"add %a, 1", "sub 1, %a"}, t);
  if (t.is_int())
    add({"mulhi %a, %b", "rem %a, %d", "shl %a, %n", "shr %a, %n", "popc %a", "shl %a, 1",
         "shr %a, 3"},
        t);
  if (t.is_int() || t.is_bool()) add({"and %a, %b", "or %a, %b", "xor %a, %b", "not %a"}, t);
  if (!t.is_bool() && t.kind != Kind::scale) add({"neg %a", "abs %a"}, t);
  if (arith_float) add({"floor %a", "ceil %a", "round %a", "trunc %a", "sqrt %a"}, t);
  add({"select %p, %a, %b"}, t);
  add({"eq %a, %b", "ne %a, %b"}, dt::bool_);
  if (!t.is_bool() && t.kind != Kind::scale)
    add({"lt %a, %b", "le %a, %b", "gt %a, %b", "ge %a, %b"}, dt::bool_);
  return out;
}

struct Setup {
  std::vector<int64_t> shape, b_shape;
  int warps = 1, arch = 80;
};

std::string check(DType t, const Setup& s, std::mt19937_64& random) {
  std::string name = dtype_name(t);
  HostTensor a = random_tensor(t, s.shape, random), b = random_tensor(t, s.b_shape, random),
             c = random_tensor(t, s.shape, random), n(dt::u8_, s.shape),
             p = random_tensor(dt::bool_, s.shape, random);
  for (int64_t i = 0; i < n.elements(); ++i) n.set(i, random() % (t.bits + 4u));
  if (t.is_signed()) {
    a.set(0, uint64_t{1} << (t.bits - 1));
    b.set(0, t.bits == 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1);
  }
  for (int64_t i = 0; i < b.elements() && i < a.elements(); i += 5) a.set(i, b.at(i));
  std::string in = shape_text(s.shape);
  std::string head =
      fmt::format("kernel k(a: in {0}{1}, b: in {0}{2}, c: in {0}{1}, n: in u8{1}, p: in bool{1}",
                  name, in, shape_text(s.b_shape));
  std::string body = fmt::format(
      "    %a = load a{0}; %b = load b{1}; %c = load c{0}; %n = load n{0}; %p = load p{0}\n",
      whole(s.shape), whole(s.b_shape), whole(s.shape));
  if (t.is_int()) body += t.bits > 1 ? "    %d = or %b, 1\n" : "    %z = xor %b, %b; %d = not %z\n";
  else if (t.is_arith_float()) body += "    %d = %b\n";
  std::vector<Expression> all = expressions(t);
  std::vector<HostTensor> outs;
  for (const Expression& e : all) outs.emplace_back(e.out, s.shape);
  std::vector<Arg> args{a, b, c, n, p};
  for (size_t i = 0; i < all.size(); ++i) {
    head += fmt::format(", o{}: out {}{}", i, dtype_name(all[i].out), in);
    body += fmt::format("    store ({}), o{}{}\n", all[i].text, i, whole(s.shape));
    args.push_back(outs[i]);
  }
  LoweredOptions options;
  options.arch = s.arch;
  return differs(head + fmt::format(")\n    grid(1) warps({})\n{{\n{}}}\n", s.warps, body), args,
                 options);
}

}  // namespace

TEST_CASE("elementwise instructions of every type agree with the interpreter") {
  std::mt19937_64 random(7);
  for (DType t : all_dtypes()) {
    if (t.kind == Kind::none) continue;
    bool unusual = t.bits < 16 && t.bits != 8 && t.bits != 3 && t.bits != 4;
    unusual |= t.is_small_float() && dtype_name(t) != "e4m3" && dtype_name(t) != "e2m1";
    CAPTURE(dtype_name(t));
    CHECK(check(t, {{64}, {64}, 1, 80}, random) == "");
    if (unusual) continue;
    CHECK(check(t, {{7, 33}, {33}, 4, 80}, random) == "");
    CHECK(check(t, {{8, 128}, {8, 1}, 4, 901}, random) == "");
  }
}

TEST_CASE("scalars compute like tiles") {
  for (DType t : {dt::i32_, dt::u8_, dt::i16_, dt::f16_, dt::bf16_, dt::f32_, dt::f64_, dt::i64_}) {
    std::string name = dtype_name(t);
    HostTensor a = values(t, {4}, {9, 5, 3, 2}), o(t, {8}), q(dt::bool_, {4});
    std::string text = fmt::format(
        "kernel k(s: {0}, a: in {0}[4], o: out {0}[8], q: out bool[4])\n    grid(1) warps(2)\n{{\n"
        "    %x = load a[0] : {0}; %y = load a[1] : {0}\n"
        "    %z = %x * %y + s; store %z, o[0]; store (%x - %y), o[1]; store (div %x, %y), o[2]\n"
        "    store (max (neg %x), %y), o[3]\n"
        "    %t = load a[0:+4]; store (mul %t, s), o[4:+4]\n"
        "    store (gt %t, %y), q[0:+4]\n}}\n",
        name);
    uint64_t s = cast_code(t, dt::i64_, 3);
    Arg scalar(0);
    scalar.scalar = s;
    CAPTURE(name);
    CHECK(differs(text, {scalar, a, o, q}) == "");
  }
}
