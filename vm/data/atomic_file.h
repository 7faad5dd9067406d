// An output file that appears whole or not at all.
//
// The bytes go to an unnamed file (O_TMPFILE) in the target's folder, which vanishes with the
// process however it ends; commit() syncs it and gives it its name in one step. Where the file
// system has no unnamed files a hidden temporary name is used, removed by the destructor; only a
// process killed there leaves one behind. An existing target keeps its permissions; a symbolic link
// is followed. A device or pipe (/dev/null, /dev/stdout) is written as it is.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "isa/result.h"

namespace tess {

class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status write(std::span<const uint8_t> bytes);
  uint64_t position() const { return position_; }
  // After this the target has the new content. Without it the target is untouched.
  Status commit();

 private:
  AtomicFile() = default;
  int fd_ = -1;
  uint64_t position_ = 0;
  std::string path_, target_, temporary_;  // temporary_ is empty while the file has no name
  bool is_device_ = false;
};

}  // namespace tess
