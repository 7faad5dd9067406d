#include "vm/data/npz.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "isa/diag/data.h"
#include "vm/data/npy.h"

namespace tess {
namespace {

constexpr std::string_view kSuffix = ".npy";
constexpr uint64_t kMaxName = 60000;  // a zip name's length has 16 bits

}  // namespace

std::string_view npz_key(const ZipEntry& entry) {
  std::string_view name = entry.name;
  if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix)) return {};
  return name.substr(0, name.size() - kSuffix.size());
}

Result<HostTensor> read_npz(const Blob& npz, std::string_view key) {
  TESS_TRY(std::vector<ZipEntry> entries, read_zip_directory(npz));
  std::vector<std::string_view> names;
  for (const ZipEntry& e : entries) {
    std::string_view name = npz_key(e);
    if (name.empty()) continue;
    if (name == key || e.name == key) {
      TESS_TRY(Blob npy, read_zip_entry(npz, e));
      return read_npy(npy);
    }
    names.push_back(name);
  }
  return key_not_found(npz, key, names);
}

Status write_npz(const std::string& path, std::string_view key, const HostTensor& tensor) {
  if (key.empty() || key.size() > kMaxName || key.find('\0') != std::string_view::npos)
    return make_diag(diag::bad_dest, fmt::format("{} is no key for an .npz file", json_quote(key)));
  TESS_TRY(HostTensor dense, to_dense(tensor));
  Blob old;
  std::vector<ZipEntry> entries;
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 || errno != ENOENT) {
    TESS_TRY(old, map_file(path));
    TESS_TRY(entries, read_zip_directory(old));
  }
  TESS_TRY(AtomicFile file, AtomicFile::create(path));
  ZipWriter zip(file);
  std::string name = std::string(key) + std::string(kSuffix),
              header = npy_header(dense.dtype, dense.shape);
  std::span<const uint8_t> head{reinterpret_cast<const uint8_t*>(header.data()), header.size()};
  bool replaced = false;
  for (const ZipEntry& e : entries) {
    if (e.name == name) {
      TESS_CHECK(zip.add_stored(name, head, {dense.bytes, dense.size_bytes}));
      replaced = true;
    } else {
      TESS_CHECK(zip.add_copy(e, old.bytes.subspan(e.data_offset, e.compressed)));
    }
  }
  if (!replaced) TESS_CHECK(zip.add_stored(name, head, {dense.bytes, dense.size_bytes}));
  TESS_CHECK(zip.finish());
  return file.commit();
}

}  // namespace tess
