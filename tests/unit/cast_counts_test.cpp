// What a cast costs: instructions per element from the loaded word to the value, for every type of
// at most 8 bits, counted in machine code and in PTX, through both back ends. A thread loads words
// of 32 bits, views them as elements, casts, and stores the words of the result. Of two kernels
// that differ only in how many elements a thread has, the difference is the cast's: addresses and
// constants are the same.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "jit/compile.h"
#include "jit/cubin/ptxas.h"
#include "jit/cubin/sass.h"
#include "tests/unit/lowered_harness.h"
#include "tests/unit/ptxas_there.h"

using namespace tess;
using namespace tess::jit;
using namespace tess::test;

namespace {

struct Source {
  std::string name;
  int bits = 0, exp = 0, man = 0;  // exp 0: an integer
  bool is_float() const { return exp > 0; }
};

std::vector<Source> all_types() {
  std::vector<Source> out;
  for (int n = 1; n <= 8; ++n)
    for (const char* sign : {"u", "i"}) out.push_back({fmt::format("{}{}", sign, n), n});
  for (int n = 3; n <= 8; ++n)
    for (int e = 1; e < n; ++e)
      out.push_back({fmt::format("e{}m{}", e, n - 1 - e), n, e, n - 1 - e});
  return out;
}

// The order in which layout inference likes the result: fields 16 bits apart become a pair.
int distance(const Source& s, const std::string& to) {
  bool whole = !s.is_float() && (s.bits == 1 || s.bits == 2 || s.bits == 4);
  return whole && (to == "f16" || to == "bf16") ? 16 / s.bits : 1;
}

std::string kernel_name(const Source& s, int elements) {
  return fmt::format("{}_{}", s.name, elements);
}

// A thread's elements in order, or 0, d, 2d, ... 1, d+1, ...
std::string result_layout(int d, int elements) {
  if (d == 1) return fmt::format("spatial(32) * local({})", elements);
  std::string reg = fmt::format("({})", d), lane;
  for (int step = 2 * d; step < elements; step *= 2) reg += fmt::format(",({})", step);
  for (int step = 1; step < d; step *= 2) reg += fmt::format(",({})", step);
  for (int step = 1; step < 32; step *= 2)
    lane += fmt::format("{}({})", step > 1 ? "," : "", step * elements);
  return fmt::format("{{reg:[{}] lane:[{}] -> {}}}", reg, lane, 32 * elements);
}

std::string kernel_text(const Source& s, const std::string& to, int elements) {
  int to_bits = to == "f32" ? 32 : to == "f16" || to == "bf16" ? 16 : 8;
  int words = elements * s.bits / 32, out = elements * to_bits / 32, d = distance(s, to);
  std::string result = result_layout(d, elements);
  return fmt::format(R"(
layout #words = spatial(32) * local({1})
layout #from = spatial(32) * local({2})
layout #to = {3}
layout #out = spatial(32) * local({4})
kernel {0}(x: in u32[{5}] aligned(16), y: out u32[{6}] aligned(16)) grid(1) warps(1) {{
    %w = load x[:] : u32[{5}] #words
    %x = view %w : {7}[{8}] #from
    %y = cast %x : {9}[{8}] #to
    %v = view %y : u32[{6}] #out
    store %v, y[:]
}}
)",
                     kernel_name(s, elements), words, elements, result, out, 32 * words, 32 * out,
                     s.name, 32 * elements, to);
}

constexpr int kFew = 32, kMany = 64;

// Instructions that compute, per element.
struct Count {
  double ptx = 0, sass = 0;
};
using Counts = std::map<std::string, Count>;  // by type

// Of PTX text: its kernels' bodies, by name, without the header.
std::string body_of(const std::string& ptx) {
  size_t entry = ptx.find(".visible .entry");
  if (entry == std::string::npos) entry = ptx.find(".entry");
  size_t end = ptx.find("\n}", entry);  // sections of debug information follow
  REQUIRE(entry != std::string::npos);
  REQUIRE(end != std::string::npos);
  return ptx.substr(entry, end + 2 - entry) + "\n";
}
std::string header_of(const std::string& ptx) {
  std::string out;
  for (const char* directive : {".version", ".target", ".address_size"}) {
    size_t at = ptx.find(directive);
    REQUIRE(at != std::string::npos);
    out += ptx.substr(at, ptx.find('\n', at) - at) + "\n";
  }
  return out;
}

int computing_ptx(const std::string& body) {
  static const std::set<std::string> kinds{"add", "sub",  "mul",  "mad", "fma", "min", "max", "and",
                                           "or",  "xor",  "not",  "shl", "shr", "shf", "bfe", "bfi",
                                           "cvt", "lop3", "prmt", "neg", "abs", "selp"};
  int n = 0;
  for (size_t at = 0; at < body.size();) {
    size_t end = body.find('\n', at);
    if (end == std::string::npos) end = body.size();
    std::string line = body.substr(at, end - at);
    at = end + 1;
    size_t first = line.find_first_not_of(" \t{");
    if (first == std::string::npos) continue;
    n += kinds.contains(line.substr(first, line.find_first_of(". \t", first) - first));
  }
  return n;
}

int computing_sass(const SassKernel& k) {
  return k.count(SassClass::integer) + k.count(SassClass::convert) + k.count(SassClass::half) +
         k.count(SassClass::real) + k.count(SassClass::predicate) + k.count(SassClass::other);
}

Counts measure(const std::vector<Source>& types, const std::string& to, int arch, Backend backend) {
  const Toolchain& tools = default_toolchain();
  std::string all;
  std::map<std::string, int> ptx;
  for (const Source& s : types)
    for (int elements : {kFew, kMany}) {
      CompileOptions options;
      options.target = {arch, backend, 0};
      std::string text = kernel_text(s, to, elements);
      auto compiled = compile_kernel(tools, assemble(text), 0, options);
      REQUIRE_MESSAGE(compiled, compiled.error().message << text);
      std::string body = body_of(compiled->machine.image);
      if (all.empty()) all = header_of(compiled->machine.image);
      ptx[compiled->machine.entry] = computing_ptx(body);
      // Labels and files of debug lines are numbered anew in every module.
      std::string plain;
      for (size_t at = 0; at < body.size();) {
        size_t end = std::min(body.find('\n', at), body.size());
        std::string line = body.substr(at, end - at);
        if (line.find(".loc") == std::string::npos && line.find(".file") == std::string::npos)
          plain += line + "\n";
        at = end + 1;
      }
      all += plain;
    }
  std::map<std::string, int> sass;
  if (!test::ptxas_path().empty()) {
    auto machine = assemble_ptx(all, {.path = test::ptxas_path(), .arch = arch});
    REQUIRE_MESSAGE(machine, machine.error().message);
    auto kernels = read_cubin(machine->cubin);
    REQUIRE(kernels);
    for (const SassKernel& k : *kernels) {
      sass[k.entry] = computing_sass(k);
      CHECK_MESSAGE(k.count(SassClass::local) == 0, k.entry);
    }
  }
  Counts out;
  for (const Source& s : types) {
    auto per_element = [&](const std::map<std::string, int>& counts) {
      auto named = [&](int elements) {
        for (const auto& [entry, n] : counts)
          if (entry.ends_with("_" + kernel_name(s, elements)) || entry == kernel_name(s, elements))
            return n;
        return 0;
      };
      return double(named(kMany) - named(kFew)) / (kMany - kFew);
    };
    out[s.name] = {per_element(ptx), per_element(sass)};
  }
  return out;
}

// What was asked for, chosen before anything was measured.
double most(const Source& s, const std::string& to, int arch) {
  if (to == "f16") {
    if (s.name == "u4") return 1.125;
    if (s.name == "u2") return 1.1;
    if (s.name == "u3" || s.name == "u5" || s.name == "u6") return 2;
    if (s.name == "u7") return 2.25;
    if (s.name == "e2m1" || s.name == "e3m2") return 2;
    if (s.name == "e4m3") return arch >= 89 ? 0.75 : 2.25;
  }
  // A word of f32 is one element: one instruction more, that widens it.
  return to == "f32" ? 4 : 3;
}
// Where the rules come out higher than that: the NaN of e4m3, for which four bytes take two
// instructions more; fields of six and seven bits, gathered two at a time.
double reached(const Source& s, const std::string& to, int arch) {
  if (to == "f16" && s.name == "e6m0") return 3.875;
  if (to == "f16" && s.name == "e4m3" && arch < 89) return 2.5;
  if (to == "f16" && s.name == "e3m2") return 2.375;
  return most(s, to, arch);
}

void check(const std::string& to, int arch) {
  std::vector<Source> types = all_types();
  Counts by[2];
  for (Backend b : {Backend::nvrtc, Backend::nvptx}) {
    const BackendRow* row = find_row(default_toolchain(), b);
    if (!row || !row->available()) continue;
    Counts& counts = by[static_cast<size_t>(b)] = measure(types, to, arch, b);
    for (const Source& s : types) {
      const Count& c = counts[s.name];
      std::string what = fmt::format("{} to {}, {}, {}: {} in PTX, {} in machine code", s.name, to,
                                     arch_name(arch), backend_name(b), c.ptx, c.sass);
      CHECK_MESSAGE(c.ptx <= reached(s, to, arch) + 1e-9, what);
      // In machine code one instruction more for all of them may be an address.
      double address = 1.0 / (kMany - kFew);
      if (!test::ptxas_path().empty())
        CHECK_MESSAGE(c.sass <= reached(s, to, arch) + address, what);
      CHECK_MESSAGE(c.ptx >= 0.25, what);  // something was counted
    }
  }
  if (by[0].empty() || by[1].empty() || test::ptxas_path().empty()) return;
  for (const Source& s : types) {
    double a = by[0][s.name].sass * (kMany - kFew), b = by[1][s.name].sass * (kMany - kFew);
    CHECK_MESSAGE(
        std::abs(a - b) <= std::max(4.0, 0.1 * std::max(a, b)),
        fmt::format("{} to {}, {}: {} by NVRTC, {} by NVPTX", s.name, to, arch_name(arch), a, b));
  }
}

}  // namespace

TEST_CASE("casts to f16 take as few instructions as asked") {
  for (int arch : {80, 89, 901}) check("f16", arch);
}

TEST_CASE("casts to bf16 take few instructions") {
  for (int arch : {80, 901}) check("bf16", arch);
}

TEST_CASE("long: casts to f32 take few instructions") {
  for (int arch : {80, 901}) check("f32", arch);
}

TEST_CASE("every code of every type is cast exactly, in either order of the result") {
  for (const Source& s : all_types())
    for (const char* to : {"f16", "bf16", "f32"})
      for (int d : std::set<int>{1, distance(s, to)}) {
        HostTensor x(*find_dtype(s.name), {32 * kFew}), y(*find_dtype(to), {32 * kFew});
        for (int64_t i = 0; i < x.elements(); ++i)
          x.set(i, static_cast<uint64_t>(i * 37) & ((1u << s.bits) - 1));
        std::string text = fmt::format(R"(
layout #from = spatial(32) * local({0})
layout #to = {1}
kernel all(x: in {2}[{3}], y: out {4}[{3}]) grid(1) warps(1) {{
    %x = load x[:] : {2}[{3}] #from
    %y = cast %x : {4}[{3}] #to
    store %y, y[:]
}}
)",
                                       kFew, result_layout(d, kFew), s.name, 32 * kFew, to);
        for (int arch : {80, 89}) {
          LoweredOptions o;
          o.arch = arch;
          std::string wrong = differs(text, {x, y}, o);
          CHECK_MESSAGE(wrong.empty(), wrong);
        }
      }
}

// Run by hand, -ns -tc='report: *': the rows of tests/bench/results/casts.md.
TEST_CASE("report: casts" * doctest::skip()) {
  std::vector<Source> types = all_types();
  for (const char* to : {"f16", "bf16", "f32"}) {
    std::map<std::string, std::string> rows;
    for (int arch : {80, 89, 901})
      for (Backend b : {Backend::nvrtc, Backend::nvptx}) {
        Counts counts = measure(types, to, arch, b);
        for (const Source& s : types)
          rows[s.name] +=
              fmt::format(" {:.3f} / {:.3f} |", counts[s.name].ptx, counts[s.name].sass);
      }
    fmt::print("\nto {}\n", to);
    for (const Source& s : types) fmt::print("| {} |{}\n", s.name, rows[s.name]);
    std::fflush(stdout);
  }
}
