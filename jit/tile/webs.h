// Def-use webs of register tiles: the definitions that may reach one use belong together, and a
// layout belongs to a web. A loop is taken to run zero times or more, so that a name that is split
// by webs is still assigned on every path in the verifier's eyes.
#pragma once
#include <cstdint>
#include <vector>

#include "isa/verify.h"

namespace tess::jit::tile {

// Where an instruction reads a value: operand `arg`; if that is an access, one of its positions
// (index >= 0), its base, or its list item.
struct UsePlace {
  uint16_t arg = 0;
  int16_t index = -1;
  static constexpr int16_t kOperand = -1, kBase = -2, kItem = -3, kStop = 0x4000;
};
struct Use {
  UsePlace place;
  uint32_t value;
};
// Every value that an instruction reads, in order.
void uses_of(const Kernel& k, const Inst& inst, std::vector<Use>& out);

struct WebDef {
  uint32_t pc;
  uint8_t result;
};
struct Web {
  uint32_t value;
  std::vector<WebDef> defs;  // in program order; none for a use that nothing reaches
};
struct Webs {
  std::vector<Web> webs;  // of register tiles only, by first definition
  static constexpr uint32_t kNone = 0xffffffff;
  std::vector<std::vector<uint32_t>> of_result;  // by pc, result
  std::vector<std::vector<uint32_t>> of_use;     // by pc, in the order of uses_of
};
Webs find_webs(const Kernel& k, const KernelInfo& info);

}  // namespace tess::jit::tile
