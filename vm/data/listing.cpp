#include "vm/data/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/data.h"
#include "vm/data/gguf.h"
#include "vm/data/npy.h"
#include "vm/data/npz.h"
#include "vm/data/safetensors.h"

namespace tess {
namespace {

void append_note(std::string& note, std::string_view more) {
  if (!note.empty()) note += ", ";
  note += more;
}

void describe_npy(const NpyHeader& h, ListedTensor& t) {
  t.declared = h.descr;
  t.dtype = h.raw ? DType{} : h.dtype;
  t.shape = h.shape;
  if (h.fortran_order) append_note(t.note, "Fortran order");
  if (h.big_endian) append_note(t.note, "big-endian");
}

Status list_npy(const Blob& blob, Listing& list) {
  TESS_TRY(HostTensor checked, read_npy({blob.bytes, blob.keep, blob.name}));
  TESS_TRY(NpyHeader h, parse_npy_header(blob));
  ListedTensor t;
  describe_npy(h, t);
  t.offset = h.data_offset;
  t.size_bytes = checked.size_bytes;
  list.detail = fmt::format("version {}.{}", blob.bytes[6], blob.bytes[7]);
  list.tensors.push_back(std::move(t));
  return ok();
}

Status list_npz(const Blob& blob, Listing& list) {
  TESS_TRY(std::vector<ZipEntry> entries, read_zip_directory(blob));
  for (const ZipEntry& e : entries) {
    ListedTensor t;
    t.name = npz_key(e);
    t.offset = e.data_offset;
    t.size_bytes = e.compressed;
    if (e.method != 0) t.note = fmt::format("deflated, {} bytes", e.size);
    if (t.name.empty()) {
      t.name = e.name;
      append_note(t.note, "no array");
    } else {
      TESS_TRY(Blob head, read_zip_prefix(blob, e, kMaxNpyHeader + 12));
      auto header = parse_npy_header(head);
      if (header) describe_npy(*header, t);
      else append_note(t.note, header.error().message);
    }
    list.tensors.push_back(std::move(t));
  }
  return ok();
}

Status list_safetensors(const Blob& blob, Listing& list) {
  TESS_TRY(SafetensorsFile file, read_safetensors(blob));
  for (SafetensorsEntry& e : file.tensors)
    list.tensors.push_back({std::move(e.name),
                            std::move(e.declared),
                            e.dtype.value_or(DType{}),
                            std::move(e.shape),
                            e.offset,
                            e.size_bytes,
                            {}});
  for (auto& [key, value] : file.metadata)
    list.metadata.push_back({std::move(key), "string", json_quote(value)});
  return ok();
}

Status list_gguf(const Blob& blob, Listing& list) {
  TESS_TRY(GgufFile file, read_gguf(blob));
  list.detail = fmt::format("version {}, alignment {}", file.version, file.alignment);
  for (GgufTensor& t : file.tensors) {
    ListedTensor listed{std::move(t.name), {}, {}, std::move(t.shape), t.offset, t.size_bytes, {}};
    if (const GgufType* type = find_gguf_type(t.type)) {
      listed.declared = type->name;
      listed.dtype = type->dtype;
      if (type->block_elements != 1)
        listed.note =
            fmt::format("blocks of {} in {} bytes", type->block_elements, type->block_bytes);
    } else {
      listed.declared = fmt::format("type {}", t.type);
      listed.note = "unknown type";
    }
    list.tensors.push_back(std::move(listed));
  }
  for (GgufEntry& e : file.metadata) {
    std::string type(gguf_value_name(e.type));
    if (e.type == GgufValue::array)
      type = fmt::format("{}[{}]", gguf_value_name(e.element), e.count);
    list.metadata.push_back({std::move(e.key), std::move(type), std::move(e.text)});
  }
  return ok();
}

// A name or value from a file as it may go to a terminal: quoted only if it needs to be.
std::string plain(std::string_view text) {
  std::string quoted = json_quote(text);
  return quoted.size() == text.size() + 2 ? std::string(text) : quoted;
}

std::string shown_type(const ListedTensor& t) {
  if (t.dtype.kind == Kind::none) return t.declared.empty() ? "-" : t.declared;
  return dtype_name(t.dtype);
}

template <class T, class Text>
size_t widest(const std::vector<T>& rows, const Text& text) {
  size_t width = 0;
  for (const T& row : rows) width = std::max(width, text(row).size());
  return std::min<size_t>(width, 60);
}

}  // namespace

std::string_view format_name(FileFormat format) {
  constexpr std::string_view kNames[] = {"npy", "npz", "safetensors", "gguf"};
  return kNames[static_cast<int>(format)];
}

Result<FileFormat> detect_format(const Blob& blob) {
  auto b = blob.bytes;
  auto begins = [&](std::string_view magic) {
    return b.size() >= magic.size() && std::memcmp(b.data(), magic.data(), magic.size()) == 0;
  };
  if (begins("\x93NUMPY")) return FileFormat::npy;
  if (begins("PK\x03\x04") || begins("PK\x05\x06")) return FileFormat::npz;
  if (begins("GGUF")) return FileFormat::gguf;
  if (b.size() >= 10 && b[8] == '{' && load_le(b, 0, 8) <= kMaxSafetensorsHeader)
    return FileFormat::safetensors;
  return make_diag(diag::unknown_file_format,
                   fmt::format("{} is no .npy, .npz, .safetensors or GGUF file", blob.name));
}

Result<Listing> list_blob(const Blob& blob) {
  TESS_TRY(FileFormat format, detect_format(blob));
  Listing list;
  list.path = blob.name;
  list.format = format;
  list.file_bytes = blob.bytes.size();
  switch (format) {
    case FileFormat::npy:
      TESS_CHECK(list_npy(blob, list));
      break;
    case FileFormat::npz:
      TESS_CHECK(list_npz(blob, list));
      break;
    case FileFormat::safetensors:
      TESS_CHECK(list_safetensors(blob, list));
      break;
    case FileFormat::gguf:
      TESS_CHECK(list_gguf(blob, list));
      break;
  }
  return list;
}

Result<Listing> list_file(const std::string& path) {
  TESS_TRY(Blob blob, map_file(path));
  return list_blob(blob);
}

std::string listing_text(const Listing& list) {
  std::string out =
      fmt::format("{}: {}{}{}, {} bytes, {} tensor{}\n", plain(list.path), format_name(list.format),
                  list.detail.empty() ? "" : " ", list.detail, list.file_bytes, list.tensors.size(),
                  list.tensors.size() == 1 ? "" : "s");
  auto key = [](const ListedMetadata& m) { return plain(m.key); };
  auto type = [](const ListedMetadata& m) { return m.type; };
  size_t key_width = widest(list.metadata, key), kind_width = widest(list.metadata, type);
  if (!list.metadata.empty()) out += "\nmetadata\n";
  for (const ListedMetadata& m : list.metadata)
    out += fmt::format("  {:<{}}  {:<{}}  {}\n", key(m), key_width, m.type, kind_width, m.value);
  auto name = [](const ListedTensor& t) { return plain(t.name); };
  auto dtype = [](const ListedTensor& t) { return shown_type(t); };
  auto shape = [](const ListedTensor& t) { return shape_text(t.shape); };
  size_t name_width = widest(list.tensors, name), dtype_width = widest(list.tensors, dtype),
         shape_width = widest(list.tensors, shape);
  if (!list.tensors.empty()) out += "\ntensors\n";
  for (const ListedTensor& t : list.tensors) {
    std::string line = fmt::format("  {:<{}}{}{:<{}}  {:<{}}  {} bytes at {}", name(t), name_width,
                                   name_width ? "  " : "", dtype(t), dtype_width, shape(t),
                                   shape_width, t.size_bytes, t.offset);
    if (!t.note.empty()) line += fmt::format("  ({})", plain(t.note));
    out += line + "\n";
  }
  return out;
}

std::string listing_json(const Listing& list) {
  std::string out = fmt::format(
      "{{\"path\":{},\"format\":\"{}\",\"bytes\":{},\"detail\":{},\"tensors\":[",
      json_quote(list.path), format_name(list.format), list.file_bytes, json_quote(list.detail));
  for (size_t i = 0; i < list.tensors.size(); ++i) {
    const ListedTensor& t = list.tensors[i];
    out += fmt::format(
        "{}{{\"name\":{},\"dtype\":{},\"declared\":{},\"shape\":{},\"offset\":{},\"bytes\":{},"
        "\"note\":{}}}",
        i ? "," : "", json_quote(t.name),
        t.dtype.kind == Kind::none ? "null" : json_quote(dtype_name(t.dtype)),
        json_quote(t.declared), shape_text(t.shape), t.offset, t.size_bytes, json_quote(t.note));
  }
  out += "],\"metadata\":[";
  for (size_t i = 0; i < list.metadata.size(); ++i) {
    const ListedMetadata& m = list.metadata[i];
    out += fmt::format("{}{{\"key\":{},\"type\":{},\"value\":{}}}", i ? "," : "", json_quote(m.key),
                       json_quote(m.type), json_quote(m.value));
  }
  return out + "]}\n";
}

}  // namespace tess
