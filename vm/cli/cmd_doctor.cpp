#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "isa/diag.h"
#include "vm/api/tess.h"
#include "vm/cli/commands.h"

namespace tess::cli {
namespace {

enum class State { ok, missing, note };

// One line of the report: what was looked for, what was found, and what to do if it is missing.
struct Finding {
  std::string what;
  State state;
  std::string found, fix;
};

// A shared library by any of its names; what `dlopen` says otherwise.
struct Library {
  void* handle = nullptr;
  std::string name, why;
  explicit Library(std::initializer_list<const char*> names) {
    for (const char* n : names) {
      if ((handle = dlopen(n, RTLD_NOW | RTLD_LOCAL))) {
        name = n;
        return;
      }
      if (why.empty()) why = dlerror();
    }
  }
  ~Library() {
    if (handle) dlclose(handle);
  }
  template <class F>
  F* function(const char* symbol) const {
    return handle ? reinterpret_cast<F*>(dlsym(handle, symbol)) : nullptr;
  }
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

Finding driver() {
  Library cuda{"libcuda.so.1"};
  const char* fix =
      "install NVIDIA's driver, 580 or newer for CUDA 13; kernels run on the interpreter without "
      "it";
  auto* init = cuda.function<int(unsigned)>("cuInit");
  auto* version = cuda.function<int(int*)>("cuDriverGetVersion");
  auto* count = cuda.function<int(int*)>("cuDeviceGetCount");
  if (!init || !version || !count) return {"CUDA driver", State::missing, cuda.why, fix};
  int v = 0, n = 0;
  if (int error = init(0))
    return {
        "CUDA driver", State::missing,
        fmt::format("libcuda.so.1 is there, but cuInit fails with {}", error),
        error == 100
            ? "no GPU is visible: check CUDA_VISIBLE_DEVICES and the permissions of /dev/nvidia*"
            : fix};
  version(&v);
  count(&n);
  std::string devices;
  auto* get = cuda.function<int(int*, int)>("cuDeviceGet");
  auto* name = cuda.function<int(char*, int, int)>("cuDeviceGetName");
  for (int i = 0; i < n && get && name; ++i) {
    int device = 0;
    char text[256] = "";
    if (get(&device, i) == 0 && name(text, sizeof text, device) == 0)
      devices += fmt::format("; {}: {}", i, text);
  }
  return {"CUDA driver", State::ok,
          fmt::format("CUDA {}.{}, {} device{}{}", v / 1000, v % 1000 / 10, n, n == 1 ? "" : "s",
                      devices),
          ""};
}

Finding nvrtc() {
  Library lib{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
  int major = 0, minor = 0;
  auto* version = lib.function<int(int*, int*)>("nvrtcVersion");
  if (!version || version(&major, &minor) != 0)
    return {"NVRTC", State::missing, lib.why,
            "install cuda-nvrtc-13-0 from NVIDIA's repository, or put libnvrtc.so.13 on the "
            "library path"};
  return {"NVRTC", State::ok, fmt::format("{}.{} ({})", major, minor, lib.name), ""};
}

Finding llvm() {
  Library lib{"libLLVM.so.19.1", "libLLVM-19.so.1", "libLLVM-19.so"};
  if (!lib.handle) return {"LLVM 19", State::missing, lib.why, "apt-get install llvm-19"};
  return {"LLVM 19", State::ok, lib.name, ""};
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
  out.push_back(driver());
  out.push_back(nvrtc());
  out.push_back(llvm());
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
