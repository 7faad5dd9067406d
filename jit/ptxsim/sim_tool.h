// `tess sim FILE.ptx ...` as a library call: the command line parses options into SimToolOptions
// and prints what comes back. Nothing here prints, reads the environment or exits; files named by
// `file:` parameters are read through `read_file`.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "isa/result.h"
#include "jit/driver.h"
#include "jit/ptxsim/machine.h"

namespace tess::ptxsim {

struct SimToolOptions {
  std::string ptx, file;  // the text, and its name for messages
  std::string entry;      // empty: the only kernel of the module
  jit::Dim3 grid{1, 1, 1}, block{32, 1, 1}, cluster{0, 0, 0};
  uint32_t shared_bytes = 0;
  // One per kernel parameter, in order:
  //   42, -1, 0x10            integer of the parameter's size
  //   1.5, 1e-5, f:2          f32 (4 bytes) or f64 (8 bytes); f16:1.5 and bf16:1.5 for 2 bytes
  //   buf:BYTES[=zeros|ones|iota|rand(SEED)|uninit]   a new buffer's address; iota counts 32-bit
  //   words,
  //                            rand fills with f16 pairs in -1..1; suffix with @f32 for f32 values
  //   file:NAME               a buffer with the file's bytes
  //   tmap:BUF,TYPE,SIZExSIZE..,BOXxBOX..[,swizzle=128|64|32][,fill=nan]  a tensor map over
  //   parameter
  //                            number BUF's buffer, which must come earlier; dense, innermost first
  std::vector<std::string> params;
  std::vector<std::string> dumps;  // N[:TYPE[:COUNT]]: parameter N's buffer after the run
  int runs = 1;                    // more than one sweeps modes and seeds
  uint64_t seed = 0;
  std::string async = "eager";  // eager, lazy, random
  bool check = true, json = false, stats = false;
  uint64_t max_steps = 0;  // 0: the default
  int threads = 0;
  const std::atomic<bool>* interrupt = nullptr;
  std::function<Result<std::string>(const std::string& name)> read_file;
};

struct SimToolResult {
  std::string output;  // text or JSON, ready to print
  bool clean = true;   // no finding in any run: exit status 0, else 1
};

Result<SimToolResult> sim_main(const SimToolOptions& options);

}  // namespace tess::ptxsim
