#include "tests/ptxsim/form_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace tess::ptxsim {

Verdict good() { return {true, {}}; }
Verdict wrong(std::string what) { return {true, std::move(what)}; }
Verdict impossible() { return {}; }

FormCheck find_form_check(std::string_view builder) {
  for (auto list : {memory_checks, atomic_checks, control_checks, order_checks, warp_checks,
                    async_checks, mbarrier_checks, tensor_checks, matrix_checks})
    for (const NamedCheck& c : list())
      if (builder == c.builder) return c.check;
  return nullptr;
}

namespace {

struct Element {
  bool optional = false;
  std::vector<std::string> choices;
};

std::vector<Element> elements_of(std::string_view pattern) {
  std::vector<Element> out;
  for (size_t at = 0; at < pattern.size();) {
    size_t end = std::min(pattern.find(' ', at), pattern.size());
    std::string_view word = pattern.substr(at, end - at);
    at = end + 1;
    if (word.empty() || word == "*") continue;
    Element e;
    if (word.front() == '{') e.optional = true, word = word.substr(1, word.size() - 2);
    while (!word.empty()) {
      size_t bar = std::min(word.find('|'), word.size());
      e.choices.emplace_back(word.substr(0, bar));
      word = bar == word.size() ? std::string_view() : word.substr(bar + 1);
    }
    out.push_back(std::move(e));
  }
  return out;
}

}  // namespace

std::vector<std::string> spellings(const Form& form, size_t limit) {
  std::vector<std::string> all = expand_form(form, limit + 1);
  if (all.size() <= limit) return all;
  std::vector<Element> elements = elements_of(form.pattern);
  Random r{form.pattern.size() * 1000003 + 17};
  std::set<std::string> chosen;
  auto add = [&](size_t fixed, int choice) {
    std::string s;
    for (size_t i = 0; i < elements.size(); ++i) {
      const Element& e = elements[i];
      int count = int(e.choices.size()) + e.optional;
      int c = i == fixed ? choice : int(r.below(uint32_t(count)));
      if (c == int(e.choices.size())) continue;
      std::string word = e.choices[size_t(c)];
      if (word.substr(0, 5) == "m64nN") word = "m64n64" + word.substr(5);
      s += s.empty() ? word : "." + word;
    }
    chosen.insert(s);
  };
  // Several tries each: some combinations are impossible.
  for (size_t i = 0; i < elements.size(); ++i)
    for (int c = 0; c < int(elements[i].choices.size()) + elements[i].optional; ++c)
      for (int n = 0; n < 4; ++n) add(i, c);
  return {chosen.begin(), chosen.end()};
}

bool has_word(const Words& w, std::string_view m) {
  return std::find(w.begin() + 1, w.end(), m) != w.end();
}

std::string join_words(const Words& w) {
  std::string s;
  for (auto& x : w) s += s.empty() ? x : "." + x;
  return s;
}

int type_bits(const std::string& t) {
  if (t.find("x2") != t.npos || t == "tf32") return 32;
  return std::atoi(t.c_str() + (t.substr(0, 2) == "bf" ? 2 : 1));
}

std::string register_prefix(int bits) {
  return bits <= 16 ? "%h" : bits == 32 ? "%r" : bits == 64 ? "%d" : "%q";
}
std::string bits_type(int bits) { return fmt::format("b{}", bits); }

std::string register_list(int bits, int first, int count, bool braces) {
  if (!braces && count == 1) return fmt::format("{}{}", register_prefix(bits), first);
  std::string s = "{";
  for (int i = 0; i < count; ++i)
    s += fmt::format("{}{}{}", i ? ", " : "", register_prefix(bits), first + i);
  return s + "}";
}

void fill_input(FormRun& r, size_t bytes, uint64_t seed) {
  Random x{seed * 977 + 3};
  r.in.resize(bytes);
  for (auto& b : r.in) b = uint8_t(x.next());
}

bool FormRun::run() {
  std::string maps_text;
  for (size_t i = 0; i < maps.size(); ++i)
    maps_text += fmt::format(", .param .align 64 .b8 map{}[128]", i);
  std::string text = fmt::format(
      ".version 8.7\n.target sm_90a\n.address_size 64\n{}\n"
      ".visible .entry k(.param .u64 in, .param .u64 out{})\n{}\n{{\n"
      ".shared .align 1024 .b8 tile[16384];\n.shared .align 8 .b64 bar[8];\n"
      ".reg .pred %p<16>;\n.reg .b16 %h<128>;\n.reg .b32 %r<128>, %t, %tx, %u;\n"
      ".reg .b64 %d<128>, %in, %out, %mi, %mo, %w;\n.reg .b128 %q<8>;\n"
      "ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\nmov.u32 %tx, %tid.x;\n"
      "mov.u32 %t, %ctaid.x;\nmov.u32 %u, %ntid.x;\nmad.lo.u32 %t, %t, %u, %tx;\n"
      "mul.wide.u32 %w, %t, 64;\nadd.u64 %mi, %in, %w;\nadd.u64 %mo, %out, %w;\n{}\nret;\n}}\n",
      module_text, maps_text, directives, body);
  Simulator sim;
  sim.options = options;
  auto m = sim.load(text, "form.ptx");
  if (!m) {
    error = m.error().message;
    return false;
  }
  uint64_t pin = *sim.memory().allocate(std::max<size_t>(in.size(), 16), "in", true),
           pout = *sim.memory().allocate(std::max<size_t>(out_bytes, 16), "out", true);
  if (!in.empty()) std::memcpy(sim.memory().at(pin)->data.get(), in.data(), in.size());
  std::vector<std::span<const std::byte>> params{std::as_bytes(std::span(&pin, 1)),
                                                 std::as_bytes(std::span(&pout, 1))};
  for (auto& map : maps) params.push_back(std::as_bytes(std::span(&map, 1)));
  jit::LaunchSpec l;
  l.module = *m, l.entry = "k", l.grid = grid, l.block = block, l.cluster = cluster;
  l.params = params;
  auto r = sim.run(l);
  if (!r) {
    error = r.error().message;
    return false;
  }
  out.resize(out_bytes);
  if (out_bytes) std::memcpy(out.data(), sim.memory().at(pout)->data.get(), out_bytes);
  findings = std::move(r->findings);
  error.clear();
  for (auto& f : findings) error += render_finding(f) + "\n";
  return findings.empty();
}

bool FormRun::found(std::string_view code) const {
  for (auto& f : findings)
    if (diag_id(f.code) == code) return true;
  return false;
}

}  // namespace tess::ptxsim
