// Plain operations on every class, and random kernels: both back ends in the simulator against the
// host.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <bit>
#include <limits>

#include "tests/unit/backends_eval.h"
#include "tests/unit/backends_harness.h"

using namespace tess;
using namespace tess::jit;

namespace {

std::vector<uint64_t> edge_values(RegClass c) {
  switch (c) {
    case RegClass::pred:
      return {0, 1};
    case RegClass::b16:
      return {0, 1, 2, 0x7fff, 0x8000, 0xffff, 0xaaaa};
    case RegClass::b32:
      return {0, 1, 2, 7, 31, 32, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0xaaaaaaaa};
    case RegClass::b64:
      return {0,
              1,
              3,
              63,
              0xffffffff,
              0x100000000,
              0x7fffffffffffffff,
              0x8000000000000000,
              0xffffffffffffffff,
              0xaaaaaaaaaaaaaaaa,
              0x80000000};
    case RegClass::f32: {
      std::vector<uint64_t> out;
      for (float f :
           {0.f, -0.f, 1.f, -1.f, 1e-40f, 3.4e38f, std::numeric_limits<float>::infinity(),
            -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        out.push_back(std::bit_cast<uint32_t>(f));
      return out;
    }
    case RegClass::f64: {
      std::vector<uint64_t> out;
      for (double f : {0., -0., 1., -1., 1e-310, 1e308, std::numeric_limits<double>::infinity(),
                       std::numeric_limits<double>::quiet_NaN()})
        out.push_back(std::bit_cast<uint64_t>(f));
      return out;
    }
  }
  return {};
}

constexpr RegClass kClasses[] = {RegClass::pred, RegClass::b16, RegClass::b32,
                                 RegClass::b64,  RegClass::f32, RegClass::f64};
bool integer(RegClass c) { return c == RegClass::b32 || c == RegClass::b64; }

// `bits` of a b64 register as a register of the class.
Operand narrowed(BlockWriter& w, const Operand& bits, RegClass c) {
  switch (c) {
    case RegClass::pred:
      return w.value(BlockOp::ne, RegClass::pred, {bits, w.imm(0, RegClass::b64)});
    case RegClass::b16:
      return w.value(BlockOp::trunc16, RegClass::b16,
                     {w.value(BlockOp::trunc, RegClass::b32, {bits})});
    case RegClass::b32:
      return w.value(BlockOp::trunc, RegClass::b32, {bits});
    case RegClass::b64:
      return bits;
    case RegClass::f32:
      return w.value(BlockOp::as_f32, RegClass::f32,
                     {w.value(BlockOp::trunc, RegClass::b32, {bits})});
    case RegClass::f64:
      return w.value(BlockOp::as_f64, RegClass::f64, {bits});
  }
  return bits;
}

struct Use {
  BlockOp op;
  RegClass result;
  std::vector<RegClass> args;
};
// Every plain operation that computes, on every class that its signature allows.
std::vector<Use> all_uses() {
  std::vector<Use> out;
  for (RegClass c : kClasses) {
    out.push_back({BlockOp::mov, c, {c}});
    out.push_back({BlockOp::sel, c, {RegClass::pred, c, c}});
    if (integer(c)) {
      for (BlockOp op : {BlockOp::add, BlockOp::sub, BlockOp::mul, BlockOp::sdiv, BlockOp::udiv,
                         BlockOp::srem, BlockOp::urem})
        out.push_back({op, c, {c, c}});
      for (BlockOp op : {BlockOp::shl, BlockOp::lshr, BlockOp::ashr})
        out.push_back({op, c, {c, RegClass::b32}});
      for (BlockOp op : {BlockOp::slt, BlockOp::sle, BlockOp::ult, BlockOp::ule})
        out.push_back({op, RegClass::pred, {c, c}});
    }
    if (integer(c) || c == RegClass::b16)
      for (BlockOp op : {BlockOp::eq, BlockOp::ne}) out.push_back({op, RegClass::pred, {c, c}});
    if (c == RegClass::f32 || c == RegClass::f64)
      for (BlockOp op : {BlockOp::feq, BlockOp::fne, BlockOp::flt, BlockOp::fle})
        out.push_back({op, RegClass::pred, {c, c}});
    if (c != RegClass::f32 && c != RegClass::f64) {
      for (BlockOp op : {BlockOp::and_, BlockOp::or_, BlockOp::xor_})
        out.push_back({op, c, {c, c}});
      out.push_back({BlockOp::not_, c, {c}});
    }
  }
  using R = RegClass;
  for (Use u : {Use{BlockOp::zext16, R::b32, {R::b16}}, Use{BlockOp::trunc16, R::b16, {R::b32}},
                Use{BlockOp::zext, R::b64, {R::b32}}, Use{BlockOp::sext, R::b64, {R::b32}},
                Use{BlockOp::trunc, R::b32, {R::b64}}, Use{BlockOp::as_f32, R::f32, {R::b32}},
                Use{BlockOp::as_b32, R::b32, {R::f32}}, Use{BlockOp::as_f64, R::f64, {R::b64}},
                Use{BlockOp::as_b64, R::b64, {R::f64}}})
    out.push_back(u);
  return out;
}

bool divides(BlockOp op) { return op >= BlockOp::sdiv && op <= BlockOp::urem; }
bool shifts(BlockOp op) { return op >= BlockOp::shl && op <= BlockOp::ashr; }
uint64_t least(RegClass c) { return c == RegClass::b32 ? 0x80000000 : uint64_t{1} << 63; }
uint64_t ones(RegClass c) { return c == RegClass::b32 ? 0xffffffff : ~uint64_t{0}; }

}  // namespace

TEST_CASE("plain operations on every class agree with the host") {
  std::vector<Use> uses = all_uses();
  // Every operation that computes is among them.
  for (int op = 0; op < static_cast<int>(BlockOp::tid); ++op) {
    bool found = false;
    for (const Use& u : uses) found |= u.op == static_cast<BlockOp>(op);
    CHECK_MESSAGE(found, block_op_info(static_cast<BlockOp>(op)).name);
  }
  // One kernel: thread t of block u computes operation u on its triple of arguments.
  struct Case {
    std::vector<uint64_t> args;
  };
  constexpr uint32_t kThreads = 256;
  BlockWriter w;
  w.k.name = "plain <operations>";
  w.k.threads = kThreads;
  Operand in = w.param(RegClass::b64), out = w.param(RegClass::b64);
  Operand tid = w.value(BlockOp::tid, RegClass::b32, {});
  Operand block = w.value(BlockOp::ctaid_x, RegClass::b32, {});
  Operand row = w.value(BlockOp::mul, RegClass::b32, {block, w.imm(kThreads)});
  Operand at =
      w.value(BlockOp::zext, RegClass::b64, {w.value(BlockOp::add, RegClass::b32, {row, tid})});
  Operand from =
      w.value(BlockOp::add, RegClass::b64,
              {in, w.value(BlockOp::mul, RegClass::b64, {at, w.imm(24, RegClass::b64)})});
  Operand to = w.value(BlockOp::add, RegClass::b64,
                       {out, w.value(BlockOp::shl, RegClass::b64, {at, w.imm(3)})});
  std::vector<Operand> raw;
  for (uint64_t n = 0; n < 3; ++n) {
    raw.push_back(w.reg(RegClass::b64));
    w.form("ld.global.b64", {raw.back()}, {from, w.imm(8 * n)});
  }
  std::vector<uint64_t> input, want;
  for (size_t u = 0; u < uses.size(); ++u) {
    const Use& use = uses[u];
    w.add(BlockOp::if_, {}, {w.value(BlockOp::eq, RegClass::pred, {block, w.imm(u)})});
    std::vector<Operand> args;
    for (size_t a = 0; a < use.args.size(); ++a) args.push_back(narrowed(w, raw[a], use.args[a]));
    w.form("st.global.b64", {}, {to, w.imm(0), w.widened(w.value(use.op, use.result, args))});
    w.add(BlockOp::end, {}, {});
    // All combinations of edge values, again from the start until every thread has one.
    std::vector<std::vector<uint64_t>> values;
    size_t combinations = 1;
    for (RegClass c : use.args) {
      values.push_back(edge_values(c));
      combinations *= values.back().size();
    }
    CHECK(combinations <= kThreads);
    for (uint32_t t = 0; t < kThreads; ++t) {
      std::vector<uint64_t> a(3, 0);
      size_t rest = t % combinations;
      for (size_t n = 0; n < use.args.size(); ++n) {
        a[n] = values[n][rest % values[n].size()];
        rest /= values[n].size();
      }
      RegClass c = use.args[0];
      if (divides(use.op) && (a[1] == 0 || (a[0] == least(c) && a[1] == ones(c)))) a[1] = 3;
      if (shifts(use.op)) a[1] &= c == RegClass::b32 ? 31 : 63;
      input.insert(input.end(), a.begin(), a.end());
      want.push_back(eval_plain(use.op, use.result, c, a));
    }
  }
  auto good = check_block(w.k);
  REQUIRE_MESSAGE(good, good.error().message);
  for (const Ptx& p : through_backends(w.k)) {
    CAPTURE(p.from);
    Buffer bi = Buffer::of(input), bo = Buffer::of(std::vector<uint64_t>(want.size(), 0x5555));
    RunResult r = run_ptx(p.code, static_cast<uint32_t>(uses.size()), kThreads, 0, {&bi, &bo});
    CHECK(r.problem == "");
    std::vector<uint64_t> got = bo.as<uint64_t>();
    int shown = 0;
    for (size_t n = 0; n < want.size() && shown < 5; ++n)
      if (got[n] != want[n]) {
        const Use& u = uses[n / kThreads];
        FAIL_CHECK(fmt::format("{} on {}: {:#x} {:#x} {:#x} gives {:#x}, should {:#x}",
                               block_op_info(u.op).name, class_name(u.args[0]), input[3 * n],
                               input[3 * n + 1], input[3 * n + 2], got[n], want[n]));
        ++shown;
      }
  }
}

namespace {

struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((next() >> 32) % n); }
};

// A kernel of random operations, branches and loops that ends: every loop counts.
struct Generator : BlockWriter {
  Random random;
  std::vector<Operand> variables, reach;  // what may be read here
  int budget = 60;
  std::vector<Use> uses = all_uses();

  Operand pick(RegClass c) {
    std::vector<const Operand*> fit;
    for (const auto* all : {&variables, &reach})
      for (const Operand& o : *all)
        if (o.type == c) fit.push_back(&o);
    if (fit.empty() || random.below(6) == 0) {
      std::vector<uint64_t> edges = edge_values(c);
      return imm(edges[random.below(static_cast<uint32_t>(edges.size()))], c);
    }
    return *fit[random.below(static_cast<uint32_t>(fit.size()))];
  }
  void compute() {
    const Use& u = uses[random.below(static_cast<uint32_t>(uses.size()))];
    std::vector<Operand> args;
    for (RegClass c : u.args) args.push_back(pick(c));
    if (divides(u.op)) {  // keep the divisor small and positive
      Operand small = value(BlockOp::and_, u.result, {args[1], imm(15, u.result)});
      args[1] = value(BlockOp::add, u.result, {small, imm(1, u.result)});
    }
    if (shifts(u.op)) args[1] = value(BlockOp::and_, RegClass::b32, {args[1], imm(31)});
    std::vector<Operand> to;
    for (const Operand& v : variables)
      if (v.type == u.result) to.push_back(v);
    if (!to.empty() && random.below(2)) {
      add(u.op, {to[random.below(static_cast<uint32_t>(to.size()))]}, args);
    } else {
      reach.push_back(value(u.op, u.result, args));
    }
  }
  void body(int depth, bool in_loop) {
    size_t known = reach.size();
    int n = 2 + static_cast<int>(random.below(6));
    for (int i = 0; i < n && budget > 0; ++i, --budget) {
      uint32_t what = random.below(12);
      if (what == 0 && depth < 4) {
        loop(depth);
      } else if (what <= 2 && depth < 4) {
        add(BlockOp::if_, {}, {pick(RegClass::pred)});
        body(depth + 1, in_loop);
        if (in_loop && random.below(4) == 0)
          add(random.below(2) ? BlockOp::continue_ : BlockOp::break_, {}, {});
        else if (random.below(20) == 0) add(BlockOp::ret, {}, {});
        if (random.below(2)) {
          add(BlockOp::else_, {}, {});
          body(depth + 1, in_loop);
        }
        add(BlockOp::end, {}, {});
      } else if (what == 3 && in_loop) {
        add(BlockOp::break_if, {}, {pick(RegClass::pred)});
      } else {
        compute();
      }
    }
    reach.resize(known);
  }
  void loop(int depth) {
    size_t known = reach.size();
    Operand counter = reg(RegClass::b32, true);
    bool plain_head = random.below(2);
    uint32_t times = 1 + random.below(4);
    add(BlockOp::mov, {counter}, {imm(0)});
    add(BlockOp::loop, {}, {imm(random.below(3) ? 0 : 1 + random.below(3))});
    if (plain_head) {
      Operand more = value(BlockOp::slt, RegClass::pred, {counter, imm(times)});
      add(BlockOp::break_if, {}, {value(BlockOp::not_, RegClass::pred, {more})});
    }
    body(depth + 1, true);
    if (!plain_head)
      add(BlockOp::break_if, {}, {value(BlockOp::ule, RegClass::pred, {imm(times), counter})});
    add(BlockOp::latch, {}, {});
    if (random.below(2)) {
      add(BlockOp::mov, {counter}, {value(BlockOp::add, RegClass::b32, {counter, imm(1)})});
    } else {
      add(BlockOp::add, {counter}, {counter, imm(1)});
    }
    // A latch may be reached from the middle of the body: a second bound for that.
    Operand spent = value(BlockOp::ult, RegClass::pred, {imm(8), counter});
    if (random.below(2) || !plain_head) add(BlockOp::break_if, {}, {spent});
    add(BlockOp::end, {}, {});
    reach.resize(known);
  }
  void run() {
    k.name = "random";
    k.threads = 32;
    Operand out = param(RegClass::b64);
    for (RegClass c : kClasses) reach.push_back(param(c));
    reach.push_back(value(BlockOp::tid, RegClass::b32, {}));
    reach.push_back(value(BlockOp::ctaid_x, RegClass::b32, {}));
    Operand odd = value(BlockOp::and_, RegClass::b32, {reach[reach.size() - 2], imm(1)});
    reach.push_back(value(BlockOp::ne, RegClass::pred, {odd, imm(0)}));
    for (RegClass c : kClasses)
      for (int n = 0; n < 2; ++n) {
        Operand v = reg(c, true);
        add(BlockOp::mov, {v}, {pick(c)});
        variables.push_back(v);
      }
    for (int i = 0; i < 4; ++i) body(0, false);
    Operand row =
        value(BlockOp::mul, RegClass::b32, {value(BlockOp::ctaid_x, RegClass::b32, {}), imm(32)});
    Operand at = value(BlockOp::add, RegClass::b32, {row, value(BlockOp::tid, RegClass::b32, {})});
    Operand to = value(BlockOp::mul, RegClass::b32, {at, imm(8 * variables.size())});
    Operand address =
        value(BlockOp::add, RegClass::b64, {out, value(BlockOp::zext, RegClass::b64, {to})});
    for (size_t v = 0; v < variables.size(); ++v)
      form("st.global.b64", {}, {address, imm(8 * v), widened(variables[v])});
  }
};

}  // namespace

TEST_CASE("random kernels agree between the back ends and the host") {
  size_t instructions = 0, ran = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Generator g{{}, {seed}};
    g.run();
    const BlockKernel& k = g.k;
    auto good = check_block(k);
    REQUIRE_MESSAGE(good, good.error().message << "\n" << print_block(k));
    // Text is the same kernel.
    auto again = parse_block(print_block(k));
    REQUIRE_MESSAGE(again, again.error().message);
    CHECK(print_block(*again) == print_block(k));
    CHECK(again->operands == k.operands);

    instructions += k.code.size();
    size_t n = g.variables.size();
    std::vector<uint64_t> want(2 * 32 * n, 0x7777);
    std::vector<uint64_t> given = {
        0, 1, 0xbeef, 0x12345678, 0xfedcba9876543210, 0x40490fdb, 0x400921fb54442d18};
    for (uint32_t block = 0; block < 2; ++block)
      for (uint32_t t = 0; t < 32; ++t) {
        Thread thread{t, block, 2, given, [&](uint64_t a, uint64_t v) { want.at(a / 8) = v; }};
        REQUIRE(eval_thread(k, thread));
      }
    std::vector<std::vector<std::byte>> scalars = {
        scalar_bytes(uint8_t(1)),           scalar_bytes(uint16_t(0xbeef)),
        scalar_bytes(uint32_t(0x12345678)), scalar_bytes(uint64_t(0xfedcba9876543210)),
        scalar_bytes(uint32_t(0x40490fdb)), scalar_bytes(uint64_t(0x400921fb54442d18))};
    for (const Ptx& p : through_backends(k)) {
      CAPTURE(p.from);
      Buffer out = Buffer::of(std::vector<uint64_t>(want.size(), 0x7777));
      RunResult r = run_ptx(p.code, 2, 32, 0, {&out}, scalars);
      CHECK(r.problem == "");
      bool same = out.as<uint64_t>() == want;
      CHECK_MESSAGE(same, p.from << " differs\n" << print_block(k));
      ++ran;
      if (!same) return;
    }
  }
  MESSAGE(instructions << " instructions, " << ran << " kernels run");
}
