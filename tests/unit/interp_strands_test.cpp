// Strands: schedules, deadlocks with their exact text, races and copies in flight with both places.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "interp_harness.h"

using namespace tess;
using namespace tess::test;
using interp::Async;
using interp::Options;

namespace {

struct Way {
  Async async;
  uint64_t seed;
};
const Way kWays[] = {{Async::early, 0},  {Async::late, 0},   {Async::random, 1},
                     {Async::random, 2}, {Async::random, 3}, {Async::random, 4}};

Options options_of(const Way& w) {
  Options o;
  o.async = w.async;
  o.seed = w.seed;
  return o;
}

// A producer and two consumers around a ring; pieces can be left out or doubled.
std::string ring(const std::string& produce, const std::string& signal, const std::string& consume,
                 const std::string& free) {
  return fmt::format(R"(
kernel k(n: i32, never: i32, x: in i32[64] aligned(16), r: inout i32[2,64]) grid(1) warps(12)
{{
    %slot = smem i32[ring 2,4]
    %full = mbar[2] count(1)
    %empty = mbar[2] count(2)
    parallel {{
        warps 8..12 {{
            for %u in 0..n {{
                {}
                tma.load %slot[%u,:], x[%u*4:+4], %full[%u]
                {}
            }}
        }}
        warps 0..8 by 4 (%w) {{
            for %u in 0..n {{
                {}
                store (load %slot[%u,:]), r[%w, %u*4:+4]
                {}
            }}
        }}
    }}
}})",
                     produce, signal, consume, free);
}
const std::string kProduce = "mbar.wait %empty[%u-2]", kSignal = "mbar.arrive %full[%u]",
                  kConsume = "mbar.wait %full[%u]", kFree = "mbar.arrive %empty[%u]";

interp::Outcome run_ring(const std::string& text, const Way& way, HostTensor& r) {
  HostTensor x(dt::i32_, {64});
  for (int i = 0; i < 64; ++i) x.set_value(i, i * 3);
  return run(text, {10, 0, x, r}, options_of(way));
}

// Whether some note of the error is about that line.
bool notes_line(const interp::Outcome& o, uint32_t line) {
  for (const Note& n : o.error->notes)
    if (n.span.line == line) return true;
  return false;
}

}  // namespace

TEST_CASE("a ring between strands gives one result under every schedule") {
  for (const Way& way : kWays) {
    HostTensor r(dt::i32_, {2, 64});
    auto o = run_ring(ring(kProduce, kSignal, kConsume, kFree), way, r);
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    for (int i = 0; i < 128; ++i) REQUIRE(r.value(i) == (i % 64 < 40 ? i % 64 * 3 : 0));
  }
}

TEST_CASE("a missing wait is reported under every schedule, with both places") {
  // The consumers do not wait for the data.
  for (const Way& way : kWays) {
    HostTensor r(dt::i32_, {2, 64});
    auto o = run_ring(ring(kProduce, kSignal, "if never > 0 { " + kConsume + " }", kFree), way, r);
    CAPTURE(way.seed);
    // Read while the copy flies, or before it was even issued.
    REQUIRE((error_of(o) == "T0839" || error_of(o) == "T0828" || error_of(o) == "T0841"));
    if (error_of(o) != "T0839") continue;
    CHECK((o.error->span.line == 18 || o.error->span.line == 11));
    CHECK((notes_line(o, 11) || notes_line(o, 18)));
  }
  // The producer does not wait for the slot to be free.
  for (const Way& way : kWays) {
    HostTensor r(dt::i32_, {2, 64});
    auto o = run_ring(ring("if never > 0 { " + kProduce + " }", kSignal, kConsume, kFree), way, r);
    CAPTURE(way.seed);
    REQUIRE((error_of(o) == "T0839" || error_of(o) == "T0838" || error_of(o) == "T0841"));
    CHECK(o.error->span.line == 11);
  }
}

TEST_CASE("a missing arrival is a deadlock: who waits, where, for what") {
  for (Async async : {Async::early, Async::late}) {
    HostTensor r(dt::i32_, {2, 64});
    auto o =
        run_ring(ring(kProduce, kSignal, kConsume, "if %w == 0 { " + kFree + " }"), {async, 0}, r);
    REQUIRE(error_of(o) == "T0831");
    CHECK(o.error->message == "deadlock: 3 strands wait and nothing can end a wait");
    REQUIRE(o.error->notes.size() == 4);
    const char* want[] = {
        "block (0,0,0), strand 1, instruction 7, waits: `%empty[0]`, use 0 (slot 0, phase 0): 1 of "
        "2 arrivals",
        "block (0,0,0), strand 2, instruction 15, waits: `%full[2]`, use 2 (slot 0, phase 1): 0 of "
        "1 arrivals",
        "block (0,0,0), strand 3, instruction 15, waits: `%full[2]`, use 2 (slot 0, phase 1): 0 of "
        "1 arrivals"};
    uint32_t lines[] = {10, 17, 17};
    for (int i = 0; i < 3; ++i) {
      CHECK(o.error->notes[static_cast<size_t>(i)].message == want[i]);
      CHECK(o.error->notes[static_cast<size_t>(i)].span.line == lines[i]);
    }
    CHECK(o.error->notes[3].message ==
          "in kernel `k`, block (0,0,0), strand 1, instruction 7: `mbar.wait`");
    CHECK(o.place.strand == 1);
  }
}

TEST_CASE("bytes that nobody brings are named in the deadlock") {
  const char* text = R"(
kernel k(r: inout i32[1]) grid(1) warps(1)
{
    %b = mbar[1] count(1)
    mbar.expect %b[0], 48
    mbar.arrive %b[0]
    mbar.wait %b[0]
})";
  HostTensor r(dt::i32_, {1});
  auto o = run(text, {r});
  REQUIRE(error_of(o) == "T0831");
  CHECK(o.error->message == "deadlock: 1 block waits and nothing can end a wait");
  CHECK(o.error->notes[0].message ==
        "block (0,0,0) waits: `%b[0]`, use 0 (slot 0, phase 0): 1 of 1 arrivals, 48 bytes are "
        "missing");
}

TEST_CASE("named barriers and cluster.sync say where the others are missing") {
  const char* named = R"(
kernel k(n: i32, r: inout i32[1]) grid(1) warps(4)
{
    parallel {
        warps 0..1 { barrier.named 2, 4 }
        warps 1..4 { if n > 0 { barrier.named 2, 4 } }
    }
})";
  HostTensor r(dt::i32_, {1});
  auto o = run(named, {0, r});
  REQUIRE(error_of(o) == "T0831");
  CHECK(o.error->notes[0].message ==
        "block (0,0,0), strand 1, instruction 2, waits: `barrier.named 2`, where 1 of 4 warps are");
  CHECK(error_of(run(named, {1, r})) == "");
  const char* cluster = R"(
kernel k(r: inout i32[1]) grid(4) warps(1) cluster(4)
{
    if cluster.rank != 2 { cluster.sync }
})";
  o = run(cluster, {r});
  REQUIRE(error_of(o) == "T0831");
  CHECK(o.error->message == "deadlock: 3 blocks wait and nothing can end a wait");
  CHECK(o.error->notes[2].message ==
        "block (3,0,0) waits: `cluster.sync`, where 3 of 4 blocks are");
}

TEST_CASE("a copy's data is there at its completion and not before") {
  // A flag in the same memory order would show it: the strand polls what the copy writes without
  // waiting. What is read is reported; with the wait it is right under every schedule.
  const char* text = R"(
kernel k(waits: i32, x: in i32[4], r: out i32[4]) grid(1) warps(1)
{
    %s = smem i32[4]
    store 7, %s[:]
    copy.async %s, x[:]
    copy.async.commit
    if waits > 0 { copy.async.wait 0 }
    store (load %s[:]), r[:]
})";
  for (const Way& way : kWays)
    for (int waits : {0, 1}) {
      HostTensor x = values(dt::i32_, {4}, {1, 2, 3, 4}), r(dt::i32_, {4});
      auto o = run(text, {waits, x, r}, options_of(way));
      if (waits) {
        REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
        CHECK(same(r, x));
        continue;
      }
      REQUIRE(error_of(o) == "T0839");
      CHECK(o.error->message ==
            "`%s` is read where `copy.async` of block (0,0,0) may still be under way");
      CHECK(o.error->span.line == 9);
      CHECK(o.error->notes[0].span.line == 6);
      CHECK(o.error->notes[0].message ==
            "the other access: `copy.async` of block (0,0,0), instruction 2");
    }
}

TEST_CASE("races in global memory between strands, and what orders them") {
  const char* text = R"(
kernel k(ordered: i32, r: inout i32[8]) grid(2) warps(2)
    workspace flag : i32[2] zeroed
{
    parallel {
        warps 0..1 {
            store 1, r[block.x*4:+4]
            if ordered > 0 { atomic.add flag[block.x], 1 {release, gpu} } else { atomic.add flag[block.x], 1 {relaxed, gpu} }
        }
        warps 1..2 {
            wait flag[block.x] ge 1 {acquire, gpu}
            store (load r[block.x*4]) + 1, r[block.x*4]
        }
    }
})";
  for (const Way& way : kWays) {
    HostTensor r(dt::i32_, {8});
    auto o = run(text, {1, r}, options_of(way));
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    CHECK(r.value(4) == 2);
    o = run(text, {0, r}, options_of(way));
    REQUIRE(error_of(o) == "T0838");
    CHECK(o.error->message == fmt::format("`r` is read here and written by `store` of block "
                                          "({},0,0), strand 1, and nothing orders "
                                          "the two",
                                          o.place.block[0]));
    CHECK(o.error->span.line == 12);
    CHECK(notes_line(o, 7));
  }
}

TEST_CASE("neighbouring elements that share a byte do not race") {
  const char* text = R"(
kernel k(n: i32, r: out u4[8]) grid(1) warps(2)
{
    %s = smem u3[8]
    parallel { warps 0..2 by 1 (%w) { for %i in 0..4 { store (cast (%i + %w * n) : u3), %s[%i*2+%w] } } }
    store (cast (load %s[:]) : u4), r[:]
})";
  for (const Way& way : kWays) {
    HostTensor r(dt::u4_, {8});
    auto o = run(text, {3, r}, options_of(way));
    REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
    for (int i = 0; i < 8; ++i) CHECK(r.at(i) == static_cast<uint64_t>((i / 2 + i % 2 * 3) % 8));
  }
}

TEST_CASE("a run is the same for any number of threads, and for its seed") {
  const char* text = R"(
kernel k(n: i32, x: in f32[64] aligned(16), r: inout f32[16], order: out i32[n,3]) grid(n) warps(3) cluster(2)
{
    %s = smem f32[64]; %t = smem i32[4]
    %b = mbar[1] count(1)
    store 0, %t[:]
    parallel {
        warps 0..1 {
            tma.load %s, x[0:+64], %b[0]
            mbar.arrive %b[0]
        }
        warps 1..3 by 1 (%w) {
            %turn = atomic.add %t[3], 1
            store %turn, %t[%w]
            mbar.wait %b[0]
            atomic.add r[0:+16], (mul (load %s[%w*16:+16]), 1.1)
        }
    }
    store (load %t[0:+3]), order[block.x, 0:+3]
})";
  VerifiedModule m = assemble(text);
  HostTensor x(dt::f32_, {64});
  for (int i = 0; i < 64; ++i) x.set_value(i, i * 0.37);
  bool orders_differ = false;
  HostTensor first_order(dt::i32_, {20, 3});
  for (const Way& way : kWays) {
    HostTensor r0(dt::f32_, {16}), order0(dt::i32_, {20, 3});
    for (uint32_t threads : {1u, 2u, 5u}) {
      HostTensor r(dt::f32_, {16}), order(dt::i32_, {20, 3});
      Options options = options_of(way);
      options.threads = threads;
      auto o = run(m, {20, x, r, order}, options);
      REQUIRE_MESSAGE(error_of(o) == "", o.error->message);
      if (threads == 1) r0 = r, order0 = order;
      CHECK(same(r, r0));
      CHECK(same(order, order0));
    }
    if (&way == kWays) first_order = order0;
    orders_differ |= !same(order0, first_order);
  }
  CHECK(orders_differ);  // random schedules are schedules of their own
}

TEST_CASE("traps name the strand; limits and interrupts stop strands that wait for nothing") {
  const char* text = R"(
kernel k(n: i32, r: inout i32[1]) grid(1) warps(4)
{
    parallel {
        warps 0..2 by 1 (%w) { assert %w != n }
        warps 2..4 { %i = 0
            while n > 1 { %i = %i + 1 } }
    }
})";
  HostTensor r(dt::i32_, {1});
  auto o = run(text, {1, r});
  REQUIRE(error_of(o) == "T0821");
  CHECK(o.place.strand == 2);
  CHECK(o.error->notes.back().message ==
        "in kernel `k`, block (0,0,0), strand 2, instruction 3: `assert`");
  Options options;
  options.limits.steps = 100000;
  CHECK(error_of(run(text, {2, r}, options)) == "L0851");
  options.limits = {};
  options.limits.memory_bytes = 400;  // one strand has room, four have not
  CHECK(error_of(run(text, {9, r}, options)) == "L0853");
}

TEST_CASE("what strands print says which strand") {
  const char* text = R"(
kernel k(r: inout i32[1]) grid(1) warps(3)
{
    %x = 5
    print %x
    parallel { warps 0..1 { %y = 6 }
               warps 1..3 { %z = %x + 2
                   print %z } }
})";
  VerifiedModule m = assemble(text);
  HostTensor r(dt::i32_, {1});
  std::string shown;
  Options options;
  options.on_print = [&](const interp::Shown& s) {
    shown += fmt::format("{}:{}", s.strand, interp::format_shown(m, 0, s));
  };
  REQUIRE(error_of(run(m, {r}, options)) == "");
  CHECK(shown ==
        "0:%x: i32 block (0,0,0) test.vmasm:5:5\n5\n2:%z: i32 block (0,0,0) strand 2 "
        "test.vmasm:8:20\n7\n");
}
