#include "jit/cubin/ptxas.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "isa/diag/jit.h"
#include "jit/compiled.h"

extern char** environ;

namespace tess::jit {
namespace {

// A folder that goes away with its files.
struct Folder {
  std::string path;
  explicit Folder(const std::string& in) : path(in + "/tess-XXXXXX") {
    if (!mkdtemp(path.data())) path.clear();
  }
  ~Folder() {
    if (path.empty()) return;
    for (const char* name : {"/k.ptx", "/k.cubin", "/log"}) unlink((path + name).c_str());
    rmdir(path.c_str());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
};

bool write_file(const std::string& path, std::string_view text) {
  FILE* f = fopen(path.c_str(), "wb");
  if (!f) return false;
  bool good = fwrite(text.data(), 1, text.size(), f) == text.size();
  return fclose(f) == 0 && good;
}
std::string read_file(const std::string& path) {
  std::string out;
  FILE* f = fopen(path.c_str(), "rb");
  if (!f) return out;
  char part[65536];
  for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) out.append(part, n);
  fclose(f);
  return out;
}

// Exit status, or -1 if it could not be started.
int run(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = 0;
  int error = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error) return -1;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The number in front of `word`, as in "24 registers".
uint32_t number_before(std::string_view line, std::string_view word) {
  size_t at = line.find(word);
  if (at == std::string_view::npos) return 0;
  size_t begin = at;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  uint32_t n = 0;
  std::from_chars(line.data() + begin, line.data() + at, n);
  return n;
}

}  // namespace

std::vector<std::string> ptxas_places(std::string_view cuda_root) {
  std::vector<std::string> out;
  if (!cuda_root.empty()) out.push_back(std::string(cuda_root) + "/bin/ptxas");
  out.insert(out.end(), {"/usr/local/cuda/bin/ptxas", "/opt/cuda/bin/ptxas", "/usr/bin/ptxas"});
  return out;
}

Result<std::string> find_ptxas(const std::vector<std::string>& places) {
  std::string looked;
  for (const std::string& p : places) {
    if (access(p.c_str(), X_OK) == 0) return p;
    looked += (looked.empty() ? "" : ", ") + p;
  }
  return make_diag(diag::ptxas_missing, "ptxas is not found; looked for " + looked);
}

std::vector<KernelUse> parse_ptxas_log(std::string_view log) {
  std::vector<KernelUse> out;
  while (!log.empty()) {
    size_t end = log.find('\n');
    std::string_view line = log.substr(0, end);
    log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
    constexpr std::string_view kEntry = "Compiling entry function '";
    if (size_t at = line.find(kEntry); at != std::string_view::npos) {
      line.remove_prefix(at + kEntry.size());
      out.push_back({std::string(line.substr(0, line.find('\'')))});
    } else if (!out.empty() && line.find("spill stores") != std::string_view::npos) {
      KernelUse& k = out.back();
      k.stack = number_before(line, " bytes stack frame");
      k.spill_stores = number_before(line, " bytes spill stores");
      k.spill_loads = number_before(line, " bytes spill loads");
    } else if (!out.empty() && line.find(" registers") != std::string_view::npos) {
      KernelUse& k = out.back();
      k.registers = number_before(line, " registers");
      k.barriers = number_before(line, " barriers");
      k.shared = number_before(line, " bytes smem");
    }
  }
  return out;
}

Result<Assembled> assemble_ptx(std::string_view ptx, const PtxasOptions& options) {
  Folder folder(options.folder);
  if (folder.path.empty() || !write_file(folder.path + "/k.ptx", ptx))
    return make_diag(diag::ptxas_failed, fmt::format("temporary files in {}: {}", options.folder,
                                                     std::strerror(errno)));
  int rc = run(
      {options.path, "-v", "-lineinfo", fmt::format("-O{}", options.level),
       "-arch=" + arch_name(options.arch), folder.path + "/k.ptx", "-o", folder.path + "/k.cubin"},
      folder.path + "/log");
  if (rc < 0) return make_diag(diag::ptxas_missing, "cannot run " + options.path);
  Assembled out;
  out.log = read_file(folder.path + "/log");
  out.cubin = read_file(folder.path + "/k.cubin");
  if (rc != 0 || out.cubin.empty())
    return make_diag(diag::ptxas_failed, fmt::format("ptxas ended with {}: {}", rc, out.log));
  out.kernels = parse_ptxas_log(out.log);
  return out;
}

}  // namespace tess::jit
