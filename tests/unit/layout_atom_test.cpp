// Every fragment equals the table of the PTX ISA, written here as the formulas that it prints, at
// every (lane, register), through every spelling.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "isa/layout_atoms.h"
#include "isa/layout_cute.h"
#include "isa/layout_query.h"
#include "isa/layout_spell.h"

using namespace tess;

namespace {
using Vector = std::vector<int64_t>;
using Formula =
    std::function<Vector(int64_t lane, int64_t i)>;  // lane of the warpgroup, element a_i

// The fragment in each spelling: all must map every (lane, register) alike.
std::vector<Layout> all_spellings(const Layout& l) {
  std::vector<Layout> forms{l};
  for (auto spell : {spell_product, spell_bases, spell_digits}) {
    auto text = spell(l);
    bool powers = (registers_of(l) & (registers_of(l) - 1)) == 0;
    if (spell == spell_bases && !powers) {  // wgmma.m64n24.C and the like
      CHECK(!text);
      continue;
    }
    REQUIRE_MESSAGE(text, text.error().message);
    auto back = parse_layout_expr(*text);
    REQUIRE_MESSAGE(back, *text << ": " << back.error().message);
    forms.push_back(*back);
  }
  return forms;
}

void check_atom(const std::string& name, const Vector& shape, int64_t threads, int64_t registers,
                const Formula& f) {
  INFO(name);
  auto atom = parse_layout_expr(name);
  REQUIRE_MESSAGE(atom, atom.error().message);
  for (const Layout& l : all_spellings(*atom)) {
    CHECK(l.shape == shape);
    CHECK(threads_of(l) == threads);
    CHECK(registers_of(l) == registers);
    for (int64_t lane = 0; lane < threads; ++lane)
      for (int64_t i = 0; i < registers; ++i)
        CHECK(apply(l, LayoutPoint{i, lane % 32, lane / 32, 0, {}}) == f(lane, i));
  }
  if (shape.size() == 2) {
    auto text = spell_thread_value(*atom, true);
    REQUIRE(text);
    auto cute = cute::parse(*text);
    REQUIRE(cute);
    for (int64_t lane = 0; lane < threads; ++lane)
      for (int64_t i = 0; i < registers; ++i) {
        Vector v = f(lane, i);
        CHECK(cute::at(cute::flat(*cute), lane + threads * i) == v[0] + shape[0] * v[1]);
      }
    auto back = parse_layout_expr("thread_value(" + *text + ", " + std::to_string(shape[0]) + ", " +
                                  std::to_string(shape[1]) + ")");
    REQUIRE_MESSAGE(back, *text << ": " << back.error().message);
    CHECK(*back == *atom);
  }
  CHECK(*covers(*atom));
  CHECK(*is_injective(*atom));
}

int64_t group(int64_t lane) { return lane % 32 >> 2; }
int64_t in_group(int64_t lane) { return lane % 4; }
std::string mma(int m, int k, const std::string& type, char operand) {
  return "mma.m" + std::to_string(m) + "n8k" + std::to_string(k) + "." + type + "." + operand;
}
}  // namespace

TEST_CASE("mma.m16n8k8 and k16, f16 and bf16") {
  for (std::string type : {"f16", "bf16"}) {
    check_atom(mma(16, 8, type, 'A'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
      return Vector{i < 2 ? group(l) : group(l) + 8, in_group(l) * 2 + (i & 1)};
    });
    check_atom(mma(16, 8, type, 'B'), {8, 8}, 32, 2, [](int64_t l, int64_t i) {
      return Vector{in_group(l) * 2 + i, group(l)};
    });
    check_atom(mma(16, 16, type, 'A'), {16, 16}, 32, 8, [](int64_t l, int64_t i) {
      bool upper = (0 <= i && i < 2) || (4 <= i && i < 6);
      return Vector{upper ? group(l) : group(l) + 8, in_group(l) * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
    });
    check_atom(mma(16, 16, type, 'B'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
      return Vector{in_group(l) * 2 + (i & 1) + (i >= 2 ? 8 : 0), group(l)};
    });
  }
}

TEST_CASE("mma.m16n8k4 and k8, tf32") {
  check_atom(mma(16, 4, "tf32", 'A'), {16, 4}, 32, 2, [](int64_t l, int64_t i) {
    return Vector{i == 0 ? group(l) : group(l) + 8, in_group(l)};
  });
  check_atom(mma(16, 4, "tf32", 'B'), {4, 8}, 32, 1, [](int64_t l, int64_t) {
    return Vector{in_group(l), group(l)};
  });
  check_atom(mma(16, 8, "tf32", 'A'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
    return Vector{i == 0 || i == 2 ? group(l) : group(l) + 8,
                  i < 2 ? in_group(l) : in_group(l) + 4};
  });
  check_atom(mma(16, 8, "tf32", 'B'), {8, 8}, 32, 2, [](int64_t l, int64_t i) {
    return Vector{i == 0 ? in_group(l) : in_group(l) + 4, group(l)};
  });
}

TEST_CASE("mma with f64") {
  check_atom(mma(8, 4, "f64", 'A'), {8, 4}, 32, 1, [](int64_t l, int64_t) {
    return Vector{l >> 2, l % 4};
  });
  check_atom(mma(8, 4, "f64", 'B'), {4, 8}, 32, 1, [](int64_t l, int64_t) {
    return Vector{l % 4, l >> 2};
  });
  check_atom("mma.m8n8.f64.C", {8, 8}, 32, 2, [](int64_t l, int64_t i) {
    return Vector{l >> 2, l % 4 * 2 + (i & 1)};
  });
  check_atom(mma(16, 4, "f64", 'A'), {16, 4}, 32, 2, [](int64_t l, int64_t i) {
    return Vector{i == 0 ? group(l) : group(l) + 8, in_group(l)};
  });
  check_atom(mma(16, 4, "f64", 'B'), {4, 8}, 32, 1, [](int64_t l, int64_t) {
    return Vector{in_group(l), group(l)};
  });
  check_atom(mma(16, 8, "f64", 'A'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
    return Vector{i == 0 || i == 2 ? group(l) : group(l) + 8,
                  i < 2 ? in_group(l) : in_group(l) + 4};
  });
  check_atom(mma(16, 8, "f64", 'B'), {8, 8}, 32, 2, [](int64_t l, int64_t i) {
    return Vector{i == 0 ? in_group(l) : in_group(l) + 4, group(l)};
  });
  check_atom(mma(16, 16, "f64", 'A'), {16, 16}, 32, 8, [](int64_t l, int64_t i) {
    return i % 2 == 0 ? Vector{group(l), i * 2 + in_group(l)}
                      : Vector{group(l) + 8, i * 2 - 2 + in_group(l)};
  });
  check_atom(mma(16, 16, "f64", 'B'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
    return Vector{in_group(l) + i * 4, group(l)};
  });
  check_atom("mma.m16n8k16.f64.C", {16, 8}, 32, 4, [](int64_t l, int64_t i) {
    return Vector{i < 2 ? group(l) : group(l) + 8, in_group(l) * 2 + (i & 1)};
  });
}

TEST_CASE("mma with 8-bit integers and floats") {
  for (std::string type : {"s8", "u8", "i8"}) {
    check_atom(mma(8, 16, type, 'A'), {8, 16}, 32, 4, [](int64_t l, int64_t i) {
      return Vector{l >> 2, l % 4 * 4 + i};
    });
    check_atom(mma(8, 16, type, 'B'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
      return Vector{l % 4 * 4 + i, l >> 2};
    });
  }
  for (std::string type : {"s8", "u8", "i8", "e4m3", "e5m2"}) {
    check_atom(mma(16, 16, type, 'A'), {16, 16}, 32, 8, [](int64_t l, int64_t i) {
      return Vector{i < 4 ? group(l) : group(l) + 8, in_group(l) * 4 + (i & 3)};
    });
    check_atom(mma(16, 16, type, 'B'), {16, 8}, 32, 4, [](int64_t l, int64_t i) {
      return Vector{in_group(l) * 4 + i, group(l)};
    });
    check_atom(mma(16, 32, type, 'A'), {16, 32}, 32, 16, [](int64_t l, int64_t i) {
      bool upper = i < 4 || (8 <= i && i < 12);
      return Vector{upper ? group(l) : group(l) + 8, in_group(l) * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
    });
    check_atom(mma(16, 32, type, 'B'), {32, 8}, 32, 8, [](int64_t l, int64_t i) {
      return Vector{in_group(l) * 4 + (i & 3) + (i >= 4 ? 16 : 0), group(l)};
    });
  }
}

TEST_CASE("mma with 4-bit integers and single bits") {
  for (std::string type : {"s4", "u4", "i4"}) {
    check_atom(mma(8, 32, type, 'A'), {8, 32}, 32, 8, [](int64_t l, int64_t i) {
      return Vector{l >> 2, l % 4 * 8 + i};
    });
    check_atom(mma(8, 32, type, 'B'), {32, 8}, 32, 8, [](int64_t l, int64_t i) {
      return Vector{l % 4 * 8 + i, l >> 2};
    });
    check_atom(mma(16, 32, type, 'A'), {16, 32}, 32, 16, [](int64_t l, int64_t i) {
      return Vector{i < 8 ? group(l) : group(l) + 8, in_group(l) * 8 + (i & 7)};
    });
    check_atom(mma(16, 32, type, 'B'), {32, 8}, 32, 8, [](int64_t l, int64_t i) {
      return Vector{in_group(l) * 8 + (i & 7), group(l)};
    });
    check_atom(mma(16, 64, type, 'A'), {16, 64}, 32, 32, [](int64_t l, int64_t i) {
      bool upper = i < 8 || (16 <= i && i < 24);
      return Vector{upper ? group(l) : group(l) + 8,
                    in_group(l) * 8 + (i & 7) + (i >= 16 ? 32 : 0)};
    });
    check_atom(mma(16, 64, type, 'B'), {64, 8}, 32, 16, [](int64_t l, int64_t i) {
      return Vector{in_group(l) * 8 + (i & 7) + (i >= 8 ? 32 : 0), group(l)};
    });
  }
  check_atom(mma(8, 128, "b1", 'A'), {8, 128}, 32, 32, [](int64_t l, int64_t i) {
    return Vector{l >> 2, l % 4 * 32 + i};
  });
  check_atom(mma(8, 128, "b1", 'B'), {128, 8}, 32, 32, [](int64_t l, int64_t i) {
    return Vector{l % 4 * 32 + i, l >> 2};
  });
  check_atom(mma(16, 128, "b1", 'A'), {16, 128}, 32, 64, [](int64_t l, int64_t i) {
    return Vector{i < 32 ? group(l) : group(l) + 8, in_group(l) * 32 + (i & 31)};
  });
  check_atom(mma(16, 128, "b1", 'B'), {128, 8}, 32, 32, [](int64_t l, int64_t i) {
    return Vector{in_group(l) * 32 + i, group(l)};
  });
  check_atom(mma(16, 256, "b1", 'A'), {16, 256}, 32, 128, [](int64_t l, int64_t i) {
    bool upper = i < 32 || (64 <= i && i < 96);
    return Vector{upper ? group(l) : group(l) + 8,
                  in_group(l) * 32 + (i & 31) + (i >= 64 ? 128 : 0)};
  });
  check_atom(mma(16, 256, "b1", 'B'), {256, 8}, 32, 64, [](int64_t l, int64_t i) {
    return Vector{in_group(l) * 32 + (i & 31) + (i >= 32 ? 128 : 0), group(l)};
  });
}

TEST_CASE("mma accumulators") {
  for (std::string type : {"f16", "f32", "f64", "s32", "i32"}) {
    check_atom("mma.m16n8." + type + ".C", {16, 8}, 32, 4, [](int64_t l, int64_t i) {
      return Vector{i < 2 ? group(l) : group(l) + 8, in_group(l) * 2 + (i & 1)};
    });
    check_atom("mma.m8n8." + type + ".C", {8, 8}, 32, 2, [](int64_t l, int64_t i) {
      return Vector{l >> 2, l % 4 * 2 + (i & 1)};
    });
  }
}

TEST_CASE("mma.m8n8k4 with f16: four products, one a pair of quads") {
  auto quad = [](int64_t l) { return l / 4 % 4; };
  check_atom("mma.m8n8k4.f16.A", {4, 8, 4}, 32, 4, [&](int64_t l, int64_t i) {
    return Vector{quad(l), l % 4 + (l < 16 ? 0 : 4), i};
  });
  check_atom("mma.m8n8k4.f16.B", {4, 4, 8}, 32, 4, [&](int64_t l, int64_t i) {
    return Vector{quad(l), i, l % 4 + (l < 16 ? 0 : 4)};
  });
  check_atom("mma.m8n8k4.f16.C", {4, 8, 8}, 32, 8, [&](int64_t l, int64_t i) {
    return Vector{quad(l), l % 4 + (l < 16 ? 0 : 4), i};
  });
  check_atom("mma.m8n8k4.f32.C", {4, 8, 8}, 32, 8, [&](int64_t l, int64_t i) {
    int64_t x = (l & 1) + (i & 2);
    return Vector{quad(l), l < 16 ? x : x + 4, (i & 4) + (l & 2) + (i & 1)};
  });
}

TEST_CASE("wgmma: A in registers, accumulators of every N") {
  auto warp_row = [](int64_t l) { return l / 32 * 16 + l % 32 / 4; };
  for (std::string type : {"f16", "bf16"})
    check_atom("wgmma.m64k16." + type + ".A", {64, 16}, 128, 8, [&](int64_t l, int64_t i) {
      return Vector{warp_row(l) + (i / 2 % 2) * 8, l % 4 * 2 + i % 2 + i / 4 * 8};
    });
  check_atom("wgmma.m64k8.tf32.A", {64, 8}, 128, 4, [&](int64_t l, int64_t i) {
    return Vector{warp_row(l) + i % 2 * 8, l % 4 + i / 2 * 4};
  });
  for (std::string type : {"s8", "u8", "e4m3", "e5m2"})
    check_atom("wgmma.m64k32." + type + ".A", {64, 32}, 128, 16, [&](int64_t l, int64_t i) {
      return Vector{warp_row(l) + (i / 4 % 2) * 8, l % 4 * 4 + i % 4 + i / 8 * 16};
    });
  for (int n = 8; n <= 256; n += 8)
    check_atom("wgmma.m64n" + std::to_string(n) + ".C", {64, n}, 128, n / 2,
               [&](int64_t l, int64_t i) {
                 return Vector{warp_row(l) + (i / 2 % 2) * 8, i / 4 * 8 + l % 4 * 2 + i % 2};
               });
}

TEST_CASE("ldmatrix and stmatrix deal matrices one below the other") {
  for (std::string move : {"ldmatrix", "stmatrix"})
    for (int64_t count : {1, 2, 4}) {
      std::string name = move + ".x" + std::to_string(count);
      check_atom(name, {8 * count, 8}, 32, 2 * count, [](int64_t l, int64_t i) {
        return Vector{i / 2 * 8 + l / 4, l % 4 * 2 + i % 2};
      });
      check_atom(name + ".trans", {8 * count, 8}, 32, 2 * count, [](int64_t l, int64_t i) {
        return Vector{i / 2 * 8 + l % 4 * 2 + i % 2, l / 4};
      });
    }
}

TEST_CASE(
    "shared-memory cores: the xor of the 16-byte unit with the row, in 128, 64 and 32 byte spans") {
  struct Type {
    std::string name;
    int bits;
  };
  for (const Type& type : {Type{"e4m3", 8}, Type{"bf16", 16}, Type{"tf32", 32}, Type{"u4", 4}})
    for (int span : {128, 64, 32}) {
      int64_t elems = span * 8 / type.bits, unit = 128 / type.bits;
      auto k_major = parse_layout_expr("smem.kmajor.sw" + std::to_string(span) + "." + type.name);
      auto mn_major = parse_layout_expr("smem.mnmajor.sw" + std::to_string(span) + "." + type.name);
      auto tma = parse_layout_expr("tma.sw" + std::to_string(span) + "." + type.name);
      REQUIRE(k_major);
      REQUIRE(mn_major);
      REQUIRE(tma);
      CHECK(*tma == *k_major);
      for (int64_t r = 0; r < 8; ++r)
        for (int64_t c = 0; c < elems; ++c) {
          // byte address xor: 16-byte unit (of 8 in 128 bytes) with the 128-byte line, masked to
          // the span
          int64_t linear = r * elems + c, line = linear * type.bits / 8 / 128;
          int64_t chunk = linear / unit ^ (line & (span / 16 - 1));
          CHECK(offset_of(*k_major, {r, c}) == chunk * unit + linear % unit);
          CHECK(offset_of(*mn_major, {c, r}) == offset_of(*k_major, {r, c}));
        }
    }
  auto plain = parse_layout_expr("smem.kmajor.sw0.f16");
  REQUIRE(plain);
  CHECK(*plain == *parse_layout_expr("(8,8):(8,1)"));
}

TEST_CASE("every listed atom parses, misspelt ones name the nearest") {
  for (const std::string& name : atom_names()) {
    auto l = parse_layout_expr(name);
    CHECK_MESSAGE(l, name);
  }
  for (std::string bad :
       {"mma.m16n8k12.f16.A", "mma.m16n8k16.f16", "mma.m16n8k16.f32.A", "wgmma.m64n12.C",
        "wgmma.m64n264.C", "wgmma.m64k16.f16.B", "ldmatrix.x3", "mma", "mma.",
        "smem.kmajor.sw16.f16", "mma.m99999999999999n8k16.f16.A"}) {
    INFO(bad);
    auto l = parse_layout_expr(bad);
    REQUIRE(!l);
    CHECK(diag_id(l.error().code) == "E0603");
  }
  CHECK(parse_layout_expr("mma.m16n8k16.f61.A").error().hint.find("mma.m16n8k16.f16.A") !=
        std::string::npos);
}
