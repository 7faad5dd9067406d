// Where shared tiles lie: by hand, and for random programs by walking their paths: a tile that is
// read must still own its bytes, and a barrier must have passed since another tile had them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>
#include <set>

#include "isa/regions.h"
#include "jit/tile/barriers.h"
#include "jit/tile/shared_plan.h"
#include "tests/unit/infer_harness.h"

namespace tess {
namespace {

using jit::OverlapPrice;
using jit::SharedPlan;
using jit::SharedTile;

constexpr int64_t kGrain = 128;

struct Placed {
  VerifiedModule module;
  SharedPlan plan;
};
Placed placed(const std::string& body, const std::string& header = "") {
  std::string text = "kernel k(n: i32, x: in f32[n], y: out f32[n])\n    grid(1) warps(4)" +
                     header + "\n{\n" + body + "}\n";
  CAPTURE(text);
  VerifiedModule m = test::verified(jit::place_barriers(test::load_text(text), 0));
  auto plan = jit::plan_shared_memory(m.module(), m.kernel(0), m.info(0), OverlapPrice::free);
  REQUIRE(plan);
  return {std::move(m), std::move(*plan)};
}

std::string use(const std::string& tile, int n) {
  return fmt::format("store (load x[0:+{1}]), %{0}[:]\nstore (load %{0}[:]), y[0:+{1}]\n", tile, n);
}

// One path through a kernel: branches and numbers of iterations are drawn.
class Path {
 public:
  Path(const Placed& p, uint32_t seed)
      : k_(p.module.kernel(0)),
        info_(p.module.info(0)),
        regions_(k_),
        plan_(p.plan),
        draw_(seed),
        grains_(static_cast<size_t>(p.plan.bytes / kGrain + 1)) {}
  std::string run() {
    walk(0, static_cast<uint32_t>(k_.code.size()));
    return problem_;
  }

 private:
  struct Grain {
    uint32_t owner = ~0u;
    std::set<uint32_t> read, written;  // since the last barrier
  };

  void walk(uint32_t from, uint32_t to) {
    for (uint32_t pc = from; pc < to && problem_.empty(); ++pc) {
      uint32_t match = info_.match[pc];
      switch (k_.code[pc].op) {
        case Op::for_:
          for (uint32_t times = draw_() % 4; times > 0; --times) walk(pc + 1, match);
          pc = match;
          break;
        case Op::if_: {
          bool has_else = k_.code[match].op == Op::else_;
          if (draw_() % 2) walk(pc + 1, match);
          else if (has_else) walk(match + 1, info_.match[match]);
          pc = has_else ? info_.match[match] : match;
          break;
        }
        default:
          step(pc);
      }
    }
  }

  void step(uint32_t pc) {
    const Inst& inst = k_.code[pc];
    if (inst.op == Op::smem) has_value_.erase(k_.results(inst)[0].index());
    if (inst.op == Op::barrier)
      for (Grain& g : grains_) g.read.clear(), g.written.clear();
    if (inst.op != Op::load && inst.op != Op::store) return;
    bool writes = inst.op == Op::store;
    auto region = regions_.of(k_.args(inst)[writes ? 1 : 0]);
    for (const SharedTile& t : plan_.tiles)
      if (t.value == region->base) access(pc, t, writes);
  }

  void access(uint32_t pc, const SharedTile& t, bool writes) {
    for (int64_t g = t.place / kGrain; g * kGrain < t.end(); ++g) {
      Grain& grain = grains_[static_cast<size_t>(g)];
      if (!writes && has_value_.contains(t.value) && grain.owner != t.value)
        problem_ = fmt::format("at {}: %{} was overwritten", pc, std::string(k_.values[t.value].name));
      for (const auto* others : {&grain.written, writes ? &grain.read : &grain.written})
        for (uint32_t other : *others)
          if (other != t.value)
            problem_ = fmt::format("at {}: no barrier after %{}", pc, std::string(k_.values[other].name));
      (writes ? grain.written : grain.read).insert(t.value);
      if (writes) grain.owner = t.value;
    }
    if (writes) has_value_.insert(t.value);
  }

  const Kernel& k_;
  const KernelInfo& info_;
  Regions regions_;
  const SharedPlan& plan_;
  std::minstd_rand draw_;
  std::vector<Grain> grains_;
  std::set<uint32_t> has_value_;
  std::string problem_;
};

class RandomBody {
 public:
  explicit RandomBody(uint32_t seed) : draw_(seed) {}
  std::string make() {
    for (int i = 0; i < 3; ++i) declare();
    for (int i = 0; i < 7; ++i) statement(0);
    return text_;
  }

 private:
  void declare() {
    tiles_.push_back(static_cast<int>(32 << draw_() % 3));
    text_ += fmt::format("%t{} = smem f32[{}]\n", tiles_.size() - 1, tiles_.back());
  }
  void statement(int depth) {
    size_t t = draw_() % tiles_.size();
    switch (draw_() % (depth < 3 ? 8 : 6)) {
      case 0:
      case 1:
        text_ += fmt::format("store (load x[0:+{0}]), %t{1}[:]\n", tiles_[t], t);
        break;
      case 2:
      case 3:
        text_ += fmt::format("store (load %t{1}[:]), y[0:+{0}]\n", tiles_[t], t);
        break;
      case 4:
        text_ += use(fmt::format("t{}", t), tiles_[t]);
        break;
      case 5:
        if (draw_() % 3 == 0) text_ += "barrier\n";
        break;
      case 6:
      case 7: {
        bool loop = draw_() % 2;
        std::vector<int> before = tiles_;
        text_ += loop ? fmt::format("for %i{} in 0..n {{\n", counters_++) : "if n > 5 {\n";
        if (draw_() % 2) declare_inside(depth);
        for (uint32_t i = 1 + draw_() % 4; i > 0; --i) statement(depth + 1);
        if (!loop && draw_() % 2) {
          text_ += "} else {\n";
          statement(depth + 1);
        }
        text_ += "}\n";
        break;
      }
    }
  }
  // Used there and nowhere else.
  void declare_inside(int depth) {
    int n = static_cast<int>(32 << draw_() % 3);
    std::string name = fmt::format("d{}", inner_++);
    text_ += fmt::format("%{} = smem f32[{}]\n", name, n) + use(name, n);
    if (draw_() % 2) {
      statement(depth + 1);
      text_ += fmt::format("store (load %{}[:]), y[0:+{}]\n", name, n);
    }
  }

  std::minstd_rand draw_;
  std::vector<int> tiles_;
  int counters_ = 0, inner_ = 0;
  std::string text_;
};

}  // namespace

TEST_CASE("shared plan: tiles one after the other in time lie on each other") {
  Placed p = placed("%a = smem f32[256]\n%b = smem f32[128]\n" + use("a", 256) + use("b", 128));
  CHECK(p.plan.bytes == 1024);
  CHECK(jit::overlapping(p.plan).size() == 1);
}

TEST_CASE("shared plan: tiles alive together, or round one loop, do not") {
  std::string two = "%a = smem f32[256]\n%b = smem f32[128]\n";
  CHECK(placed(two + "store (load x[0:+256]), %a[:]\n" + use("b", 128) +
               "store (load %a[:]), y[0:+256]\n")
            .plan.bytes == 1536);
  CHECK(placed(two + "for %i in 0..n {\n" + use("a", 256) + use("b", 128) + "}\n").plan.bytes ==
        1536);
}

TEST_CASE("shared plan: without a barrier between them under `sync manual`, they do not") {
  std::string first =
      "%a = smem f32[256]\n%b = smem f32[128]\nstore (load x[0:+256]), %a[:]\nbarrier\n"
      "store (load %a[:]), y[0:+256]\n";
  std::string second = "store (load x[0:+128]), %b[:]\nbarrier\nstore (load %b[:]), y[0:+128]\n";
  CHECK(placed(first + second, " sync manual").plan.bytes == 1536);
  CHECK(placed(first + "barrier\n" + second, " sync manual").plan.bytes == 1024);
}

TEST_CASE("shared plan: a copy in flight keeps its tile until the wait for all") {
  auto bytes = [](const char* early, const char* late) {
    return placed(
               fmt::format("%a = smem f32[256]\n%b = smem f32[128]\ncopy.async %a[:], x[0:+256]\n"
                           "copy.async.commit\n{}{}{}",
                           early, use("b", 128), late))
        .plan.bytes;
  };
  CHECK(bytes("copy.async.wait 0\n", "") == 1024);
  CHECK(bytes("", "copy.async.wait 0\n") == 1536);
  CHECK(bytes("if n > 3 {\ncopy.async.wait 0\n}\n", "copy.async.wait 0\n") == 1536);
}

TEST_CASE("shared plan: on every path of random programs tiles keep their bytes") {
  int shared = 0;
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::string body = RandomBody(seed * 7919).make();
    Placed p = placed(body);
    CAPTURE(body);
    shared += !jit::overlapping(p.plan).empty();
    for (uint32_t path = 1; path <= 20; ++path) REQUIRE(Path(p, path * 104729).run() == "");
  }
  CHECK(shared > 20);
}

}  // namespace tess
