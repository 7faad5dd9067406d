// What machine code a cubin holds, without a disassembler: instructions by name and class, widths
// of memory accesses, loops. For tests of code quality; sm_80 to sm_90a. Pure and thread-safe.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isa/result.h"

namespace tess::jit {

enum class SassClass : uint8_t {
  integer,
  convert,
  half,
  real,
  predicate,
  move,
  uniform,
  load,
  store,
  async,
  shared,
  local,
  atomic,
  tensor,
  warp,
  barrier,
  control,
  other
};

struct SassInst {
  uint32_t address = 0;
  uint16_t code = 0;     // low nine bits
  uint8_t bytes = 0;     // per thread: LDG STG LDS STS LDL STL LDGSTS; matrices of LDSM, STSM
  bool guarded = false;  // under a predicate
  bool copies = false;   // IMAD of a zero: ptxas moves registers so
  int64_t target = -1;   // of BRA, an address
};
std::string_view sass_name(const SassInst& i);  // "LDG"; "?" if unknown
SassClass sass_class(const SassInst& i);

// A backward branch and what it repeats: instructions [first, last], the branch among them.
struct SassLoop {
  size_t first = 0, last = 0;
  bool innermost = true;
};

struct SassKernel {
  std::string entry;
  int sm = 0;                   // 80, 89, 90
  std::vector<SassInst> code;   // up to the padding behind the last branch
  std::vector<SassLoop> loops;  // by first instruction
  // In [from, to] (to: one past; 0: the end).
  int count(std::string_view name, size_t from = 0, size_t to = 0) const;
  int count_bytes(std::string_view name, int bytes, size_t from = 0, size_t to = 0) const;
  int count(SassClass c, size_t from = 0, size_t to = 0) const;
};

// Errors: E1172.
Result<std::vector<SassKernel>> read_cubin(std::string_view cubin);
// One line per opcode: name, class, how often. For people.
std::string sass_summary(const SassKernel& k);

}  // namespace tess::jit
