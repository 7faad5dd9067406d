// Bytes of an input file: mapped read-only, or given in memory. Readers take a Blob, never a path,
// so that they run over any bytes (the fuzzer's too).
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "isa/result.h"

namespace tess {

struct Blob {
  std::span<const uint8_t> bytes;
  std::shared_ptr<const void> keep;  // keeps `bytes` alive; may be null if the caller does
  std::string name;                  // for messages
};

// Maps a regular file. Nothing is read until touched. A file that another process truncates while
// it is mapped raises SIGBUS on access, as with every mapped file; Tessera's own writers never
// truncate.
Result<Blob> map_file(const std::string& path);

// "no tensor 'x' in FILE", with the nearest of `names` as a hint, or the first few.
Diagnostic key_not_found(const Blob& file, std::string_view key,
                         std::span<const std::string_view> names);

// Little-endian reads; the caller has checked that `offset` + the width is within the bytes.
inline uint64_t load_le(std::span<const uint8_t> b, uint64_t offset, int width) {
  uint64_t v = 0;
  for (int i = 0; i < width; ++i) v |= uint64_t{b[offset + i]} << (8 * i);
  return v;
}

}  // namespace tess
