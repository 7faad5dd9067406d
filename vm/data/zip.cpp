#include "vm/data/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_set>

#include "isa/diag/data.h"

namespace tess {
namespace {

constexpr uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50,
                   kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr uint64_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56,
                   kLocator64Size = 20;
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint64_t kMaxExpansion = 1040;  // deflate's own bound is 1032:1

Diagnostic malformed(const Blob& zip, std::string_view what) {
  return make_diag(diag::zip_malformed, fmt::format("{}: {}", zip.name, what));
}
Diagnostic malformed(const Blob& zip, const std::string& entry, std::string_view what) {
  return make_diag(diag::zip_malformed,
                   fmt::format("{}: entry {}: {}", zip.name, json_quote(entry), what));
}

bool within(uint64_t offset, uint64_t length, uint64_t end) {
  return offset <= end && length <= end - offset;
}

struct Directory {
  uint64_t offset, size, entries;
};

Result<Directory> find_directory(const Blob& zip) {
  auto b = zip.bytes;
  if (b.size() < kEndSize) return malformed(zip, "it is too short for a zip archive");
  uint64_t lowest = b.size() - std::min<uint64_t>(b.size(), kEndSize + 0xffff);
  for (uint64_t at = b.size() - kEndSize;; --at) {
    if (load_le(b, at, 4) == kEndMagic && at + kEndSize + load_le(b, at + 20, 2) == b.size()) {
      if (load_le(b, at + 4, 2) != 0 || load_le(b, at + 6, 2) != 0) {
        if (load_le(b, at + 4, 2) != 0xffff)
          return malformed(zip, "archives of several disks are not supported");
      }
      Directory d{load_le(b, at + 16, 4), load_le(b, at + 12, 4), load_le(b, at + 10, 2)};
      uint64_t end = at;
      bool wide = d.offset == 0xffffffff || d.size == 0xffffffff || d.entries == 0xffff;
      if (wide && at >= kLocator64Size && load_le(b, at - kLocator64Size, 4) == kLocator64Magic) {
        uint64_t end64 = load_le(b, at - kLocator64Size + 8, 8);
        if (!within(end64, kEnd64Size, at - kLocator64Size) || load_le(b, end64, 4) != kEnd64Magic)
          return malformed(zip, "the zip64 end record is not where it should be");
        d = {load_le(b, end64 + 48, 8), load_le(b, end64 + 40, 8), load_le(b, end64 + 32, 8)};
        end = end64;
      }
      if (!within(d.offset, d.size, end))
        return malformed(zip, "the directory lies outside the file");
      if (d.entries > d.size / kCentralSize)
        return malformed(zip, "the directory is too small for its entries");
      return d;
    }
    if (at == lowest) return malformed(zip, "it has no zip directory");
  }
}

// Replaces the fields that are all ones by those of the zip64 extra field.
bool read_zip64_extra(std::span<const uint8_t> extra, ZipEntry& e, uint64_t& header_offset) {
  bool need_size = e.size == 0xffffffff, need_compressed = e.compressed == 0xffffffff,
       need_offset = header_offset == 0xffffffff;
  if (!need_size && !need_compressed && !need_offset) return true;
  for (uint64_t at = 0; at + 4 <= extra.size();) {
    uint64_t id = load_le(extra, at, 2), length = load_le(extra, at + 2, 2);
    at += 4;
    if (length > extra.size() - at) return false;
    if (id != 1) {
      at += length;
      continue;
    }
    uint64_t end = at + length;
    for (auto [need, field] : {std::pair{need_size, &e.size},
                               {need_compressed, &e.compressed},
                               {need_offset, &header_offset}}) {
      if (!need) continue;
      if (end - at < 8) return false;
      *field = load_le(extra, at, 8);
      at += 8;
    }
    return true;
  }
  return true;  // a size of exactly 2^32-1 needs no extra field
}

// Fills data_offset from the entry's local header.
Status read_local_header(const Blob& zip, ZipEntry& e, uint64_t header_offset, uint64_t end) {
  auto b = zip.bytes;
  if (!within(header_offset, kLocalSize, end) || load_le(b, header_offset, 4) != kLocalMagic)
    return malformed(zip, e.name, "its header is not where the directory says");
  uint64_t name = load_le(b, header_offset + 26, 2), extra = load_le(b, header_offset + 28, 2);
  if (!within(header_offset + kLocalSize, name + extra, end))
    return malformed(zip, e.name, "its header is cut off");
  std::string_view local_name(reinterpret_cast<const char*>(b.data()) + header_offset + kLocalSize,
                              name);
  if (local_name != e.name)
    return malformed(zip, e.name, "the directory calls it otherwise than its own header");
  e.data_offset = header_offset + kLocalSize + name + extra;
  if (!within(e.data_offset, e.compressed, end))
    return malformed(zip, e.name, "its data lies outside the file");
  return ok();
}

struct Inflated {
  uint64_t produced = 0, consumed = 0;
  bool ended = false, failed = false;
};

// Raw deflate; stops when `to` is full or the stream ends.
Inflated inflate_into(std::span<const uint8_t> from, std::span<uint8_t> to) {
  Inflated r;
  z_stream z{};
  if (inflateInit2(&z, -15) != Z_OK) return r.failed = true, r;
  constexpr uint64_t kChunk = uint64_t{1} << 30;  // zlib counts in unsigned int
  uint8_t spare;  // lets a full buffer still meet the end of the stream
  for (;;) {
    uint64_t in = std::min<uint64_t>(from.size() - r.consumed, kChunk);
    uint64_t out = std::min<uint64_t>(to.size() - r.produced, kChunk);
    z.next_in = const_cast<Bytef*>(from.data() + r.consumed);
    z.avail_in = static_cast<uInt>(in);
    bool full = out == 0;
    z.next_out = full ? &spare : to.data() + r.produced;
    z.avail_out = full ? 1 : static_cast<uInt>(out);
    int status = inflate(&z, Z_NO_FLUSH);
    r.consumed += in - z.avail_in;
    uint64_t made = (full ? 1 : out) - z.avail_out;
    if (full && made != 0) break;
    r.produced += made;
    if (status == Z_STREAM_END) {
      r.ended = true;
      break;
    }
    if (status != Z_OK && status != Z_BUF_ERROR) {
      r.failed = true;
      break;
    }
    if (made == 0 && in == z.avail_in) break;  // no progress: the input ran out
  }
  inflateEnd(&z);
  return r;
}

uint32_t checksum(uint32_t crc, std::span<const uint8_t> bytes) {
  if (bytes.empty()) return crc;  // zlib takes a null pointer for a wish to start anew
  return static_cast<uint32_t>(crc32_z(crc, bytes.data(), bytes.size()));
}

Result<std::shared_ptr<uint8_t>> allocate(const Blob& zip, const ZipEntry& e, uint64_t size) {
  auto* block = static_cast<uint8_t*>(std::aligned_alloc(64, (size + 127) / 64 * 64));
  if (!block)
    return make_diag(diag::tensor_too_large,
                     fmt::format("{}: entry {}: not enough memory for {} bytes", zip.name,
                                 json_quote(e.name), size));
  return std::shared_ptr<uint8_t>(block, [](uint8_t* p) { std::free(p); });
}

void put(std::string& s, uint64_t value, int width) {
  for (int i = 0; i < width; ++i) s += static_cast<char>(value >> (8 * i));
}
std::span<const uint8_t> as_bytes(const std::string& s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

constexpr uint64_t kWide = 0xffffffff;
constexpr uint64_t kDate = 0x0021;  // 1 January 1980: archives of equal content are equal

}  // namespace

Result<std::vector<ZipEntry>> read_zip_directory(const Blob& zip) {
  TESS_TRY(Directory d, find_directory(zip));
  auto b = zip.bytes;
  std::vector<ZipEntry> entries;
  struct Extent {
    uint64_t begin, end;
  };
  std::vector<Extent> extents;
  std::unordered_set<std::string_view> names;
  uint64_t at = d.offset, end = d.offset + d.size;
  for (uint64_t i = 0; i < d.entries; ++i) {
    if (!within(at, kCentralSize, end) || load_le(b, at, 4) != kCentralMagic)
      return malformed(zip, fmt::format("directory entry {} is damaged", i));
    ZipEntry e;
    uint64_t flags = load_le(b, at + 8, 2);
    e.method = static_cast<uint16_t>(load_le(b, at + 10, 2));
    e.crc = static_cast<uint32_t>(load_le(b, at + 16, 4));
    e.compressed = load_le(b, at + 20, 4);
    e.size = load_le(b, at + 24, 4);
    uint64_t name = load_le(b, at + 28, 2), extra = load_le(b, at + 30, 2),
             comment = load_le(b, at + 32, 2);
    uint64_t header_offset = load_le(b, at + 42, 4);
    if (!within(at + kCentralSize, name + extra + comment, end))
      return malformed(zip, fmt::format("directory entry {} is cut off", i));
    std::string_view name_text(reinterpret_cast<const char*>(b.data()) + at + kCentralSize, name);
    e.name = std::string(name_text);
    if (!names.insert(name_text).second)
      return malformed(zip, e.name, "two entries have this name");
    if (flags & 0x2041) return malformed(zip, e.name, "it is encrypted");
    if (e.method != kStored && e.method != kDeflated)
      return malformed(zip, e.name,
                       fmt::format("compression method {} is not supported", e.method));
    if (!read_zip64_extra(b.subspan(at + kCentralSize + name, extra), e, header_offset))
      return malformed(zip, e.name, "its zip64 field is damaged");
    TESS_CHECK(read_local_header(zip, e, header_offset, d.offset));
    if (e.method == kStored && e.size != e.compressed)
      return malformed(zip, e.name, "it is stored, but its two sizes differ");
    if (e.method == kDeflated && e.size / kMaxExpansion > e.compressed)
      return malformed(zip, e.name,
                       fmt::format("{} bytes cannot expand to {}", e.compressed, e.size));
    extents.push_back({header_offset, e.data_offset + e.compressed});
    entries.push_back(std::move(e));
    at += kCentralSize + name + extra + comment;
  }
  std::sort(extents.begin(), extents.end(),
            [](const Extent& x, const Extent& y) { return x.begin < y.begin; });
  for (size_t i = 1; i < extents.size(); ++i)
    if (extents[i].begin < extents[i - 1].end) return malformed(zip, "two entries overlap");
  return entries;
}

Result<Blob> read_zip_entry(const Blob& zip, const ZipEntry& e) {
  auto source = zip.bytes.subspan(e.data_offset, e.compressed);
  Blob content{source, zip.keep, zip.name + "#" + e.name};
  if (e.method == kDeflated) {
    TESS_TRY(std::shared_ptr<uint8_t> block, allocate(zip, e, e.size));
    Inflated r = inflate_into(source, {block.get(), e.size});
    if (r.failed || !r.ended || r.produced != e.size || r.consumed != e.compressed)
      return malformed(zip, e.name, "its compressed data is damaged");
    if (checksum(0, {block.get(), e.size}) != e.crc)
      return malformed(zip, e.name, "its checksum is wrong");
    content.bytes = {block.get(), e.size};
    content.keep = std::move(block);
  }
  return content;
}

Result<Blob> read_zip_prefix(const Blob& zip, const ZipEntry& e, uint64_t limit) {
  auto source = zip.bytes.subspan(e.data_offset, e.compressed);
  uint64_t size = std::min(e.size, limit);
  std::string name = zip.name + "#" + e.name;
  if (e.method == kStored) return Blob{source.first(size), zip.keep, std::move(name)};
  TESS_TRY(std::shared_ptr<uint8_t> block, allocate(zip, e, size));
  Inflated r = inflate_into(source, {block.get(), size});
  if (r.failed || r.produced != size)
    return malformed(zip, e.name, "its compressed data is damaged");
  return Blob{{block.get(), size}, block, std::move(name)};
}

Status ZipWriter::begin(ZipEntry e) {
  uint64_t header_offset = file_.position();
  bool wide = e.size >= kWide || e.compressed >= kWide;
  std::string extra;
  if (wide) {
    put(extra, 1, 2);
    put(extra, 16, 2);
    put(extra, e.size, 8);
    put(extra, e.compressed, 8);
  }
  if (e.method == kStored) {
    uint64_t start = header_offset + kLocalSize + e.name.size() + extra.size() + 4;
    put(extra, 0xd935, 2);  // the alignment field that zipalign uses
    put(extra, (64 - start % 64) % 64, 2);
    extra.append((64 - start % 64) % 64, '\0');
  }
  std::string h;
  put(h, kLocalMagic, 4);
  put(h, wide ? 45 : 20, 2);
  put(h, 0x0800, 2);  // the name is UTF-8
  put(h, e.method, 2);
  put(h, 0, 2);
  put(h, kDate, 2);
  put(h, e.crc, 4);
  put(h, wide ? kWide : e.compressed, 4);
  put(h, wide ? kWide : e.size, 4);
  put(h, e.name.size(), 2);
  put(h, extra.size(), 2);
  h += e.name;
  h += extra;
  TESS_CHECK(file_.write(as_bytes(h)));
  written_.push_back({std::move(e), header_offset});
  return ok();
}

Status ZipWriter::add_stored(const std::string& name, std::span<const uint8_t> head,
                             std::span<const uint8_t> tail) {
  ZipEntry e;
  e.name = name;
  e.crc = checksum(checksum(0, head), tail);
  e.size = e.compressed = head.size() + tail.size();
  TESS_CHECK(begin(std::move(e)));
  TESS_CHECK(file_.write(head));
  return file_.write(tail);
}

Status ZipWriter::add_copy(const ZipEntry& entry, std::span<const uint8_t> compressed_bytes) {
  TESS_CHECK(begin(entry));
  return file_.write(compressed_bytes);
}

Status ZipWriter::finish() {
  uint64_t start = file_.position();
  for (const auto& [e, header_offset] : written_) {
    std::string extra;
    bool wide_size = e.size >= kWide || e.compressed >= kWide, wide_offset = header_offset >= kWide;
    if (wide_size || wide_offset) {
      put(extra, 1, 2);
      put(extra, (wide_size ? 16 : 0) + (wide_offset ? 8 : 0), 2);
      if (wide_size) {
        put(extra, e.size, 8);
        put(extra, e.compressed, 8);
      }
      if (wide_offset) put(extra, header_offset, 8);
    }
    std::string h;
    put(h, kCentralMagic, 4);
    put(h, 0x0300 | 45, 2);  // made on Unix
    put(h, extra.empty() ? 20 : 45, 2);
    put(h, 0x0800, 2);
    put(h, e.method, 2);
    put(h, 0, 2);
    put(h, kDate, 2);
    put(h, e.crc, 4);
    put(h, wide_size ? kWide : e.compressed, 4);
    put(h, wide_size ? kWide : e.size, 4);
    put(h, e.name.size(), 2);
    put(h, extra.size(), 2);
    put(h, 0, 2);
    put(h, 0, 2);
    put(h, 0, 2);
    put(h, uint64_t{0100644} << 16, 4);
    put(h, wide_offset ? kWide : header_offset, 4);
    h += e.name;
    h += extra;
    TESS_CHECK(file_.write(as_bytes(h)));
  }
  uint64_t end = file_.position(), count = written_.size();
  std::string h;
  if (count >= 0xffff || start >= kWide || end - start >= kWide) {
    put(h, kEnd64Magic, 4);
    put(h, kEnd64Size - 12, 8);
    put(h, 45, 2);
    put(h, 45, 2);
    put(h, 0, 4);
    put(h, 0, 4);
    put(h, count, 8);
    put(h, count, 8);
    put(h, end - start, 8);
    put(h, start, 8);
    put(h, kLocator64Magic, 4);
    put(h, 0, 4);
    put(h, end, 8);
    put(h, 1, 4);
  }
  put(h, kEndMagic, 4);
  put(h, 0, 4);
  put(h, std::min<uint64_t>(count, 0xffff), 2);
  put(h, std::min<uint64_t>(count, 0xffff), 2);
  put(h, std::min(end - start, kWide), 4);
  put(h, std::min(start, kWide), 4);
  put(h, 0, 2);
  return file_.write(as_bytes(h));
}

}  // namespace tess
