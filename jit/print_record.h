// What `print` leaves in device memory, in words of 64 bits: a head for the launch, then one record
// after the other, each a head and one word for each element's code, row-major. The host sorts them
// by block. A record that does not fit is not written, but counts as used.
#pragma once
#include <cstdint>

namespace tess::jit {

struct PrintHead {
  uint64_t used = 0;  // words, all records together; reserved by an atomic addition
  uint64_t room = 0;  // words behind this head
};
struct PrintRecord {
  uint32_t number = 0;  // which `print` of the kernel, in program order
  uint32_t strand = 0;
  uint32_t block[3] = {};
  uint32_t elements = 0;
};
static_assert(sizeof(PrintHead) % 8 == 0 && sizeof(PrintRecord) % 8 == 0);

}  // namespace tess::jit
