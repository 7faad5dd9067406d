#include "vm/data/blob.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "isa/diag/data.h"

namespace tess {
namespace {

Diagnostic unreadable(const std::string& path, const char* reason) {
  return make_diag(diag::file_unreadable, fmt::format("cannot read {}: {}", path, reason));
}

}  // namespace

Result<Blob> map_file(const std::string& path) {
  int fd;
  do fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return unreadable(path, std::strerror(errno));
  struct stat info;
  if (::fstat(fd, &info) != 0) {
    int error = errno;
    ::close(fd);
    return unreadable(path, std::strerror(error));
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return unreadable(path, S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
  }
  auto size = static_cast<size_t>(info.st_size);
  Blob blob;
  blob.name = path;
  if (size == 0) {
    ::close(fd);
    return blob;
  }
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  int error = errno;
  ::close(fd);
  if (address == MAP_FAILED) return unreadable(path, std::strerror(error));
  blob.bytes = {static_cast<const uint8_t*>(address), size};
  blob.keep = std::shared_ptr<const void>(address, [size](void* p) { ::munmap(p, size); });
  return blob;
}

Diagnostic key_not_found(const Blob& file, std::string_view key,
                         std::span<const std::string_view> names) {
  std::string nearest = nearest_name(key, names);
  std::string hint;
  if (!nearest.empty()) {
    hint = fmt::format("did you mean {}?", json_quote(nearest));
  } else if (names.empty()) {
    hint = "the file has no tensors";
  } else {
    constexpr size_t kShown = 5;
    hint = names.size() == 1 ? "its only tensor is" : "its tensors are";
    for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
      hint += (i ? ", " : " ") + json_quote(names[i]);
    if (names.size() > kShown) hint += fmt::format(" and {} more", names.size() - kShown);
  }
  return make_diag(diag::key_not_found,
                   fmt::format("no tensor {} in {}", json_quote(key), file.name), {},
                   std::move(hint));
}

}  // namespace tess
