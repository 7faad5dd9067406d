#include "vm/data/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "isa/diag/data.h"

namespace tess {
namespace {

Diagnostic unwritable(const std::string& path, const char* reason) {
  return make_diag(diag::file_unwritable, fmt::format("cannot write {}: {}", path, reason));
}

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A hidden name beside the target. Unique per process and call; a left-over of the same name is
// stepped over by the caller's O_EXCL loop.
std::string temporary_name(const std::string& target, int attempt) {
  size_t slash = target.rfind('/');
  std::string base = slash == std::string::npos ? target : target.substr(slash + 1);
  return fmt::format("{}/.{}.{}.{}.tmp", folder_of(target), base.substr(0, 200), ::getpid(),
                     attempt);
}

std::string descriptor_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

constexpr int kAttempts = 1000;

}  // namespace

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      position_(other.position_),
      path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      is_device_(other.is_device_) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  AtomicFile file;
  file.path_ = file.target_ = path;
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved)) file.target_ = resolved;
  struct stat info;
  bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode))) {
    file.is_device_ = true;
    file.fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file.fd_ < 0) return unwritable(path, std::strerror(errno));
    return file;
  }
  if (exists && !S_ISREG(info.st_mode))
    return unwritable(path, S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
  if (exists && ::access(path.c_str(), W_OK) != 0) return unwritable(path, std::strerror(errno));

  file.fd_ = ::open(folder_of(file.target_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (file.fd_ >= 0 && ::access(descriptor_path(file.fd_).c_str(), F_OK) != 0) {
    ::close(file.fd_);  // without /proc it could not be given a name
    file.fd_ = -1;
  }
  for (int attempt = 0; file.fd_ < 0 && attempt < kAttempts; ++attempt) {
    std::string name = temporary_name(file.target_, attempt);
    file.fd_ = ::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (file.fd_ >= 0) file.temporary_ = std::move(name);
    else if (errno != EEXIST) break;
  }
  if (file.fd_ < 0) return unwritable(path, std::strerror(errno));
  if (exists && ::fchmod(file.fd_, info.st_mode & 0777) != 0)
    return unwritable(path, std::strerror(errno));
  return file;
}

Status AtomicFile::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return unwritable(path_, std::strerror(errno));
    position_ += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return ok();
}

Status AtomicFile::commit() {
  if (is_device_) {
    if (::close(std::exchange(fd_, -1)) != 0) return unwritable(path_, std::strerror(errno));
    return ok();
  }
  if (::fsync(fd_) != 0 && errno != EINVAL && errno != EROFS)
    return unwritable(path_, std::strerror(errno));
  if (temporary_.empty()) {
    std::string source = descriptor_path(fd_);
    auto link_to = [&](const std::string& name) {
      return ::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
    };
    bool linked = link_to(target_);  // one step if nothing stands there yet
    if (!linked && errno != EEXIST) return unwritable(path_, std::strerror(errno));
    for (int attempt = 0; !linked && temporary_.empty() && attempt < kAttempts; ++attempt) {
      std::string name = temporary_name(target_, attempt);
      if (link_to(name)) temporary_ = std::move(name);
      else if (errno != EEXIST) return unwritable(path_, std::strerror(errno));
    }
    if (!linked && temporary_.empty()) return unwritable(path_, std::strerror(EEXIST));
  }
  if (!temporary_.empty()) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0)
      return unwritable(path_, std::strerror(errno));
    temporary_.clear();
  }
  if (::close(std::exchange(fd_, -1)) != 0) return unwritable(path_, std::strerror(errno));
  return ok();
}

}  // namespace tess
