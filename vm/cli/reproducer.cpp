#include "vm/cli/reproducer.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>

#include "vm/api/tess.h"
#include "vm/cli/console.h"

// May run in a signal handler: system calls and fixed buffers only.
namespace tess::cli {
namespace {

int arg_count = 0;
const char* const* arguments = nullptr;

void put(int fd, const char* text) {
  size_t n = std::strlen(text);
  while (n > 0) {
    ssize_t done = ::write(fd, text, n);
    if (done <= 0) return;
    text += done;
    n -= static_cast<size_t>(done);
  }
}

void put_number(char* to, unsigned long value) {
  char digits[24];
  int n = 0;
  do digits[n++] = static_cast<char>('0' + value % 10);
  while (value /= 10);
  while (n) *to++ = digits[--n];
  *to = 0;
}

// One argument as a shell reads it.
void put_quoted(int fd, const char* text) {
  put(fd, "'");
  for (; *text; ++text) {
    char c[2] = {*text, 0};
    put(fd, *text == '\'' ? "'\\''" : c);
  }
  put(fd, "'");
}

// The files named on the command line, whole if they are small: the program is what we need.
void put_small_files(int fd) {
  for (int i = 1; i < arg_count; ++i) {
    int in = ::open(arguments[i], O_RDONLY | O_NONBLOCK);
    if (in < 0) continue;
    static char buffer[1 << 16];
    ssize_t n = ::read(in, buffer, sizeof buffer);
    bool text = n > 0 && !std::memchr(buffer, 0, static_cast<size_t>(n));
    if (text) {
      put(fd, "\n--- ");
      put(fd, arguments[i]);
      put(fd, "\n");
      for (ssize_t done = 0, k;
           done < n && (k = ::write(fd, buffer + done, static_cast<size_t>(n - done))) > 0;)
        done += k;
    }
    ::close(in);
  }
}

void on_fatal_signal(int number) {
  signal(number, SIG_DFL);
  _exit(report_our_bug(number == SIGSEGV ? "invalid memory access"
                       : number == SIGBUS
                           ? "memory access failed (a mapped file that another process cut short?)"
                       : number == SIGFPE ? "arithmetic fault"
                       : number == SIGILL ? "illegal instruction"
                                          : "aborted"));
}

}  // namespace

int report_our_bug(const char* what) {
  char name[64] = "tess-reproducer-";
  put_number(name + std::strlen(name), static_cast<unsigned long>(getpid()));
  std::strcat(name, ".txt");
  char path[128] = "";
  std::strcat(path, name);
  int fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) {
    path[0] = 0;
    std::strcat(path, P_tmpdir "/");
    std::strcat(path, name);
    fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  }
  if (fd >= 0) {
    put(fd, "tess ");
    put(fd, tess_version());
    put(fd, "\nwhat: ");
    put(fd, what);
    put(fd, "\ncommand:");
    for (int i = 0; i < arg_count; ++i) put(fd, " "), put_quoted(fd, arguments[i]);
    put(fd, "\n");
    put_small_files(fd);
    ::close(fd);
  }
  put(STDERR_FILENO, "error[E0970]: a mistake in Tessera itself: ");
  put(STDERR_FILENO, what);
  put(STDERR_FILENO, fd >= 0 ? "\n  hint: please report it with the file "
                             : "\n  hint: please report it; no file could be written: ");
  put(STDERR_FILENO, fd >= 0 ? path : name);
  put(STDERR_FILENO, "\n");
  return kOurBug;
}

void install_reproducer(int argc, const char* const* argv) {
  arg_count = argc;
  arguments = argv;
  std::set_terminate([] { _exit(report_our_bug("an exception escaped")); });
  static char stack[1 << 16];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);  // so that a stack overflow can still be reported
  struct sigaction action {};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = SA_ONSTACK;
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigaction(number, &action, nullptr);
}

}  // namespace tess::cli
