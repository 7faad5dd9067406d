// The machine: control flow, blocks that wait for each other, order, traps, limits, prints.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "interp_harness.h"

using namespace tess;
using namespace tess::test;
using interp::Options;

TEST_CASE("loops, branches, break, continue, return") {
  HostTensor r(dt::i32_, {8});
  const char* text = R"(
kernel k(n: i32, r: out i32[8]) grid(1) warps(1)
{
    %s = 0
    for %i in 0..n { if %i == 3 { continue } if %i == 7 { break } %s = %s + %i }
    store %s, r[0]
    %d = 0
    for %i in 10..0 step -3 { %d = %d * 100 + %i }
    store %d, r[1]
    %c = 0
    while %c * %c < 50 { %c = %c + 1 }
    store %c, r[2]
    %o = 0
    for %i in 0..4 { for %j in 0..4 { if %j > %i { break } %o = %o + 1 } }
    store %o, r[3]
    %e = 0
    for %i in 5..5 { %e = 1 }
    if %e == 1 { store 9, r[4] } else if n > 100 { store 8, r[4] } else { store 7, r[4] }
    %big = 2147483640
    %turns = 0
    for %i in %big..2147483647 step 5 { %turns = %turns + 1 }
    store %turns, r[5]
    store 1, r[6]
    store 1, r[7]
    if n == 10 { return }
    store 2, r[7]
})";
  auto o = run(text, {10, r});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  int want[] = {0 + 1 + 2 + 4 + 5 + 6, 10070401, 8, 10, 7, 2, 1, 1};
  for (int i = 0; i < 8; ++i) CHECK(r.value(i) == want[i]);
}

TEST_CASE("values carried around loops keep their place") {
  // %a and %b swap every iteration; %t lives inside only; many tiles of one size compete for
  // places.
  HostTensor x(dt::i32_, {64}), r(dt::i32_, {64});
  for (int i = 0; i < 64; ++i) x.set_value(i, i);
  const char* text = R"(
kernel k(n: i32, x: in i32[64], r: out i32[64]) grid(1) warps(1)
{
    %a = load x[:]
    %b = mul %a, 100
    %k = fill 0 : i32[64]
    for %i in 0..n {
        %t = add %a, 1
        %u = concat (slice %t[32:+32]), (slice %t[0:+32])
        %a = %b
        %b = %u
        if %i == 2 { %k = add %k, %a } else { %v = mul %t, 2; %k = sub %k, %v }
    }
    store (add (add %a, %k), (mul %b, 3)), r[:]
})";
  auto o = run(text, {5, x, r});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  std::vector<int64_t> a(64), b(64), k(64);
  for (int i = 0; i < 64; ++i) a[i] = i, b[i] = 100 * i;
  for (int i = 0; i < 5; ++i) {
    std::vector<int64_t> t(64), u(64);
    for (int j = 0; j < 64; ++j) t[j] = a[j] + 1;
    for (int j = 0; j < 64; ++j) u[j] = t[(j + 32) % 64];
    a = b, b = u;
    for (int j = 0; j < 64; ++j) k[j] += i == 2 ? a[j] : -2 * t[j];
  }
  for (int j = 0; j < 64; ++j) CHECK(r.value(j) == static_cast<double>(a[j] + k[j] + 3 * b[j]));
}

TEST_CASE(
    "a block may wait for an earlier ticket, with any number of threads and any start order") {
  // Each block takes a ticket, waits for the flag of the one before, and adds to a running value
  // whose order shows.
  const char* text = R"(
kernel k(n: i32, r: inout i32[n]) grid(n) warps(1)
    workspace tickets : i32[1] zeroed
    workspace done : i32[1] zeroed
    workspace value : i32[1] zeroed
{
    %t = atomic.add tickets[0], 1
    wait done[0] ge %t {acquire, gpu}
    %v = load value[0]
    store (%v * 3 + 1), value[0]
    store %v, r[%t]
    atomic.add done[0], 1
})";
  VerifiedModule m = assemble(text);
  for (uint32_t threads : {1u, 2u, 7u})
    for (uint64_t seed : {0ull, 1ull, 99ull}) {
      HostTensor r(dt::i32_, {20});
      Options options;
      options.threads = threads;
      options.seed = seed;
      auto o = run(m, {20, r}, options);
      REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
      uint32_t want = 0;
      for (int i = 0; i < 20; ++i, want = want * 3 + 1) REQUIRE(r.at(i) == want);
    }
}

TEST_CASE("locks: hand-made and built in") {
  const char* built_in = R"(
kernel k(n: i32, r: inout i32[1]) grid(n) warps(1)
    workspace word : i32[1] zeroed
{
    for %i in 0..10 {
        lock word[0]
        store (load r[0]) + 1, r[0]
        unlock word[0]
    }
})";
  const char* by_hand = R"(
kernel k(n: i32, r: inout i32[1]) grid(n) warps(1)
    workspace word : i32[1] zeroed
{
    %free = 1
    while %free != 0 { %free = atomic.cas word[0], 0, 1 {acquire} }
    store (load r[0]) + 10, r[0]
    atomic.exch word[0], 0 {release}
})";
  for (const char* text : {built_in, by_hand}) {
    HostTensor r(dt::i32_, {1});
    auto o = run(text, {50, r});
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    CHECK(r.value(0) == 500);
  }
}

TEST_CASE("a lock held for ever is a deadlock, reported with who waits where") {
  const char* text = R"(
kernel k(n: i32, r: inout i32[1]) grid(n) warps(1)
    workspace word : i32[1] zeroed
{
    lock word[0]
    store block.x, r[0]
})";
  HostTensor r(dt::i32_, {1});
  auto o = run(text, {3, r});
  REQUIRE(error_of(o) == "T0831");
  CHECK(o.error->span.line == 5);
  CHECK(o.error->message == "deadlock: 2 blocks wait and nothing can end a wait");
  REQUIRE(o.error->notes.size() == 3);
  CHECK(o.error->notes[0].message == "block (1,0,0) waits: `lock word` is held");
  CHECK(o.error->notes[1].message == "block (2,0,0) waits: `lock word` is held");
  auto w = run("kernel k(r: inout i32[4]) grid(2) warps(1)\n{\n wait r[block.x] ge 1\n}",
               {r = HostTensor(dt::i32_, {4})});
  REQUIRE(error_of(w) == "T0831");
  CHECK(w.error->notes[0].message == "block (0,0,0) waits: `r` ge 1, it is 0");
}

TEST_CASE("grid.sync: every block sees what all wrote before") {
  const char* text = R"(
kernel k(n: i32, x: inout i32[n], y: out i32[n]) grid(n) warps(1) cooperative
{
    for %round in 0..3 {
        %v = load x[rem(block.x + 1, n)]
        grid.sync
        store %v, x[block.x]
        grid.sync
    }
    store (load x[block.x]), y[block.x]
})";
  HostTensor x(dt::i32_, {30}), y(dt::i32_, {30});
  for (int i = 0; i < 30; ++i) x.set_value(i, i);
  auto o = run(text, {30, x, y});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  for (int i = 0; i < 30; ++i) CHECK(y.value(i) == (i + 3) % 30);
  // One block leaves early: the others can never meet.
  const char* leaves =
      "kernel k(n: i32, x: inout i32[n]) grid(n) warps(1) cooperative\n{\n if block.x == 1 { "
      "return }\n grid.sync\n}";
  auto d = run(leaves, {3, x = HostTensor(dt::i32_, {3})});
  REQUIRE(error_of(d) == "T0831");
  CHECK(d.error->notes[0].message == "block (0,0,0) waits: `grid.sync`, where 2 of 3 blocks are");
}

TEST_CASE("float atomics, histograms and prints do not depend on the thread count") {
  std::mt19937_64 random(30);
  HostTensor x = random_tensor(dt::f32_, {4000}, random, true),
             k = random_tensor(dt::u8_, {4000}, random);
  const char* text = R"(
kernel k(n: i32, x: in f32[n], k: in u8[n], sum: inout f32[16], hist: inout i32[256], top: inout f16[1]) grid(cdiv(n, 100)) warps(1)
{
    %i = block.x * 100
    %x = load x[%i:+100]
    atomic.add sum[0:+16], (reduce.add (reshape (slice %x[0:+96]) : f32[6,16]) {dim 0})
    atomic.max top[0], (cast (reduce.max %x) : f16)
    %k = cast (load k[%i:+100]) : i32
    atomic.add hist[%k], 1
    print block.x
})";
  VerifiedModule m = assemble(text);
  HostTensor sum0(dt::f32_, {16}), hist0(dt::i32_, {256}), top0(dt::f16_, {1});
  std::vector<int64_t> order0;
  for (uint32_t threads : {1u, 2u, 3u, 8u}) {
    HostTensor sum(dt::f32_, {16}), hist(dt::i32_, {256}), top(dt::f16_, {1});
    std::vector<int64_t> order;
    Options options;
    options.threads = threads;
    options.on_print = [&](const interp::Shown& s) { order.push_back(s.block[0]); };
    auto o = run(m, {4000, x, k, sum, hist, top}, options);
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    if (threads == 1) sum0 = sum, hist0 = hist, top0 = top, order0 = order;
    CHECK(same(sum, sum0));
    CHECK(same(hist, hist0));
    CHECK(same(top, top0));
    CHECK(order == order0);
  }
  CHECK(order0.size() == 40);
  CHECK(std::is_sorted(order0.begin(), order0.end()));
  // In block order, one addition after another.
  float want = 0;
  for (int b = 0; b < 40; ++b) {
    auto at = [&](int row) { return static_cast<float>(x.value(b * 100 + row * 16)); };
    want += ((at(0) + at(1)) + (at(2) + at(3))) + (at(4) + at(5));
  }
  CHECK(static_cast<float>(sum0.value(0)) == want);
  int64_t total = 0;
  for (int i = 0; i < 256; ++i) total += static_cast<int64_t>(hist0.value(i));
  CHECK(total == 4000);
}

TEST_CASE("atomics: old values, every operation, masks, 16 to 64 bits") {
  const char* text = R"(
kernel k(x: inout i32[8], y: inout u64[4], h: inout i16[4], old: out i32[8]) grid(1) warps(1)
{
    %i = iota : i32[8]
    %o = atomic.add x[0:+8], %i where (lt %i, 4)
    store %o, old[:]
    atomic.min x[0], -5; atomic.max x[1], 100; atomic.and x[4], 6; atomic.or x[5], 8; atomic.xor x[6], 15
    %e = atomic.exch x[7], 77
    store %e, old[7]
    %c = atomic.cas x[2], 22, 1
    %c = atomic.cas x[2], 0, 9
    atomic.add y[0:+4], 0xffffffffffffffff
    atomic.add h[1:+5], 3
})";
  HostTensor x = values(dt::i32_, {8}, {10, 11, 20, 13, 14, 15, 16, 17}),
             y = values(dt::u64_, {4}, {1}), h = values(dt::i16_, {4}, {32767}), old(dt::i32_, {8});
  auto o = run(text, {x, y, h, old});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  int want[] = {-5, 100, 1, 16, 6, 15, 31, 77}, before[] = {10, 11, 20, 13, 0, 0, 0, 17};
  for (int i = 0; i < 8; ++i) CHECK(x.value(i) == want[i]);
  want[5] = 15 | 8;
  for (int i = 0; i < 8; ++i) CHECK(old.value(i) == before[i]);
  for (int i = 0; i < 4; ++i) CHECK(y.at(i) == 0);
  for (int i = 1; i < 4; ++i) CHECK(h.value(i) == -32766);
  CHECK(h.value(0) == 32767);
}

TEST_CASE("traps name kernel, block, strand, instruction and place") {
  struct Case {
    const char *body, *code, *message;
  };
  const Case cases[] = {
      {"%z = load x[0:+4]\n %r = div %z, (sub %z, %z)", "T0820", "integer division by zero"},
      {"%z = rem 5, (load x[0])", "T0820", "integer division by zero"},
      {"assert (lt (load x[0:+4]), 1)", "T0821", "the assertion does not hold at [2]"},
      {"assume (load x[0]) == 1", "T0822", "the assumption does not hold"},
      {"if block.x == 1 { trap }", "T0823", "the program executed `trap`"},
      {"%t = table 1, 2 : i32[2]\n %r = lookup (load x[0:+4]), %t", "T0824",
       "an index is outside of the table"},
      {"%r = extract (load x[0:+4]), 4", "T0825", "index 4 of dimension 0, which has extent 4"},
      {"for %i in 0..4 step (load x[0]) { }", "T0826", "the step of this `for` is 0"},
      {"%u = undef : i32[4]\n %r = add %u, 1", "T0827",
       "`%u` has no value here: `undef` was its last assignment"},
      {"%r = load o[0:+2]", "T0828", "output `o` is read where it was never written"},
      {"%s = smem i32[4]\n store 1, %s[0:+2]\n %r = load %s[0:+3]", "T0828",
       "shared memory `%s` is read where it was never written"},
      {"unlock x[0]", "T0832", "`unlock` of `x`, which is not locked"},
      {"lock x[9]", "T0833", "`x` is indexed out of bounds"},
      {"grid.sync", "T0834", "`grid.sync` in a kernel that is not `cooperative`"},
      {"%r = add (load x[0:+4]), 2147483647 {nowrap}", "T0835",
       "an integer result overflows, though `nowrap` says that none does"},
  };
  for (const Case& c : cases)
    for (bool naive : {false, true}) {
      HostTensor x = values(dt::i32_, {4}, {0, 0, 2, 3}), out(dt::i32_, {4});
      Options options;
      options.naive = naive;
      auto o = run(fmt::format("kernel k(x: inout i32[4], o: out i32[4]) grid(2) warps(1)\n{{\n if "
                               "block.x == 1 {{\n {}\n }}\n}}",
                               c.body),
                   {x, out}, options);
      REQUIRE_MESSAGE(error_of(o) == c.code, c.body);
      CHECK(o.error->message == c.message);
      CHECK(o.place.block[0] == 1);
      CHECK(o.error->span.line >= 4);
      REQUIRE(!o.error->notes.empty());
      CHECK(o.error->notes.back().message.find(
                "in kernel `k`, block (1,0,0), strand 0, instruction ") == 0);
    }
}

TEST_CASE(
    "the lowest block's trap is reported, and earlier blocks finish, whatever the thread count") {
  const char* text = R"(
kernel k(n: i32, x: inout i32[n]) grid(n) warps(1)
{
    %s = 0
    for %i in 0..rem(block.x * 37, 50) * 20 { %s = %s + 1 }
    print block.x
    assert block.x < 30
    store %s + 1, x[block.x]
})";
  VerifiedModule m = assemble(text);
  for (uint32_t threads : {1u, 2u, 5u}) {
    HostTensor x(dt::i32_, {100});
    int prints = 0;
    Options options;
    options.threads = threads;
    options.on_print = [&](const interp::Shown&) { ++prints; };
    auto o = run(m, {100, x}, options);
    REQUIRE(error_of(o) == "T0821");
    CHECK(o.place.block[0] == 30);
    CHECK(prints == 31);
    for (int i = 0; i < 30; ++i) REQUIRE(x.value(i) == i * 37 % 50 * 20 + 1);
  }
}

TEST_CASE("undef is fine until it is used") {
  HostTensor r(dt::i32_, {4});
  const char* text = R"(
kernel k(n: i32, r: out i32[4]) grid(1) warps(1)
{
    %u = undef : i32[4]
    %w = %u
    for %i in 0..n { if %i > 0 { %w = add %u, %i } %u = fill %i : i32[4] }
    %v = undef : i32[4]
    %v = insert %v[0:+4], 5
    store (add %w, %v), r[:]
})";
  auto o = run(text, {3, r});
  REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
  CHECK(r.value(0) == 8);
  auto bad = run(text, {1, r});
  REQUIRE(error_of(bad) == "T0827");
  CHECK(bad.error->message.find("`%w`") == 0);
}

TEST_CASE("outputs that stay unwritten are a warning") {
  HostTensor r(dt::i32_, {3, 5}), packed(dt::u3_, {11});
  auto o =
      run("kernel k(r: out i32[3,5], p: out u3[11]) grid(1) warps(1)\n{\n store 1, r[0:+2, 0:+5]\n "
          "store 2, r[2, 1:+3]\n store 3, p[0:+10]\n}",
          {r, packed});
  CHECK(error_of(o) == "");
  REQUIRE(o.warnings.size() == 2);
  CHECK(diag_id(o.warnings[0].code) == "W0860");
  CHECK(o.warnings[0].message ==
        "2 of 15 elements of `r` were never written, the first of them `r[2,0]`");
  CHECK(o.warnings[1].message ==
        "1 of 11 elements of `p` were never written, the first of them `p[10]`");
}

TEST_CASE("out-of-bounds accesses are reported when asked for") {
  HostTensor x(dt::i32_, {10}), r(dt::i32_, {10});
  Options options;
  options.report_out_of_bounds = true;
  VerifiedModule load = assemble(
      "kernel k(i: i32, x: in i32[10], r: out i32[10]) grid(1) warps(1)\n{\n %v = load x[i:+10]\n "
      "store %v, r[0:+10]\n}");
  CHECK(error_of(run(load, {0, x, r}, options)) == "");
  CHECK(error_of(run(load, {1, x, r}, options)) == "T0829");
  CHECK(error_of(run(load, {1, x, r})) == "");
  VerifiedModule masked = assemble(
      "kernel k(i: i32, x: in i32[10], r: out i32[10]) grid(1) warps(1)\n{\n %v = load x[0:+16] "
      "where (lt (iota : i32[16]), i)\n store (slice %v[0:+10]), r[0:+10]\n}");
  CHECK(error_of(run(masked, {10, x, r}, options)) == "");
  CHECK(error_of(run(masked, {11, x, r}, options)) == "T0829");
}

TEST_CASE("limits and interrupts end a program that does not") {
  const char* text = "kernel k(r: inout i32[1]) grid(4) warps(1)\n{\n while true { %x = 1 }\n}";
  VerifiedModule m = assemble(text);
  HostTensor r(dt::i32_, {1});
  for (uint32_t threads : {1u, 2u}) {
    Options options;
    options.threads = threads;
    options.limits.steps = 10000;
    auto o = run(m, {r}, options);
    CHECK(error_of(o) == "L0851");
    CHECK(o.stats.steps > 10000);
    options.limits = {};
    options.limits.seconds = 0.05;
    CHECK(error_of(run(m, {r}, options)) == "L0852");
    options.limits = {};
    std::atomic<bool> interrupt = false;
    options.interrupt = &interrupt;
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      interrupt = true;
    });
    CHECK(error_of(run(m, {r}, options)) == "L0850");
    later.join();
  }
  Options small;
  small.limits.memory_bytes = 100'000;
  CHECK(error_of(run("kernel k(r: inout i32[1]) grid(1) warps(1)\n{\n %x = fill 1 : i32[100000]\n "
                     "store (reduce.add %x), r[0]\n}",
                     {r}, small)) == "L0853");
  small.limits.memory_bytes = 10'000'000;
  CHECK(error_of(run("kernel k(r: inout i32[1]) grid(1) warps(1)\n{\n %x = fill 1 : i32[100000]\n "
                     "store (reduce.add %x), r[0]\n}",
                     {r}, small)) == "");
  CHECK(r.value(0) == 100000);
}

TEST_CASE("what was printed before the end is shown, however the program ends") {
  auto printed = [](const std::string& text, int64_t n, Options options, const char* code) {
    std::vector<int64_t> blocks;
    HostTensor r(dt::i32_, {n});
    options.on_print = [&](const interp::Shown& s) { blocks.push_back(s.block[0]); };
    CHECK(error_of(run(text, {n, r}, options)) == code);
    return blocks;
  };
  using V = std::vector<int64_t>;
  CHECK(printed("kernel k(n: i32, r: inout i32[n]) grid(n) warps(1)\n{\n print block.x\n wait r[0] "
                "ge 1\n}",
                3, {}, "T0831") == V{0, 1, 2});
  CHECK(printed("kernel k(n: i32, r: inout i32[n]) grid(n) warps(1)\n{\n print block.x\n if "
                "block.x == 1 { trap }\n wait r[0] ge 1\n}",
                3, {}, "T0823") == V{0, 1});
  Options limited;
  limited.limits.steps = 5000;
  CHECK(printed("kernel k(n: i32, r: inout i32[n]) grid(n) warps(1)\n{\n print block.x\n while "
                "true { %x = 1 }\n}",
                1, limited, "L0851") == V{0});
}

TEST_CASE("stats, progress, and the values of one block traced") {
  HostTensor r(dt::i32_, {100});
  VerifiedModule m = assemble(
      "kernel k(r: out i32[100]) grid(100) warps(1)\n{\n %v = block.x * 2\n store %v, "
      "r[block.x]\n}");
  Options options;
  int64_t last = 0, total = 0;
  options.on_progress = [&](int64_t done, int64_t all) { last = done, total = all; };
  std::vector<std::string> names;
  options.trace_every_value = true;
  options.trace_block[0] = 7;
  options.on_trace = [&](const interp::Shown& s) {
    CHECK(s.block[0] == 7);
    names.push_back(s.name);
    if (s.name == "%v") CHECK(*static_cast<const int32_t*>(s.data) == 14);
  };
  auto o = run(m, {r}, options);
  CHECK(error_of(o) == "");
  CHECK(last == 100);
  CHECK(total == 100);
  CHECK(o.stats.blocks == 100);
  CHECK(o.stats.steps == 100 * m.kernel(0).code.size());
  CHECK(std::count(names.begin(), names.end(), "%v") == 1);
}

TEST_CASE("prints look as people expect") {
  HostTensor x(dt::f32_, {2, 3}), big(dt::i32_, {40, 60});
  for (int i = 0; i < 6; ++i) x.set_value(i, i * 1.5);
  for (int i = 0; i < 2400; ++i) big.set_value(i, i);
  VerifiedModule m = assemble(
      "kernel k(x: in f32[2,3], b: in i32[40,60], r: inout i32[1]) grid(1) warps(1)\n{\n %x = load "
      "x[:,:]\n print %x\n %b = load b[:,:]\n print %b\n print (extract %b, 0, 2)\n}");
  std::vector<std::string> shown;
  Options options;
  options.on_print = [&](const interp::Shown& s) { shown.push_back(format_shown(m, 0, s)); };
  HostTensor r(dt::i32_, {1});
  REQUIRE(error_of(run(m, {x, big, r}, options)) == "");
  REQUIRE(shown.size() == 3);
  CHECK(shown[0] == "%x: f32[2,3] block (0,0,0) test.vmasm:4:2\n[[0.0 1.5 3.0]\n [4.5 6.0 7.5]]\n");
  CHECK(shown[1].find("[[   0    1    2 ...   57   58   59]\n") != std::string::npos);
  CHECK(shown[1].find(" ...\n") != std::string::npos);
  CHECK(shown[2].find("\n2\n") != std::string::npos);
}

TEST_CASE("relayout changes no value") {
  HostTensor r = values(dt::u32_, {128}, {1, 2, 3, 4, 5}), before = r;
  const char* text = R"(
layout #a = spatial(32) * local(4)
layout #b = local(4) * spatial(32)
kernel k(r: inout u32[128]) grid(1) warps(1)
{
    %x = load r[:] : u32[128] #a
    %y = relayout %x #b
    store %y, r[:]
})";
  auto o = run(text, {r});
  REQUIRE(error_of(o) == "");
  CHECK(same(r, before));
}
