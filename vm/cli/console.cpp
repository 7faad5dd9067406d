#include "vm/cli/console.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "isa/diag/data.h"
#include "isa/diag/jit.h"
#include "isa/diag/run.h"
#include "isa/diag/tool.h"
#include "isa/limits.h"
#include "vm/data/atomic_file.h"

namespace tess::cli {

ExitCode exit_code_of(Diag code) {
  const DiagInfo* info = find_diag(code);
  if (!info) return kOurBug;
  if (code == diag::run_interrupted) return kInterrupted;
  if (code == diag::internal_error) return kOurBug;
  if (code == diag::comparison_failed) return kMismatch;
  int number = static_cast<int>(code);
  if (number >= 900 && number < 920) return kUsage;
  if (number >= 920 && number < 930) return kEnvironment;
  if (number >= 1300 && number < 1320) return kEnvironment;
  if (code == diag::nvrtc_missing || code == diag::nvptx_missing || code == diag::ptxas_missing)
    return kEnvironment;
  if (info->severity == Severity::trap) return kTrapped;
  if (info->severity == Severity::limit) return kLimitReached;
  return info->severity == Severity::warning ? kOk : kInputErrors;
}

Console Console::make(const Common& common) {
  Console c;
  c.json = common.json;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  bool plain = (no_color && *no_color) || (term && std::string_view(term) == "dumb");
  auto decide = [&](int fd) {
    return common.color == "always" || (common.color == "auto" && !plain && isatty(fd));
  };
  c.color_out = decide(STDOUT_FILENO);
  c.color_err = decide(STDERR_FILENO);
  c.progress = isatty(STDERR_FILENO) && !c.json;
  return c;
}

void Console::raw(std::string_view text) const { fwrite(text.data(), 1, text.size(), stderr); }
void Console::say(std::string_view line) const { raw(fmt::format("{}\n", line)); }

Status Console::write(std::string_view data) const {
  if (fwrite(data.data(), 1, data.size(), stdout) != data.size() || fflush(stdout) != 0)
    return make_diag(diag::output_unwritable,
                     fmt::format("standard output: {}", std::strerror(errno)));
  return ok();
}

int Console::report(Diagnostics diagnostics, const Sources& sources) const {
  std::stable_sort(diagnostics.begin(), diagnostics.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::tuple(a.span.file, a.span.line, a.span.col) <
                            std::tuple(b.span.file, b.span.line, b.span.col);
                   });
  int code = kOk;
  int64_t shown = 0, left = 0;
  for (const Diagnostic& d : diagnostics) {
    code = std::max<int>(code, exit_code_of(d.code));
    if (++shown > limits::max_errors) ++left;
    else raw(json ? render_diag_json(d, sources) : render_diag(d, sources, color_err));
  }
  if (left && !json) say(fmt::format("{} more not shown", left));
  return code;
}

Result<std::string> read_input(const std::string& path) {
  FILE* f = path == "-" ? stdin : fopen(path.c_str(), "rb");
  auto failed = [&](const char* why) {
    return make_diag(diag::input_unreadable,
                     fmt::format("{}: {}", path == "-" ? "standard input" : path, why));
  };
  if (!f) return failed(std::strerror(errno));
  std::string bytes;
  char buffer[65536];
  Status status = ok();
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;) {
    bytes.append(buffer, n);
    if (bytes.size() > static_cast<size_t>(limits::max_source_bytes)) {
      status = failed("larger than the limit of a source file");
      break;
    }
  }
  if (ferror(f)) status = failed(std::strerror(errno));
  if (f != stdin) fclose(f);
  if (!status) return std::move(status).error();
  return bytes;
}

Status write_output(const std::string& path, std::string_view bytes, const Console& console) {
  if (path.empty() || path == "-") return console.write(bytes);
  TESS_TRY(AtomicFile file, AtomicFile::create(path));
  TESS_CHECK(file.write({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
  return file.commit();
}

namespace {
std::atomic<int> scopes{0};
std::atomic<int> signals{0};
std::atomic<bool> asked{false};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

extern "C" void on_interrupt(int) {
  if (scopes.load() == 0 || signals.fetch_add(1) > 0) _exit(kInterrupted);
  asked.store(true);
}
}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a closed pipe is a write error with a code
}
bool interrupted() { return asked.load(); }
const std::atomic<bool>* interrupt_flag() { return &asked; }
InterruptScope::InterruptScope() { ++scopes; }
InterruptScope::~InterruptScope() { --scopes; }

}  // namespace tess::cli
