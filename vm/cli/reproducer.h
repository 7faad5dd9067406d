// Exit code 70: when Tessera itself is wrong, what is needed to see it again goes into a file.
#pragma once

namespace tess::cli {

// Remembers the command line, and handles std::terminate and fatal signals from here on.
void install_reproducer(int argc, const char* const* argv);
// Writes tess-reproducer-PID.txt into the working folder (else into the system's folder for
// temporary files), says so, gives 70.
int report_our_bug(const char* what);

}  // namespace tess::cli
