// What the bytecode reader and writer share. Not for callers outside isa.
#pragma once
#include <cstdint>

#include "isa/bytecode.h"

namespace tess::bytecode {

constexpr uint64_t zigzag(int64_t v) {
  return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63);
}
constexpr int64_t unzigzag(uint64_t v) {
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}

constexpr uint32_t section_code(SectionId id) {
  return static_cast<uint32_t>(id) * 2 + (id >= SectionId::names);
}

// References: 4 * index + kind, and 3 for none.
constexpr uint64_t ref_number(Ref r) {
  return r.is_none() ? 3 : uint64_t{r.index()} << 2 | static_cast<uint64_t>(r.kind());
}

// Which parts of a parameter follow.
enum ParamBits : uint32_t {
  kHasStrides = 1,
  kHasList = 2,
  kHasLet = 4,
  kHasAligned = 8,
  kMayAlias = 16,
  kKept = 32,
  kHasDivisible = 64,
  kHasLo = 128,
  kHasHi = 256,
  kAllParamBits = 511,
};

enum KernelBits : uint32_t {
  kCooperative = 1,
  kSyncManual = 2,
  kContract = 4,
  kFtz = 8,
  kApprox = 16,
  kAllKernelBits = 31,
};
constexpr uint32_t kernel_flags(const Kernel& k) {
  auto bit = [](bool set, KernelBits b) { return set ? static_cast<uint32_t>(b) : 0u; };
  return bit(k.cooperative, kCooperative) | bit(k.sync_manual, kSyncManual) |
         bit(k.fast.contract, kContract) | bit(k.fast.ftz, kFtz) | bit(k.fast.approx, kApprox);
}

inline constexpr uint8_t kLayoutSpelling = 0;  // kinds of layout entries: only the text as written

}  // namespace tess::bytecode
