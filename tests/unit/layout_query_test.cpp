// Queries against enumeration that shares nothing with them, and the facts that back ends rely on.
#include <map>
#include <set>

#include "isa/layout_atoms.h"
#include "isa/layout_bits.h"
#include "isa/layout_query.h"
#include "isa/layout_require.h"
#include "tests/unit/layout_random.h"

using namespace tess;

namespace {
constexpr int kCases = 400;
using Vector = std::vector<int64_t>;

Layout parse(const std::string& text) {
  auto l = parse_layout_expr(text);
  REQUIRE_MESSAGE(l, text << ": " << l.error().message);
  return *l;
}

Layout random_tile_registers(bool powers, Vector& shape) {
  Layout l = chance(30) && powers
                 ? require_value(parse_layout_expr(random_bases({2, 3, 1}, {8, 8})))
                 : random_registers({powers, true, 2, 3});
  shape = l.shape;
  return l;
}

Layout random_tile_memory(const Vector& shape, bool powers) {
  bool row = chance(60);
  int64_t pad = powers || chance(40) ? 0 : random_in(1, 4);
  Layout l =
      require_value(strided(shape, row ? Vector{shape[1] + pad, 1} : Vector{1, shape[0] + pad}));
  if (!chance(50)) return l;
  int b = static_cast<int>(random_in(1, 3));
  return require_value(
      swizzle({b, static_cast<int>(random_in(0, 3)), b + static_cast<int>(random_in(0, 2))}, l));
}

// v works iff one partition of the registers into v-tuples gives, in every thread, v consecutive
// offsets from a multiple of v. Copies of another register are dropped first.
bool vector_works(const std::vector<Vector>& offsets, int64_t v) {
  std::vector<size_t> regs;
  for (size_t r = 0; r < offsets[0].size(); ++r) {
    bool copy = false;
    for (size_t q : regs) {
      bool same = true;
      for (const Vector& t : offsets) same = same && t[q] == t[r];
      copy = copy || same;
    }
    if (!copy) regs.push_back(r);
  }
  for (size_t r : regs) {
    int64_t slot = offsets[0][r] % v;
    for (const Vector& t : offsets)
      if (t[r] % v != slot) return false;
    for (int64_t other = 0; other < v;
         ++other) {  // its partner for that slot exists in every thread, the same register
      bool found = false;
      for (size_t q : regs) {
        bool partner = true;
        for (const Vector& t : offsets) partner = partner && t[q] == t[r] - slot + other;
        found = found || partner;
      }
      if (!found) return false;
    }
  }
  return true;
}

std::vector<Vector> offsets_by_thread(const Layout& reg, const Layout& mem) {
  std::vector<Vector> table;
  LayoutPoint p;
  for (p.warp = 0; p.warp < size_of(reg, Label::warp); ++p.warp)
    for (p.lane = 0; p.lane < size_of(reg, Label::lane); ++p.lane) {
      Vector t;
      for (p.reg = 0; p.reg < registers_of(reg); ++p.reg)
        t.push_back(offset_of(mem, apply(reg, p)));
      table.push_back(std::move(t));
    }
  return table;
}
}  // namespace

TEST_CASE("vec is the widest access that enumeration finds, and its register order is one") {
  law("vec", 2 * kCases, [] {
    bool powers = chance(60);
    Vector shape;
    Layout reg = random_tile_registers(powers, shape);
    Layout mem = random_tile_memory(shape, powers);
    int64_t v = *vector_width(reg, mem);
    auto table = offsets_by_thread(reg, mem);
    int64_t want = 1;
    for (int64_t k = 2; k <= registers_of(reg); k *= 2)
      if (vector_works(table, k)) want = k;
    RC_ASSERT(v == want);
    Vec access = *vector_access(reg, mem);
    RC_ASSERT(access.elems == v);
    for (const Vector& t : table)
      for (size_t i = 0; i < access.order.size(); ++i) {
        int64_t first = t[access.order[i / v * v]];
        RC_ASSERT(first % v == 0 && t[access.order[i]] == first + static_cast<int64_t>(i % v));
      }
    int64_t limit = int64_t{1} << random_in(0, 3);
    RC_ASSERT(*vector_width(reg, mem, {0, 128, limit, 0}) == std::min(v, limit));
    RC_ASSERT(*vector_width(reg, mem, {32, 128, 0, 0}) == std::min<int64_t>(v, 4));
    RC_ASSERT(*vector_width(reg, mem, {0, 128, 0, limit * 3}) == std::min(v, limit));
  });
}

TEST_CASE("bank conflicts by elimination equal counted ones") {
  law("banks", 2 * kCases, [] {
    bool powers = chance(60);
    Vector shape;
    Layout reg = random_tile_registers(powers, shape);
    RC_PRE(size_of(reg, Label::lane) <= 32);
    Layout mem = random_tile_memory(shape, powers);
    int bits = pick<int>({8, 16, 32, 64});
    Banks b = *banks(reg, mem, bits);
    Vec v = *vector_access(reg, mem, {bits, 128, 0, 0});
    RC_ASSERT(b.vec == v.elems);
    int width = std::max<int>(1, static_cast<int>(v.elems) * bits / 8), worst = 1;
    LayoutPoint p;
    for (p.warp = 0; p.warp < size_of(reg, Label::warp); ++p.warp)
      for (size_t i = 0; i < v.order.size(); i += v.elems) {
        Vector addresses;
        p.reg = v.order[i];
        for (p.lane = 0; p.lane < size_of(reg, Label::lane); ++p.lane)
          addresses.push_back(offset_of(mem, apply(reg, p)) * bits / 8);
        worst = std::max(worst, bank_ways(addresses, width));
      }
    RC_ASSERT(b.ways == worst);
  });
}

TEST_CASE("injective and covers against enumeration") {
  law("sets", 2 * kCases, [] {
    Layout l = chance(50) ? random_memory({chance(50), chance(40), chance(40), 3, 6})
                          : random_registers({chance(50), true, 2, 3});
    std::set<Vector> image;
    for (const LayoutPoint& p : all_points(l)) image.insert(apply(l, p));
    RC_ASSERT(*is_injective(l) == (static_cast<int64_t>(image.size()) == input_size(l)));
    int64_t whole = 1;
    for (int64_t s : l.shape) whole *= s;
    if (l.bits.identity() || linear_of(l))
      RC_ASSERT(*covers(l) == (static_cast<int64_t>(image.size()) == whole));
  });
}

TEST_CASE("a conversion goes no farther than its farthest element, over F2 and by enumeration") {
  law("conversion", 2 * kCases, [] {
    Layout src, dst;
    if (chance(50)) {
      src = require_value(parse_layout_expr(random_bases({2, 3, 1, 1}, {4, 8})));
      dst = require_value(parse_layout_expr(random_bases({2, 3, 1, 1}, {4, 8})));
    } else {
      Layout a = random_registers({false, true, 1, 2}), b = random_registers({false, true, 1, 2});
      src = require_value(concat(a, b));
      dst = require_value(permute(require_value(concat(b, a)), {1, 0}));
    }
    int worst = 0;
    bool same = registers_of(src) == registers_of(dst), reachable = true;
    for (const LayoutPoint& p : all_points(dst)) {
      Vector e = apply(dst, p);
      int best = 5;
      for (const LayoutPoint& q : all_points(src)) {
        if (apply(src, q) != e) continue;
        int distance = q.cta != p.cta ? 4 : q.warp != p.warp ? 3 : q.lane != p.lane ? 2 : 1;
        best = std::min(best, distance);
      }
      bool held = p.reg < registers_of(src) && p.lane < size_of(src, Label::lane) &&
                  p.warp < size_of(src, Label::warp) && p.cta < size_of(src, Label::cta);
      same = same && held && apply(src, p) == e;
      reachable = reachable && best < 5;
      worst = std::max(worst, best);
    }
    auto c = conversion(src, dst);
    RC_ASSERT(static_cast<bool>(c) == reachable);
    if (c) RC_ASSERT(static_cast<int>(c->where) == (same ? 0 : worst));
  });
}

TEST_CASE("facts that lowering relies on") {
  Layout a = parse("mma.m16n8k16.f16.A"), c = parse("mma.m16n8.f32.C");
  CHECK(*vector_width(a, parse("Sw<3,3,3> o (128,64):(64,1)")) == 2);
  CHECK(matrix_banks(a, parse("Sw<3,3,3> o (128,64):(64,1)"))->ways == 1);
  CHECK(matrix_banks(a, parse("(128,64):row"))->ways == 8);
  CHECK(matrix_banks(a, parse("(64,64):(72,1)"))->ways == 1);
  CHECK(matrix_banks(a, parse("(64,64):(72,1)"))->matrix == Matrix::plain);
  CHECK(matrix_banks(parse("mma.m16n8k16.f16.B"), parse("(64,64):row"))->matrix == Matrix::trans);
  CHECK(matrix_banks(parse("mma.m16n8k16.f16.B"), parse("(64,64):(72,1)"))->matrix ==
        Matrix::trans);
  CHECK(matrix_banks(parse("mma.m16n8k16.f16.B"), parse("(64,64):(72,1)"))->ways == 1);
  CHECK(matrix_banks(parse("mma.m16n8k16.f16.B"), parse("(64,64):col"))->matrix == Matrix::plain);
  CHECK(diag_id(matrix_banks(parse("spatial(4,8)"), parse("(64,64):row")).error().code) == "E0616");
  CHECK(matrix_banks(parse("mma.m16n8k32.s8.A"), parse("Sw<3,4,3> o (64,128):row"), 8)->ways == 1);
  // The accumulator of two neighbouring products is the next A operand by renaming alone.
  CHECK(conversion(parse("local(1,2) * mma.m16n8.f32.C"), a)->where == Move::none);
  CHECK(conversion(parse("wgmma.m64n16.C"), parse("wgmma.m64k16.f16.A"))->where == Move::none);
  CHECK(conversion(parse("{reg:[(0,1),(0,8),(8,0)] lane:[(0,2),(0,4),(1,0),(2,0),(4,0)] -> 16,16}"),
                   a)
            ->where == Move::reg);
  Conversion lane = *conversion(parse("local(1,4) * mma.m16n8.f32.C"), parse("mma.m16n8k32.s8.A"));
  CHECK(lane.where == Move::lane);
  CHECK(lane.cost > 0);
  CHECK(conversion(parse("warps(4,1)*spatial(8,4)*local(1,2)"),
                   parse("warps(2,2)*local(2,1)*spatial(8,2)*spatial(1,2)"))
            ->where == Move::shared);
  CHECK(divides(c, parse("warps(2,2) * local(4,8) * mma.m16n8.f32.C")));
  CHECK(divides(a, parse("warps(2,2) * local(4,8) * mma.m16n8.f32.C")));
  CHECK(!divides(parse("ldmatrix.x1.trans"), a));
}

TEST_CASE("bank conflicts of elements that are no power of two are counted") {
  Banks b = *banks(parse("spatial(32,1)"), parse("(32,32):row"), 3);
  CHECK(b.ways >= 1);
  CHECK(banks(parse("spatial(32,1)"), parse("(32,32):row"), 32)->ways == 32);
  CHECK(banks(parse("spatial(32,1)"), parse("(32,33):row"), 32)->ways == 1);
}

TEST_CASE("the chosen shared layout is free of conflicts where one is") {
  struct Case {
    const char *write, *read;
    int bits;
    bool write_matrix, read_matrix;
  };
  for (const Case& c :
       {Case{"local(32,1)*spatial(1,32)", "local(1,32)*spatial(32,1)", 32, false,
             false},  // transpose
        Case{"local(8,1)*warps(4,1)*spatial(1,32)", "local(1,8)*warps(1,4)*spatial(32,1)", 32,
             false, false},
        Case{"local(64,1)*spatial(1,32)*local(1,2)", "local(1,64)*spatial(32,1)*local(2,1)", 16,
             false, false},
        Case{"local(16,1)*spatial(8,4)*local(1,8)", "warps(4,1)*local(2,2)*mma.m16n8k16.f16.A", 16,
             false, true},
        Case{"local(8,1)*spatial(4,8)*local(1,8)", "local(2,8)*mma.m16n8k16.f16.B", 16, false,
             true},
        Case{"local(4,8)*mma.m16n8.f16.C", "local(16,1)*spatial(4,8)*local(1,8)", 16, true, false},
        Case{"local(6,1)*spatial(8,4)*local(1,16)", "local(3,4)*mma.m16n8k16.f16.A", 16, false,
             true}}) {
    INFO(c.write);
    Layout w = parse(c.write), r = parse(c.read);
    auto choice =
        choose_shared_layout(w.shape, c.bits, {{&w, c.write_matrix}, {&r, c.read_matrix}});
    REQUIRE_MESSAGE(choice, choice.error().message);
    CHECK_MESSAGE(choice->ways == 1, print_layout(choice->mem));
    CHECK(*is_injective(choice->mem));
    if (c.read_matrix) CHECK(choice->uses[1].matrix != Matrix::none);
  }
}

TEST_CASE("memory whose neighbours are apart, and the registers that fill it") {
  auto run =
      register_run(parse("{reg:[(0,4),(0,8),(0,16),(0,1),(0,2)] lane:[(1,0),(2,0)] -> 4,64}"));
  REQUIRE(run);
  CHECK(*run == RegisterRun{1, 4, 8});
  CHECK(*register_run(parse("spatial(4,8)*local(1,8)")) == RegisterRun{1, 1, 8});
  CHECK(!register_run(parse("spatial(4,8)")));
  for (const char* text : {"(4,64):row", "(4,64):col", "(4,64):(80,1)"})
    for (RegisterRun how : {RegisterRun{1, 4, 8}, {1, 2, 32}, {1, 32, 2}, {1, 8, 2}}) {
      Layout plain = parse(text);
      auto memory = interleaved(plain, how);
      REQUIRE(memory);
      CHECK(*is_injective(*memory));
      for (int64_t i = 0; i < 4; ++i)
        for (int64_t j = 0; j < 64; ++j) {
          int64_t block = how.apart * how.count, in = j % block;
          int64_t place = j - in + in % how.apart * how.count + in / how.apart;
          CHECK(offset_of(*memory, {i, j}) == offset_of(plain, {i, place}));
        }
      CHECK(parse(print_layout(*memory)) == *memory);
    }
  CHECK(!interleaved(parse("(4,64):row"), {1, 3, 8}));
  CHECK(!interleaved(parse("(4,64):row"), {1, 1, 8}));
  CHECK(!interleaved(parse("(4,64):row"), {2, 4, 8}));
  // Fields of four bits, widened where they are, on their way to the operand of a product.
  Layout w = parse(
      "{reg:[(0,4),(0,8),(0,16),(0,1),(0,2)] lane:[(0,32),(1,0),(2,0),(4,0),(8,0)] "
      "warp:[(16,0),(32,0)] -> 64,64}");
  Layout r = parse(
      "{reg:[(1,0),(8,0),(16,0),(32,0),(0,32)] lane:[(2,0),(4,0),(0,4),(0,8),(0,16)] "
      "warp:[(0,1),(0,2)] -> 64,64}");
  auto choice = choose_shared_layout(w.shape, 16, {{&w, false}, {&r, true}});
  REQUIRE_MESSAGE(choice, choice.error().message);
  CHECK(choice->ways == 1);
  CHECK(choice->uses[0].vec == 8);
  CHECK(choice->uses[1].matrix == Matrix::trans);
}

TEST_CASE("require: holds, fails with a coordinate, and points at the text") {
  Layout a = parse("mma.m16n8k16.f16.A"), s = parse("Sw<3,3,3> o (128,64):(64,1)"),
         plain = parse("(128,64):row");
  LayoutEnv env;
  env.layout = [&](std::string_view name) {
    return name == "a" ? &a : name == "s" ? &s : name == "plain" ? &plain : nullptr;
  };
  env.constant = [](std::string_view name) -> std::optional<int64_t> {
    return name == "BM" ? std::optional<int64_t>(128) : std::nullopt;
  };
  auto holds = [&](const char* text) {
    auto r = check_require(text, env);
    if (!r) MESSAGE(text << ": " << r.error().message);
    return static_cast<bool>(r);
  };
  CHECK(holds("vec(#a,#s) == 2, banks(ldmatrix(#a,#s)) == 1"));
  CHECK(holds("vec(#s,#a) >= 2, covers(#a), injective(#s), not covers((8,8):(9,1))"));
  CHECK(holds(
      "size(#s) == BM*64, cosize((64,64):(72,1)) == 4600, registers(#a) == 8, threads(#a) == 32"));
  CHECK(holds("convert(local(1,2)*mma.m16n8.f32.C, #a) == none, convert(#a, #a) <= lane"));
  CHECK(
      holds("divides(#a, local(2,2) * #a), banks(#a, #s, f16) == 1, #a == "
            "column_local(2,2)*spatial(8,4)*local(1,2)"));
  struct Failure {
    const char *text, *code, *note;
  };
  for (const Failure& f :
       {Failure{"vec(#a,#plain) == 4", "E0615",
                "register 0 of lane 0 holds element (0,0) at offset 0; offset 2"},
        Failure{"banks(ldmatrix(#a,#plain)) == 1", "E0615",
                "elements (0,0) and (1,0) lie at bytes 0 and 128, both in bank 0"},
        Failure{"banks(#a,#plain,f16) == 1", "E0615", "both in bank"},
        Failure{"covers(local(2,1)*#a), covers((8,8):(9,1))", "E0615",
                "offset 8 is reached from nowhere"},
        Failure{"injective((8,8):(4,1))", "E0615",
                "element (1,0) and element (0,4) both map to offset 4"},
        Failure{"convert(spatial(8,4)*local(1,2), ldmatrix.x1.trans) == register", "E0615",
                "which comes from another lane"},
        Failure{"#a == ldmatrix.x4", "E0615", "shapes"},
        Failure{"spatial(8,4)*local(1,2) == ldmatrix.x1.trans", "E0615",
                "register 1 of lane 0: element (0,1) in the one, element (1,0) in the other"},
        Failure{"vec(#a)", "E0600", ""}, Failure{"vec(#a,#zz) == 1", "E0602", ""},
        Failure{"bank(#a,#s) == 1", "E0602", ""}, Failure{"vec(#a,#s)", "E0614", ""},
        Failure{"banks(#a,#s) == 1", "E0614", ""}, Failure{"vec(#a,#s) == 2 2", "E0614", ""},
        Failure{"banks(ldmatrix(spatial(4,8),#s)) == 1", "E0616", ""}}) {
    INFO(f.text);
    auto r = check_require(f.text, env, {0, 3, 9, 0});
    REQUIRE(!r);
    CHECK(diag_id(r.error().code) == f.code);
    CHECK(r.error().span.line == 3);
    CHECK(r.error().span.col >= 9);
    if (*f.note) {
      REQUIRE(!r.error().notes.empty());
      CHECK_MESSAGE(r.error().notes[0].message.find(f.note) != std::string::npos,
                    r.error().notes[0].message);
    }
  }
}

TEST_CASE("a view keeps threads and bits, and makes no copies of different values") {
  Layout raw = parse("spatial(128,1) * local(1,4)"), q = parse("local(1,4) * wgmma.m64k16.f16.A");
  CHECK(check_view(raw, 32, q, 4));
  CHECK(check_view(q, 4, raw, 32));
  CHECK(diag_id(check_view(raw, 32, q, 8).error().code) == "E0618");
  CHECK(diag_id(check_view(parse("spatial(32,1) * local(1,4)"), 32, q, 4).error().code) == "E0618");
  Layout copies = parse("replicate(2) * spatial(16) * local(2)"),
         distinct = parse("spatial(32) * local(1)");
  CHECK(check_view(copies, 16, parse("replicate(2) * spatial(16)"), 32));
  Status wrong = check_view(distinct, 32, copies, 16);
  REQUIRE(!wrong);
  CHECK(diag_id(wrong.error().code) == "E0619");
  CHECK(wrong.error().notes[0].message ==
        "register 0 of lane 0 and register 0 of lane 16 are copies in the result, and differ in "
        "the source at bit 0");
  law("view against every pair of bits", kCases, [] {
    Layout dst = random_registers({true, true, 1, 3}), src = random_registers({true, true, 1, 3});
    int dst_bits = pick<int>({1, 2, 4, 8}), src_bits = pick<int>({1, 2, 4, 8});
    bool shapes = registers_of(src) * src_bits == registers_of(dst) * dst_bits;
    for (Label label : {Label::lane, Label::warp, Label::cta})
      shapes = shapes && size_of(src, label) == size_of(dst, label);
    if (chance(70)) src = dst, src_bits = dst_bits, shapes = true;
    std::map<std::pair<Vector, int64_t>, std::pair<Vector, int64_t>> meaning;
    bool legal = shapes;
    if (shapes)
      for (const LayoutPoint& p : all_points(dst))
        for (int64_t b = 0; b < dst_bits; ++b) {
          LayoutPoint s = p;
          int64_t bit = p.reg * dst_bits + b;
          s.reg = bit / src_bits;
          std::pair<Vector, int64_t> held{apply(src, s), bit % src_bits};
          legal = legal && meaning.emplace(std::pair{apply(dst, p), b}, held).first->second == held;
        }
    RC_ASSERT(static_cast<bool>(check_view(src, src_bits, dst, dst_bits)) == legal);
  });
}
