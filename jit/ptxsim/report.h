// What a simulated launch has to say: findings in terms of the user's source, and statistics.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "isa/diag.h"
#include "jit/driver.h"
#include "jit/ptxsim/op.h"

namespace tess::ptxsim {

struct Place {
  std::string file;  // of .loc; the PTX file if there is none
  uint32_t line = 0, col = 0, ptx_line = 0;
  std::string instruction;  // opcode with modifiers
};

struct Access {
  Place place;
  jit::Dim3 block, thread;
  std::string what;  // "write of 4 bytes at shared+0x40", "waits for barrier 1 (64 of 128 threads)"
};

struct Finding {
  Diag code{};
  std::string message;
  Access where;
  std::vector<Access> others;  // the other side of a race, each waiting warp of a deadlock
  uint64_t count = 1;
};

struct SiteStats {
  uint64_t executed = 0, lanes = 0;
  uint64_t requests = 0;    // memory requests (warp instructions)
  uint64_t sectors = 0;     // of 32 bytes, global
  uint64_t wavefronts = 0;  // shared memory passes; conflicts = wavefronts - ideal
  uint64_t ideal = 0;
  uint64_t stalls = 0;  // warp turns spent waiting here
};

struct LaunchStats {
  std::array<uint64_t, kOpClasses> by_class{};
  uint64_t warp_instructions = 0, lane_instructions = 0;
  uint64_t async_bytes = 0;
  std::vector<SiteStats> sites;  // by operation
  void add(const LaunchStats& o);
};

Place place_of(const Program& p, uint32_t op_index);
// "file:line: [T1026 ...] message" with the other accesses indented below.
std::string render_finding(const Finding& f);
std::string finding_json(const Finding& f);
// As a diagnostic whose message starts with the place and whose notes are the other accesses.
Diagnostic finding_diagnostic(const Finding& f);
std::string stats_text(const Program& p, const LaunchStats& s);
std::string stats_json(const Program& p, const LaunchStats& s);

}  // namespace tess::ptxsim
