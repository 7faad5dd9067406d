// The part of the zip format that .npz files use: stored and deflated entries, zip64.
// Stated bound: reading an entry allocates at most 1040 times its compressed size plus 2 KiB, as
// deflate cannot expand further; the directory takes memory in proportion to its own bytes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "vm/data/atomic_file.h"
#include "vm/data/blob.h"

namespace tess {

struct ZipEntry {
  std::string name;
  uint16_t method = 0;  // 0 stored, 8 deflated
  uint32_t crc = 0;
  uint64_t compressed = 0, size = 0;
  uint64_t data_offset = 0;  // of the compressed bytes in the file
};

// Every entry lies in the file, names are unique, no two entries overlap.
Result<std::vector<ZipEntry>> read_zip_directory(const Blob& zip);
// The entry's content: borrowed if stored, else inflated and its checksum verified. A stored
// entry's checksum is not looked at: that would read every byte of a mapped file.
Result<Blob> read_zip_entry(const Blob& zip, const ZipEntry& entry);
// At most the first `limit` bytes of the content, unchecked.
Result<Blob> read_zip_prefix(const Blob& zip, const ZipEntry& entry, uint64_t limit);

// Writes entries in order; then finish(). Stored data starts at multiples of 64, so that it can be
// used mapped.
class ZipWriter {
 public:
  explicit ZipWriter(AtomicFile& file) : file_(file) {}
  Status add_stored(const std::string& name, std::span<const uint8_t> head,
                    std::span<const uint8_t> tail);
  // As it stands in another archive, without recompression.
  Status add_copy(const ZipEntry& entry, std::span<const uint8_t> compressed_bytes);
  Status finish();

 private:
  struct Written {
    ZipEntry entry;
    uint64_t header_offset;
  };
  Status begin(ZipEntry entry);

  AtomicFile& file_;
  std::vector<Written> written_;
};

}  // namespace tess
