#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "isa/diag.h"
#include "jit/jit_tool.h"
#include "vm/api/tess.h"
#include "vm/cli/commands.h"
#include "vm/cli/machine.h"

namespace tess::cli {
namespace {

enum class State { ok, missing, note };

// One line of the report: what was looked for, what was found, and what to do if it is missing.
struct Finding {
  std::string what;
  State state;
  std::string found, fix;
};

std::string cpu_features() {
  std::string out;
#if defined(__x86_64__)
  __builtin_cpu_init();
  auto add = [&](bool has, const char* name) {
    if (has) out += fmt::format("{}{}", out.empty() ? "" : " ", name);
  };
  add(__builtin_cpu_supports("sse4.2"), "sse4.2");
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bw"), "avx512bw");
  add(__builtin_cpu_supports("avx512vbmi2"), "avx512vbmi2");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
#endif
  return out.empty() ? "none that are looked for" : out;
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::vector<Finding> examine() {
  std::vector<Finding> out;
  out.push_back(
      {"tess", State::ok, fmt::format("{}, ABI {}", tess_version(), tess_abi_version()), ""});
  utsname system{};
  uname(&system);
  out.push_back({"system", State::ok,
                 fmt::format("{} {} {}", system.sysname, system.release, system.machine), ""});
  out.push_back({"processor", State::ok,
                 fmt::format("{}, {} threads", cpu_name(), std::thread::hardware_concurrency()),
                 ""});
  out.push_back({"SIMD", State::ok, cpu_features(), ""});
  double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  out.push_back({"memory", State::ok, fmt::format("{:.1f} GiB", memory / (1 << 30)), ""});
  out.push_back({"engine interp", State::ok, "the tile interpreter, on this processor", ""});
  out.push_back({"engine sim", State::ok, "compiled kernels on the PTX simulator", ""});
  for (jit::ToolState& t : jit::tool_states(cuda_root()))
    out.push_back({t.what, t.fix.empty() ? State::ok : State::missing, t.found, t.fix});
  std::string disassembler;
  for (const char* name : {"nvdisasm", "cuobjdump"})
    if (disassembler.empty()) disassembler = find_program(name);
  if (disassembler.empty())
    out.push_back({"disassembler", State::missing, "neither nvdisasm nor cuobjdump is found",
                   "install cuda-nvdisasm-13-0 from NVIDIA's repository; only `tess emit --target "
                   "sass` needs it"});
  else out.push_back({"disassembler", State::ok, disassembler, ""});
  return out;
}

}  // namespace

int run_command(const DoctorOptions&, const Console& console) {
  constexpr const char* kWords[] = {"ok", "missing", "note"};
  std::string out;
  for (const Finding& f : examine()) {
    const char* word = kWords[static_cast<int>(f.state)];
    if (console.json) {
      out += fmt::format(R"({{"what":{},"state":"{}","found":{},"fix":{}}})", json_quote(f.what),
                         word, json_quote(f.found), json_quote(f.fix)) +
             "\n";
      continue;
    }
    const char* color = !console.color_out ? "" : f.state == State::ok ? "\x1b[32m" : "\x1b[33m";
    out += fmt::format("{}{:<8}{}{:<15}{}\n", color, word, console.color_out ? "\x1b[0m" : "",
                       f.what, f.found);
    if (!f.fix.empty()) out += fmt::format("{:<8}{:<15}fix: {}\n", "", "", f.fix);
  }
  Status written = console.write(out);
  return written ? kOk : console.report(written.error());
}

}  // namespace tess::cli
