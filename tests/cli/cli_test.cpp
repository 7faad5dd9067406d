// Runs the `.cli` files of a folder: commands, and what they must print. README.md
// has the format. Ends with `N passed, N failed`, one count per command.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Expected {
  std::string command;
  std::vector<std::string> out, err;
  bool any_err = false;
  int code = 0;
  int line = 0;
  bool left_out = false;
};

// A sanitizer's own memory does not fit the limits that some commands set.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    size_t n = text.find('\n');
    out.emplace_back(text.substr(0, n));
    text.remove_prefix(n == std::string_view::npos ? text.size() : n + 1);
  }
  return out;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

// `...` alone stands for any number of lines, inside a line for any text.
bool line_matches(std::string_view pattern, std::string_view line) {
  size_t dots = pattern.find("...");
  if (dots == std::string_view::npos) return pattern == line;
  if (!line.starts_with(pattern.substr(0, dots))) return false;
  std::string_view rest = pattern.substr(dots + 3);
  for (size_t i = dots; i <= line.size(); ++i)
    if (line_matches(rest, line.substr(i))) return true;
  return false;
}
bool matches(const std::vector<std::string>& pattern, size_t p, const std::vector<std::string>& got,
             size_t g) {
  if (p == pattern.size()) return g == got.size();
  if (pattern[p] == "...") {
    for (size_t i = g; i <= got.size(); ++i)
      if (matches(pattern, p + 1, got, i)) return true;
    return false;
  }
  return g < got.size() && line_matches(pattern[p], got[g]) && matches(pattern, p + 1, got, g + 1);
}

// Runs in `folder`; gives the exit code, 128 + n for signal n.
int shell(const std::string& folder, const std::string& command, std::string& out,
          std::string& err) {
  pid_t child = fork();
  if (child == 0) {
    if (chdir(folder.c_str()) != 0) _exit(127);
    auto redirect = [](int fd, const char* path, int flags) {
      int f = open(path, flags, 0600);
      if (f < 0 || dup2(f, fd) < 0) _exit(127);
    };
    redirect(0, "/dev/null", O_RDONLY);
    redirect(1, ".stdout", O_WRONLY | O_CREAT | O_TRUNC);
    redirect(2, ".stderr", O_WRONLY | O_CREAT | O_TRUNC);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  out = read_file(folder + "/.stdout");
  err = read_file(folder + "/.stderr");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void show(const char* title, const std::vector<std::string>& lines) {
  printf("  %s:\n", title);
  for (const std::string& l : lines) printf("    %s\n", l.c_str());
}

bool run(const std::string& path, const std::string& folder, const Expected& e) {
  std::string out, err;
  int code = shell(folder, e.command, out, err);
  std::vector<std::string> got_out = lines_of(out), got_err = lines_of(err);
  bool good = code == e.code && matches(e.out, 0, got_out, 0) &&
              (e.any_err || matches(e.err, 0, got_err, 0));
  if (good) return true;
  printf("FAILED: %s:%d: %s\n", path.c_str(), e.line, e.command.c_str());
  if (code != e.code) printf("  exit code %d, not %d\n", code, e.code);
  show("standard output", got_out);
  show("standard error", got_err);
  return false;
}

struct Counts {
  int passed = 0, failed = 0;
};

void run_file(const std::string& path, Counts& counts) {
  char folder[] = P_tmpdir "/tess-cli-XXXXXX";
  if (!mkdtemp(folder)) {
    printf("FAILED: %s: no folder for temporary files\n", path.c_str());
    ++counts.failed;
    return;
  }
  std::vector<std::string> lines = lines_of(read_file(path));
  std::vector<Expected> pending;
  int commands = 0;
  auto flush = [&] {
    for (const Expected& e : pending) {
      ++commands;
      if (e.left_out) {
        printf("left out, for a build without sanitizers: %s:%d\n", path.c_str(), e.line);
        continue;
      }
      ++(run(path, folder, e) ? counts.passed : counts.failed);
    }
    pending.clear();
  };
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string_view l = lines[i];
    auto rest = [&] { return std::string(l.size() > 2 ? l.substr(2) : ""); };
    if (l.empty() || l.starts_with('#')) continue;
    if (l.starts_with(">> ")) {
      flush();
      std::ofstream out(std::string(folder) + "/" + std::string(l.substr(3)), std::ios::binary);
      while (++i < lines.size() && lines[i] != "<<") out << lines[i] << '\n';
    } else if (l.starts_with("$ ") || l.starts_with("$plain ")) {
      flush();
      std::string command(l.substr(l.find(' ') + 1));
      pending.push_back({command, {}, {}, false, 0, static_cast<int>(i + 1)});
      pending.back().left_out = kSanitized && l[1] == 'p';
    } else if (pending.empty()) {
      printf("FAILED: %s:%zu: expectation before a command\n", path.c_str(), i + 1);
      ++counts.failed;
    } else if (l.starts_with('|')) {
      pending.back().out.push_back(rest());
    } else if (l == "! ...") {
      pending.back().any_err = true;
    } else if (l.starts_with('!')) {
      pending.back().err.push_back(rest());
    } else if (l.starts_with("? ")) {
      pending.back().code = atoi(rest().c_str());
    } else {
      printf("FAILED: %s:%zu: not a line of this format\n", path.c_str(), i + 1);
      ++counts.failed;
    }
  }
  flush();
  if (commands == 0) {
    printf("FAILED: %s: no command\n", path.c_str());
    ++counts.failed;
  }
  std::string out, err;
  shell("/", fmt::format("rm -rf '{}'", folder), out, err);
}

}  // namespace

// cli_test FOLDER-OF-TESS FOLDER-OF-CASES; doctest's options are ignored.
int main(int argc, char** argv) {
  std::string path = std::string(argc > 1 ? argv[1] : ".") + ":" +
                     (getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
  setenv("PATH", path.c_str(), 1);
  unsetenv("NO_COLOR");
  Counts counts;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(argc > 2 ? argv[2] : "."))
    if (entry.path().extension() == ".cli") files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) run_file(file, counts);
  printf("%d passed, %d failed\n", counts.passed, counts.failed);
  return counts.failed == 0 && counts.passed > 0 ? 0 : 1;
}
