// Which wgmma may still be running where. They are asynchronous: their results may be read, and the
// registers of their operand A written, only after a wait that covers their group. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "isa/verify.h"

namespace tess::jit {

struct Flights {
  // By pc of a `wgmma.wait`: the wgmma whose results can be read from there on.
  std::map<uint32_t, std::vector<uint32_t>> landed;
  // By pc of a wgmma: those that may be in flight when it is issued.
  std::map<uint32_t, std::vector<uint32_t>> before;
  // By pc of a wgmma that may itself be in flight from an earlier time when it is issued again: how
  // many groups have been committed since, -1 if its own has not been.
  std::map<uint32_t, int> again;
  // By pc of another instruction that touches a result which is in flight along some path: the wait
  // that settles it on all of them. Where paths exclude each other it waits for nothing, and the
  // assembler sees that too.
  struct Settle {
    uint32_t groups = 0;
    std::vector<uint32_t> landed;
  };
  std::map<uint32_t, Settle> settle;
};
Flights find_flights(const Kernel& k, const KernelInfo& info);

}  // namespace tess::jit
