#include "vm/data/npz.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
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
  NamedTensor one{std::string(key), tensor};
  return write_npz(path, std::span<const NamedTensor>(&one, 1));
}

Status write_npz(const std::string& path, std::span<const NamedTensor> arrays) {
  struct Entry {
    std::string name, header;
    HostTensor dense;
    bool written = false;
  };
  std::vector<Entry> fresh;
  for (const NamedTensor& a : arrays) {
    if (a.name.empty() || a.name.size() > kMaxName || a.name.find('\0') != std::string::npos)
      return make_diag(diag::bad_dest,
                       fmt::format("{} is no key for an .npz file", json_quote(a.name)));
    TESS_TRY(HostTensor dense, to_dense(a.tensor));
    std::string header = npy_header(dense.dtype, dense.shape);
    fresh.push_back({a.name + std::string(kSuffix), std::move(header), std::move(dense)});
  }
  Blob old;
  std::vector<ZipEntry> entries;
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 || errno != ENOENT) {
    TESS_TRY(old, map_file(path));
    TESS_TRY(entries, read_zip_directory(old));
  }
  TESS_TRY(AtomicFile file, AtomicFile::create(path));
  ZipWriter zip(file);
  auto add = [&](Entry& e) {
    e.written = true;
    return zip.add_stored(e.name,
                          {reinterpret_cast<const uint8_t*>(e.header.data()), e.header.size()},
                          {e.dense.bytes, e.dense.size_bytes});
  };
  for (const ZipEntry& e : entries) {
    auto at = std::ranges::find(fresh, e.name, &Entry::name);
    if (at != fresh.end()) TESS_CHECK(add(*at));
    else TESS_CHECK(zip.add_copy(e, old.bytes.subspan(e.data_offset, e.compressed)));
  }
  for (Entry& e : fresh)
    if (!e.written) TESS_CHECK(add(e));
  TESS_CHECK(zip.finish());
  return file.commit();
}

}  // namespace tess
