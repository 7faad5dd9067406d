#include "code_facts_harness.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "infer_harness.h"
#include "jit/arguments.h"
#include "vm/api/load.h"
#include "vm/cli/test_file.h"

namespace tess::test {

Constants parse_constants(std::string_view text) {
  Constants out;
  while (!text.empty()) {
    std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    size_t equals = word.find('=');
    if (equals != word.npos) out.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return out;
}

std::string print_constants(const Constants& c) {
  std::string out;
  for (const auto& [name, value] : c)
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", name, value);
  return out;
}

std::string print_program(const Program& p) {
  return fmt::format("{} {} {}", p.file, p.kernel, print_constants(p.constants));
}

std::vector<Program> all_programs(bool directives) {
  std::vector<Program> out;
  for (const std::string& file : program_files()) {
    std::set<std::pair<std::string, std::string>> met;
    auto add = [&](const std::string& kernel, const Constants& constants) {
      if (met.emplace(kernel, print_constants(constants)).second)
        out.push_back({file, kernel, constants});
    };
    VerifiedModule defaults = load_file(file);
    for (const Kernel& k : defaults.module().kernels) add(k.name, {});
    if (!directives) continue;
    auto text = read_program_file(TESS_SOURCE_ROOT "/" + file);
    REQUIRE(text);
    Diagnostics wrong;
    for (const cli::TestCase& t : cli::parse_test_file(*text, wrong).tests) {
      if (t.kind != cli::TestKind::exec) continue;
      if (!t.kernel.empty()) add(t.kernel, t.bindings);
      else
        for (const Kernel& k : defaults.module().kernels) add(k.name, t.bindings);
    }
    CHECK(wrong.empty());
  }
  return out;
}

Result<MachineCode> machine_code(const Program& p, int arch, jit::Backend backend) {
  VerifiedModule m = load_file(p.file, p.constants);
  const auto& kernels = m.module().kernels;
  auto at = std::find_if(kernels.begin(), kernels.end(),
                         [&](const Kernel& k) { return k.name == p.kernel; });
  REQUIRE_MESSAGE(at != kernels.end(), print_program(p));
  return machine_code(m, static_cast<size_t>(at - kernels.begin()), arch, backend);
}

Result<MachineCode> machine_code(const VerifiedModule& m, size_t kernel, int arch,
                                 jit::Backend backend) {
  jit::CompileOptions o;
  o.target = {arch, backend, 0};
  o.facts = jit::aligned_facts(m.kernel(kernel));
  TESS_TRY(jit::CompiledKernel compiled,
           jit::compile_kernel(jit::default_toolchain(), m, kernel, o));
  MachineCode out;
  out.ptx = std::move(compiled.machine.image);
  TESS_TRY(jit::Assembled assembled,
           jit::assemble_ptx(out.ptx, {.path = ptxas_path(), .arch = arch}));
  out.log = std::move(assembled.log);
  REQUIRE(assembled.kernels.size() == 1);
  out.use = assembled.kernels[0];
  out.shared = int64_t{out.use.shared} + compiled.lowered.block.shared_bytes;
  TESS_TRY(std::vector<jit::SassKernel> code, jit::read_cubin(assembled.cubin));
  REQUIRE(code.size() == 1);
  out.sass = std::move(code[0]);
  return out;
}

bool nvrtc_there() {
  static const bool there = [] {
    Status s = jit::find_row(jit::default_toolchain(), jit::Backend::nvrtc)->available();
    if (!s) MESSAGE("NVPTX alone: " << s.error().message);
    return bool(s);
  }();
  return there;
}

int narrow_accesses(const jit::SassKernel& k) {
  return static_cast<int>(std::count_if(k.code.begin(), k.code.end(), [](const jit::SassInst& i) {
    std::string_view name = jit::sass_name(i);
    return (name == "LDG" || name == "STG" || name == "LDGSTS") && i.bytes < 16;
  }));
}

int spills(const MachineCode& c) {
  return c.sass.count(jit::SassClass::local) + static_cast<int>(c.use.stack + c.use.spill_loads);
}

std::optional<LoopCode> main_loop(const jit::SassKernel& k, std::string_view instruction) {
  const jit::SassLoop* best = nullptr;
  int most = 0;
  for (const jit::SassLoop& l : k.loops) {
    int n = k.count(instruction, l.first, l.last + 1);
    if (l.innermost && n > most) best = &l, most = n;
  }
  if (!best) return {};
  size_t from = best->first, to = best->last + 1;
  LoopCode c;
  c.all = static_cast<int>(to - from);
  c.hmma = k.count("HMMA", from, to);
  c.ldsm = k.count("LDSM", from, to);
  c.ldsm_x4 = k.count_bytes("LDSM", 4, from, to);
  c.ldgsts = k.count("LDGSTS", from, to);
  c.ldgsts_16 = k.count_bytes("LDGSTS", 16, from, to);
  c.convert = k.count(jit::SassClass::convert, from, to);
  c.local = k.count(jit::SassClass::local, from, to);
  c.hgmma = k.count("HGMMA", from, to);
  c.tma = k.count("UTMALDG", from, to);
  return c;
}

}  // namespace tess::test
