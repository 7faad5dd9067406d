// Where a command's words go: data to standard output, talk to standard error. And the exit codes.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"
#include "vm/cli/options.h"

namespace tess::cli {

// ISA.md section 8.
enum ExitCode : int {
  kOk = 0,
  kInputErrors = 1,
  kUsage = 2,
  kMismatch = 3,
  kTrapped = 4,
  kLimitReached = 5,
  kEnvironment = 6,
  kOurBug = 70,
  kInterrupted = 130,
};
// The exit code that a diagnostic asks for.
ExitCode exit_code_of(Diag code);

struct Console {
  bool json = false;
  bool color_out = false, color_err = false;
  bool progress = false;  // a terminal listens to the talk

  // Decides about colour by `--color`, NO_COLOR, TERM and whether a terminal is there.
  static Console make(const Common& common);

  void say(std::string_view line) const;  // to standard error, with a newline
  void raw(std::string_view text) const;  // to standard error as it is
  Status write(
      std::string_view data) const;  // to standard output; an error if it is closed or full

  // Prints, sorted by place, at most limits::max_errors. Gives the exit code of the worst.
  int report(Diagnostics diagnostics, const Sources& sources) const;
  int report(const Diagnostic& d, const Sources& sources = {}) const {
    return report(Diagnostics{d}, sources);
  }
};

// A file's bytes, or standard input for "-". At most limits::max_source_bytes.
Result<std::string> read_input(const std::string& path);
// Whole or not at all; "-" or an empty path is standard output.
Status write_output(const std::string& path, std::string_view bytes, const Console& console);

// Ctrl-C: sets the flag while a Scope lives and was asked for, else ends the process with 130.
// A second Ctrl-C always ends it. Output files are written atomically, so nothing is left
// half-done.
void install_interrupt_handler();
bool interrupted();
const std::atomic<bool>* interrupt_flag();
struct InterruptScope {
  InterruptScope();
  ~InterruptScope();
};

}  // namespace tess::cli
