// What the machine code of every sample and library kernel may need at most: registers, shared
// memory, narrow accesses of global memory; no spills. And what the main loops are made of.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "code_facts_harness.h"
#include "infer_harness.h"

using namespace tess;
using namespace tess::test;
using jit::Backend;

namespace {

constexpr int kArchs[] = {80, 89, 901};

// A line of code_facts.txt.
struct Bound {
  Program program;
  bool others = false;  // `*`: all constants without a line of their own
  int least = 80;       // architecture
  uint32_t registers = 0;
  int64_t shared = 0;
  int narrow = 0;
};

std::vector<Bound> read_bounds() {
  std::ifstream in(TESS_SOURCE_ROOT "/tests/unit/code_facts.txt");
  REQUIRE(in);
  std::vector<Bound> out;
  for (std::string line; std::getline(in, line);) {
    line.resize(std::min(line.size(), line.find('#')));
    std::istringstream words(line);
    Bound b;
    if (!(words >> b.program.file)) continue;
    bool read = bool(words >> b.program.kernel >> b.least >> b.registers >> b.shared >> b.narrow);
    REQUIRE_MESSAGE(read, line);
    for (std::string word; words >> word;) {
      if (word == "*") b.others = true;
      else b.program.constants.push_back(parse_constants(word).at(0));
    }
    out.push_back(std::move(b));
  }
  return out;
}

void check(const Program& p, const Bound& b, int arch, Backend backend) {
  std::string what = fmt::format("{} sm_{} {}", print_program(p), arch, jit::backend_name(backend));
  CAPTURE(what);
  auto c = machine_code(p, arch, backend);
  if (!c) {
    FAIL_CHECK(c.error().message);
    return;
  }
  CHECK(c->use.registers <= b.registers);
  CHECK(c->shared <= b.shared);
  CHECK(narrow_accesses(c->sass) <= b.narrow);
  CHECK(spills(*c) == 0);
}

const Bound* bound_of(const std::vector<Bound>& bounds, const Program& p) {
  const Bound* any = nullptr;
  for (const Bound& b : bounds) {
    if (p.file != b.program.file || p.kernel != b.program.kernel) continue;
    if (!b.others && p.constants == b.program.constants) return &b;
    if (b.others) any = &b;
  }
  return any;
}

// Within 10 % or 4 instructions.
bool agree(int a, int b) { return std::abs(a - b) <= std::max(4, std::max(a, b) / 10); }

LoopCode product_loop(const Result<MachineCode>& c) {
  REQUIRE_MESSAGE(c, (c ? std::string() : c.error().message));
  CHECK(spills(*c) == 0);
  auto loop = main_loop(c->sass, "HMMA");
  REQUIRE(loop);
  return *loop;
}

}  // namespace

TEST_CASE("every sample and library kernel is assembled and stays within its bounds") {
  if (ptxas_path().empty()) return;
  std::vector<Bound> bounds = read_bounds();
  for (const Bound& b : bounds) {
    if (b.others) continue;
    for (int arch : kArchs)
      if (arch >= b.least) check(b.program, b, arch, Backend::nvptx);
  }
  for (const Program& p : all_programs(false)) {
    bool there = bound_of(bounds, p) != nullptr;
    CHECK_MESSAGE(there, "no line in code_facts.txt: " << print_program(p));
  }
}

TEST_CASE("long: so it does with the constants of every golden test, through both back ends") {
  if (ptxas_path().empty()) return;
  std::vector<Bound> bounds = read_bounds();
  for (const Program& p : all_programs(true)) {
    const Bound* b = bound_of(bounds, p);
    if (!b) continue;
    for (int arch : kArchs)
      for (Backend backend : {Backend::nvptx, Backend::nvrtc})
        if (arch >= b->least && (backend == Backend::nvptx || nvrtc_there()))
          check(p, *b, arch, backend);
  }
}

TEST_CASE("the f16 product's main loop: asynchronous copies, ldmatrix, mma, and little else") {
  if (ptxas_path().empty()) return;
  struct Case {
    Constants constants;
    int hmma_per_ldsm, other_percent;
  };
  // A warp's 64x64 part needs 8 matrix loads for 32 products; its 32x32 part 4 for 8. What is
  // neither copy, matrix load nor product is the same for a step of 32 as for one of 64, so shows
  // twice as much: addresses of the copies, and two slots of a ring of three.
  const Case cases[] = {
      {{{"T", "f16"}, {"BM", "128"}, {"BN", "128"}, {"BK", "64"}}, 4, 35},
      {{{"T", "f16"}, {"BM", "128"}, {"BN", "128"}, {"BK", "32"}}, 4, 35},
      {{{"T", "f16"}}, 2, 60},
  };
  for (const Case& want : cases) {
    Program p{"stdlib/matmul.vmasm", "matmul", want.constants};
    CAPTURE(print_program(p));
    std::map<Backend, LoopCode> loops;
    for (Backend backend : {Backend::nvptx, Backend::nvrtc}) {
      if (backend == Backend::nvrtc && !nvrtc_there()) continue;
      LoopCode l = loops[backend] = product_loop(machine_code(p, 80, backend));
      CAPTURE(l.all);
      CHECK(l.ldgsts > 0);
      CHECK(l.ldgsts == l.ldgsts_16);
      CHECK(l.ldsm == l.ldsm_x4);
      CHECK(l.hmma >= want.hmma_per_ldsm * l.ldsm);
      CHECK(l.other() * 100 <= want.other_percent * l.all);
      CHECK(l.convert == 0);
      CHECK(l.local == 0);
    }
    if (loops.size() < 2) continue;
    const LoopCode &a = loops[Backend::nvptx], &b = loops[Backend::nvrtc];
    CHECK(a.hmma == b.hmma);
    CHECK(a.ldsm == b.ldsm);
    CHECK(a.ldgsts == b.ldgsts);
    CHECK(agree(a.all, b.all));
  }
}

namespace {

// The manual's weights product. %{body} makes the halves of a tile of weights.
std::string weights_product(const std::string& type, const std::string& body,
                            const std::string& before = "") {
  return fmt::format(R"(
const BM = 16, BN = 64, BK = 64, G = 128
type W = {}
{}
kernel matmul_a16w(m: i32, n: i32, k: i32 divisible(G),
                   a: in f16[m,k], w: in W[k,n], s: in f16[k/G,n], z: in W[k/G,n], c: out f16[m,n])
    grid(cdiv(m,BM), cdiv(n,BN)) warps(4)
{{
    %m0 = block.x * BM; %n0 = block.y * BN
    %acc = fill 0 : f32[BM,BN]
    for %kk in 0..k step BK pipeline(3) {{
        %a = load a[%m0:+BM, %kk:+BK]
{}
        %acc = mma %a, %b, %acc
    }}
    store (cast %acc : f16), c[%m0:+BM, %n0:+BN]
}}
)",
                     type, before, body);
}
const char* kInline = R"(
        %q = load w[%kk:+BK, %n0:+BN]
        %s = load s[%kk/G:+1, %n0:+BN]
        %z = load z[%kk/G:+1, %n0:+BN]
        %b = mul (sub (cast %q : f16), (cast %z : f16)), %s)";

LoopCode weights_loop(const std::string& text, Backend backend) {
  return product_loop(machine_code(load_text(text), 0, 80, backend));
}

}  // namespace

TEST_CASE("the weights product's loop is the same under other names and in a function") {
  if (ptxas_path().empty()) return;
  const std::string renamed = R"(
        %scales = load s[%kk/G:+1, %n0:+BN]
        %codes = load w[%kk:+BK, %n0:+BN]
        %zeros = load z[%kk/G:+1, %n0:+BN]
        %wide = cast %codes : f16
        %centred = sub %wide, (cast %zeros : f16)
        %b = mul %centred, %scales)";
  const std::string function = R"(
func weights(%q: W[K,N], %z: W[1,N], %s: f16[1,N]) -> (%v: f16[K,N])
{
    %v = mul (sub (cast %q : f16), (cast %z : f16)), %s
}
)";
  const std::string called = R"(
        %q = load w[%kk:+BK, %n0:+BN]
        %s = load s[%kk/G:+1, %n0:+BN]
        %z = load z[%kk/G:+1, %n0:+BN]
        %b = call weights(%q, %z, %s))";
  for (const char* type : {"u4", "u3", "e2m1"})
    for (Backend backend : {Backend::nvptx, Backend::nvrtc}) {
      if (backend == Backend::nvrtc && !nvrtc_there()) continue;
      CAPTURE(type);
      LoopCode base = weights_loop(weights_product(type, kInline), backend);
      CHECK(base.hmma == 8);
      CHECK(base.ldsm == 8);  // both operands, by matrices
      CHECK(base.ldsm == base.ldsm_x4);
      CHECK(base.local == 0);
      for (const LoopCode& other :
           {weights_loop(weights_product(type, renamed), backend),
            weights_loop(weights_product(type, called, function), backend)}) {
        CHECK(agree(base.all, other.all));
        CHECK(base.convert == other.convert);
        CHECK(base.hmma == other.hmma);
        CHECK(base.ldsm == other.ldsm);
        CHECK(base.ldgsts == other.ldgsts);
      }
    }
}

// Of PTX text: what computes and was made from this line of the program.
int computing_at(const std::string& ptx, int line) {
  static const std::set<std::string> kinds{"add", "sub", "mul",  "mad", "fma", "min",
                                           "max", "and", "or",   "xor", "shl", "shr",
                                           "shf", "cvt", "lop3", "prmt"};
  std::istringstream text(ptx);
  int at = 0, n = 0;
  for (std::string row; std::getline(text, row);) {
    std::istringstream words(row);
    std::string first;
    int file = 0;
    if (!(words >> first)) continue;
    if (first == ".loc") {
      size_t caller = row.rfind("inlined_at");
      if (caller != std::string::npos) words.str(row.substr(caller)), words.clear(), words >> first;
      words >> file >> at;
    } else if (at == line) n += kinds.contains(first.substr(0, first.find('.')));
  }
  return n;
}

TEST_CASE("a weight takes as few instructions in the manual's product as its cast alone") {
  const std::string by_steps = R"(
        %codes = load w[%kk:+BK, %n0:+BN]
        %scales = load s[%kk/G:+1, %n0:+BN]
        %zeros = cast (load z[%kk/G:+1, %n0:+BN]) : f16
        %wide = cast %codes : f16
        %centred = sub %wide, %zeros
        %b = mul %centred, %scales)";
  struct Most {
    std::string type;
    double instructions;
  };
  for (const Most& m : {Most{"u4", 1.125},
                        {"i4", 1.125},
                        {"u2", 1.1},
                        {"i2", 1.1},
                        {"u3", 2},
                        {"u5", 2},
                        {"u6", 2},
                        {"u7", 2.25},
                        {"e2m1", 2}}) {
    CAPTURE(m.type);
    std::string text = weights_product(m.type, by_steps);
    auto line_of = [&](const char* words) {
      size_t at = text.find(words);
      REQUIRE(at != std::string::npos);
      return 1 +
             static_cast<int>(std::count(text.begin(), text.begin() + static_cast<long>(at), '\n'));
    };
    // 128 threads make 64 times 64 weights. What puts them in order for the product would be said
    // to belong to the subtraction, which besides takes half an instruction for each, and four
    // addresses.
    std::vector<int> casts;
    for (Backend backend : {Backend::nvptx, Backend::nvrtc}) {
      // NVRTC counts putting words together from narrower loads to where they are used.
      bool whole_words = m.type.find_first_of("24") == 1;
      if (backend == Backend::nvrtc && (!nvrtc_there() || !whole_words)) continue;
      CAPTURE(jit::backend_name(backend));
      auto code = machine_code(load_text(text), 0, 80, backend);
      REQUIRE(code);
      casts.push_back(computing_at(code->ptx, line_of("%wide = cast")));
      CHECK(casts.back() <= 32 * m.instructions);
      CHECK(casts.back() >= 32);
      int order = computing_at(code->ptx, line_of("%centred = sub"));
      CHECK(order <= 16 + 4);
      CHECK(order >= 16);
    }
    CHECK(agree(casts.front(), casts.back()));
  }
}

TEST_CASE("long: weights of every type make a loop of matrix instructions, without conversions") {
  if (ptxas_path().empty()) return;
  std::vector<std::string> types;
  for (int bits = 1; bits <= 8; ++bits)
    for (const char* sign : {"u", "i"}) types.push_back(sign + std::to_string(bits));
  for (int bits = 3; bits <= 8; ++bits)
    for (int exp = 1; exp < bits && exp <= 5; ++exp)
      types.push_back(fmt::format("e{}m{}", exp, bits - 1 - exp));
  for (const std::string& type : types) {
    CAPTURE(type);
    LoopCode l = weights_loop(weights_product(type, kInline), Backend::nvptx);
    CHECK(l.hmma == 8);
    CHECK(l.convert == 0);
    CHECK(l.local == 0);
  }
}

// Run by hand, -ns -tc='report: *': the lines that tests/bench/results/code_facts.md is made of.
TEST_CASE("report: every kernel's code" * doctest::skip()) {
  if (ptxas_path().empty()) return;
  auto chosen = [](const char* variable, const std::string& text) {
    const char* only = std::getenv(variable);
    return !only || text.find(only) != std::string::npos;
  };
  for (const Program& p : all_programs(std::getenv("CODE_DIRECTIVES") != nullptr))
    for (int arch : kArchs)
      for (Backend b : {Backend::nvptx, Backend::nvrtc}) {
        std::string where = fmt::format("sm_{} {}", arch, jit::backend_name(b));
        if (!chosen("CODE_ONLY", print_program(p)) || !chosen("CODE_WHERE", where)) continue;
        if (b == Backend::nvrtc && !nvrtc_there()) continue;
        auto c = machine_code(p, arch, b);
        if (!c) fmt::print("{} {}: refused: {}\n", print_program(p), where, c.error().message);
        else
          fmt::print("{} {}: {} registers, {} shared, {} local, {} narrow, {} instructions\n",
                     print_program(p), where, c->use.registers, c->shared, spills(*c),
                     narrow_accesses(c->sass), c->sass.code.size());
        std::fflush(stdout);
      }
}

TEST_CASE("report: loops of products" * doctest::skip()) {
  if (ptxas_path().empty()) return;
  const Constants big = {{"T", "f16"}, {"BM", "128"}, {"BN", "128"}, {"BK", "64"}},
                  shallow = {{"T", "f16"}, {"BM", "128"}, {"BN", "128"}, {"BK", "32"}};
  for (const Program& p : {Program{"stdlib/matmul.vmasm", "matmul", {{"T", "f16"}}},
                           Program{"stdlib/matmul.vmasm", "matmul", shallow},
                           Program{"stdlib/matmul.vmasm", "matmul", big},
                           Program{"stdlib/matmul_a16w.vmasm", "matmul_a16w", {}},
                           Program{"stdlib/matmul_a16w_packed.vmasm", "matmul_a16w_packed", {}}})
    for (Backend b : {Backend::nvptx, Backend::nvrtc}) {
      if (b == Backend::nvrtc && !nvrtc_there()) continue;
      auto c = machine_code(p, 80, b);
      REQUIRE(c);
      auto l = main_loop(c->sass, "HMMA");
      if (!l) {
        fmt::print("{} {}: no loop\n", print_program(p), jit::backend_name(b));
        continue;
      }
      fmt::print(
          "{} {}: {} registers; loop of {}: {} HMMA, {} LDSM, {} LDGSTS, {} other ({} %), {} "
          "conversions\n",
          print_program(p), jit::backend_name(b), c->use.registers, l->all, l->hmma, l->ldsm,
          l->ldgsts, l->other(), l->other() * 100 / l->all, l->convert);
    }
}
