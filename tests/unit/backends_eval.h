// What a block kernel computes, on the host: one thread, one instruction at a time. Written from
// the table of plain operations alone; of the forms it knows a store of 64 bits.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {

// The bits of a plain operation's result; arguments as bits with zeros above.
uint64_t eval_plain(BlockOp op, RegClass result, RegClass first, const std::vector<uint64_t>& a);

struct Thread {
  uint32_t tid = 0, ctaid = 0, nctaid = 1;
  std::vector<uint64_t> params;
  std::function<void(uint64_t address, uint64_t value)> store;
  uint64_t fuel = 1'000'000;
};
// False if the fuel ran out.
bool eval_thread(const BlockKernel& k, Thread& t);

}  // namespace tess::jit
