// Bytecode (.vmbc): a Module as bytes, and back.
//
//   header     magic (8 bytes), checksum of all that follows (u64), major, minor (u16 each), zero
//   (u32);
//              fixed-width integers are little-endian
//   sections   id, length, contents; id = 2 * number + (1 if a reader that does not know it may
//   skip it);
//              numbers ascend
//
//   1 strings    count, lengths, bytes of all (UTF-8, ascending); others refer to strings by index
//   2 types      count, each: space, ring, scalar type, rank, extents + 1 (0: dynamic)
//   3 layouts    count, each: kind (0: spelling only), name + 1 (0: none), text
//   4 constants  count, each: scalar type, code
//   5 kernels    count, each as in bytecode_write.cpp
//   6            reserved for graphs
//   7 names      optional: the names of locals, per kernel
//   8 lines      optional: file names; per kernel its place and those of its instructions
//   9 source     optional: the generic text
//  10 producer   optional: what wrote the file
//
// Integers are LEB128 in their shortest form, signed ones zigzag. A scalar type is the four numbers
// kind, bits, exponent, mantissa. Codes are those of isa.def, attrs.def, HostOp and the frozen
// enums of module.h. A changed meaning is a new code; a new minor version only adds codes and
// sections.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "isa/module.h"
#include "isa/result.h"

namespace tess {

inline constexpr uint8_t kBytecodeMagic[8] = {0x8F, 'V', 'M', 'B', 'C', '\r', '\n', 0x1A};
inline constexpr uint16_t kBytecodeMajor = 1, kBytecodeMinor = 1;
inline constexpr size_t kBytecodeHeaderBytes = 24;
// Memory that reading n bytes may take, beyond n: kBytecodeExpansion * n + kBytecodeSlack.
inline constexpr uint64_t kBytecodeExpansion = 128, kBytecodeSlack = 1 << 20;

enum class SectionId : uint32_t {
  strings = 1,
  types = 2,
  layouts = 3,
  constants = 4,
  kernels = 5,
  names = 7,
  lines = 8,
  source = 9,
  producer = 10,
};

struct WriteOptions {
  bool strip_names = false;  // names of locals and layouts; those of kernels and parameters stay
  bool strip_lines = false;  // places and file names
  bool keep_source = true;   // Module::source, if any
};
// The same module and options give the same bytes. All indices of the module must be in range, as
// in one that was verified or read. Thread-safe.
std::vector<uint8_t> write_bytecode(const Module& module, WriteOptions options = {});

struct ReadOptions {
  bool check_checksum = true;  // false: for fuzzing
};
// The bytes are hostile: no length or index is trusted, memory is bounded as said above, time is
// linear, nothing recurses. In the module handed back every index is in range and every enumeration
// valid; types, shapes and control flow are unchecked (verify.h). Errors: isa/diag/bytecode.def,
// with the byte's offset in the file. Thread-safe.
Result<Module> read_bytecode(std::span<const uint8_t> bytes, ReadOptions options = {});

// True if the bytes begin as bytecode does; no text does.
bool is_bytecode(std::span<const uint8_t> bytes);

// The header's checksum: of everything after it. A change inside one aligned eight-byte word is
// always detected, others with probability 1 - 2^-64. Several GB/s.
uint64_t bytecode_checksum(std::span<const uint8_t> bytes);

}  // namespace tess
